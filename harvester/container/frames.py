"""Walk a stream of MP3 or AAC (ADTS) frames.

In:   `Blocks`, or the first bytes of a file.  Out: `Measure`, or whether the bytes begin with frames.

Neither format has a length of its own: a stream is one frame after another, and each header tells its frame's length.
Tags stand before and behind, and junk may stand between. Single headers also occur by chance, so a frame found after
junk counts only when one of the same kind follows it. That the end was reached shows only where the first frame is a
Xing, Info or VBRI header, which names the number of frames; otherwise a cut shows only where it goes through a frame.
"""

import codecs
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from harvester.container.measure import Blocks, Measure, cut
from harvester.container.mpeg import HEADER_BYTES, MOST_FRAME_BYTES, Frame, Parser, id3_tag_bytes

JUNK_BYTES: Final = 1 << 16  # searched for the next frame before the stream is given up
MOST_GAPS: Final = 100  # a stream with more junk in it is broken; it also bounds the time spent searching


class _Promise(NamedTuple):
    """What a Xing, Info or VBRI header says the stream holds; 0 where it does not say.

    `stream_bytes` counts the header's own frame in; `frames` does not.
    """

    frames: int
    stream_bytes: int


class _Walk(NamedTuple):
    """The whole frames between the tags. `flaw` is a sentence where the stream is visibly cut or broken."""

    frames: int
    seconds: float
    stream_bytes: int
    promise: _Promise | None
    flaw: str | None


def starts_with_frames(head: bytes, parse: Parser) -> bool:
    """Whether `head` begins with three frames of one kind, or with two or one where no more of it is in view.

    A single frame must end exactly where `head`, or the audio in it, does.
    """
    position, kind = 0, None
    for count in range(1, 4):
        frame = parse(head[position : position + HEADER_BYTES])
        if frame is None or kind not in (None, frame.kind):
            return False
        position, kind = position + frame.length_bytes, frame.kind
        if position == len(head) or head.startswith((b"TAG", b"APETAGEX"), position):
            # The byte order mark of UTF-16 is also the sync word of layer I, and an error text may have any length.
            return count > 1 or not head.startswith(codecs.BOM_UTF16_LE)
        if position + HEADER_BYTES > len(head):
            return count > 1
    return True


def measure_frames(blocks: Blocks, parse: Parser) -> Measure:
    """Measure a stream of frames: the time is the sum over them, without the Xing, Info or VBRI header's own.

    Raises OSError from the file.
    """
    walk = _walk(blocks, parse, _end_of_audio(blocks))
    whole, detail = _judge(walk)
    return Measure(duration_seconds=walk.seconds if walk.frames else None, whole=whole, detail=detail)


def _judge(walk: _Walk) -> tuple[bool | None, str]:
    """Whether the stream is whole, and why: what was walked, held against what its own header promised."""
    if walk.flaw is not None:
        return False, walk.flaw
    if walk.promise is None or not any(walk.promise):
        return None, f"{walk.frames:,} frames, and no count to hold them against"
    if not walk.promise.frames:
        detail = f"header promises {walk.promise.stream_bytes:,} bytes, {walk.stream_bytes:,} are there"
        return walk.stream_bytes >= walk.promise.stream_bytes, detail
    detail = f"header promises {walk.promise.frames:,} frames, {walk.frames:,} are there"
    missing = walk.promise.frames - walk.frames
    if missing < 0:  # several streams in one file, and only the first one's promise is known
        return None, detail
    # Some writers count the header's own frame in. Then the bytes are there nevertheless.
    counted_itself = missing == 1 and 0 < walk.promise.stream_bytes <= walk.stream_bytes
    return missing == 0 or counted_itself, detail


def _walk(blocks: Blocks, parse: Parser, end: int) -> _Walk:
    """Add up the frames before `end`, and look at what stands behind the last one."""
    frames, seconds = 0, 0.0
    promise: _Promise | None = None
    flaw: str | None = None
    first_at: int | None = None
    last_end = 0
    for position, frame in _frames(blocks, parse, end):
        if position + frame.length_bytes > end:
            flaw = cut("last frame", frame.length_bytes, end - position)
            break
        last_end = position + frame.length_bytes
        if first_at is None:
            first_at = position
            promise = _promise(blocks.at(position, _PROMISE_BYTES))
            if promise is not None:
                continue
        frames += 1
        seconds += frame.seconds
    flaw = flaw or _flaw_of_tail(blocks, last_end, end)
    if first_at is None:
        flaw = flaw or "there is no frame in it"
    return _Walk(frames, seconds, last_end - (first_at or 0), promise, flaw)


