"""Cutting a listing into windows of dates: pure decisions."""

import datetime as dt
import itertools

from hypothesis import given
from hypothesis import strategies as st

from harvester.model import Query
from harvester.platform.windows import (
    OPEN_DAYS,
    PAGES_PER_OPEN_WINDOW,
    DateRule,
    Span,
    cut,
    separate_open_days,
    window_of,
)

TODAY = dt.date(2026, 11, 23)
DAY = dt.timedelta(days=1)
days = st.dates(dt.date(2020, 1, 1), TODAY)


@given(days, st.integers(0, 2000), st.integers(PAGES_PER_OPEN_WINDOW + 1, 10_000), st.booleans(), st.booleans())
def test_the_parts_of_a_span_hold_every_day_of_it_once(
    first: dt.date, length: int, pages: int, open_before: bool, open_after: bool
) -> None:
    """Neighbours meet exactly, and the outermost edges are those of the span."""
    last = first + length * DAY
    span = Span(first=None if open_before else first, last=None if open_after else last)
    parts = cut(span, pages, first, last, PAGES_PER_OPEN_WINDOW)
    assert (parts[0].first, parts[-1].last) == (span.first, span.last)
    for before, after in itertools.pairwise(parts):
        assert before.last is not None
        assert after.first == before.last + DAY


def test_a_day_cannot_be_cut() -> None:
    """However many pages one day holds, it stays one window."""
    span = Span(first=TODAY, last=TODAY)
    assert cut(span, 1000, TODAY, TODAY, PAGES_PER_OPEN_WINDOW) == [span]


@given(days, days)
def test_a_span_of_several_days_is_always_cut(one: dt.date, other: dt.date) -> None:
    """Cutting makes progress, so it ends."""
    first, last = sorted((one, other))
    if first < last:
        assert len(cut(Span(first=first, last=last), PAGES_PER_OPEN_WINDOW + 1, first, last, PAGES_PER_OPEN_WINDOW)) > 1


def test_only_days_that_are_over_everywhere_are_closed() -> None:
    """A window is closed when its last day lies more than two days back; the others may still receive calls."""
    for back in range(6):
        window = window_of(Query(), None, Span(last=TODAY - back * DAY), DateRule.INCLUSIVE, TODAY)
        assert window.closed == (back > OPEN_DAYS)
    assert not window_of(Query(), None, Span(), DateRule.INCLUSIVE, TODAY).closed


def test_a_window_asks_as_the_platform_cuts() -> None:
    """Where `date_to` is outside, the day after is asked for; where that is not known, a day more on both sides."""
    span = Span(first=dt.date(2026, 5, 1), last=dt.date(2026, 5, 31))
    asked = {rule: tuple(window_of(Query(), None, span, rule, TODAY).parameters().values()) for rule in DateRule}
    assert asked[DateRule.INCLUSIVE] == ("2026-05-01", "2026-05-31")
    assert asked[DateRule.EXCLUSIVE] == ("2026-05-01", "2026-06-01")
    assert asked[DateRule.OVERLAP] == ("2026-04-30", "2026-06-01")


def test_the_query_s_own_edges_are_asked_for_as_they_are() -> None:
    """What the user gave with --from and --to goes to the platform unchanged, whatever the rule."""
    query = Query(date_from=dt.date(2026, 1, 1), date_to=dt.date(2026, 6, 30))
    for rule in DateRule:
        parameters = window_of(query, None, Span(), rule, TODAY).parameters()
        assert parameters == {"date_from": "2026-01-01", "date_to": "2026-06-30"}


def test_the_open_days_are_a_window_of_their_own() -> None:
    """Only they need a second walk; a query that ends before them, or lies in them, is not parted."""
    before, after = separate_open_days(Query(), TODAY)
    assert before.last is not None
    assert after.first == before.last + DAY == TODAY - OPEN_DAYS * DAY
    assert separate_open_days(Query(date_to=TODAY - 30 * DAY), TODAY) == [Span()]
    assert separate_open_days(Query(date_from=TODAY - DAY), TODAY) == [Span()]
