"""Put MPEG audio frames of one size into an MP4 container.

In:   frames, strung together.  Out: a whole .m4a file.

The order is ftyp, mdat, moov, as a recorder writes it that learns the length only at the end. The frames then
begin at a known place, and a file that was cut short has lost its index, as such files do in the wild.

Source: ISO/IEC 14496-12 (the boxes), 14496-14 (mp4a and esds), 14496-1 (the descriptors in esds).
"""

from harvester.demo import mpeg

_MATRIX = bytes.fromhex("00010000 00000000 00000000 00000000 00010000 00000000 00000000 00000000 40000000")


def _int(value: int, width_bytes: int = 4) -> bytes:
    return value.to_bytes(width_bytes, "big")


def _box(name: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return _int(8 + len(content)) + name + content


def _full_box(name: bytes, *parts: bytes, flags: int = 0) -> bytes:
    """A box whose content begins with a version, here 0, and flags."""
    return _box(name, _int(flags), *parts)


def _descriptor(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return bytes([tag, len(content)]) + content


def m4a(frames: bytes) -> bytes:
    """The .m4a file that plays `frames`: frames of `mpeg.FRAME_BYTES` bytes, one after the other."""
    count = len(frames) // mpeg.FRAME_BYTES
    ftyp = _box(b"ftyp", b"M4A ", _int(0), b"M4A mp42isom")
    mdat = _box(b"mdat", frames)
    return ftyp + mdat + _moov(count, first_frame_at_byte=len(ftyp) + 8)


def _moov(frame_count: int, first_frame_at_byte: int) -> bytes:
    """The index. Every duration in it counts samples: all timescales are the sampling rate."""
    duration = _int(frame_count * mpeg.SAMPLES_PER_FRAME)
    rate = _int(mpeg.SAMPLES_PER_SECOND)
    times = _int(0) + _int(0)  # created, modified: not said
    mvhd = _full_box(
        b"mvhd", times, rate, duration, _int(0x10000), _int(0x100, 2), bytes(10), _MATRIX, bytes(24), _int(2)
    )
    tkhd = _full_box(
        b"tkhd", times, _int(1), bytes(4), duration, bytes(12), _int(0x100, 2), bytes(2), _MATRIX, bytes(8), flags=3
    )
    mdhd = _full_box(b"mdhd", times, rate, duration, _int(0x55C4, 2), bytes(2))  # language "und"
    hdlr = _full_box(b"hdlr", bytes(4), b"soun", bytes(12), b"\0")
    smhd = _full_box(b"smhd", bytes(4))
    dinf = _box(b"dinf", _full_box(b"dref", _int(1), _full_box(b"url ", flags=1)))  # 1: in this file
    minf = _box(b"minf", smhd, dinf, _stbl(frame_count, first_frame_at_byte))
    return _box(b"moov", mvhd, _box(b"trak", tkhd, _box(b"mdia", mdhd, hdlr, minf)))


def _stbl(frame_count: int, first_frame_at_byte: int) -> bytes:
    """Where each frame lies, how long it is and how to decode it: one chunk of equal frames."""
    bitrate = _int(mpeg.BITS_PER_SECOND)
    decoder = _descriptor(
        4,
        b"\x69",  # objectTypeIndication: MPEG-2 audio, ISO/IEC 13818-3
        b"\x15",  # streamType: audio
        _int(mpeg.FRAME_BYTES, 3),  # bufferSizeDB
        bitrate,  # maxBitrate
        bitrate,  # avgBitrate
    )
    esds = _full_box(b"esds", _descriptor(3, _int(1, 2), bytes(1), decoder, _descriptor(6, b"\x02")))
    channels_and_bits = _int(1, 2) + _int(16, 2)
    rate = _int(mpeg.SAMPLES_PER_SECOND << 16)
    mp4a = _box(b"mp4a", bytes(6), _int(1, 2), bytes(8), channels_and_bits, bytes(4), rate, esds)
    return _box(
        b"stbl",
        _full_box(b"stsd", _int(1), mp4a),
        _full_box(b"stts", _int(1), _int(frame_count), _int(mpeg.SAMPLES_PER_FRAME)),
        _full_box(b"stsc", _int(1), _int(1), _int(frame_count), _int(1)),
        _full_box(b"stsz", _int(mpeg.FRAME_BYTES), _int(frame_count)),
        _full_box(b"stco", _int(1), _int(first_frame_at_byte)),
    )
