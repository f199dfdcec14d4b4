"""The mark: the file that says *this folder is an archive, and which one*.

In:   a folder.  Out: its `Mark`, or a MarkError.

A nightly run whose share is not mounted would find an empty folder and fill the system disk. So a run that knows the
archive, or is told that it must exist, stops when the mark is not there; and a folder that holds other things is never touched.
"""

from __future__ import annotations

import datetime as dt
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from harvester.archive import disk
from harvester.archive.layout import MARK
from harvester.errors import ConfigError, LockedError, MarkError

FORMAT = 1
LARGEST_BYTES = 64 * 1024
"""More than any mark has: a few names and a UUID."""

NOT_CONTENT = frozenset({"lost+found", "@eaDir", "#recycle", ".DS_Store", "System Volume Information"})
"""What file systems and NAS boxes put into an otherwise empty share by themselves."""


TRIAL = ".harvester-doctor-"
"""How the name of the folder begins in which `harvester doctor` tries things out; it removes it. Twelve hex digits follow."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What the mark says."""

    archive_id: str
    format: int
    created_at: str
    platform: str  # the API's base URL
    account: str | None  # the e-mail address of the key's account, where the platform tells it


def read_mark(folder: Path) -> Mark | None:
    """Return the mark of the archive in `folder`, or None when the folder is absent or empty.

    Raises MarkError for a folder that holds other things, or a mark that cannot be read.
    """
    path = folder / MARK
    with disk.guarded("read", folder):
        try:
            mode = folder.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISDIR(mode):
            raise MarkError(f"{folder} is not a folder; name a folder for the archive")
        if disk.exists(path):
            return _decode(path)
        names = (entry.name for entry in folder.iterdir())
        others = sorted(name for name in names if name not in NOT_CONTENT | {f"{MARK}.part"} and TRIAL not in name)
    if others:
        raise MarkError(
            f"{folder} is not empty and bears no {MARK} (it holds {others[0]!a}): name an empty folder for a new archive, "
            "or check that this is the archive's place"
        )
    return None


def require_mark(folder: Path) -> Mark:
    """Return the mark of the archive in `folder`. Raises MarkError when there is none."""
    mark = read_mark(folder)
    if mark is None:
        raise MarkError(
            f"there is no archive at {folder}; check the name, and whether the disk or the share is mounted"
        )
    return mark


def write_mark(folder: Path, platform: str, account: str | None) -> Mark:
    """Make an archive of a folder that is absent or empty. Raises StorageError."""
    mark = Mark(
        archive_id=str(uuid.uuid4()),
        format=FORMAT,
        created_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        platform=platform,
        account=account,
    )
    with disk.guarded("create the folder", folder):
        folder.mkdir(parents=True, exist_ok=True)
    disk.replace_durable(folder / MARK, msgspec.json.format(msgspec.json.encode(mark), indent=2) + b"\n")
    return mark


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold the archive for a run, also against runs of this machine whose local state is another. Raises LockedError.

    The folder is locked and not the mark in it: on an SMB share Linux turns the lock on a file into one that keeps its readers
    out (flock(2), since 5.5), and NFS gives none without the right to write. That on a folder stays in the kernel.
    """
    with disk.locked(folder, disk.GLANCE_SECONDS) as held:
        if not held:
            raise LockedError(
                f"another run, with another state folder, is at work on the archive {folder}; "
                "wait for it to end, or stop it first"
            )
        yield


def check_owner(mark: Mark, platform: str, account: str | None) -> None:
    """Refuse to mix two accounts in one archive. An account that is not known on either side is not held against it.

    Raises ConfigError.
    """
    if mark.platform != platform:
        raise ConfigError(f"this archive holds calls of {mark.platform}, not of {platform}; name another --archive")
    if mark.account and account and mark.account.lower() != account.lower():
        raise ConfigError("this archive holds the calls of another account than this key's; name another --archive")


def _decode(path: Path) -> Mark:
    with disk.guarded("read", path):
        # A pipe would be waited for. What a link leads to is read: `verify` tells of it, and not every command must fail.
        if not path.is_file():
            raise MarkError(f"{path} is no file; restore it from a copy of the archive")
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES)
    try:
        mark = msgspec.json.decode(data, type=Mark)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MarkError(f"{path} cannot be read ({error}); restore it from a copy of the archive") from error
    if mark.format > FORMAT:
        raise MarkError(f"{path} is of format {mark.format}, and this harvester knows {FORMAT}; use a newer harvester")
    return mark
