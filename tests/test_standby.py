"""A process that begins before it is known to be needed: it is there when it is, and is no trouble when it is not."""

import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from harvester import porters
from harvester.accounts import Meant
from harvester.archive.pieces import SPOOL_BYTES
from harvester.crew import CALL_BYTES, FIRST
from harvester.demo.faults import Fault
from harvester.demo.server import Platform
from harvester.errands import Batch
from harvester.errors import AuthError
from harvester.layers import resolve
from harvester.porters import FEWEST_QUICK, QUICK_SECONDS, Porters
from harvester.report import Account
from harvester.rounds import run_each
from harvester.settings import Settings
from harvester.spread import is_likely
from harvester.standby import Standby, on_standby
from tests.harvests import Harvests
from tests.test_accounts import _log_as_before
from tests.test_porters import (
    PRESSED,
    errands,
    first_porter,
    is_alive,
    platform,
    porters_now,
    pressed,
    saved_ids,
    terms_for,
)

__all__ = ["_log_as_before", "platform", "pressed"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are none on Windows")


async def test_the_first_run_of_an_archive_has_one_before_it_lists(harvests: Harvests, platform: Platform) -> None:
    """While the platform has answered nothing yet. Later runs have little to fetch, and none until they need one."""
    hang = Fault(where="me", kind="hang")
    platform.faults.add(hang)
    async with await harvests.start("run", "--processes", "2") as process:
        assert await first_porter(of=process.pid)
        had_begun = harvests.archive.exists()
        process.kill()
    assert not had_begun
    platform.faults.clear()
    assert (await harvests.run(processes="1")).verdict == "complete"
    platform.faults.add(hang)
    asked = len(platform.requests)
    async with await harvests.start("run", "--processes", "2") as process:
        while len(platform.requests) == asked:  # noqa: ASYNC110 - the platform has no event for it
            await anyio.sleep(0.005)
        found = porters_now(of=process.pid)
        process.kill()
    assert found == []


@pytest.mark.parametrize(
    ("changed", "is_first", "likely"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"processes": 1}, True, False),
        ({"recordings": False}, True, False),
        ({"dry_run": True}, True, False),
        ({"limit": 500}, True, False),
        ({"workers": 1}, True, False),
        ({"workers": 2}, True, True),
        ({"bandwidth": 10**9}, True, False),
    ],
)
def test_one_is_likely_to_be_needed_where_there_is_much_to_fetch(
    changed: dict[str, Any], is_first: bool, likely: bool
) -> None:
    """In the first run of an archive, where recordings are fetched, as many as there are, by more than one process."""
    settings = msgspec.structs.replace(Settings(processes=2), **changed)
    assert is_likely(settings, is_first=is_first) == likely


@pytest.mark.usefixtures("pressed")
async def test_who_is_on_standby_is_hired_first(platform: Platform, tmp_path: Path) -> None:
    """No other process begins; the next one to be hired is another one. With the block all have ended."""
    sent = errands(platform, tmp_path, saved_ids(platform)[:2])
    with on_standby(is_wanted=True) as standby:
        before = porters_now()
        assert len(before) == 1
        async with porters_with(platform, standby) as some:
            for number in (1, 2):
                some.count(1)
                porter = some.one_more()
                assert porter
                assert None not in (await porter.fetch(Batch([sent[number - 1]], FIRST))).brought
                assert len(porters_now()) == number
                assert set(before) <= set(porters_now())
        assert porters_now() == []
    assert porters_now() == []


SOON, LATE = QUICK_SECONDS / 2, QUICK_SECONDS
LARGE = (SPOOL_BYTES, SOON)
FAILED = (0, None)


@pytest.mark.parametrize(
    ("came", "is_called"),
    [
        ([(1, SOON)] * FEWEST_QUICK, True),
        ([(1, SOON)] * (FEWEST_QUICK - 1), False),
        ([(1, LATE)] * 40, False),
        ([LARGE] * 40, False),
        ([FAILED] * 40, False),
        ([*[(1, LATE), LARGE, FAILED] * 3, *[(1, SOON)] * 9], False),
        ([*[(1, LATE), LARGE, FAILED] * 3, *[(1, SOON)] * 10], True),
    ],
)
async def test_who_is_on_standby_is_called_once_most_recordings_are_seen_to_come_fast(
    platform: Platform, came: list[tuple[int, float | None]], is_called: bool
) -> None:
    """Small ones, at once. From a server further away they come no faster for it, and large ones would be left.

    Without anybody on standby it is looked first how busy this process is.
    """
    for is_there in (True, False):
        with on_standby(is_wanted=is_there) as standby:
            async with porters_with(platform, standby) as some:
                for size_bytes, seconds in came:
                    assert some.one_more() is None
                    some.count(size_bytes, seconds)
                assert (some.one_more() is not None) is (is_called and is_there)
                assert some.one_more() is None


