"""Rows 20 and 21: books and a lock that a dead run left, damaged besides. Rebuilt, cut, taken over; never trusted."""

import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.fault import strace
from tests.fault.invariants import assert_converges, assert_holds
from tests.fault.scene import Scene, Tree
from tests.fault.strace import traced
from tests.fault.sweep import later

pytestmark = pytest.mark.skipif(bool(strace.MISSING), reason=str(strace.MISSING))


def deleted(checkpoint: Path) -> None:
    """Leave nothing of it."""
    checkpoint.unlink()


def truncated(checkpoint: Path) -> None:
    """Cut it in half."""
    os.truncate(checkpoint, checkpoint.stat().st_size // 2)


def noise(checkpoint: Path) -> None:
    """Leave its size, and nothing else."""
    checkpoint.write_bytes(bytes(range(1, 256)) * (checkpoint.stat().st_size // 255))


def newer(checkpoint: Path) -> None:
    """Say that a newer harvester has made it."""
    with closing(sqlite3.connect(checkpoint, isolation_level=None)) as db:
        assert db.execute("UPDATE about SET value = '99 ' || value WHERE name = 'archive'").rowcount == 1


@pytest.mark.parametrize(
    "damage",
    [deleted, later(truncated), later(noise), later(newer)],
)
async def test_books_that_a_killed_run_left_damaged(
    scene: Scene, undisturbed: Tree, damage: Callable[[Path], None]
) -> None:
    """A run is killed and its lock lies there; its checkpoint is damaged and its ledger's last line torn: the next goes on."""
    assert (await scene.ends("--limit", "3")).exit_code == 3
    done = await traced(scene, "fsync", "signal=KILL:when=14")
    assert done.ended.exit_code == -signal.SIGKILL
    (checkpoint,) = scene.state.glob("*/checkpoint.db")
    assert checkpoint.with_name("lock").exists()
    damage(checkpoint)
    with max(scene.archive.glob("runs/*/ledger.jsonl")).open("ab") as ledger:
        ledger.write(b'{"seq":99,"prev":"0')
    assert_holds(scene, done.ended, undisturbed)
    await assert_converges(scene, undisturbed)
