"""Recordings of the demo platform, read by a walk of our own, by mutagen and, where there is one, by a decoder.

The walk shares no code with the writer: it spells out the standard's bits once more.
"""

import array
import shutil
import subprocess
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import pytest
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4

from harvester.demo import mpeg
from harvester.demo.audio import recording

Kind = Literal["mp3", "m4a"]
KINDS: tuple[Kind, Kind] = ("mp3", "m4a")

FRAME_BYTES = 36
FRAME_SECONDS = 0.036
HEADER = bytes.fromhex("fff318c4")  # MPEG-2 Layer III, no checksum, 8 kbit/s, 16 kHz, mono, original
CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl"}


def sounding_lines(frame: bytes) -> set[int]:
    """The spectral lines of a frame that are not zero, by decoding all of its `part2_3_length` bits."""
    bits = f"{int.from_bytes(frame, 'big'):0{len(frame) * 8}b}"
    assert frame[:4] == HEADER
    side = bits[32:104]
    main_data_begin, big_values, scalefac_compress = int(side[0:8], 2), int(side[21:30], 2), int(side[38:47], 2)
    assert (main_data_begin, big_values, scalefac_compress) == (0, 0, 0)
    assert 190 <= int(side[30:38], 2) <= 204, "global_gain: between 6 % and 75 % of full scale for two lines"
    assert side[47] == "0", "a long block"
    assert side[-1] == "1", "count1 table B"
    end = 104 + int(side[9:21], 2)
    assert end <= len(bits), "the main data ends within the frame"
    lines, at, line = set(), 104, 0
    while at < end:
        quad = [bit == "0" for bit in bits[at : at + 4]]
        lines |= {line + offset for offset, sounds in enumerate(quad) if sounds}
        at += 4 + sum(quad)
        line += 4
    assert at == end, "the last sign is the last bit of the main data"
    return lines


def frames_of(stream: bytes) -> list[bytes]:
    """The stream cut into frames; nothing may be left over."""
    assert len(stream) % FRAME_BYTES == 0
    return [stream[at : at + FRAME_BYTES] for at in range(0, len(stream), FRAME_BYTES)]


def boxes(data: bytes, path: str = "") -> Iterator[tuple[str, bytes]]:
    """Each box of an MP4 as (path, content), containers opened; every box must be whole."""
    at = 0
    while at < len(data):
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        assert 8 <= size <= len(data) - at, f"{name!r} says {size} bytes"
        here, content = f"{path}/{name.decode('ascii')}", data[at + 8 : at + size]
        yield here, content
        if name in CONTAINERS:
            yield from boxes(content, here)
        at += size


def numbers(content: bytes) -> list[int]:
    """The content of a table box as 32-bit numbers; the first is version and flags."""
    return [int.from_bytes(content[at : at + 4], "big") for at in range(0, len(content), 4)]


def seen_by_mutagen(data: bytes, kind: Kind) -> Any:
    """What mutagen says of the stream; it declares no types for it."""
    reader: Any = MP3 if kind == "mp3" else MP4
    return reader(BytesIO(data)).info


