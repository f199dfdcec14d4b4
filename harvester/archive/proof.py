"""Judge whether what came in is a recording, and whether it is the whole of it.

In:   a `Part` whose body's end was reached, and the `Transfer` of it.  Out: container and proof, or an error.

The strongest proof is named, in this order:

    digest         the server said what the bytes hash to, and they do
    content-length, chunked-end   the transport said where the body ends, and it was reached
    structure      the container's own lengths agree
    duration       the recording is as long as its call
    digest         the ETag may be an MD5, and it is that of the bytes: nobody promised it, so it is asked late
    two-downloads  two of them brought the same bytes
    unproven       none of these, and nothing shows that it was cut: it is kept, and the account says so

A body with neither length nor chunks ends when the connection does, and every HTTP library calls that success, wherever it was
cut. A digest that was promised and does not match is a failure whatever else holds. An error page is not a recording: the
container is told from the bytes.
"""

from __future__ import annotations

import re

import anyio.to_thread

from harvester.archive import steps
from harvester.archive.digest import etag_md5, promised
from harvester.archive.part import Part
from harvester.container.sniff import Container, Measure, measure, sniff
from harvester.errors import LinkError, TransientError
from harvester.model import Call, Transfer

SHORTFALL_SECONDS = 2.0
"""How much shorter than the call's `duration` a recording may be: both are rounded, and ringing may count on one side."""

SHORTFALL_SHARE = 0.1
"""The same as a share, for long calls."""

MARKUP = re.compile(rb"\s*(<[!?]?[A-Za-z]{1,16})")

UNPROVEN = "unproven"

MOST_DOWNLOADS = 3
"""How often a recording is fetched that nothing but an equal download can prove: of three, two are equal if only one was cut."""


class Judge:
    """Judges the recording of one call, over all its attempts. After success `container` and `proof` are set."""

    container: Container
    proof: str

    def __init__(self, part: Part) -> None:
        self._part = part
        self._downloads: list[bytes] = []  # SHA-256 of each that came without a length
        self._longest_bytes = 0  # of those
        # What lacked nothing but a proof, and how the part stood then: its restarts, its size in bytes.
        self._doubted: tuple[tuple[int, int], Transfer] | None = None

    @classmethod
    def told(cls, part: Part, container: Container, proof: str) -> Judge:
        """Return one whose judgement was made where the recording came in."""
        judge = cls(part)
        judge.container, judge.proof = container, proof
        return judge

    async def __call__(self, call: Call, transfer: Transfer) -> None:
        """Accept what lies in the part, or raise.

        Raises LinkError for what is no recording, TransientError for what may have been cut or damaged.
        """
        container = sniff(self._part.head)
        if container is None:
            head = self._part.head
            said = head.decode("utf-8", "backslashreplace")
            raise LinkError(f"{transfer.link} is not a recording: {_told(head)}", transfer.status, said)
        self.container = container
        if digest := promised(transfer.headers, transfer.status):
            if await anyio.to_thread.run_sync(self._part.digest, digest.algorithm) != digest.value:
                raise TransientError(
                    f"{transfer.link} came cut or damaged: its bytes are not those that {digest.header} promises"
                )
            self.proof = "digest"
        elif transfer.framing != "close":
            self.proof = transfer.framing
        else:
            self.proof = await self._without_length(call, transfer, container)

    def resort(self) -> Transfer | None:
        """Accept what lies in the part as unproven, for when no further download can be had; return its transfer.

        None where there is nothing to accept: no attempt came to its end, or what came may have been cut or damaged.
        """
        if self._doubted is None or self._doubted[0] != (self._part.restarts, self._part.size_bytes):
            return None
        self.proof = UNPROVEN
        return self._doubted[1]

    async def _without_length(self, call: Call, transfer: Transfer, container: Container) -> str:
        """Return the proof of a body that ended with its connection. Raises TransientError where another may tell more."""
        measured, digest = await anyio.to_thread.run_sync(self._examine, container)
        proof = weigh(measured, call.duration_seconds, same_as_before=digest in self._downloads)
        if proof in (None, UNPROVEN) and (md5 := etag_md5(transfer.headers)):
            proof = "digest" if await anyio.to_thread.run_sync(self._part.digest, "md5") == md5 else proof
        self._downloads.append(digest)
        self._longest_bytes = max(self._longest_bytes, self._part.size_bytes)
        flaw = None if proof else measured.detail
        if proof in ("two-downloads", UNPROVEN) and self._part.size_bytes < self._longest_bytes:
            flaw = "an earlier download was longer"
        if proof is None or flaw:
            raise TransientError(f"{transfer.link} may have been cut: it came without a length, and {flaw}")
        if proof == UNPROVEN and len(self._downloads) < MOST_DOWNLOADS:
            self._doubted = (self._part.restarts, self._part.size_bytes), transfer
            raise TransientError(
                f"{transfer.link} came without a length, and only an equal download can show that it is whole"
            )
        return proof

    def _examine(self, container: Container) -> tuple[Measure, bytes]:
        part = self._part
        with part.reader() as file, steps.step("read", part.path, part.size_bytes):
            measured = measure(file, container)
            return measured, self._part.digest()


def weigh(measured: Measure, call_seconds: float | None, *, same_as_before: bool) -> str | None:
    """Return the proof that a body without length is whole, `UNPROVEN` where there is none, None where it shows a cut.

    `call_seconds` is the call's duration, `same_as_before` whether an attempt before brought the same bytes. Equal
    downloads prove nothing where the recording itself shows that it was cut: whatever cuts it may cut it there every time.
    """
    if measured.whole is not None:
        return "structure" if measured.whole else None
    if measured.duration_seconds and call_seconds:
        shortfall_seconds = call_seconds - measured.duration_seconds
        return "duration" if shortfall_seconds <= max(SHORTFALL_SECONDS, SHORTFALL_SHARE * call_seconds) else None
    return "two-downloads" if same_as_before else UNPROVEN


def _told(head: bytes) -> str:
    """Say what lies there instead, for the ledger, which quotes nothing: a page may name the caller, or hold what was spoken."""
    text = head.lstrip()
    if not text:
        return "it is empty"
    if markup := MARKUP.match(head):
        return f"it begins with {markup[1].decode()!a}, as pages do"
    if text[:1] in (b"{", b"["):
        return f"it begins with {text[:1].decode()!a}, as JSON does"
    if head.isascii() and head.decode().replace("\r", "").replace("\n", "").isprintable():
        return "it begins with text"
    return f"it begins with the bytes {head[:4].hex(' ')}"
