"""What every measuring of a recording needs: the verdict, and a large file seen through one block of memory.

In:   a seekable binary file.  Out: `Measure`, and `Blocks`, from which the readers of each container take their bytes.

Containers are full of lengths that a cut or damaged file no longer keeps. Therefore nothing here raises for bytes
that are missing: past the end of the file there are no bytes, and a number made of them is 0.
"""

import os
from typing import BinaryIO, Final, Literal

import msgspec

BLOCK_BYTES: Final = (
    1 << 18
)  # large enough that a walk over small frames hardly ever reads, small beside a worker's buffers


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """How long a recording plays, and whether its own structure shows that it is all there.

    `whole` is True where the structure shows that the end was reached, False where it is visibly cut or broken,
    and None where the container cannot tell. `detail` says why, in one short sentence for a person.
    """

    duration_seconds: float | None
    whole: bool | None
    detail: str


class Blocks:
    """A seekable binary file of `size_bytes`, read through one block, so that many small reads forward cost little."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._block = b""
        self._start = 0
        self.size_bytes = file.seek(0, os.SEEK_END)

    def at(self, position: int, length_bytes: int) -> bytes:
        """The bytes from `position` on: `length_bytes` of them, or fewer (even none) where the file ends.

        Raises OSError from the file, and nothing else. `length_bytes` is the caller's to keep small.
        """
        index = position - self._start
        if index < 0 or index + length_bytes > len(self._block):
            if position >= self.size_bytes:
                return b""
            self._block, self._start, index = self._read(position, max(length_bytes, BLOCK_BYTES)), position, 0
        return self._block[index : index + length_bytes]

    def number(self, position: int, width_bytes: int, order: Literal["big", "little"] = "big") -> int:
        """The unsigned integer of `width_bytes` at `position`; 0 past the end of the file. Raises OSError."""
        return int.from_bytes(self.at(position, width_bytes), order)

    def _read(self, position: int, length_bytes: int) -> bytes:
        """Read as much as there is: an unbuffered file may hand out less at a time than was asked for."""
        self._file.seek(position)
        parts = []
        while length_bytes > 0 and (part := self._file.read(length_bytes)):
            parts.append(part)
            length_bytes -= len(part)
        return b"".join(parts)


def cut(name: str, says_bytes: int, there_bytes: int) -> str:
    """The sentence for a part that is longer than what is left of the file."""
    return f"{name} says {says_bytes:,} bytes, {there_bytes:,} are there"
