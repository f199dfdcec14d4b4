"""The journal of a group: what a commit is about to name, written down before it does.

In:   the files of a group.  Out: after a crash, those that have a name perhaps, and no ledger line.

It lies in the run's `parts` folder and is overwritten by every group, so it costs one fsync each and is gone when the run closes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from harvester.archive import disk, ledger
from harvester.archive.layout import FILE_KEY, LEDGER, PAGE_KEY, PARTS, run_key
from harvester.model import File

GROUP = f"{PARTS}/group.json"
PART = re.compile(r"(?:page-)?\d+\.part", re.ASCII)
"""The name of a file that has none in the archive yet."""


def encoded(files: Iterable[File]) -> bytes:
    """Return the journal of a group."""
    return msgspec.json.encode(list(files))


def write_journal(archive: Path, run_id: str, files: Iterable[File], *, durably: bool, anew: bool) -> None:
    """Write the journal of a run's group over that of the last one. Raises StorageError.

    `anew`: into a new file, durable, because a sync has failed that may have concerned the old one.
    """
    path = archive / run_key(run_id, GROUP)
    if anew:
        disk.replace_durable(path, encoded(files))
    else:
        disk.overwrite(path, encoded(files), durably=durably)


def unwritten(archive: Path, run_id: str) -> list[File]:
    """Return the files of a run's last group that no ledger line of the run tells of. Raises StorageError, LedgerError."""
    path = archive / run_key(run_id, GROUP)
    if not disk.exists(path):
        return []
    with disk.guarded("read", path):
        data = path.read_bytes()
    try:
        listed = msgspec.json.decode(data, type=list[File])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # torn: nothing had been named yet
        return []
    named = {file.path: file for file in listed if _is_ours(file.path)}
    if disk.exists(archive / run_key(run_id, LEDGER)):
        for line in ledger.whole_lines(archive, run_id):
            for file in line.files:
                named.pop(file.path, None)
    return list(named.values())


def sweep_parts(archive: Path, run_id: str) -> None:
    """Remove what a run that was cut off had written and not named; its journal stays until the run is mended.

    Nobody adopts it, and it may be what fills the disk. Nothing is removed behind a link. Raises StorageError.
    """
    folder = archive / run_key(run_id, PARTS)
    with disk.guarded("remove", folder) as step:
        if any(path.is_symlink() for path in (folder, *folder.parents[:2])):
            return
        for name in step.over(disk.names(folder)):
            if PART.fullmatch(name):
                (folder / name).unlink()


def _is_ours(key: str) -> bool:
    """Whether a key is of a form that a commit names. Another may lead out of the archive."""
    return any(form.fullmatch(key) for form in (FILE_KEY, PAGE_KEY))
