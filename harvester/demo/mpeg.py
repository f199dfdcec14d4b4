"""Write one MPEG Layer III frame that holds a chord.

In:   the spectral lines that sound, and how loud.  Out: one frame of `FRAME_BYTES` bytes.

The format is MPEG-2 Layer III, 16 kHz, mono, 8 kbit/s, constant: 36 bytes for 36 ms, so a byte is a
millisecond. Every frame stands alone (`main_data_begin` is 0: no bit reservoir), which is why frames can be
made once and strung together in any order.

Every line is 0 or +1. Such lines may all lie in what the standard calls the count1 region, whose table B needs
no table: four lines are four bits, inverted, followed by the signs (0: plus) of those that sound. Scale factors
are left out, so `global_gain` alone sets the loudness.

Source: ISO/IEC 11172-3 (Layer III), as changed by ISO/IEC 13818-3 (the lower sampling rates).
"""

from collections.abc import Collection

SAMPLES_PER_SECOND = 16_000
SAMPLES_PER_FRAME = 576  # ISO/IEC 13818-3: one granule at the lower sampling rates
BITS_PER_SECOND = 8_000
FRAME_BYTES = SAMPLES_PER_FRAME * BITS_PER_SECOND // SAMPLES_PER_SECOND // 8

_MAIN_DATA_BYTES = FRAME_BYTES - 4 - 9  # after the header and the side information of a mono frame


def _bits(*fields: tuple[int, int]) -> str:
    """Each (value, width in bits) in turn, as a string of 0 and 1."""
    return "".join(f"{value:0{width}b}" for value, width in fields)


_HEADER = _bits(
    (0x7FF, 11),  # sync
    (0b10, 2),  # MPEG-2
    (0b01, 2),  # Layer III
    (1, 1),  # no checksum
    (0b0001, 4),  # 8 kbit/s
    (0b10, 2),  # 16 kHz
    (0, 1),  # no padding: 36 bytes are exact
    (0, 1),  # private
    (0b11, 2),  # mono
    (0, 2),  # mode extension
    (0, 1),  # copyright
    (1, 1),  # original
    (0, 2),  # no emphasis
)


def frame(lines: Collection[int], *, global_gain: int, ancillary: bytes = b"") -> bytes:
    """One frame in which the spectral `lines` sound together, equally loud.

    Equal frames in a row repeat every 36 ms, so what sounds is a multiple of 1 / 36 ms = 27.8 Hz: line 2 * n gives the
    steady tone of n * 27.8 Hz. The amplitude is proportional to 2 ** (global_gain / 4), with global_gain from 0 to 255.
    `ancillary` goes to the end of the frame, where no decoder looks.

    Raises ValueError when the lines and the ancillary bytes do not fit into the frame.
    """
    main_data = ""
    for first in range(0, max(lines) + 1, 4):
        sounding = [line in lines for line in range(first, first + 4)]
        main_data += "".join("0" if sounds else "1" for sounds in sounding) + "0" * sum(sounding)
    side = _bits(
        (0, 8),  # main_data_begin
        (0, 1),  # private
        (len(main_data), 12),  # part2_3_length
        (0, 9),  # big_values: none, every line is in the count1 region
        (global_gain, 8),
        (0, 9),  # scalefac_compress: scale factors of no bits
        (0, 1),  # window_switching_flag: a long block
        (0, 15),  # table_select of three empty regions
        (0, 7),  # region0_count, region1_count
        (0, 1),  # scalefac_scale
        (1, 1),  # count1table_select: table B
    )
    stuffing = (_MAIN_DATA_BYTES - len(ancillary)) * 8 - len(main_data)
    if stuffing < 0:
        raise ValueError(f"{len(main_data)} bits and {len(ancillary)} bytes exceed {_MAIN_DATA_BYTES} bytes")
    bits = _HEADER + side + main_data + "0" * stuffing
    return int(bits, 2).to_bytes(len(bits) // 8, "big") + ancillary
