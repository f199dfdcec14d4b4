import io
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutagen import FileType
from mutagen.aac import AAC
from mutagen.flac import FLAC
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4
from mutagen.oggopus import OggOpus

from harvester.container.sniff import SNIFF_BYTES, Container, measure, sniff
from tests.container.handmade import (
    HEADERS,
    ID3V1,
    SAMPLES,
    ape,
    box,
    fragmented_mp4,
    id3,
    moov,
    mp3,
    mp4,
    ogg,
    vbri,
    wav,
    webm,
    xing,
)

samples = pytest.mark.parametrize("name", SAMPLES)


@samples
def test_a_whole_recording_is_told_and_measured(name: str) -> None:
    """From the bytes alone come the container, the time to a millisecond, and whether the structure shows the end."""
    data, container, seconds, whole = SAMPLES[name]
    found = measure(data, container)
    assert sniff(data[:SNIFF_BYTES]) is container
    assert found.duration_seconds == pytest.approx(seconds, abs=0.001)
    assert found.whole is whole, found.detail


@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "flac"])  # which does not show where it ends
@pytest.mark.parametrize("left", [0.5, 0.99, None], ids=["half", "99 %", "a byte short"])
def test_a_cut_recording_shows_it(name: str, left: float | None) -> None:
    """A recording cut in the middle, near the end or by one byte is not whole, or at least it is shorter."""
    data, container, seconds, _ = SAMPLES[name]
    found = measure(data[: int(len(data) * left) if left else -1], container)
    assert found.whole is False or (found.whole is None and (found.duration_seconds or 0) < seconds - 0.01), (
        found.detail
    )


@samples
def test_no_cut_recording_passes_as_whole(name: str) -> None:
    """Wherever a recording is cut, it is never called whole, except where only whole tags behind the sound are gone."""
    data, container, _, _ = SAMPLES[name]
    lengths = {*range(len(data) - 300, len(data)), *range(1, len(data), 97)}
    passed = {length for length in lengths if measure(data[:length], container).whole}
    assert passed <= {len(data) - len(ID3V1), len(data) - len(ape(70) + ID3V1)}


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("mp3", MP3),
        ("mp3-xing", MP3),
        ("mp3-heard", MP3),
        ("m4a-heard", MP4),
        ("aac", AAC),
        ("mp4", MP4),
        ("ogg", OggOpus),
        ("flac", FLAC),
    ],
)
def test_mutagen_agrees_on_the_time(name: str, reader: type[FileType]) -> None:
    """An independent reader finds the same time, to a tenth of a second."""
    data, container, _, _ = SAMPLES[name]
    seconds = vars(reader(io.BytesIO(data)).info)["length"]
    assert measure(data, container).duration_seconds == pytest.approx(seconds, abs=0.1)


@pytest.mark.parametrize("kind", HEADERS)
def test_every_version_and_layer_of_mp3_is_walked(kind: str) -> None:
    """MPEG-1, 2 and 2.5 and the layers I to III each have their own frame length and samples."""
    _, _, samples_per_frame, rate_hz = HEADERS[kind]
    data = mp3(51, kind=kind)
    assert sniff(data) is Container.MP3
    assert measure(data, Container.MP3).duration_seconds == pytest.approx(51 * samples_per_frame / rate_hz)


@pytest.mark.parametrize(
    ("promise", "whole"),
    [
        (xing(100, 0), True),
        (xing(101, 0), False),
        (xing(101, 101 * 417), True),
        (xing(0, 101 * 417), True),
        (xing(0, 102 * 417), False),
        (xing(0, 0), None),
        (xing(50, 51 * 417), None),
        (vbri(100, 101 * 417), True),
        (vbri(130, 131 * 417), False),
    ],
    ids=[
        "kept",
        "one missing",
        "counts itself",
        "only bytes",
        "bytes missing",
        "says nothing",
        "more",
        "VBRI",
        "VBRI cut",
    ],
)
def test_an_mp3_is_held_against_what_its_first_frame_promises(promise: bytes, whole: bool | None) -> None:
    """A Xing or VBRI header is no sound; its frames, or else its bytes, have to be there."""
    found = measure(mp3(100, promise=promise), Container.MP3)
    assert found.whole is whole
    assert found.duration_seconds == pytest.approx(100 * 1152 / 44_100)


