"""Small recordings built by hand, one or more of each container, with what is true of them."""

import io
import struct
import wave

from harvester.container.sniff import Container
from harvester.demo.audio import recording

HEADERS = {  # version and layer, 128 kbit/s or the like: header, bytes of a frame, samples, samples per second
    "mpeg1-layer3": (b"\xff\xfb\x90\x00", 417, 1152, 44_100),
    "mpeg2-layer3": (b"\xff\xf3\x84\x00", 192, 576, 24_000),
    "mpeg2.5-layer3": (b"\xff\xe3\x48\x00", 288, 576, 8_000),
    "mpeg1-layer2": (b"\xff\xfd\x84\x00", 384, 1152, 48_000),
    "mpeg1-layer1": (b"\xff\xff\x46\x00", 132, 384, 48_000),
}
ID3V1 = b"TAG" + bytes(125)


def mp3(frames: int = 100, *, promise: bytes = b"", kind: str = "mpeg1-layer3") -> bytes:
    """Frames of silence, behind a frame that holds `promise` where there is one."""
    header, frame_bytes, _, _ = HEADERS[kind]
    first = (header + bytes(32) + promise).ljust(frame_bytes, b"\0") if promise else b""
    return first + header.ljust(frame_bytes, b"\0") * frames


def xing(frames: int, stream_bytes: int) -> bytes:
    """A Xing header with both counts."""
    return b"Xing" + struct.pack(">III", 3, frames, stream_bytes)


def vbri(frames: int, stream_bytes: int) -> bytes:
    """A VBRI header."""
    return b"VBRI" + struct.pack(">HHHII", 1, 0, 0, stream_bytes, frames)


