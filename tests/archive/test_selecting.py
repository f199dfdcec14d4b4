"""Days and phone numbers select the same calls, whoever asks: holds, erasure, exports."""

import datetime as dt
import json

import pytest

from harvester.archive.choice import Choice, Known
from harvester.archive.selecting import is_of_days, row_numbers
from harvester.export.criteria import Criteria
from harvester.export.exported import Standing, exported
from harvester.model import Entry, State

ANNA = "+1 (415) 555-0101"
PLACE = "2025/08/04/1"


def entry() -> Entry:
    """What the checkpoint knows of a call."""
    return Entry(id="1", digest="", place=PLACE, version=1, recording=State.SAVED, transcript=State.SAVED)


@pytest.mark.parametrize(
    ("row", "is_hers"),
    [
        (b'{"client_phone_number": "+14155550101"}', True),
        (b'{"assistant_phone_number": "001 415 555 0101"}', True),
        (b'{"client_phone_number": 14155550101}', True),
        (b'{"client_phone_number": "+1415555010"}', False),
        (b'{"client_phone_number": null, "transcript": "+14155550101"}', False),
        (b'{"cost": NaN, "client_phone_number": "+14155550101"}', True),
        (b'{"cost": NaN, "client_phone_number": "\\u002b14155550101"}', True),
        (b'{"cost": NaN, "client_phone_number": 14155550101}', True),
        (b'{"cost": NaN, "client_phone_number": "\\q14155550101"}', True),
        (b'{"cost": NaN, "transcript": "\\"client_phone_number\\": \\"+14155550101\\""}', False),
        (b"no JSON at all", False),
    ],
)
def test_a_number_selects_the_same_calls_for_an_export_and_for_erasure(row: bytes, is_hers: bool) -> None:
    """However odd the row is: what was handed over as all calls of a caller is what goes when that is asked for."""
    choice, criteria = Choice(number=ANNA), Criteria(phone_numbers=("+442079460202", ANNA))
    assert choice.covers(entry(), lambda _: Known(row_numbers(row)), in_doubt=False) == is_hers
    assert criteria.means(exported(Standing(id="1", place=PLACE, version=1), row, ())) == is_hers


@pytest.mark.parametrize(
    ("first", "last", "is_in"),
    [
        (None, None, True),
        ("2025-08-04", "2025-08-04", True),
        ("2025-08-05", None, False),
        (None, "2025-08-03", False),
        ("0001-01-01", None, True),
        (None, "0999-12-31", False),
    ],
)
def test_days_select_the_same_calls_for_an_export_and_for_erasure(
    first: str | None, last: str | None, is_in: bool
) -> None:
    """Both are included, and a year of three digits is long ago."""
    start, end = (dt.date.fromisoformat(day) if day else None for day in (first, last))
    assert is_of_days(PLACE, start, end, in_doubt=False) == is_in
    assert Choice(date_from=start, date_to=end).has_day(entry(), in_doubt=False) == is_in
    assert Criteria(date_from=start, date_to=end).may_mean("1", PLACE) == is_in


def test_a_call_without_a_day_is_in_doubt() -> None:
    """A hold by days covers it, an erasure or an export does not; without days it is meant like any other."""
    day = dt.date(2025, 8, 4)
    assert [is_of_days("undated/1", day, day, in_doubt=doubt) for doubt in (True, False)] == [True, False]
    assert is_of_days("undated/1", None, None, in_doubt=False)
    assert not Criteria(date_from=day).may_mean("1", "undated/1")


def test_a_row_may_hold_both_numbers() -> None:
    """Each counts."""
    row = {"client_phone_number": "+1 2", "assistant_phone_number": "003"}
    assert row_numbers(json.dumps(row).encode()) == {"12", "3"}
