"""Seventh invariant, and row 18: a run's memory stays what it is, however much comes in; where it is refused, nothing is lost."""

import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault
from harvester.demo.server import Platform, serve
from tests.fault import mounts
from tests.fault.invariants import MOST_BYTES, STORAGE, assert_converges, assert_holds, assert_keyless
from tests.fault.mounts import memory, mount
from tests.fault.scene import Scene, Tree, new_scene

pytestmark = pytest.mark.skipif(bool(mounts.MISSING), reason=str(mounts.MISSING))


STILL_SECONDS = 60
STANDSTILL = 128 + signal.SIGABRT
CRASHES = (-signal.SIGABRT, -signal.SIGSEGV, STANDSTILL)
"""How libraries in C end a process that gets no memory, seldom, and without a word; or CPython 3.11 goes round in the lock of an
import for ever, until `timeout` ends it: that is out of our hands."""


@pytest.fixture
async def bulky() -> AsyncIterator[Platform]:
    """Serve recordings of several MiB, together more than twice what a run may take; half of all downloads are reset."""
    book = CallBook(count=150, most_seconds=10_000, in_progress=0, late=0)
    resets = [Fault(where="recording", kind="reset", match=call, times=1) for call in list(book.ids())[::2]]
    async with serve(book, faults=resets) as platform:
        yield platform


async def test_memory_stays_bounded(bulky: Platform, tmp_path: Path) -> None:
    """Large recordings come in, half of them twice, and the disk fills up under them: neither is kept in memory."""
    scene = Scene(bulky, tmp_path, archive=tmp_path / "disk" / "calls")
    with memory(tmp_path / "disk", "size=100m"):
        full = await scene.ends()
        assert full.exit_code == STORAGE, full.said
        assert_keyless(scene, full)
        mount("-o", "remount,size=1g", tmp_path / "disk")
        whole = await scene.ends()
        assert whole.exit_code == 0, whole.said
        written_bytes = sum(map(len, scene.tree().values()))
    assert written_bytes > 2 * MOST_BYTES
    assert max(full.peak_bytes, whole.peak_bytes) < MOST_BYTES


@pytest.mark.fault
@pytest.mark.skipif(not shutil.which("prlimit"), reason="needs prlimit, of util-linux")
async def test_a_run_that_gets_no_memory(platform: Platform, undisturbed: Tree, tmp_path: Path) -> None:
    """Wherever memory is refused, as it starts, in a thread or in the middle: one sentence, and the next run makes it good."""
    ends = []
    for megabytes in range(50, 110, 3):
        scene = new_scene(platform, tmp_path)
        bounded = ("timeout", "--preserve-status", "--signal=ABRT", f"{STILL_SECONDS}")
        ended = await scene.ends(before=(*bounded, "prlimit", f"--as={megabytes}000000"))
        assert_holds(scene, ended, undisturbed)
        assert ended.exit_code in (0, 1, STORAGE, *CRASHES)
        assert (ended.exit_code in (0, *CRASHES)) != ("memory" in ended.said)
        await assert_converges(scene, undisturbed)
        ends.append(ended.exit_code)
    assert 0 in ends
    assert sum(code != 0 for code in ends) > 5
    print(
        f"\n{sum(code != 0 for code in ends)} of {len(ends)} runs got too little memory: ended by {sorted(set(ends))}"
    )
