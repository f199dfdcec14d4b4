"""A recording on its way in: in memory while it is small, in a `.part` file once it is not.

In:   chunks.  Out: a staged file with its size and SHA-256, not yet under its final name, and durable or waiting for its group.

A hop to a thread costs more than writing a small file, so up to `SPOOL_BYTES` stay in memory and are written together with
the call's other files. Beyond that each full block goes to the file through aiofiles; a worker holds one block, however large
the recording is.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import anyio

from harvester.archive import disk
from harvester.archive.digest import hasher
from harvester.archive.modes import WRITABLE

if TYPE_CHECKING:
    from aiofiles.threadpool.binary import AsyncFileIO

SPOOL_BYTES = 2 * 1024 * 1024
HEAD_BYTES = 4096
"""What `container.sniff` needs to tell a recording from an error page."""


class _HashingFile(io.FileIO):
    """A file that hashes what is written to it, in the thread that writes."""

    def __init__(self, path: Path, mode: int) -> None:
        super().__init__(path, "xb", opener=functools.partial(os.open, mode=mode))
        self.sha256 = hashlib.sha256()

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        self.sha256.update(view)
        left = view
        while left:
            left = left[super().write(left) :]
        return len(view)


class Part:
    """One recording that is being received. Its `path` is used only when it grows beyond `SPOOL_BYTES`, or at `stage`.

    `restarts` counts the attempts that began, so that who judged one can tell whether it still lies here.
    """

    def __init__(self, path: Path | str, mode: int = WRITABLE) -> None:
        self.place = str(path)
        self._mode = mode
        self.size_bytes = 0
        self.restarts = 0
        self._spool = bytearray()
        self._head = b""
        self._file: AsyncFileIO | None = None
        self._raw: _HashingFile | None = None

    @property
    def path(self) -> Path:
        """Where it lies: `place` as a Path, which is not made for each call."""
        return Path(self.place)

    @property
    def head(self) -> bytes:
        """The first bytes, up to `HEAD_BYTES`."""
        return self._head if self._raw else bytes(self._spool[:HEAD_BYTES])

    async def restart(self) -> None:
        """Forget what came so far: another attempt begins."""
        self.size_bytes = 0
        self.restarts += 1
        self._spool.clear()
        self.discard()

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes. Raises StorageError: NotKeptError where the file is there and does not take them."""
        self._spool += chunk
        self.size_bytes += len(chunk)
        if len(self._spool) >= SPOOL_BYTES:
            file = self._file or self._opened()
            block, self._spool = self._spool, bytearray()
            # Shielded: the thread cannot be stopped, and must not find its file closed.
            with disk.guarded("write", self.path, renewable=True), anyio.CancelScope(shield=True):
                await file.write(block)

    def _opened(self) -> AsyncFileIO:
        self._head = bytes(self._spool[:HEAD_BYTES])
        with disk.guarded("write", self.path):
            self._raw = _HashingFile(self.path, self._mode)
        from aiofiles.threadpool import wrap  # here, because most runs meet no large recording, and it takes 25 ms

        self._file = wrap(self._raw)
        return self._file

    def reader(self) -> BinaryIO:
        """Return a file object over all that came, for whoever measures it. Blocks; call it from a thread."""
        if self._raw is None:
            return io.BytesIO(self._spool)
        self._flush()
        with disk.guarded("read", self.path):
            return self.path.open("rb")

    def digest(self, algorithm: str = "sha256") -> bytes:
        """Return a hash of all that came, without ending it. Blocks: only SHA-256 is computed as the bytes come in.

        `algorithm` is one of `digest.ALGORITHMS`; any other than SHA-256 reads a large recording back from its file.
        """
        if self._raw is None:
            return hasher(algorithm, self._spool).digest()
        if algorithm != "sha256":
            found = hasher(algorithm)
            with self.reader() as file, disk.guarded("read", self.path) as step:
                while block := file.read(disk.READ_BLOCK_BYTES):
                    found.update(block)
                    step.moves += 1
            return found.digest()
        self._flush()
        return self._raw.sha256.digest()

    def stage(self, *, durably: bool = True) -> tuple[str, int, bool]:
        """Put all that came into the file; return SHA-256 in hex, size in bytes, and whether it is durable. Blocks.

        What grew beyond `SPOOL_BYTES` is made durable in any case: a group that gathered several of those would keep all others
        waiting.
        """
        if self._raw is None:
            disk.write_new(self.place, self._spool, durably=durably, mode=self._mode)
            return hashlib.sha256(self._spool).hexdigest(), len(self._spool), durably
        with disk.guarded("write", self.path, self.size_bytes, renewable=True), self._raw:
            self._flush()
            os.fsync(self._raw.fileno())
        return self._raw.sha256.hexdigest(), self.size_bytes, True

    def discard(self) -> None:
        """Give up what came so far, and its file."""
        if self._raw is not None:
            raw, self._raw, self._file = self._raw, None, None
            with disk.guarded("remove", self.path):
                raw.close()
                self.path.unlink(missing_ok=True)

    def leave(self) -> None:
        """Give up what came so far, and leave its file where it is: the disk gives the blocks that failed to no other file."""
        if self._raw is not None:
            raw, self._raw, self._file = self._raw, None, None
            with suppress(OSError):  # it has said already that it does not keep what it was given
                raw.close()

    def _flush(self) -> None:
        if self._raw is not None and self._spool:
            with disk.guarded("write", self.path, renewable=True):
                self._raw.write(self._spool)
            self._spool = bytearray()
