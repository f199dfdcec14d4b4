"""Rows 15 and 23: shares that answer with errors of their own, write only half, end, or cannot do what a disk can."""

import errno
import re
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from harvester.archive.pieces import SPOOL_BYTES
from harvester.demo.calls import CallBook
from harvester.demo.server import Platform, serve
from tests.fault import fuse
from tests.fault.fuse import Fuse, mounted
from tests.fault.invariants import assert_converges, assert_holds, assert_storage_error, assert_verifies
from tests.fault.orders import DIE, HALF, KILL
from tests.fault.scene import Scene, Tree, new_scene
from tests.fault.sweep import later
from tests.fault.test_slow import recorded_bytes

pytestmark = pytest.mark.skipif(bool(fuse.MISSING), reason=str(fuse.MISSING))

TRAITS = ("no-fsync-of-folders", "no-chmod", "no-replacing", "one-case", "coarse-times")

FILES = {
    "mark": "/harvester-archive.json",
    "ledger": "/ledger.jsonl",
    "part": r"/\d+\.part",
    "journal": "/group.json",
    "call": r"/20\d\d/",
    "account": "/run.json",
    "manifest": "/manifest-sha256.txt",
}
"""How the paths of all kinds of files read that a run writes."""

ERRORS = (errno.ESTALE, errno.EHOSTDOWN, errno.EIO, errno.ETIMEDOUT, errno.ENOSPC, errno.EACCES)


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Fuse]:
    """Return a share that fails on order."""
    with mounted(tmp_path) as share:
        yield share


def on(share: Fuse, platform: Platform, folder: Path) -> Scene:
    """Return a scene whose archive lies on a share."""
    return Scene(platform, folder, archive=share.told / "calls", plain=share.plain / "calls")


async def refused(share: Fuse, scene: Scene, undisturbed: Tree, error: int, request: str, path: str) -> bool:
    """Let each request of one kind to one kind of file fail; return whether it was made at all."""
    share.order(error, request, path=path)
    ended = await scene.ends()
    share.calm()
    assert_holds(scene, ended, undisturbed)
    if ended.exit_code:
        assert_storage_error(ended, str(share.told))
    await assert_converges(scene, undisturbed)
    return ended.exit_code != 0


@pytest.mark.parametrize(
    ("request_", "file", "error"),
    [
        ("fsync", "ledger", errno.EIO),
        ("write", "part", errno.ESTALE),
        later("rename", "call", errno.EHOSTDOWN),
        ("flush", "part", errno.EDQUOT),
    ],
)
async def test_an_error_of_the_share_ends_the_run(
    platform: Platform, undisturbed: Tree, tmp_path: Path, share: Fuse, request_: str, file: str, error: int
) -> None:
    """A share that went stale, or whose machine is down: exit 6, the path and what to do; the next run goes on."""
    assert await refused(share, on(share, platform, tmp_path), undisturbed, error, request_, FILES[file])


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("fsync", errno.EIO),
        ("flush", errno.EHOSTDOWN),
        later("write", errno.ESTALE),
    ],
)
async def test_what_a_share_did_not_keep_is_fetched_again(
    platform: Platform, undisturbed: Tree, tmp_path: Path, share: Fuse, request_: str, error: int
) -> None:
    """One file fails once, as it is written, made durable or closed: its call is fetched again, and the run goes on."""
    scene = on(share, platform, tmp_path)
    asked = platform.count("recording")
    share.order(error, request_, path=FILES["part"], times=1)
    ended = await scene.ends()
    share.calm()
    assert ended.exit_code == 0, ended.said
    assert "was fetched again, into new files" in ended.said
    assert ended.account
    assert ended.account["settled_again"] == 1
    recordings = ended.account["recordings"]["saved"]
    assert platform.count("recording") - asked in (recordings, recordings + 1)  # a call may have none
    assert_holds(scene, ended, undisturbed)
    await assert_converges(scene, undisturbed)


@pytest.mark.parametrize("request_", ["write", later("fsync")])
async def test_a_large_recording_that_a_share_did_not_keep(tmp_path: Path, share: Fuse, request_: str) -> None:
    """One that goes to its file block by block fails in the middle or at its end: it is fetched again, whole."""
    books = (CallBook(seed=seed, count=1, most_seconds=10_000, in_progress=0, late=0) for seed in range(1000))
    book = next(each for each in books if SPOOL_BYTES < recorded_bytes(each) < 3 * SPOOL_BYTES)
    async with serve(book) as platform:
        scene = on(share, platform, tmp_path)
        share.order(errno.EIO, request_, path=FILES["part"], times=1)
        ended = await scene.ends()
        share.calm()
        assert ended.exit_code == 0, ended.said
        assert ended.account
        assert ended.account["settled_again"] == 1
        assert platform.count("recording") == 2
        assert max(map(len, scene.tree().values())) == recorded_bytes(book)
        assert_verifies(scene.archive, seed=1)


