"""Read what the API sends: a list page into its rows, a row into a `Call`.

In:   bytes.  Out: `Page`, `Call`.

Tolerant by rule: the bytes are kept, what is understood is put beside them, and whatever cannot be understood becomes a
`flaw` of the call, never an error. Only a page that is no paginator is refused, because then nothing at all is known
about what the account holds. What is no JSON because of one row is read leniently. The shapes stand in docs/api.md.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from typing import Annotated

import msgspec

from harvester.errors import PlatformError
from harvester.model import UNUSABLE_ID, Call, Page
from harvester.platform import lenient
from harvester.transcript import transcript_text

LINK_QUERY = re.compile(rb'("recording_url"\s*:\s*"[^"?]*)\?[^"]*"')
"""The query of a recording's link inside a row. Signed links differ at every listing; the call does not."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""A number of calls or pages; beyond 2^53 JSON's own readers do not agree on a number any more."""


class _Envelope(msgspec.Struct):
    """The members of Laravel's LengthAwarePaginator that we rely on; the others are not looked at."""

    data: list[msgspec.Raw] | dict[str, msgspec.Raw]
    current_page: Count
    last_page: Count
    per_page: Count
    total: Count


_envelope = msgspec.json.Decoder(_Envelope, strict=False)
_any = msgspec.json.Decoder()


def read_page(body: bytes, where: str) -> Page:
    """Read one list page. `where` is its URL without query, for the message.

    Raises PlatformError when it is not JSON or not a paginator with `data`, `total`, `last_page`, `per_page`, `current_page`.
    """
    try:
        page, rows = _page_and_rows(body)
    except msgspec.ValidationError as error:
        raise PlatformError(
            f"{where} answered JSON that is not a page of calls ({error}): is this the call API's base URL?"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PlatformError(f"{where} answered something that is not JSON ({error})") from error
    return Page(
        number=page.current_page,
        total=page.total,
        last_page=page.last_page,
        per_page=page.per_page,
        rows=rows,
    )


def _page_and_rows(body: bytes) -> tuple[_Envelope, tuple[bytes, ...]]:
    """Read a page as JSON, or leniently when one row has made it none. Raises what msgspec raises."""
    try:
        page = _envelope.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = lenient.read_envelope(body)
        if found is None:
            raise
        known = {name: value for name, value in found.others.items() if name in _Envelope.__struct_fields__}
        if found.rows is not None:
            known["data"] = b"[]"
        counts = b",".join(b'"%b":%b' % (name.encode(), value) for name, value in known.items())
        return _envelope.decode(b"{%b}" % counts), found.rows or ()
    rows = page.data.values() if isinstance(page.data, dict) else page.data
    return page, tuple(bytes(row) for row in rows)


def read_call(raw: bytes, naive_zone: dt.tzinfo = dt.UTC) -> Call:
    """Read one row, whatever it holds. `naive_zone` is the zone of timestamps that bear none.

    A row that is no object, or has no usable id, gets an id made from its bytes and a `flaw`.
    """
    digest = hashlib.sha256(LINK_QUERY.sub(_without_query, raw)).hexdigest()
    try:
        row = _any.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        row = lenient.read_value(raw)
    if not isinstance(row, dict):
        return _flawed(raw, digest, "the row is not a JSON object")
    call_id = _id(row.get("id"))
    duration_seconds = _number(row.get("duration"))
    return Call(
        id=call_id or UNUSABLE_ID + digest[:16],
        raw=raw,
        digest=digest,
        created_at=_text(row.get("created_at")),
        ended_at=_ended_at(row, duration_seconds, naive_zone),
        status=_text(row.get("status")),
        duration_seconds=duration_seconds,
        recording_url=_text(row.get("recording_url")),
        transcript=transcript_text(row.get("transcript")),
        phone_numbers=tuple(
            filter(None, (_id(row.get("client_phone_number")), _id(row.get("assistant_phone_number"))))
        ),
        flaw=None if call_id else "the row has no usable id",
    )


def read_instant(text: str | None, naive_zone: dt.tzinfo = dt.UTC) -> dt.datetime | None:
    """Read `2025-08-04 14:30:00` or an ISO 8601 instant; None for anything else. The result is aware."""
    if text is None:
        return None
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=naive_zone)


def _without_query(link: re.Match[bytes]) -> bytes:
    """Return what stays of a link: a function, because a template would be looked up for each row."""
    return link[1] + b'"'


def _flawed(raw: bytes, digest: str, flaw: str) -> Call:
    return Call(
        id=UNUSABLE_ID + digest[:16],
        raw=raw,
        digest=digest,
        created_at=None,
        ended_at=None,
        status=None,
        duration_seconds=None,
        recording_url=None,
        transcript=None,
        phone_numbers=(),
        flaw=flaw,
        unreadable=True,
    )


def _id(value: object) -> str | None:
    """Return an id, or a phone number, as text, whether it came as text or as an integer; None for all else, `true` included."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return str(value)
    return value if isinstance(value, str) and value.strip() else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < 1e9 else None


def _ended_at(row: dict[str, object], duration_seconds: float | None, zone: dt.tzinfo) -> dt.datetime | None:
    """Guess when the call ended: its last change, which is never before its end, else its start plus its duration."""
    changed_at = read_instant(_text(row.get("updated_at")), zone)
    if changed_at is not None:
        return changed_at
    created_at = read_instant(_text(row.get("created_at")), zone)
    if created_at is None:
        return None
    try:
        return created_at + dt.timedelta(seconds=duration_seconds or 0)
    except OverflowError:
        return created_at
