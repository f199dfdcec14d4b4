"""One exported call, as everybody who renders it sees it, and how those who render are asked.

In:   what the ledger says of a call, and its row.  Out: `ExportedCall`; the protocols `Rendering` and `Pages`.

The row is read as tolerantly as the listing is (docs/api.md): bytes are kept, and what is understood is put beside them. Whatever
cannot be read is None, and never an error: the bundle holds the row itself. All text is as received and may hold anything
(markup, formulas, control characters, line breaks): who renders it escapes it.

A bundle is written in one pass over its calls, sorted by place. Each file that is made of all calls (`calls.jsonl`, `index.csv`,
`report.html`) is a `Rendering`: it is given one call after the other and returns the bytes for it, and is asked for what stands
above and below them when all are known. So it keeps no call; sums it may keep. `Pages` are several files, each given over as soon
as it is full. Nothing in it may depend on the clock, the
host or the place of the bundle: the same selection of the same archive gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

import msgspec

from harvester.model import State
from harvester.platform import lenient
from harvester.platform.rows import read_call
from harvester.transcript import Turn, turns_of

DATA = "data"
"""The folder of a bag that holds what is handed over (RFC 8493, 2.1.2)."""


class ExportedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a call: as the ledger states it, and what was found when it was copied."""

    key: str  # in the archive, such as "2025/08/04/123.v2.json"
    bytes: int
    sha256: str  # hex
    role: str  # "metadata", "transcript", "recording" or "adopted"
    version: int  # from 1, as its name tells
    run: str  # the first whose ledger names it: its seal is that of the file
    erased: bool = False  # a tombstone in the ledger explains that it is not there
    damage: str | None = None  # what is wrong with it, in words; None: it is as the ledger says
    is_there: bool = True  # it lies in the bundle; a file that is missing or erased does not

    @property
    def path(self) -> str:
        """Where it lies in the bundle, relative to its root; also the address of a link from `report.html`."""
        return f"{DATA}/{self.key}"


class ExportedCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a bundle. What the row does not tell, or not readably, is None."""

    id: str
    place: str  # key without version and suffix, such as "2025/08/04/123"
    version: int  # the latest; the particulars below are those of its row
    row: bytes  # the row byte for byte; empty where it is missing or erased
    fields: dict[str, Any]  # the row, decoded; empty where it is no object
    created_at: str | None  # as received
    updated_at: str | None
    type: str | None  # "inbound", "outbound", "web", or another word
    status: str | None
    assistant: str | None  # its name
    campaign: str | None  # its name
    client_number: str | None
    assistant_number: str | None
    answered_by: str | None
    duration_seconds: float | None
    carrier_cost: Decimal | None  # in the account's currency
    total_cost: Decimal | None
    transcript: str | None  # as text, in the form of the archive's .txt files
    turns: tuple[Turn, ...]  # where the platform sends turns; else empty, and `transcript` is all there is
    files: tuple[ExportedFile, ...]  # all versions, sorted by key
    recording_state: State | None  # how it stands in the archive: saved, absent, pending, failed, gone
    transcript_state: State | None
    proof: str | None  # that the current recording is whole (docs/archive-format.md); None where there is none
    reason: str | None  # why it is pending, failed or gone
    gone: bool = False  # the platform has the call no more
    erased: bool = False  # a tombstone tells that files of it were erased on request
    damaged: tuple[str, ...] = ()  # what is wrong with its files, a sentence each

    @property
    def recording(self) -> ExportedFile | None:
        """The recording as it stands: that of the highest version that lies in the bundle."""
        there = [each for each in self.files if each.role == "recording" and each.is_there]
        return max(there, key=lambda each: each.version, default=None)


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """What is true of a whole bundle, once all its calls are written."""

    name: str  # made of what it holds, the same for the same bundle: "harvester-export-" and ten hex digits
    archive_id: str
    platform: str  # the API's base URL
    account: str | None
    case: str | None
    operator: str | None
    reason: str | None = None  # why it was exported
    selected: str  # by what the calls were chosen, in words
    as_of: str  # end of the newest run of the archive that has closed, UTC: the state that was exported
    calls: int
    files: int  # below data/
    bytes: int  # of these files
    damaged: int  # calls with damaged files
    erased: int  # calls of which files were erased
    runs: tuple[str, ...]  # that have lines of these calls
    unsealed_runs: tuple[str, ...]  # those of them without a seal that holds


class Rendering(Protocol):
    """One file of the bundle that is made of all its calls."""

    @property
    def name(self) -> str:
        """Its path, relative to the bundle's root."""

    def call(self, call: ExportedCall) -> bytes:
        """Return what stands in it for one call. Asked once for each, sorted by place."""

    def head(self, bundle: Bundle) -> bytes:
        """Return what stands above the calls. Asked when all of them have been written."""

    def foot(self, bundle: Bundle) -> bytes:
        """Return what stands below them."""


class Pages(Protocol):
    """Several files of the bundle that are made of all its calls."""

    def call(self, call: ExportedCall) -> Iterator[tuple[str, bytes]]:
        """Take the next call; yield the path and the bytes of each file that is full by now."""

    def end(self, bundle: Bundle) -> Iterator[tuple[str, bytes]]:
        """Yield the path and the bytes of all that are left."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger says of a call, its last line above all."""

    id: str
    place: str
    version: int
    recording_state: State | None = None
    transcript_state: State | None = None
    proof: str | None = None
    reason: str | None = None
    gone: bool = False
    erased: bool = False


def exported(standing: Standing, row: bytes, files: tuple[ExportedFile, ...]) -> ExportedCall:
    """Join what the ledger says of a call with its row; an empty one is a row that is not there. Never raises."""
    call, fields, exact = read_call(row), fields_of(row), _decoded(row, _exact)
    return ExportedCall(
        id=standing.id,
        place=standing.place,
        version=standing.version,
        row=row,
        fields=fields,
        created_at=call.created_at,
        updated_at=_text(fields.get("updated_at")),
        type=_text(fields.get("type")),
        status=call.status,
        assistant=_text(fields.get("assistant_name")),
        campaign=_text(fields.get("campaign_name")),
        client_number=_text(fields.get("client_phone_number")),
        assistant_number=_text(fields.get("assistant_phone_number")),
        answered_by=_text(fields.get("answered_by")),
        duration_seconds=call.duration_seconds,
        carrier_cost=_money(exact.get("carrier_cost")),
        total_cost=_money(exact.get("total_cost")),
        transcript=call.transcript,
        turns=turns_of(fields.get("transcript")),
        files=files,
        recording_state=standing.recording_state,
        transcript_state=standing.transcript_state,
        proof=standing.proof,
        reason=standing.reason,
        gone=standing.gone,
        erased=standing.erased,
        damaged=tuple(f"{each.key}: {each.damage}" for each in files if each.damage),
    )


def fields_of(row: bytes) -> dict[str, Any]:
    """Decode a row, whatever it holds; what is no object has no fields. Never raises."""
    return _decoded(row, _plain)


_plain = msgspec.json.Decoder()
_exact = msgspec.json.Decoder(float_hook=Decimal)


def _decoded(row: bytes, decoder: msgspec.json.Decoder[Any]) -> dict[str, Any]:
    try:
        fields = decoder.decode(row)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, InvalidOperation):
        fields = lenient.read_value(row)
    return fields if isinstance(fields, dict) else {}


def _text(value: object) -> str | None:
    """Return what is text, or an integer that should have been sent as text; None for all else and for blank ones."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value.strip() else None


def _money(value: object) -> Decimal | None:
    """Return an amount exactly as it was written, as a number or as text; None for all else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        amount = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None
