"""Pages and rows as the platform documents them, as it was seen to send them, and as nobody should."""

import datetime as dt
import hashlib
import json
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.errors import PlatformError
from harvester.model import UNUSABLE_ID
from harvester.platform.rows import read_call, read_instant, read_page

WHERE = "https://platform.example/api/user/calls"
ENVELOPE = {"current_page": 1, "last_page": 10, "per_page": 15, "total": 150}
ROW = {
    "id": 123,
    "type": "outbound",
    "duration": 245,
    "assistant_phone_number": "+1234567890",
    "client_phone_number": "+1987654321",
    "status": "completed",
    "transcript": "Hello, this is Sarah.",
    "variables": {"customer_name": "John Smith"},
    "total_cost": 0.025,
    "recording_url": "https://recordings.example/calls/123.mp3",
    "created_at": "2025-08-04 14:30:00",
    "updated_at": "2025-08-04 14:34:05",
}
TURNS = [
    {"text": "Hi", "type": "message", "sender": "bot", "timestamp": 1754317800.5},
    {"text": "Yes", "type": "message", "sender": "human", "timestamp": 1754317865.5},
]
TERRIBLE = [
    b"",
    b"null",
    b"7",
    b'"text"',
    b"[]",
    b'{"id":1',
    b'{"id":' + b"9" * 5000 + b"}",
    b'{"id":1,"total_cost":1e999}',
    b'{"id":1,"duration":-1e308,"created_at":"9999-12-31 23:59:59"}',
    b'{"id":1,"transcript":' + b"9" * 400 + b"}",
    b'{"id":1,"transcript":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    b'{"id":1,"status":"\xff\xfe"}',
    b'{"id":1,"status":"\\ud800"}',
    b"\xef\xbb\xbf{}",
    b"\x00",
]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


def row(**fields: object) -> bytes:
    """The documented row with other fields, as JSON."""
    return json.dumps(ROW | fields).encode()


def page(**members: object) -> bytes:
    """An empty page with other members, as JSON."""
    return json.dumps({**ENVELOPE, "data": [], **members}).encode()


def test_the_documented_row_is_understood() -> None:
    """Each field that harvester uses is read from the vendor's example."""
    call = read_call(row())
    assert (call.id, call.status, call.duration_seconds, call.flaw) == ("123", "completed", 245.0, None)
    assert call.created_at == "2025-08-04 14:30:00"
    assert call.ended_at == dt.datetime(2025, 8, 4, 14, 34, 5, tzinfo=dt.UTC)
    assert call.recording_url == "https://recordings.example/calls/123.mp3"
    assert call.transcript == "Hello, this is Sarah.\n"
    assert call.phone_numbers == ("+1987654321", "+1234567890")
    assert not call.unreadable


@pytest.mark.parametrize(("sent", "read"), [(7, "7"), ("7", "7"), ("call_a/b", "call_a/b"), (10**30, "1" + "0" * 30)])
def test_an_id_is_a_number_or_text(sent: object, read: str) -> None:
    """Documented ids are integers, seen ones are strings; both are one text."""
    assert read_call(row(id=sent)).id == read


@pytest.mark.parametrize("sent", [None, True, False, 1.5, {}, [], {"id": 1}, "", "  "])
def test_a_row_without_a_usable_id_gets_one_from_its_bytes(sent: object) -> None:
    """Such a call has a flaw and a name that is the same at every listing; the rest of it is read all the same."""
    call = read_call(row(id=sent))
    assert call.id == read_call(row(id=sent)).id != read_call(row(id=sent, status="failed")).id
    assert call.id.startswith(UNUSABLE_ID)
    assert call.flaw
    assert (call.status, call.unreadable) == ("completed", False)


def test_a_row_without_any_id_is_flawed_too() -> None:
    """A missing id is treated as one that cannot be used."""
    assert read_call(b'{"status":"completed"}').id.startswith(UNUSABLE_ID)


@pytest.mark.parametrize("raw", TERRIBLE)
def test_no_row_is_so_bad_that_it_is_lost(raw: bytes) -> None:
    """Whatever a row holds, it becomes a call with an id and its own bytes; nothing is raised."""
    call = read_call(raw)
    assert call.raw == raw
    assert call.id


@pytest.mark.parametrize("raw", [b"null", b"7", b"[]", b'{"id":1', rb'{"id":1,"status":"\x"}'])
def test_a_row_that_is_no_object_is_unreadable(raw: bytes) -> None:
    """Such a row is kept, has a flaw, and counts as failed."""
    call = read_call(raw)
    assert call.unreadable
    assert call.flaw


