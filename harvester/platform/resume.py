"""Decide whether a broken download may go on where it broke off.

In:   what the first answer said, how many bytes of its body came, what the answer to a request for the rest says.  Out: the
headers to ask with, and what that answer's body is: the rest, the whole once more, or of no use.

A recording that is pieced together wrongly looks like any other, so the rest is taken only where nothing speaks against it. The
first answer must have named a length and a strong ETag; `If-Range` binds the server to that ETag; and the answer must come
from the same place, name exactly the bytes that are missing, of as many as before, with the same ETag and the same digests.
In every other case the download starts over. A weak ETag or a date is no reason to believe that bytes are equal (RFC 9110, 8.8).

What is told of a resumed recording is what the first answer said of the whole: its length, its digests. A 206 speaks of a part.
"""

from __future__ import annotations

import datetime as dt
import enum
import re

import msgspec

from harvester.errors import TransientError
from harvester.model import Transfer

RESUME_ABOVE_BYTES = 64 * 1024 * 1024
"""Less than this is fetched again whole: it costs seconds, and every fetched whole is one thing less to trust a server with."""

KEPT_HEADERS = (
    "content-type",
    "content-length",
    "content-encoding",
    "etag",
    "last-modified",
    "date",
    "content-md5",
    "repr-digest",
    "content-digest",
    "digest",
    "x-amz-checksum-sha256",
    "x-amz-checksum-sha1",
    "x-goog-hash",
    "x-goog-stored-content-encoding",
)
"""What a recording's server said that may matter as evidence. Everything else is left out: it may hold anything."""

CONTENT_RANGE = re.compile(r"bytes +(\d{1,15})-(\d{1,15})/(\d{1,15})", re.ASCII | re.IGNORECASE)
"""RFC 9110, 14.4, without the form that leaves the whole length open (`/*`), and none that a 416 has."""

STRONG_ETAG = re.compile(r'"[!#-~]+"', re.ASCII)
"""RFC 9110, 8.8.3, of printable ASCII alone: it is sent back. An empty one tells nothing apart."""

OF_WHOLE = ("repr-digest", "digest", "x-goog-hash")
"""Headers that speak of the whole recording in a 206, too (RFC 9530, RFC 3230, Google Cloud Storage)."""


class ContentRange(msgspec.Struct, frozen=True):
    """Which bytes a 206 brings: the first and the last, counted from 0, and of how many."""

    first: int
    last: int
    total: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a recording's server said before it sent a body."""

    url: str  # without its query; where the answer came from, redirects followed
    status: int
    headers: dict[str, str]  # allow-listed, names in lower case
    redirect_hosts: tuple[str, ...]
    certificate_sha256: str | None  # as in `Transfer`
    framing: str  # as in `Transfer`
    length_bytes: int | None  # of this answer's body
    content_range: str | None
    encoding: str
    asked_at: dt.datetime


class Body(enum.Enum):
    """What follows an answer."""

    REST = "the bytes that are missing"
    WHOLE = "the recording from its first byte"
    USELESS = "neither"


def read_content_range(text: str | None) -> ContentRange | None:
    """Read a `Content-Range`; None for one that is missing, malformed, contradicts itself or leaves the whole length open."""
    found = CONTENT_RANGE.fullmatch((text or "").strip())
    if found is None:
        return None
    told = ContentRange(*map(int, found.groups()))
    return told if told.first <= told.last < told.total else None


def discord(first: Answer, received_bytes: int, answer: Answer) -> str | None:
    """Say why an answer does not bring the rest of what `first` began; None: it does."""
    if answer.status != 206:
        return f"it answered {answer.status}"
    told = read_content_range(answer.content_range)
    if told is None or (told.first, told.last) != (received_bytes, told.total - 1):
        return "it sent other bytes than were asked for"
    if told.total != first.length_bytes:
        return "its length has changed"
    if answer.length_bytes not in (None, told.total - received_bytes):
        return "its length contradicts its range"
    if answer.headers.get("etag") != first.headers.get("etag"):
        return "its ETag has changed"
    if answer.url != first.url or answer.encoding != "identity":
        return "it came from another place, or encoded"
    both = [name for name in OF_WHOLE if name in first.headers and name in answer.headers]
    return "its digest has changed" if any(first.headers[name] != answer.headers[name] for name in both) else None


class Download:
    """What is remembered of the download of one link, from attempt to attempt. The bytes themselves lie in the sink."""

    def __init__(self, above_bytes: int = RESUME_ABOVE_BYTES) -> None:
        """Nothing is resumed of which fewer than `above_bytes` came."""
        self._above_bytes = above_bytes
        self._first: Answer | None = None
        self._more_headers: dict[str, str] = {}
        self._resumed_at_bytes: tuple[int, ...] = ()

    def rest_asked(self, received_bytes: int) -> dict[str, str]:
        """Return the headers that ask for what is missing; none where the whole is to be asked for.

        A download that has come to its end is never resumed: whoever did not like it wants another one.
        """
        first = self._first
        if first is None or first.framing != "content-length" or not (etag := first.headers.get("etag")):
            return {}
        if first.encoding != "identity":  # what came is counted unpacked
            return {}
        if not STRONG_ETAG.fullmatch(etag) or not self._above_bytes <= received_bytes < (first.length_bytes or 0):
            return {}
        return {"Range": f"bytes={received_bytes}-", "If-Range": etag}

    def take(self, answer: Answer, received_bytes: int) -> tuple[Body, str]:
        """Say what body follows an accepted answer, and, where the rest was asked for and does not follow, why it does not.

        After a useless one `rest_asked` asks for the whole.
        """
        why = ""
        if self._first is not None and self.rest_asked(received_bytes):
            why = discord(self._first, received_bytes, answer) or ""
            if not why:
                self._more_headers |= {name: answer.headers[name] for name in OF_WHOLE if name in answer.headers}
                self._resumed_at_bytes += (received_bytes,)
                return Body.REST, ""
        self._first, self._more_headers, self._resumed_at_bytes = None, {}, ()
        if answer.status != 200:
            return Body.USELESS, why
        self._first = answer
        return Body.WHOLE, why

    def ended(self, received_bytes: int, link: str, attempt: int) -> Transfer:
        """Return what is told of a download whose body has come to its end; `link` is without its query.

        Raises TransientError when the parts of a resumed one do not add up; it starts over then.
        """
        first = self._first
        if first is None:
            raise AssertionError("a download ends that has not begun")
        if self._resumed_at_bytes and received_bytes != first.length_bytes:
            self._first = None
            raise TransientError(
                f"{link}: the parts of the recording hold {received_bytes:,} bytes, not {first.length_bytes:,}"
            )
        return Transfer(
            link=link,
            status=first.status,
            headers=self._more_headers | first.headers,
            redirect_hosts=first.redirect_hosts,
            certificate_sha256=first.certificate_sha256,
            framing=first.framing,
            attempts=attempt,
            resumed_at_bytes=self._resumed_at_bytes,
            started_at=first.asked_at,
            finished_at=dt.datetime.now(dt.UTC),
        )
