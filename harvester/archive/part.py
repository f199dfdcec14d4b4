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
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import anyio

from harvester.archive import disk
from harvester.archive.digest import hasher
from harvester.archive.modes import WRITABLE
from harvester.archive.pieces import SPOOL_BYTES

if TYPE_CHECKING:
    from aiofiles.threadpool.binary import AsyncFileIO

HEAD_BYTES = 4096
"""What `container.sniff` needs to tell a recording from an error page."""

PIECE_BYTES = 64 * 1024
"""Chunks are kept as they come, because to put a megabyte together takes as long as to hash it; but smaller ones are put together
until they are so large: a server that sends byte by byte must not fill the memory with objects."""

Piece = bytes | bytearray


CheckRoom = Callable[[], object]
"""Raises StorageError when the disk has not as much free as must stay free; asked before each block, from a thread."""


class _HashingFile(io.FileIO):
    """A file that hashes what is written to it, in the thread that writes."""

    def __init__(self, path: Path, mode: int, check_room: CheckRoom) -> None:
        super().__init__(path, "xb", opener=functools.partial(os.open, mode=mode))
        self.sha256 = hashlib.sha256()
        self._check_room = check_room

    def writelines(self, lines: Iterable[object]) -> None:
        self._check_room()
        for each in lines:
            self.write(each)

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

    def __init__(self, path: Path | str, mode: int = WRITABLE, check_room: CheckRoom = lambda: None) -> None:
        self.place = str(path)
        self._mode = mode
        self._check_room = check_room
        self.size_bytes = 0
        self.restarts = 0
        self._spool: list[Piece] = []
        self._spooled_bytes = 0
        self._head = b""
        self._file: AsyncFileIO | None = None
        self._raw: _HashingFile | None = None
        self._brought: tuple[str, int] | None = None

    @property
    def path(self) -> Path:
        """Where it lies: `place` as a Path, which is not made for each call."""
        return Path(self.place)

    @property
    def head(self) -> bytes:
        """The first bytes, up to `HEAD_BYTES`."""
        return self._head if self._raw else self._beginning()

    @property
    def unwritten_bytes(self) -> int:
        """How many bytes `stage` is to make files of."""
        return 0 if self._brought else self.size_bytes

    def bring(self, sha256: str, size_bytes: int) -> None:
        """Take over a file that another process has written whole at our place; it waits for the sync of its group."""
        self._brought, self.size_bytes = (sha256, size_bytes), size_bytes

    async def restart(self) -> None:
        """Forget what came so far: another attempt begins."""
        self.size_bytes = 0
        self.restarts += 1
        self._taken()
        self.discard()

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes. Raises StorageError: NotKeptError where the file is there and does not take them."""
        last = self._spool[-1] if self._spool else None
        if isinstance(last, bytearray) and len(last) < PIECE_BYTES:
            last += chunk
        else:
            self._spool.append(bytearray(chunk) if len(chunk) < PIECE_BYTES else chunk)
        self._spooled_bytes += len(chunk)
        self.size_bytes += len(chunk)
        if self._spooled_bytes >= SPOOL_BYTES:
            file = self._file or self._opened()
            block = self._taken()
            # Shielded: the thread cannot be stopped, and must not find its file closed.
            with disk.guarded("write", self.path, renewable=True), anyio.CancelScope(shield=True):
                await file.writelines(block)

    def _taken(self) -> list[Piece]:
        """Take out what lies in memory."""
        pieces, self._spool, self._spooled_bytes = self._spool, [], 0
        return pieces

    def _beginning(self) -> bytes:
        head = b""
        for piece in self._spool:
            head += piece[: HEAD_BYTES - len(head)]
            if len(head) == HEAD_BYTES:
                break
        return head

    def _opened(self) -> AsyncFileIO:
        self._head = self._beginning()
        with disk.guarded("write", self.path):
            self._raw = _HashingFile(self.path, self._mode, self._check_room)
        from aiofiles.threadpool import wrap  # here, because most runs meet no large recording, and it takes 25 ms

        self._file = wrap(self._raw)
        return self._file

    def reader(self) -> BinaryIO:
        """Return a file object over all that came, for whoever measures it. Blocks; call it from a thread."""
        if self._raw is None:
            return io.BytesIO(b"".join(self._spool))
        self._flush()
        with disk.guarded("read", self.path):
            return self.path.open("rb")

    def digest(self, algorithm: str = "sha256") -> bytes:
        """Return a hash of all that came, without ending it. Blocks: only SHA-256 is computed as the bytes come in.

        `algorithm` is one of `digest.ALGORITHMS`; any other than SHA-256 reads a large recording back from its file.
        """
        if self._raw is None:
            return self._hashed(algorithm).digest()
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
        if self._brought:  # an fsync by who has not written it may know nothing of what failed: its group's sync does
            return *self._brought, False
        if self._raw is None:
            disk.write_new(self.place, *self._spool, durably=durably, mode=self._mode)
            return self._hashed("sha256").hexdigest(), self._spooled_bytes, durably
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
                self._raw.writelines(self._taken())

    def _hashed(self, algorithm: str) -> hashlib._Hash:
        found = hasher(algorithm)
        for piece in self._spool:
            found.update(piece)
        return found
