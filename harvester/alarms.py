"""Notice that the source fails in silence: a run's figures that leave the archive's own history. Pure.

In:   the figures of this run's listing, those of earlier runs, the days in question.  Out: sentences for people, or none.

A platform that stops recording answers every request as before, and each run is complete. Only the history tells: a weekday
that always had calls has none, or the share of calls with a recording, a transcript or a duration falls. What is compared must
be alike, or the alarm rings every Sunday and nobody hears it any more. Therefore:

- Newest days are held against the same weekdays of the weeks before: offices close, and weekends are answered by machines.
- Recordings and transcripts are counted among the calls that connected. A campaign that few people answer is no failure.
- The history is the most that any run has seen of a day. What the source deletes later it had made, and when it hides every
  recording at once, also the old ones, the comparison must not move with it. The newest days are as this run saw them.
- Chance must not explain it (Fisher's exact test), so that a small account needs a greater fall than a large one.
- A silent day is told once. A share that fell is told in every run until it recovers, or until it has become the history.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from harvester.model import Coverage, Days, Figures
from harvester.values import WEEKDAYS

WEEK = 7
"""Days. Everything here is compared with the same weekday of other weeks."""

ALWAYS_WEEKS = 4
"""A weekday *always* has calls when each of so many before had some: a month, the shortest time that shows a habit. A longer one
would mute a weekday for longer after each holiday."""

HISTORY_WEEKS = 8
"""Two months: every weekday is there eight times, and what changed on purpose is the new history two months later."""

SILENCES_USUAL = 2
"""An account that went silent more often than this in `HISTORY_WEEKS` goes silent by chance or by habit, and is left alone: few
calls a day make a silent day soon. Not less: Christmas and New Year lie in one span, and so do an outage and a holiday."""

NEWEST_CALLS = 20
"""So many calls are enough to see that a share fell by half; the days of more would hide that it fell yesterday."""

NEWEST_DAYS = WEEK
"""Where calls are few, no older than this: each weekday once. An alarm that is due later than a week comes late."""

FEWEST_CALLS = 5
"""Fewer say nothing, whatever the history: two or three calls may all be somebody's trial."""

UNLIKELY = 0.001
"""Chance explains what happens more often than once in a thousand runs: three shares a night, so once a year at the very most."""

FEW_NAMED = 3
"""More silent days in a row are not named one by one."""


def alarms_of(
    days: Days, past: Sequence[Coverage], *, covered: tuple[dt.date, dt.date], checked_through: dt.date | None
) -> list[str]:
    """Return a sentence for each figure of a run that has left the archive's own history.

    `days` are this run's figures and `past` what earlier runs proved under the same filters, in any order. `covered` are the
    first and the last day that this run has listed whole and that are over; nothing is, when the first is the later one.
    `checked_through` is the last day that an earlier run has looked at: silent days up to it have been told, and a run of which
    all days are older alarms nothing. None: no run has, and silence is looked for in the newest days alone, since holidays of
    years ago are no news.
    """
    first, last = covered[0].toordinal(), covered[1].toordinal()
    told_through = checked_through.toordinal() if checked_through else last - NEWEST_DAYS
    if last < told_through:
        return []
    oldest = max(first, last - NEWEST_DAYS + 1)
    newest = {day.toordinal(): figures for day, figures in days.items() if oldest <= day.toordinal() <= last}
    history = _most_seen([*(coverage.days for coverage in past), days])
    # One that goes on may have begun a week ago, and is then judged by the weeks before that.
    silences = _silences(history, max(told_through, first) - WEEK - HISTORY_WEEKS * WEEK, last)
    silent = [
        _silence_told([day for day in silence if day >= first], history)
        for number, silence in enumerate(silences)
        if silence[-1] > told_through and silence[-1] >= first and not _usual(silence, silences[:number])
    ]
    return silent + list(_shares_told(newest, history, oldest, last))


