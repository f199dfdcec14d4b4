"""What the runs after the first one list, what they ask for by id, and what they settle as gone."""

import datetime as dt
import json
import shutil
from pathlib import Path

import anyio
import pytest

from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault
from harvester.demo.server import Platform, Seen, serve
from harvester.errors import ConfigError
from harvester.model import Reach, State
from harvester.screen import account_text, status_text
from harvester.status import read_status
from tests.harvests import Harvests

DAY = dt.timedelta(days=1)


def today() -> dt.date:
    """The day in UTC."""
    return dt.datetime.now(dt.UTC).date()


def dates_asked(platform: Platform, since: int = 0) -> set[str | None]:
    """The `date_from` of each list page that was asked for since request number `since`; counting requests left out."""
    return {seen.query.get("date_from") for seen in listed(platform, since)}


def listed(platform: Platform, since: int = 0) -> list[Seen]:
    """The requests for list pages since request number `since`; those that only count left out."""
    return [seen for seen in platform.requests[since:] if seen.where == "list" and seen.query["per_page"] != "1"]


def oldest_recorded(platform: Platform) -> int:
    """The id of the oldest call that has an MP3: created some eighty days ago."""
    return next(i for i in platform.book.ids() if str(platform.book.row(i)["recording_url"]).endswith(f"{i}.mp3"))


def settled_as(harvests: Harvests, call_id: int) -> list[str]:
    """The events of a call, in the order of the ledger."""
    return [line["event"] for line in harvests.lines() if line.get("id") == str(call_id)]


async def test_the_first_run_lists_everything(platform: Platform, harvests: Harvests) -> None:
    """Nothing is proven yet, so no date is named."""
    account = await harvests.run()
    assert (account.reach, account.listed, account.listed_from) == (Reach.FULL, 65, None)
    assert account.proven_through == today() - 2 * DAY
    assert dates_asked(platform) == {None}


@pytest.mark.parametrize(("flags", "days"), [({}, 7), ({"lookback_days": 0}, 0), ({"lookback_days": 30}, 30)])
async def test_a_later_run_lists_from_the_last_proven_day(
    platform: Platform, harvests: Harvests, flags: dict[str, object], days: int
) -> None:
    """It goes back by `lookback_days` from the last day that can receive no more calls and was proven whole."""
    await harvests.run()
    before = len(platform.requests)
    account = await harvests.run(**flags)
    date_from = today() - (2 + days) * DAY
    assert dates_asked(platform, before) == {str(date_from)}
    assert (account.reach, account.listed_from, account.exit_code) == (Reach.RECENT, date_from, 0)
    assert account.listed < 65
    assert f"{account.listed} calls listed since {date_from}" in account_text(account)
    assert "what is older was proven by earlier runs" in account_text(account)


