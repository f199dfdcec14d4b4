"""Tell a recording's container from its bytes, and judge from its structure whether it is whole.

In:   the first bytes, or a seekable binary file (or all bytes).  Out: `Container`, `Measure`.

Neither the link's suffix nor the Content-Type can be trusted: links end in .mp3 and deliver MP4, and an error page comes
as audio/mpeg. So the bytes decide. Whatever the bytes are, nothing here raises because of them, and memory stays flat;
the time needed grows with the number of frames or boxes, not with the bytes between them.
"""

import enum
import io
from collections.abc import Callable
from functools import partial
from typing import BinaryIO, Final

from harvester.container.chunked import measure_flac, measure_ogg, measure_wav
from harvester.container.frames import measure_frames, starts_with_frames
from harvester.container.measure import Blocks, Measure
from harvester.container.mp4 import measure_mp4
from harvester.container.mpeg import adts_frame, id3_tag_bytes, mp3_frame
from harvester.container.webm import measure_webm

__all__ = ["SNIFF_BYTES", "Container", "Measure", "measure", "sniff"]

SNIFF_BYTES: Final = 4096  # holds three frames of all but the highest bit rates
_PICTURES: Final = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")  # brands of boxes that hold no sound


class Container(enum.StrEnum):
    """What a recording may be. The value is the suffix of its file's name."""

    MP3 = "mp3"
    MP4 = "mp4"
    M4A = "m4a"
    WAV = "wav"
    OGG = "ogg"
    FLAC = "flac"
    WEBM = "webm"
    MATROSKA = "mkv"
    AAC = "aac"


def sniff(head: bytes) -> Container | None:
    """Tell the container from the first `SNIFF_BYTES` (or the whole, if shorter).

    None where it is no recording: a page, a JSON or XML answer, text, an archive, an image, noise, nothing. Also
    None where a stream of frames does not begin with one, and for the unused bit rate index called free format.
    """
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return None if brand in _PICTURES else Container.M4A if brand == b"M4A " else Container.MP4
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return Container.WAV
    if head[:4] == b"OggS":
        return Container.OGG
    if head[:4] == b"\x1a\x45\xdf\xa3":  # EBML, whose head names the kind of document
        return Container.WEBM if b"webm" in head[:64] else Container.MATROSKA if b"matroska" in head[:64] else None
    tag_bytes = id3_tag_bytes(head)
    if head[tag_bytes : tag_bytes + 4] == b"fLaC":
        return Container.FLAC
    sound = head[tag_bytes:].lstrip(b"\0")  # some writers leave room before the first frame
    if starts_with_frames(sound, adts_frame):
        return Container.AAC
    if tag_bytes or starts_with_frames(sound, mp3_frame):
        return Container.MP3
    return None


def measure(file: BinaryIO | bytes, container: Container) -> Measure:
    """Measure a recording that `sniff` told to be of this container; the file's position afterwards is undefined.

    Raises OSError where the file cannot be read, and nothing for what is in it.
    """
    return _MEASURES[container](Blocks(io.BytesIO(file) if isinstance(file, bytes) else file))


_MEASURES: Final[dict[Container, Callable[[Blocks], Measure]]] = {
    Container.MP3: partial(measure_frames, parse=mp3_frame),
    Container.MP4: measure_mp4,
    Container.M4A: measure_mp4,
    Container.WAV: measure_wav,
    Container.OGG: measure_ogg,
    Container.FLAC: measure_flac,
    Container.WEBM: measure_webm,
    Container.MATROSKA: measure_webm,
    Container.AAC: partial(measure_frames, parse=adts_frame),
}
