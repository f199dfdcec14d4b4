"""Processes that fetch recordings beside the run: they make it faster where one is not enough, and change nothing else."""

import asyncio
import base64
import contextlib
import datetime as dt
import hashlib
import logging
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from harvester import porters
from harvester.archive.part import Part
from harvester.archive.proof import Judge
from harvester.archive.quickness import HELPED_BYTES, Quickness
from harvester.archive.stage import Draft, Intake, Stager
from harvester.crew import CALL_BYTES, FIRST, Crew
from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault
from harvester.demo.server import Platform, serve
from harvester.errands import Batch, Errand, Return, Terms, framed
from harvester.model import Call, Transfer
from harvester.needs import Rules, Todo, decide
from harvester.opening import porters_of
from harvester.platform.recordings import HEADERS
from harvester.platform.rows import read_call
from harvester.porters import (
    MOST_LEFT,
    MOST_USELESS,
    STRETCH_BYTES,
    Hired,
    Porters,
    Pressure,
)
from harvester.settle import Settler
from harvester.spread import permitted_cores, usual_processes
from harvester.standby import Standby
from tests.archive.sites import SOUND
from tests.harvests import Harvests
from tests.platform.test_certificate import fingerprint
from tests.platform.test_tls import Authority, authority, server_tls
from tests.test_settle import bringing