async def test_who_is_called_next_is_called_for_what_was_seen_since(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What this process had to do alone says nothing of what two have to do."""
    monkeypatch.setattr(porters, "STRETCH_BYTES", 2 * FEWEST_QUICK * CALL_BYTES)
    monkeypatch.setattr(porters, "BUSY", 0.0)
    with on_standby(is_wanted=True) as standby:
        async with porters_with(platform, standby) as some:
            for _ in range(FEWEST_QUICK):
                some.count(0, SOON)
            assert some.one_more()
            for _ in range(2 * FEWEST_QUICK - 1):
                some.count(0, SOON)
                assert some.one_more() is None
            some.count(0, SOON)
            assert some.one_more()


async def test_what_came_at_the_second_attempt_did_not_come_fast(harvests: Harvests, platform: Platform) -> None:
    """A server that refuses each recording once is not hurried, however fast it is then."""
    some = saved_ids(platform)
    for call_id in some[24:]:
        platform.book.delete(call_id)
    for call_id in some[:24]:
        platform.faults.add(Fault(where="recording", match=call_id, kind="status", code=500, times=1))
    command = [sys.executable, "-m", "harvester", "run", "--quiet", "--processes", "2"]
    await anyio.run_process(command, env={**os.environ, **harvests.environment})
    (log,) = harvests.state.rglob("*.log")
    assert log.read_text().count("attempt 1 failed") == 24
    assert "another process fetches" not in log.read_text()


async def test_the_settler_tells_how_fast_recordings_come(harvests: Harvests) -> None:
    """A first run with a few small ones from a server at hand is helped from its first page on."""
    command = [sys.executable, "-m", "harvester", "run", "--quiet", "--processes", "2"]
    await anyio.run_process(command, env={**os.environ, **harvests.environment})
    (log,) = harvests.state.rglob("*.log")
    (count,) = re.findall(r"brought (\d+) recordings, and left 0", log.read_text())
    assert int(count) > 10


async def test_a_run_that_needs_one_calls_who_is_on_standby(harvests: Harvests) -> None:
    """From its beginning to its end one process is beside it, and that brings recordings."""
    command = [sys.executable, "-c", PRESSED, "run", "--quiet", "--processes", "2"]
    seen: set[int] = set()
    async with await anyio.open_process(command, env={**os.environ, **harvests.environment}) as process:
        while process.returncode is None:
            seen.update(porters_now(of=process.pid))
            await anyio.sleep(0.001)
    assert process.returncode == 0
    assert len(seen) == 1
    (log,) = harvests.state.rglob("*.log")
    (count,) = re.findall(r"brought (\d+) recordings, and left 0", log.read_text())
    assert int(count) > 10


async def test_one_that_was_not_called_ends_when_all_is_fetched(platform: Platform) -> None:
    """Not only with the process of its run: it is on its way while the run is closed."""
    with on_standby(is_wanted=True) as standby:
        (process_id,) = porters_now()
        async with porters_with(platform, standby):
            assert is_alive(process_id)
        with anyio.fail_after(10):
            while is_alive(process_id):  # noqa: ASYNC110 - nobody tells
                await anyio.sleep(0.001)


@pytest.mark.usefixtures("pressed")
async def test_one_that_has_died_is_told_when_it_is_called(platform: Platform, tmp_path: Path) -> None:
    """What it was to bring is left to the run."""
    lost: list[str] = []
    with on_standby(is_wanted=True) as standby:
        os.kill(await first_porter(), signal.SIGKILL)
        async with porters_with(platform, standby, lost) as some:
            some.count(1)
            porter = some.one_more()
            assert porter
            sent = errands(platform, tmp_path, saved_ids(platform)[:2])
            assert (await porter.fetch(Batch(sent, FIRST))).brought == [None, None]
    assert ["ended before it brought anything" in each for each in lost] == [True]


def porters_with(platform: Platform, standby: Standby | None, lost: list[str] | None = None) -> Porters:
    """Two porters, the first of whom is on standby."""
    on_lost = (lost if lost is not None else []).append
    return Porters(terms_for(platform), 2, standby, on_hired=lambda: None, on_gone=lambda: None, on_lost=on_lost)


@pytest.mark.usefixtures("_log_as_before")
def test_one_that_nobody_calls_ends_with_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the run could not even begin."""

    async def refused(*_: object) -> Account:
        seen.extend(porters_now())
        raise AuthError("the key is refused")

    seen: list[int] = []
    monkeypatch.setenv("HARVESTER_API_KEY", "of-nobody")
    flags = {"processes": "2", "archive": str(tmp_path / "calls"), "state_folder": str(tmp_path / "state")}
    with pytest.raises(AuthError):
        run_each(Meant(accounts=(resolve(flags, {}, None),), several=False), refused)
    assert len(seen) == 1
    assert porters_now() == []


def test_none_is_there_where_none_is_wanted_or_can_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever needs one tries again, and tells what came of it."""
    with on_standby(is_wanted=False) as standby:
        assert standby is None
        assert porters_now() == []
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    with on_standby(is_wanted=True) as standby:
        assert standby is None
