"""A share that hangs: the run does not hang with it, and what it says can be read where the share is not needed.

The share is a file system of FUSE whose operations wait on order: the thread that called them waits in the kernel and cannot be
ended, as on an NFS share mounted hard.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from harvester.archive.steps import LONGEST_LOOK, SLOWEST_BYTES_PER_SECOND, Step, Watch
from harvester.demo.calls import CallBook
from harvester.demo.server import Platform, serve
from harvester.settings import Settings
from harvester.vigil import PATIENCE_SECONDS
from tests.harvests import Harvests

FUSE_IS_THERE = (
    os.access("/dev/fuse", os.R_OK | os.W_OK)
    and shutil.which("fusermount3") is not None
    and importlib.util.find_spec("mfusepy") is not None
)
needs_fuse = pytest.mark.skipif(
    not FUSE_IS_THERE, reason="needs /dev/fuse, fusermount3 and mfusepy, which .ci/run installs"
)

LIMIT_SECONDS = 60
"""After so long a test has failed; none takes it when all is well."""


class Share:
    """A share that hangs on order."""

    def __init__(self, folder: Path) -> None:
        self.below, self.mount = folder / "server", folder / "share"
        self._orders, self._release = folder / "orders", folder / "release"
        for each in (self.below, self.mount):
            each.mkdir()
        os.mkfifo(self._release)
        program = [sys.executable, "-m", "tests.hanging", self.below, self.mount, self._orders, self._release]
        self._server = subprocess.Popen([*map(str, program)], cwd=Path(__file__).parents[1])
        while not self.mount.is_mount():
            assert self._server.poll() is None

    def hang(self, *operations: str) -> None:
        """Let these operations hang from now on."""
        self._orders.write_text(" ".join(operations))

    def answer(self) -> None:
        """Let all that hang go on, and none hang any more."""
        self._orders.unlink(missing_ok=True)
        os.close(os.open(self._release, os.O_RDWR | os.O_NONBLOCK))  # whoever waits for a writer has had one

    def unmount(self) -> None:
        """Take the share away."""
        self.answer()
        subprocess.run(["fusermount3", "-u", "-z", self.mount], check=True)
        self._server.wait(LIMIT_SECONDS)


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    """Mount a share."""
    share = Share(tmp_path)
    yield share
    share.unmount()


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    """Serve 60 calls, enough to hang among them."""
    async with serve(CallBook(count=60, most_seconds=20, in_progress=0, late=0)) as platform:
        yield platform


@pytest.fixture
def harvests(platform: Platform, share: Share, tmp_path: Path) -> Harvests:
    """Harvest onto the share, with a patience of a second."""
    harvests = Harvests(platform, tmp_path)
    harvests.archive = share.mount / "calls"
    harvests.environment |= {
        "HARVESTER_ARCHIVE": str(harvests.archive),
        "HARVESTER_STORAGE_PATIENCE_SECONDS": "1",
    }
    return harvests


def bulletin(harvests: Harvests) -> dict[str, Any]:
    """What status.json says; nothing where there is none."""
    texts = [path.read_text() for path in harvests.state.glob("*/status.json")]
    return json.loads(texts[0]) if texts else {}


def log_of(harvests: Harvests) -> str:
    """The local log."""
    return "".join(path.read_text() for path in harvests.state.glob("*/harvester.log"))


async def until_given_up(harvests: Harvests, process: anyio.abc.Process) -> dict[str, Any]:
    """Wait until the process has ended itself as far as the kernel allows; return what status.json says."""
    with anyio.fail_after(LIMIT_SECONDS):
        while len(threads_of(process)) < 2:  # noqa: ASYNC110 - it has not begun to keep vigil
            await anyio.sleep(0.005)
        while set(threads_of(process)) - set("DZX"):  # noqa: ASYNC110 - the kernel has no event for it
            await anyio.sleep(0.02)
    return bulletin(harvests)


def threads_of(process: anyio.abc.Process) -> list[str]:
    """Return the states of a process's threads, see proc(5): D waits in the kernel and cannot be ended."""
    texts = []
    for stat in Path(f"/proc/{process.pid}/task").glob("*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            texts.append(stat.read_text())
    return [text.rpartition(")")[2].split()[0] for text in texts]


async def ended(process: anyio.abc.Process) -> tuple[int, str]:
    """Wait for the end of a process whose share answers again; return its exit code and what it said."""
    said = b""
    assert process.stderr is not None
    with anyio.fail_after(LIMIT_SECONDS):
        async for chunk in process.stderr:
            said += chunk
        code = await process.wait()
    await process.aclose()
    return code, said.decode()


@needs_fuse
@pytest.mark.parametrize(
    ("operation", "after"),
    [
        ("fsync", 30),
        pytest.param("write", 5, marks=pytest.mark.fault),
        pytest.param("rename", 1, marks=pytest.mark.fault),
        pytest.param("statfs", 10, marks=pytest.mark.fault),
    ],
)
async def test_a_share_that_hangs_ends_the_run(
    platform: Platform, harvests: Harvests, share: Share, operation: str, after: int
) -> None:
    """When a step hangs, the run ends with 6; status.json, log and screen name step and mount; the next run converges."""
    process = await harvests.start("run")
    await harvests.until(after)
    share.hang(operation)
    told = await until_given_up(harvests, process)
    assert (told["phase"], told["exit_code"], told["pid"]) == ("stuck", 6, process.pid)
    assert f"the storage hangs (fuse of share on {share.mount}): to " in told["said"]
    assert told["run"]
    assert told["said"] in log_of(harvests)
    share.answer()
    code, said = await ended(process)
    assert (code, told["said"] in said) == (6, True)
    again = await harvests.cli("run")
    assert again.returncode == 0, again.stderr.decode()
    assert len(harvests.files()) > 60
    assert not harvests.verify().findings
    assert bulletin(harvests)["verdict"] == "complete"


@pytest.mark.fault
@needs_fuse
@pytest.mark.parametrize("operation", ["fsync", "mkdir", "getattr"])
async def test_a_share_that_hangs_from_the_start_ends_the_run(harvests: Harvests, share: Share, operation: str) -> None:
    """The run ends too where the event loop itself hangs, before there is an archive, with one sentence and 6."""
    share.hang(operation)
    process = await harvests.start("run")
    await until_given_up(harvests, process)
    share.answer()
    code, said = await ended(process)
    assert code == 6
    assert said.count("\n") == 1
    assert f"(fuse of share on {share.mount})" in said


@pytest.mark.fault
@needs_fuse
async def test_a_share_that_hangs_at_night_is_told_in_the_morning(
    platform: Platform, harvests: Harvests, share: Share
) -> None:
    """Where not even the archive's name can be looked up, log, report and `status` tell so, for they need no share."""
    await harvests.cli("run")
    asked = len(platform.requests)
    share.hang("getattr")
    report = harvests.folder / "report.json"
    process = await harvests.start("run", "--report-json", str(report))
    told = await until_given_up(harvests, process)
    look = await harvests.start("status")
    await until_given_up(harvests, look)
    share.answer()
    assert (await ended(process))[0] == 6
    assert (told["phase"], told["run"], len(platform.requests)) == ("stuck", None, asked)
    assert told["said"] in log_of(harvests)
    assert json.loads(report.read_text())["error"] == told["said"]
    assert look.stdout is not None
    shown = b"".join([chunk async for chunk in look.stdout]).decode()
    assert f"was given up at {told['since']} with exit code 6: {told['said']}" in shown
    assert (await ended(look))[0] == 6


@pytest.mark.fault
@needs_fuse
async def test_a_process_that_cannot_end_is_told_of(platform: Platform, harvests: Harvests, share: Share) -> None:
    """While a thread waits in the kernel the lock is held: the next run ends with 7, and `status` names the process."""
    process = await harvests.start("run")
    await harvests.until(20)
    share.hang("fsync")
    await until_given_up(harvests, process)
    second = await harvests.cli("run")
    status = await harvests.cli("status")
    share.answer()
    assert (await ended(process))[0] == 6
    assert second.returncode == 7
    assert f"its process ({process.pid}) is there until the storage answers" in status.stdout.decode()


@pytest.mark.fault
@needs_fuse
async def test_a_share_that_hangs_ends_the_round(platform: Platform, harvests: Harvests, share: Share) -> None:
    """Of several accounts, those behind the one whose storage hangs are not begun, and the report tells of all."""
    (harvests.folder / "key").write_text(platform.key)
    tables = "".join(
        f"[[account]]\nname = '{name}'\narchive = '{folder / name}'\nkey_file = 'key'\n"
        for name, folder in (("one", harvests.folder), ("two", share.mount), ("three", harvests.folder))
    )
    (harvests.folder / "harvester.toml").write_text("report_json = 'report.json'\n" + tables)
    for name in ("HARVESTER_ARCHIVE", "HARVESTER_API_KEY"):
        del harvests.environment[name]
    share.hang("fsync")
    process = await harvests.start("run")
    await until_given_up(harvests, process)
    share.answer()
    assert (await ended(process))[0] == 6
    report = json.loads((harvests.folder / "report.json").read_text())
    assert [(each["name"], each["exit_code"]) for each in report["accounts"]] == [("one", 0), ("two", 6), ("three", 6)]
    assert "the storage hangs" in report["accounts"][1]["error"]
    assert not (harvests.folder / "three").exists()


@pytest.mark.fault
@needs_fuse
async def test_a_slow_share_is_no_share_that_hangs(harvests: Harvests, share: Share) -> None:
    """A run whose steps all end is left alone, however many there are."""
    done = await harvests.cli("run")
    assert (done.returncode, bulletin(harvests)["phase"]) == (0, "ended")


def steps(*bytes_each: int) -> list[Step]:
    """Return steps that make so many bytes durable."""
    return [Step("write", Path(f"/a/{n}"), size) for n, size in enumerate(bytes_each)]


def test_a_share_is_given_two_minutes_if_nothing_is_set() -> None:
    """Before the settings are known as well as by them."""
    assert PATIENCE_SECONDS == Settings().storage_patience_seconds == 120


def test_what_makes_no_progress_is_stuck() -> None:
    """A step is stuck when it has been seen without progress for the whole patience, and not before."""
    watch, (step,) = Watch(1), steps(0)
    assert [watch.look(now, [step], 3) for now in (0, 1, 2)] == [None] * 3
    stuck = watch.look(3, [step], 3)
    assert stuck
    assert (stuck.doing, stuck.path, stuck.seconds) == ("write", Path("/a/0"), 3)


def test_what_moves_on_is_not_stuck() -> None:
    """Progress begins the patience anew, and so does another step on the same path."""
    watch, (step,) = Watch(1), steps(0)
    for now in range(20):
        step.moves += now % 2
        assert watch.look(now, [step], 3) is None
    for now in range(20, 40):
        assert watch.look(now, steps(0), 3) is None


def test_one_that_is_stuck_is_found_among_others() -> None:
    """Steps that come and go beside it do not hide the one that is stuck."""
    watch, (stuck,) = Watch(1), steps(0)
    found = [watch.look(now, [*steps(0, 0), stuck], 5) for now in range(6)]
    assert found[:5] == [None] * 5
    assert found[5]


def test_a_process_that_was_stopped_is_not_stuck() -> None:
    """After an hour without a look (a stopped process, a machine that slept) a step has the rest of its patience."""
    watch, (step,) = Watch(1), steps(0)
    assert watch.look(0, [step], 10) is None
    assert watch.look(3600, [step], 10) is None
    rest = 10 - LONGEST_LOOK
    assert watch.look(3600 + rest - 1, [step], 10) is None


def test_much_at_once_may_take_long() -> None:
    """A step that makes many bytes durable at once, and those beside it, have as long as the slowest share takes for them."""
    watch, both = Watch(1), steps(SLOWEST_BYTES_PER_SECOND * 4, 0)
    assert [watch.look(now, both, 3) for now in range(7)] == [None] * 7
    assert watch.look(7, both, 3)
