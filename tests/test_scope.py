"""How much of the account a run lists, and what it has proven afterwards: the decisions alone."""

import datetime as dt
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.model import Coverage, PastRun, Query, Reach, Window, WindowResult
from harvester.scope import Known, Scope, filters_of, is_whole_archive, proven_through, scope_of
from harvester.values import Rhythm

TODAY = dt.date(2026, 3, 11)  # a Wednesday
NOW = dt.datetime(2026, 3, 11, 2, 17, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
THROUGH = TODAY - 4 * DAY


def past(
    reach: Reach = Reach.FULL,
    *,
    days_ago: float = 1,
    through: dt.date | None = THROUGH,
    query: Query = Query(),  # noqa: B008 - frozen
) -> PastRun:
    """A run that closed so many days ago."""
    coverage = Coverage(
        reach=reach,
        filters=filters_of(query),
        by_number=query.phone_number is not None,
        proven_through=through,
        proven=through is not None,
    )
    return PastRun(run="", closed_at=NOW - days_ago * DAY, verdict="complete", coverage=coverage)


def decided(
    runs: Sequence[PastRun] = (),
    *,
    query: Query = Query(),  # noqa: B008 - frozen
    full: bool = False,
    full_every: Rhythm | None = None,
    calls: int = 10_000,
    old_open: int = 0,
) -> Scope:
    """What a run lists now."""
    known = Known(past=runs, runs_begun=len(runs), count_calls=lambda: calls, open_before=lambda _: old_open)
    return scope_of(query, known, full=full, full_every=full_every, lookback_days=7, per_page=100, now=NOW)


def result(date_from: dt.date | None, *, proven: bool = True) -> WindowResult:
    """How the walk of a window ended."""
    window = Window(query=Query(), date_from=date_from)
    reason = None if proven else "it never rested"
    return WindowResult(window=window, total_at_start=1, total_at_end=1, distinct_ids=1, walks=1, reason=reason)


def test_the_last_proven_day_counts_and_not_the_run() -> None:
    """A run may list less than it proves: the day is what the next one goes by."""
    scope = decided([past(), past(Reach.RECENT, days_ago=0.5, through=THROUGH + DAY)])
    assert (scope.reach, scope.date_from) == (Reach.RECENT, THROUGH - 6 * DAY)


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([], "no run has listed it before"),
        ([past(through=None)], "no run has proven it whole"),
        ([past(), past(through=None)], "no run has proven it whole"),
        ([past(query=Query(type="web"))], "no run has listed it before"),
    ],
)
def test_without_proof_everything_is_listed(runs: list[PastRun], words: str) -> None:
    """No run yet, none that ended well, one that raised doubts since, or only runs under other filters."""
    scope = decided(runs)
    assert (scope.reach, scope.date_from) == (Reach.FULL, None)
    assert words in scope.why


def test_dates_that_are_asked_for_win() -> None:
    """Who names days gets these days, whatever was proven."""
    scope = decided([past()], query=Query(date_from=TODAY - 2 * DAY))
    assert (scope.reach, scope.date_from) == (Reach.DATES, TODAY - 2 * DAY)


@pytest.mark.parametrize(("old_open", "reach"), [(120, Reach.RECENT), (121, Reach.FULL)])
def test_asking_one_by_one_may_cost_more_than_listing(old_open: int, reach: Reach) -> None:
    """10,000 calls are 100 pages: up to twenty more open calls than that are asked for by id."""
    assert decided([past()], old_open=old_open).reach is reach


@pytest.mark.parametrize(
    ("runs", "reach"),
    [
        ([past()], Reach.RECENT),
        ([past(), past(Reach.RECENT)], Reach.RECENT),
        ([past(), past(Reach.RECENT), past(Reach.RECENT)], Reach.FULL),
        ([past(), past(Reach.RECENT), past(Reach.RECENT), past()], Reach.RECENT),
        ([past(), past(Reach.DATES), past(Reach.DATES)], Reach.FULL),
    ],
)
def test_every_third_run_is_full(runs: list[PastRun], reach: Reach) -> None:
    """Counted from the last full one."""
    assert decided(runs, full_every=3).reach is reach


@pytest.mark.parametrize(
    ("days_ago", "rhythm", "reach"),
    [
        (0.05, "wednesday", Reach.RECENT),  # earlier on this Wednesday
        (0.2, "wednesday", Reach.FULL),  # on Tuesday evening
        (3, "sunday", Reach.RECENT),  # last Sunday
        (4, "sunday", Reach.FULL),  # on Saturday: Sunday's was missed, and is made up for
        (6.5, "thursday", Reach.FULL),  # on Wednesday a week ago
        (5, "thursday", Reach.RECENT),
    ],
)
def test_the_first_run_since_a_weekday_is_full(days_ago: float, rhythm: Rhythm, reach: Reach) -> None:
    """A night on which the machine was off is made up for; a second run on the day is none."""
    runs = [past(days_ago=20), past(Reach.FULL, days_ago=days_ago), past(Reach.RECENT, days_ago=0.01)]
    assert decided(runs, full_every=rhythm).reach is reach


