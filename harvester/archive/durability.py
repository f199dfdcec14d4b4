"""How new files become durable: each by its own fsync, or a whole group by one sync of their file system.

In:   on what the archive lies, and how long groups have taken.  Out: which way the next files go.

An fsync for each file is a wait for the disk for each (about 0.3 ms on a solid-state one); `syncfs` is one for all files of a
group. But it waits for everything that others have written to the same disk too, so it is measured, and left alone for a while
where it is slow. And it is used only where it can be trusted: on file systems of Linux's own that write to a disk, and from
Linux 5.17 on: since 5.8 it reports files that could not be written (`errseq`, syncfs(2)), but what the file system itself had to
say, such as that its journal has failed, was left out until then (sync_filesystem). FUSE ignores it, shares differ.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from harvester.archive.mounts import MEMORY, read_mount
from harvester.archive.steps import SLOWEST_BYTES_PER_SECOND
from harvester.errors import NotKeptError

TRUSTED = frozenset({"ext4", "xfs", "btrfs", "f2fs"}) | MEMORY
FIRST_RELEASE = (5, 17)

SLOW_SECONDS_PER_FILE = 0.01
"""What a group may take for each of its files: about an fsync on a rotating disk. Beyond it others are writing a lot."""

FEWEST_FILES = 64
"""Smaller groups are not judged: one sync of three files may wait for all that others have written before. Where syncs stay slow,
more calls wait for the next one, and it is no longer small."""

GROUPS_LEFT_ALONE = 100
"""Groups after a slow one whose files are made durable one by one; then `syncfs` is tried again."""


MEMORY_INFO = Path("/proc/meminfo")

SLOWEST_DISK_BYTES_PER_SECOND = 10 * 1024 * 1024
"""What a disk of this machine takes at least of what others have written: a rotating one under random writes of some size."""


class Durability:
    """Decides for one run. Called from several threads; a decision that is one group late does no harm."""

    def __init__(self, *, trusted: bool) -> None:
        self._trusted = trusted
        self._left_alone = 0
        self.failure: NotKeptError | None = None  # that of the sync after which none is trusted any more

    @classmethod
    def on(cls, folder: Path) -> Durability:
        """Return the decision for an existing folder."""
        return cls(trusted=is_local(folder) and _release() >= FIRST_RELEASE and _syncfs() is not None)

    @property
    def gathers(self) -> bool:
        """Whether new files wait for their group. If not, each is to be made durable by who writes it."""
        return self._trusted and not self._left_alone

    def gather(self, sizes_bytes: Sequence[int], sync: Callable[[int], None]) -> None:
        """Make the files of a group that have waited durable, by one `sync` of so many bytes. None have where each was by itself.

        Raises NotKeptError. After the first one each file is made durable by itself for the rest of the run, which tells those
        that fail; and whatever had been written by then is refused, of whichever group it is: the error was told once, and a
        second sync would not tell it again.
        """
        if sizes_bytes and self.failure:
            raise self.failure
        began = time.perf_counter()
        if sizes_bytes:
            try:
                sync(sum(sizes_bytes))
            except NotKeptError as failure:
                self._trusted, self.failure = False, failure
                raise
        self.synced(len(sizes_bytes), time.perf_counter() - began)

    def synced(self, files: int, seconds: float) -> None:
        """Count a group of so many files that waited, 0 where none did, and the time that one sync took for them."""
        if files >= FEWEST_FILES and seconds > files * SLOW_SECONDS_PER_FILE:
            self._left_alone = GROUPS_LEFT_ALONE
        elif self._left_alone:
            self._left_alone -= 1


def is_local(folder: Path) -> bool:
    """Whether a folder lies on a file system of this machine's own kernel and disks."""
    mount = read_mount(folder)
    return mount is not None and mount.type in TRUSTED


def others_bytes() -> int:
    """Return what a sync may have to wait for besides our own bytes, in bytes at the pace that `steps` allows for those.

    A backup that fills the memory with gigabytes makes a sync slow, and nothing hangs. 0 where the system does not tell.
    """
    try:
        unwritten = unwritten_bytes(MEMORY_INFO.read_text())
    except OSError:
        return 0
    return unwritten * SLOWEST_BYTES_PER_SECOND // SLOWEST_DISK_BYTES_PER_SECOND


def unwritten_bytes(meminfo: str) -> int:
    """Return how much of what was written waits for a disk or is on its way there, by the text of /proc/meminfo (proc(5))."""
    return sum(int(kib) * 1024 for kib in re.findall(r"^(?:Dirty|Writeback):\s+(\d+) kB$", meminfo, re.MULTILINE))


def sync_file_system(handle: int) -> None:
    """Make all that was written to the file system of an open file or folder durable. Raises OSError. Blocks."""
    syncfs = _syncfs()
    if syncfs is None:
        os.sync()
    elif syncfs(handle):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


@functools.cache
def _syncfs() -> ctypes._NamedFuncPointer | None:
    if not sys.platform.startswith("linux"):
        return None
    function: ctypes._NamedFuncPointer | None = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    return function


def _release() -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", platform.release())[:2]))
