"""Clocks that are wrong, and clocks that jump while a run is at work: nothing is skipped, and no deadline is taken for another.

The clock is that of libfaketime, which puts itself between Python and the system; the platform keeps the right time.
"""

import datetime as dt
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from harvester.archive.layout import RUN_ID
from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault
from harvester.demo.server import Platform, Seen, serve
from harvester.model import Coverage, Figures, PastRun, Query, Reach
from harvester.outset import alarms_after
from harvester.scope import Known, Scope, scope_of
from harvester.screen import status_text
from harvester.status import read_status
from tests.harvests import Harvests


def libfaketime() -> str | None:
    """Return the path of the library, or None where it is not installed."""
    if not shutil.which("faketime"):
        return None
    told = subprocess.run(["faketime", "-f", "+0", "env"], capture_output=True, text=True, check=False).stdout
    return next((line.partition("=")[2] for line in told.splitlines() if line.startswith("LD_PRELOAD=")), None)


LIBRARY = libfaketime()
needs_faketime = pytest.mark.skipif(LIBRARY is None, reason="needs faketime, which .ci/run installs")

LONG = pytest.mark.fault  # most of it: the library makes every look at the clock a look into a file

YEAR_2099 = f"+{(dt.date(2099, 6, 1) - dt.datetime.now(dt.UTC).date()).days}d"


class Clock:
    """A wall clock that is off by what a file says, also while a program runs; the monotonic clock is right."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.environment = {
            "LD_PRELOAD": LIBRARY or "",
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        self.set("+0")

    def set(self, off: str) -> None:
        """Set the clock wrong by so much from now on: `-1h`, `+1d`."""
        new = self._file.with_suffix(".new")
        new.write_text(off)
        new.replace(self._file)  # whoever reads it meanwhile finds the one or the other


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[Clock]:
    """A clock of the test's own; what the library leaves of a process that ended at once is taken away."""
    yield Clock(tmp_path)
    for left in Path("/dev/shm").glob("*faketime_s*_*"):
        if not Path("/proc", left.name.rpartition("_")[2]).exists():
            left.unlink(missing_ok=True)


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    """Serve 150 calls of the last 30 days, two of them without their recordings yet."""
    first = dt.datetime.now(dt.UTC) - dt.timedelta(days=30)
    async with serve(CallBook(count=150, most_seconds=10, first_at=first, in_progress=0, late=2)) as platform:
        yield platform


async def night(harvests: Harvests, clock: Clock, off: str, *flags: str, **more: str) -> dict[str, object]:
    """Run with a clock that is off by so much; return the account of the run."""
    clock.set(off)
    report = harvests.folder / "report.json"
    done = await harvests.cli(
        "run", "--per-page", "20", "--report-json", str(report), *flags, **clock.environment, **more
    )
    account = json.loads(report.read_text())
    assert done.returncode == account["exit_code"], done.stderr.decode()
    assert isinstance(account, dict)
    return account


def held(harvests: Harvests) -> set[str]:
    """The ids of the calls that the archive holds."""
    return {key.rpartition("/")[2].partition(".")[0] for key in harvests.files() if key.endswith(".json")}


def all_calls(platform: Platform) -> set[str]:
    """The ids of the calls that the platform has."""
    return {str(call_id) for call_id in platform.book.ids()}


def yesterday_at(hour: int) -> str:
    """An instant as the platform states it."""
    day = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    return f"{day} {hour:02}:00:00"


