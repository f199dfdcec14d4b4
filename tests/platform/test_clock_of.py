"""How far our clock is off, told from one answer: never wrong by more than it says."""

import datetime as dt
import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.platform.clock import clock_of

NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


@given(
    ahead=st.floats(-1e7, 1e7),
    there=st.floats(0, 60),
    back=st.floats(0, 60),
    at=st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2098, 1, 1), timezones=st.just(dt.UTC)),
)
def test_the_true_offset_is_within_the_uncertainty(ahead: float, there: float, back: float, at: dt.datetime) -> None:
    """However long the question and the answer were on their way, and wherever in its second the server wrote the date."""
    written_at = at + dt.timedelta(seconds=there)
    date = email.utils.format_datetime(written_at.replace(microsecond=0), usegmt=True)
    clock = clock_of(date, at + dt.timedelta(seconds=ahead), there + back)
    assert clock is not None
    assert abs(clock.offset_seconds - ahead) <= clock.uncertainty_seconds + 0.002  # both are rounded to milliseconds
    assert clock.uncertainty_seconds <= (there + back + 1) / 2 + 0.001


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Foo 2026 12:00:00 GMT", "\N{DEGREE SIGN}"])
def test_a_server_that_tells_no_time_tells_nothing_of_ours(date: str) -> None:
    """No date, or one that cannot be read, is no offset of zero: it is none."""
    assert clock_of(date, NOON, 0.1) is None