async def test_a_night_with_nothing_new_lists_each_page_once(tmp_path: Path) -> None:
    """Calls that earlier runs have seen prove even days that may still receive some: no window is walked twice."""
    first_at = dt.datetime.now(dt.UTC) - 25 * DAY
    book = CallBook(count=3000, first_at=first_at, in_progress=0, late=0, most_seconds=5)
    async with serve(book) as platform:
        harvests = Harvests(platform, tmp_path)
        harvests.environment |= {"HARVESTER_RECORDINGS": "no", "HARVESTER_PER_PAGE": "5"}
        await harvests.run()
        before = platform.count("list")
        account = await harvests.run()
    pages = -(-account.listed // 5)
    assert account.windows_proven > 1
    assert platform.count("list") - before <= pages * 1.1 + 20
    assert account.exit_code == 0


async def test_a_new_call_is_fetched_by_the_next_run(platform: Platform, harvests: Harvests) -> None:
    """What arrived since lies in the days that are listed again."""
    await harvests.run()
    new = platform.book.insert()
    platform.book.finish(new)
    account = await harvests.run()
    assert account.recordings[State.SAVED] == 1
    assert harvests.path(new, "json").exists()


async def test_a_failed_call_of_long_ago_is_asked_for_by_its_id(platform: Platform, harvests: Harvests) -> None:
    """A recording that could not be had is tried again every night, at the price of one request, until it is there."""
    failing = oldest_recorded(platform)
    platform.faults.add(Fault(where="recording", kind="status", code=500, match=failing, times=2))
    first, second = await harvests.run(attempts=1), await harvests.run(attempts=1)
    before = platform.count("call")
    third, fourth = await harvests.run(), await harvests.run()
    assert [account.exit_code for account in (first, second, third, fourth)] == [3, 3, 0, 0]
    assert (second.revisited, third.revisited, fourth.revisited) == (1, 1, 0)
    assert platform.count("call") == before + 1
    assert harvests.path(failing, "mp3").read_bytes() == platform.book.recording(failing)


async def test_a_call_that_keeps_failing_costs_one_request_and_holds_up_nothing(
    platform: Platform, harvests: Harvests
) -> None:
    """The others are settled, and no more pages are listed than without it."""
    failing = oldest_recorded(platform)
    platform.faults.add(Fault(where="recording", kind="status", code=500, match=failing))
    await harvests.run(attempts=1)
    nights = []
    for _ in range(2):
        new = platform.book.insert()
        platform.book.finish(new)
        before = len(platform.requests)
        account = await harvests.run(attempts=1)
        nights.append((len(listed(platform, before)), account.recordings[State.SAVED], account.exit_code))
        assert account.failures[0].id == str(failing)
    assert nights == [(1, 1, 3), (1, 1, 3)]
    assert platform.count("call") == 2


async def test_a_call_that_cannot_even_be_asked_for_stays_as_it_is(platform: Platform, harvests: Harvests) -> None:
    """A server error about one call is told with the call, and ends no run."""
    failing = oldest_recorded(platform)
    platform.faults.add(Fault(where="recording", kind="status", code=500, match=failing))
    await harvests.run(attempts=1)
    platform.faults.add(Fault(where="call", kind="status", code=500, match=failing))
    account = await harvests.run(attempts=1)
    assert account.exit_code == 3
    assert "could not be asked for" in account.failures[0].reason
    assert account.proven_through == today() - 2 * DAY


async def test_a_full_run_finds_what_changed_long_ago(platform: Platform, harvests: Harvests) -> None:
    """A transcript made anew after months is outside every look-back; only a full run meets it."""
    await harvests.run()
    old = oldest_recorded(platform)
    platform.book.change(old, transcript="A better transcript.")
    nightly = await harvests.run()
    assert not list(harvests.archive.rglob(f"{old}.v2.*"))
    full = await harvests.run(full=True)
    assert (nightly.reach, full.reach) == (Reach.RECENT, Reach.FULL)
    assert harvests.path(old, "v2.txt").read_text() == "A better transcript.\n"


async def test_a_deleted_call_is_gone_after_listing_and_asking_miss_it(platform: Platform, harvests: Harvests) -> None:
    """A full run says so once; the archive keeps what it has, and no later run asks for the call again."""
    await harvests.run()
    deleted = oldest_recorded(platform)
    platform.book.delete(deleted)
    nightly = await harvests.run()
    files = harvests.files()
    full, again = await harvests.run(full=True), await harvests.run(full=True)
    assert (nightly.gone, full.revisited, again.revisited) == ([], 1, 0)
    assert [gone.id for gone in full.gone] == [str(deleted)]
    assert (full.exit_code, full.recordings[State.GONE], full.transcripts[State.GONE]) == (0, 1, 1)
    assert f"gone: call '{deleted}': the platform has the call no more" in account_text(full)
    assert settled_as(harvests, deleted) == ["saved", "gone"]
    assert harvests.files() == files
    assert platform.count("call") == 1
    assert harvests.verify().findings == []


async def test_a_call_that_is_only_withheld_is_not_gone(platform: Platform, harvests: Harvests) -> None:
    """403 and 500 say nothing about whether a call exists: it stays as it is, and the next full run asks again."""
    await harvests.run()
    deleted = oldest_recorded(platform)
    platform.book.delete(deleted)
    platform.faults.add(Fault(where="call", kind="status", code=403, times=1))
    platform.faults.add(Fault(where="call", kind="status", code=500, times=1))
    gone = [(await harvests.run(full=True, attempts=1)).gone for _ in range(3)]
    assert [len(each) for each in gone] == [0, 0, 1]


async def test_an_open_call_that_was_deleted_is_gone_without_a_full_run(platform: Platform, harvests: Harvests) -> None:
    """The days around it are listed once, so that listing and asking both miss it; then nobody asks again."""
    failing = oldest_recorded(platform)
    platform.faults.add(Fault(where="recording", kind="status", code=500, match=failing))
    await harvests.run(attempts=1)
    created_on = dt.date.fromisoformat(str(platform.book.row(failing)["created_at"])[:10])
    platform.book.delete(failing)
    before = len(platform.requests)
    account = await harvests.run()
    assert [gone.id for gone in account.gone] == [str(failing)]
    assert dates_asked(platform, before) == {str(today() - 9 * DAY), str(created_on - DAY)}
    assert (account.exit_code, (await harvests.run()).revisited) == (0, 0)


async def test_a_call_that_comes_back_is_there_again(platform: Platform, harvests: Harvests) -> None:
    """A platform that restores what it had deleted: the call is listed again, and counts as present again."""
    await harvests.run()
    lost = oldest_recorded(platform)
    raw = platform.row(lost)
    platform.book.delete(lost)
    await harvests.run(full=True)
    platform.book.insert({"id": lost, **json.loads(raw)})
    asked = platform.count("recording")
    account = await harvests.run(full=True)
    again = await harvests.run(full=True)
    assert (account.listed, account.gone, platform.count("recording")) == (65, [], asked)
    assert settled_as(harvests, lost)[-1] in ("unchanged", "changed")
    assert again.revisited == 0


async def test_the_last_run_that_proved_nothing_leaves_the_proven_day_where_it_is(
    platform: Platform, harvests: Harvests
) -> None:
    """A run with a limit, an interrupted one or one that failed has not looked at everything."""
    limited = await harvests.run(limit=3)
    full = await harvests.run()
    assert (limited.proven_through, full.reach, full.listed) == (None, Reach.FULL, 65)
    again = await harvests.run(limit=3)
    assert (again.reach, again.proven_through) == (Reach.RECENT, full.proven_through)
    assert (await harvests.run()).reach == Reach.RECENT


async def test_a_run_over_a_few_days_is_no_proof_of_the_whole(platform: Platform, harvests: Harvests) -> None:
    """`--from 30d` on a new archive, tried out before the first real run, hides nothing from that."""
    tried = await harvests.run(**{"from": "30d"})
    account = await harvests.run()
    assert (tried.reach, tried.proven_through) == (Reach.DATES, None)
    assert (account.reach, account.listed) == (Reach.FULL, 65)


async def test_other_filters_prove_nothing_for_these(platform: Platform, harvests: Harvests) -> None:
    """What was proven for one filter holds for that filter alone; what is open is asked for all the same."""
    failing = oldest_recorded(platform)
    platform.faults.add(Fault(where="recording", kind="status", code=500, match=failing))
    await harvests.run(attempts=1)
    other = await harvests.run(type="web", attempts=1)
    same = await harvests.run(type="web", attempts=1)
    assert [account.reach for account in (other, same)] == [Reach.FULL, Reach.RECENT]
    assert other.revisited == 0 < same.revisited
    assert (await harvests.run(attempts=1)).reach == Reach.RECENT


async def test_a_phone_number_is_listed_whole_every_time(platform: Platform, harvests: Harvests) -> None:
    """No ledger keeps the number, so nothing tells what was proven for it."""
    number = str(platform.book.row(next(iter(platform.book.ids())))["client_phone_number"])
    first, second = await harvests.run(phone_number=number), await harvests.run(phone_number=number)
    assert (first.reach, second.reach) == (Reach.FULL, Reach.FULL)
    assert number not in "".join(map(str, harvests.lines()))


async def test_a_call_that_no_run_has_listed_is_noticed(platform: Platform, harvests: Harvests) -> None:
    """One that appears with an old date lies in no look-back: the total tells, the run says so, the next lists everything."""
    await harvests.run()
    backdated = platform.book.insert({"created_at": "2025-01-02 03:04:05"})
    platform.book.finish(backdated)
    nightly = await harvests.run()
    assert nightly.exit_code == 3
    assert "claims 66 calls and the archive knows 65" in account_text(nightly)
    following = await harvests.run()
    assert (following.reach, following.exit_code) == (Reach.FULL, 0)
    assert (harvests.archive / f"2025/01/02/{backdated}.json").exists()
    assert (await harvests.run()).reach == Reach.RECENT


async def test_a_lost_state_folder_loses_no_proof(platform: Platform, harvests: Harvests) -> None:
    """What is proven stands in the ledger; the checkpoint is rebuilt from it."""
    await harvests.run()
    shutil.rmtree(harvests.state)
    account = await harvests.run()
    assert (account.reach, account.listed_from) == (Reach.RECENT, today() - 9 * DAY)


async def test_a_dry_run_foresees_the_nightly_one(platform: Platform, harvests: Harvests) -> None:
    """It lists and asks as the run would, names what is gone, and writes nothing."""
    failing = oldest_recorded(platform)
    platform.faults.add(Fault(where="recording", kind="status", code=500, match=failing))
    await harvests.run(attempts=1)
    files = sorted(harvests.archive.rglob("*"))
    foreseen = await harvests.run(dry_run=True)
    platform.book.delete(failing)
    foreseen_gone = await harvests.run(dry_run=True)
    assert (foreseen.reach, foreseen.revisited, foreseen.recordings[State.SAVED]) == (Reach.RECENT, 1, 1)
    assert [gone.id for gone in foreseen_gone.gone] == [str(failing)]
    assert sorted(harvests.archive.rglob("*")) == files


async def test_recordings_that_were_left_out_are_no_nightly_burden(platform: Platform, harvests: Harvests) -> None:
    """An archive of rows and transcripts alone asks for nothing old; once recordings are wanted they are all fetched."""
    await harvests.run(recordings=False)
    without = await harvests.run(recordings=False)
    assert (without.reach, without.revisited, without.exit_code) == (Reach.RECENT, 0, 0)
    left = read_status(harvests.settings()).left_out
    assert left > 30
    assert f"{left} recordings left out: recordings were switched off" in status_text(read_status(harvests.settings()))
    wanted = await harvests.run()
    assert (wanted.recordings[State.SAVED], platform.count("recording")) == (left, left)
    assert read_status(harvests.settings()).left_out == 0


async def test_many_open_calls_are_listed_rather_than_asked_for(tmp_path: Path) -> None:
    """When asking one by one takes more requests than listing everything, everything is listed."""
    async with serve(CallBook(count=65, most_seconds=20)) as platform:
        harvests = Harvests(platform, tmp_path)
        platform.faults.add(Fault(where="recording", kind="status", code=500))
        await harvests.run(attempts=1)
        account = await harvests.run(attempts=1)
    assert (account.reach, platform.count("call")) == (Reach.FULL, 0)
    assert "open" in account.why


@pytest.mark.parametrize("days", ["100", "3660"])
async def test_a_typed_look_back_longer_than_the_archive_is_refused(
    platform: Platform, harvests: Harvests, days: str
) -> None:
    """Who asks for more than there is means a full run: nothing is listed, nothing written."""
    await harvests.run()
    files, asked = sorted(harvests.archive.rglob("*")), platform.count("list")
    with pytest.raises(ConfigError, match=r"--lookback-days: .* before the archive's first call .* say --full"):
        await harvests.run(lookback_days=days)
    assert (sorted(harvests.archive.rglob("*")), platform.count("list")) == (files, asked)


async def test_a_standing_look_back_may_be_longer_than_a_young_archive(platform: Platform, harvests: Harvests) -> None:
    """A setting for every night must not fail the first weeks of an archive: it is a warning there."""
    await harvests.run()
    harvests.environment["HARVESTER_LOOKBACK_DAYS"] = "365"
    account = await harvests.run()
    assert (account.exit_code, account.listed) == (0, 65)
    assert any("before the archive's first call" in warning for warning in account.warnings)


async def test_every_third_run_is_a_full_one(platform: Platform, harvests: Harvests) -> None:
    """`full_every = 3` counts the runs that ended well, filtered dry runs and tries left out."""
    reaches = [(await harvests.run(full_every=3)).reach for _ in range(5)]
    assert reaches == [Reach.FULL, Reach.RECENT, Reach.RECENT, Reach.FULL, Reach.RECENT]


async def test_the_first_recording_is_on_the_disk_before_the_third_page_is_there(tmp_path: Path) -> None:
    """Downloads begin with the first page, before a long listing is surveyed and cut: a third that never comes delays none."""
    async with serve(CallBook(count=1500, most_seconds=5)) as platform:
        harvests = Harvests(platform, tmp_path)
        platform.faults.add(Fault(where="list", kind="hang", after=2))
        process = await harvests.start("run")
        with anyio.fail_after(30):
            while not any(harvests.archive.glob("2*/*/*/*.mp*")):  # noqa: ASYNC110 - the disk has no event for it
                await anyio.sleep(0.01)
        process.kill()
        await process.aclose()


async def test_no_look_back_at_all_is_never_too_long(tmp_path: Path) -> None:
    """An account that began today: `--lookback-days 0` lists from the last proven day, which lies before its first call."""
    first_at = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=30)
    async with serve(CallBook(count=5, first_at=first_at, most_seconds=5)) as platform:
        harvests = Harvests(platform, tmp_path)
        await harvests.run()
        account = await harvests.run(lookback_days="0")
    assert (account.reach, account.listed, account.exit_code) == (Reach.RECENT, 5, 0)


async def test_days_with_an_end_are_told_with_it(harvests: Harvests) -> None:
    """From one day to another is not since the one."""
    day = today() - 20 * DAY
    text = account_text(await harvests.run(**{"from": str(day), "to": str(day)}))
    assert f"listed from {day} to {day}" in text
    assert f"since {day}" not in text


async def test_status_sees_a_run_that_has_another_state_folder(platform: Platform, harvests: Harvests) -> None:
    """Who asks by hand may have another state folder than the nightly job: the archive's own lock tells."""
    for call_id in recorded_ids(platform)[3:]:
        platform.faults.add(Fault(where="recording", kind="hang", match=call_id))
    process = await harvests.start("run")
    await harvests.until(8)
    told = await harvests.cli("status", HARVESTER_STATE_FOLDER=str(harvests.folder / "other"))
    process.terminate()
    await process.wait()
    assert "a run is going on" in told.stdout.decode()
    assert "cut off" not in told.stdout.decode()


def recorded_ids(platform: Platform) -> list[int]:
    """The ids of the calls that have an MP3, oldest first."""
    return [i for i in platform.book.ids() if str(platform.book.row(i)["recording_url"]).endswith(f"{i}.mp3")]
