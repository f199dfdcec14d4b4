"""Decide how much of the account a run lists, and what it has proven when it is over. Pure.

In:   settings, what earlier runs of the archive have proven, today.  Out: `Scope`; afterwards `Coverage`.

The first run lists everything, and so does every run until one has proven everything whole under the same filters. Then a run
begins at the last day that is proven, less the look-back: what was late or changed meanwhile is found there. What is open from
before is asked for by itself (harvester/revisit.py). A full run lists everything again.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Sequence

import msgspec

from harvester.errors import ConfigError
from harvester.model import Call, Coverage, Days, Figures, PastRun, Query, Reach, WindowResult
from harvester.values import WEEKDAYS, Rhythm

DAYS_OPEN = 2
"""A day is over in every zone, clocks that differ included, when it lies so many days before today (UTC): the same rule by which
platform/windows.py calls a window closed."""

MARGIN_DAYS = 1
"""Days are cut in the platform's zone, and `created_at` may be told in another: at the edge of a listing a day may be half."""


FEW = 20
"""Open calls that are asked for one by one even where a full listing has fewer pages."""


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What a run lists: all from `date_from` to `date_to` (None: no such edge), and why, for people."""

    reach: Reach
    date_from: dt.date | None = None
    date_to: dt.date | None = None
    why: str = ""
    proven_through: dt.date | None = None  # by earlier runs

    def covers(self, day: dt.date | None) -> bool:
        """Whether a call created on a day (None: nobody knows when) must have been listed."""
        if day is None:
            return self.reach is Reach.FULL
        margin = dt.timedelta(days=MARGIN_DAYS)
        return (self.date_from is None or day - margin >= self.date_from) and (
            self.date_to is None or day + margin <= self.date_to
        )


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the archive knows when a run begins."""

    past: Sequence[PastRun] = ()
    runs_begun: int = 0  # those included that never closed
    count_calls: Callable[[], int] = lambda: 0
    open_before: Callable[[dt.date], int] = lambda day: 0  # how many calls from before a day are still open


def filters_of(query: Query) -> dict[str, str]:
    """Return the filters of a query without its dates, as the ledger may name them: a phone number is left out."""
    chosen = {
        "status": ",".join(sorted(query.status)),
        "type": query.type,
        "assistant_id": query.assistant_id,
        "campaign_id": query.campaign_id,
    }
    return {name: str(value) for name, value in chosen.items() if value}


def under(query: Query, past: Sequence[PastRun]) -> list[PastRun]:
    """Return the runs that listed under the same filters as `query`; none for a phone number, which the ledger does not keep."""
    if query.phone_number is not None:
        return []
    filters = filters_of(query)
    return [run for run in past if run.coverage.filters == filters and not run.coverage.by_number]


def is_whole_archive(query: Query, known: Known) -> bool:
    """Whether a query without dates selects everything that the archive holds: no filters, or none but these ever."""
    if query.date_from or query.date_to or query.phone_number is not None:
        return False
    return not filters_of(query) or 0 < known.runs_begun == len(under(query, known.past))


def scope_of(
    query: Query,
    known: Known,
    *,
    full: bool,
    full_every: Rhythm | None,
    lookback_days: int,
    per_page: int,
    now: dt.datetime,
) -> Scope:
    """Decide what a run lists. `now` is aware, in the zone in which weekdays begin."""
    past = under(query, known.past)
    proven_through = past[-1].coverage.proven_through if past else None
    if proven_through and proven_through > now.astimezone(dt.UTC).date() - (DAYS_OPEN - 1) * dt.timedelta(days=1):
        proven_through = None  # a clock was wrong then, or is now

    def scope(reach: Reach, why: str, date_from: dt.date | None = None) -> Scope:
        return Scope(reach=reach, date_from=date_from, date_to=query.date_to, why=why, proven_through=proven_through)

    if query.date_from or query.date_to:
        return scope(Reach.DATES, "the dates that were asked for", query.date_from)
    if full:
        return scope(Reach.FULL, "a full run was asked for")
    if query.phone_number is not None:
        return scope(Reach.FULL, "no ledger keeps phone numbers, so nothing tells what was proven for this one")
    if proven_through is None:
        first = "no run has listed it before" if not past else "no run has proven it whole since"
        return scope(Reach.FULL, first)
    if due := _full_run_due(full_every, past, now):
        return scope(Reach.FULL, due)
    date_from = proven_through - dt.timedelta(days=lookback_days)
    unsettled = known.open_before(date_from)
    if unsettled > FEW and unsettled > FEW + (pages := math.ceil(known.count_calls() / per_page)):
        return scope(Reach.FULL, f"{unsettled:,} old calls are open, and {pages:,} pages list everything")
    return scope(Reach.RECENT, f"proven through {proven_through}, {lookback_days} days looked back", date_from)


