"""This machine's clock against a server's, as one exchange tells.

In:   the `Date` of an answer, when it was asked for, how long it took.  Out: a `Clock`, or None.

What a run writes down is dated by this machine. Whether its clock was right can be told later only by somebody else's.
"""

from __future__ import annotations

import datetime as dt
import email.utils

import msgspec

DATE_RESOLUTION_SECONDS = 1.0
"""RFC 9110, 5.6.7: a `Date` has whole seconds, so the instant that it names lies anywhere in that second."""


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """How far this machine's clock was ahead of a server's (negative: behind), and how far that can be off.

    The server wrote its `Date` between question and answer. The offset is reckoned from the middle of both, ours and its second,
    so it is wrong by at most half of each.
    """

    server_date: str  # as the server sent it
    asked_at: dt.datetime  # aware, by this machine
    round_trip_seconds: float
    offset_seconds: float
    uncertainty_seconds: float


def clock_of(date: str, asked_at: dt.datetime, round_trip_seconds: float) -> Clock | None:
    """Hold our clock against the `Date` of an answer that we asked for at `asked_at` (aware); None where that is no date."""
    server_at = http_date(date)
    if server_at is None:
        return None
    ours = asked_at + dt.timedelta(seconds=round_trip_seconds / 2)
    theirs = server_at + dt.timedelta(seconds=DATE_RESOLUTION_SECONDS / 2)
    return Clock(
        server_date=date.strip(),
        asked_at=asked_at,
        round_trip_seconds=round(round_trip_seconds, 3),
        offset_seconds=round((ours - theirs).total_seconds(), 3),
        uncertainty_seconds=round((round_trip_seconds + DATE_RESOLUTION_SECONDS) / 2, 3),
    )


def http_date(text: str) -> dt.datetime | None:
    """Read an HTTP date as an aware instant; None for anything else."""
    try:
        at = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)
