"""Row 17, on a disk of this machine: a group's sync that takes long, or for ever. strace holds it back."""

from pathlib import Path

import pytest

from harvester.demo.calls import CallBook
from harvester.demo.server import serve
from tests.fault import strace
from tests.fault.invariants import assert_converges, assert_holds, assert_storage_error
from tests.fault.scene import Scene, Tree
from tests.fault.strace import skip_unless_called, traced

pytestmark = pytest.mark.skipif(bool(strace.MISSING), reason=str(strace.MISSING))

PATIENCE = {"HARVESTER_STORAGE_PATIENCE_SECONDS": "1"}


def one_large_call() -> CallBook:
    """Return a call whose recording is just small enough to wait for its group: its sync may take two seconds more at least."""
    books = (CallBook(seed=seed, count=1, most_seconds=1000, in_progress=0, late=0) for seed in range(1000))
    return next(book for book in books if 500_000 < recorded_bytes(book) < 1_000_000)


def recorded_bytes(book: CallBook) -> int:
    """Return how large the recordings of a book are."""
    return sum(len(book.recording(each)) for each in book.ids() if book.row(each)["recording_url"])


@pytest.mark.fault
async def test_a_sync_that_hangs_ends_the_run(scene: Scene, undisturbed: Tree) -> None:
    """After the patience exit 6 that says what hangs, nothing has a name, and the next run makes it good."""
    skip_unless_called("syncfs", scene.folder)
    scene.environment |= PATIENCE
    done = await traced(scene, "syncfs", "delay_enter=4000000")
    assert_storage_error(done.ended, "make durable what lies in")
    assert "the storage hangs" in done.ended.said
    assert not scene.tree()
    assert_holds(scene, done.ended, undisturbed)
    await assert_converges(scene, undisturbed)


async def test_a_sync_of_much_may_take_longer(tmp_path: Path) -> None:
    """How long it may take goes by how many bytes a group makes durable at once: no disk is called hung that is only slow."""
    skip_unless_called("syncfs", tmp_path)
    async with serve(one_large_call()) as platform:
        scene = Scene(platform, tmp_path)
        scene.environment |= PATIENCE
        done = await traced(scene, "syncfs", "delay_enter=2000000")
    assert any("(DELAYED)" in line for line in done.lines)
    assert done.ended.exit_code == 0, done.ended.said
