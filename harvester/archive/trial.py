"""Try what a folder can do, by doing it in a folder of its own, which is removed whatever happens.

In:   a folder.  Out: what is odd about it and does no harm; a StorageError for what an archive cannot do without.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harvester.archive import disk
from harvester.archive.mark import TRIAL
from harvester.archive.modes import READ_ONLY, is_read_only, protect
from harvester.errors import StorageError

LONGEST_NAME_BYTES = 100
"""The names of the archive stay below (layout.py)."""

TRIED = b"harvester doctor tries this folder\n" * 128
"""More than a block: the smallest file takes one."""

SECOND_NS = 10**9
ODD_TIME_NS = 1_700_000_001 * SECOND_NS + 123_456_789
"""An odd second: FAT keeps times to two seconds."""

Remark = tuple[str, str]
"""What is odd about a folder, and what to do."""


def try_folder(place: Path, *, read_only: bool = False) -> list[Remark]:
    """Try whether files and folders in `place` behave as an archive needs it; with `read_only` those too that nobody may write.

    Raises StorageError where they do not.
    """
    with trial_folder(place) as folder:
        _try_files(folder)
        trials = (_letter_case, _long_name, _folder_sync, _open_file, _coarse_times, _lock)
        last = (_read_only,) if read_only else ()
        return [remark for trial in (*trials, *last) if (remark := trial(folder))]


@contextmanager
def trial_folder(place: Path) -> Iterator[Path]:
    """Make a folder in `place` for the block, and remove it with all that is in it. Raises StorageError."""
    folder = place / f"{TRIAL}{uuid.uuid4().hex[:12]}"
    with disk.guarded("write in", place):
        folder.mkdir()
    try:
        yield folder
    finally:
        disk.remove_tree(folder)


def _try_files(folder: Path) -> None:
    """Write, read, rename, refuse, replace. Raises StorageError for what an archive cannot do without."""
    part, named = folder / "part", folder / "named"
    disk.write_durable(part, TRIED)
    with disk.guarded("read", part):
        if part.read_bytes() != TRIED:
            raise StorageError(f"{part} holds other bytes than were written; check the disk before anything else")
    disk.give_name(part, named)
    disk.write_durable(part, TRIED[:1])
    if not _refuses(lambda: disk.give_name(part, named)) or not _refuses(lambda: disk.write_durable(named, b"")):
        raise StorageError(f"{folder.parent} lets a file be written over that lies there already; name another folder")
    disk.replace_durable(named, TRIED)
    disk.make_folders(folder, "2025/08/04")


def _refuses(overwriting: Callable[[], None]) -> bool:
    try:
        overwriting()
    except StorageError:
        return True
    return False


def _letter_case(folder: Path) -> Remark | None:
    if not disk.exists(folder / "NAMED"):
        return None
    return "it does not tell capital letters from small ones", "nothing: the archive's names never differ by that alone"


def _long_name(folder: Path) -> Remark | None:
    disk.write_durable(folder / "a-b_c.".ljust(LONGEST_NAME_BYTES, "0"), TRIED)
    return None


def _folder_sync(folder: Path) -> Remark | None:
    """Remark that a folder cannot be made durable; Windows knows no such thing."""
    if os.name == "nt" or disk.sync_folder(folder):
        return None
    return (
        "it cannot make the names in a folder durable (fsync of a folder is refused)",
        "run `harvester verify` after a power cut: the newest files may lack their names",
    )


def _open_file(folder: Path) -> Remark | None:
    with disk.guarded("read", folder), (folder / "named").open("rb"):
        if not _refuses(lambda: disk.replace_durable(folder / "named", TRIED)):
            return None
    return "a file that is open cannot be replaced", "let no other program keep the archive's files open during a run"


def _coarse_times(folder: Path) -> Remark | None:
    path = folder / "part"
    with disk.guarded("set the time of", path):
        try:
            os.utime(path, ns=(ODD_TIME_NS, ODD_TIME_NS))
        except PermissionError:  # a share that maps all users to one
            return "it does not let times of files be set", "nothing: harvester goes by hashes, not by times"
        off_ns = abs(path.stat().st_mtime_ns - ODD_TIME_NS)
    if off_ns < SECOND_NS // 100:
        return None
    return (
        f"it keeps the times of files only to {'a second' if off_ns < SECOND_NS else 'some seconds'}",
        "nothing: harvester goes by hashes; let a backup of the archive compare more than times",
    )


def _read_only(folder: Path) -> Remark | None:
    """Make a file that nobody may write, name it, make another one so afterwards, and erase it, as an archive does."""
    part, settled, later = folder / "settled.part", folder / "settled", folder / "named"
    try:
        disk.write_durable(part, TRIED, mode=READ_ONLY)
        disk.give_name(part, settled)
        protect(later)
        kept = is_read_only(settled) and is_read_only(later)
        with disk.guarded("remove", settled):
            settled.unlink()
    except StorageError as error:
        return f"it cannot work with read-only files ({error})", "leave read_only off here"
    if kept:
        return None
    return (
        "it does not keep files read-only: they can be written as before",
        "leave read_only off, and let the share itself forbid changes (WORM, snapshots)",
    )


def _lock(folder: Path) -> Remark | None:
    with disk.locked(folder) as first, disk.locked(folder) as second:
        if first and not second:
            return None
    return (
        "it knows no lock that keeps two runs apart",
        "let only one machine and one user run harvester on this archive",
    )
