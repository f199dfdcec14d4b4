"""Unpack an answer of the API: all of it or none, and never more than a page can be.

In:   a body as it came, and its `Content-Encoding`.  Out: the bytes that were packed.

Gzip alone is asked for, and nothing else is taken. It is unpacked here and not by aiohttp, because aiohttp 3.14.5 takes a gzip
stream that was cut for a whole one: JSON would show most cuts, a list that ends with a page none. A gigabyte of
zeros is a megabyte of gzip, so unpacking stops one byte behind the limit, and its input is taken in slices.
"""

from __future__ import annotations

import zlib

from harvester.errors import PlatformError, TransientError

ACCEPTED = "gzip"
"""What `Accept-Encoding` asks for."""

GZIP = frozenset({"gzip", "x-gzip"})
PLAIN = frozenset({"", "identity"})

GZIP_WINDOW = 16 + zlib.MAX_WBITS
"""What zlib wants to be told where a gzip header, and the length and CRC-32 behind the data, are to be checked."""

SLICE_BYTES = 64 * 1024


def unpacked(body: bytes, encoding: str, most_bytes: int, where: str) -> bytes:
    """Return what was packed; `most_bytes` is the most that it may be, `where` the URL for the message.

    Raises TransientError for a stream that was cut or damaged, PlatformError for one that is too large or was not asked for.
    """
    encoding = encoding.strip().lower()
    if encoding in PLAIN:
        return body
    if encoding not in GZIP:
        raise PlatformError(f"{where} answered encoded ({encoding!a}), which was not asked for")
    try:
        return _gunzipped(memoryview(body), most_bytes)
    except zlib.error as error:
        raise TransientError(f"{where}: the answer is damaged (gzip: {error})") from error
    except EOFError as error:
        raise TransientError(f"{where}: the answer was cut short, inside of its gzip stream") from error
    except OverflowError as error:
        raise PlatformError(f"{where} answered more than {most_bytes:,} bytes") from error


def _gunzipped(packed: memoryview, most_bytes: int) -> bytes:
    """Unpack exactly one gzip stream. Raises zlib.error, EOFError for a cut, OverflowError for too much."""
    found = bytearray()
    stream = zlib.decompressobj(GZIP_WINDOW)
    while not stream.eof:
        if not packed:
            raise EOFError
        piece, packed = packed[:SLICE_BYTES], packed[SLICE_BYTES:]
        while piece and not stream.eof:
            found += stream.decompress(piece, most_bytes + 1 - len(found))
            if len(found) > most_bytes:
                raise OverflowError
            piece = memoryview(stream.unconsumed_tail)
    if packed or stream.unused_data:
        raise zlib.error("something follows its end")
    return bytes(found)
