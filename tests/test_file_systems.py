"""File systems that are none of Unix: FAT, by whatever this machine has to mount it.

Letters of one case only, times to two seconds, no rights, no links; and of a folder that is made durable some know nothing.
"""

import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from harvester.demo.calls import CallBook
from harvester.demo.server import Platform, serve
from tests.harvests import Harvests

SIZE_BYTES = 96 * 1024 * 1024


class Kind(NamedTuple):
    """A way to have such a file system: the programs that make and mount it."""

    make: str
    mount: tuple[str, ...]  # a device and a folder follow


KINDS = {
    "vfat": Kind("mkfs.vfat", ("mount", "-t", "vfat")),
    "exfat": Kind("mkfs.exfat", ("mount.exfat-fuse",)),
}
"""The first needs a kernel that knows it, the second FUSE."""


@contextmanager
def mounted(kind: Kind, folder: Path) -> Iterator[Path]:
    """Make an image of this kind and mount it for the block; skip the test where that cannot be done here."""
    needs = (kind.make, kind.mount[0], "losetup")
    if os.geteuid() != 0 or not all(map(shutil.which, needs)):
        pytest.skip(f"needs root and {', '.join(needs)}, which .ci/run installs")
    image, mount = folder / "image", folder / "disk"
    image.touch()
    os.truncate(image, SIZE_BYTES)
    mount.mkdir()
    subprocess.run([kind.make, image], check=True, capture_output=True)
    found = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip(f"needs a loop device ({found.stderr.strip()})")
    device = found.stdout.strip()
    try:
        done = subprocess.run([*kind.mount, device, mount], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"this kernel mounts none ({done.stderr.strip().splitlines()[0]})")
        try:
            yield mount
        finally:
            subprocess.run(["umount", mount], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@pytest.fixture(params=KINDS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of each kind."""
    with mounted(KINDS[request.param], tmp_path) as mount:
        yield mount


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    """Serve 60 calls, all over."""
    async with serve(CallBook(count=60, most_seconds=10, in_progress=0, late=0)) as platform:
        yield platform


@pytest.fixture
def harvests(platform: Platform, disk: Path, tmp_path: Path) -> Harvests:
    """Harvest onto that file system."""
    harvests = Harvests(platform, tmp_path)
    harvests.archive = disk / "calls"
    harvests.environment["HARVESTER_ARCHIVE"] = str(harvests.archive)
    return harvests


@pytest.mark.fault
async def test_fat_will_do(platform: Platform, harvests: Harvests) -> None:
    """Doctor finds nothing wrong and says what is odd; run, verify, a changed call and a rerun behave as anywhere else."""
    doctor = await harvests.cli("doctor", "--json")
    found = json.loads(doctor.stdout)
    assert doctor.returncode == 0, doctor.stdout.decode()
    assert not [each for each in found["findings"] if each["verdict"] == "bad"]
    assert any("capital letters" in each["said"] for each in found["findings"])
    first = await harvests.cli("run")
    assert first.returncode == 0, first.stderr.decode()
    files = harvests.files()
    recordings = sorted(
        platform.book.recording(i) for i in platform.book.ids() if platform.book.row(i)["recording_url"]
    )
    assert sorted(data for key, data in files.items() if key.endswith((".mp3", ".m4a", ".mp4"))) == recordings
    assert not harvests.verify().findings
    changed = next(platform.book.ids())
    platform.book.change(changed, status="failed")
    asked = platform.count("recording")
    again = await harvests.cli("run", "--full")
    assert again.returncode == 0, again.stderr.decode()
    assert platform.count("recording") == asked
    assert harvests.files().items() > files.items()
    assert not harvests.verify().findings


@pytest.mark.fault
async def test_a_killed_run_on_fat_is_mended(platform: Platform, harvests: Harvests) -> None:
    """After SIGKILL the next run mends what is open, and the archive is whole."""
    process = await harvests.start("run")
    await harvests.until(20)
    process.kill()
    await process.aclose()
    again = await harvests.cli("run")
    assert again.returncode == 0, again.stderr.decode()
    assert not harvests.verify().findings
    assert len([key for key in harvests.files() if key.endswith(".json")]) == 60