@pytest.mark.parametrize(
    "data",
    [
        mp3(50) + bytes(500) + mp3(50),
        mp3(50) + id3(200_000) + mp3(50),
        mp3(100) + bytes(1000),
        bytes(900) + mp3(100),
        mp3(50) + b"\xff\xff\x46" * 30 + mp3(50),
    ],
    ids=["a gap", "a tag between", "padding behind", "padding before", "false headers"],
)
def test_an_mp3_is_walked_over_what_is_no_frame(data: bytes) -> None:
    """Junk, tags and padding are stepped over, neither counted nor taken for the end."""
    found = measure(data, Container.MP3)
    assert found.whole is None
    assert found.duration_seconds == pytest.approx(100 * 1152 / 44_100)


def test_an_mp3_with_a_hole_is_broken() -> None:
    """Where no frame follows for longer than any junk, the recording is not whole."""
    assert measure(mp3(50) + bytes(100_000) + mp3(50), Container.MP3).whole is False


def test_the_detail_names_the_bytes() -> None:
    """A person reads which part was cut, how long it should be and how long it is."""
    data = mp4(moov_first=True)[:-7136]
    assert measure(data, Container.MP4).detail == "mdat box says 10,248 bytes, 3,112 are there"


@pytest.mark.parametrize("kind", [b"moov", b"mdat"])
def test_an_mp4_without_a_needed_box_is_not_whole(kind: bytes) -> None:
    """A file cut between two boxes lacks the second one."""
    found = measure(mp4().replace(kind, b"free"), Container.MP4)
    assert (found.whole, found.detail) == (False, f"there is no {kind.decode()} box")


def test_a_live_mp4_begins_when_its_first_fragment_does() -> None:
    """A clock that does not begin at zero makes no recording longer."""
    assert measure(fragmented_mp4(3, base=10**9), Container.MP4).duration_seconds == pytest.approx(3.0)


OPEN_MDAT = b"\0\0\0\0mdat" + bytes(99)
LONG_MDAT = struct.pack(">I4sQ", 1, b"mdat", 99) + bytes(83)
LISTED_WAV = wav(1)[:4] + struct.pack("<I", 16_044) + wav(1)[8:] + b"LIST" + struct.pack("<I", 0)


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (mp3(9) + b"\xff\xfb", False),
        (mp3(9) + id3(500), None),
        (mp3(9) + id3(500)[:-1], False),
        (mp3(9) + id3(500) + ID3V1[:-1], False),
        (mp3(9) + b"some unknown tag", None),
        (moov(9) + LONG_MDAT, True),
        (moov(9) + LONG_MDAT[:-1], False),
        (moov(9) + OPEN_MDAT, None),
        (mp4() + bytes(4), True),
        (mp4() + b"\0\0\1", False),
        (mp4() + b"\xff" * 20, True),
        (fragmented_mp4(0, index=False) + LONG_MDAT, None),
        (fragmented_mp4(3, index=False)[: -len(box(b"mdat", bytes(360)))], False),
        (fragmented_mp4(3, index=False) + bytes(99), False),
        (LISTED_WAV, True),
        (LISTED_WAV[:-1], False),
        (ogg() + b"junk", True),
        (ogg(marked=False) + b"junk", False),
        (webm(live=True) + bytes(9), False),
    ],
)
def test_what_stands_behind_the_sound_is_judged(data: bytes, whole: bool | None) -> None:
    """What is begun and not finished is cut; what trails behind a proven end does not matter."""
    container = Container.MP4 if b"moov" in data else sniff(data[:SNIFF_BYTES])
    assert container is not None
    assert measure(data, container).whole is whole


