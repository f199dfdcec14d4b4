"""SIGKILL at any request of an erasure: what a tombstone names is gone after the next command, and nothing else is."""

import json
import signal
from pathlib import Path

import pytest

from harvester.demo.server import Platform
from harvester.verify.archive import verify
from tests.fault import fuse
from tests.fault.fuse import Fuse, mounted
from tests.fault.orders import KILL
from tests.fault.scene import Scene, Tree, new_scene
from tests.fault.sweep import sweep

pytestmark = pytest.mark.skipif(bool(fuse.MISSING), reason=str(fuse.MISSING))

ERASE = ("erase", "--id", "100001", "--id", "100002", "--reason", "a request", "--execute")
ERASED = ("100001", "100002")


def mine(keys: Tree | set[str]) -> set[str]:
    """The files of the calls that are erased."""
    return {key for key in keys if key.rpartition("/")[2].partition(".")[0] in ERASED}


def told(scene: Scene) -> set[str]:
    """The files that whole tombstones name."""
    found = set()
    for ledger in scene.archive.glob("runs/*/ledger.jsonl"):
        for raw in ledger.read_bytes().splitlines(keepends=True):
            if raw.endswith(b"\n"):
                found |= {file["path"] for file in json.loads(raw).get("erased", ())}
    return found


def assert_nothing_lost(scene: Scene, undisturbed: Tree) -> None:
    """Assert that a file is missing only where a tombstone says so, and that every other one is what it was."""
    tree = scene.tree()
    assert set(undisturbed) - set(tree) <= told(scene)
    assert {key: tree[key] for key in tree} == {key: undisturbed[key] for key in tree}
    assert not any(finding.kind != "unexpected" for finding in verify(scene.archive).findings)


async def assert_mended(scene: Scene, undisturbed: Tree, *, by_a_run: bool) -> None:
    """Assert that the next command, a run or the same erasure, removes what tombstones name, and all holds together."""
    named = told(scene)
    if by_a_run:
        assert (await scene.ends()).exit_code == 0
        assert set(scene.tree()) == set(undisturbed) - named
        assert verify(scene.archive).findings == []
    is_done = not mine(scene.tree())
    again = await scene.does(*ERASE)
    assert again.exit_code == (2 if is_done else 0), again.said
    assert set(scene.tree()) == set(undisturbed) - mine(undisturbed)
    assert verify(scene.archive).findings == []
    assert (await scene.ends("--full")).exit_code == 0
    assert set(scene.tree()) == set(undisturbed) - mine(undisturbed)


async def filled(platform: Platform, folder: Path, share: Fuse) -> Scene:
    """An archive on a share that holds every call."""
    scene = new_scene(platform, folder, share)
    assert (await scene.ends()).exit_code == 0
    return scene


async def killed(share: Fuse, scene: Scene, undisturbed: Tree, when: int) -> bool:
    """Kill an erasure at one request; assert what holds at once; return whether it came so far."""
    share.order(KILL, when=when)
    ended = await scene.does(*ERASE)
    share.calm()
    assert ended.exit_code in (0, -signal.SIGKILL)
    assert_nothing_lost(scene, undisturbed)
    return ended.exit_code != 0


async def counted(platform: Platform, folder: Path, share: Fuse) -> int:
    """Return how many requests an undisturbed erasure makes of the file system."""
    scene = await filled(platform, folder, share)
    first = share.asked()
    assert (await scene.does(*ERASE)).exit_code == 0
    return share.asked() - first


async def test_an_erasure_killed_as_it_removes(platform: Platform, undisturbed: Tree, tmp_path: Path) -> None:
    """Killed before it removes the first file, or one of the others: a run, or the same erasure, removes what is left."""
    with mounted(tmp_path) as share:
        for when, by_a_run in ((1, True), (1, False), (3, True)):
            scene = await filled(platform, tmp_path, share)
            share.order(KILL, "unlink", path=r"/20\d\d/", when=when)
            assert (await scene.does(*ERASE)).exit_code == -signal.SIGKILL
            share.calm()
            assert told(scene) == mine(undisturbed)
            assert len(mine(scene.tree())) == len(mine(undisturbed)) - when + 1
            assert_nothing_lost(scene, undisturbed)
            await assert_mended(scene, undisturbed, by_a_run=by_a_run)


@pytest.mark.fault
@pytest.mark.parametrize("by_a_run", [False, True])
async def test_an_erasure_killed_at_every_request(
    platform: Platform, undisturbed: Tree, tmp_path: Path, by_a_run: bool
) -> None:
    """Whatever it was about to open, write, make durable, remove, rename or close."""
    with mounted(tmp_path) as share:
        most = await counted(platform, tmp_path, share)
        rounds = 0
        for when in sweep(most):
            scene = await filled(platform, tmp_path, share)
            rounds += await killed(share, scene, undisturbed, when)
            await assert_mended(scene, undisturbed, by_a_run=by_a_run)
        assert rounds > 0.9 * len(sweep(most))
        print(f"\nkilled at {rounds} of {most} requests of an erasure")
