"""How many requests may be sent, and when: the budget of one account.

In:   what was sent and what the server said about its limit.  Out: seconds to wait before the next request.

The platform counts requests in fixed windows of a minute whose beginning we cannot see (docs/api.md). So a request is sent only
when fewer than `per_minute` others were *in flight or answered* within the last minute. The server counts a request
somewhere between sending and answer; holding its place for a minute after the answer means that no span of a minute on the
server's clock, wherever it begins, holds more than `per_minute` of ours.

Other keys and processes of the account spend from the same window. So where the server tells what remains of it, no more
than that is sent, until places of our own become free again: then its window is over, or nearly so, and the
next answer tells more.

`Budget` decides and never sleeps; `Gate` asks it and sleeps.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from harvester.platform.retry import LONGEST_ASKED_WAIT_SECONDS

SPAN_SECONDS = 60.0
"""The platform's rate limiter counts per minute (Laravel's `throttle` middleware)."""

DEFAULT_PER_MINUTE = 60
"""The framework's default, until the server's headers say otherwise."""

RECHECK_SECONDS = 0.05
"""How soon to ask again while requests are in flight: any answer may change what is permitted."""


class Budget:
    """The decision: may another request be sent at `now` (monotonic seconds)?"""

    def __init__(self, per_minute: int | None = None, *, span_seconds: float = SPAN_SECONDS) -> None:
        """`per_minute` is the most that the user allows; None: start at 60 and follow the server's headers."""
        self._cap = per_minute
        self._allowed = float(per_minute or DEFAULT_PER_MINUTE)
        self._ceiling = self._allowed  # what the cap and the headers permit; a 429 brings us below it for a while
        self._span = span_seconds
        self._in_flight = 0
        self._freed_at: deque[float] = deque()  # for each answered request, when it gives its place back
        self._held_until = -math.inf
        self._raised_at = 0.0
        self._room = math.inf  # what the server has left for us, as far as it told
        self._room_until = -math.inf
        self._newest_heard = 0  # the number of the latest request whose answer told what remains
        self._sent_at_cut = 0  # how many requests had been sent when a 429 halved the budget last
        self.sent = 0
        self.throttled = 0

    @property
    def per_minute(self) -> int:
        """Requests a minute that are permitted just now."""
        return max(1, int(self._allowed))

    def wait_seconds(self, now: float) -> float:
        """Return 0 when a request may be sent now, else the seconds after which asking again makes sense."""
        while self._freed_at and self._freed_at[0] <= now:
            self._freed_at.popleft()
            self._room += 1
        if now >= self._room_until:
            self._room = math.inf
        self._creep_up(now)
        if now < self._held_until:
            return self._held_until - now
        if self._in_flight + len(self._freed_at) < self.per_minute and self._room > 0:
            return 0.0
        wait = self._freed_at[0] - now if self._freed_at else RECHECK_SECONDS
        return min(wait, RECHECK_SECONDS) if self._in_flight else wait

    def started(self) -> int:
        """Note that a request is being sent; return its number, by which its answer is reported."""
        self._in_flight += 1
        self._room -= 1
        self.sent += 1
        return self.sent

    def answered(self, number: int, now: float, limit: int | None = None, remaining: int | None = None) -> None:
        """Note that request `number` was answered, or failed, at `now`.

        `limit` (requests per minute) and `remaining` are what `X-RateLimit-Limit` and `-Remaining` said, where sent.
        """
        self._in_flight -= 1
        self._freed_at.append(now + self._span)
        if limit is not None and limit > 0:
            ceiling = float(limit if self._cap is None else min(limit, self._cap))
            if ceiling != self._ceiling:
                self._allowed = ceiling if self._allowed >= self._ceiling else min(self._allowed, ceiling)
                self._ceiling = ceiling
        if remaining is not None and now >= self._held_until:
            self._follow(number, now, remaining)

    def refused(self, number: int, now: float, retry_after_seconds: float | None) -> None:
        """Note that request `number` met a 429: hold everything as long as the server asks (a minute when it does not say).

        Then go on at half. Requests that were in flight together meet the same closed window: it is halved once for them.
        """
        self.throttled += 1
        asked_seconds = self._span if retry_after_seconds is None else retry_after_seconds
        wait = min(asked_seconds, LONGEST_ASKED_WAIT_SECONDS)
        if number > self._sent_at_cut:
            self._sent_at_cut = self.sent
            self._allowed = max(1.0, self._allowed / 2)
        self._held_until = max(self._held_until, now + wait)
        self._raised_at = self._held_until
        self._room = math.inf  # the server has said how long to wait, which is better than what remains

    def _follow(self, number: int, now: float, remaining: int) -> None:
        """Take in what remains of the server's window. Answers overtake each other; of two, that to the later request counts."""
        if number > self._newest_heard:
            self._newest_heard = number
            self._room = remaining - self._in_flight  # those in flight may be counted after this one
            self._room_until = now + self._span  # the window that it speaks of is over by then
        else:
            self._room += 1  # it was in flight and is counted already

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
    async def request(self) -> AsyncIterator[int]:
        """Wait for room, then count one request as in flight; the caller reports the answer to `budget` by its number."""
        async with self._turn:
            while (wait := self.budget.wait_seconds(anyio.current_time())) > 0:
                if self._on_wait and wait > 1:
                    self._on_wait(wait)
                await anyio.sleep(wait)
            number = self.budget.started()
        yield number
