"""Row 14: the disk is full at any point, of bytes or of files; a file may not grow; too little is free to begin with."""

import shutil
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from harvester.archive.pieces import SPOOL_BYTES
from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault
from harvester.demo.server import Platform, serve
from tests.fault import mounts
from tests.fault.conftest import CALLS
from tests.fault.invariants import assert_converges, assert_holds, assert_storage_error
from tests.fault.mounts import memory, mount
from tests.fault.scene import Scene, Tree
from tests.fault.sweep import later

needs_mounts = pytest.mark.skipif(bool(mounts.MISSING), reason=str(mounts.MISSING))

MIB = 1024 * 1024
ROOM = "size=8m,nr_inodes=10000"


async def full(scene: Scene, undisturbed: Tree, point: Path, option: str, *, told: str = "make room") -> bool:
    """Run on a small file system, then make room and run again; return whether it was too small."""
    with memory(point, option):
        ended = await scene.ends()
        assert_holds(scene, ended, undisturbed)
        if ended.exit_code:
            assert_storage_error(ended, str(point))
            assert told in ended.said
        mount("-o", f"remount,{ROOM}", point)
        await assert_converges(scene, undisturbed)
    return ended.exit_code != 0


def on_small_disk(platform: Platform, folder: Path) -> Scene:
    """Return a scene whose archive lies on a disk of its own."""
    return Scene(platform, folder, archive=folder / "disk" / "calls")


@needs_mounts
@pytest.mark.parametrize("option", [later("size=16k"), "size=80k", later("nr_inodes=5"), "nr_inodes=20"])
async def test_a_full_disk_ends_the_run(platform: Platform, undisturbed: Tree, tmp_path: Path, option: str) -> None:
    """Wherever it fills up, of bytes or of files: exit 6 that says so, and after room was made the next run goes on."""
    assert await full(on_small_disk(platform, tmp_path), undisturbed, tmp_path / "disk", option)


@needs_mounts
async def test_a_full_local_disk_ends_the_run(platform: Platform, undisturbed: Tree, tmp_path: Path) -> None:
    """The checkpoint and the log lie on another disk than the archive, and that is full: exit 6 that names it."""
    scene = Scene(platform, tmp_path, state=tmp_path / "disk" / "state")
    assert await full(scene, undisturbed, tmp_path / "disk", "size=48k", told=str(tmp_path / "disk"))


@needs_mounts
async def test_what_a_killed_run_left_keeps_no_run_from_beginning(
    platform: Platform, undisturbed: Tree, tmp_path: Path
) -> None:
    """Its parts fill the disk: they go before it is looked whether enough is free, and nobody has to make room for them."""
    scene = on_small_disk(platform, tmp_path)
    (tmp_path / "disk").mkdir()
    with memory(tmp_path / "disk", "size=600k"):
        await scene.ends("--limit", "1")
        platform.faults.add(Fault(where="recording", kind="hang"))
        asked = platform.count("recording")
        process = await scene.begins(())
        try:
            await scene.until(asked + 1)
        finally:
            process.kill()
            await process.aclose()
            platform.faults.clear()
        (parts,) = scene.archive.glob("runs/*/parts")
        for part in (parts / "900.part", parts / "page-900.part"):
            with part.open("wb", buffering=0) as filler, suppress(OSError):
                while filler.tell() < 300 * 1024 or part.name.startswith("page"):
                    filler.write(bytes(4096))
        ended = await scene.ends("--min-free", "100k")
        assert ended.exit_code == 0, ended.said
        assert_holds(scene, ended, undisturbed)
        await assert_converges(scene, undisturbed)


