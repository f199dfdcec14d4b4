"""What a person sees while a run is at work.

In:   outcomes, as they come.  Out: a tqdm bar on a terminal, one line a minute elsewhere, nothing when asked for quiet.

A bar in a log file is noise, and a cron job that prints every second fills a mailbox; a job that says nothing for hours looks
dead. So: one line a minute where nobody watches, and only after the first minute.
"""

from __future__ import annotations

import sys
import time
import typing
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from tqdm import tqdm

from harvester.model import Outcome, State
from harvester.report import duration_text, size_text

LINE_EVERY_SECONDS = 60.0


class Progress:
    """The progress of one run. Use as a context manager; `counted` is to be called for each outcome."""

    def __init__(
        self, *, shown: bool, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`shown` False keeps it silent. `stream` is standard error unless given; `clock` gives monotonic seconds."""
        self._stream = stream or sys.stderr
        self._shown = shown
        self._clock = clock
        self._started = clock()
        self._total = self._done = self._bytes = self._failed = 0
        self._bar: tqdm[typing.NoReturn] | None = None

    def __enter__(self) -> Self:
        """Show the bar, where there is a terminal."""
        if self._shown and self._stream.isatty():
            self._bar = tqdm(file=self._stream, unit=" calls", dynamic_ncols=True, smoothing=0.1, leave=False)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Take the bar away, so that the account stands alone."""
        if self._bar is not None:
            self._bar.close()

    def expect(self, calls: int) -> None:
        """Note that a window claims to hold so many more calls."""
        self._total += calls
        if self._bar is not None:
            self._bar.total = self._total
            self._bar.refresh()

    def counted(self, outcome: Outcome) -> None:
        """Take in one outcome."""
        self._done += 1
        self._bytes += outcome.bytes
        self._failed += outcome.recording is State.FAILED
        if self._bar is not None:
            self._bar.update()
            failed = f", {self._failed:,} failed" if self._failed else ""
            self._bar.set_postfix_str(size_text(self._bytes) + failed, refresh=False)

    def waiting(self, seconds: float) -> None:
        """Say on the bar why nothing moves: the budget of requests is used up for so many seconds."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"waiting {seconds:.0f} s for the API's limit")

    def say(self, line: str) -> None:
        """Print a line without tearing the bar."""
        if self._bar is not None:
            self._bar.write(line, file=self._stream)
        else:
            print(line, file=self._stream, flush=True)

    def tick(self) -> None:
        """Print the line of this minute, where there is no terminal. To be called once every `LINE_EVERY_SECONDS`."""
        if self._bar is not None or not self._shown:
            return
        passed = max(self._clock() - self._started, 1e-9)
        left = passed / max(self._done, 1) * max(0, self._total - self._done)
        self.say(
            f"{self._done:,} of {self._total:,} calls, {size_text(self._bytes)} ({size_text(self._bytes / passed)}/s), "
            f"{self._failed:,} failed, about {duration_text(left)} left"
        )
