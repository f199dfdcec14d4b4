"""Where a bundle is written to: a folder, or one zip file. Both take file after file, and are durable when they are finished.

In:   paths relative to the bundle, and bytes.  Out: files.

The zip is the same byte for byte whenever the same files come in the same order: nothing is compressed, every file bears the
first date that the format knows, and the same mode. It is written as a stream, and its directory goes through a temporary file,
so that memory stays flat whatever the number of files; beyond 4 GiB or 65,535 files the records of zip64 are written.
Source of the formats: APPNOTE.TXT 6.3.10 of PKWARE, sections 4.3 and 4.5.
"""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from pathlib import Path
from typing import BinaryIO, Protocol

from harvester.archive import disk
from harvester.archive.durability import Durability

Block = bytes | memoryview


class Sink(Protocol):
    """Takes the files of a bundle, one after the other. Every method raises StorageError."""

    def begin(self, path: str, size_bytes: int) -> None:
        """Begin a file; `size_bytes` is how many bytes will come, at least nearly."""

    def write(self, block: Block) -> None:
        """Write into the file that has begun."""

    def end(self) -> None:
        """End the file that has begun."""

    def folder(self, path: str) -> None:
        """Make a folder that may stay empty."""

    def finish(self) -> None:
        """Make all durable, and end."""

    def abandon(self) -> None:
        """Let go of open files; what was written is of no use."""


class FolderSink:
    """Writes into a folder that it makes."""

    def __init__(self, folder: Path) -> None:
        """Make the folder. Raises StorageError."""
        self._folder = folder
        self._made = {""}
        self._file: BinaryIO | None = None
        self._path = folder
        self._bytes = 0
        with disk.guarded("create the folder", folder):
            folder.mkdir()
        self._gathers = Durability.on(folder).gathers
        self._handle: int | None = None
        if self._gathers:
            with disk.guarded("open", folder):
                self._handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def begin(self, path: str, size_bytes: int) -> None:
        """Begin a file, in folders that are made for it."""
        folder = path.rpartition("/")[0]
        self._path = self._folder / path
        with disk.guarded("create", self._path):
            if folder not in self._made:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._made.add(folder)
            self._file = self._path.open("xb", buffering=0)

    def write(self, block: Block) -> None:
        """Write into the file that has begun."""
        assert self._file is not None
        with disk.guarded("write", self._path):
            _write_all(self._file, block)
        self._bytes += len(block)

    def end(self) -> None:
        """End the file, durable unless one sync will make all so."""
        assert self._file is not None
        with disk.guarded("write", self._path):
            if not self._gathers:
                os.fsync(self._file.fileno())
            self._file.close()

    def folder(self, path: str) -> None:
        """Make a folder that may stay empty."""
        with disk.guarded("create the folder", self._folder / path):
            (self._folder / path).mkdir(exist_ok=True)
        self._made.add(path)

    def finish(self) -> None:
        """Make files and folders durable."""
        if self._handle is not None:
            disk.sync_file_system(self._folder, self._handle, self._bytes)
        else:
            above = {parent for made in self._made for parent in Path(made).parents} | set(map(Path, self._made))
            for folder in sorted(above, reverse=True):
                disk.sync_folder(self._folder / folder)
        self.abandon()

    def abandon(self) -> None:
        """Let go of what is open."""
        if self._file:
            self._file.close()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


STORED_MODE = 0o100644 << 16
"""A regular file that all may read, as the upper half of the external attributes under Unix."""

FOLDER_MODE = 0o040755 << 16 | 0x10
"""A folder, and what MS-DOS calls one."""

FIRST_DATE = (1 << 5) | 1
"""1 January 1980, as MS-DOS writes a date: years since 1980, month, day (4.4.6)."""

UNIX, PLAIN_VERSION, ZIP64_VERSION = 3 << 8, 20, 45
LARGE, MANY = 0xFFFFFFFF, 0xFFFF
"""What stands in a field of 4 and of 2 bytes whose value stands in a zip64 record (4.5.3)."""


