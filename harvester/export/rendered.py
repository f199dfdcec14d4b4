"""The files of a bundle that are made of all its calls: the table, the report, the lines for machines.

In:   one exported call after the other.  Out: files in the bag.

What a `Rendering` returns for the calls waits in a temporary file until it is known what stands above them; `Pages` go into the
bag as soon as they are full. So memory stays flat.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from harvester.archive import disk
from harvester.export.bag import Bag
from harvester.export.calls import CallLines
from harvester.export.exported import Bundle, ExportedCall, Pages, Rendering
from harvester.export.index import Index
from harvester.export.report import Report


class Rendered:
    """All of them, as they come."""

    def __init__(self, bag: Bag, folder: Path, opened: ExitStack) -> None:
        """Make temporary files in a folder, which `opened` closes. Raises StorageError."""
        self._bag = bag
        renderings: tuple[Rendering, ...] = (Index(), CallLines())
        self._renderings = [(each, _Spool(folder / f"{each.name}.body", opened)) for each in renderings]
        self._pages: tuple[Pages, ...] = (Report(),)

    def call(self, call: ExportedCall) -> None:
        """Take the next call. Raises StorageError."""
        for rendering, spool in self._renderings:
            spool.write(rendering.call(call))
        for pages in self._pages:
            self._add(pages.call(call))

    def end(self, bundle: Bundle) -> None:
        """Put all that is left into the bag. Raises StorageError."""
        for rendering, spool in self._renderings:
            head, foot = rendering.head(bundle), rendering.foot(bundle)
            self._bag.add(rendering.name, spool.between(head, foot), len(head) + spool.bytes + len(foot))
        for pages in self._pages:
            self._add(pages.end(bundle))

    def _add(self, full: Iterator[tuple[str, bytes]]) -> None:
        for path, data in full:
            self._bag.add(path, [data], len(data))


class _Spool:
    """What stands in a file for its calls, until it is known what stands above them."""

    def __init__(self, path: Path, opened: ExitStack) -> None:
        self._path = path
        self.bytes = 0
        with disk.guarded("create", path):
            self._file: BinaryIO = opened.enter_context(path.open("x+b"))

    def write(self, data: bytes) -> None:
        """Add what stands there for a call. Raises StorageError."""
        with disk.guarded("write", self._path):
            self._file.write(data)
        self.bytes += len(data)

    def between(self, head: bytes, foot: bytes) -> Iterator[bytes]:
        """Yield the whole file. Raises StorageError."""
        yield head
        with disk.guarded("read", self._path):
            self._file.seek(0)
        while block := self._read():
            yield block
        yield foot

    def _read(self) -> bytes:
        with disk.guarded("read", self._path):
            return self._file.read(disk.READ_BLOCK_BYTES)
