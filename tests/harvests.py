"""Harvest a simulated platform into a temporary folder, in this process or as a user would from the command line."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio

from harvester.demo.server import Platform
from harvester.layers import resolve
from harvester.progress import Progress
from harvester.report import Account
from harvester.run import harvest
from harvester.settings import Settings
from harvester.verify.archive import verify
from harvester.verify.findings import Verification


class Harvests:
    """Runs on one platform and one archive."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self.platform = platform
        self.folder = folder
        self.archive = folder / "calls"
        self.state = folder / "state"
        self.environment = {
            "HARVESTER_BASE_URL": platform.base_url,
            "HARVESTER_API_KEY": platform.key,
            "HARVESTER_STATE_FOLDER": str(self.state),
            "HARVESTER_ARCHIVE": str(self.archive),
            "HARVESTER_ALLOW_PRIVATE_HOSTS": "yes",
            "HARVESTER_REQUESTS_PER_MINUTE": "60000",
            "HARVESTER_RETRY_WAIT_SECONDS": "0",
            "HARVESTER_MIN_FREE": "0",
        }

    async def run(self, **flags: object) -> Account:
        """Run once in this process, with the flags named as settings."""
        return await harvest(resolve(flags, self.environment, None), self.platform.key, Progress(shown=False))

    def settings(self) -> Settings:
        """Return the settings that a run without flags has."""
        return resolve({}, self.environment, None).settings

    async def cli(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
        """Run the command line to its end, as a user would, without a terminal."""
        return await anyio.run_process(
            command(*arguments), check=False, env=self._environment(environment), cwd=self.folder
        )

    async def start(self, *arguments: str) -> anyio.abc.Process:
        """Start the command line and leave it running."""
        return await anyio.open_process(command(*arguments), env=self._environment({}), cwd=self.folder)

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), **self.environment, **more}

    def verify(self) -> Verification:
        """Verify the archive."""
        return verify(self.archive)

    def files(self) -> dict[str, bytes]:
        """Return every file of the dated tree by its key."""
        return {
            path.relative_to(self.archive).as_posix(): path.read_bytes()
            for path in sorted(self.archive.rglob("*"))
            if path.is_file() and path.relative_to(self.archive).parts[0] not in ("runs", "harvester-archive.json")
        }

    def path(self, call_id: int | str, suffix: str) -> Path:
        """Return the one file of a call with this suffix, such as `json` or `v2.json`."""
        (found,) = self.archive.glob(f"*/*/*/{call_id}.{suffix}")
        return found

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield every ledger line of the archive, run by run."""
        for ledger in sorted(self.archive.glob("runs/*/ledger.jsonl")):
            yield from map(json.loads, ledger.read_text().splitlines())

    async def until(self, recordings: int) -> None:
        """Wait until the platform has been asked for so many recordings."""
        while self.platform.count("recording") < recordings:  # noqa: ASYNC110 - the platform has no event for it
            await anyio.sleep(0.005)


def command(*arguments: str) -> list[str]:
    """Return the command line of harvester with these arguments."""
    return [sys.executable, "-m", "harvester", *arguments]
