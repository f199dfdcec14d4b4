"""The nouns: what the parts of harvester hand to each other. Nothing here does any I/O.

Call (one row of the listing) · Query (the filters) · Window (a span of dates walked as one) · Page · Entry (what the
archive already holds of a call) · State and Outcome (how a call ended) · Transfer (what a recording's download told).
"""

from __future__ import annotations

import datetime as dt
import enum
from typing import Annotated

import msgspec

from harvester.mask import masked

LIFE = ("initiated", "ringing", "in-progress")
"""The statuses that a call passes through before it ends, in this order."""

UNENDED_STATUSES = frozenset(LIFE)
UNCONNECTED_STATUSES = frozenset({"busy", "no-answer", "failed", "unanswered"})
"""Statuses of calls that nobody took: no recording will come (docs/api.md; `unanswered` from the vendor's second page)."""

KNOWN_STATUSES = (
    UNENDED_STATUSES | UNCONNECTED_STATUSES | {"ended", "completed", "ended_by_customer", "ended_by_assistant"}
)
"""Every status that the vendor documents. The set is open: another one earns a warning, never a refusal."""

KNOWN_TYPES = ("inbound", "outbound", "web")


UNUSABLE_ID = "without-id-"
"""How the id begins that is made from the bytes of a row without a usable one."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One phone call, as one row of the listing describes it.

    `raw` is the row byte for byte. The archive writes `raw`, never a rebuilt copy, so a field
    that the API adds tomorrow is kept today.
    """

    id: str
    raw: bytes
    digest: str  # SHA-256 in hex of `raw` without the query string of its recording_url: equal digests, same row
    created_at: str | None  # as received; the zone is a setting
    ended_at: dt.datetime | None  # aware; the best guess: updated_at, else created_at plus the duration
    status: str | None
    duration_seconds: float | None
    recording_url: str | None  # None: not recorded, or not yet
    transcript: str | None  # as text; None: there is none, or not yet
    phone_numbers: tuple[str, ...]  # as received; used only to keep them out of the ledger
    flaw: str | None = None  # what was wrong with the row, when it could not be read as documented
    unreadable: bool = False  # nothing at all could be read: the row is kept, and the call counts as failed

    @property
    def has_ended(self) -> bool:
        """Whether the call is over; a status that nobody knows counts as over."""
        return self.status not in UNENDED_STATUSES

    @property
    def created_on(self) -> dt.date | None:
        """The day of `created_at` as received; None where it cannot be read."""
        try:
            return dt.date.fromisoformat((self.created_at or "")[:10])
        except ValueError:
            return None

    @property
    def link(self) -> str | None:
        """The recording's link without query, user and phone numbers: the same, however often it is signed anew."""
        if not self.recording_url:
            return None
        scheme, separator, rest = self.recording_url.partition("?")[0].partition("#")[0].rpartition("://")
        host, slash, path = rest.partition("/")
        return masked(f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}", self.phone_numbers)


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """The filters of a run, as `GET /user/calls` names them. Several statuses are several requests."""

    status: tuple[str, ...] = ()
    type: str | None = None
    phone_number: str | None = None
    assistant_id: int | None = None
    campaign_id: int | None = None
    date_from: dt.date | None = None
    date_to: dt.date | None = None


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What is walked as one: the query cut down to one status and one span of days."""

    query: Query
    status: str | None = None
    date_from: dt.date | None = None  # as the platform is asked; None: no such filter
    date_to: dt.date | None = None
    closed: bool = False  # its days are over in every zone: no call can be created in it any more

    def parameters(self) -> dict[str, str]:
        """Return the query parameters of the API that select this window."""
        query = self.query
        chosen = {
            "status": self.status,
            "type": query.type,
            "phone_number": query.phone_number,
            "assistant_id": query.assistant_id,
            "campaign_id": query.campaign_id,
            "date_from": self.date_from,
            "date_to": self.date_to,
        }
        return {name: str(value) for name, value in chosen.items() if value is not None}

    def named(self) -> dict[str, str | None]:
        """Return its days and its status as ledger lines name them."""
        return {
            "from": str(self.date_from) if self.date_from else None,
            "to": str(self.date_to) if self.date_to else None,
            "status": self.status and masked(self.status),
        }


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the listing: its rows byte for byte, and what the paginator says around them."""

    number: int
    total: int  # calls in the whole listing, as the platform counted at this request
    last_page: int
    per_page: int  # what was really used
    rows: tuple[bytes, ...]


class RawPage(msgspec.Struct, frozen=True, kw_only=True):
    """One list page as the platform sent it, whether or not anybody can read it."""

    window: Window
    number: int  # as it was asked for
    per_page: int  # as was asked for
    body: bytes  # with what HTTP packed it in taken off
    received_at: dt.datetime  # aware
    readable: bool
    key_removed: bool = False  # it held the API key, and holds `(secret)` in its place