@given(
    raw=st.binary(max_size=200)
    | st.dictionaries(st.sampled_from(list(ROW)), JSON).map(lambda row: json.dumps(row).encode())
)
@settings(max_examples=80, deadline=None)
def test_reading_a_row_never_raises(raw: bytes) -> None:
    """Random bytes and random values in every field: always a call, always the same bytes."""
    call = read_call(raw)
    assert call.raw == raw
    assert call.duration_seconds is None or 0 <= call.duration_seconds < 1e9
    assert call.ended_at is None or call.ended_at.tzinfo


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (245, 245.0), (24.5, 24.5), ("245", 245.0), (0, 0.0), (None, None), (True, None), ("", None), ("long", None),
        (-1, None), (10**400, None), ("nan", None), ("inf", None), ([], None), ({}, None),
    ],
)  # fmt: skip
def test_a_duration_is_a_number_of_seconds_or_nothing(sent: object, read: float | None) -> None:
    """Numbers as numbers or text are read; what is no plausible duration is ignored."""
    assert read_call(row(duration=sent)).duration_seconds == read


def test_phone_numbers_may_come_as_numbers() -> None:
    """They are kept out of the ledger all the same, so they must be known."""
    numbers = read_call(row(client_phone_number=4915112345678, assistant_phone_number=True)).phone_numbers
    assert numbers == ("4915112345678",)


@pytest.mark.parametrize("field", ["recording_url", "status", "created_at"])
@pytest.mark.parametrize("sent", [None, "", "   ", 7, [], {}])
def test_what_is_no_text_is_nothing(field: str, sent: object) -> None:
    """`null`, blank text and other types in a text field mean that there is none."""
    assert getattr(read_call(row(**{field: sent})), field) is None


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (None, None), ("", None), ([], None), ({}, None),
        (TURNS, "[00:00] bot: Hi\n[01:05] human: Yes\n"),
    ],
)  # fmt: skip
def test_transcripts_come_as_text_turns_or_nothing(sent: object, read: str | None) -> None:
    """Text, an array of turns with Unix times, and the ways to say that there is none."""
    assert read_call(row(transcript=sent)).transcript == read


@pytest.mark.parametrize(
    "field", ["variables", "evaluation", "webhook_response", "total_cost", "answered_by", "added_later"]
)
@pytest.mark.parametrize("sent", [None, [], {}, "0.02000000", [{"name": "score", "value": 8.5}]])
def test_fields_that_are_not_used_may_hold_anything(field: str, sent: object) -> None:
    """They stay in the row; the call is read as ever."""
    call = read_call(row(**{field: sent}))
    assert (call.id, call.flaw) == ("123", None)


