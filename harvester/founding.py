"""`harvester init`: make an archive, and a settings file that expects it.

In:   settings.  Out: the archive's mark, a settings file, and what to do next.
"""

from __future__ import annotations

import os
from pathlib import Path

from harvester.archive import disk
from harvester.archive.mark import read_mark, write_mark
from harvester.errors import ConfigError
from harvester.example import settings_file
from harvester.key import VARIABLE, read_key
from harvester.model import Window
from harvester.run import local_state, open_api
from harvester.settings import Resolved

NOT_KEPT = frozenset({"archive", "must_exist", "json", "quiet", "verbose", "dry_run", "limit"})
"""Settings that are for one call of the command line, or that `init` sets itself."""


def _check_free(archive: Path, target: Path) -> None:
    if target.exists():
        raise ConfigError(f"{target} exists already; name another settings file with --write, or remove it first")
    if read_mark(archive) is not None:
        raise ConfigError(f"there is an archive at {archive} already; `harvester run` goes on with it")


async def found(resolved: Resolved, target: Path) -> str:
    """Make the archive and write the settings file; return what to tell the user.

    Raises ConfigError when the file exists, MarkError when the folder is not empty or already an archive, AuthError.
    """
    settings = resolved.settings
    local = local_state(settings)
    _check_free(local.archive, target)
    has_key = VARIABLE in os.environ or settings.key_file or settings.key_command
    owner = None
    if has_key:
        key, _ = read_key(settings, os.environ)
        async with open_api(settings, key) as api:
            owner = await api.account()
            if owner is None:
                await api.page(Window(query=settings.query()), 1, 1)
    chosen: dict[str, object] = {
        name: resolved.text_of(name)
        for name, source in resolved.sources.items()
        if source != "default" and name not in NOT_KEPT
    }
    text = settings_file({"archive": str(local.archive.resolve()), "must_exist": True, **chosen})
    with local.locked():
        local.remember(write_mark(local.archive, settings.base_url, owner))
        disk.write_durable(target, text.encode())
    about_key = (
        f"The platform accepts the key{f' of {owner}' if owner else ''}."
        if has_key
        else f"No key was given, so none was checked: set {VARIABLE}, or key_file in {target}."
    )
    return f"Made the archive {local.archive} and its settings file {target}.\n{about_key}\nNext: harvester run --config {target}"
