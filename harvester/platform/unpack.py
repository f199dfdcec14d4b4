"""Unpack an answer: all of it or none, and never much of it at once.

In:   a body as it comes, and its `Content-Encoding`.  Out: the bytes that were packed, or an error.

Of the API gzip is asked for, of recordings nothing; gzip is taken from both, because some stores send what was packed when it
was put there, whatever is asked for, and nothing else is. It is unpacked here and not by aiohttp, because aiohttp 3.14.5 takes a
gzip stream that was cut for a whole one: JSON would show most cuts, a list that ends with a page none. A gigabyte of zeros is a
megabyte of gzip, so what comes out comes in pieces, and whoever takes them says when it is enough.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from harvester.errors import PlatformError, TransientError

ACCEPTED = "gzip"
"""What `Accept-Encoding` asks the API for."""

GZIP = frozenset({"gzip", "x-gzip"})
PLAIN = frozenset({"", "identity"})

GZIP_WINDOW = 16 + zlib.MAX_WBITS
"""What zlib wants to be told where a gzip header, and the length and CRC-32 behind the data, are to be checked."""

PIECE_BYTES = 64 * 1024


class Unpacker:
    """Gives on what is not packed as it is."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take the next bytes of the body; yield what they hold. Raises TransientError for what is damaged."""
        yield chunk

    def end(self) -> None:
        """Note that the body has ended. Raises TransientError where that was too early."""


class Gunzip(Unpacker):
    """Unpacks exactly one gzip stream, in pieces of at most `PIECE_BYTES`."""

    def __init__(self, where: str) -> None:
        """`where` is the URL for the messages."""
        self._stream = zlib.decompressobj(GZIP_WINDOW)
        self._where = where

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take the next bytes of the body; yield what they hold. Raises TransientError for what is damaged."""
        left, full = chunk, True
        try:
            while (left or full) and not self._stream.eof:
                piece = self._stream.decompress(left, PIECE_BYTES)
                left, full = self._stream.unconsumed_tail, len(piece) == PIECE_BYTES
                if piece:
                    yield piece
        except zlib.error as error:
            raise TransientError(f"{self._where}: the answer is damaged (gzip: {error})") from error
        if left or self._stream.unused_data:
            raise TransientError(f"{self._where}: the answer is damaged (gzip: something follows its end)")

    def end(self) -> None:
        """Note that the body has ended. Raises TransientError where that was too early."""
        if not self._stream.eof:
            raise TransientError(f"{self._where}: the answer was cut short, inside of its gzip stream")


def unpacker_of(encoding: str, where: str) -> Unpacker | None:
    """Return what unpacks a body of this `Content-Encoding`; None for one that is not taken."""
    encoding = encoding.strip().lower()
    return Unpacker() if encoding in PLAIN else Gunzip(where) if encoding in GZIP else None


def unpacked(body: bytes, encoding: str, most_bytes: int, where: str) -> bytes:
    """Return what was packed; `most_bytes` is the most that it may be, `where` the URL for the message.

    Raises TransientError for a stream that was cut or damaged, PlatformError for one that is too large or was not asked for.
    """
    unpacker, found = unpacker_of(encoding, where), bytearray()
    if unpacker is None:
        raise PlatformError(f"{where} answered encoded ({encoding!a}), which was not asked for")
    if not isinstance(unpacker, Gunzip):
        return body
    for start in range(0, len(body), PIECE_BYTES):
        for piece in unpacker.feed(body[start : start + PIECE_BYTES]):
            found += piece
            if len(found) > most_bytes:
                raise PlatformError(f"{where} answered more than {most_bytes:,} bytes")
    unpacker.end()
    return bytes(found)