def test_a_full_run_that_proved_nothing_does_not_count() -> None:
    """The rhythm is one of full runs that ended well: what raised doubt is made good by the next."""
    assert decided([past(days_ago=9), past(through=None, days_ago=1)], full_every="monday").reach is Reach.FULL


def test_phone_numbers_are_nowhere_in_the_filters() -> None:
    """The ledger tells that there was one, not which."""
    assert filters_of(Query(phone_number="+15551234567", type="web", status=("b", "a"))) == {
        "type": "web",
        "status": "a,b",
    }


def test_what_is_the_whole_of_an_archive() -> None:
    """All calls, or all that its only filters select; never some days of it, or one number."""
    web = Query(type="web")
    mixed = Known(past=[past(query=web), past()], runs_begun=2)
    web_alone = Known(past=[past(query=web), past(query=web)], runs_begun=2)
    assert is_whole_archive(Query(), mixed)
    assert is_whole_archive(web, web_alone)
    assert not is_whole_archive(web, mixed)
    assert not is_whole_archive(Query(date_from=TODAY), Known())
    assert not is_whole_archive(Query(phone_number="1"), Known())


def test_runs_that_told_nothing_may_have_listed_anything() -> None:
    """One that was killed, or of a harvester that told no coverage: with a filter nobody can say what the archive holds."""
    web = Query(type="web")
    assert not is_whole_archive(web, Known(past=[past(query=web)], runs_begun=2))
    assert not is_whole_archive(web, Known())
    assert is_whole_archive(Query(), Known(runs_begun=2))


FULL = Scope(reach=Reach.FULL, proven_through=THROUGH)
RECENT = Scope(reach=Reach.RECENT, date_from=THROUGH - 7 * DAY, proven_through=THROUGH)
FIRST = Scope(reach=Reach.FULL)


@pytest.mark.parametrize(
    ("scope", "windows", "through"),
    [
        (FIRST, [result(None)], TODAY - 2 * DAY),
        (FIRST, [result(None, proven=False)], None),
        (FIRST, [result(None), result(TODAY - 30 * DAY, proven=False)], TODAY - 31 * DAY),
        (FULL, [result(None, proven=False)], THROUGH),
        (FULL, [result(TODAY - 30 * DAY, proven=False)], THROUGH),
        (RECENT, [result(RECENT.date_from)], TODAY - 2 * DAY),
        (RECENT, [result(RECENT.date_from), result(TODAY - DAY, proven=False)], TODAY - 2 * DAY),
        (RECENT, [result(RECENT.date_from, proven=False)], THROUGH),
    ],
)
def test_proof_reaches_to_the_first_doubt(scope: Scope, windows: list[WindowResult], through: dt.date | None) -> None:
    """At most to the last day that can receive no more calls, and never back behind what is proven already."""
    assert proven_through(scope, Query(), windows, TODAY) == through


def test_a_gap_is_never_proven() -> None:
    """Days asked for that begin later than the day after the proven one leave calls between them."""
    behind = Scope(reach=Reach.DATES, date_from=THROUGH + 2 * DAY, proven_through=THROUGH)
    touching = Scope(reach=Reach.DATES, date_from=THROUGH + DAY, proven_through=THROUGH)
    assert proven_through(behind, Query(), [], TODAY) == THROUGH
    assert proven_through(touching, Query(), [], TODAY) == TODAY - 2 * DAY


def test_days_asked_for_prove_no_more_than_their_last() -> None:
    """Less a day, which may be half in the platform's zone."""
    scope = Scope(reach=Reach.DATES, date_from=THROUGH - 3 * DAY, proven_through=THROUGH - 2 * DAY)
    query = Query(date_to=THROUGH)
    assert proven_through(scope, query, [], TODAY) == THROUGH - DAY


@given(
    nights=st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 15)), max_size=25),
    lookback_days=st.integers(0, 10),
)
def test_no_day_is_ever_left_out(nights: list[tuple[int, bool, int]], lookback_days: int) -> None:
    """Whatever runs fail, and however late they come: a day between two listings is always in the later one.

    Law: what a run leaves out has been listed, proven, by a run that began after that day was over in every zone.
    """
    runs: list[PastRun] = []
    today = TODAY
    seen_through: dt.date | None = None  # what this test knows to be listed and over
    for days_later, proven, unproven_days_ago in nights:
        today += days_later * DAY
        now = dt.datetime.combine(today, dt.time(2), dt.UTC)
        known = Known(past=runs, runs_begun=len(runs), count_calls=lambda: 1000)
        scope = scope_of(
            Query(), known, full=False, full_every=None, lookback_days=lookback_days, per_page=100, now=now
        )
        if scope.date_from is not None:
            assert seen_through is not None
            assert scope.date_from <= seen_through + DAY
        windows = [result(scope.date_from)]
        edge = today - 2 * DAY
        if not proven:
            broken = max(today - unproven_days_ago * DAY, scope.date_from or dt.date.min)
            windows.append(result(broken, proven=False))
            edge = min(edge, broken - DAY)
        seen_through = max(seen_through, edge) if seen_through else edge
        through = proven_through(scope, Query(), windows, today)
        assert through is not None
        assert through <= seen_through
        coverage = Coverage(reach=scope.reach, filters={}, proven_through=through)
        runs.append(PastRun(run="", closed_at=now, verdict="complete", coverage=coverage))