@pytest.mark.parametrize("seconds", [0, 1, 30, 299])
def test_every_frame_of_an_mp3_is_valid_and_sounds(seconds: int) -> None:
    """Each frame has its header, decodes to exactly its length, and holds a note with its octave."""
    for frame in frames_of(recording(7, seconds)):
        note, octave = sorted(sounding_lines(frame))
        assert octave == 2 * note


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seconds", [1, 2, 30, 61, 299, 3600])
def test_mutagen_reads_the_length_that_was_asked_for(kind: Kind, seconds: int) -> None:
    """The length is the one asked for, within one frame."""
    assert seen_by_mutagen(recording(7, seconds, kind), kind).length == pytest.approx(seconds, abs=FRAME_SECONDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_of_no_seconds_still_gives_a_file_that_can_be_read(kind: Kind) -> None:
    """Two frames are the least: mutagen, as decoders do, refuses a lone one."""
    for seed in range(100):
        assert seen_by_mutagen(recording(seed, 0, kind), kind).length == pytest.approx(2 * FRAME_SECONDS)


def test_mutagen_sees_the_format_of_an_mp3() -> None:
    """The header says MPEG-2 Layer III, 16 kHz, 8 kbit/s, mono, and mutagen is sure of it."""
    seen = seen_by_mutagen(recording(7, 30), "mp3")
    assert (seen.version, seen.layer, seen.sample_rate, seen.bitrate, seen.channels) == (2, 3, 16_000, 8_000, 1)
    assert not seen.sketchy


def test_mutagen_sees_the_format_of_an_m4a() -> None:
    """The sample description says MPEG-2 audio (object type 0x69), 16 kHz, 8 kbit/s, mono."""
    seen = seen_by_mutagen(recording(7, 30, "m4a"), "m4a")
    assert (seen.codec, seen.sample_rate, seen.bitrate, seen.channels) == ("mp4a.69", 16_000, 8_000, 1)


@pytest.mark.parametrize("seconds", [0, 1, 299])
def test_an_m4a_is_the_frames_of_the_mp3_in_whole_boxes(seconds: int) -> None:
    """Every box is whole, and the sample tables lead to exactly the frames of the mp3 of the same seed."""
    data, frames = recording(7, seconds, "m4a"), recording(7, seconds, "mp3")
    count = len(frames) // FRAME_BYTES
    found = dict(boxes(data))
    assert found["/ftyp"].startswith(b"M4A ")
    assert found["/mdat"] == frames
    table = "/moov/trak/mdia/minf/stbl"
    assert numbers(found[f"{table}/stts"]) == [0, 1, count, 576]
    assert numbers(found[f"{table}/stsz"]) == [0, FRAME_BYTES, count]
    assert numbers(found[f"{table}/stsc"]) == [0, 1, 1, count, 1]
    (offset_bytes,) = numbers(found[f"{table}/stco"])[2:]
    assert data[offset_bytes : offset_bytes + len(frames)] == frames


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seconds", [0, 1, 20])
def test_each_seed_gives_its_own_bytes_again_and_again(kind: Kind, seconds: int) -> None:
    """The same arguments give the same bytes; another seed gives others, however short the recording."""
    made = [recording(seed, seconds, kind) for seed in range(500)]
    assert made == [recording(seed, seconds, kind) for seed in range(500)]
    assert len(set(made)) == 500


def test_each_seed_has_its_own_melody() -> None:
    """Seeds differ in what is heard, not only in bytes that no decoder reads."""
    melodies = {tuple(min(sounding_lines(frame)) for frame in frames_of(recording(seed, 10))) for seed in range(20)}
    assert len(melodies) == 20


def test_a_frame_refuses_more_than_it_holds() -> None:
    """Lines and ancillary bytes that do not fit are an error, not a damaged frame."""
    assert len(mpeg.frame([96], global_gain=200, ancillary=bytes(8))) == FRAME_BYTES
    with pytest.raises(ValueError, match="exceed"):
        mpeg.frame([96], global_gain=200, ancillary=bytes(12))


def test_hundreds_of_recordings_take_no_time() -> None:
    """300 recordings of 30 to 300 seconds are made in well under a second."""
    began_seconds = time.process_time()
    for seed in range(300):
        recording(seed, 30 + seed * 9 // 10)
    assert time.process_time() - began_seconds < 0.5


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg here to decode with")
@pytest.mark.parametrize("kind", KINDS)
def test_a_decoder_plays_it_loud_enough_to_hear(kind: Kind, tmp_path: Path) -> None:
    """ffmpeg decodes it without complaint to the right length, peaking between 5 % and 90 % of full scale."""
    path = tmp_path / f"recording.{kind}"
    path.write_bytes(recording(7, 10, kind))
    command = ["ffmpeg", "-v", "error", "-xerror", "-i", str(path), "-f", "s16le", "-"]
    decoded = subprocess.run(command, capture_output=True, check=True)
    assert decoded.stderr == b""
    samples = array.array("h", decoded.stdout)
    assert len(samples) / 16_000 == pytest.approx(10, abs=FRAME_SECONDS)
    assert 0.05 < max(samples) / 32_768 < 0.9
