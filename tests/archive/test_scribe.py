"""The process that writes small files: what it writes is whole, and a run that loses it loses nothing."""

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import anyio
import pytest

from harvester.archive import disk
from harvester.archive import scribe as scribes
from harvester.archive.advice import NO_ROOM
from harvester.archive.scribe import SLOT_BYTES, SLOTS, Scribe
from harvester.errors import NotKeptError, StorageError

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs memory that processes can share")

DATA = {"1.part": b"row", "2.part": bytes(range(256)) * 1000, "3.part": b""}


def data_of(number: int) -> dict[str, bytes]:
    """Files of a call, other ones for each."""
    return {name: data + b"%d" % number for name, data in DATA.items()} | {"4.part": b""}


def files_in(folder: Path, data: dict[str, bytes] = DATA) -> list[tuple[str, list[bytes | bytearray]]]:
    """The same files as the scribe is told of them."""
    return [(str(folder / name), [each[:5], each[5:]]) for name, each in data.items()]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is worth to begin the process for the first call."""
    monkeypatch.setattr(scribes, "WORTH_CALLS", 0)


def mode_of(path: Path) -> int:
    """The mode of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def is_there(process: int) -> bool:
    """Whether a process has not ended yet."""
    try:
        return " Z " not in Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def children() -> list[int]:
    """The numbers of the processes that this one has begun."""
    return [int(each) for each in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


@pytest.mark.usefixtures("at_once")
async def test_files_are_written_and_hashed(tmp_path: Path) -> None:
    """Each file has its bytes, also an empty one, and the answer is what they hash to; twice as many calls as there are slots."""
    async with Scribe(cores=2) as scribe:
        answers: dict[int, list[str] | None] = {}

        async def write(number: int) -> None:
            (tmp_path / f"{number}").mkdir()
            if scribe.takes_one:
                answers[number] = await scribe.write(files_in(tmp_path / f"{number}", data_of(number)))

        async with anyio.create_task_group() as tasks:
            for number in range(2 * SLOTS):
                tasks.start_soon(write, number)
    assert len(answers) == SLOTS
    for number, digests in answers.items():
        assert digests == [sha256(each).hexdigest() for each in data_of(number).values()]
        for name, each in data_of(number).items():
            assert (tmp_path / f"{number}" / name).read_bytes() == each


@pytest.mark.usefixtures("at_once")
async def test_files_have_the_mode_that_is_asked_for(tmp_path: Path) -> None:
    """As with `disk.write_new`: for everybody as far as the umask goes, or for reading alone."""
    async with Scribe(cores=2) as scribe:
        assert scribe.takes_one
        await scribe.write(files_in(tmp_path, {"writable": b"x"}))
        await scribe.write(files_in(tmp_path, {"read-only": b"x"}), 0o444)
    disk.write_new(tmp_path / "plain", b"x", durably=False)
    modes = {name: mode_of(tmp_path / name) for name in ("writable", "read-only", "plain")}
    assert modes["writable"] == modes["plain"]
    assert modes["read-only"] & 0o222 == 0


@pytest.mark.usefixtures("at_once")
async def test_whoever_finds_it_busy_writes_by_himself(tmp_path: Path) -> None:
    """What it has no time or no room for is left to who asks, and not a file of it is there."""
    async with Scribe(cores=2) as scribe:
        assert scribe.takes_one
        assert await scribe.write([(str(tmp_path / "1.part"), [bytes(SLOT_BYTES + 1)])]) is None
        async with anyio.create_task_group() as tasks:
            for number in range(SLOTS):
                tasks.start_soon(scribe.write, [(str(tmp_path / f"busy-{number}"), [b"x"])])
            await anyio.lowlevel.checkpoint()
            assert not scribe.takes_one
            assert await scribe.write([(str(tmp_path / "2.part"), [b"x"])]) is None
        assert scribe.takes_one
    assert sorted(disk.names(tmp_path)) == [f"busy-{number}" for number in range(SLOTS)]


@pytest.mark.usefixtures("at_once")
async def test_what_cannot_be_written_is_an_error_of_the_storage(tmp_path: Path) -> None:
    """An error is that of `disk.write_new`: it names the file, nothing is written over, and the next call is written."""
    (tmp_path / "2.part").write_bytes(b"another's")
    full = [("/dev/full", [b"x"])]
    async with Scribe(cores=2) as scribe:
        assert scribe.takes_one
        with pytest.raises(StorageError, match=r"cannot write .*2\.part"):
            await scribe.write(files_in(tmp_path))
        assert (tmp_path / "2.part").read_bytes() == b"another's"
        with pytest.raises(StorageError, match=r"cannot write .*gone/1\.part: it is not there"):
            await scribe.write(files_in(tmp_path / "gone"))
        assert await scribe.write([(str(tmp_path / "4.part"), [b"x"])]) == [sha256(b"x").hexdigest()]
        with pytest.raises(StorageError):
            await scribe.write(full)


@pytest.mark.usefixtures("at_once")
async def test_a_file_that_cannot_be_filled_is_told_with_its_reason(tmp_path: Path) -> None:
    """A file that takes no more is an error as `disk.write_new` raises it: a limit of size asks for somebody who mends it."""
    async with Scribe(cores=2) as scribe:
        assert scribe.takes_one
        (process,) = children()
        resource.prlimit(process, resource.RLIMIT_FSIZE, (10, 10))
        with pytest.raises(StorageError, match="too large for this file system") as told:
            await scribe.write([(str(tmp_path / "1.part"), [bytes(100)])])
    assert isinstance(told.value, NotKeptError) == (errno.EFBIG not in NO_ROOM)


@pytest.mark.usefixtures("at_once")
async def test_whoever_waits_writes_by_himself_when_it_dies(tmp_path: Path) -> None:
    """Killed in the middle of its work, it leaves the work to the run: None, and nothing is ever taken again."""
    async with Scribe(cores=2) as scribe:
        assert scribe.takes_one
        (process,) = children()
        os.kill(process, signal.SIGSTOP)
        answers: list[list[str] | None] = []

        async def write(number: int) -> None:
            answers.append(await scribe.write([(str(tmp_path / f"{number}.part"), [b"x"])]))

        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(write, number)
            await anyio.wait_all_tasks_blocked()
            os.kill(process, signal.SIGKILL)
        assert answers == [None] * 3
        assert not scribe.takes_one
        assert await scribe.write([(str(tmp_path / "9.part"), [b"x"])]) is None
    assert children() == []


@pytest.mark.usefixtures("at_once")
async def test_it_ends_with_its_run(tmp_path: Path) -> None:
    """It ends with the block, after what it was given; signals for the run's whole group do not end it before."""
    async with Scribe(cores=2) as scribe:
        assert scribe.takes_one
        (process,) = children()
        assert await scribe.write([(str(tmp_path / "1.part"), [b"x"])])  # it is there by now
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(process, each)
        assert await scribe.write([(str(tmp_path / "2.part"), [b"x"])])
    assert children() == []


def test_it_ends_when_its_run_is_killed(tmp_path: Path) -> None:
    """A run that is killed leaves no process behind: it holds the output open, whose end is waited for."""
    program = f"""
import anyio, os, signal
from harvester.archive import disk
from harvester.archive import scribe as scribes
scribes.WORTH_CALLS = 0
async def main():
    async with scribes.Scribe(cores=2) as scribe:
        assert scribe.takes_one
        await scribe.write([({str(tmp_path / "1.part")!r}, [b"x"])])
        print(scribe._process.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
anyio.run(main)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    process = int(done.stdout)
    deadline = time.monotonic() + 10
    while is_there(process):
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_nothing_is_begun_for_few_calls_or_on_one_core() -> None:
    """A second process brings nothing where there is no second core, and costs more than it brings for a few calls."""
    for cores, calls in ((1, 10_000), (2, scribes.WORTH_CALLS)):
        async with Scribe(cores=cores) as scribe:
            assert not any(scribe.takes_one for _ in range(calls))
            assert children() == []


@pytest.mark.usefixtures("at_once")
async def test_it_is_done_without_where_it_cannot_be_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many processes, or no interpreter: the run writes by itself."""
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    async with Scribe(cores=2) as scribe:
        assert not scribe.takes_one
        assert not scribe.takes_one
