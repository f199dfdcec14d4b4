"""What a person sees while a run is at work.

In:   outcomes, as they come.  Out: a tqdm bar on a terminal, one line a minute elsewhere, nothing when asked for quiet.

A bar in a log file is noise, and a cron job that prints every second fills a mailbox; a job that says nothing for hours looks
dead. So: one line a minute where nobody watches, and only after the first minute. Who watches may go away in the middle of
a run: then all is silent, and the run goes on.
"""

from __future__ import annotations

import contextlib
import sys
import time
import typing
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self, TextIO

if typing.TYPE_CHECKING:
    from tqdm import tqdm

from harvester.bulletin import Counts
from harvester.model import Outcome, State
from harvester.wording import duration_text, size_text

LINE_EVERY_SECONDS = 60.0


class Progress:
    """The progress of one run. Use as a context manager; `counted` is to be called for each outcome."""

    def __init__(
        self, *, shown: bool, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`shown` False keeps it silent. `stream` is standard error unless given; `clock` gives monotonic seconds."""
        self._gone = stream is None and sys.stderr is None  # nobody reads, or nobody any more
        self._stream = stream or sys.stderr
        self._shown = shown and not self._gone
        self._clock = clock
        self._started = self._last_line = clock()
        self._waiting_until = 0.0
        self._total = self._done = self._bytes = self._failed = 0
        self._bar: tqdm[typing.NoReturn] | None = None

    def __enter__(self) -> Self:
        """Show the bar, where there is a terminal."""
        if self._shown:
            with self._as_long_as_read():
                self._open_bar()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Take the bar away, so that the account stands alone."""
        if self._bar is not None:
            with self._as_long_as_read():
                self._bar.close()

    def expect(self, calls: int) -> None:
        """Note that a window claims to hold so many more calls."""
        self._total += calls
        if self._bar is not None:
            self._bar.total = self._total
            with self._as_long_as_read():
                self._bar.refresh()

    def counted(self, outcome: Outcome) -> None:
        """Take in one outcome."""
        self._done += 1
        self._bytes += outcome.bytes
        self._failed += outcome.recording is State.FAILED
        if self._bar is not None:
            failed = f", {self._failed:,} failed" if self._failed else ""
            with self._as_long_as_read():
                self._bar.update()
                self._bar.set_postfix_str(size_text(self._bytes) + failed, refresh=False)

    def counts(self) -> Counts:
        """Return how far the run has got."""
        return Counts(expected=self._total, settled=self._done, failed=self._failed, written_bytes=self._bytes)

    def waiting(self, seconds: float) -> None:
        """Note why nothing moves: the budget of requests is used up for so many seconds."""
        self._waiting_until = self._clock() + seconds

    def beat(self) -> None:
        """Keep the screen alive: to be called once a second. The bar moves on; elsewhere a line comes once a minute."""
        if self._bar is not None:
            with self._as_long_as_read():
                if self._wait_text():
                    self._bar.set_postfix_str(self._wait_text(), refresh=False)
                self._bar.refresh()
        elif self._clock() - self._last_line >= LINE_EVERY_SECONDS:
            self._last_line += LINE_EVERY_SECONDS
            self.tick()

    def _wait_text(self) -> str:
        left = self._waiting_until - self._clock()
        return f"waiting {left:.0f} s for the API's limit" if left > 0 else ""

    def say(self, line: str) -> None:
        """Print a line without tearing the bar."""
        if self._gone:
            return
        with self._as_long_as_read():
            if self._bar is not None:
                self._bar.write(line, file=self._stream)
            else:
                print(line, file=self._stream, flush=True)

    def tick(self) -> None:
        """Print the line of this minute, where there is no terminal."""
        if self._bar is not None or not self._shown:
            return
        passed = max(self._clock() - self._started, 1e-9)
        left = passed / max(self._done, 1) * max(0, self._total - self._done)
        self.say(
            f"{self._done:,} of {self._total:,} calls, {size_text(self._bytes)} ({size_text(self._bytes / passed)}/s), "
            f"{self._failed:,} failed, {self._wait_text() or f'about {duration_text(left)} left'}"
        )

    def _open_bar(self) -> None:
        if self._stream.isatty():
            from tqdm import tqdm  # here, because most runs have no terminal, and it takes 30 ms

            self._bar = tqdm(file=self._stream, unit=" calls", dynamic_ncols=True, smoothing=0.1, leave=False)

    @contextlib.contextmanager
    def _as_long_as_read(self) -> Iterator[None]:
        """Fall silent for good when writing fails in the block."""
        try:
            yield
        except (OSError, ValueError):  # ValueError: the stream is closed
            self._gone = True
            if self._bar is not None:
                self._bar.disable = True  # else tqdm would write once more, when the bar is closed or collected
                self._bar = None
