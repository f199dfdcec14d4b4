"""How fast a run went, and what it held, at its beginning and at its end: pure, from what it left behind.

In:   the times of the ledger's lines, samples of the process, the platform's log of requests.  Out: seconds, bytes, shares.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from harvested import Sample
from platform_server import Request

WINDOW_SECONDS = 60.0
"""The length of the platform's windows of requests: `limit_window_seconds` of its options."""

LINE_SECONDS = 0.001
"""How exactly a ledger line tells its time."""


class Span(NamedTuple):
    """From when to when so many calls were settled, in seconds of the day's clock."""

    start: float
    end: float
    calls: int

    @property
    def call_seconds(self) -> float:
        """Seconds a call; of calls that were written as one group, whose lines bear one time, the least that a line can tell."""
        return max(self.end - self.start, LINE_SECONDS) / self.calls


def call_times(ledger: Iterable[bytes]) -> list[float]:
    """Return when each line about a call was written, in seconds of the day's clock."""
    lines = (json.loads(raw) for raw in ledger if b'"recording":' in raw)
    return [dt.datetime.fromisoformat(line["at"]).timestamp() for line in lines if "id" in line]


def tenths(times: Sequence[float]) -> tuple[Span, Span]:
    """Return the first and the last tenth of the calls. Needs two calls at least."""
    tenth = max(1, len(times) // 10)
    return Span(times[0], times[tenth], tenth), Span(times[-1 - tenth], times[-1], tenth)


def cpu_call_seconds(samples: Sequence[Sample], span: Span) -> float:
    """Return the CPU seconds a call in a span; between two samples in proportion."""
    return (_cpu_seconds_until(samples, span.end) - _cpu_seconds_until(samples, span.start)) / span.calls


def resident_bytes(samples: Sequence[Sample], at: float) -> int:
    """Return the resident memory at the first sample that is not before `at`, or at the last one."""
    return next((sample for sample in samples if sample.at >= at), samples[-1]).resident_bytes


def busy_share(requests: Sequence[Request], limit_per_minute: int) -> float | None:
    """Return which share of the limit was used, over the platform's windows that ended; None where none did.

    A window begins with the first request after the one before it has ended, as the platform counts. Idle time between two
    windows is time that the limit would have permitted, so it counts too.
    """
    starts: list[float] = []
    counted = 0
    answered = sorted(request.at for request in requests if request.status == 200)
    for nth, at in enumerate(answered):
        if not starts or at >= starts[-1] + WINDOW_SECONDS:
            starts.append(at)
            counted = nth
    if len(starts) < 2:
        return None
    return counted / (limit_per_minute * (starts[-1] - starts[0]) / WINDOW_SECONDS)


def most_requests(calls: int, per_page: int) -> int:
    """Return how many requests a listing may cost while nothing moves: its pages, a tenth more, and twenty."""
    pages = -(-calls // per_page)
    return pages * 11 // 10 + 20


def _cpu_seconds_until(samples: Sequence[Sample], at: float) -> float:
    for before, after in itertools.pairwise(samples):
        if before.at <= at < after.at:
            share = (at - before.at) / (after.at - before.at)
            return before.cpu_seconds + share * (after.cpu_seconds - before.cpu_seconds)
    return samples[-1].cpu_seconds if at >= samples[-1].at else samples[0].cpu_seconds
