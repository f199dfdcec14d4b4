"""How many requests may be sent, and when: the budget of one account.

In:   what was sent and what the server said about its limit.  Out: seconds to wait before the next request.

The platform counts requests in fixed windows of a minute whose beginning we cannot see (docs/api.md). So a request is sent only
when fewer than `per_minute` others were *in flight or answered* within the last minute. The server counts a request
somewhere between sending and answer; holding its place for a minute after the answer means that no span of a minute on the
server's clock, wherever it begins, holds more than `per_minute` of ours.

`Budget` decides and never sleeps; `Gate` asks it and sleeps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

SPAN_SECONDS = 60.0
"""The platform's rate limiter counts per minute (Laravel's `throttle` middleware)."""

DEFAULT_PER_MINUTE = 60
"""The framework's default, until the server's headers say otherwise."""


class Budget:
    """The decision: may another request be sent at `now` (monotonic seconds)?"""

    def __init__(self, per_minute: int | None = None, *, span_seconds: float = SPAN_SECONDS) -> None:
        """`per_minute` is the most that the user allows; None: start at 60 and follow the server's headers."""
        self._cap = per_minute
        self._allowed = float(per_minute or DEFAULT_PER_MINUTE)
        self._ceiling = self._allowed  # what the cap and the headers permit; a 429 brings us below it for a while
        self._span = span_seconds
        self._in_flight = 0
        self._answered: deque[float] = deque()
        self._held_until = 0.0
        self._raised_at = 0.0
        self._server_window_at: float | None = None
        self._server_remaining = 0
        self.sent = 0
        self.throttled = 0

    @property
    def per_minute(self) -> int:
        """Requests a minute that are permitted just now."""
        return max(1, int(self._allowed))

    def wait_seconds(self, now: float) -> float:
        """Return 0 when a request may be sent now, else the seconds after which asking again makes sense."""
        while self._answered and self._answered[0] <= now - self._span:
            self._answered.popleft()
        self._creep_up(now)
        if now < self._held_until:
            return self._held_until - now
        if self._in_flight + len(self._answered) < self.per_minute:
            return 0.0
        return self._answered[0] + self._span - now if self._answered else 0.05

    def started(self) -> None:
        """Note that a request is being sent."""
        self._in_flight += 1
        self.sent += 1

    def answered(self, now: float, limit: int | None = None, remaining: int | None = None) -> None:
        """Note that a request was answered, or failed, at `now`, with `X-RateLimit-Limit` and `-Remaining` where sent."""
        self._in_flight -= 1
        self._answered.append(now)
        if limit is not None and limit > 0:
            ceiling = float(limit if self._cap is None else min(limit, self._cap))
            if ceiling != self._ceiling:
                self._allowed = ceiling if self._allowed >= self._ceiling else min(self._allowed, ceiling)
                self._ceiling = ceiling
        if remaining is not None:
            self._follow(now, remaining)

    def refused(self, now: float, retry_after_seconds: float | None) -> None:
        """Note a 429: hold everything as long as the server asks (a minute when it does not say), and go on at half."""
        self.throttled += 1
        wait = self._span if retry_after_seconds is None else retry_after_seconds
        if now >= self._held_until:  # several requests in flight meet the same closed window: halve once for it
            self._allowed = max(1.0, self._allowed / 2)
            self._raised_at = now + wait
        self._held_until = max(self._held_until, now + wait)

    def _follow(self, now: float, remaining: int) -> None:
        """Stop before the server's window is empty: other keys and processes of the account spend from it too."""
        if self._server_window_at is None or remaining > self._server_remaining + self._in_flight:
            self._server_window_at = now
        self._server_remaining = remaining
        opens_at = self._server_window_at + self._span
        if remaining <= self._in_flight and now < opens_at:
            self._held_until = max(self._held_until, opens_at)

    def _creep_up(self, now: float) -> None:
        """After a 429, win back a tenth of the ceiling for each quiet minute."""
        while self._allowed < self._ceiling and now - self._raised_at >= self._span:
            self._allowed = min(self._ceiling, self._allowed + max(1.0, self._ceiling / 10))
            self._raised_at = max(self._raised_at + self._span, now - self._span)


class Gate:
    """A budget that callers wait at, one after the other."""

    def __init__(self, budget: Budget, on_wait: Callable[[float], None] | None = None) -> None:
        """`on_wait` is told the seconds of each wait of more than a second, so that a person is told too."""
        self.budget = budget
        self._turn = anyio.Lock()
        self._on_wait = on_wait

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Wait for room, then count one request as in flight; the caller reports the answer to `budget`."""
        async with self._turn:
            while (wait := self.budget.wait_seconds(anyio.current_time())) > 0:
                if self._on_wait and wait > 1:
                    self._on_wait(wait)
                await anyio.sleep(wait)
            self.budget.started()
        yield
