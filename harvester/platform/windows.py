"""Cut a listing into windows of dates: pure decisions.

In:   spans of days, what is known of them, the platform's way with dates.  Out: `Window`s.

A day is whatever the platform means by it: the same filter cuts all windows, so neighbours meet exactly, in whatever zone it
cuts. Only whether `date_to` belongs to its own window must be found out; where that cannot be, windows reach over both their
edges by a day, and ids decide. Small windows are cheap to walk again and spare the server deep OFFSETs.
"""

from __future__ import annotations

import datetime as dt
import enum
import math

import msgspec

from harvester.model import Query, Window

PAGES_PER_OPEN_WINDOW = 10
"""Windows that may receive calls are cut when they have more pages: each is walked twice, and again when it is disturbed."""

PAGES_PER_CLOSED_WINDOW = 40
"""Others are walked once, and only a deletion disturbs them. Days fill pages badly: with ten pages a window the half-empty
last ones would cost up to a fifth of all requests, with forty at most a tenth, and OFFSETs are still shallow."""

OPEN_DAYS = 1
"""Days before today (UTC) that may still receive calls. A zone is at most 12 hours behind: the day before yesterday has been over
everywhere for 12 hours at least, which leaves that much for clocks that differ."""


class DateRule(enum.Enum):
    """What the platform does with `date_to`."""

    INCLUSIVE = "the last day is inside"
    EXCLUSIVE = "the last day is outside"
    OVERLAP = "not known: reach over both edges by a day"


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Days walked as one, both inside; None: no edge on that side but the query's own."""

    first: dt.date | None = None
    last: dt.date | None = None


def window_of(query: Query, status: str | None, span: Span, rule: DateRule, today: dt.date) -> Window:
    """Return the window that asks for a span.

    It is closed when no call can be created in it any more; never under a status, which an old call too can take on.
    """
    day = dt.timedelta(days=1)
    date_from, date_to = span.first, span.last
    if date_from and rule is DateRule.OVERLAP:
        date_from -= day
    if date_to and rule is not DateRule.INCLUSIVE:
        date_to += day
    last = span.last or query.date_to
    return Window(
        query=query,
        status=status,
        date_from=date_from or query.date_from,
        date_to=date_to or query.date_to,
        closed=status is None and last is not None and last < today - dt.timedelta(days=OPEN_DAYS),
    )


def most_pages(window: Window) -> int:
    """Return how many pages a window may have without being cut."""
    return PAGES_PER_CLOSED_WINDOW if window.closed else PAGES_PER_OPEN_WINDOW


def cut(span: Span, pages: int, oldest: dt.date, newest: dt.date, most: int) -> list[Span]:
    """Cut a span that holds `pages` pages into spans of equal length that should hold at most `most` each.

    `oldest` and `newest` stand in for edges that the span does not have. A span of one day comes back as it is.
    """
    first, last = span.first or min(oldest, span.last or oldest), span.last or max(newest, span.first or newest)
    days = (last - first).days + 1
    parts = min(days, max(2, math.ceil(pages / (0.8 * most))))
    if days < 2:
        return [span]
    starts = [first + dt.timedelta(days=days * part // parts) for part in range(parts)]
    ends = [start - dt.timedelta(days=1) for start in starts[1:]]
    return [
        Span(first=start, last=end) for start, end in zip([span.first, *starts[1:]], [*ends, span.last], strict=True)
    ]


def separate_open_days(query: Query, today: dt.date) -> list[Span]:
    """Part what a query selects into the days that can receive no more calls and those that can, which need a second walk."""
    edge = today - dt.timedelta(days=OPEN_DAYS)
    if (query.date_to and query.date_to < edge) or (query.date_from and query.date_from >= edge):
        return [Span()]
    return [Span(last=edge - dt.timedelta(days=1)), Span(first=edge)]
