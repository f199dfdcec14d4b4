"""What a run costs, counted and not timed, so that a change that makes it dear shows on every machine."""

import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import FrameType

import anyio
import anyio.to_thread
import pytest

from harvester.archive.durability import Durability
from harvester.demo.calls import CallBook
from harvester.demo.server import Platform, serve
from tests.harvests import Harvests, command

CALLS = 500

IN_MEMORY = Path("/dev/shm")

HOP = anyio.to_thread.run_sync.__code__
"""What whoever hops to a thread calls. A coroutine is entered again where it goes on, so a hop counts twice or three times."""


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    """Serve calls that are all over, in three months."""
    async with serve(CallBook(count=CALLS, most_seconds=10, in_progress=0, late=0)) as platform:
        yield platform


@pytest.fixture
def harvests(platform: Platform, tmp_path: Path) -> Iterator[Harvests]:
    """Harvest into memory, where there is such a place: a disk that others keep busy is synced file by file for a while."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else tmp_path) as folder:
        if not Durability.on(Path(folder)).gathers:
            pytest.skip("counts are those of a local disk, and the temporary folder does not lie on one that is known")
        yield Harvests(platform, Path(folder))


async def system_calls(harvests: Harvests) -> Counter[str]:
    """Run under strace; return how often each of the dear system calls was made."""
    trace = harvests.folder / "trace"
    names = ("fsync", "fdatasync", "syncfs", "connect", "rename", "renameat2", "unlink")
    done = await anyio.run_process(
        ["strace", "-f", "-y", "-o", str(trace), "-e", f"trace={','.join(names)}", *command("run", "-q")],
        check=False,
        cwd=harvests.folder,
        env={"PATH": os.environ["PATH"], "HOME": str(harvests.folder), **harvests.environment},
    )
    assert done.returncode == 0, done.stderr.decode()
    return Counter(
        name
        for line in trace.read_text().splitlines()
        if "resumed>" not in line
        for name in re.findall(r"^\d+ +(\w+)\(", line)
    )


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace, which .ci/run installs")
async def test_syncs_and_connections_are_few(harvests: Harvests) -> None:
    """A call costs less than one wait for the disk, though it has three files; connections are used again.

    Folders of days cost a wait each when they are new: the limit counts them apart. On a busy machine a sync may be kept
    waiting, and then a hundred groups go file by file, as they should: it is counted again, twice at most.
    """
    for _ in range(3):
        made = await system_calls(harvests)
        new_folders = len({Path(key).parent for key in harvests.files()}) + 10
        syncs = made["fsync"] + made["fdatasync"] + made["syncfs"]
        if syncs <= 3 * new_folders + CALLS:
            break
        shutil.rmtree(harvests.archive)
        shutil.rmtree(harvests.state)
    assert syncs <= 3 * new_folders + CALLS
    assert made["syncfs"] <= CALLS / 5
    assert made["connect"] <= 40
    assert made["rename"] + made["renameat2"] <= len(harvests.files()) + 20
    assert made["unlink"] <= 100


async def test_requests_are_those_of_the_listing_and_one_for_each_recording(
    harvests: Harvests, platform: Platform
) -> None:
    """Nothing is asked for twice: five pages of calls, what proves them whole, each recording once."""
    account = await harvests.run()
    assert platform.count("recording") == account.recordings["saved"]
    assert account.traffic.requests <= CALLS / 100 + 10


async def test_hops_to_threads_are_those_of_groups(harvests: Harvests) -> None:
    """On a quick disk no call needs a thread of its own: what waits for the disk is made for a group."""
    hops = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal hops
        hops += event == "call" and frame.f_code is HOP

    sys.setprofile(count)
    try:
        account = await harvests.run()
    finally:
        sys.setprofile(None)
    assert account.recordings["saved"] > CALLS / 2
    assert 0 < hops <= CALLS
