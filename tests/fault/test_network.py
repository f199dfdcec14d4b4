"""Row 10: there is no network at all. The kernel gives a run one of its own, in which nothing leads anywhere."""

import os
import shutil

import pytest

from tests.fault.invariants import assert_converges, assert_holds
from tests.fault.scene import Scene, Tree

UNREACHABLE = 5

pytestmark = pytest.mark.skipif(
    not shutil.which("unshare") or os.geteuid() != 0, reason="needs root and unshare, of util-linux"
)


async def test_without_a_network_it_is_tried_again_and_then_said(scene: Scene, undisturbed: Tree) -> None:
    """As many attempts as are set, then exit 5 in one line that says so; nothing is written, and the next run does it all."""
    ended = await scene.ends("-v", "--attempts", "3", before=("unshare", "--net"))
    assert ended.exit_code == UNREACHABLE
    assert [f"attempt {number} failed" in ended.said for number in (1, 2, 3)] == [True, True, False]
    assert ended.said.splitlines()[-1].endswith("(Network is unreachable)")
    assert not scene.archive.exists()
    assert_holds(scene, ended, undisturbed)
    await assert_converges(scene, undisturbed)


async def test_a_network_that_is_gone_for_a_night_loses_nothing(scene: Scene, undisturbed: Tree) -> None:
    """An archive that is half done stays as it is."""
    await scene.ends("--limit", "3")
    before = scene.tree()
    ended = await scene.ends("--attempts", "2", before=("unshare", "--net"))
    assert ended.exit_code == UNREACHABLE
    assert scene.tree() == before
    assert_holds(scene, ended, undisturbed)
    await assert_converges(scene, undisturbed)
