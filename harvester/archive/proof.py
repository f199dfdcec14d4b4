"""Judge whether what came in is a recording, and whether it is the whole of it.

In:   a `Part` whose body's end was reached, and the `Transfer` of it.  Out: container and proof, or an error.

A body with a length, or in chunks with an end, is whole when the transport says so. A body with neither ends when the
connection does, and every HTTP library calls that success, wherever it was cut. Such a body needs another proof: its own
structure, its length in time against the call's, or a second download that brings the same bytes. An error page is not a
recording: the container is told from the bytes.
"""

from __future__ import annotations

import re

import anyio.to_thread

from harvester.archive.part import Part
from harvester.container.sniff import Container, Measure, measure, sniff
from harvester.errors import LinkError, TransientError
from harvester.model import Call, Transfer

SHORTFALL_SECONDS = 2.0
"""How much shorter than the call's `duration` a recording may be: both are rounded, and ringing may count on one side."""

SHORTFALL_SHARE = 0.1
"""The same as a share, for long calls."""

MARKUP = re.compile(rb"\s*(<[!?]?[A-Za-z]{1,16})")


class Judge:
    """Judges the recording of one call, over all its attempts. After success `container` and `proof` are set."""

    container: Container
    proof: str

    def __init__(self, part: Part) -> None:
        self._part = part
        self._last_download: bytes | None = None

    async def __call__(self, call: Call, transfer: Transfer) -> None:
        """Accept what lies in the part, or raise.

        Raises LinkError for what is no recording, TransientError for what may have been cut.
        """
        container = sniff(self._part.head)
        if container is None:
            raise LinkError(f"{transfer.link} is not a recording: {_told(self._part.head)}", transfer.status)
        self.container = container
        self.proof = transfer.framing
        if transfer.framing == "close":
            measured, digest = await anyio.to_thread.run_sync(self._examine, container)
            proof = weigh(measured, call.duration_seconds, same_as_before=digest == self._last_download)
            self._last_download = digest
            if proof is None:
                raise TransientError(
                    f"{transfer.link} may have been cut: it came without a length, and {measured.detail}"
                )
            self.proof = proof

    def _examine(self, container: Container) -> tuple[Measure, bytes]:
        with self._part.reader() as file:
            measured = measure(file, container)
            return measured, self._part.digest()


def weigh(measured: Measure, call_seconds: float | None, *, same_as_before: bool) -> str | None:
    """Return the proof that a body without length is whole, or None when there is none.

    `call_seconds` is the call's duration, `same_as_before` whether the attempt before brought the same bytes. Equal
    downloads prove nothing where the recording itself shows that it was cut: whatever cuts it may cut it there every time.
    """
    if measured.whole is not None:
        return "structure" if measured.whole else None
    if measured.duration_seconds and call_seconds:
        shortfall_seconds = call_seconds - measured.duration_seconds
        return "duration" if shortfall_seconds <= max(SHORTFALL_SECONDS, SHORTFALL_SHARE * call_seconds) else None
    return "two-downloads" if same_as_before else None


def _told(head: bytes) -> str:
    """Say what lies there instead, without quoting it: an error page may name the caller, or repeat the signed link."""
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