def _most_seen(listings: Iterable[Days]) -> dict[int, Figures]:
    """Return the most that any listing has shown of each day, by the day's ordinal."""
    seen: dict[int, Figures] = {}
    for listing in listings:
        for day, figures in listing.items():
            most = seen.setdefault(day.toordinal(), Figures())
            most.calls = max(most.calls, figures.calls)
            most.recorded = max(most.recorded, figures.recorded)
            most.transcribed = max(most.transcribed, figures.transcribed)
            most.timed = max(most.timed, figures.timed)
    return seen


# Silent days


def _silences(history: Mapping[int, Figures], first: int, last: int) -> list[list[int]]:
    """Return the days without calls whose weekday always had some; those with no call between them are one silence."""
    silences: list[list[int]] = []
    going_on = False
    for day in range(max(first, min(history, default=last)), last + 1):
        if _calls(history, day):
            going_on = False
        elif all(_calls(history, each) for each in _before(day)):
            if not going_on:
                silences.append([])
            silences[-1].append(day)
            going_on = True
    return silences


def _usual(silence: Sequence[int], earlier: Sequence[Sequence[int]]) -> bool:
    """Whether the weeks before a silence had so many that one more is no news."""
    return sum(each[-1] >= silence[0] - HISTORY_WEEKS * WEEK for each in earlier) > SILENCES_USUAL


def _silence_told(silent: Sequence[int], history: Mapping[int, Figures]) -> str:
    least = min(_calls(history, each) for day in silent for each in _before(day))
    names = [_named(day) for day in silent]
    question = "do calls still reach the platform?"
    if len(silent) == 1:
        return (
            f"no call on {names[0]}; each of the four {_weekday(silent[0])}s before had at least {least:,}: {question}"
        )
    if len(silent) <= FEW_NAMED:
        which = f"{', '.join(names[:-1])} and {names[-1]}"
    else:
        which = f"{len(silent)} days from {names[0]} to {names[-1]}"
    return f"no call on {which}; in the four weeks before, each of these weekdays always had at least {least:,}: {question}"


def _before(day: int) -> range:
    """Return the same weekday of the weeks that make it one that always has calls."""
    return range(day - ALWAYS_WEEKS * WEEK, day, WEEK)


def _calls(history: Mapping[int, Figures], day: int) -> int:
    return history[day].calls if day in history else 0


# Shares


class _Share(NamedTuple):
    """How many calls have something, of how many."""

    having: int
    of: int

    @property
    def percent(self) -> int:
        """The share, rounded down: only all reads as 100."""
        return 100 * self.having // self.of


class _Kind(NamedTuple):
    """Which share is looked at."""

    having: Callable[[Figures], int]
    of: Callable[[Figures], int]

    def share(self, figures: Mapping[int, Figures], days: Iterable[int]) -> _Share:
        """Add up the figures of some days. More calls that have it than calls are told where durations are missing."""
        chosen = [figures[day] for day in days if day in figures]
        return _Share(sum(min(self.having(each), self.of(each)) for each in chosen), sum(map(self.of, chosen)))


class _Fall(NamedTuple):
    """A share that left its history."""

    newest: _Share
    days: range
    history: _Share
    weeks: int  # how far back the history reaches


def _shares_told(
    newest: Mapping[int, Figures], history: Mapping[int, Figures], oldest: int, last: int
) -> Iterator[str]:
    """Yield a sentence for each share that fell in the newest days, which lie between `oldest` and `last`."""
    calls, connected = (lambda each: each.calls), (lambda each: each.timed)
    fall = _fall(_Kind(connected, calls), newest, history, oldest, last)
    durations_fail = fall is not None and not fall.newest.having
    if fall and durations_fail:
        yield (
            f"all {fall.newest.of:,} newest calls {_span(fall.days)} have duration 0; {_weeks_before(fall)} "
            f"{fall.history.percent} % of {fall.history.of:,} had a longer one: do calls still connect?"
        )
    # Without durations nobody can tell which calls connected, and all must do.
    durations_told = any(figures.timed for figures in newest.values()) and not durations_fail
    of, which = (connected, "connected calls") if durations_told else (calls, "calls")
    recorded, transcribed = (lambda each: each.recorded), (lambda each: each.transcribed)
    for having, what in ((recorded, "recording"), (transcribed, "transcript")):
        if fall := _fall(_Kind(having, of), newest, history, oldest, last):
            yield (
                f"{_how_many(fall.newest)} of the {fall.newest.of:,} newest {which} {_span(fall.days)} have a {what}; "
                f"{_weeks_before(fall)} it was {fall.history.percent} % of {fall.history.of:,}: "
                f"are {what}s still being made?"
            )


