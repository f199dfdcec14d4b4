"""A client with a budget and a server that counts, on a clock that is only a number.

In:   a budget, arrivals, latencies.  Out: when the server counted which request, and what it refused.
"""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from harvester.platform.budget import Budget

MINUTE = 60.0


@dataclass
class Server:
    """Counts in fixed windows of a minute, the first request opening one; refused requests do not count."""

    limit: int | None = None
    tells: bool = True  # X-RateLimit-Limit and -Remaining
    foreign_at: deque[float] = field(default_factory=deque)  # when another process of the account is counted
    counted_at: list[float] = field(default_factory=list)
    refused_at: list[float] = field(default_factory=list)
    _opened_at: float = -math.inf
    _used: int = 0

    def hit(self, at: float) -> tuple[int | None, int | None, float | None]:
        """Return limit and remaining as the headers tell, and the seconds to wait when the request is refused."""
        while self.foreign_at and self.foreign_at[0] <= at:
            self._count(self.foreign_at.popleft())
        if not self._count(at):
            self.refused_at.append(at)
            return self.limit, 0, math.ceil(self._opened_at + MINUTE - at)
        self.counted_at.append(at)
        return (self.limit, self.limit - self._used, None) if self.limit and self.tells else (None, None, None)

    def _count(self, at: float) -> bool:
        if at >= self._opened_at + MINUTE:
            self._opened_at, self._used = at, 0
        if self.limit is not None and self._used >= self.limit:
            return False
        self._used += 1
        return True


class Client:
    """Sends requests through a budget as `Gate` does: one after the other asks, waits as told, and asks again."""

    def __init__(self, budget: Budget, server: Server, *, in_flight_most: int = 1000) -> None:
        self.budget = budget
        self.server = server
        self.in_flight_most = in_flight_most
        self.asked = 0
        self._in_flight = 0
        self._events: list[tuple[float, int, float]] = []  # when, which request, its way back (NaN: it is on it)
        self._replies: dict[int, tuple[int | None, int | None, float | None]] = {}

    def run(self, arrivals: Iterable[float], latencies: Iterable[tuple[float, float]], until: float = math.inf) -> None:
        """Send one request for each arrival (ascending seconds). A latency is the way there and the way back in seconds."""
        legs, coming = itertools.cycle(latencies), iter(arrivals)
        arrival, ask_at = next(coming, math.inf), 0.0
        while self._events or arrival < math.inf:
            ask_at = max(ask_at, arrival)
            full = self._in_flight >= self.in_flight_most
            if self._events and (full or self._events[0][0] <= ask_at):
                at = self._event()
                ask_at = max(ask_at, at) if full else ask_at
                continue
            if ask_at > until:
                return
            self.asked += 1
            if (wait := self.budget.wait_seconds(ask_at)) > 0:
                ask_at = max(ask_at + wait, math.nextafter(ask_at, math.inf))
                continue
            there, back = next(legs)
            heapq.heappush(self._events, (ask_at + there, self.budget.started(), back))
            self._in_flight += 1
            arrival = next(coming, math.inf)

    def _event(self) -> float:
        """Let the next request be counted, or its answer arrive; return when."""
        now, number, back = heapq.heappop(self._events)
        if not math.isnan(back):
            self._replies[number] = self.server.hit(now)
            heapq.heappush(self._events, (now + back, number, math.nan))
            return now
        self._in_flight -= 1
        limit, remaining, retry_after = self._replies.pop(number)
        self.budget.answered(number, now, limit, remaining)
        if retry_after is not None:
            self.budget.refused(number, now, retry_after)
        return now