@needs_faketime
@pytest.mark.parametrize(
    ("off", "lookback"),
    [
        pytest.param("+2d", "0"),
        *(pytest.param(off, "0", marks=LONG) for off in ("-1h", "+1h", "-1d", "+1d", "-3d", YEAR_2099, "-20000d")),
        *(pytest.param(off, "7", marks=LONG) for off in ("-1d", YEAR_2099, "-20000d")),
    ],
)
async def test_a_night_with_a_wrong_clock_hides_no_call(
    platform: Platform, harvests: Harvests, clock: Clock, off: str, lookback: str
) -> None:
    """What arrives after a night whose clock was wrong is found by the next, whatever that one believed to have proven."""
    wrong = await night(harvests, clock, off, HARVESTER_LOOKBACK_DAYS=lookback)
    assert held(harvests) == all_calls(platform)
    late = platform.book.insert({"created_at": yesterday_at(3)})
    new = platform.book.insert()
    for call_id in platform.book.unsettled():
        platform.book.finish(call_id)
    right = await night(harvests, clock, "+0", HARVESTER_LOOKBACK_DAYS=lookback)
    assert {str(late), str(new)} <= held(harvests) == all_calls(platform)
    third = await night(harvests, clock, "+0", HARVESTER_LOOKBACK_DAYS=lookback)
    assert (wrong["exit_code"], third["exit_code"]) == (0, 0)
    assert right["exit_code"] in (0, 3)
    assert not harvests.verify().findings


@needs_faketime
@pytest.mark.parametrize(
    ("there", "back"),
    [
        ("+1h", "-1h"),
        pytest.param("-1h", "+1h", marks=LONG),
        pytest.param(YEAR_2099, "+0", marks=LONG),
        pytest.param("-20000d", "+0", marks=LONG),
    ],
)
async def test_a_clock_that_jumps_during_a_run_changes_nothing(
    platform: Platform, harvests: Harvests, clock: Clock, there: str, back: str
) -> None:
    """However the clock jumps between pages and downloads, the run is complete and nothing waits for the jump."""

    def jump(platform: Platform, _: Seen) -> None:
        clock.set(there if platform.count("list") % 4 < 2 else back)

    platform.on_request = jump
    platform.faults.add(Fault(where="list", kind="status", code=503, after=3, times=2))
    with anyio.fail_after(60):
        account = await night(harvests, clock, "+0")
    assert (account["exit_code"], account["verdict"]) == (0, "complete")
    assert 0 <= float(str(account["seconds"])) < 60
    assert held(harvests) == all_calls(platform)
    assert not harvests.verify().findings


@LONG
@needs_faketime
@pytest.mark.parametrize("back", ["-1h", "+1h", "-20000d"])
async def test_a_server_that_trickles_is_given_up_by_the_monotonic_clock(
    platform: Platform, harvests: Harvests, clock: Clock, back: str
) -> None:
    """A clock that is set while a recording hangs neither cuts its patience short nor makes it longer."""
    slow = next(i for i in platform.book.ids() if platform.book.row(i)["recording_url"])
    platform.faults.add(Fault(where="recording", kind="hang", match=slow))
    clock.set("+0")
    arguments = ("run", "--patience-seconds", "1", "--attempts", "1")
    async with anyio.create_task_group() as tasks:

        async def set_back() -> None:
            await harvests.until(50)
            clock.set(back)

        tasks.start_soon(set_back)
        with anyio.fail_after(60):
            done = await harvests.cli(*arguments, **clock.environment)
    assert done.returncode == 3
    assert len(held(harvests)) == len(all_calls(platform))
    assert f"failed: call '{slow}'" in done.stderr.decode()


@LONG
@needs_faketime
async def test_the_ids_of_runs_sort_as_they_ran(platform: Platform, harvests: Harvests, clock: Clock) -> None:
    """Whatever the clock said, the runs lie in the order in which they ran, and their ledgers are one chain."""
    ran = [
        str((await night(harvests, clock, off, "--full"))["run"]) for off in ("+0", "-1h", YEAR_2099, "+0", "-20000d")
    ]
    assert ran == sorted(ran) == sorted(path.name for path in (harvests.archive / "runs").iterdir())
    assert all(RUN_ID.fullmatch(run) for run in ran)
    assert [line["seq"] for line in harvests.lines()] == list(range(1, len(list(harvests.lines())) + 1))
    assert not harvests.verify().findings


