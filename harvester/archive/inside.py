"""Read the archive's files without being led out of it.

In:   the archive's folder and a key.  Out: an open file, or the reason in words why there is none.

Whoever can write to a share can put a symbolic link where a folder or a file was: what is read then, and copied or handed over,
would be a file of the machine that reads. So no link is followed below the archive's folder, and only regular files are opened.
What is wrong with one file is a ValueError for whoever reads it; a storage that goes away is a StorageError, for all of them.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harvester.archive import disk, steps
from harvester.archive.ledger import LONGEST_LINE_BYTES

VANISHED = frozenset(
    {errno.ESTALE, errno.ENOTCONN, errno.ECONNABORTED, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT}
)
"""What a share answers that is there no more: that says nothing about the file."""

FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Not blocking: to open a pipe that somebody has put there would wait for a writer, for ever."""


class Inside:
    """Opens the files of one archive. Remembers the folder that it has looked at last, as calls come day by day."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folder = ""

    def size_bytes(self, key: str) -> int:
        """Return the size of a regular file. Raises ValueError that says what lies there instead, StorageError."""
        path = self.root / key
        with steps.step("look at", path), _judged(path):
            self._check_folders(key)
            return _regular(path.lstat())

    @contextmanager
    def open(self, key: str) -> Iterator[tuple[io.FileIO, steps.Step]]:
        """Open a regular file for reading. The step is to be told of progress (`moves`).

        Raises ValueError that says why it cannot be read, in the block too; StorageError when the storage goes away.
        """
        path = self.root / key
        with steps.step("read", path) as step, _judged(path):
            self._check_folders(key)
            handle = os.open(path, FLAGS)
            try:
                _regular(os.fstat(handle))
                with io.FileIO(handle, closefd=False) as file:
                    yield file, step
            finally:
                os.close(handle)

    def read(self, key: str) -> bytes:
        """Return the bytes of a file. Raises ValueError, StorageError."""
        with self.open(key) as (file, _):
            return file.read()

    def lines(self, key: str) -> Iterator[bytes]:
        """Yield the lines of a file with their newlines; the last one may lack it. Raises ValueError, StorageError."""
        with self.open(key) as (file, step), io.BufferedReader(file, disk.READ_BLOCK_BYTES) as buffered:
            while line := buffered.readline(LONGEST_LINE_BYTES):
                step.moves += 1
                yield line

    def _check_folders(self, key: str) -> None:
        folder, _, _ = key.rpartition("/")
        if folder == self._folder:
            return
        above = ""
        for name in folder.split("/"):
            above = f"{above}{name}/"
            if stat.S_ISLNK((self.root / above.rstrip("/")).lstat().st_mode):
                raise ValueError(f"{above.rstrip('/')} is a symbolic link, which may lead out of the archive")
        self._folder = folder


def _regular(found: os.stat_result) -> int:
    """Return the size in bytes of what was found. Raises ValueError when it is no regular file."""
    if stat.S_ISLNK(found.st_mode):
        raise ValueError("a symbolic link lies there, and no file")
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("something else than a file lies there")
    return found.st_size


@contextmanager
def _judged(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError("it is missing") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError("a symbolic link lies there, and no file") from None
        if error.errno in VANISHED:
            with disk.guarded("read", path):
                raise
        raise ValueError(f"it cannot be read ({error.strerror or error})") from None
