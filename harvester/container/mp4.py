"""Measure an MP4 or M4A file from its boxes.

In:   `Blocks`.  Out: `Measure`.

An MP4 file is a row of boxes, each with its length in front, so a cut shows where a box is longer than what is left.
A plain file is whole when `moov` (what is in it) and `mdat` (the sound) are. A fragmented one is written while the
call goes on, as one `moof` and `mdat` after another, and may stop behind any of them: only the index at its very end
(`mfra`) shows that it was finished, and its time is that of its fragments.

Source: ISO/IEC 14496-12, 4.2 (boxes), 8.2.2 (mvhd), 8.3.2 (tkhd), 8.4.2 (mdhd), 8.8 (fragments).
"""

from collections.abc import Iterator
from struct import iter_unpack
from typing import Final, NamedTuple

from harvester.container.measure import Blocks, Measure, cut

SAMPLES_AT_ONCE: Final = 4096  # of a fragment's table, which may be as long as the file
MOST_TRACKS: Final = 64  # a call has one or two; the rest of a broken file shall not fill the memory


class _Box(NamedTuple):
    """A box: its four letters, where its content begins, and where it says that it ends."""

    kind: bytes
    start: int
    body: int
    end: int


class _Track:
    """How far the fragments of one track reach, counted in its own units."""

    def __init__(self, units_per_second: int) -> None:
        self.units_per_second = units_per_second
        self.sample_units = 0  # the length of a sample where a fragment names none
        self.first: int | None = None
        self.last = 0

    def seconds(self) -> float:
        """The time from the first fragment's beginning to the last one's end."""
        return (self.last - (self.first or 0)) / self.units_per_second if self.units_per_second else 0.0


class _Movie:
    """What was learnt from the boxes so far. `position` is the end of the last whole one."""

    def __init__(self) -> None:
        self.position = 0
        self.seconds = 0.0
        self.tracks: dict[int, _Track] = {}
        self.fragmented = False
        self.open_ended = False
        self.seen: set[bytes] = set()
        self.last = b""


def measure_mp4(blocks: Blocks) -> Measure:
    """Measure an MP4 file, plain or fragmented. Raises OSError from the file."""
    movie = _Movie()
    flaw: str | None = None
    for box in _boxes(blocks, 0, blocks.size_bytes):
        if box.end > blocks.size_bytes:
            flaw = cut(f"{box.kind.decode('latin-1')} box", box.end - box.start, blocks.size_bytes - box.start)
            break
        if box.kind == b"moov":
            _read_moov(blocks, box, movie)
        elif box.kind == b"moof":
            _read_moof(blocks, box, movie)
        if box.kind in (b"moov", b"mdat", b"moof", b"mfra"):
            movie.seen.add(box.kind)
            movie.last = box.kind
            movie.open_ended = blocks.number(box.start, 4) == 0
        movie.position = box.end
    whole, detail = (False, flaw) if flaw is not None else _judge(blocks, movie)
    seconds = max(movie.seconds, *(track.seconds() for track in movie.tracks.values()), 0.0)
    return Measure(duration_seconds=seconds if b"moov" in movie.seen else None, whole=whole, detail=detail)


def _judge(blocks: Blocks, movie: _Movie) -> tuple[bool | None, str]:
    """Whether a file of which no box was cut has all the boxes that it needs, and why."""
    for kind in (b"moov", b"mdat"):
        if kind not in movie.seen:
            return False, f"there is no {kind.decode()} box"
    left_bytes = blocks.size_bytes - movie.position
    if 0 < left_bytes < 8 and any(blocks.at(movie.position, left_bytes)):
        return False, "the last box is cut in its header"
    if movie.open_ended:
        return None, f"the {movie.last.decode()} box ends where the file ends, wherever that is"
    if not movie.fragmented:
        return True, "the moov box and the mdat box are whole"
    if b"mfra" in movie.seen:
        return True, "the index behind the last fragment is whole"
    if movie.last == b"moof":
        return False, "the last fragment has no mdat box"
    if left_bytes:
        return False, f"there is no box at byte {movie.position:,}"
    return None, "it is fragmented, and there is no index behind the last fragment"


