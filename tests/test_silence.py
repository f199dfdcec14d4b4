"""Alarms for silent failure at the source, as a run raises them: on the screen, in run.json, in the exit code where asked for."""

import datetime as dt
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from harvester.demo.calls import CallBook
from harvester.demo.server import Platform, serve
from harvester.screen import account_text
from tests.harvests import Harvests

DAY = dt.timedelta(days=1)
CALLS_A_DAY = 12


def midnight() -> dt.datetime:
    """The beginning of today in UTC."""
    return dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    """Twelve calls a day over two months, the last yesterday; none today."""
    first_at = midnight() - 60 * DAY
    book = CallBook(
        count=60 * CALLS_A_DAY, first_at=first_at, last_at=midnight(), in_progress=0, late=0, most_seconds=5
    )
    async with serve(book) as platform:
        yield platform


@pytest.fixture
def harvests(platform: Platform, tmp_path: Path) -> Harvests:
    """Harvest that platform; rows and transcripts alone, since the figures are those of the listing."""
    harvests = Harvests(platform, tmp_path)
    harvests.environment["HARVESTER_RECORDINGS"] = "no"
    return harvests


def newest(platform: Platform, days: int) -> list[int]:
    """The ids of the calls that were created within the last so many whole days."""
    since = str(midnight() - days * DAY)[:10]
    return [i for i in platform.book.ids() if str(platform.book.row(i)["created_at"])[:10] >= since]


async def test_an_account_in_order_raises_no_alarm(harvests: Harvests) -> None:
    """Twelve calls every day, as ever: nothing to say, neither by the first run nor by the next."""
    first, second = await harvests.run(), await harvests.run()
    assert (first.alarms, second.alarms, second.reach) == ([], [], "recent")


async def test_a_day_without_calls_is_an_alarm_once(platform: Platform, harvests: Harvests) -> None:
    """No call yesterday, whose weekday always had some: said by the first run that can know, not by every later one."""
    for call_id in newest(platform, 1):
        platform.book.delete(call_id)
    first, second = await harvests.run(), await harvests.run()
    yesterday = midnight() - DAY
    assert len(first.alarms) == 1
    assert first.alarms[0].startswith(f"no call on {yesterday:%A} {yesterday:%Y-%m-%d}; ")
    assert (first.exit_code, first.verdict, second.alarms) == (0, "complete", [])
    assert f"alarm: {first.alarms[0]}" in account_text(first)


async def test_recordings_that_are_no_longer_made_are_an_alarm(platform: Platform, harvests: Harvests) -> None:
    """Every call of two days is without a recording, and before most had one; the run's account in the archive says so."""
    await harvests.run()
    for call_id in newest(platform, 2):
        platform.book.change(call_id, recording_url=None)
    account = await harvests.run()
    assert len(account.alarms) == 1
    assert "have a recording" in account.alarms[0]
    kept = json.loads((harvests.archive / "runs" / account.run / "run.json").read_text())
    assert kept["alarms"] == account.alarms


@pytest.mark.parametrize(("flags", "code"), [((), 0), (("--strict",), 3)])
async def test_an_alarm_decides_the_exit_code_only_when_strict(
    platform: Platform, harvests: Harvests, flags: tuple[str, ...], code: int
) -> None:
    """The run is complete either way; who wants to be woken says --strict."""
    for call_id in newest(platform, 2):
        platform.book.change(call_id, duration=0)
    done = await harvests.cli("run", *flags)
    told = done.stderr.decode()
    assert done.returncode == code
    assert "alarm: all " in told
    assert "complete: everything" in told
    assert ("--strict" in told) == bool(code)


async def test_days_that_were_asked_for_raise_no_alarm(platform: Platform, harvests: Harvests) -> None:
    """A run over chosen days compares nothing: it has not looked at the newest."""
    for call_id in newest(platform, 1):
        platform.book.delete(call_id)
    assert (await harvests.run(**{"from": "40d"})).alarms == []


async def test_quiet_is_not_silent_about_an_alarm(platform: Platform, harvests: Harvests) -> None:
    """Cron mails what is printed: an alarm is said though the run is complete, and status names it later."""
    for call_id in newest(platform, 1):
        platform.book.delete(call_id)
    done = await harvests.cli("run", "-q")
    assert done.returncode == 0
    assert "alarm: no call on" in done.stderr.decode()
    assert "alarm: no call on" in (await harvests.cli("status")).stdout.decode()
    assert (await harvests.cli("run", "-q")).stderr == b""


async def test_most_calls_gone_at_once_is_an_alarm(platform: Platform, harvests: Harvests) -> None:
    """A platform that suddenly lists next to nothing answers every request as before."""
    await harvests.run()
    for call_id in list(platform.book.ids())[: 55 * CALLS_A_DAY]:
        platform.book.delete(call_id)
    account = await harvests.run(full=True)
    assert len(account.gone) == 55 * CALLS_A_DAY
    assert any("are gone from the platform at once, more than are left" in alarm for alarm in account.alarms)
    told = (await harvests.cli("status")).stdout.decode()
    assert f"720 calls, {55 * CALLS_A_DAY} of them gone from the platform" in told