class ZipSink:
    """Writes one zip file, in which all lies below one folder."""

    def __init__(self, path: Path, folder: str, *, large_bytes: int = LARGE) -> None:
        """Create the file; `folder` is the name of the one in it. From `large_bytes` on a size or place has a field of its own.

        Raises StorageError.
        """
        self._path = path
        self._large = large_bytes
        self._top = folder
        with disk.guarded("create", path):
            self._file = path.open("x+b", buffering=0)
            self._directory = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 - closed by `abandon`
        self._count = 0
        self._name = b""
        self._begun_at = self._size = self._crc = 0
        self._zip64 = False
        self._mode = STORED_MODE

    def begin(self, path: str, size_bytes: int) -> None:
        """Begin a file."""
        self._name = f"{self._top}/{path}".encode()
        self._size = self._crc = 0
        self._zip64 = size_bytes >= self._large
        with disk.guarded("write", self._path):
            self._begun_at = self._file.seek(0, os.SEEK_END)
            _write_all(self._file, self._local_header())

    def write(self, block: Block) -> None:
        """Write into the file that has begun."""
        with disk.guarded("write", self._path) as step:
            _write_all(self._file, block)
            step.moves += 1
        self._size += len(block)
        self._crc = zlib.crc32(block, self._crc)

    def end(self) -> None:
        """Fill in sum and size in front of the file, and note it for the directory."""
        with disk.guarded("write", self._path):
            if self._size >= self._large and not self._zip64:
                raise OSError("a file has grown beyond 4 GiB while it was copied")
            self._file.seek(self._begun_at)
            _write_all(self._file, self._local_header())
            self._directory.write(self._directory_entry())
        self._count += 1

    def folder(self, path: str) -> None:
        """Make a folder that may stay empty: an entry whose name ends in a slash (4.3.6)."""
        self._mode = FOLDER_MODE
        self.begin(f"{path}/", 0)
        self.end()
        self._mode = STORED_MODE

    def finish(self) -> None:
        """Write the directory and its end, and make the file durable."""
        with disk.guarded("write", self._path) as step:
            start = self._file.seek(0, os.SEEK_END)
            size = self._directory.tell()
            self._directory.seek(0)
            while block := self._directory.read(disk.READ_BLOCK_BYTES):
                _write_all(self._file, block)
                step.moves += 1
            _write_all(self._file, _end(self._count, size, start, self._large))
        with disk.guarded("make durable", self._path, self._file.tell()):
            os.fsync(self._file.fileno())
        self.abandon()

    def abandon(self) -> None:
        """Let go of what is open."""
        self._file.close()
        self._directory.close()

    def _local_header(self) -> bytes:
        """Return the local file header (4.3.7), with both sizes in a zip64 field where they are large (4.5.3)."""
        extra = struct.pack("<HHQQ", 1, 16, self._size, self._size) if self._zip64 else b""
        size = LARGE if self._zip64 else self._size
        version = ZIP64_VERSION if self._zip64 else PLAIN_VERSION
        fields = (0x04034B50, version, 0, 0, 0, FIRST_DATE, self._crc, size, size, len(self._name), len(extra))
        return struct.pack("<IHHHHHIIIHH", *fields) + self._name + extra

    def _directory_entry(self) -> bytes:
        """Return the central directory header (4.3.12)."""
        far = self._begun_at >= self._large
        extra = struct.pack("<QQ", self._size, self._size) if self._zip64 else b""
        extra += struct.pack("<Q", self._begun_at) if far else b""
        if extra:
            extra = struct.pack("<HH", 1, len(extra)) + extra
        size, at = (LARGE if self._zip64 else self._size), (LARGE if far else self._begun_at)
        version = ZIP64_VERSION if extra else PLAIN_VERSION
        fields = (0x02014B50, UNIX | version, version, 0, 0, 0, FIRST_DATE, self._crc, size, size)
        rest = (len(self._name), len(extra), 0, 0, 0, self._mode, at)
        return struct.pack("<IHHHHHHIII", *fields) + struct.pack("<HHHHHII", *rest) + self._name + extra


def _end(count: int, size_bytes: int, start: int, large_bytes: int) -> bytes:
    """Return what ends a zip file (4.3.14 to 4.3.16) whose directory has `count` entries and begins at `start`."""
    end = b""
    if count >= MANY or size_bytes >= large_bytes or start >= large_bytes:
        fields = (0x06064B50, 44, UNIX | ZIP64_VERSION, ZIP64_VERSION, 0, 0, count, count, size_bytes, start)
        end = struct.pack("<IQHHIIQQQQ", *fields) + struct.pack("<IIQI", 0x07064B50, 0, start + size_bytes, 1)
    count = min(count, MANY)
    size_bytes, start = (LARGE if each >= large_bytes else each for each in (size_bytes, start))
    return end + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, size_bytes, start, 0)


def _write_all(file: BinaryIO, block: Block) -> None:
    view = memoryview(block)
    while view:
        view = view[file.write(view) :]
