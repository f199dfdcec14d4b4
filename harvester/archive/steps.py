"""Which storage steps are under way, and which of them has made no progress for too long.

In:   each step, as it begins, moves on and ends.  Out: `Stuck`, or None.

On a share whose server is gone (NFS mounted hard) a system call does not fail: it never comes back. Whoever made it cannot tell
of it, so each step is written down before it begins, and somebody else looks. The decision is pure and goes by looks, not by
the clock alone: a process that was stopped, or a machine that slept, must not find all its steps stuck when it goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

T = TypeVar("T")

SLOWEST_BYTES_PER_SECOND = 256 * 1024
"""A step that makes many bytes durable at once shows no progress before its end, so it may take as long as this. Two megabits per
second are less than any share takes on which recordings are kept."""

LONGEST_LOOK = 3.0
"""Between two looks at most so many times the usual passes by; what is more, this process was not running."""


class Step:
    """Something that is being done to a path of the storage. `moves` grows with each sign of progress.

    As a context manager it is under way in the block. It is no generator, because a call takes a dozen of them.
    """

    __slots__ = ("bytes", "doing", "moves", "path")

    def __init__(self, doing: str, path: Path | str, size_bytes: int = 0) -> None:
        """`size_bytes` is what the step makes durable at once, where that may be much."""
        self.doing = doing
        self.path = path
        self.bytes = size_bytes
        self.moves = 0

    def __enter__(self) -> Self:
        """Write down that the step has begun."""
        _steps[self] = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write down that the step has ended, well or not."""
        del _steps[self]

    def over(self, things: Iterable[T]) -> Iterator[T]:
        """Yield each of some things, and count each as progress."""
        for each in things:
            self.moves += 1
            yield each


class Stuck(msgspec.Struct, frozen=True, kw_only=True):
    """A step without progress."""

    doing: str
    path: Path
    seconds: float  # since its last sign of progress, as far as anybody has looked


_steps: dict[Step, None] = {}


def step(doing: str, path: Path | str, size_bytes: int = 0) -> Step:
    """Return a storage step, to be used as a context manager. Costs less than a microsecond; in any thread."""
    return Step(doing, path, size_bytes)


def under_way() -> Collection[Step]:
    """Return the steps that have begun and not ended, of all threads."""
    return _steps.copy().keys()  # in one go: other threads begin and end steps meanwhile


class Watch:
    """Tells which step is stuck, from one look to the next."""

    def __init__(self, look_seconds: float) -> None:
        """`look_seconds` is how often `look` is to be called."""
        self._most_seconds = look_seconds * LONGEST_LOOK
        self._watched_seconds = 0.0
        self._last: float | None = None
        self._seen: dict[Step, tuple[int, float]] = {}

    def look(self, now: float, steps: Collection[Step], patience_seconds: float) -> Stuck | None:
        """Return the step that has been without progress for longest, if that is longer than it may.

        `now` is in monotonic seconds.
        """
        if self._last is not None:
            self._watched_seconds += min(now - self._last, self._most_seconds)
        self._last = now
        before, self._seen = self._seen, {}
        for each in steps:
            moves, since = before.get(each, (-1, 0.0))
            self._seen[each] = (moves, since) if moves == each.moves else (each.moves, self._watched_seconds)
        if not self._seen:
            return None
        oldest, (_, since) = min(self._seen.items(), key=lambda seen: seen[1][1])
        seconds = self._watched_seconds - since
        if seconds < patience_seconds + sum(each.bytes for each in steps) / SLOWEST_BYTES_PER_SECOND:
            return None
        return Stuck(doing=oldest.doing, path=Path(oldest.path), seconds=seconds)
