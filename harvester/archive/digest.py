"""Read what a recording's server says its bytes hash to.

In:   the headers of a download.  Out: the digest to hold the bytes against, or None. Nothing here raises, whatever was sent.

A digest shows that what came in is what the server meant to send, however the body ended. What is malformed, of an unknown
algorithm or of the wrong length is ignored, as is a checksum of S3 with a count behind it (`...-3`): that is one of checksums. An
ETag may be anything: one of 32 hex digits is often the MD5, and often is not (several parts, encryption), so it proves something
where it matches, and nothing where it does not. Of a body that came packed all are left out: they are of the packed bytes.

CRC32C, which object stores offer too, is left out: without a library it runs at 4 MB/s and keeps every other download waiting
meanwhile, to tell less than any of the others. What comes with nothing else, as composite objects do, comes with a length.

Sources: RFC 1864 (Content-MD5), RFC 9530 (Repr-Digest, Content-Digest), RFC 3230 with 5843 (Digest), the references of Amazon S3
(x-amz-checksum-*) and Google Cloud Storage (x-goog-hash, x-goog-stored-content-encoding).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping

import msgspec

ALGORITHMS = {"sha256": 32, "sha512": 64, "sha1": 20, "md5": 16}
"""What `hashlib` calls them, with their lengths in bytes; the first that is offered is used. SHA-256 stands first because it is
computed for every recording anyway."""

NAMES = {
    "sha-256": "sha256",
    "sha256": "sha256",
    "sha-512": "sha512",
    "sha512": "sha512",
    "sha": "sha1",
    "sha-1": "sha1",
    "sha1": "sha1",
    "md5": "md5",
}
"""How the headers call them."""

LISTS = ("repr-digest", "content-digest", "digest", "x-goog-hash")
"""Headers that name algorithms with their values: `sha-256=:...:` in the first two, `SHA-256=...` in the others."""

SINGLE = {"x-amz-checksum-sha256": "sha256", "x-amz-checksum-sha1": "sha1", "content-md5": "md5"}
"""Headers that hold one value."""

OFFERS = frozenset((*LISTS, *SINGLE))

OF_BODY = frozenset({"content-digest", "content-md5", "x-amz-checksum-sha256", "x-amz-checksum-sha1"})
"""Headers that speak of the body of this one answer, which is a part of the recording where the status is 206."""

MEMBER = re.compile(r"([A-Za-z0-9-]{1,16})=(.*)", re.DOTALL)
BYTES = re.compile(r":([^:]*):(?:;.*)?", re.DOTALL)
"""A byte sequence as RFC 8941 writes it, perhaps with parameters."""

MD5_ETAG = re.compile(r'(?:W/)?"([0-9A-Fa-f]{32})"')


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """What the bytes are said to hash to: the header that says it, the algorithm as `hashlib` calls it, the value."""

    header: str
    algorithm: str
    value: bytes


def promised(headers: Mapping[str, str], status: int = 200) -> Digest | None:
    """Return the digest of the whole recording that its server promises, or None.

    `headers` bear names in lower case, and several lines of one name joined by commas. A digest that is returned and does not
    match means that the bytes are not those that the server meant to send.
    """
    if OFFERS.isdisjoint(headers) or _was_packed(headers):
        return None
    found = _all(headers, status)
    return min(found, key=lambda digest: list(ALGORITHMS).index(digest.algorithm), default=None)


def etag_md5(headers: Mapping[str, str]) -> bytes | None:
    """Return the MD5 that the ETag may be, or None. That it does not match means nothing."""
    found = None if _was_packed(headers) else MD5_ETAG.fullmatch(headers.get("etag", "").strip())
    return bytes.fromhex(found[1]) if found else None


def _all(headers: Mapping[str, str], status: int) -> Iterator[Digest]:
    """Yield every digest that can be read, those of one algorithm in the order of trust in their headers."""
    for header in (*LISTS, *SINGLE):
        text = headers.get(header)
        if text is None or (status != 200 and header in OF_BODY) or (header == "x-goog-hash" and _unpacked(headers)):
            continue
        for algorithm, coded in _members(header, text):
            value = _decoded(coded)
            if value is not None and len(value) == ALGORITHMS[algorithm]:
                yield Digest(header=header, algorithm=algorithm, value=value)


def _members(header: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield the algorithms that a header names, of those that are known, and what stands there in base64."""
    if header in SINGLE:
        yield SINGLE[header], text
        return
    for part in text.split(","):
        member = MEMBER.fullmatch(part.strip())
        algorithm = NAMES.get(member[1].lower()) if member else None
        if member is None or algorithm is None:
            continue
        if header in ("repr-digest", "content-digest"):
            if sequence := BYTES.fullmatch(member[2]):
                yield algorithm, sequence[1]
        else:
            yield algorithm, member[2]


def _was_packed(headers: Mapping[str, str]) -> bool:
    """Whether the body came packed: whatever was promised, was promised of the packed bytes, and those are not kept."""
    return headers.get("content-encoding", "").strip().lower() not in ("", "identity")


def _unpacked(headers: Mapping[str, str]) -> bool:
    """Whether the store has unpacked the object on its way to us: `x-goog-hash` is that of the packed one."""
    return headers.get("x-goog-stored-content-encoding", "identity").strip().lower() != "identity"


def _decoded(coded: str) -> bytes | None:
    """Decode base64, with or without its padding; None where it is none."""
    coded = coded.strip().rstrip("=")
    try:
        return base64.b64decode(coded + "=" * (-len(coded) % 4), validate=True)
    except ValueError:
        return None


def hasher(algorithm: str, data: bytes | bytearray = b"") -> hashlib._Hash:
    """Return a hash, one of `ALGORITHMS`, begun with `data`. MD5 and SHA-1 guard against accidents here, against nobody."""
    return hashlib.new(algorithm, data, usedforsecurity=False)
