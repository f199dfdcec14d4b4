"""Read the headers of MP3 and AAC (ADTS) frames, and of the ID3v2 tag before them.

In:   a few bytes.  Out: `Frame`, or None where the bytes are no header; the length of a tag.

Sources: ISO/IEC 11172-3 and 13818-3 (2.4.2.3, the frame header; version 2.5 is an addition by Fraunhofer),
ISO/IEC 13818-7 (6.2, ADTS), id3.org (ID3v2.4.0, 3.1).
"""

from collections.abc import Callable
from typing import Final, NamedTuple

HEADER_BYTES: Final = 7  # ADTS; an MP3 header has 4
MOST_FRAME_BYTES: Final = 8191  # ADTS has 13 bits for the length; no MP3 frame is longer than 2,881


class Frame(NamedTuple):
    """What a frame header tells. Frames of one stream share their `kind` (version, layer or profile, sample rate)."""

    length_bytes: int
    seconds: float
    kind: int


Parser = Callable[[bytes], Frame | None]


def mp3_frame(header: bytes) -> Frame | None:
    """Read an MPEG-1, 2 or 2.5 header of layer I, II or III; None where it is none, or of free format."""
    return _MP3_FRAMES[header[:3]]


def adts_frame(header: bytes) -> Frame | None:
    """Read an ADTS header of `HEADER_BYTES`; None where it is none."""
    if len(header) < HEADER_BYTES or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
        return None
    rate_index = header[2] >> 2 & 0x0F
    length_bytes = (header[3] & 0x03) << 11 | header[4] << 3 | header[5] >> 5
    if rate_index >= len(_AAC_RATES_HZ) or length_bytes < HEADER_BYTES:
        return None
    blocks = 1 + (header[6] & 0x03)
    return Frame(length_bytes, blocks * 1024 / _AAC_RATES_HZ[rate_index], (header[1] & 0x08) << 8 | header[2] & 0xFC)


def id3_tag_bytes(head: bytes) -> int:
    """How long the ID3v2 tag at the beginning of `head` (10 bytes are enough) says it is; 0 where there is none."""
    if len(head) < 10 or head[:3] != b"ID3" or max(head[3:5]) == 0xFF or max(head[6:10]) > 0x7F:
        return 0
    footer_bytes = 10 if head[5] & 0x10 else 0
    return 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]) + footer_bytes


_AAC_RATES_HZ: Final = (
    96_000,
    88_200,
    64_000,
    48_000,
    44_100,
    32_000,
    24_000,
    22_050,
    16_000,
    12_000,
    11_025,
    8_000,
    7_350,
)

# By (MPEG-1?, layer): kbit/s for the indices 1 to 14. MPEG-2.5 shares the columns of MPEG-2.
_MP3_KILOBITS: Final = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def _mp3_frame(second: int, third: int) -> Frame | None:
    """Work out the frame of a header from its second and third byte; None where they are of no header."""
    version, layer = second >> 3 & 3, 4 - (second >> 1 & 3)
    kilobits_index, rate_index, padding = third >> 4, third >> 2 & 3, third >> 1 & 1
    if second < 0xE0 or version == 1 or layer == 4 or kilobits_index in (0, 15) or rate_index == 3:
        return None
    rate_hz = (44_100, 48_000, 32_000)[rate_index] >> {3: 0, 2: 1, 0: 2}[version]
    bits_per_second = _MP3_KILOBITS[version == 3, layer][kilobits_index - 1] * 1000
    samples = 384 if layer == 1 else 576 if layer == 3 and version != 3 else 1152
    slot_bytes = 4 if layer == 1 else 1
    length_bytes = (samples // 8 // slot_bytes * bits_per_second // rate_hz + padding) * slot_bytes
    return Frame(length_bytes, samples / rate_hz, (second & 0x1E) << 8 | third & 0x0C)


class _Frames(dict[bytes, Frame | None]):
    """From a header's first three bytes to its frame, filled as they are met: all at once they cost each start 6 ms."""

    def __missing__(self, start: bytes) -> Frame | None:
        # most of what is asked for, which would fill the memory
        if len(start) < 3 or start[0] != 0xFF or start[1] < 0xE0:
            return None
        self[start] = frame = _mp3_frame(start[1], start[2])
        return frame


_MP3_FRAMES: Final = _Frames()  # one look-up a frame is what makes the walk fast
