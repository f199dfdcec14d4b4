"""Make recordings that can be heard, without any audio tool.

In:   a seed, a length in seconds, a container.  Out: a whole file; the same arguments give the same bytes.

A seed is a melody of 32 notes, played over and over. The frames of the six notes are built once and then only
strung together, so a minute of sound costs as much as copying 60 kB.
"""

import hashlib
from functools import cache
from typing import Literal

from harvester.demo import mp4, mpeg

# do mi fa so la do in just intonation, as multiples of 27.8 Hz (see `mpeg.frame`): 333 to 667 Hz.
_SCALE = (12, 15, 16, 18, 20, 24)

# The global_gain of a note, frame by frame: a quick rise, a slow fall, each step 1.5 dB. At 200 the wave peaks
# at 36 % of full scale.
_ENVELOPE = (196, 200, 200, 199, 198, 196, 194, 190)

# Decoders believe a frame only when another one follows it.
_MIN_FRAMES = 2

_FINGERPRINT_BYTES = 8


def recording(seed: int, seconds: int, kind: Literal["mp3", "m4a"] = "mp3") -> bytes:
    """A recording of `seconds` seconds, to the nearest frame (36 ms), but of two frames at least.

    Another seed gives another melody and, since a short recording ends before the notes that differ, another
    fingerprint in the ancillary bytes of the first frame. An mp3 takes 1000 bytes a second, an m4a 572 bytes more.
    """
    digest = hashlib.sha256(str(seed).encode()).digest()
    frame_count = max(_MIN_FRAMES, round(seconds * mpeg.SAMPLES_PER_SECOND / mpeg.SAMPLES_PER_FRAME))
    first, *others = (_SCALE[byte % len(_SCALE)] for byte in digest)
    opening = mpeg.frame(_lines(first), global_gain=_ENVELOPE[0], ancillary=digest[:_FINGERPRINT_BYTES])
    melody = b"".join(_note(pitch) for pitch in (first, *others))
    frames = opening + _repeated(melody, frame_count * mpeg.FRAME_BYTES)[mpeg.FRAME_BYTES :]
    return frames if kind == "mp3" else mp4.m4a(frames)


def _lines(pitch: int) -> tuple[int, int]:
    """The spectral lines of a note and of its octave."""
    return 2 * pitch, 4 * pitch


@cache
def _note(pitch: int) -> bytes:
    """The frames of one note."""
    return b"".join(mpeg.frame(_lines(pitch), global_gain=gain) for gain in _ENVELOPE)


def _repeated(melody: bytes, size_bytes: int) -> bytes:
    """The melody over and over, cut off at `size_bytes`."""
    rounds, rest_bytes = divmod(size_bytes, len(melody))
    return melody * rounds + melody[:rest_bytes]
