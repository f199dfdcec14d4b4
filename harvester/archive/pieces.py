"""Write what lies in memory in pieces, by few calls of the system, none of them large.

In:   an open file, pieces.  Out: all of them behind one another in the file, or an OSError.

A recording comes in pieces. To put them together first would take as long as to hash them. And what is written by one call of
the system must not be large either: where a file system takes memory in such large blocks as it is given data (ext4 since Linux
6.16), these are found, or made, at a cost: 2 GiB in calls of 1 MiB took nine times as long as in calls of 128 KiB
(benchmarks/RESULTS.md).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

SPOOL_BYTES = 2 * 1024 * 1024
"""Recordings up to so many stay in memory until they are written."""

BITE_BYTES = 128 * 1024
"""What one call writes, but for the last: a multiple of every page's size."""

AT_ONCE = 512
"""Pieces for one call: POSIX systems take 1,024 (IOV_MAX) where they say anything at all."""

Piece = bytes | bytearray | memoryview


def write_all(file: int, pieces: Sequence[bytes | bytearray]) -> None:
    """Write all pieces to an open file, however few bytes of them the system takes at a time. Raises OSError."""
    # A row, a transcript, a small recording: nothing to cut.
    is_bite = 0 < len(pieces) <= AT_ONCE and sum(map(len, pieces)) <= BITE_BYTES
    for bite in (pieces,) if is_bite else bites(pieces):
        written = os.writev(file, bite) if hasattr(os, "writev") else 0
        for each in bite:
            if written < len(each):
                _write_rest(file, memoryview(each)[written:])
                written = 0
            else:
                written -= len(each)


def bites(pieces: Sequence[bytes | bytearray]) -> Iterator[list[Piece]]:
    """Yield pieces that are `BITE_BYTES` together, or as many as one call takes; the rest of one comes with the next ones."""
    bite, room = list[Piece](), BITE_BYTES
    for piece in pieces:
        left: Piece = piece
        while len(left) >= room:
            whole = memoryview(left)
            yield [*bite, whole[:room]]
            bite, left, room = [], whole[room:], BITE_BYTES
        if left:
            bite.append(left)
            room -= len(left)
        if len(bite) == AT_ONCE:
            yield bite
            bite, room = [], BITE_BYTES
    if bite:
        yield bite


def _write_rest(file: int, left: memoryview) -> None:
    while left:
        left = left[os.write(file, left) :]
