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
from harvester.key import VARIABLE, has_key, key_of
from harvester.place import local_state
from harvester.run import check_platform, open_api
from harvester.settings import Resolved, table

NOT_KEPT = frozenset({"archive", "must_exist", "from", "to", "json", "quiet", "verbose", "dry_run", "limit"})
"""Settings that are for one call of the command line, or that `init` sets itself. A day would be the same every night."""


def _chosen(resolved: Resolved) -> dict[str, object]:
    """Return the settings that were given and are to last, paths made absolute: the next run may start elsewhere."""
    chosen: dict[str, object] = {}
    for name, (field, _) in table().items():
        if resolved.sources[name] != "default" and name not in NOT_KEPT:
            value = getattr(resolved.settings, field)
            chosen[name] = value.resolve() if isinstance(value, Path) else value
    return chosen


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
    given = has_key(resolved, os.environ)
    owner = None
    if given:
        key, _ = key_of(resolved, os.environ)
        async with open_api(settings, key) as api:
            owner = await check_platform(api, settings)
    text = settings_file({**_chosen(resolved), "archive": local.archive.resolve(), "must_exist": True})
    with local.locked():
        local.remember(write_mark(local.archive, settings.base_url, owner))
        disk.write_durable(target, text.encode())
    about_key = (
        f"The platform accepts the key{f' of {owner}' if owner else ''}."
        if given
        else f"No key was given, so none was checked: set {VARIABLE}, or key_file in {target}."
    )
    return f"Made the archive {local.archive} and its settings file {target}.\n{about_key}\nNext: harvester run --config {target}"