@needs_mounts
async def test_a_checkpoint_whose_disk_is_full_is_kept(platform: Platform, undisturbed: Tree, tmp_path: Path) -> None:
    """It is not said to be damaged, nor rebuilt: a new one would need as much. Exit 6 that says what to do."""
    disk = tmp_path / "disk"
    scene = Scene(platform, tmp_path, state=disk / "state")
    disk.mkdir()
    with memory(disk, "size=400k"):
        await scene.ends("--limit", "1")
        (checkpoint,) = scene.state.glob("*/checkpoint.db")
        number = checkpoint.stat().st_ino
        with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while filler.write(bytes(4096)):
                pass
        ended = await scene.ends()
        assert_storage_error(ended, f"cannot write the checkpoint {checkpoint}: the disk is full; make room")
        assert "rebuilding" not in ended.said
        assert checkpoint.stat().st_ino == number
        assert_holds(scene, ended, undisturbed)
        (disk / "filler").unlink()
        await assert_converges(scene, undisturbed)


@pytest.mark.skipif(not Path("/usr/bin/prlimit").exists(), reason="needs prlimit, of util-linux")
@pytest.mark.parametrize("most_bytes", [100, 3000])
async def test_a_limit_of_file_size_ends_the_run(scene: Scene, undisturbed: Tree, most_bytes: int) -> None:
    """A file that may not grow (ulimit -f) ends the run with 6 and not by a signal; without the limit the next one goes on."""
    ended = await scene.ends(before=("prlimit", f"--fsize={most_bytes}"))
    assert_holds(scene, ended, undisturbed)
    assert_storage_error(ended, str(scene.folder))
    await assert_converges(scene, undisturbed)


@needs_mounts
async def test_min_free_stops_before_the_disk_is_full(platform: Platform, undisturbed: Tree, tmp_path: Path) -> None:
    """Below --min-free nothing is begun, and in the middle no group is committed: exit 6 with both figures, and room is left."""
    scene, point = on_small_disk(platform, tmp_path), tmp_path / "disk"
    with memory(point, "size=400k"):
        ended = await scene.ends("--min-free", "500k")
        assert_storage_error(ended, "min_free")
        assert not scene.tree()
        ended = await scene.ends("--min-free", "380k", "--workers", "1")
        assert_storage_error(ended, "min_free")
        assert_holds(scene, ended, undisturbed)
        await assert_converges(scene, undisturbed)


@needs_mounts
async def test_min_free_holds_while_large_recordings_come_in(tmp_path: Path) -> None:
    """It is looked at before each block that is written, not only when a recording is whole: the disk never has less by more."""
    free: list[int] = []
    size_bytes, least = 24 * MIB, 40 * MIB
    book = CallBook(count=CALLS, most_seconds=5, in_progress=0, late=0)
    large = Fault(where="recording", kind="altered", body=b"RIFF\xff\xff\xff\x7fWAVE" + bytes(size_bytes))
    async with serve(book, faults=[large]) as platform:
        scene = on_small_disk(platform, tmp_path)
        (tmp_path / "disk").mkdir()
        with memory(tmp_path / "disk", "size=64m"):
            async with anyio.create_task_group() as tasks:

                async def watch() -> None:
                    while True:
                        free.append(shutil.disk_usage(tmp_path / "disk").free)
                        await anyio.sleep(0.002)

                tasks.start_soon(watch)
                ended = await scene.ends("--min-free", str(least), "--workers", "3")
                tasks.cancel_scope.cancel()
            assert_storage_error(ended, "min_free")
            assert min(free) >= least - 3 * 2 * SPOOL_BYTES


@needs_mounts
@pytest.mark.fault
async def test_a_disk_that_fills_up_at_every_size(platform: Platform, undisturbed: Tree, tmp_path: Path) -> None:
    """Every size in pages, and every number of files, that is too small for the archive."""
    options = [f"size={size}k" for size in range(4, 150, 12)] + [f"nr_inodes={files}" for files in range(3, 36, 3)]
    ends = []
    for option in options:
        folder = tmp_path / option
        ends.append(await full(on_small_disk(platform, folder), undisturbed, folder / "disk", option))
    assert sum(ends) > 10
    print(f"\n{sum(ends)} of {len(ends)} disks were too small")