__all__ = ["authority"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are none on Windows")

CALLS = 240


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    """Serve calls that are all over, so many that a porter has something to do."""
    async with serve(CallBook(count=CALLS, most_seconds=20, in_progress=0, late=0)) as platform:
        yield platform


@pytest.fixture
def pressed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take any run for one that has more to do than one process can, after its first recording."""
    monkeypatch.setattr(porters, "STRETCH_BYTES", 1)
    monkeypatch.setattr(porters, "BUSY", 0.0)


def terms_for(platform: Platform, **changed: Any) -> Terms:
    """The terms of a porter for that platform."""
    terms = Terms(
        base_url=platform.base_url,
        mode=0o666,
        headers=HEADERS,
        ca_file=None,
        ca_folder=None,
        max_file_bytes=None,
        hosts=(),
        allow_private_hosts=True,
    )
    return msgspec.structs.replace(terms, **changed)


def unheard(platform: Platform, most: int) -> Porters:
    """Porters of whom nobody is told anything."""
    return Porters(terms_for(platform), most, on_hired=lambda: None, on_gone=lambda: None, on_lost=lambda _: None)


@contextlib.asynccontextmanager
async def hired(platform: Platform, lost: list[str] | None = None, **changed: Any) -> AsyncIterator[Hired]:
    """A porter for the block."""
    on_lost = (lost if lost is not None else []).append
    porter = Hired(terms_for(platform, **changed), on_gone=lambda: None, on_lost=on_lost)
    try:
        yield porter
    finally:
        porter.dismiss()
        await porter.gone()


async def fetched(porter: Hired, some: list[Errand]) -> Return:
    """What comes of a batch."""
    return await porter.fetch(Batch(some, FIRST))


def saved_ids(platform: Platform) -> list[int]:
    """The calls that have a recording."""
    ids = range(platform.book.first_id, platform.book.first_id + CALLS)
    return [each for each in ids if platform.book.row(each)["recording_url"]]


def errands(platform: Platform, folder: Path, ids: list[int]) -> list[Errand]:
    """Errands for the recordings of some calls."""
    links = [f"{platform.recordings_url}{platform.book.row(each)['recording_url']}" for each in ids]
    return [Errand.to(link, str(folder / f"{number}.part")) for number, link in enumerate(links)]


def porters_now(of: int | None = None) -> list[int]:
    """The porters of a process that are alive; of this one, where none is named."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = re.findall(r"^\d+ \(.*\) (\w) (\d+)", (each / "stat").read_text())[0]
            told = (each / "cmdline").read_bytes()
            if int(parent) == (of or os.getpid()) and state != "Z" and b"harvester.porter" in told:
                found.append(int(each.name))
    return found


def digests_in(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file in a folder, by its name."""
    return {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in sorted(folder.iterdir())}


def modes_in(folder: Path) -> set[int]:
    """The permissions of the files in a folder."""
    return {each.stat().st_mode & 0o777 for each in folder.iterdir()}


async def first_porter(of: int | None = None) -> int:
    """Wait until there is one."""
    while not (found := porters_now(of)):  # noqa: ASYNC110 - nobody tells
        await anyio.sleep(0.005)
    return found[0]


def brought(caplog: pytest.LogCaptureFixture) -> int:
    """How many recordings porters brought, as the log tells."""
    told = [re.search(r"brought (\d+) recordings", each.getMessage()) for each in caplog.records]
    return sum(int(each[1]) for each in told if each)


def without_porters(platform: Platform, folder: Path) -> Harvests:
    """Runs in one process, into a folder of their own."""
    harvests = Harvests(platform, folder / "alone")
    harvests.folder.mkdir()
    harvests.environment["HARVESTER_PROCESSES"] = "1"
    return harvests


def test_a_process_that_is_at_work_all_the_time_has_more_to_do_than_it_can() -> None:
    """It is looked at after so much work, small recordings counting more than their bytes; its waits speak against it."""
    pressure = Pressure(now=100.0, cpu=5.0)
    for _ in range(STRETCH_BYTES // (2 * CALL_BYTES) - 1):
        pressure.count(CALL_BYTES)
    assert not pressure.is_due
    pressure.count(CALL_BYTES)
    assert pressure.is_due
    assert pressure.look(101.0, 5.9)
    assert not pressure.is_due
    assert not pressure.look(102.0, 6.7)
    assert not pressure.look(103.0, 6.8, 0.8)
    assert pressure.look(104.0, 6.9, 1.7)  # a porter that is at work all the time needs another one beside it
    assert not pressure.look(105.0, 7.0, 2.4, 0.7)
    assert pressure.look(106.0, 7.0, 2.4, 1.6)


@pytest.mark.parametrize(("share", "most"), [(None, 4), ("max 100000", 4), ("100000 100000", 1), ("50000 100000", 1)])
def test_there_are_as_many_processes_as_processors_up_to_four(tmp_path: Path, share: str | None, most: int) -> None:
    """Those that this process may use; a container may be permitted less than one."""
    if share is not None:
        (tmp_path / "cpu.max").write_text(share)
    assert usual_processes(tmp_path / "cpu.max") == min(len(os.sched_getaffinity(0)), most)


@pytest.mark.parametrize(
    ("share", "cores"),
    [
        ("max 100000\n", None),
        ("200000 100000\n", 2),
        ("150000 100000\n", 1),
        ("50000 100000", 0),
        ("", None),
        ("1 0", None),
    ],
)
def test_the_processors_of_a_container_are_counted(share: str, cores: int | None) -> None:
    """A machine may have many, of which a container is permitted one."""
    assert permitted_cores(share) == cores


@pytest.mark.usefixtures("pressed")
async def test_an_archive_with_porters_is_the_one_without(
    harvests: Harvests, tmp_path: Path, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    """The same files, each recording asked for once, outcomes and proofs the same; and it verifies."""
    caplog.set_level(logging.INFO)
    account = await harvests.run(processes="2")
    assert brought(caplog) > 10
    assert platform.count("recording") == account.recordings["saved"] == len(saved_ids(platform))
    assert account.verdict == "complete"
    alone = without_porters(platform, tmp_path)
    assert (await alone.run()).recordings == account.recordings
    assert harvests.files() == alone.files()
    assert proofs_of(harvests) == proofs_of(alone)
    assert harvests.verify().findings == []
    assert porters_now() == []


def proofs_of(harvests: Harvests) -> dict[str, tuple[object, ...]]:
    """By call: all that its ledger line says of its recording, but for the times."""
    return {
        line["id"]: tuple(
            value
            for name, value in sorted(line["recording"].items())
            if name not in ("started_at", "finished_at", "headers")
        )
        for line in harvests.lines()
        if "recording" in line
    }


@pytest.mark.usefixtures("pressed")
async def test_what_does_not_go_smoothly_is_left_to_the_run(
    harvests: Harvests, tmp_path: Path, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    """Dead links, servers that want patience, cut bodies, error pages: each call ends as it does without porters."""
    caplog.set_level(logging.INFO)
    ids = saved_ids(platform)
    for kind, code, times in (
        ("status", 404, None),
        ("status", 429, 1),
        ("status", 503, 1),
        ("cut", None, 1),
        ("reset", None, 1),
        ("html", None, None),
        ("redirect", None, None),
    ):
        # Refusals come last: then no porter is at work any more.
        for call_id in ids[:29:4] if code in (429, 503) else ids[-1:-30:-4]:
            ids.remove(call_id)
            platform.faults.add(Fault(where="recording", match=call_id, kind=kind, code=code, times=times))  # type: ignore[arg-type]
    account = await harvests.run(processes="2", attempts="3")
    assert brought(caplog) > 0
    platform.faults.clear()
    assert account.recordings["failed"] == 3 * 8
    assert account.recordings["saved"] == len(saved_ids(platform)) - 3 * 8
    reasons = Counter(re.sub(r"^\S+ ", "", failure.reason or "") for failure in account.failures)
    assert reasons == {
        "answered 404": 8,
        "is not a recording: it begins with '<!DOCTYPE', as pages do": 8,
        "redirects more than 5 times": 8,
    }
    assert (await harvests.run(processes="1")).recordings["failed"] == 0
    assert harvests.verify().findings == []


@pytest.mark.usefixtures("pressed")
async def test_where_a_server_wants_patience_no_other_porter_begins(
    harvests: Harvests, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    """The processor is not what holds such a run up; and its porter goes home."""
    caplog.set_level(logging.INFO)
    platform.faults.add(Fault(where="recording", kind="status", code=503, after=60, times=30))
    account = await harvests.run(processes="2", attempts="20")
    assert account.recordings["saved"] == len(saved_ids(platform))
    assert len([each for each in caplog.records if "another process fetches" in each.getMessage()]) == 1
    assert account.warnings == []


@pytest.mark.usefixtures("pressed")
async def test_a_porter_that_is_killed_costs_no_call(harvests: Harvests, platform: Platform) -> None:
    """What it was about to bring the run fetches itself, and its account tells of it."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kill, platform)
        account = await harvests.run(processes="2")
    assert account.recordings["saved"] == len(saved_ids(platform))
    assert account.verdict == "complete"
    assert [each for each in account.warnings if "ended by itself" in each]
    assert harvests.verify().findings == []
    assert porters_now() == []


PRESSED = """
from harvester import porters
porters.STRETCH_BYTES, porters.BUSY = 1, 0.0
from harvester.cli import main
main()
"""


@pytest.mark.parametrize("recordings", [30, 90, None])
async def test_a_run_that_is_killed_takes_its_porter_along(
    harvests: Harvests, platform: Platform, recordings: int | None
) -> None:
    """Nobody writes into its archive any more, though it stood still just then; the next run mends it, and has everything."""
    command = [sys.executable, "-c", PRESSED, "run", "--quiet", "--processes", "2"]
    async with await anyio.open_process(command, env={**os.environ, **harvests.environment}) as process:
        porter = await first_porter(of=process.pid)
        if recordings is None:
            while is_alive(porter) and not lets_signals_pass(porter):  # noqa: ASYNC110 - nobody tells
                await anyio.sleep(0.001)
            with contextlib.suppress(ProcessLookupError):
                os.kill(porter, signal.SIGSTOP)
        else:
            await harvests.until(recordings)
        process.kill()
    while is_alive(porter):  # noqa: ASYNC110 - nobody tells
        await anyio.sleep(0.001)
    account = await harvests.run(processes="1")
    assert account.mended_runs or recordings is None  # who is on standby is there before the run writes anything
    assert account.recordings["saved"] + account.recordings["unchanged"] == len(saved_ids(platform))
    assert harvests.verify().findings == []


def lets_signals_pass(process_id: int) -> bool:
    """Whether a porter has come so far."""
    with contextlib.suppress(OSError):
        ignored = re.findall(r"SigIgn:\s+(\w+)", Path(f"/proc/{process_id}/status").read_text())
        return all(int(ignored[0], 16) >> number - 1 & 1 for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    return False


def is_alive(process_id: int) -> bool:
    """Whether a process is there and no zombie."""
    with contextlib.suppress(OSError):
        return ") Z " not in Path(f"/proc/{process_id}/stat").read_text()
    return False


async def kill(platform: Platform) -> None:
    """End the first porter on the spot, once it is at work."""
    process_id = await first_porter()
    asked = platform.count("recording")
    while platform.count("recording") < asked + 20:  # noqa: ASYNC110 - the platform has no event for it
        await anyio.sleep(0.001)
    os.kill(process_id, signal.SIGKILL)


@pytest.mark.usefixtures("pressed")
async def test_a_porter_that_hangs_costs_no_call(
    harvests: Harvests, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a batch has taken too long its porter is ended, stopped or not, and the run fetches the rest itself."""
    monkeypatch.setattr(porters, "PATIENCE_SECONDS", 1.0)

    async def stop() -> None:
        os.kill(await first_porter(), signal.SIGSTOP)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop)
        account = await harvests.run(processes="2")
    assert account.recordings["saved"] == len(saved_ids(platform))
    assert porters_now() == []
    assert harvests.verify().findings == []


@pytest.mark.usefixtures("pressed")
async def test_a_porter_never_has_the_key(harvests: Harvests, platform: Platform) -> None:
    """Neither in its environment nor on its command line; nor any other of our settings."""
    told = list[bytes]()

    async def look() -> None:
        process = Path(f"/proc/{await first_porter()}")
        told.extend([(process / "environ").read_bytes(), (process / "cmdline").read_bytes()])

    os.environ["HARVESTER_API_KEY"] = platform.key
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            await harvests.run(processes="2")
    finally:
        del os.environ["HARVESTER_API_KEY"]
    assert b"PYTHONPATH=" in told[0]
    assert b"HARVESTER" not in told[0]
    assert platform.key.encode() not in b"".join(told)


@pytest.mark.parametrize(
    "flags", [{"processes": "1"}, {"processes": "2", "workers": "1"}, {"processes": "2", "bandwidth": "1G"}]
)
@pytest.mark.usefixtures("pressed")
async def test_there_is_no_porter_where_there_is_to_be_none(
    harvests: Harvests, caplog: pytest.LogCaptureFixture, flags: dict[str, str]
) -> None:
    """One process is what was asked for, or one connection; or all share a bandwidth."""
    caplog.set_level(logging.INFO)
    account = await harvests.run(**flags)
    assert account.verdict == "complete"
    assert not [each for each in caplog.records if "process" in each.getMessage()]


@pytest.mark.parametrize(("flags", "is_told"), [({}, False), ({"processes": "1"}, False), ({"processes": "3"}, True)])
@pytest.mark.usefixtures("pressed")
async def test_without_libcurl_one_process_does_all(
    harvests: Harvests,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    flags: dict[str, str],
    is_told: bool,
) -> None:
    """It is an extra. Who asked for more processes is told how to have them."""
    caplog.set_level(logging.INFO)
    monkeypatch.setitem(sys.modules, "pycurl", None)
    account = await harvests.run(**flags)
    assert account.verdict == "complete"
    assert not [each for each in caplog.records if "another process fetches" in each.getMessage()]
    assert [("harvester[fast]" in each) for each in account.warnings] == [True] * is_told


@pytest.mark.usefixtures("pressed")
async def test_a_libcurl_that_is_of_no_use_is_told_once(
    harvests: Harvests, platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another porter would fare no better; the run does all by itself, and its account says what would help."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "pycurl.py").write_text("raise ImportError('libcurl.so.4: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(str(tmp_path / "old"))
    account = await harvests.run(processes="2")
    assert account.recordings["saved"] == len(saved_ids(platform))
    assert ["harvester[fast]" in each for each in account.warnings] == [True]


async def test_there_is_no_porter_where_one_process_is_enough(
    harvests: Harvests, caplog: pytest.LogCaptureFixture
) -> None:
    """A small run ends before one could be of use."""
    caplog.set_level(logging.INFO)
    await harvests.run(processes="2", limit="50")
    assert not [each for each in caplog.records if "process" in each.getMessage()]


async def test_a_fixed_number_of_workers_is_shared(harvests: Harvests) -> None:
    """Of `--workers 6` the run keeps one for what porters leave, and they share the others."""
    crew = Crew(6, fixed=True)
    given = msgspec.structs.replace(harvests.settings(), workers=6, processes=3)
    found = porters_of(given, crew, 0o666, lambda _: None)
    assert crew.places == 6
    found._on_hired()
    assert (crew.places, crew.share) == (1, 5)
    found._on_hired()
    assert (crew.places, crew.share) == (2, 2)
    found._on_gone()
    found._on_gone()
    assert crew.places == 6


async def test_there_is_no_porter_where_memory_is_limited(harvests: Harvests) -> None:
    """A limit is one for each process, and was meant for all."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    crew = Crew(60, fixed=False)
    settings = msgspec.structs.replace(harvests.settings(), processes=2)
    assert porters_of(settings, crew, 0o666, lambda _: None)._most == 1
    resource.setrlimit(resource.RLIMIT_AS, (1 << 46, hard))
    try:
        assert porters_of(settings, crew, 0o666, lambda _: None)._most == 0
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


async def test_a_porter_fills_its_parts(platform: Platform, tmp_path: Path) -> None:
    """Whole, hashed, and with the mode that it is told; returns come in the order of the batches, though a long one is first."""
    ids = saved_ids(platform)[:100]
    sent = errands(platform, tmp_path, ids)
    found: dict[int, list[str | None]] = {}
    async with hired(platform, mode=0o600) as porter, anyio.create_task_group() as tasks:

        async def fetch(start: int, end: int) -> None:
            returned = await fetched(porter, sent[start:end])
            found[start] = [each.sha256 if each else None for each in returned.brought]

        tasks.start_soon(fetch, 0, 98)
        tasks.start_soon(fetch, 98, 99)
        tasks.start_soon(fetch, 99, 100)
    expected = [hashlib.sha256(platform.book.recording(each)).hexdigest() for each in ids]
    assert [*found[0], *found[98], *found[99]] == expected
    assert digests_in(tmp_path) == {f"{number}.part": digest for number, digest in enumerate(expected)}
    assert modes_in(tmp_path) == {0o600}


async def test_a_link_that_wants_the_key_is_left_to_the_run(platform: Platform, tmp_path: Path) -> None:
    """A link to the API's own origin is not even asked for."""
    async with hired(platform) as porter:
        returned = await fetched(porter, [Errand.to(f"{platform.base_url}/recording.mp3", str(tmp_path / "1.part"))])
    assert returned.brought == [None]
    assert platform.requests == []


@pytest.mark.parametrize(
    "changed", [{"max_file_bytes": 100}, {"hosts": ("elsewhere.example",)}, {"allow_private_hosts": False}]
)
async def test_what_the_settings_refuse_is_left_to_the_run(
    platform: Platform, tmp_path: Path, changed: dict[str, Any]
) -> None:
    """Recordings that are too large, other hosts, private addresses: a porter keeps to all of it, and leaves no file."""
    async with hired(platform, **changed) as porter:
        returned = await fetched(porter, errands(platform, tmp_path, saved_ids(platform)[:3]))
    assert returned.brought == [None] * 3
    assert digests_in(tmp_path) == {}


@pytest.mark.parametrize(
    ("fault", "proof"),
    [
        (Fault(where="recording", kind="html", times=1), None),
        (Fault(where="recording", kind="altered", headers={"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}, times=1), None),
        (Fault(where="recording", kind="altered", headers={"Digest": "sha-256=?"}, times=1), "content-length"),
    ],
)
async def test_what_is_to_be_doubted_is_left_to_the_run(
    platform: Platform, tmp_path: Path, fault: Fault, proof: str | None
) -> None:
    """A page, and bytes that are not those that their server promises; nothing of it stays."""
    platform.faults.add(fault)
    async with hired(platform) as porter:
        (brought,) = (await fetched(porter, errands(platform, tmp_path, saved_ids(platform)[:1]))).brought
    assert (brought.proof if brought else None) == proof
    assert list(digests_in(tmp_path)) == (["0.part"] if brought else [])


async def test_what_a_server_promises_proves_a_recording(platform: Platform, tmp_path: Path) -> None:
    """As it does for the run."""
    first = saved_ids(platform)[0]
    promise = base64.b64encode(hashlib.sha256(platform.book.recording(first)).digest()).decode()
    platform.faults.add(
        Fault(where="recording", kind="altered", headers={"Repr-Digest": f"sha-256=:{promise}:"}, times=1)
    )
    async with hired(platform) as porter:
        (brought,) = (await fetched(porter, errands(platform, tmp_path, [first]))).brought
    assert brought
    assert brought.proof == "digest"


async def test_porters_trust_whom_the_run_trusts(authority: Authority, tmp_path: Path) -> None:
    """The authorities that Python's own context finds, a file named in the environment first."""
    certificate = authority.certificate("carried", "IP:127.0.0.1")
    book = CallBook(count=CALLS, most_seconds=20, in_progress=0, late=0)
    async with serve(book, tls=server_tls(certificate)) as platform:
        harvests = Harvests(platform, tmp_path)
        command = [sys.executable, "-c", PRESSED, "run", "--quiet", "--processes", "2"]
        environment = {**os.environ, **harvests.environment, "SSL_CERT_FILE": str(authority.file)}
        async with await anyio.open_process(command, env=environment) as process:
            assert await process.wait() == 0
        told = [line["recording"] for line in harvests.lines() if line.get("recording", {}).get("proof")]
        assert {each["certificate_sha256"] for each in told} == {fingerprint(certificate)}
        (log,) = (tmp_path / "state").rglob("*.log")
        (count,) = re.findall(r"brought (\d+) recordings, and left 0", log.read_text())
        assert int(count) > 10


async def test_a_porter_tells_what_it_has_cost(platform: Platform, tmp_path: Path) -> None:
    """By that the run sees that one is not enough."""
    async with hired(platform) as porter:
        sent = errands(platform, tmp_path, saved_ids(platform)[:40])
        first, second = await fetched(porter, sent[:20]), await fetched(porter, sent[20:])
        assert 0 < first.cpu_seconds < second.cpu_seconds == porter.cpu_seconds


async def test_a_busy_porter_calls_for_another_one(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though this process has little to do."""
    monkeypatch.setattr(porters, "STRETCH_BYTES", 1)
    async with unheard(platform, 2) as some:
        monkeypatch.setattr(porters, "BUSY", 0.0)
        some.count(1)
        first = some.one_more()
        assert first
        monkeypatch.setattr(porters, "BUSY", 1000.0)
        some.count(1)
        assert some.one_more() is None
        first.cpu_seconds = 1e6
        some.count(1)
        assert some.one_more()


async def test_refusals_are_told(platform: Platform, tmp_path: Path) -> None:
    """A server that wants patience is left to the run alone, which knows how long it asked for."""
    platform.faults.add(Fault(where="recording", kind="status", code=429, times=2))
    async with hired(platform) as porter:
        sent = errands(platform, tmp_path, saved_ids(platform)[:6])
        first, second = await fetched(porter, sent[:3]), await fetched(porter, sent[3:])
    assert (first.brought.count(None), first.refused) == (2, True)
    assert second.brought == [None] * 3
    assert platform.count("recording") == 3


async def test_a_disk_that_refuses_is_left_to_the_run(platform: Platform, tmp_path: Path) -> None:
    """A part that is there already is not written over; the others of its batch come."""
    sent = errands(platform, tmp_path, saved_ids(platform)[:3])
    await anyio.Path(os.fsdecode(sent[1].place)).write_bytes(b"somebody's")
    async with hired(platform) as porter:
        returned = await fetched(porter, sent)
    assert [each is None for each in returned.brought] == [False, True, False]
    assert await anyio.Path(os.fsdecode(sent[1].place)).read_bytes() == b"somebody's"


async def test_a_porter_that_leaves_most_is_sent_home(platform: Platform, tmp_path: Path) -> None:
    """Each recording that it leaves is asked for twice."""
    platform.faults.add(Fault(where="recording", kind="gone", after=MOST_LEFT))
    ids = saved_ids(platform)
    lost: list[str] = []
    async with hired(platform, lost) as porter:
        sent = errands(platform, tmp_path, ids[: 3 * MOST_LEFT])
        for start in range(0, len(sent), 16):
            assert porter.is_open
            left = (await fetched(porter, sent[start : start + 16])).brought.count(None)
            if not porter.is_open:
                break
    assert left == 16
    assert start + 16 == 2 * MOST_LEFT + 16
    assert lost == []


async def test_a_path_that_is_no_text_is_one(platform: Platform, tmp_path: Path) -> None:
    """Archives may lie anywhere."""
    folder = tmp_path / os.fsdecode(b"\xff\xfe")
    folder.mkdir()
    async with hired(platform) as porter:
        returned = await fetched(porter, errands(platform, folder, saved_ids(platform)[:2]))
    assert None not in returned.brought
    assert sorted(digests_in(folder)) == ["0.part", "1.part"]


@pytest.mark.parametrize(
    "says", [b"hello, this is not what was expected", b"\0\0\0\x05abcde", framed(Return([], False, 0.0)), b"\0\0"]
)
async def test_whatever_a_porter_says_it_costs_no_more_than_itself(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: bytes
) -> None:
    """What is no return for what was sent is one sentence in the account, and nothing is brought."""
    script = tmp_path / "python"
    script.write_text(f"#!{sys.executable}\nimport os\nos.write(1, {says!r})\nos.close(1)\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    lost: list[str] = []
    async with hired(platform, lost) as porter:
        assert (await fetched(porter, errands(platform, tmp_path, saved_ids(platform)[:2]))).brought == [None, None]
        assert not porter.is_open
        assert (await fetched(porter, errands(platform, tmp_path, saved_ids(platform)[:2]))).brought == [None, None]
    assert len(lost) == 1
    assert platform.count("recording") == 0


async def test_a_porter_lets_signals_pass(platform: Platform, tmp_path: Path) -> None:
    """A service manager sends them to every process; what is still to be fetched the run decides."""
    async with hired(platform) as porter:
        sent = errands(platform, tmp_path, saved_ids(platform)[:4])
        assert None not in (await fetched(porter, sent[:2])).brought
        (process_id,) = porters_now()
        assert os.getsid(process_id) == process_id  # nor does a Ctrl-C reach it before it can let signals pass
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(process_id, number)
        assert None not in (await fetched(porter, sent[2:])).brought


async def test_a_porter_that_cannot_begin_costs_nothing(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is brought, and it is told once."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    lost: list[str] = []
    async with hired(platform, lost) as porter:
        assert (await fetched(porter, errands(platform, tmp_path, saved_ids(platform)[:2]))).brought == [None, None]
        assert not porter.is_open
    assert len(lost) == 1


async def test_a_porter_ends_with_the_run_that_it_works_for(platform: Platform, tmp_path: Path) -> None:
    """Its stdin ends when the run does, however that came: it ends in the middle of a download, and leaves no file."""
    platform.faults.add(Fault(where="recording", kind="hang"))
    async with await anyio.open_process(
        [sys.executable, "-m", "harvester.porter"], cwd=Path(__file__).parents[1], stderr=None
    ) as process:
        assert process.stdin
        await process.stdin.send(framed(terms_for(platform)))
        await process.stdin.send(framed(Batch(errands(platform, tmp_path, saved_ids(platform)[:3]), FIRST)))
        while platform.count("recording") < 3:  # noqa: ASYNC110 - the platform has no event for it
            await anyio.sleep(0.005)
        await process.stdin.aclose()
        assert await process.wait() == 0
    assert digests_in(tmp_path) == {}


async def test_who_waits_for_a_porter_that_is_lost_is_told(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and not after the time that a return may take: though the event loop looks only when all is over."""
    at_work, over = threading.Event(), threading.Event()

    def work() -> None:
        at_work.set()
        over.wait()

    def gone(standby: Standby) -> None:
        loop.call_soon_threadsafe(work)
        at_work.wait()
        kill(standby)
        was_gone(standby)
        over.set()

    loop, kill, was_gone = asyncio.get_running_loop(), Standby.kill, Standby.gone
    sent = errands(platform, tmp_path, saved_ids(platform)[:2])
    async with hired(platform) as porter:
        await fetched(porter, sent[:1])
        os.kill(await first_porter(), signal.SIGSTOP)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fetched, porter, sent[1:])
                await anyio.wait_all_tasks_blocked()
                with monkeypatch.context() as patched:
                    patched.setattr(Standby, "kill", lambda _: None)
                    patched.setattr(Standby, "gone", gone)
                    patched.setattr(porters, "PATIENCE_SECONDS", 0.0)
                    await fetched(porter, sent[1:])


async def test_so_many_porters_are_tried_and_no_more(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each that has gone may be followed by another one, until three were of no use. What was lent comes back each time."""
    monkeypatch.setattr(porters, "STRETCH_BYTES", 1)
    monkeypatch.setattr(porters, "BUSY", 0.0)
    told: Counter[str] = Counter()

    def porters_for(most: int) -> Porters:
        return Porters(
            terms_for(platform),
            most,
            on_hired=lambda: told.update(["hired"]),
            on_gone=lambda: told.update(["gone"]),
            on_lost=lambda _: None,
        )

    async with porters_for(1) as some:
        for number in range(1, MOST_USELESS + 1):
            assert not some.any_open
            some.count(1)
            found = some.one_more()
            assert found
            assert some.any_open
            some.count(1)
            assert some.one_more() is None  # as many as there may be are at work
            found.dismiss()
            found.dismiss()
            assert told == {"hired": number, "gone": number}
        some.count(1)
        assert some.one_more() is None
    async with porters_for(0) as none:
        none.count(1)
        assert none.one_more() is None


@pytest.mark.usefixtures("pressed")
async def test_porters_are_for_quick_disks_whose_files_a_group_makes_durable(
    platform: Platform, tmp_path: Path
) -> None:
    """On a share there are none. Where each file needs its own fsync by now, what one brought is fetched anew, and it goes."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "calls").mkdir()
    gathers = True
    quickness = Quickness(local=True)
    stager = Stager(tmp_path / "calls", tmp_path / "parts", dt.UTC, gathers=lambda: gathers, quickness=quickness)
    share = Stager(tmp_path / "calls", tmp_path / "parts", dt.UTC, gathers=lambda: True)
    rows = [read_call(platform.row(each)) for each in saved_ids(platform)[:4]]
    todos = [Todo(call, None, decide(call, None, Rules(), dt.datetime.now(dt.UTC))) for call in rows]
    async with unheard(platform, 1) as some:
        some.count(1)
        assert Settler(share, never, Crew(1, fixed=True), some).carrier() is None
        settler = Settler(stager, bringing(SOUND * (HELPED_BYTES // len(SOUND))), Crew(1, fixed=True), some)
        assert isinstance(await settler.settle(todos[0]), Draft)
        carrier = settler.carrier()
        assert carrier
        assert isinstance(await settler.settle(todos[0]), Intake)  # a thread would only contend with the loop
        assert None not in await carrier.settle(todos[:2])
        assert carrier.is_open
        gathers = False
        assert await carrier.settle(todos[2:]) == [None, None]
        assert not carrier.is_open
        gathers = True
        assert await carrier.settle(todos[2:]) == [None, None]
        assert isinstance(await settler.settle(todos[0]), Draft)


@pytest.mark.usefixtures("pressed")
async def test_who_was_refused_makes_the_crew_smaller(platform: Platform, tmp_path: Path) -> None:
    """A server that asks a porter for patience asks the run."""
    platform.faults.add(Fault(where="recording", kind="status", code=429, times=1))
    crew = Crew(60, fixed=False)
    stager = Stager(tmp_path, tmp_path, dt.UTC, gathers=lambda: True, quickness=Quickness(local=True))
    calls = [read_call(platform.row(each)) for each in saved_ids(platform)[:2]]
    todos = [Todo(call, None, decide(call, None, Rules(), dt.datetime.now(dt.UTC))) for call in calls]
    async with unheard(platform, 1) as some:
        some.count(1)
        carrier = Settler(stager, never, crew, some).carrier()
        assert carrier
        assert (await carrier.settle(todos)).count(None) == 1
    assert crew.places == FIRST // 2


@pytest.mark.usefixtures("pressed")
async def test_what_porters_bring_counts_as_what_workers_fetch(platform: Platform, tmp_path: Path) -> None:
    """A porter has its share of the connections, and what it brings tells whether another one is needed."""
    crew, asked = Crew(8, fixed=True), list[int]()

    class Noting(Hired):
        async def fetch(self, batch: Batch) -> Return:
            asked.append(batch.connections)
            return await super().fetch(batch)

    stager = Stager(tmp_path, tmp_path, dt.UTC, gathers=lambda: True, quickness=Quickness(local=True))
    rows = [read_call(platform.row(each)) for each in saved_ids(platform)[:4]]
    todos = [Todo(call, None, decide(call, None, Rules(), dt.datetime.now(dt.UTC))) for call in rows]
    async with Porters(
        terms_for(platform), 1, on_hired=crew.helped, on_gone=crew.left_alone, on_lost=lambda _: None
    ) as some:
        crew.helped()
        porter = Noting(terms_for(platform), on_gone=crew.left_alone, on_lost=lambda _: None)
        assert some.one_more() is None
        assert None not in await Settler(stager, never, crew, some).settle_some(todos, porter)
        assert asked == [crew.share] == [6]
        assert some.one_more()
        porter.dismiss()
        await porter.gone()


async def test_large_recordings_call_for_no_porter(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would leave them all to the run, after it had asked for each."""
    monkeypatch.setattr(porters, "BUSY", 0.0)
    async with unheard(platform, 1) as some:
        for _ in range(100):
            some.count(HELPED_BYTES)
        assert some.one_more() is None
        for _ in range(100):
            some.count(HELPED_BYTES - 1)
        assert some.one_more() is not None


async def never(call: Call, part: Part, judge: Judge) -> Transfer:
    """A download that nobody asked for."""
    raise AssertionError(call.id)


def test_a_porter_begins_quickly() -> None:
    """It loads nothing that takes longer than many a run has left."""
    program = "import sys, harvester.porter; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert "pycurl" in done.stdout.split()
    assert not {"aiohttp", "anyio", "asyncio", "yarl", "click"} & set(done.stdout.split())


def test_nothing_that_is_printed_gets_among_the_returns() -> None:
    """A library may print whatever it likes."""
    program = """
import os
from harvester.porter import _kept_apart
to = _kept_apart()
print("noise", flush=True)
os.write(to, b"return")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"return"
