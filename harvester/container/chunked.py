"""Measure WAV, FLAC and Ogg files from the chunks, blocks and pages that they are made of.

In:   `Blocks`.  Out: `Measure`.

A WAV file names its size twice, for the whole and for the sound, but a writer that could not go back left placeholders
there. FLAC names its time in the head and nothing at the end. Ogg marks the last page of each stream, and every
page carries the time that was reached, so that a cut file still tells how much of it is there.

Sources: Multimedia Programming Interface 1.0 (RIFF), RFC 9639 (FLAC), RFC 3533 (Ogg pages), RFC 7845 (Opus in Ogg),
the Vorbis I specification (4.2.2), the Speex manual (Ogg header), the FLAC-to-Ogg mapping 1.0.
"""

from typing import Final

from harvester.container.measure import Blocks, Measure, cut
from harvester.container.mpeg import id3_tag_bytes

PLACEHOLDER_BYTES: Final = 0x7FFF_0000  # sizes from here on, and 0, are written by streaming writers (SoX, FFmpeg)
MOST_STREAMS: Final = 64  # in one Ogg file; a call has one, and the rest of a broken file shall not fill the memory


def measure_wav(blocks: Blocks) -> Measure:
    """Measure a WAV file: the time is the bytes of sound that are there by the bytes per second. Raises OSError."""
    position, bytes_per_second = 12, 0
    while position + 8 <= blocks.size_bytes:
        kind, says_bytes = blocks.at(position, 4), blocks.number(position + 4, 4, "little")
        if kind == b"data":
            there_bytes = blocks.size_bytes - position - 8
            whole, detail = _judge_wav(blocks, position + 8, says_bytes)
            sound_bytes = there_bytes if whole is None and says_bytes == 0 else min(says_bytes, there_bytes)
            seconds = sound_bytes / bytes_per_second if bytes_per_second else None
            return Measure(duration_seconds=seconds, whole=whole, detail=detail)
        if kind == b"fmt ":
            bytes_per_second = blocks.number(position + 16, 4, "little")
        position += 8 + says_bytes + (says_bytes & 1)
    return Measure(duration_seconds=None, whole=False, detail="there is no data chunk")


def _judge_wav(blocks: Blocks, data: int, says_bytes: int) -> tuple[bool | None, str]:
    """Whether a file whose sound begins at `data` is whole, and why."""
    riff_bytes, there_bytes = blocks.number(4, 4, "little"), blocks.size_bytes - data
    riff_is_placeholder = riff_bytes == 0 or riff_bytes >= PLACEHOLDER_BYTES
    if says_bytes > there_bytes:
        if says_bytes >= PLACEHOLDER_BYTES and riff_is_placeholder:
            return None, "the sizes in the header are placeholders"
        return False, cut("data chunk", says_bytes, there_bytes)
    missing_bytes = 8 + riff_bytes - blocks.size_bytes
    only_padding = missing_bytes == 1 and says_bytes & 1 and says_bytes == there_bytes
    if missing_bytes > 0 and not only_padding and not riff_is_placeholder:
        return False, cut("RIFF chunk", riff_bytes, blocks.size_bytes - 8)
    if missing_bytes > 1 or 8 + riff_bytes < data + says_bytes:
        return None, "the size in the RIFF header is a placeholder"
    return True, "the RIFF chunk and the data chunk are whole"


def measure_flac(blocks: Blocks) -> Measure:
    """Measure a FLAC file: the time is the one that its head names, and a cut shows only in the head. Raises OSError."""
    position = id3_tag_bytes(blocks.at(0, 10)) + 4
    seconds: float | None = None
    last = 0
    while not last:
        last, kind = divmod(blocks.number(position, 1), 0x80)
        says_bytes, body = blocks.number(position + 1, 3), position + 4
        if body + says_bytes >= blocks.size_bytes:  # frames have to follow
            detail = cut("metadata block", says_bytes, max(blocks.size_bytes - body, 0))
            return Measure(duration_seconds=seconds, whole=False, detail=detail)
        if kind == 0:  # STREAMINFO: 20 bits of sample rate, 8 of channels and depth, 36 of samples
            fields = blocks.number(body + 10, 8)
            rate_hz, samples = fields >> 44, fields & 0xF_FFFF_FFFF
            seconds = samples / rate_hz if rate_hz and samples else None
        position = body + says_bytes
    return Measure(duration_seconds=seconds, whole=None, detail="a FLAC file does not show where it ends")


class _Stream:
    """One logical stream of an Ogg file: its clock, the samples to skip at its beginning, how far it came."""

    def __init__(self, rate_hz: int, skip_samples: int) -> None:
        self.rate_hz = rate_hz
        self.skip_samples = skip_samples
        self.reached_samples = 0
        self.ended = False

    def seconds(self) -> float:
        """The time that the last page of the stream reached."""
        return max(self.reached_samples - self.skip_samples, 0) / self.rate_hz if self.rate_hz else 0.0


def measure_ogg(blocks: Blocks) -> Measure:
    """Measure an Ogg file: the time is the one that its last page reached. Raises OSError from the file."""
    streams: dict[int, _Stream] = {}
    flaw: str | None = None
    position = 0
    while position < blocks.size_bytes:
        page = blocks.at(position, 27)  # OggS, version, flags, granule (8), serial, sequence, checksum, segments
        if not page.startswith(b"OggS"[: len(page)]):
            break
        segments = page[26] if len(page) == 27 else 0
        body = position + 27 + segments
        end = body + sum(blocks.at(position + 27, segments))
        if end > blocks.size_bytes or len(page) < 27:
            flaw = cut("last page", end - position, blocks.size_bytes - position)
            break
        serial, flags = int.from_bytes(page[14:18], "little"), page[5]
        if flags & 0x02 and len(streams) < MOST_STREAMS:
            streams[serial] = _Stream(*_ogg_clock(blocks.at(body, min(end - body, 64))))
        if (stream := streams.get(serial)) is not None:
            granule = int.from_bytes(page[6:14], "little", signed=True)  # -1: no packet ends on this page
            stream.reached_samples = max(stream.reached_samples, granule)
            stream.ended = bool(flags & 0x04)
        position = end
    whole: bool | None = None
    detail = "no page is marked as the last one"
    if flaw is not None or not streams:
        whole, detail = False, flaw or "there is no first page"
    elif all(stream.ended for stream in streams.values()):
        whole, detail = True, "the last page is marked as such"
    elif position < blocks.size_bytes:
        whole, detail = False, f"there is no page at byte {position:,}"
    seconds = max((stream.seconds() for stream in streams.values()), default=0.0)
    return Measure(duration_seconds=seconds or None, whole=whole, detail=detail)


def _ogg_clock(packet: bytes) -> tuple[int, int]:
    """Samples per second and samples to skip, from the first packet of a stream; zeros where it is no known sound."""
    if packet.startswith(b"OpusHead"):
        return 48_000, int.from_bytes(packet[10:12], "little")
    if packet.startswith(b"\x01vorbis"):
        return int.from_bytes(packet[12:16], "little"), 0
    if packet.startswith(b"Speex   "):
        return int.from_bytes(packet[36:40], "little"), 0
    if packet.startswith(b"\x7fFLAC"):
        return int.from_bytes(packet[27:30], "big") >> 4, 0
    return 0, 0
