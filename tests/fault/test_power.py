"""Second invariant: what the ledger calls saved survives a power cut, at any instant.

An ext4 file system is shut down without its journal being written out: what was not made durable is gone, as when the power
fails. The instant is that of one system call of the run, which is killed there.
"""

import os
import tempfile
from pathlib import Path

import pytest

from harvester.demo.server import Platform
from tests.fault import mounts, strace
from tests.fault.hooks import at_request
from tests.fault.invariants import assert_converges, assert_holds, assert_storage_error, assert_verifies
from tests.fault.mounts import powered
from tests.fault.scene import Scene, Tree
from tests.fault.strace import traced
from tests.fault.sweep import later, sweep

pytestmark = pytest.mark.skipif(
    bool(mounts.POWERLESS or strace.MISSING), reason="; ".join(filter(None, [mounts.POWERLESS, strace.MISSING]))
)

REBUILT = "does not fit the archive"
"""What is said of a checkpoint that knows more than the ledger: it must never have come so far."""


async def cut_at(
    platform: Platform, folder: Path, undisturbed: Tree, call: str, when: int, *, all_on_it: bool
) -> tuple[int, int]:
    """Cut the power as a run enters one system call, assert all that holds; return how many files had names, and a line.

    `all_on_it`: the local state lies on the same disk; else it keeps all that it was told.
    """
    with powered(folder) as disk:
        scene = Scene(platform, folder, archive=disk.point / "calls", state=disk.point / "state" if all_on_it else None)
        done = await traced(scene, f"/^{call}", f"signal=KILL:when={when}")
        named = len(scene.tree())
        disk.cut()
        assert_holds(scene, done.ended, undisturbed)
        lines = len(scene.saved_files())
        again = await assert_converges(scene, undisturbed)
        assert REBUILT not in again.said
        disk.cut()
        assert scene.tree() == undisturbed
        assert_verifies(scene.archive, seed=when)
    return named, lines


@pytest.mark.parametrize(
    ("call", "when", "all_on_it"),
    [later("fsync", 9, True), ("fsync", 24, False), ("syncfs", 1, True), later("rename", 9, True)],
)
async def test_a_power_cut(
    platform: Platform, undisturbed: Tree, tmp_path: Path, call: str, when: int, all_on_it: bool
) -> None:
    """After it the ledger's files are there and whole, the next run goes on, and what it calls complete survives the next cut."""
    await cut_at(platform, tmp_path, undisturbed, call, when, all_on_it=all_on_it)


async def test_the_power_is_really_cut(tmp_path: Path) -> None:
    """What was made durable is there afterwards, and what was not is gone: else the other tests here would show nothing."""
    with powered(tmp_path) as disk:
        (disk.point / "kept").write_text("kept")
        with (disk.point / "kept").open() as file:
            os.fsync(file.fileno())
        (disk.point / "lost").write_text("lost")
        disk.cut()
        assert (disk.point / "kept").read_text() == "kept"
        assert not (disk.point / "lost").exists()


@pytest.mark.parametrize("number", [4, later(2)])
async def test_a_disk_that_fails_in_the_middle(
    hooked: Platform, undisturbed: Tree, tmp_path: Path, number: int
) -> None:
    """From some moment on the device gives nothing but errors: exit 6 that names it, and when it is back nothing is lost."""
    with powered(tmp_path) as disk:
        scene = Scene(hooked, tmp_path, archive=disk.point / "calls")
        hooked.on_request = at_request(number, disk.fail)
        ended = await scene.ends("--per-page", "1")
        hooked.on_request = None
        assert_storage_error(ended, str(disk.point))
        disk.restore()
        assert_holds(scene, ended, undisturbed)
        await assert_converges(scene, undisturbed)


async def cut_later(platform: Platform, folder: Path, undisturbed: Tree, call: str, when: int) -> None:
    """Kill a run as it enters one system call; cut the power only when the next run has ended, and assert all that holds."""
    with powered(folder) as disk:
        scene = Scene(platform, folder, archive=disk.point / "calls", state=disk.point / "state")
        done = await traced(scene, f"/^{call}", f"signal=KILL:when={when}")
        assert_holds(scene, done.ended, undisturbed)
        await assert_converges(scene, undisturbed)
        lines = scene.saved_files()
        disk.cut()
        assert scene.tree() == undisturbed
        assert scene.saved_files() == lines
        assert_verifies(scene.archive, seed=when)
        await assert_converges(scene, undisturbed)


@pytest.mark.parametrize(("call", "when"), [later("fsync", 18), ("fsync", 20)])
async def test_a_power_cut_after_a_kill_and_a_run(
    platform: Platform, undisturbed: Tree, tmp_path: Path, call: str, when: int
) -> None:
    """What a killed run had written and not made durable, and the next run has believed, is durable when that has ended."""
    await cut_later(platform, tmp_path, undisturbed, call, when)


@pytest.mark.fault
async def test_a_power_cut_after_a_kill_at_every_fsync_and_a_run(
    platform: Platform, undisturbed: Tree, tmp_path: Path
) -> None:
    """The same at every fsync."""
    dry = await traced(Scene(platform, tmp_path), "fsync")
    for when in sweep(dry.most()):
        await cut_later(platform, Path(tempfile.mkdtemp(dir=tmp_path)), undisturbed, "fsync", when)
    print(f"\n{len(sweep(dry.most()))} power cuts after a kill and a run: 0 files lost")


@pytest.mark.fault
@pytest.mark.parametrize("all_on_it", [True, False])
async def test_a_power_cut_at_every_call(
    platform: Platform, undisturbed: Tree, tmp_path: Path, all_on_it: bool
) -> None:
    """At every fsync and every third rename: nothing that the ledger tells of is ever lost."""
    dry = await traced(Scene(platform, tmp_path), "fsync,syncfs,/^rename")
    rounds = [
        (call, when)
        for call, step in (("fsync", 1), ("syncfs", 1), ("rename", 3))
        for when in sweep(dry.most(call), step)
    ]
    named = lines = 0
    for call, when in rounds:
        cut = await cut_at(platform, Path(tempfile.mkdtemp(dir=tmp_path)), undisturbed, call, when, all_on_it=all_on_it)
        named, lines = named + cut[0], lines + cut[1]
    assert lines
    print(
        f"\n{2 * len(rounds)} power cuts: {named} files had names when it came, {lines} stood in a ledger, 0 of them lost"
    )
