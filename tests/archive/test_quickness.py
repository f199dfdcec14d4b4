"""Who writes small files: the event loop, or a thread."""

import datetime as dt
from pathlib import Path

import pytest

from harvester.archive.quickness import CALLS_BY_THREAD, LONGEST_SECONDS, SMALL_BYTES, USUAL_SECONDS, Quickness
from harvester.archive.stage import Stager


def test_the_loop_writes_small_files_on_a_quick_disk() -> None:
    """A recording that takes long to hash goes to a thread, all others are written at once."""
    quickness = Quickness(local=True)
    assert quickness.permits(0)
    assert quickness.permits(SMALL_BYTES)
    assert not quickness.permits(SMALL_BYTES + 1)


@pytest.mark.parametrize(("each_seconds", "calls"), [(1.1 * (LONGEST_SECONDS + USUAL_SECONDS), 1), (0.022, 5)])
def test_slow_writes_send_the_next_calls_to_threads(each_seconds: float, calls: int) -> None:
    """One call that took long is enough, or several that add up: so many calls go to threads, then the loop tries again."""
    quickness = Quickness(local=True)
    for _ in range(calls):
        assert quickness.permits(0)
        quickness.took(each_seconds)
    for _ in range(CALLS_BY_THREAD):
        assert not quickness.permits(0)
        quickness.took(0.0)
    assert quickness.permits(0)


def test_a_slow_write_now_and_then_changes_nothing() -> None:
    """What one call took too long, the quick ones after it make up for."""
    quickness = Quickness(local=True)
    for number in range(1000):
        quickness.took(LONGEST_SECONDS / 2 if number % 100 == 0 else 0.0001)
        assert quickness.permits(0)


def test_a_share_is_never_written_to_by_the_loop() -> None:
    """However quick it has been: it may hang, and the loop with it."""
    quickness = Quickness(local=False)
    quickness.took(0.0)
    assert not quickness.permits(0)


@pytest.mark.parametrize("gathers", [True, False])
def test_the_loop_waits_for_no_disk(tmp_path: Path, gathers: bool) -> None:
    """Where each file is made durable at once, which waits for the disk, the loop stages nothing itself."""
    stager = Stager(tmp_path, tmp_path, dt.UTC, gathers=lambda: gathers, quickness=Quickness(local=True))
    assert stager.is_quick(10) is gathers
