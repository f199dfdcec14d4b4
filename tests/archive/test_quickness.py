"""Who writes small files: the event loop, or a thread."""

import datetime as dt
from contextlib import closing
from pathlib import Path

import pytest

from harvester.archive.checkpoint import Checkpoint
from harvester.archive.durability import is_local
from harvester.archive.pieces import SPOOL_BYTES
from harvester.archive.quickness import (
    CALLS_BY_THREAD,
    HELPED_BYTES,
    LONGEST_SECONDS,
    SMALL_BYTES,
    USUAL_SECONDS,
    Quickness,
)
from harvester.archive.stage import Stager
from harvester.archive.store import Archive
from tests.fault import fuse


def test_the_loop_writes_small_files_on_a_quick_disk() -> None:
    """A recording that takes long to hash goes to a thread, all others are written at once."""
    quickness = Quickness(local=True)
    assert quickness.permits(0)
    assert quickness.permits(SMALL_BYTES)
    assert not quickness.permits(SMALL_BYTES + 1)


def test_what_is_larger_may_take_longer() -> None:
    """Hashing and writing a mebibyte takes a millisecond in memory; ten are no sign of a slow disk, twenty are."""
    quickness = Quickness(local=True)
    for _ in range(1000):
        quickness.took(0.010, 1024 * 1024)
    assert quickness.permits(0)
    for _ in range(20):
        quickness.took(0.020, 1024 * 1024)
    assert not quickness.permits(0)


def test_where_others_help_the_loop_writes_larger_ones_too() -> None:
    """All that is in memory: a thread would only contend with it over the interpreter. A slow disk is a thread's as before."""
    quickness = Quickness(local=True)
    assert quickness.permits(HELPED_BYTES, helped=True)
    assert not quickness.permits(HELPED_BYTES + 1, helped=True)
    assert HELPED_BYTES == SPOOL_BYTES
    quickness.took(1.1 * (LONGEST_SECONDS + USUAL_SECONDS))
    assert not quickness.permits(0, helped=True)


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


def test_slow_naming_sends_the_next_calls_to_threads() -> None:
    """The loop names a group's files too: the usual time changes nothing; once it takes too long, threads do it."""
    quickness = Quickness(local=True)
    quickness.named(256 * USUAL_SECONDS, 256)
    assert quickness.permits(0)
    quickness.named(256 * USUAL_SECONDS + 1.1 * LONGEST_SECONDS, 256)
    assert not quickness.permits(0)


def test_a_share_is_never_written_to_by_the_loop() -> None:
    """However quick it has been: it may hang, and the loop with it."""
    quickness = Quickness(local=False)
    quickness.took(0.0)
    assert not quickness.permits(0)


@pytest.mark.skipif(bool(fuse.MISSING), reason=str(fuse.MISSING))
def test_a_share_with_archive_or_checkpoint_keeps_the_loop_away(tmp_path: Path) -> None:
    """The loop would write to the checkpoint as well: where either lies on a share, threads do all of it."""
    with fuse.mounted(tmp_path) as share:
        for root, state, quick in (
            (tmp_path, tmp_path, True),
            (tmp_path, share.told, False),
            (share.told, tmp_path, False),
        ):
            with closing(Checkpoint(state / "checkpoint.db", "any")) as checkpoint:
                archive = Archive(root, checkpoint, "any")
                assert archive.quickness.permits(0) is (quick and is_local(tmp_path))
                assert archive.durability.gathers is (root == tmp_path and is_local(tmp_path))
                archive.abandon()


@pytest.mark.parametrize("gathers", [True, False])
def test_the_loop_waits_for_no_disk(tmp_path: Path, gathers: bool) -> None:
    """Where each file is made durable at once, which waits for the disk, the loop stages nothing itself."""
    stager = Stager(tmp_path, tmp_path, dt.UTC, gathers=lambda: gathers, quickness=Quickness(local=True))
    assert stager.is_quick(10) is gathers