class WindowResult(msgspec.Struct, frozen=True, kw_only=True):
    """How the walk of one window ended. `reason` says why it is unproven; None when it is proven whole."""

    window: Window
    total_at_start: int
    total_at_end: int
    distinct_ids: int
    walks: int
    reason: str | None

    @property
    def proven(self) -> bool:
        """Whether the window is known to be whole."""
        return self.reason is None


class State(enum.StrEnum):
    """How the recording, or the transcript, of one call ended in one run. Every call listed has exactly one of each."""

    SAVED = "saved"  # written by this run
    UNCHANGED = "unchanged"  # lies in the archive since an earlier run
    ABSENT = "absent"  # the call has none
    PENDING = "pending"  # not there yet: the next run asks again
    FAILED = "failed"  # could not be had: the next run tries again
    GONE = "gone"  # the platform had it once and has it no more


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What the archive holds of one call, as its ledger lines tell."""

    id: str
    digest: str
    place: str  # the key of its files without version and suffix: "2025/08/04/123"
    version: int  # the latest version written; versions start at 1
    recording: State  # how it stands, never UNCHANGED
    transcript: State
    offered: bool = False  # the platform has named a recording at some time
    link: str | None = (
        None  # of the recording that the archive holds, as the row named it, without query and phone numbers
    )
    left: bool = False  # its recording is pending because recordings were switched off
    gone: bool = False  # the platform has the call itself no more; the archive keeps what it holds of it
    erased: bool = False  # its files were erased on purpose: it is never fetched again
    reason: str | None = None  # why it is pending, failed or gone


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """What the download of a recording told, beside its bytes."""

    link: str  # without query
    status: int
    headers: dict[str, str]  # allow-listed, names in lower case
    redirect_hosts: tuple[str, ...]  # the last one answered
    framing: str  # how the body's end was told: "content-length", "chunked-end" or "close"
    attempts: int
    started_at: dt.datetime
    finished_at: dt.datetime
    resumed_at_bytes: tuple[int, ...] = ()  # where attempts broke off and later ones went on
    certificate_sha256: str | None = None  # in hex, of the server that answered; None: it was not spoken to by TLS


PAGE = "page"
"""The role of a list page that is kept as it came. It belongs to no single call: it holds the rows of many."""


Count = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
"""A number that every database takes: whoever forges a ledger line may write any."""


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the archive: key relative to its root, size, SHA-256 in hex, and what it is to its call."""

    path: str
    bytes: Count
    sha256: str
    role: str  # "metadata", "transcript", "recording", PAGE, or "adopted": found without a ledger line


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one call of the listing ended in this run."""

    id: str
    recording: State
    transcript: State
    bytes: int = 0  # written for this call
    reason: str | None = None  # why it failed, is pending or gone; None otherwise
    known: bool = False  # the archive said so already; this run has learnt nothing new
    erased: bool = False  # it was erased from the archive, and is left alone
    unproven: bool = False  # the recording was saved by this run, and nothing proves that it is whole
    quote: str = ""  # how what came instead of the recording begins: for the screen, not for any file of the archive


class Figures(msgspec.Struct, kw_only=True):
    """What the listing showed of the calls of one day: how many there are, and how many of them have what."""

    calls: int = 0
    recorded: int = 0  # with a link to a recording
    transcribed: int = 0
    timed: int = 0  # with a duration above 0

    def take(self, call: Call) -> None:
        """Count one call."""
        self.calls += 1
        self.recorded += call.recording_url is not None
        self.transcribed += call.transcript is not None
        self.timed += bool(call.duration_seconds)


Days = dict[dt.date, Figures]
"""Figures for each day on which calls were created, as `created_at` names it."""


class Reach(enum.StrEnum):
    """How much of the account a run lists."""

    FULL = "full"  # everything that its filters select
    RECENT = "recent"  # from the last proven day on, less the look-back, and what is still open
    DATES = "dates"  # the days that were asked for


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """What a run that ended by itself has proven, as its last ledger line tells."""

    reach: Reach
    filters: dict[str, str]  # the filters of its query without dates, by their names; never a phone number
    by_number: bool = False  # a phone number was asked for besides
    listed_from: dt.date | None = None
    proven_through: dt.date | None = None  # every call up to this day has been listed under these filters, and proven
    proven: bool = False  # the run ended by itself, and all that it listed is proven whole
    days: Days = msgspec.field(default_factory=dict)  # those that the run has listed whole


class PastRun(msgspec.Struct, frozen=True, kw_only=True):
    """One closed run of the archive."""

    run: str
    closed_at: dt.datetime  # aware
    verdict: str
    coverage: Coverage