def lookback_doubt(scope: Scope, oldest_on: dt.date | None, lookback_days: int) -> str | None:
    """Say that a look-back reaches to before the archive's oldest call, or None when it does not, or there is none."""
    if scope.reach is not Reach.RECENT or not oldest_on or not scope.date_from or not scope.proven_through:
        return None
    if scope.date_from >= min(oldest_on, scope.proven_through):  # no look-back at all is never too long
        return None
    return f"{lookback_days} days back reach to {scope.date_from}, before the archive's first call ({oldest_on})"


def refuse_lookback(doubt: str) -> ConfigError:
    """Return the error for a look-back that was typed and is longer than the archive."""
    return ConfigError(f"--lookback-days: {doubt}; to list everything, say --full")


def _full_run_due(rhythm: Rhythm | None, past: Sequence[PastRun], now: dt.datetime) -> str | None:
    """Return why a full run is due, or None. One that did not end well does not count."""
    if rhythm is None:
        return None
    ended = [run for run in past if run.coverage.proven]
    full = [number for number, run in enumerate(ended) if run.coverage.reach is Reach.FULL]
    if isinstance(rhythm, int):
        since = len(ended) - full[-1] if full else rhythm
        return f"every {rhythm} runs, as full_every says" if since >= rhythm else None
    days_ago = (now.weekday() - WEEKDAYS.index(rhythm)) % 7
    began_at = now.replace(hour=0, minute=0, second=0, microsecond=0) - dt.timedelta(days=days_ago)
    if full and began_at <= ended[full[-1]].closed_at <= now:  # one of the future had a wrong clock
        return None
    return f"the first run since {rhythm}, as full_every says"


class DayBook:
    """Counts the calls that a listing shows, by the day on which they were created."""

    def __init__(self) -> None:
        self.days: Days = {}

    def take(self, call: Call) -> None:
        """Count a call on the day that its `created_at` names; one without such a day is not counted."""
        if (day := call.created_on) is not None:
            self.days.setdefault(day, Figures()).take(call)

    def whole_days(self, scope: Scope) -> Days:
        """Return the days that the listing has shown whole."""
        return {day: figures for day, figures in sorted(self.days.items()) if scope.covers(day)}


def proven_through(scope: Scope, query: Query, windows: Sequence[WindowResult], today: dt.date) -> dt.date | None:
    """Return the last day up to which everything is proven now, after a run that ended by itself.

    `today` is the day in UTC on which the listing began. An unproven window stops it at the day before.
    """
    before = scope.proven_through
    day = dt.timedelta(days=1)
    if scope.date_from and (before is None or scope.date_from > before + day):
        return before  # there is a gap between
    edges = [today - DAYS_OPEN * day]
    if query.date_to:
        edges.append(query.date_to - MARGIN_DAYS * day)
    for result in windows:
        if not result.proven:
            if result.window.date_from is None:
                return before
            edges.append(result.window.date_from - day)
    return max(min(edges), before) if before else min(edges)


def coverage_of(
    scope: Scope,
    query: Query,
    windows: Sequence[WindowResult],
    book: DayBook,
    *,
    ended_well: bool,
    doubted: bool,
    today: dt.date,
) -> Coverage:
    """Return what a run has proven. One that was stopped, or ended by an error, has proven nothing new.

    When it is `doubted` that the archive knows every call, nothing is proven any more: the next run lists everything.
    """
    through = proven_through(scope, query, windows, today) if ended_well else scope.proven_through
    proven = ended_well and all(result.proven for result in windows)
    return Coverage(
        reach=scope.reach,
        filters=filters_of(query),
        by_number=query.phone_number is not None,
        listed_from=scope.date_from,
        proven_through=None if doubted else through,
        proven=proven,
        days=book.whole_days(scope) if proven else {},
    )
