"""An exported call is read as tolerantly as the listing is, and loses no digit."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.export.exported import ExportedCall, ExportedFile, Standing, exported
from harvester.model import State

STANDING = Standing(id="123", place="2025/08/04/123", version=1, recording_state=State.SAVED)
ROW = {
    "id": 123,
    "assistant_name": "Sales",
    "campaign_name": None,
    "type": "outbound",
    "duration": 245,
    "client_phone_number": "+1987654321",
    "assistant_phone_number": 1234567890,
    "status": "completed",
    "transcript": [
        {"sender": "bot", "text": "Hello.", "timestamp": 1700000000.0},
        {"sender": "human", "text": "Hi.", "timestamp": 1700000065.5},
    ],
    "carrier_cost": "0.02000000",
    "answered_by": "human",
    "created_at": "2025-08-04 14:30:00",
}


def read(row: bytes, *files: ExportedFile) -> ExportedCall:
    """Return the call of a row."""
    return exported(STANDING, row, files)


def file(key: str, role: str, version: int, damage: str | None = None, *, is_there: bool = True) -> ExportedFile:
    """Return one file of the call."""
    return ExportedFile(
        key=key, bytes=1, sha256="", run="", role=role, version=version, damage=damage, is_there=is_there
    )


def test_the_particulars_are_those_of_the_row() -> None:
    """Each documented field has its place; turns bear seconds since the first."""
    call = read(json.dumps(ROW).encode())
    assert (call.id, call.type, call.status, call.assistant, call.campaign) == (
        "123",
        "outbound",
        "completed",
        "Sales",
        None,
    )
    assert (call.client_number, call.assistant_number) == ("+1987654321", "1234567890")
    assert (call.duration_seconds, call.answered_by) == (245, "human")
    assert [(turn.sender, turn.text, turn.at_seconds) for turn in call.turns] == [
        ("bot", "Hello.", 0),
        ("human", "Hi.", 65.5),
    ]
    assert call.transcript == "[00:00] bot: Hello.\n[01:06] human: Hi.\n"


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ('"0.02000000"', Decimal("0.02000000")),
        ("0.10000000000000000001", Decimal("0.10000000000000000001")),
        ("3", Decimal(3)),
        ("null", None),
        ("true", None),
        ('"NaN"', None),
        ('"dear"', None),
        ("[]", None),
    ],
)
def test_money_loses_no_digit(written: str, amount: Decimal | None) -> None:
    """An amount is a Decimal with the digits that were sent, as a number or as text; what is none is None."""
    call = read(b'{"id":1,"total_cost":%s}' % written.encode())
    assert str(call.total_cost) == str(amount)


@given(
    st.one_of(st.binary(), st.recursive(st.none() | st.text(), st.lists).map(lambda each: json.dumps(each).encode()))
)
def test_no_row_is_too_odd(row: bytes) -> None:
    """Whatever lies where a row should be, the call keeps the id and place that the ledger tells, and the bytes."""
    call = read(row)
    assert (call.id, call.place, call.row) == ("123", "2025/08/04/123", row)


def test_the_recording_is_the_latest_that_is_there() -> None:
    """Of several versions the highest counts, by number and not by name, unless it is missing."""
    older = file("2025/08/04/123.v9.mp3", "recording", 9)
    newer = file("2025/08/04/123.v10.mp3", "recording", 10)
    lost = file("2025/08/04/123.v11.mp3", "recording", 11, "missing", is_there=False)
    call = read(b"{}", newer, lost, older)
    assert call.recording == newer
    assert newer.path == "data/2025/08/04/123.v10.mp3"
    assert call.damaged == ("2025/08/04/123.v11.mp3: missing",)
    assert read(b"{}").recording is None
