"""Measure a WebM or Matroska file from its elements.

In:   `Blocks`.  Out: `Measure`.

All sound lies in one element, the Segment. Where it names its size, a cut shows. A writer that could not go back
(a browser that records) leaves size and time unknown: then the elements in it are walked, the time is that of the last
block of sound, and a cut shows only where it goes through an element.

Source: RFC 8794 (EBML: ids, lengths), RFC 9559 (Matroska: elements).
"""

import math
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from harvester.container.measure import Blocks, Measure, cut

_SEGMENT: Final = 0x18538067
_INFO: Final = 0x1549A966
_CLUSTER: Final = 0x1F43B675
_BLOCK_GROUP: Final = 0xA0
_TICK_NANOSECONDS: Final = 0x2AD7B1
_DURATION: Final = 0x4489
_CLUSTER_TIME: Final = 0xE7
_BLOCKS: Final = (0xA3, 0xA1)  # SimpleBlock; Block, in a BlockGroup

_OPENED: Final = (_SEGMENT, _INFO, _CLUSTER, _BLOCK_GROUP)  # walked through instead of stepped over


class _Element(NamedTuple):
    """An element: its id, where its content begins, and where it says that it ends (None: it does not say).

    `next` is where the walk goes on: in it or behind it.
    """

    kind: int
    start: int
    body: int
    end: int | None
    next: int


class _Film:
    """The times learnt so far, in ticks."""

    def __init__(self) -> None:
        self.tick_nanoseconds = 1_000_000  # unless the file says otherwise
        self.duration_ticks = 0.0
        self.cluster_ticks = 0
        self.reached_ticks = 0

    def seconds(self) -> float | None:
        """The time named in the head, or the one reached; None where there is neither."""
        seconds = (self.duration_ticks or self.reached_ticks) * self.tick_nanoseconds / 1e9
        return seconds if 0 < seconds < math.inf else None


def measure_webm(blocks: Blocks) -> Measure:
    """Measure a WebM or Matroska file. Raises OSError from the file.

    The time is the one in its head, or else that of the beginning of its last block.
    """
    film = _Film()
    flaw: str | None = None
    segment: _Element | None = None
    position = 0
    for element in _elements(blocks):
        if element.kind == _SEGMENT:
            segment = element
        if element.end is not None and element.end > blocks.size_bytes:
            name = "Segment" if element.kind == _SEGMENT else "element"
            flaw = flaw or cut(name, element.end - element.start, blocks.size_bytes - element.start)
        else:
            _learn(blocks, element, film)
        position = element.next
    whole: bool | None = None
    detail = "the Segment does not say where it ends"
    if flaw is not None or segment is None:
        whole, detail = False, flaw or "there is no Segment"
    elif segment.end is not None:
        whole, detail = True, "the Segment is whole"
    elif position < blocks.size_bytes:
        whole, detail = False, f"there is no element at byte {position:,}"
    return Measure(duration_seconds=film.seconds(), whole=whole, detail=detail)


def _learn(blocks: Blocks, element: _Element, film: _Film) -> None:
    """Take the times out of one whole element."""
    if element.kind in _BLOCKS:  # track number, ticks since the cluster's time, flags, sound
        _, track_bytes = _variable(blocks, element.body)
        offset_ticks = int.from_bytes(blocks.at(element.body + track_bytes, 2), "big", signed=True)
        film.reached_ticks = max(film.reached_ticks, film.cluster_ticks + offset_ticks)
    elif element.end is not None and element.kind in (_TICK_NANOSECONDS, _DURATION, _CLUSTER_TIME):
        content = blocks.at(element.body, min(element.end - element.body, 8))
        if element.kind == _TICK_NANOSECONDS:
            film.tick_nanoseconds = int.from_bytes(content, "big")
        elif element.kind == _CLUSTER_TIME:
            film.cluster_ticks = int.from_bytes(content, "big")
        elif len(content) in (4, 8):
            (film.duration_ticks,) = struct.unpack(">f" if len(content) == 4 else ">d", content)


def _elements(blocks: Blocks) -> Iterator[_Element]:
    """The elements in their order in the file, those in `_OPENED` before what is in them, up to bytes that are none."""
    position = 0
    while position < blocks.size_bytes:
        kind, kind_bytes = _variable(blocks, position)
        size, size_bytes = _variable(blocks, position + kind_bytes)
        if not kind_bytes or not size_bytes:
            return
        body, ones = position + kind_bytes + size_bytes, (1 << 7 * size_bytes) - 1
        end = None if size & ones == ones else body + (size & ones)
        if kind in _OPENED:
            yield _Element(kind, position, body, end, body)
            position = body
        elif end is not None:
            yield _Element(kind, position, body, end, end)
            position = end
        else:
            return


def _variable(blocks: Blocks, position: int) -> tuple[int, int]:
    """A number of variable width with its marker bit, and the width in bytes: as many as the zeros before it, and one.

    The width is 0 where there is no such number.
    """
    width_bytes = 9 - blocks.number(position, 1).bit_length()
    if width_bytes > 8 or position + width_bytes > blocks.size_bytes:
        return 0, 0
    return blocks.number(position, width_bytes), width_bytes
