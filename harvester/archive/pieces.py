"""Write what lies in memory in pieces, by as few calls of the system as may be.

In:   an open file, pieces.  Out: all of them behind one another in the file, or an OSError.

A recording comes in pieces. To put them together first would take as long as to hash them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

SPOOL_BYTES = 2 * 1024 * 1024
"""Recordings up to so many stay in memory until they are written."""

AT_ONCE = 512
"""Pieces for one call: POSIX systems take 1,024 (IOV_MAX) where they say anything at all."""


def write_all(file: int, pieces: Sequence[bytes | bytearray]) -> None:
    """Write all pieces to an open file, however few bytes of them the system takes at a time. Raises OSError."""
    for left in pieces if len(pieces) == 1 else _left_of(file, pieces):
        written = os.write(file, left)
        while written < len(left):
            written += os.write(file, memoryview(left)[written:])


def _left_of(file: int, pieces: Sequence[bytes | bytearray]) -> Iterator[memoryview]:
    """Write pieces together; yield what of them is left to be written, before the next ones are."""
    for start in range(0, len(pieces), AT_ONCE):
        some = pieces[start : start + AT_ONCE]
        written = os.writev(file, some) if hasattr(os, "writev") else 0
        for each in some:
            if written < len(each):
                yield memoryview(each)[written:]
            written = max(0, written - len(each))
