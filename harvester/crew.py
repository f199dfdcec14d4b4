"""How many workers there are, where the settings do not say: more while that makes the run faster, fewer where it does not.

In:   what was settled, and when; that a server asked for patience.  Out: how many calls may be settled at the same time.

Eight are enough for a server nearby. One that takes 50 ms to answer keeps eight workers waiting most of their time, and one
that is overloaded, or counts connections, answers more of them with 429 or 503. What is right is not known before, and changes.
So it is measured: in stretches of at least a second the work done is held against that of the stretch before. While twice as
many do much more work, they are doubled; once that did not pay they grow by half, while more do more. Where that does not pay
either they go back, and it is tried again later. A server that asks for patience halves them at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import anyio

FIRST = 8
MOST = 60
"""Beyond it a connection more costs the server more than it brings us."""

MOST_OF_LARGE = 16
"""The same where recordings are large: each connection reads up to 2 MiB ahead, and memory must stay flat."""

LARGE_BYTES = 256 * 1024
CALL_BYTES = 64 * 1024
"""What settling a call counts for beside its recording's bytes, so that many small ones and few large ones compare."""

STRETCH_SECONDS = 1.0
CALLS_PER_WORKER = 2
"""A stretch is over when each worker has settled so many calls on average, but not before its seconds have passed."""


class Step(NamedTuple):
    """How workers grow."""

    times: float  # how many times as many there are to be
    worth: float  # how many times the work they must do to be kept


BOLD = Step(times=2.0, worth=1.5)
"""For a server that is far away: a run that is over in seconds is to have its connections within a few."""

CAREFUL = Step(times=1.5, worth=1.1)
"""Where doubling has not paid, or a server has asked for patience. Less than a tenth more is chance."""

PATIENCE_SECONDS = 30.0
"""How long a size that was found good, or was asked for by a server, is kept before a larger one is tried again."""


class Size:
    """Decides how many workers there are. Pure: the caller brings the clock, in monotonic seconds."""

    def __init__(self, most: int = MOST, now: float = 0.0) -> None:
        """`most` workers can there be at all, because of open files."""
        self._most = most
        self.workers = min(FIRST, most)
        self._before = self.workers  # as many as there were in the stretch before
        self._step = BOLD
        self._rate_before: float | None = None  # work per second of it; None: nothing to hold this one against
        self._patient_until = now
        self._refused_until = now
        self._begin(now)

    def settled(self, recording_bytes: int, now: float) -> None:
        """Count a call, and decide anew where a stretch ends with it."""
        self._calls += 1
        self._bytes += recording_bytes
        seconds = now - self._began
        if seconds < STRETCH_SECONDS or self._calls < CALLS_PER_WORKER * self.workers:
            return
        rate = (self._bytes + CALL_BYTES * self._calls) / seconds
        most = min(self._most, MOST_OF_LARGE) if self._bytes > LARGE_BYTES * self._calls else self._most
        is_whole = self.workers >= self._step.times * self._before  # and not cut short by the most
        worth = self._step.worth if is_whole else CAREFUL.worth
        if self._rate_before is not None and self.workers > self._before and rate < worth * self._rate_before:
            self.workers, self._rate_before = self._before, None
            if self._step is CAREFUL:
                self._patient_until = now + PATIENCE_SECONDS
            self._step = CAREFUL
        elif now >= self._patient_until and self.workers < most:
            self._before, self._rate_before = self.workers, rate
            self.workers = min(most, max(self.workers + 1, int(self.workers * self._step.times)))
        self._begin(now)

    def refused(self, now: float) -> None:
        """Count an answer that asked for patience; several within a stretch are one."""
        if now < self._refused_until:
            return
        self._refused_until = now + STRETCH_SECONDS
        self.workers = self._before = max(1, self.workers // 2)
        self._step = CAREFUL
        self._rate_before = None
        self._patient_until = now + PATIENCE_SECONDS
        self._begin(now)

    def _begin(self, now: float) -> None:
        self._began = now
        self._calls = self._bytes = 0


class Crew:
    """Lets so many workers at a time through as there are to be: a fixed number, or as many as `Size` finds right.

    Use as an async context manager, around the work of one worker; from call to call it asks whether it `is_overfull`.
    """

    def __init__(self, workers: int, *, fixed: bool, clock: Callable[[], float] = time.monotonic) -> None:
        """`workers` is how many there are if `fixed`, else how many there can be at most."""
        self.most = workers
        self._clock = clock
        self._size = None if fixed else Size(workers, clock())
        self._busy = self._helpers = 0
        self._room: anyio.Event | None = None  # is there while somebody waits for a place

    async def __aenter__(self) -> None:
        """Wait for a place, and hold it for the block."""
        while self._busy >= self.places:
            self._room = self._room or anyio.Event()
            await self._room.wait()
        self._busy += 1

    async def __aexit__(self, *_: object) -> None:
        """Give the place back."""
        self._busy -= 1
        self._call()

    @property
    def is_overfull(self) -> bool:
        """Whether more are at work than are to be, so that who has a place should give it back."""
        return self._busy > self.places

    def settled(self, recording_bytes: int) -> None:
        """Count a call that was fetched."""
        if self._size is not None:
            self._size.settled(recording_bytes, self._clock())
            self._call()

    def refused(self) -> None:
        """Count an answer with 429 or 503 from a recording's server."""
        if self._size is not None:
            self._size.refused(self._clock())

    def helped(self) -> None:
        """Note that somebody else works for the run too, with a `share` of its connections."""
        self._helpers += 1

    def left_alone(self) -> None:
        """Note that one of those has gone."""
        self._helpers -= 1
        self._call()

    @property
    def share(self) -> int:
        """How many calls each helper may fetch at the same time now. Where their number is fixed, a quarter stays here."""
        lent = self.most - max(1, self.most // 4) if self._size is None else self._size.workers
        return max(1, lent // max(1, self._helpers))

    @property
    def places(self) -> int:
        """How many may be at work at the same time now, besides what helpers do."""
        return max(1, self.most - self._helpers * self.share) if self._size is None else self._size.workers

    def _call(self) -> None:
        if self._room and self._busy < self.places:
            self._room.set()
            self._room = None
