"""Two gauges of `harvester doctor`, as pure decisions: this machine's clock, and the budget of requests.

In:   what the platform's headers said.  Out: a `Finding` each.
"""

from __future__ import annotations

import datetime as dt
import email.utils
from collections.abc import Mapping

from harvester.archive.ground import Finding, good, note
from harvester.errors import ConfigError
from harvester.wording import counted, duration_text

TOLERATED_CLOCK_SECONDS = 60.0
HARMFUL_CLOCK_SECONDS = 3600.0
"""Links that are signed for a time live from ten minutes to a day (docs/api.md)."""


def clock_finding(headers: Mapping[str, str], before: dt.datetime, after: dt.datetime) -> Finding:
    """Hold this machine's clock, read before a request and after its answer (aware), against the answer's `Date`.

    That has whole seconds and was written somewhere between: only what neither explains is an error of a clock.
    """
    try:
        date = email.utils.parsedate_to_datetime(headers.get("Date", ""))
    except (ValueError, TypeError, OverflowError):
        return note("clock", "the platform tells no time, so the clock cannot be checked", "let NTP set the clock")
    date = date if date.tzinfo else date.replace(tzinfo=dt.UTC)
    ahead = (before - date).total_seconds() - 1
    behind = (date - after).total_seconds()
    off = max(ahead, behind, 0.0)
    if off <= TOLERATED_CLOCK_SECONDS:
        return good("clock", "this machine's clock agrees with the platform's to within a minute")
    said = f"this machine's clock is {duration_text(off)} {'ahead of' if ahead > behind else 'behind'} the platform's"
    if off <= HARMFUL_CLOCK_SECONDS:
        return note("clock", said, "let NTP set the clock: days and the ends of calls are judged by it")
    advice = "set the clock, best by NTP: by it a run tells which days are over, and which calls still go on"
    return Finding(area="clock", verdict="bad", said=said, advice=advice, exit_code=ConfigError.exit_code)


def budget_finding(limit: int | None, remaining: int | None, wanted: int | None, default: int) -> Finding:
    """Say what a run's budget will be, all in requests a minute.

    `limit` and `remaining` are the platform's, None where it does not tell; `wanted` is the settings'; `default` is kept to
    where neither says anything.
    """
    own = f"requests_per_minute ({wanted:,})" if wanted else f"{default:,} a minute"
    if limit is None:
        said = f"the platform tells no limit of requests: a run keeps to {own}"
        advice = "set requests_per_minute, should the platform's operator permit more, or less"
        return good("budget", said) if wanted else note("budget", said, advice)
    said = f"the platform permits {counted(limit, 'request')} a minute"
    if remaining is not None:
        said += f", of which {remaining:,} {'is' if remaining == 1 else 'are'} left in this one"
        if remaining < limit / 2:
            advice = "let other programs with a key of this account rest during a run: all of them share the limit"
            return note("budget", said, advice)
    if wanted and wanted > limit:
        return note("budget", f"{said}: less than {own}", "nothing: a run keeps to the platform's limit")
    return good("budget", f"{said}; a run keeps to {own if wanted else 'that'}")
