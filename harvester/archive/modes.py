"""Whether files of the archive can be written once they are settled: with `read_only` nobody may, not even their owner.

In:   what the settings say.  Out: the mode with which a file is made; files that are made read-only when their run closes.

A file can be made read-only and written all the same by who holds it open, so what a run settles is made that way: it costs
nothing. The files of the run itself follow when it closes. Folders stay writable: files are renamed, added, and erased.
"""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from harvester.archive import disk

WRITABLE = 0o666
READ_ONLY = 0o444
"""Modes of new files, before the process's umask takes its part of them."""

WRITE_BITS = 0o222
UNKNOWN = frozenset({errno.EPERM, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS})
"""What file systems answer that know no such modes. `harvester doctor` tells of them; no run ends for it."""


def mode_of(*, read_only: bool) -> int:
    """Return the mode with which a settled file is made."""
    return READ_ONLY if read_only else WRITABLE


def is_read_only(path: Path) -> bool:
    """Whether a file is one that nobody may write. Raises StorageError."""
    with disk.guarded("look at", path):
        return not path.stat().st_mode & WRITE_BITS


def protect(path: Path) -> None:
    """Make a file read-only, where its file system knows that. Raises StorageError."""
    with disk.guarded("make read-only", path):
        try:
            path.chmod(path.lstat().st_mode & 0o777 & ~WRITE_BITS)
        except OSError as error:
            if error.errno not in UNKNOWN:
                raise


def release(path: Path) -> None:
    """Let the owner write a file again that `protect` has made read-only; a link is left as it is. Raises StorageError."""
    with disk.guarded("make writable", path):
        found = path.lstat()
        if stat.S_ISREG(found.st_mode) and not found.st_mode & stat.S_IWUSR:
            path.chmod(found.st_mode & 0o777 | stat.S_IWUSR)
