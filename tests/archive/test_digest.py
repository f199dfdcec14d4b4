"""What a server says its bytes hash to: read from every header that says it, and never a reason to stumble."""

import base64
import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.archive.digest import ALGORITHMS, LISTS, SINGLE, etag_md5, hasher, promised

BODY = b'{"hello": "world"}\n'
EVERY_HEADER = [*LISTS, *SINGLE, "etag", "x-goog-stored-content-encoding"]


def coded(algorithm: str, body: bytes = BODY) -> str:
    """Return a hash as base64."""
    return base64.b64encode(hashlib.new(algorithm, body).digest()).decode()


SHA256, SHA512, SHA1, MD5 = map(coded, ("sha256", "sha512", "sha1", "md5"))
PROMISES: list[tuple[str, str, Callable[[str], str]]] = [
    ("content-md5", "md5", "{}".format),
    *((header, "sha256", "sha-256=:{}:".format) for header in ("repr-digest", "content-digest")),
    ("repr-digest", "sha512", "sha-512=:{}:".format),
    ("repr-digest", "md5", "md5=:{}:".format),
    ("digest", "sha256", "SHA-256={}".format),
    ("digest", "md5", "MD5={}".format),
    ("digest", "sha1", "sha={}".format),
    ("x-amz-checksum-sha256", "sha256", "{}".format),
    ("x-amz-checksum-sha1", "sha1", "{}".format),
    ("x-goog-hash", "md5", "crc32c=n03x6A==,md5={}".format),
]


def matches(headers: dict[str, str], body: bytes) -> bool | None:
    """Whether a body is what the headers promise; None where they promise nothing."""
    digest = promised(headers)
    return None if digest is None else hasher(digest.algorithm, body).digest() == digest.value


@pytest.mark.parametrize(("header", "algorithm", "written"), PROMISES)
@given(body=st.binary(max_size=2000), bit=st.integers(0))
@settings(max_examples=30, deadline=None)
def test_a_digest_matches_its_bytes_and_no_others(
    header: str, algorithm: str, written: Callable[[str], str], body: bytes, bit: int
) -> None:
    """Whatever the bytes: as they were hashed they match, with one bit flipped or the last byte missing they do not."""
    headers = {header: written(coded(algorithm, body))}
    digest = promised(headers)
    assert digest is not None
    assert (digest.header, digest.algorithm) == (header, algorithm)
    assert matches(headers, body)
    if body:
        flipped = bytearray(body)
        flipped[bit // 8 % len(body)] ^= 1 << bit % 8
        assert matches(headers, bytes(flipped)) is False
        assert matches(headers, body[:-1]) is False


@pytest.mark.parametrize(
    "headers",
    [
        {"repr-digest": "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"},  # RFC 9530, section 2
        {"repr-digest": f"  sha-256=:{SHA256}: , unixsum=1"},
        {"repr-digest": f"sha-256=:{SHA256}:;q=1"},
        {"repr-digest": f"id-sha-256=:AAAA:,sha-256=:{SHA256.rstrip('=')}:"},  # RFC 8941: padding may be missing
        {"repr-digest": "rubbish", "content-md5": MD5},
        {"digest": f"adler32=03da0195, md5={MD5},SHA-256={SHA256}"},
        {"x-goog-hash": f"md5={MD5}, crc32c=n03x6A=="},
        {"x-goog-hash": f"md5={MD5}", "x-goog-stored-content-encoding": "identity"},
    ],
)
def test_a_digest_is_found_among_others(headers: dict[str, str]) -> None:
    """Unknown algorithms, malformed members, spaces and parameters beside it do not hide the one that can be used."""
    assert matches(headers, BODY) is True
    assert matches(headers, BODY + b" ") is False


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-md5": ""},
        {"content-md5": hashlib.md5(BODY, usedforsecurity=False).hexdigest()},  # hex is not what the header holds
        {"content-md5": SHA256},
        {"content-md5": MD5[:8] + "\n" + MD5[8:]},
        {"content-md5": MD5.replace("=", "\udcff")},
        {"x-amz-checksum-sha256": f"{SHA256}-3"},
        {"x-amz-checksum-sha256": "-3"},
        {"repr-digest": f"sha-256={SHA256}"},
        {"repr-digest": f"sha-256=:{SHA256}"},
        {"repr-digest": f"sha-256=:{MD5}:"},
        {"repr-digest": f"sha-3=:{SHA256}:"},
        {"digest": f"sha-256=:{SHA256}:"},
        {"x-goog-hash": "crc32c=n03x6A=="},
        {"x-goog-hash": f"md5={MD5}", "x-goog-stored-content-encoding": "gzip"},
        {"etag": f'"{hashlib.md5(BODY, usedforsecurity=False).hexdigest()}"'},
    ],
)
def test_what_cannot_be_used_promises_nothing(headers: dict[str, str]) -> None:
    """Malformed, of another length, of parts, of the packed object, or nobody's promise: such a header fails no recording."""
    assert promised(headers) is None


