"""`harvester demo`: the main job in front of one's eyes, without an account.

In:   a folder that does not exist yet.  Out: an archive of about 200 made-up calls in it, and what to do next.

The simulated platform runs on 127.0.0.1 in this process; the harvest goes through the same code as any run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread

from harvester.demo.calls import CallBook
from harvester.demo.server import Options, serve
from harvester.errors import ConfigError
from harvester.layers import resolve
from harvester.progress import Progress
from harvester.report import Account
from harvester.run import harvest
from harvester.settings import Resolved
from harvester.verify.archive import verify
from harvester.verify.findings import Verification

CALLS = 200


def free_folder(wanted: Path) -> Path:
    """Return `wanted`, or `wanted-2`, `wanted-3`, ...: the first that does not exist. Raises ConfigError after 1,000."""
    for number in range(1, 1000):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        if not folder.exists():
            return folder
    raise ConfigError(f"{wanted} and many more like it exist; remove some, or name another with --folder")


async def tour(folder: Path, progress: Progress, say: Callable[[str], None]) -> tuple[Account, Verification]:
    """Serve the simulated platform, harvest it into `folder`/archive, verify that. Raises HarvestError."""
    async with serve(CallBook(count=CALLS)) as platform:
        say(f"A simulated platform with {CALLS} made-up calls answers at {platform.base_url}. Harvesting it ...")
        account = await harvest(settings_for(platform.base_url, folder), platform.key, progress)
    return account, await anyio.to_thread.run_sync(verify, folder / "archive")


async def serve_alone(calls: int, port: int, limit_per_minute: int | None, say: Callable[[str], None]) -> None:
    """Serve the simulated platform on 127.0.0.1 until the process is stopped.

    `limit_per_minute` is in requests per minute for the account; None: no limit. Raises ConfigError when the port is taken.
    """
    try:
        async with serve(
            CallBook(count=calls), port=port, options=Options(limit_per_minute=limit_per_minute)
        ) as platform:
            say(f"base URL  {platform.base_url}\nkey       {platform.key}\nStop with Ctrl-C.")
            await anyio.sleep_forever()
    except OSError as error:
        raise ConfigError(f"port {port} cannot be used ({error.strerror}); name another with --port") from None


def settings_for(base_url: str, folder: Path) -> Resolved:
    """Return the settings of a tour: everything below `folder`, and loopback addresses allowed."""
    flags = {
        "archive": str(folder / "archive"),
        "state_folder": str(folder / "state"),
        "base_url": base_url,
        "allow_private_hosts": True,
        "requests_per_minute": 6000,
        "min_free": 0,
    }
    return resolve(flags, {}, None)