def _boxes(blocks: Blocks, start: int, end: int) -> Iterator[_Box]:
    """The boxes from `start` on, up to bytes that are no box. The last one may say that it reaches past `end`."""
    position = start
    while position + 8 <= end:
        size_bytes, kind, body = blocks.number(position, 4), blocks.at(position + 4, 4), position + 8
        if size_bytes == 1:
            size_bytes, body = blocks.number(body, 8), position + 16
        elif size_bytes == 0 and any(kind):  # by definition: up to the end of the file
            size_bytes = end - position
        if size_bytes < body - position or not all(0x20 <= letter < 0x7F or letter == 0xA9 for letter in kind):
            return
        yield _Box(kind, position, body, position + size_bytes)
        position += size_bytes


def _inside(blocks: Blocks, box: _Box) -> Iterator[_Box]:
    """The boxes in a box that do not reach out of it."""
    return (inner for inner in _boxes(blocks, box.body, box.end) if inner.end <= box.end)


def _clock(blocks: Blocks, header: _Box) -> tuple[int, int]:
    """Units per second, and units, from a mvhd or mdhd box; version 1 of both has longer fields."""
    if blocks.number(header.body, 1) == 1:
        return blocks.number(header.body + 20, 4), blocks.number(header.body + 24, 8)
    return blocks.number(header.body + 12, 4), blocks.number(header.body + 16, 4)


def _read_moov(blocks: Blocks, moov: _Box, movie: _Movie) -> None:
    """Learn the time of the movie, and what its fragments will need."""
    for box in _inside(blocks, moov):
        if box.kind == b"mvhd":
            units_per_second, units = _clock(blocks, box)
            if units_per_second and units not in (0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF):  # all ones: unknown
                movie.seconds = units / units_per_second
        elif box.kind == b"trak" and len(movie.tracks) < MOST_TRACKS:
            _read_trak(blocks, box, movie)
        elif box.kind == b"mvex":
            movie.fragmented = True
            for trex in _inside(blocks, box):
                if trex.kind == b"trex" and (track := movie.tracks.get(blocks.number(trex.body + 4, 4))):
                    track.sample_units = blocks.number(trex.body + 12, 4)


def _read_trak(blocks: Blocks, trak: _Box, movie: _Movie) -> None:
    """Learn one track's number and its clock."""
    number = 0
    for box in _inside(blocks, trak):
        if box.kind == b"tkhd":
            number = blocks.number(box.body + (20 if blocks.number(box.body, 1) == 1 else 12), 4)
        elif box.kind == b"mdia":
            for header in _inside(blocks, box):
                if header.kind == b"mdhd":
                    movie.tracks[number] = _Track(_clock(blocks, header)[0])


def _read_moof(blocks: Blocks, moof: _Box, movie: _Movie) -> None:
    """Carry each track forward by the samples of one fragment."""
    movie.fragmented = True
    for traf in _inside(blocks, moof):
        track: _Track | None = None
        sample_units = 0
        for box in _inside(blocks, traf) if traf.kind == b"traf" else ():
            if box.kind == b"tfhd" and (track := movie.tracks.get(blocks.number(box.body + 4, 4))):
                flags = blocks.number(box.body + 1, 3)
                field = box.body + 8 + (8 if flags & 0x01 else 0) + (4 if flags & 0x02 else 0)
                sample_units = blocks.number(field, 4) if flags & 0x08 else track.sample_units
            elif track is not None and box.kind == b"tfdt":
                track.last = blocks.number(box.body + 4, 8 if blocks.number(box.body, 1) == 1 else 4)
            elif track is not None and box.kind == b"trun":
                if track.first is None:
                    track.first = 0 if movie.seconds else track.last  # a live stream's clock may not begin at 0
                track.last += _run_units(blocks, box, sample_units)


def _run_units(blocks: Blocks, trun: _Box, sample_units: int) -> int:
    """The length of a run of samples: their number times `sample_units`, or the sum where it lists each length."""
    flags, count = blocks.number(trun.body + 1, 3), blocks.number(trun.body + 4, 4)
    if not flags & 0x100:
        return count * sample_units
    entry_bytes = 4 * (flags & 0xF00).bit_count()
    position = trun.body + 8 + (4 if flags & 0x01 else 0) + (4 if flags & 0x04 else 0)
    left = min(count, max(trun.end - position, 0) // entry_bytes)
    units = 0
    while left > 0:
        some = min(left, SAMPLES_AT_ONCE)
        table = blocks.at(position, some * entry_bytes)
        units += sum(length for (length,) in iter_unpack(f">I{entry_bytes - 4}x", table))
        position, left = position + some * entry_bytes, left - some
    return units
