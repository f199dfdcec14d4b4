"""Stamps: the word of an RFC 3161 authority that it has seen the hash of some bytes at an instant.

In:   a signature, or a seal that has none; an authority's answer.  Out: a query; a `Stamp`, once everything about it holds.

A stamp is held against the bytes (SHA-256), the query's nonce, the authority's signature, and its chain up to a root that is
trusted: those of a file, or else those that this machine trusts. The chain must have been good at the token's own time, so a
stamp outlives the certificates that it was made with. What does not hold is never kept. `rfc3161-client` does the cryptography;
it is an extra of the package, since most archives have no stamps.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib.util
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from harvester.errors import ConfigError, EvidenceError
from harvester.evidence.certificates import pem_of, roots_of

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from rfc3161_client import TimeStampResponse

EXTRA = f"{shlex.quote(sys.executable)} -m pip install 'harvester[stamp]'"
"""What installs the extra beside the harvester that runs: a pip of another environment would look for another one."""

LARGEST_STAMP_BYTES = 256 * 1024

CONTEXT_0 = 0xA0
"""The tag in DER (X.690) of what an `[0]` in a definition stands for."""


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """What a stamp says: when (UTC), who (the subject of the authority's certificate), and about which bytes.

    `chain_pem` are its certificates, the authority's first, up to the root that is trusted.
    """

    at: dt.datetime
    authority: str
    over_signature: bool  # else over the seal itself
    chain_pem: bytes


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A question to an authority, in DER, and the number that its answer must repeat."""

    der: bytes
    nonce: int | None


def require_extra() -> None:
    """Make sure, before a run begins, that stamps can be made and checked. Raises ConfigError with what to type."""
    if importlib.util.find_spec("rfc3161_client") is None:
        raise ConfigError(f"seal_tsa_url is set, and what makes stamps is not installed; install it with: {EXTRA}")


def require_roots(ca: Path) -> None:
    """Make sure, before a run begins, that a file of authorities can be read. Raises ConfigError."""
    try:
        roots_of(ca)
    except EvidenceError as error:
        raise ConfigError(f"seal_tsa_ca: {error}") from None


def query_for(data: bytes) -> Query:
    """Return the question that asks for a stamp over the SHA-256 of `data`, with a nonce and the authority's certificates."""
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    request = TimestampRequestBuilder().data(data).hash_algorithm(HashAlgorithm.SHA256).build()
    return Query(der=request.as_bytes(), nonce=request.nonce)


def check_stamp(
    answer: bytes, seal: bytes, signature: bytes | None, ca: Path | None, *, nonce: int | None = None
) -> Stamp:
    """Return what a stamp says, if it holds: over the signature, or over the seal itself; with the nonce, where one is given.

    `answer` is the TimeStampResp in DER, `ca` the PEM file of the roots that are trusted, None for those of this machine.
    Raises EvidenceError.
    """
    if importlib.util.find_spec("rfc3161_client") is None:
        raise EvidenceError(f"stamps cannot be checked without their extra; install it with: {EXTRA}")
    with _translated():
        response = _decoded(answer)
        over_signature = _is_over_signature(response, seal, signature)
        if nonce is not None and response.tst_info.nonce != nonce:
            raise EvidenceError("the stamp answers another question: it does not bear the number that was asked with")
        embedded = _certificates(response)
        leaf = _leaf(response, embedded)
        roots = roots_of(ca)
        _verify(response, signature if over_signature and signature else seal, embedded, roots, ca)
        return Stamp(
            at=response.tst_info.gen_time.astimezone(dt.UTC),
            authority=_plain(leaf.subject.rfc4514_string()),
            over_signature=over_signature,
            chain_pem=pem_of(leaf, embedded, roots),
        )


def _decoded(answer: bytes) -> TimeStampResponse:
    """Read an answer. Raises EvidenceError where it is none, or says no."""
    from rfc3161_client import PKIStatus, decode_timestamp_response

    if len(answer) > LARGEST_STAMP_BYTES:
        raise EvidenceError(f"it is no stamp: it has {len(answer):,} bytes")
    try:
        response = decode_timestamp_response(answer)
    except ValueError:
        try:
            response = decode_timestamp_response(_in_order(answer))
        except (ValueError, LookupError):
            raise EvidenceError("it is no stamp: it is not what RFC 3161 calls an answer") from None
    if response.status != PKIStatus.GRANTED:
        said = "; ".join(_plain(each) for each in response.status_string)
        raise EvidenceError(
            f"the authority refuses to stamp: status {response.status}" + (f" ({said})" if said else "")
        )
    return response


def _is_over_signature(response: TimeStampResponse, seal: bytes, signature: bytes | None) -> bool:
    """Whether a stamp is over the signature; False: over the seal. Raises EvidenceError where it is over neither."""
    imprint = response.tst_info.message_imprint
    name = {"2.16.840.1.101.3.4.2.1": "sha256", "2.16.840.1.101.3.4.2.2": "sha384", "2.16.840.1.101.3.4.2.3": "sha512"}
    algorithm = name.get(imprint.hash_algorithm.dotted_string)
    if algorithm is None:
        raise EvidenceError(f"the stamp is over a hash of another kind ({imprint.hash_algorithm.dotted_string})")
    if signature is not None and hashlib.new(algorithm, signature).digest() == imprint.message:
        return True
    if hashlib.new(algorithm, seal).digest() == imprint.message:
        return False
    raise EvidenceError("the stamp is over another hash than that of this seal or its signature")


def _verify(
    response: TimeStampResponse, data: bytes, embedded: list[Certificate], roots: list[Certificate], ca: Path | None
) -> None:
    from rfc3161_client import VerificationError, VerifierBuilder

    try:
        VerifierBuilder(roots=roots).build().verify_message(response, data)
    except VerificationError as error:
        if "certificate verify error" in str(error):
            why = str(error).partition("Verify error: ")[2].split('"')[0] or "no chain"
            trusted = f"in {ca}" if ca else "that this machine trusts"
            issuers = ", ".join(sorted({_plain(each.issuer.rfc4514_string()) for each in embedded}))
            raise EvidenceError(
                f"the stamp's certificates ({issuers}) lead to no authority {trusted} ({why}); "
                "name the file of its root: seal_tsa_ca for runs"
            ) from None
        raise EvidenceError(f"the stamp does not hold: {_plain(error)[:200]}") from None


def _certificates(response: TimeStampResponse) -> list[Certificate]:
    from cryptography.x509 import load_der_x509_certificate

    return [load_der_x509_certificate(each) for each in sorted(response.signed_data.certificates)]


def _leaf(response: TimeStampResponse, embedded: list[Certificate]) -> Certificate:
    """Return the certificate of who has signed the stamp."""
    for signer in response.signed_data.signer_infos:
        for each in embedded:
            if (each.issuer, each.serial_number) == (signer.issuer, signer.serial_number):
                return each
    raise EvidenceError("the stamp came without the certificate of the authority")


@contextmanager
def _translated() -> Iterator[None]:
    """Raise what the libraries raise about odd bytes as EvidenceError."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.x509 import DuplicateExtension, ExtensionNotFound, InvalidVersion, UnsupportedGeneralNameType

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about numbers that a future version of cryptography will refuse
            yield
    except (
        *(ValueError, TypeError, LookupError, NotImplementedError, OverflowError, UnsupportedAlgorithm),
        *(DuplicateExtension, ExtensionNotFound, InvalidVersion, UnsupportedGeneralNameType),
    ) as error:
        raise EvidenceError(f"it is no stamp that can be read ({_plain(error)[:120]})") from None


def _in_order(answer: bytes) -> bytes:
    """Return an answer with the certificates of its token in the order that DER wants of a set.

    OpenSSL and some authorities leave them as they come, which rfc3161-client refuses. No signature covers their order
    (RFC 5652, 5.4), and the answer is kept as received. Raises ValueError, LookupError for what has another form.
    """
    _, start, end = _items(answer, 0, len(answer))[0]
    _, start, end = _items(answer, start, end)[1]  # TimeStampResp: status, token
    _, start, end = _items(answer, start, end)[1]  # ContentInfo: type, [0]
    _, start, end = _items(answer, start, end)[0]  # SignedData
    within = {tag: (start, end) for tag, start, end in _items(answer, start, end)}
    start, end = within[CONTEXT_0]
    ends = [each[2] for each in _items(answer, start, end)]
    every = sorted(answer[a:b] for a, b in zip([start, *ends], ends, strict=False))
    return answer[:start] + b"".join(every) + answer[end:]


def _items(data: bytes, start: int, end: int) -> list[tuple[int, int, int]]:
    """Return tag, start and end of the content of each item between two offsets."""
    items = []
    while start < end:
        tag, length, start = data[start], data[start + 1], start + 2
        if length & 0x80:
            more = length & 0x7F
            if not 0 < more <= 4:
                raise ValueError("a length that DER does not have")
            length, start = int.from_bytes(data[start : start + more]), start + more
        if start + length > end:
            raise ValueError("an item that is longer than what it lies in")
        items.append((tag, start, start + length))
        start += length
    return items


def _plain(said: object) -> str:
    """Return text with everything escaped that is not ASCII, or writes on a terminal."""
    return "".join(c if c.isascii() and c.isprintable() else c.encode("unicode_escape").decode() for c in str(said))