async def test_what_a_share_keeps_not_twice_ends_the_run(
    platform: Platform, undisturbed: Tree, tmp_path: Path, share: Fuse
) -> None:
    """No file of a call becomes durable, nor its second one: exit 6, after at most two downloads, each file synced once."""
    scene = on(share, platform, tmp_path)
    before = Counter(seen.path for seen in platform.requests if seen.where == "recording")
    share.order(errno.EIO, "fsync", path=FILES["part"])
    ended = await scene.ends()
    share.calm()
    assert_storage_error(ended, str(share.told))
    asked = Counter(seen.path for seen in platform.requests if seen.where == "recording") - before
    assert max(asked.values(), default=0) <= 2  # a call without a recording may have come first
    synced = Counter(
        path for request, path in share.requests() if request == "fsync" and re.search(FILES["part"], path)
    )
    assert len(synced) > 1
    assert not {path for path, times in synced.items() if times > 1}
    assert_holds(scene, ended, undisturbed)
    await assert_converges(scene, undisturbed)


async def test_half_a_write_is_not_taken_for_a_whole_one(
    platform: Platform, undisturbed: Tree, tmp_path: Path, share: Fuse
) -> None:
    """Where each write takes only half of what it is given, the rest is written too: the run is complete."""
    scene = on(share, platform, tmp_path)
    share.order(HALF, "write")
    ended = await scene.ends()
    share.calm()
    assert ended.exit_code == 0, ended.said
    assert_holds(scene, ended, undisturbed)
    await assert_converges(scene, undisturbed)


async def test_a_share_whose_server_ends(platform: Platform, undisturbed: Tree, tmp_path: Path, share: Fuse) -> None:
    """It answers nothing any more (ENOTCONN): exit 6 with the path; when it is mounted again, the next run goes on."""
    scene = on(share, platform, tmp_path)
    share.order(DIE, "rename", path=FILES["call"], when=3)
    ended = await scene.ends()
    share.calm()
    assert_storage_error(ended, "mount it again and run again")
    share.end()
    assert not list(share.told.iterdir())
    share.serve()
    assert_holds(scene, ended, undisturbed)
    await assert_converges(scene, undisturbed)


async def test_a_share_that_can_do_little(platform: Platform, undisturbed: Tree, tmp_path: Path) -> None:
    """No fsync of folders, no chmod, no replacing of open files, one case, coarse times: doctor names it, and all works."""
    with mounted(tmp_path, *TRAITS) as share:
        scene = on(share, platform, tmp_path)
        looked = await scene.cli("doctor")
        said = re.sub(r"\s+", " ", (looked.stdout + looked.stderr).decode())
        assert looked.returncode == 0, said
        for found in ("capital letters", "fsync of a folder is refused", "open cannot be replaced", "some seconds"):
            assert found in said
        share.order(KILL, "rename", path=FILES["call"], when=4)
        ended = await scene.ends()
        share.calm()
        assert ended.exit_code == -signal.SIGKILL
        assert_holds(scene, ended, undisturbed)
        await assert_converges(scene, undisturbed)
        assert (await scene.ends()).exit_code == 0


async def test_a_share_that_keeps_no_modes(platform: Platform, undisturbed: Tree, tmp_path: Path) -> None:
    """With `read_only` set doctor says that a share does not take it; a run ends well on it all the same."""
    with mounted(tmp_path, "no-chmod") as share:
        scene = on(share, platform, tmp_path)
        scene.environment["HARVESTER_READ_ONLY"] = "yes"
        looked = await scene.cli("doctor")
        assert looked.returncode == 0
        assert "it does not keep files read-only" in re.sub(r"\s+", " ", looked.stdout.decode())
        await assert_converges(scene, undisturbed)


@pytest.mark.fault
async def test_an_error_for_every_kind_of_file(
    platform: Platform, undisturbed: Tree, tmp_path: Path, share: Fuse
) -> None:
    """Creating, writing, making durable and renaming of each kind of file fails, and so does making folders."""
    met = tried = 0
    for number, (request, path) in enumerate(
        [(request, path) for request in ("create", "write", "fsync", "rename", "flush") for path in FILES.values()]
        + [("mkdir", path) for path in ("/runs$", "/parts$", r"/20\d\d$", "/20../../..$")]
        + [("fsyncdir", path) for path in ("/runs$", "/20../../..$", "Z-[0-9a-f]+$")]
    ):
        scene = new_scene(platform, tmp_path, share)
        met += await refused(share, scene, undisturbed, ERRORS[number % len(ERRORS)], request, path)
        tried += 1
    assert met > tried / 2
    print(f"\n{met} of {tried} errors were met")
