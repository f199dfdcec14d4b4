"""Copy a call's files into a bag, and say what is wrong with them.

In:   files as the ledger states them.  Out: the same files, with what was found; the row of a call on the way.

A file is read once: what passes into the bag is what is hashed. One that breaks off, or is another than the ledger says, is
damaged; who copies decides what that means.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import msgspec

from harvester.archive import disk, steps
from harvester.archive.inside import VANISHED
from harvester.export.bag import Bag
from harvester.export.exported import ExportedFile, Standing
from harvester.export.selection import Selection, Tell

ROW = "metadata"


def looked_at(selection: Selection, most: int) -> list[str]:
    """Return of at most so many files what can be seen to be wrong without reading them: missing, or of another size."""
    found: list[str] = []
    for standing in selection.standings():
        for file in selection.files(standing.id):
            if file.erased:
                continue
            try:
                size_bytes = selection.inside.size_bytes(file.key)
                if size_bytes != file.bytes:
                    found.append(f"{file.key}: it has {size_bytes:,} bytes instead of {file.bytes:,}")
            except ValueError as error:
                found.append(f"{file.key}: {error}")
            if len(found) == most:
                return found
    return found


def copied(selection: Selection, standing: Standing, bag: Bag, tell: Tell) -> Iterator[tuple[ExportedFile, bytes]]:
    """Copy the files of a call; yield each with what was found, and its bytes where it is a row. Raises StorageError."""
    for file in selection.files(standing.id):
        if file.erased:
            yield file, b""
            continue
        row = bytearray() if file.role == ROW else None
        broken: list[str] = []
        try:
            with selection.inside.open(file.key) as (source, step):
                size_bytes = selection.inside.size_bytes(file.key)
                passed = bag.add(file.path, _blocks(source, step, row, broken), size_bytes)
        except ValueError as error:
            yield msgspec.structs.replace(file, damage=str(error), is_there=False), b""
            continue
        tell(1, passed.bytes)
        if not broken and (passed.bytes, passed.sha256) != (file.bytes, file.sha256):
            broken.append(
                f"it has {passed.bytes:,} bytes with the SHA-256 {passed.sha256}, and its ledger line says "
                f"{file.bytes:,} bytes with the SHA-256 {file.sha256}"
            )
        yield msgspec.structs.replace(file, damage=broken[0] if broken else None), bytes(row or b"")


def _blocks(source: io.FileIO, step: steps.Step, row: bytearray | None, broken: list[str]) -> Iterator[bytes]:
    """Yield what a file holds, as far as it can be read; keep a row."""
    size_bytes = 0
    try:
        while block := source.read(disk.READ_BLOCK_BYTES):
            step.moves += 1
            size_bytes += len(block)
            if row is not None:
                row += block
            yield block
    except OSError as error:
        if error.errno in VANISHED:
            raise
        broken.append(f"it cannot be read beyond byte {size_bytes:,} ({error.strerror or error})")
