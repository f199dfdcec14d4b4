"""Row 18: SIGKILL at any system call. The next run goes on, and nothing is lost, doubled or half."""

import signal
from pathlib import Path

import pytest

from harvester.demo.server import Platform
from tests.fault import fuse, strace
from tests.fault.fuse import Fuse, mounted
from tests.fault.invariants import assert_converges, assert_holds
from tests.fault.orders import KILL
from tests.fault.scene import Scene, Tree, new_scene
from tests.fault.strace import skip_unless_called, traced
from tests.fault.sweep import STEP, later, sweep

needs_fuse = pytest.mark.skipif(bool(fuse.MISSING), reason=str(fuse.MISSING))
needs_strace = pytest.mark.skipif(bool(strace.MISSING), reason=str(strace.MISSING))

CALLS = {
    "fsync": 1,
    "syncfs": 1,
    "/^rename": 1,
    "/^mkdir": 1,
    "/^unlink": 1,
    "fdatasync": 1,
    "ftruncate": 1,
    "pwrite64": 3,
}
"""What a run calls in the archive and in its local state, and the interpreter does not call as it starts. Opening, writing
and closing are swept in the archive alone, by the file system that is asked for it. The number is the step of the sweep:
`pwrite64` fills the pages of the checkpoint, which is an index."""


async def counted(share: Fuse, scene: Scene) -> int:
    """Run undisturbed; return how many requests besides looking that makes of the file system."""
    before = share.asked()
    assert (await scene.ends()).exit_code == 0
    return share.asked() - before


async def killed(share: Fuse, scene: Scene, undisturbed: Tree, when: int) -> bool:
    """Kill a run at one request, before that is carried out, and assert what holds; return whether it came so far."""
    share.order(KILL, when=when)
    ended = await scene.ends()
    share.calm()
    assert ended.exit_code in (0, -signal.SIGKILL)
    assert_holds(scene, ended, undisturbed)
    return ended.exit_code != 0


async def killed_in_calls(platform: Platform, folder: Path, undisturbed: Tree, call: str, when: int) -> bool:
    """Kill a run as a thread enters one system call; assert all that holds; return whether it came so far."""
    scene = new_scene(platform, folder)
    done = await traced(scene, call, f"signal=KILL:when={when}")
    assert done.struck == (done.ended.exit_code != 0)
    assert_holds(scene, done.ended, undisturbed)
    await assert_converges(scene, undisturbed)
    return done.struck


@needs_fuse
async def test_a_run_killed_at_some_requests(platform: Platform, undisturbed: Tree, tmp_path: Path) -> None:
    """Killed early, in the middle and late, also while it mends what the run before it left: the next one makes it good."""
    with mounted(tmp_path) as share:
        most = await counted(share, new_scene(platform, tmp_path, share))
        for tenths in (3, 8):
            scene = new_scene(platform, tmp_path, share)
            assert await killed(share, scene, undisturbed, most * tenths // 10)
            assert await killed(share, scene, undisturbed, 3 + tenths)
            await assert_converges(scene, undisturbed)


@needs_strace
@pytest.mark.parametrize(("call", "when"), [later("fsync", 7), ("syncfs", 1), ("/^rename", 4), later("pwrite64", 20)])
async def test_a_run_killed_at_some_calls(
    platform: Platform, undisturbed: Tree, tmp_path: Path, call: str, when: int
) -> None:
    """Killed between two system calls, on a file system of this machine: the next run makes it good."""
    skip_unless_called(call, tmp_path)
    assert await killed_in_calls(platform, tmp_path, undisturbed, call, when)


@needs_fuse
@pytest.mark.fault
async def test_a_run_killed_at_every_request(platform: Platform, undisturbed: Tree, tmp_path: Path) -> None:
    """Whatever a run was about to open, write, make durable, rename or close when it was killed: the next one makes it good."""
    with mounted(tmp_path) as share:
        most = await counted(share, new_scene(platform, tmp_path, share))
        rounds = 0
        for when in sweep(most):
            scene = new_scene(platform, tmp_path, share)
            rounds += await killed(share, scene, undisturbed, when)
            await assert_converges(scene, undisturbed)
        assert rounds > 0.9 * len(sweep(most))  # threads take turns as they like: a run may make a few requests fewer
        print(f"\nkilled at {rounds} of {most} requests of a run")


async def killed_keeping_pages(share: Fuse, platform: Platform, folder: Path, undisturbed: Tree, when: int) -> bool:
    """Kill a run that keeps list pages at one request, and assert that what its ledger calls kept is whole."""
    scene = new_scene(platform, folder, share)
    scene.environment["HARVESTER_KEEP_PAGES"] = "yes"
    came_so_far = await killed(share, scene, undisturbed, when)
    await assert_converges(scene, undisturbed)
    return came_so_far


@needs_fuse
@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.fault)])
async def test_a_run_that_keeps_pages_killed_at_some_requests(
    platform: Platform, undisturbed: Tree, tmp_path: Path, step: int
) -> None:
    """Between a page's part, name and line, too: no page is half, and none lies there that no ledger tells of."""
    with mounted(tmp_path) as share:
        scene = new_scene(platform, tmp_path, share)
        scene.environment["HARVESTER_KEEP_PAGES"] = "yes"
        most = await counted(share, scene)
        assert list(scene.archive.glob("runs/*/pages/*.json.gz"))
        whens = range(most // 20, most // 2, max(1, step * most // 40))
        rounds = [await killed_keeping_pages(share, platform, tmp_path, undisturbed, when) for when in whens]
        assert all(rounds)


@needs_fuse
@pytest.mark.fault
async def test_the_mending_killed_at_every_third_request(platform: Platform, undisturbed: Tree, tmp_path: Path) -> None:
    """A run that mends what a killed one left is killed itself, anywhere: the third makes it good."""
    with mounted(tmp_path) as share:
        most = await counted(share, new_scene(platform, tmp_path, share))
        when, rounds = 0, 0
        while True:
            scene, when = new_scene(platform, tmp_path, share), when + 3 * STEP
            assert await killed(share, scene, undisturbed, most * (1 + when % 9) // 10)
            came_so_far = await killed(share, scene, undisturbed, when)
            await assert_converges(scene, undisturbed)
            rounds += came_so_far
            if not came_so_far:
                break
        assert rounds > 20 / STEP
        print(f"\nkilled at {rounds} requests of a run that mends")


@needs_strace
@pytest.mark.fault
@pytest.mark.parametrize("call", CALLS)
async def test_a_run_killed_at_every_call(platform: Platform, undisturbed: Tree, tmp_path: Path, call: str) -> None:
    """At every one of these system calls, in the archive and in the local state."""
    dry = await traced(new_scene(platform, tmp_path), call)
    whens = sweep(dry.most(), CALLS[call])
    rounds = [await killed_in_calls(platform, tmp_path, undisturbed, call, when) for when in whens]
    assert sum(rounds) > 0.8 * len(rounds) or len(rounds) < 5
    print(f"\nkilled at {sum(rounds)} of {len(rounds)} calls of {call}")