def test_of_two_equal_keys_the_last_counts() -> None:
    """Duplicate keys are read as every common JSON reader does, and both stay in the row."""
    assert read_call(b'{"id":1,"id":2}').id == "2"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2025-08-04 14:30:00", "2025-08-04T14:30:00+02:00"),
        ("2024-01-15T10:30:00Z", "2024-01-15T10:30:00+00:00"),
        ("2024-01-15T10:30:00.123456-05:00", "2024-01-15T10:30:00.123456-05:00"),
        ("2024-01-15", "2024-01-15T00:00:00+01:00"),
        ("15/01/2024 10:30", None), ("0000-00-00 00:00:00", None), ("yesterday", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_instants_are_aware(text: str | None, read: str | None) -> None:
    """A zone is kept; without one the setting's zone counts, summer time included; anything else is nothing."""
    at = read_instant(text, ZoneInfo("Europe/Berlin"))
    assert (at.isoformat() if at else None) == read


@pytest.mark.parametrize(
    ("fields", "ended_at"),
    [
        ({"updated_at": None}, "2025-08-04T14:34:05+00:00"),
        ({"updated_at": None, "duration": None}, "2025-08-04T14:30:00+00:00"),
        ({"updated_at": "?", "created_at": "?"}, None),
        ({"updated_at": None, "created_at": "9999-12-31 23:59:59"}, "9999-12-31T23:59:59+00:00"),
    ],
)
def test_the_end_of_a_call_is_guessed_from_what_there_is(fields: dict[str, object], ended_at: str | None) -> None:
    """Its last change, else its start plus its duration, else its start, else nothing."""
    at = read_call(row(**fields)).ended_at
    assert (at.isoformat() if at else None) == ended_at


SIGNED = [
    b'"https://r.example/1.mp3?expires=%d&signature=%x"',
    rb'"https:\/\/r.example\/1.mp3?expires=%d&signature=%x"',
]


@pytest.mark.parametrize("link", SIGNED)
@pytest.mark.parametrize("spacing", [b":", b": ", b" :\n "])
def test_a_link_signed_anew_is_no_change(link: bytes, spacing: bytes) -> None:
    """Only the query of `recording_url` is left out of the digest, in plain JSON and in PHP's, which escapes slashes: it is
    that of the row with the link alone.
    """
    rows = [b'{"id":1,"recording_url"' + spacing + link % (n, n) + b',"status":"ended"}' for n in (1, 2)]
    assert read_call(rows[0]).digest == read_call(rows[1]).digest
    assert read_call(rows[0]).raw != read_call(rows[1]).raw
    bare = rows[0].replace(link % (1, 1), link.partition(b"?")[0] + b'"')
    assert read_call(rows[0]).digest == hashlib.sha256(bare).hexdigest()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"recording_url":"https://r.example/1.mp3?a"}', '{"recording_url":"https://r.example/2.mp3?a"}'),
        ('{"recording_url":"https://r.example/1.mp3?a","status":"ended"}', '{"recording_url":"https://r.example/1.mp3?a","status":"failed"}'),
        ('{"webhook_url":"https://r.example/1?a=1"}', '{"webhook_url":"https://r.example/1?a=2"}'),
        ('{"transcript":"What? One."}', '{"transcript":"What? Two."}'),
        (r'{"transcript":"\"recording_url\":\"x?1\""}', r'{"transcript":"\"recording_url\":\"x?2\""}'),
        ('{"recording_url":null,"note":"a?1"}', '{"recording_url":null,"note":"a?2"}'),
        ('{"recording_url":"","note":"a?1"}', '{"recording_url":"","note":"a?2"}'),
        ('{"id":1}', '{"id": 1}'),
    ],
)  # fmt: skip
def test_everything_else_is_a_change(one: str, other: str) -> None:
    """Any other byte that differs makes another digest."""
    assert read_call(one.encode()).digest != read_call(other.encode()).digest


@given(raw=st.binary(max_size=100).filter(lambda raw: b"recording_url" not in raw))
@settings(max_examples=50, deadline=None)
def test_without_a_link_the_digest_is_the_sha_256_of_the_row(raw: bytes) -> None:
    """Anyone can reckon the digest again with common tools."""
    assert read_call(raw).digest == hashlib.sha256(raw).hexdigest()


ROWS = (b'{"id": 1,  "a":"\\u00e9"}', b'{"id":"2","b":"\xc3\xa9","c":1.50}', b"7")


@pytest.mark.parametrize("data", [b"[%b, %b ,%b]" % ROWS, b'{"0": %b, "1":%b, "7":%b}' % ROWS])
def test_rows_are_kept_byte_for_byte(data: bytes) -> None:
    """`data` is an array, or an object keyed by index; spaces, escapes and the form of numbers in a row stay as they are."""
    read = read_page(page().replace(b"[]", data), WHERE)
    assert read.rows == ROWS
    assert (read.number, read.last_page, read.per_page, read.total) == (1, 10, 15, 150)


def test_counts_may_come_as_text() -> None:
    """`"150"` is 150: PHP sends numbers as text where the database does."""
    assert read_page(page(total="150", per_page="15"), WHERE).total == 150


@pytest.mark.parametrize("name", ["data", *ENVELOPE])
@pytest.mark.parametrize("value", [None, True, "many", -1, 1.5, 10**30])
def test_a_page_that_is_no_paginator_is_refused(name: str, value: object) -> None:
    """Without usable rows and counts nothing is known about what the account holds: the message asks for the base URL."""
    with pytest.raises(PlatformError, match=rf"{WHERE} answered JSON that is not a page of calls .*base URL\?$"):
        read_page(page(**{name: value}), WHERE)


@pytest.mark.parametrize(
    "body", [*TERRIBLE, b"<!DOCTYPE html>", page().replace(b"150", b"9" * 5000), page().replace(b"150", b"1e999")]
)
def test_a_terrible_page_raises_a_platform_error_and_nothing_else(body: bytes) -> None:
    """No answer, however broken or deep, gets past the border as another error."""
    with pytest.raises(PlatformError, match=WHERE):
        read_page(body, WHERE)


@given(body=st.binary(max_size=100) | JSON.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=50, deadline=None)
def test_reading_a_page_raises_a_platform_error_only(body: bytes) -> None:
    """Random bytes and random JSON are never a page."""
    with pytest.raises(PlatformError):
        read_page(body, WHERE)
