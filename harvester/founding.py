"""`harvester init`: make an archive, and a settings file that expects it.

In:   settings.  Out: the archive's mark, a settings file, and what to do next.
"""

from __future__ import annotations

import os
from pathlib import Path

from harvester.archive import disk
from harvester.archive.mark import check_owner, write_mark
from harvester.errors import ConfigError
from harvester.example import settings_file
from harvester.key import VARIABLE, has_key, key_of
from harvester.logs import escaped
from harvester.opening import check_platform, open_api
from harvester.place import local_state
from harvester.settings import Resolved, table

NOT_KEPT = frozenset({"archive", "must_exist", "from", "to", "json", "quiet", "verbose", "dry_run", "limit", "full"})
"""Settings that are for one call of the command line, or that `init` sets itself. A day would be the same every night."""


def _chosen(resolved: Resolved) -> dict[str, object]:
    """Return the settings that were given and are to last, paths made absolute: the next run may start elsewhere."""
    chosen: dict[str, object] = {}
    for name, (field, _) in table().items():
        if resolved.sources[name] != "default" and name not in NOT_KEPT:
            value = getattr(resolved.settings, field)
            chosen[name] = value.resolve() if isinstance(value, Path) else value
    return chosen


def _check_free(target: Path) -> None:
    if target.exists():
        raise ConfigError(f"{target} exists already; name another settings file with --write, or remove it first")
    if not target.absolute().parent.is_dir():
        raise ConfigError(f"there is no folder {target.absolute().parent} for {target.name}; create it first")


async def found(resolved: Resolved, target: Path) -> str:
    """Make the archive and write the settings file; return what to tell the user.

    An archive that is there already is kept. Raises ConfigError when the file exists or the archive is another
    platform's, MarkError when the folder holds other things, AuthError.
    """
    settings = resolved.settings
    local = local_state(settings)
    _check_free(target)
    mark = local.expected_mark(must_exist=False)
    given = has_key(resolved, os.environ)
    owner = None
    if given:
        key, _ = key_of(resolved, os.environ)
        async with open_api(settings, key) as api:
            owner = await check_platform(api, settings)
    if mark:
        check_owner(mark, settings.base_url, owner)
    text = settings_file({**_chosen(resolved), "archive": local.archive.resolve(), "must_exist": True})
    with local.locked():
        local.remember(mark or write_mark(local.archive, settings.base_url, owner), owner)
        disk.write_durable(target, text.encode())
    about_key = (
        f"The platform accepts the key{f' of {escaped(owner)}' if owner else ''}."
        if given
        else f"No key was given, so none was checked: set {VARIABLE}, or key_file in {target}."
    )
    made = f"Found the archive {local.archive}, and made" if mark else f"Made the archive {local.archive} and"
    return f"{made} its settings file {target}.\n{about_key}\nNext: harvester run --config {target}"