def _frames(blocks: Blocks, parse: Parser, end: int) -> Iterator[tuple[int, Frame]]:
    """Each frame and its position, over tags and a bounded amount of junk; the last one may reach past `end`."""
    position, gaps = 0, 0
    kind: int | None = None
    while position < end:
        frame = parse(blocks.at(position, HEADER_BYTES))
        if frame is None or frame.kind != kind:
            if tag_bytes := id3_tag_bytes(blocks.at(position, 10)):
                position += tag_bytes
                continue
            found = _resync(blocks, parse, position, end)
            gaps += 1
            if found is None or gaps > MOST_GAPS:
                return
            position, frame = found
            kind = frame.kind
        yield position, frame
        position += frame.length_bytes


def _resync(blocks: Blocks, parse: Parser, position: int, end: int) -> tuple[int, Frame] | None:
    """The next frame that one of its kind follows, or that ends at `end`; None where there is none near."""
    area = blocks.at(position, min(end - position, JUNK_BYTES + MOST_FRAME_BYTES + HEADER_BYTES))
    index = area.find(b"\xff")
    while 0 <= index < JUNK_BYTES:
        frame = parse(area[index : index + HEADER_BYTES])
        if frame is not None:
            behind = index + frame.length_bytes
            following = parse(area[behind : behind + HEADER_BYTES])
            if position + behind == end or (following is not None and following.kind == frame.kind):
                return position + index, frame
        index = area.find(b"\xff", index + 1)
    return None


def _flaw_of_tail(blocks: Blocks, position: int, end: int) -> str | None:
    """What the bytes between the last frame and `end` show: the beginning of something that was cut, or nothing."""
    while tag_bytes := id3_tag_bytes(blocks.at(position, 10)):
        if position + tag_bytes > end:
            return cut("ID3 tag", tag_bytes, end - position)
        position += tag_bytes
    if end - position > JUNK_BYTES:
        return f"no frame in the {JUNK_BYTES:,} bytes after byte {position:,}"
    tail = blocks.at(position, end - position)
    if tail[:1] == b"\xff" and len(tail) < HEADER_BYTES:
        return "the last frame is cut in its header"
    if tail and any(tail.startswith(mark) or mark.startswith(tail) for mark in (b"TAG", b"APETAGEX")):
        return "the tag at the end is cut"
    return None


def _end_of_audio(blocks: Blocks) -> int:
    """The position behind the audio: the file's size without an ID3v1 and an APE tag (each names itself at its end)."""
    end = blocks.size_bytes
    if end >= 128 and blocks.at(end - 128, 3) == b"TAG":
        end -= 128
    if end >= 32 and blocks.at(end - 32, 8) == b"APETAGEX":
        tag_bytes = blocks.number(end - 20, 4, "little")  # without the header, which bit 31 of the flags announces
        header_bytes = 32 if blocks.number(end - 12, 4, "little") >> 31 else 0
        end = max(end - tag_bytes - header_bytes, 0)
    return end


_PROMISE_BYTES: Final = (
    4 + 2 + 32 + 4 + 4 + 8
)  # frame header, checksum, longest side information, name, flags, two counts


def _promise(frame: bytes) -> _Promise | None:
    """Read the Xing, Info (the same for a constant rate) or VBRI header from the beginning of the first frame.

    It stands where the side information ends (9 to 32 bytes, two more with a checksum); VBRI always after 32.
    """
    found = re.search(rb"Xing|Info|VBRI", frame[: _PROMISE_BYTES - 12])
    if found is None:
        return None
    rest = frame[found.end() :]
    if found[0] == b"VBRI":  # version, delay and quality (2 bytes each), bytes, frames
        stream_bytes, frames = int.from_bytes(rest[6:10], "big"), int.from_bytes(rest[10:14], "big")
    else:
        flags = int.from_bytes(rest[:4], "big")
        counts = [int.from_bytes(rest[at : at + 4], "big") for at in (4, 8)]
        frames = counts.pop(0) if flags & 1 else 0
        stream_bytes = counts.pop(0) if flags & 2 else 0
    return _Promise(frames, stream_bytes)
