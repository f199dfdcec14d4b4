"""How long a server is waited for: the API's, and a recording's.

In:   seconds that were waited for it, and the bytes that they brought.  Out: for how many seconds more; then TransientError.

A second of waiting takes a second from the patience, a byte gives 1/min_rate second back, and it is never more than at the
start. So a server that stands still for a while may go on, and what it sent in a hurry before is not held in its favour. From
this follows a deadline by size, and no other is needed: the waits for a body of n bytes add up to at most
`over_seconds` + n/min_rate. Only waiting counts: what the disk or the bandwidth limit holds back is not the server's fault.

It is counted, and not measured over a sliding window, because two numbers are all that must be remembered, and because the
instant at which it ends is known when a wait begins: a timer does the rest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Literal, Self

import msgspec

from harvester.errors import TransientError


class Deadline:
    """Ends its block after so many seconds, and tells by `is_over` that it has. For blocks of asyncio's tasks alone.

    It is what `asyncio.timeout` does, and `anyio.move_on_after` with several times the work; two are needed for each recording.
    """

    __slots__ = ("_before", "_seconds", "_task", "_timer", "is_over")

    def __init__(self, seconds: float) -> None:
        """It ends the block when so many `seconds` have passed; 0 or less: at its first wait."""
        self._seconds = seconds
        self.is_over = False

    def __enter__(self) -> Self:
        """Start the clock."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a Deadline outside of a task")
        self._task, self._before = task, task.cancelling()
        self._timer = loop.call_later(self._seconds, self._end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Stop the clock. Go on behind the block where it was the one who has ended it, and nobody else wanted to."""
        self._timer.cancel()
        return self.is_over and self._task.uncancel() <= self._before and kind is asyncio.CancelledError

    def _end(self) -> None:
        self.is_over = True
        self._task.cancel()


class AnswerAwaited(Deadline):
    """Waits in its block for an answer, and raises TransientError when it is over."""

    __slots__ = ("_where",)

    def __init__(self, seconds: float, where: str) -> None:
        """So many `seconds` are waited; `where` is the URL without query, for the message."""
        super().__init__(seconds)
        self._where = where

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        """Stop the clock. Raises TransientError where it has ended the block."""
        if super().__exit__(kind, error, trace):
            raise TransientError(f"{self._where} did not answer within {self._seconds:g} s (patience_seconds)")
        return False


class MinRate(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a server.

    The default is about 8 kbit/s, at which MP3 ends: what is slower takes longer to fetch than it took to say.
    """

    bytes_per_second: int = 1024  # 0: any trickle will do
    over_seconds: float = 60.0  # also how long it may be silent, and how long an answer's head may take

    def awaiting_answer(self, where: str) -> AnswerAwaited:
        """Wait in the block for an answer's head, and its body where it is a refusal; names and connections count too.

        Raises TransientError when it takes more than `over_seconds` in all: bytes of a head buy no time.
        """
        return AnswerAwaited(self.over_seconds, where)


class Patience:
    """What is left of it, in seconds, for one body."""

    def __init__(self, rate: MinRate) -> None:
        self._rate = rate
        self._seconds = 0.0  # both since it was whole: never more bytes than min_rate has in these seconds
        self._bytes = 0

    @property
    def left_seconds(self) -> float:
        """How long the next bytes are waited for; 0 or less: no longer."""
        returned = self._bytes / self._rate.bytes_per_second if self._rate.bytes_per_second else 0.0
        return self._rate.over_seconds - self._seconds + returned

    def spend(self, waited_seconds: float, received_bytes: int) -> None:
        """Count one wait, and what it brought."""
        self._seconds += waited_seconds
        self._bytes += received_bytes
        trickle_will_do = received_bytes > 0 and not self._rate.bytes_per_second
        if trickle_will_do or self.left_seconds >= self._rate.over_seconds:
            self._seconds, self._bytes = 0.0, 0

    @property
    def complaint(self) -> str:
        """Why it is at its end, as the part of a sentence that follows the server's name."""
        if not self._bytes:
            return f"sent nothing for {self._rate.over_seconds:g} s (patience_seconds)"
        rate = f"{self._rate.bytes_per_second:,} bytes a second"
        return f"sent {self._bytes:,} bytes in {self._seconds:,.1f} s, which is less than min_rate ({rate})"

    async def next(self, read: Callable[[], Awaitable[bytes]], where: str) -> bytes:
        """Return what `read` brings. Raises TransientError when the patience ends before; `read` is cancelled then."""
        began = time.monotonic()
        with Deadline(self.left_seconds):
            chunk = await read()
            self.spend(time.monotonic() - began, len(chunk))
            return chunk
        self.spend(time.monotonic() - began, 0)
        raise TransientError(f"{where} {self.complaint}")