def _fall(
    kind: _Kind, newest: Mapping[int, Figures], history: Mapping[int, Figures], oldest: int, last: int
) -> _Fall | None:
    """Return how a share fell below half of its history, or None when it did not, or chance explains it."""
    first = last
    while first > oldest and kind.share(newest, range(first, last + 1)).of < NEWEST_CALLS:
        first -= 1
    days = range(first, last + 1)
    now = kind.share(newest, days)
    weeks = [
        kind.share(history, range(first - number * WEEK, last + 1 - number * WEEK))
        for number in range(1, HISTORY_WEEKS + 1)
    ]
    before = _Share(sum(week.having for week in weeks), sum(week.of for week in weeks))
    fell = 2 * now.having * before.of < before.having * now.of and 2 * now.having < _usual_count(
        kind, newest, history, days
    )
    if now.of < FEWEST_CALLS or not fell or chance_of(now.having, now.of, *before) >= UNLIKELY:
        return None
    return _Fall(now, days, before, max(number for number, week in enumerate(weeks, 1) if week.of))


def _usual_count(
    kind: _Kind, newest: Mapping[int, Figures], history: Mapping[int, Figures], days: Iterable[int]
) -> float:
    """Return how many of the newest calls would have it, had each day the share of its own weekday.

    Without it a Sunday with one call, after a Saturday that is never recorded, would look like a fall of both.
    """
    usual = 0.0
    for day in days:
        before = kind.share(history, range(day - HISTORY_WEEKS * WEEK, day, WEEK))
        if day in newest and before.of:
            usual += kind.of(newest[day]) * before.having / before.of
    return usual


def chance_of(having: int, of: int, having_before: int, of_before: int) -> float:
    """Return how probable it is that no more than `having` of `of` have it, when nothing but chance parts them from those before.

    Fisher's exact test, one-sided: the lower tail of the hypergeometric distribution. It needs no least size of the history,
    since a short one makes everything probable.
    """
    with_it, without = having + having_before, of + of_before - having - having_before
    term = math.exp(_log_ways(with_it, having) + _log_ways(without, of - having) - _log_ways(with_it + without, of))
    chance = term
    for count in range(having, max(0, of - without), -1):  # from each term to the one for one call less
        term *= count * (without - of + count) / ((with_it - count + 1) * (of - count + 1))
        chance += term
    return min(chance, 1.0)


def _log_ways(among: int, chosen: int) -> float:
    """Return the logarithm of the binomial coefficient; the coefficient itself has thousands of digits."""
    return math.lgamma(among + 1) - math.lgamma(chosen + 1) - math.lgamma(among - chosen + 1)


# Words


def _how_many(share: _Share) -> str:
    if not share.having:
        return "none"
    return f"only {share.percent} %" if share.percent else "fewer than 1 %"


def _weeks_before(fall: _Fall) -> str:
    weeks = "week" if fall.weeks == 1 else f"{fall.weeks} weeks"
    if len(fall.days) == WEEK:
        return f"in the {weeks} before"
    return f"on the same {'weekday' if len(fall.days) == 1 else 'weekdays'} of the {weeks} before"


def _span(days: range) -> str:
    return f"({_named(days[0])})" if len(days) == 1 else f"({_named(days[0])} to {_named(days[-1])})"


def _named(day: int) -> str:
    return f"{_weekday(day)} {dt.date.fromordinal(day)}"


def _weekday(day: int) -> str:
    return WEEKDAYS[dt.date.fromordinal(day).weekday()].capitalize()
