"""Row 16: the share is not mounted, vanishes during the run, or another one is in its place. Nothing is written below."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harvester.demo.server import Platform
from tests.fault import mounts
from tests.fault.hooks import at_request
from tests.fault.invariants import STORAGE, assert_converges, assert_holds, assert_storage_error
from tests.fault.mounts import bound, mount, unmount, unmount_all
from tests.fault.scene import Scene, Tree

pytestmark = pytest.mark.skipif(bool(mounts.MISSING), reason=str(mounts.MISSING))


class Share:
    """A share with the archive on it: `point` is where it is mounted, `disk` what lies on it, `other` another one."""

    def __init__(self, folder: Path) -> None:
        self.point, self.disk, self.other = (folder / name for name in ("share", "disk", "other"))

    def taken_away(self) -> None:
        """Unmount it, in use or not."""
        unmount(self.point, "-l")

    def replaced(self) -> None:
        """Mount the other one over it."""
        mount("--bind", self.other, self.point)

    def put_back(self) -> None:
        """Mount it as it was."""
        unmount_all(self.point)
        mount("--bind", self.disk, self.point)


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    """Return a share that is mounted."""
    share = Share(tmp_path)
    share.other.mkdir()
    with bound(share.disk, share.point):
        yield share


def all_below(folder: Path) -> dict[str, bytes | None]:
    """Return every name below a folder, with the bytes of the files."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


async def vanished(platform: Platform, undisturbed: Tree, share: Share, scene: Scene, number: int, fate: str) -> int:
    """Let the share go at one request of a run, assert what holds, put it back and converge; return the run's exit code."""
    before = all_below(share.other)
    platform.on_request = at_request(number, getattr(share, fate))
    ended = await scene.ends("--per-page", "1")
    platform.on_request = None
    assert_holds(scene, ended, undisturbed)
    if ended.exit_code:
        assert_storage_error(ended, f"the archive at {scene.environment['HARVESTER_ARCHIVE']} was taken away")
    assert all_below(share.other) == before, "something was written to the other share"
    unmount_all(share.point)
    assert all_below(share.point) == {}, "something was written to the disk below"
    share.put_back()
    await assert_converges(scene, undisturbed)
    return ended.exit_code


@pytest.mark.parametrize(("fate", "inside"), [("taken_away", "calls"), ("replaced", "")])
async def test_a_share_that_vanishes(
    hooked: Platform, undisturbed: Tree, tmp_path: Path, share: Share, fate: str, inside: str
) -> None:
    """It is unmounted, or another one mounted over it, in the middle: exit 6 that says so, and nothing lies anywhere else."""
    scene = Scene(hooked, tmp_path, archive=share.point / inside, plain=share.disk / inside)
    assert await vanished(hooked, undisturbed, share, scene, 3, fate)


async def test_another_archive_comes_into_its_place(
    hooked: Platform, undisturbed: Tree, tmp_path: Path, share: Share
) -> None:
    """Another archive, which has folders of the same days, is not touched either."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = Scene(hooked, elsewhere, archive=share.other)
    assert (await other.ends()).exit_code == 0
    scene = Scene(hooked, tmp_path, archive=share.point, plain=share.disk)
    assert await vanished(hooked, undisturbed, share, scene, 4, "replaced")


async def test_a_share_that_is_not_mounted(platform: Platform, undisturbed: Tree, tmp_path: Path, share: Share) -> None:
    """An archive that this machine knows and that is not there: exit 6 before the first byte, asking whether it is mounted."""
    scene = Scene(platform, tmp_path, archive=share.point / "calls", plain=share.disk / "calls")
    await scene.ends("--limit", "2")
    unmount(share.point)
    asked = platform.count("list")
    ended = await scene.ends()
    assert_storage_error(ended, "is the disk or the share mounted?")
    assert platform.count("list") == asked
    assert all_below(share.point) == {}
    share.put_back()
    await assert_converges(scene, undisturbed)


@pytest.mark.fault
@pytest.mark.parametrize("fate", ["taken_away", "replaced"])
async def test_a_share_that_vanishes_at_every_request(
    hooked: Platform, undisturbed: Tree, tmp_path: Path, fate: str
) -> None:
    """Whichever page a run had just asked for: it ends with 6, or was done already."""
    codes = []
    for number in range(1, 9):
        folder, inside = tmp_path / str(number), ("", "calls")[number % 2]
        share = Share(folder)
        share.other.mkdir(parents=True)
        with bound(share.disk, share.point):
            scene = Scene(hooked, folder, archive=share.point / inside, plain=share.disk / inside)
            codes.append(await vanished(hooked, undisturbed, share, scene, number, fate))
    assert codes.count(STORAGE) >= 6
    print(f"\n{fate} {len(codes)} times: {codes.count(STORAGE)} runs ended with 6, {codes.count(0)} had done all")