@pytest.mark.parametrize(
    ("headers", "header", "algorithm"),
    [
        ({"content-md5": MD5, "repr-digest": f"md5=:{MD5}:,sha-512=:{SHA512}:"}, "repr-digest", "sha512"),
        ({"digest": f"sha-512={SHA512}", "x-amz-checksum-sha256": SHA256}, "x-amz-checksum-sha256", "sha256"),
        ({"content-md5": MD5, "x-amz-checksum-sha1": SHA1}, "x-amz-checksum-sha1", "sha1"),
        ({"content-md5": MD5, "x-goog-hash": f"md5={MD5}"}, "x-goog-hash", "md5"),
    ],
)
def test_of_several_digests_one_is_used(headers: dict[str, str], header: str, algorithm: str) -> None:
    """SHA-256 first, which is computed anyway, then SHA-512, SHA-1, MD5."""
    digest = promised(headers)
    assert digest is not None
    assert (digest.header, digest.algorithm) == (header, algorithm)


@pytest.mark.parametrize(("header", "whole"), [("content-md5", False), ("digest", True), ("x-goog-hash", True)])
def test_the_digest_of_a_part_is_not_that_of_the_recording(header: str, whole: bool) -> None:
    """Where the answer is a range (206), only headers that speak of the whole recording count."""
    headers = {header: MD5 if header == "content-md5" else f"md5={MD5}"}
    assert promised(headers) is not None
    assert (promised(headers, 206) is not None) == whole


@pytest.mark.parametrize(
    ("etag", "usable"),
    [
        ('"0123456789abcdef0123456789ABCDEF"', True),
        ('W/"0123456789abcdef0123456789abcdef"', True),
        ('"0123456789abcdef0123456789abcdef-3"', False),
        ('"0123456789abcdef0123456789abcde"', False),
        ("0123456789abcdef0123456789abcdef", False),
        ('"0123456789abcdef0123456789abcde\u0661"', False),
        ("", False),
    ],
)
def test_an_etag_may_be_an_md5(etag: str, usable: bool) -> None:
    """32 hex digits in quotes may be one; those of an upload in several parts, and all others, are not."""
    assert (etag_md5({"etag": etag}) is not None) == usable
    assert etag_md5({}) is None


TEXT = st.text(max_size=200) | st.text('=:;, shaSHAmd5-120+/AaZ_"*\\', max_size=200)


@given(headers=st.dictionaries(st.sampled_from(EVERY_HEADER), TEXT), status=st.sampled_from([200, 206]))
@settings(max_examples=500, deadline=None)
def test_nothing_that_a_server_says_makes_it_stumble(headers: dict[str, str], status: int) -> None:
    """Whatever stands in the headers, reading them raises nothing, and what comes out can be held against a hash."""
    digest = promised(headers, status)
    if digest is not None:
        assert len(digest.value) == ALGORITHMS[digest.algorithm] == len(hasher(digest.algorithm).digest())
    md5 = etag_md5(headers)
    assert md5 is None or len(md5) == ALGORITHMS["md5"]


@given(
    before=TEXT.map(lambda text: text.replace(",", "").replace("=", "")),
    after=TEXT.map(lambda text: text.replace("=", "")),
    header=st.sampled_from(LISTS),
)
@settings(max_examples=200, deadline=None)
def test_noise_around_a_good_digest_fails_no_good_recording(before: str, after: str, header: str) -> None:
    """Other members, however malformed, never turn a recording that matches into one that does not."""
    member = f"md5=:{MD5}:" if header in ("repr-digest", "content-digest") else f"md5={MD5}"
    assert matches({header: f"{before},{member},{after}"}, BODY) is True
