"""What a person sees while a run is at work: on a terminal, in a log file, and when nobody asked."""

import io
import os
import pty
import termios
from collections.abc import Iterator

import pytest

from harvester.model import Outcome, State
from harvester.progress import LINE_EVERY_SECONDS, Progress

SAVED = Outcome(id="1", recording=State.SAVED, transcript=State.SAVED, bytes=500_000)
FAILED = Outcome(id="2", recording=State.FAILED, transcript=State.SAVED)


class Clock:
    """A clock that goes only when told; seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Terminal:
    """A pseudo-terminal: what is written to `stream` can be read as its screen."""

    def __init__(self) -> None:
        self._screen, written = pty.openpty()
        termios.tcsetwinsize(written, (24, 100))
        self.stream = os.fdopen(written, "w")

    def shown(self) -> str:
        """Return what has been written since it was last asked."""
        self.stream.flush()
        os.set_blocking(self._screen, False)
        found = b""
        try:
            while more := os.read(self._screen, 65536):
                found += more
        except BlockingIOError:
            pass
        return found.decode()

    def close(self) -> None:
        """Close both ends."""
        self.stream.close()
        os.close(self._screen)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """Return a terminal of the test's own."""
    terminal = Terminal()
    yield terminal
    terminal.close()


def log_of(*minutes: list[Outcome], shown: bool = True) -> list[str]:
    """Return the lines in a log file of a run that expects 10 calls, after the outcomes of each minute."""
    stream, clock = io.StringIO(), Clock()
    with Progress(shown=shown, stream=stream, clock=clock) as progress:
        progress.expect(10)
        for number, outcomes in enumerate(minutes):
            if number:
                clock.now += LINE_EVERY_SECONDS
                progress.tick()
            for outcome in outcomes:
                progress.counted(outcome)
    return stream.getvalue().splitlines()


def test_a_log_file_gets_nothing_in_the_first_minute() -> None:
    """A nightly run that is soon over says only how it ended."""
    assert LINE_EVERY_SECONDS == 60
    assert log_of([SAVED] * 120) == []


def test_a_log_file_gets_one_line_a_minute() -> None:
    """Each minute one line: calls done and expected, bytes, rate, failures, and how long it may still take."""
    assert log_of([SAVED, FAILED], [SAVED, SAVED, SAVED], [], []) == [
        "2 of 10 calls, 500.0 kB (8.3 kB/s), 1 failed, about 4 min 00 s left",
        "5 of 10 calls, 2.0 MB (16.7 kB/s), 1 failed, about 2 min 00 s left",
        "5 of 10 calls, 2.0 MB (11.1 kB/s), 1 failed, about 3 min 00 s left",
    ]


def test_a_minute_without_a_call_gets_its_line_too() -> None:
    """A run that says nothing for hours looks dead: the line comes while the listing or one recording takes its time."""
    assert log_of([], [])[0].startswith("0 of 10 calls, 0 bytes (0 bytes/s), 0 failed")


def test_more_calls_than_expected_leave_no_negative_time() -> None:
    """Calls that arrive during the run make more than the total; the time left is then none."""
    assert log_of([SAVED] * 11, [])[0].endswith("about 0.0 s left")


def test_a_terminal_gets_a_bar_that_goes_away(terminal: Terminal) -> None:
    """The bar counts calls against the total, with bytes and failures; at the end it is wiped out."""
    with Progress(shown=True, stream=terminal.stream) as progress:
        progress.expect(2)
        progress.counted(SAVED)
        progress.counted(FAILED)
        progress.tick()
        progress.expect(1)
        during = terminal.shown()
    assert "2/3" in during
    assert "500.0 kB, 1 failed" in during
    assert "left" not in during
    assert terminal.shown().split("\r")[-2].strip() == ""


def test_a_wait_for_the_platform_is_told(terminal: Terminal) -> None:
    """When nothing moves because the budget is used up, the bar says so, and counts down at every beat."""
    clock = Clock()
    with Progress(shown=True, stream=terminal.stream, clock=clock) as progress:
        progress.waiting(42.4)
        progress.beat()
        assert "waiting 42 s for the API's limit" in terminal.shown()
        clock.now += 10
        progress.beat()
        assert "waiting 32 s for the API's limit" in terminal.shown()


def test_a_run_without_a_terminal_has_a_line_a_minute() -> None:
    """A beat a second makes one line a minute, and none in the first minute; a wait for the budget is told in it."""
    stream, clock = io.StringIO(), Clock()
    with Progress(shown=True, stream=stream, clock=clock) as progress:
        progress.expect(100)
        for _ in range(150):
            progress.beat()
            clock.now += 1
        assert len(stream.getvalue().splitlines()) == 2
        progress.waiting(600)
        clock.now += 60
        progress.beat()
    assert "waiting 540 s for the API's limit" in stream.getvalue().splitlines()[2]


def test_a_line_does_not_tear_the_bar(terminal: Terminal) -> None:
    """What is said while a bar is shown stands on a line of its own above it."""
    with Progress(shown=True, stream=terminal.stream) as progress:
        progress.expect(5)
        progress.say("SIGINT: finishing what is in flight")
        lines = terminal.shown().split("\n")
    assert lines[-2].strip("\r").split("\r")[-1] == "SIGINT: finishing what is in flight"
    assert "0/5" in lines[-1]


def test_nothing_is_shown_when_not_asked_for(terminal: Terminal) -> None:
    """-q and --no-progress mean silence, on a terminal and elsewhere; what must be said is still said."""
    with Progress(shown=False, stream=terminal.stream) as progress:
        progress.expect(5)
        progress.counted(SAVED)
        progress.waiting(42)
        progress.tick()
        assert terminal.shown() == ""
        progress.say("stopping")
    assert terminal.shown() == "stopping\r\n"
    assert log_of([SAVED], [SAVED], shown=False) == []


class Left(io.StringIO):
    """A stream whose reader goes away after so many characters."""

    def __init__(self, error: Exception, room: int, *, terminal: bool) -> None:
        super().__init__()
        self._error = error
        self._room = room
        self._terminal = terminal

    def isatty(self) -> bool:
        """Tell what it claims to be."""
        return self._terminal

    def write(self, text: str) -> int:
        """Take text while there is room."""
        self._room -= len(text)
        if self._room < 0:
            raise self._error
        return super().write(text)


@pytest.mark.parametrize("room", [0, 150, 400])
@pytest.mark.parametrize("on_terminal", [False, True])
@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(5, "Input/output error"), ValueError("closed file")])
def test_a_reader_who_goes_away_does_not_end_the_run(error: Exception, on_terminal: bool, room: int) -> None:
    """Whenever writing fails, at the bar, at the line of a minute or in between: the run goes on in silence."""
    stream, clock = Left(error, room, terminal=on_terminal), Clock()
    with Progress(shown=True, stream=stream, clock=clock) as progress:
        for _ in range(9):
            clock.now += LINE_EVERY_SECONDS
            progress.expect(1)
            progress.counted(SAVED)
            progress.waiting(1)
            progress.tick()
            progress.say("still here")
        before = stream.getvalue()
        progress.say("x")
    assert stream.getvalue() == before


def test_a_stream_that_is_closed_already_does_not_end_the_run() -> None:
    """Whoever closed stderr wants to see nothing."""
    stream = io.StringIO()
    stream.close()
    with Progress(shown=True, stream=stream) as progress:
        progress.counted(SAVED)
        progress.tick()
        progress.say("anyone there?")