def id3(content_bytes: int) -> bytes:
    """An ID3v2 tag."""
    size = bytes(content_bytes >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x04\0\0" + size + bytes(content_bytes)


def ape(content_bytes: int) -> bytes:
    """An APE tag with its header and its footer."""
    size = struct.pack("<III", 2000, content_bytes + 32, 0)
    return (
        b"APETAGEX"
        + size
        + struct.pack("<I", 0xA000_0000)
        + bytes(8 + content_bytes)
        + (b"APETAGEX" + size + struct.pack("<I", 0x8000_0000) + bytes(8))
    )


def aac(frames: int = 100) -> bytes:
    """ADTS frames of 200 bytes at 16 kHz, 64 ms each."""
    return (b"\xff\xf1" + struct.pack(">I", 0x60 << 24 | 0x40 << 16 | 200 << 5 | 0x1F) + b"\xfc").ljust(
        200, b"\0"
    ) * frames


def wav(seconds: float = 2, *, channels: int = 1, width_bytes: int = 2) -> bytes:
    """Silence at 8 kHz, as the standard library writes it."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width_bytes)
        writer.setframerate(8000)
        writer.writeframes(bytes(int(seconds * 8000) * channels * width_bytes))
    return file.getvalue()


def box(kind: bytes, *contents: bytes) -> bytes:
    """An MP4 box."""
    content = b"".join(contents)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def moov(seconds: int, *more: bytes) -> bytes:
    """The box that describes one track of sound, with `more` boxes behind it."""
    clock = bytes(12) + struct.pack(">II", 8000, seconds * 8000)
    trak = box(
        b"trak",
        box(b"tkhd", bytes(12), struct.pack(">I", 1), bytes(68)),
        box(b"mdia", box(b"mdhd", clock, bytes(4)), box(b"hdlr", bytes(8), b"soun", bytes(13))),
    )
    return box(b"moov", box(b"mvhd", clock, bytes(80)), trak, *more)


def mp4(*, brand: bytes = b"isom", moov_first: bool = False) -> bytes:
    """A plain MP4 file of 12 seconds."""
    parts = [box(b"mdat", bytes(10_240)), moov(12)]
    return box(b"ftyp", brand, bytes(4), brand) + b"".join(reversed(parts) if moov_first else parts)


def fragmented_mp4(fragments: int = 4, *, index: bool = True, base: int = 0) -> bytes:
    """Fragments of a second each: the odd ones list the length of each sample, the even ones use the default."""
    parts = [
        box(b"ftyp", b"iso5", bytes(4)),
        moov(0, box(b"mvex", box(b"trex", bytes(4), struct.pack(">IIIII", 1, 1, 100, 0, 0)))),
    ]
    for number in range(fragments):
        listed = struct.pack(">III", 0x0301, 40, 0) + struct.pack(">II", 200, 9) * 40
        default = struct.pack(">III", 0x0201, 80, 0) + struct.pack(">I", 9) * 80
        traf = box(
            b"traf",
            box(b"tfhd", struct.pack(">II", 0x020000, 1)),
            box(b"tfdt", struct.pack(">IQ", 0x0100_0000, base + number * 8000)),
            box(b"trun", listed if number % 2 else default),
        )
        parts += [box(b"moof", traf), box(b"mdat", bytes(360))]
    return b"".join([*parts, box(b"mfra", bytes(16))] if index else parts)


def page(packet: bytes, *, granule: int, number: int, flags: int = 0) -> bytes:
    """An Ogg page of one packet; its checksum is left out."""
    segments = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
    return b"OggS\0" + struct.pack("<BqIIIB", flags, granule, 7, number, 0, len(segments)) + segments + packet


def ogg(seconds: int = 5, *, marked: bool = True) -> bytes:
    """Opus in Ogg, a page a second."""
    pages = [page(b"OpusHead" + struct.pack("<BBHIHB", 1, 1, 312, 16_000, 0, 0), granule=0, number=0, flags=2)]
    pages.append(page(b"OpusTags" + bytes(8), granule=0, number=1))
    for second in range(1, seconds + 1):
        last = marked and second == seconds
        pages.append(page(bytes(700), granule=312 + second * 48_000, number=second + 1, flags=4 if last else 0))
    return b"".join(pages)


def flac(seconds: int = 9) -> bytes:
    """The head of a FLAC file, which names its time, and bytes that stand for frames."""
    fields = 16_000 << 44 | 0 << 41 | 15 << 36 | seconds * 16_000
    return (
        b"fLaC\x80\0\0\x22"
        + struct.pack(">HH", 4096, 4096)
        + bytes(6)
        + fields.to_bytes(8, "big")
        + bytes(16)
        + bytes(500)
    )


def element(kind: bytes, *contents: bytes, unknown: bool = False) -> bytes:
    """A WebM element; `unknown`: it does not say where it ends."""
    content = b"".join(contents)
    return kind + (b"\x01" + b"\xff" * 7 if unknown else (1 << 56 | len(content)).to_bytes(8, "big")) + content


def webm(*, live: bool = False, doc_type: bytes = b"webm") -> bytes:
    """Three clusters of a second, blocks of 20 ms. `live`: neither time nor sizes are known."""
    clusters = [
        element(
            b"\x1f\x43\xb6\x75",
            element(b"\xe7", (second * 1000).to_bytes(2, "big")),
            *(element(b"\xa3", b"\x81" + struct.pack(">hB", at, 0x80) + bytes(40)) for at in range(0, 1000, 20)),
            unknown=live,
        )
        for second in range(3)
    ]
    about = element(b"\x15\x49\xa9\x66", b"" if live else element(b"\x44\x89", struct.pack(">d", 3000.0)))
    head = element(b"\x1a\x45\xdf\xa3", element(b"\x42\x82", doc_type))
    return head + element(b"\x18\x53\x80\x67", about, *clusters, unknown=live)


SAMPLES: dict[str, tuple[bytes, Container, float, bool | None]] = {  # bytes, container, seconds, whole
    "mp3": (mp3(), Container.MP3, 100 * 1152 / 44_100, None),
    "mp3-xing": (mp3(promise=xing(100, 101 * 417)), Container.MP3, 100 * 1152 / 44_100, True),
    "mp3-tags": (id3(99) + mp3(promise=xing(100, 0)) + ape(70) + ID3V1, Container.MP3, 100 * 1152 / 44_100, True),
    "mp3-heard": (recording(7, 20), Container.MP3, 20.016, None),
    "m4a-heard": (recording(7, 20, "m4a"), Container.M4A, 20.016, True),
    "aac": (aac(), Container.AAC, 6.4, None),
    "wav": (wav(), Container.WAV, 2.0, True),
    "mp4": (mp4(), Container.MP4, 12.0, True),
    "mp4-moov-first": (mp4(moov_first=True), Container.MP4, 12.0, True),
    "m4a": (mp4(brand=b"M4A "), Container.M4A, 12.0, True),
    "mp4-fragmented": (fragmented_mp4(), Container.MP4, 4.0, True),
    "mp4-fragmented-unfinished": (fragmented_mp4(index=False), Container.MP4, 4.0, None),
    "ogg": (ogg(), Container.OGG, 5.0, True),
    "ogg-unmarked": (ogg(marked=False), Container.OGG, 5.0, None),
    "flac": (flac(), Container.FLAC, 9.0, None),
    "webm": (webm(), Container.WEBM, 3.0, True),
    "webm-live": (webm(live=True), Container.WEBM, 2.98, None),
    "matroska": (webm(doc_type=b"matroska"), Container.MATROSKA, 3.0, True),
}