@pytest.mark.parametrize("size", [0, 0x7FFF_F000, 0xFFFF_FFFF])
def test_a_streamed_wav_cannot_tell_its_end(size: int) -> None:
    """A writer that could not go back left placeholders: the time is that of the bytes, and the end is unknown."""
    placeholder, data = struct.pack("<I", size), wav(3)
    found = measure(data[:4] + placeholder + data[8:40] + placeholder + data[44:], Container.WAV)
    assert found.whole is None
    assert found.duration_seconds == pytest.approx(3.0)


def test_a_wav_may_lack_its_last_padding() -> None:
    """A data chunk of odd length is whole without the byte that evens it, which some writers leave out."""
    data = bytearray(wav(0.5, width_bytes=1)[:-1])
    data[4:8], data[40:44] = struct.pack("<I", len(data) - 7), struct.pack("<I", len(data) - 44)
    assert measure(bytes(data), Container.WAV).whole is True


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\0" * SNIFF_BYTES,
        b"<!DOCTYPE html><title>404</title>",
        b"\xef\xbb\xbf<html>",
        "<html>Forbidden</html>".encode("utf-16"),
        ("{" + "x" * 168).encode("utf-16"),
        b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        b'{"message": "Unauthenticated."}',
        b"Not found",
        b"you freely ftyp",
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + mp3(9),
        b"PK\x03\x04" + bytes(26) + mp3(9),
        b"\0\0\0\x1cftypavif" + bytes(16),
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"\x89PNG\r\n\x1a\n",
        mp3(1)[:-1],
        mp3(1) + b"\xff\xfb" + bytes(4000),
        mp3(1) + mp3(9, kind="mpeg2-layer3"),
    ],
)
def test_what_is_no_recording_is_refused(head: bytes) -> None:
    """Pages, answers, texts, archives, pictures, emptiness and single frame headers are no recording."""
    assert sniff(head) is None


def test_noise_is_refused() -> None:
    """Random bytes are no recording, even behind a sync word."""
    dice = random.Random(20_250_804)
    assert not any(
        sniff(start + dice.randbytes(SNIFF_BYTES)) for start in (b"", b"\xff\xfb", b"\xff\xf1") for _ in range(500)
    )


@pytest.mark.parametrize("data", [mp3(1), mp3(2), mp3(1) + ID3V1, id3(9000), bytes(100) + mp3(3)])
def test_short_and_tagged_mp3_is_accepted(data: bytes) -> None:
    """A single frame that ends with the data, two in view, an ID3 tag that fills the view: all are MP3."""
    assert sniff(data[:SNIFF_BYTES]) is Container.MP3


def test_a_file_is_read_in_blocks_however_little_it_hands_out() -> None:
    """A file gives the same measure as its bytes, also one that returns fewer bytes than asked for."""

    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 3))

    data = mp3(50, promise=xing(50, 0))
    assert (
        measure(Trickle(data), Container.MP3)
        == measure(io.BytesIO(data), Container.MP3)
        == measure(data, Container.MP3)
    )


@given(data=st.binary(max_size=600), container=st.sampled_from(Container))
def test_random_bytes_never_raise(data: bytes, container: Container) -> None:
    """Whatever the bytes are, there is an answer."""
    sniff(data)
    assert measure(data, container).detail


@given(
    name=st.sampled_from(sorted(SAMPLES)),
    changes=st.lists(
        st.tuples(st.floats(0, 1), st.sampled_from([b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\0" * 9])), max_size=8
    ),
    left=st.floats(0, 1),
)
def test_mutated_recordings_never_raise(name: str, changes: list[tuple[float, bytes]], left: float) -> None:
    """A recording with wrong bytes anywhere, cut anywhere, gets an answer, and the time is never negative."""
    data, container, _, _ = SAMPLES[name]
    for place, wrong in changes:
        at = int(place * len(data))
        data = data[:at] + wrong + data[at + len(wrong) :]
    data = data[: int(left * len(data))]
    sniff(data)
    assert (measure(data, container).duration_seconds or 0) >= 0