@LONG
@needs_faketime
@pytest.mark.parametrize(
    ("instant", "zone"),
    [
        (dt.datetime(2027, 3, 28, 0, 59, 59, tzinfo=dt.UTC), "Europe/Berlin"),  # 02:00 does not exist
        (dt.datetime(2027, 10, 31, 0, 59, 59, tzinfo=dt.UTC), "Europe/Berlin"),  # 02:00 comes twice
        (dt.datetime(2027, 11, 7, 5, 59, 59, tzinfo=dt.UTC), "America/New_York"),
    ],
)
async def test_a_run_through_the_change_of_daylight_saving(
    harvests: Harvests, clock: Clock, instant: dt.datetime, zone: str
) -> None:
    """In the hour that is missing, or comes twice, calls lie under the days that the platform names, and none is lost."""
    off = f"+{int((instant - dt.datetime.now(dt.UTC)).total_seconds())}"
    book = CallBook(
        count=60, most_seconds=10, last_at=instant, first_at=instant - dt.timedelta(days=3), in_progress=0, late=0
    )
    async with serve(book) as platform:
        there = Harvests(platform, harvests.folder)
        for flags in (("--timezone", zone), ("--timezone", zone, "--full-every", "sunday")):
            account = await night(there, clock, off, *flags, TZ=zone)
            assert account["exit_code"] == 0
        assert held(there) == all_calls(platform)
        for call_id in platform.book.ids():
            day = str(platform.book.row(call_id)["created_at"])[:10].replace("-", "/")
            assert there.path(call_id, "json").is_relative_to(there.archive / day)
        assert not there.verify().findings


@LONG
@needs_faketime
async def test_a_night_in_2099_hides_no_night_that_could_not_begin(harvests: Harvests, clock: Clock) -> None:
    """`status` tells of a refused key although the run before it claims to have ended in the future."""
    await night(harvests, clock, YEAR_2099)
    await harvests.cli("run", HARVESTER_API_KEY="not-the-key")
    assert "could not begin, and ended with exit code 4" in status_text(read_status(harvests.settings()))


NOW = dt.datetime(2026, 11, 25, 2, tzinfo=dt.UTC)


def run_closed(at: dt.datetime) -> PastRun:
    """Return a full, proven run that closed at this instant by its clock."""
    proven_through = NOW.date() - dt.timedelta(days=3)
    coverage = Coverage(reach=Reach.FULL, filters={}, proven=True, proven_through=proven_through)
    return PastRun(run="r", closed_at=at, verdict="complete", coverage=coverage)


def test_a_full_run_of_the_future_is_none_of_this_week() -> None:
    """A full run whose clock was ahead does not put off those that `full_every` asks for."""

    def reach(closed_at: dt.datetime) -> Reach:
        known = Known(past=[run_closed(closed_at)], runs_begun=1)
        return scope_of(Query(), known, full=False, full_every="sunday", lookback_days=7, per_page=100, now=NOW).reach

    assert reach(NOW + dt.timedelta(days=20)) is Reach.FULL
    assert reach(NOW - dt.timedelta(days=1)) is Reach.RECENT


def test_a_run_of_the_future_silences_no_alarm(days_with_calls: Coverage) -> None:
    """A silent day is told although a run whose clock was ahead claims to have looked at it."""
    scope = Scope(reach=Reach.FULL)
    ahead = PastRun(run="r", closed_at=NOW + dt.timedelta(days=26_000), verdict="complete", coverage=days_with_calls)
    known = Known(past=[ahead], runs_begun=1)
    assert alarms_after(scope, days_with_calls, known, Query(), NOW)


@pytest.fixture
def days_with_calls() -> Coverage:
    """Eight weeks of calls on every day but the last two."""
    days = {
        NOW.date() - dt.timedelta(days=ago): Figures(calls=40, recorded=40, transcribed=40, timed=40)
        for ago in range(3, 60)
    }
    return Coverage(reach=Reach.FULL, filters={}, proven=True, proven_through=NOW.date(), days=days)
