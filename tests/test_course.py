"""The course of a run where something is amiss: what may be settled as gone, what counts as proven, what is asked for at all."""

import datetime as dt
import json
import signal
from pathlib import Path

import pytest

from harvester.archive.checkpoint import Checkpoint
from harvester.course import FEWEST_ASKED
from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault
from harvester.demo.server import Options, Platform, Seen, serve
from harvester.errors import ConfigError
from harvester.model import Reach, State
from harvester.screen import account_text
from tests.harvests import Harvests

DAY = dt.timedelta(days=1)


def today() -> dt.date:
    """The day in UTC."""
    return dt.datetime.now(dt.UTC).date()


def recorded(platform: Platform) -> list[int]:
    """The ids of the calls that have an MP3, oldest first."""
    return [i for i in platform.book.ids() if str(platform.book.row(i)["recording_url"]).endswith(f"{i}.mp3")]


def failing(platform: Platform, *call_ids: int, times: int | None = None) -> None:
    """Let the recordings of these calls fail."""
    for call_id in call_ids:
        platform.faults.add(Fault(where="recording", kind="status", code=500, match=call_id, times=times))


async def test_an_open_call_under_a_filter_is_asked_for(platform: Platform, harvests: Harvests) -> None:
    """An archive that holds other calls too forgets no open one, whatever the filter of the run."""
    await harvests.run(limit=2)
    old = next(i for i in recorded(platform) if platform.book.row(i)["type"] == "outbound")
    failing(platform, old, times=1)
    first = await harvests.run(type="outbound", attempts=1)
    second = await harvests.run(type="outbound", attempts=1)
    assert (first.exit_code, second.exit_code, second.reach) == (3, 0, Reach.RECENT)
    assert harvests.path(old, "mp3").read_bytes() == platform.book.recording(old)


async def test_a_filtered_run_settles_nothing_of_others_as_gone(platform: Platform, harvests: Harvests) -> None:
    """Its listing is no witness for a call that another filter selects."""
    old = next(i for i in recorded(platform) if platform.book.row(i)["type"] == "inbound")
    failing(platform, old)
    await harvests.run(attempts=1)
    await harvests.run(type="outbound", attempts=1)
    platform.book.delete(old)
    account = await harvests.run(type="outbound", attempts=1)
    assert (account.reach, account.gone) == (Reach.RECENT, [])
    assert [gone.id for gone in (await harvests.run(attempts=1)).gone] == [str(old)]


async def test_nothing_is_gone_when_the_listing_stopped_at_its_limit(platform: Platform, harvests: Harvests) -> None:
    """A limit that is reached while the days of a missed call are listed leaves every call as it is."""
    first, second = recorded(platform)[0], recorded(platform)[6]
    failing(platform, first, second)
    listed = (await harvests.run(attempts=1)).listed
    recent = (await harvests.run(attempts=1)).listed
    platform.faults.add(Fault(where="call", kind="status", code=404))
    account = await harvests.run(attempts=1, limit=recent + 2)
    assert (listed, account.gone, account.exit_code) == (65, [], 3)


async def test_nothing_is_gone_when_the_listing_is_not_proven(tmp_path: Path) -> None:
    """A full listing that misses a page has missed nothing for certain: what it lacks is not even asked for."""
    async with serve(CallBook(count=65, most_seconds=20), options=Options(per_page_clamp=15)) as platform:
        harvests = Harvests(platform, tmp_path)
        await harvests.run()
        platform.book.delete(recorded(platform)[0])
        platform.faults.add(Fault(where="list", kind="status", code=500, match=3))
        platform.faults.add(Fault(where="call", kind="status", code=404))
        account = await harvests.run(full=True, attempts=1)
    assert (account.exit_code, account.gone, account.revisited) == (3, [], 0)
    assert account.windows_unproven


async def test_three_calls_that_fail_by_id_end_no_night(platform: Platform, harvests: Harvests) -> None:
    """A platform that lists, and gives no call by its id: the open ones stay failed, the new ones are fetched, exit 3."""
    failing(platform, *recorded(platform)[:5])
    await harvests.run(attempts=1)
    platform.faults.add(Fault(where="call", kind="status", code=500))
    new = platform.book.insert()
    platform.book.finish(new)
    account = await harvests.run(attempts=1, pages_in_flight=1)
    assert (account.exit_code, len(account.failures), account.unreached) == (3, 5, 0)
    assert harvests.path(new, "json").exists()
    assert account.proven_through == today() - 2 * DAY
    assert platform.count("call") == 3


@pytest.mark.parametrize("rhythm", [2, f"{dt.datetime.now(dt.UTC):%A}".lower()])
async def test_a_full_run_that_failed_is_made_up_for(platform: Platform, harvests: Harvests, rhythm: int | str) -> None:
    """Only one that is proven counts: a full run with a limit has not looked at everything."""
    await harvests.run(**{"from": "40d"})
    await harvests.run(full=True, limit=3)
    assert [(await harvests.run(full_every=rhythm)).reach for _ in range(2)] == [Reach.FULL, Reach.RECENT]


async def test_an_interrupted_run_proves_nothing(platform: Platform, harvests: Harvests) -> None:
    """Whatever its windows said: calls that were listed may not have been reached."""
    for call_id in recorded(platform)[3:]:
        platform.faults.add(Fault(where="recording", kind="hang", match=call_id))
    process = await harvests.start("run")
    await harvests.until(8)
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 143
    coverage = [line["coverage"] for line in harvests.lines() if line["event"] == "run-closed"]
    assert [(each["proven"], each["proven_through"], each["days"]) for each in coverage] == [(False, None, {})]


async def test_a_run_with_failed_calls_is_proven_all_the_same(platform: Platform, harvests: Harvests) -> None:
    """The listing is one thing, the recordings another: the next run asks for the failed ones by id."""
    failing(platform, recorded(platform)[0])
    account = await harvests.run(attempts=1)
    assert (account.exit_code, account.proven_through) == (3, today() - 2 * DAY)


async def test_a_pending_call_outside_the_window_is_asked_for(platform: Platform, harvests: Harvests) -> None:
    """A transcript that is made anew for an old call may come days later; one request a night waits for it."""
    old = recorded(platform)[0]
    platform.book.change(old, transcript=None)
    await harvests.run()
    waiting = await harvests.run()
    platform.book.change(old, transcript="It came.")
    come = await harvests.run()
    assert (waiting.revisited, come.revisited, waiting.transcripts[State.PENDING] > 0) == (1, 1, True)
    assert harvests.path(old, "v2.txt").read_text() == "It came.\n"


async def test_deletions_alone_raise_no_doubt(platform: Platform, harvests: Harvests) -> None:
    """Fewer calls than the archive knows are no gap: the night is complete."""
    await harvests.run()
    for old in recorded(platform)[:3]:
        platform.book.delete(old)
    account = await harvests.run()
    assert (account.exit_code, account.reach, account.windows_unproven) == (0, Reach.RECENT, [])


async def test_the_total_is_held_under_the_archive_s_only_filter_too(platform: Platform, harvests: Harvests) -> None:
    """An archive of web calls alone is as complete as one of all calls."""
    await harvests.run(type="web")
    platform.book.insert({"created_at": "2025-01-02 03:04:05", "type": "web"})
    noticed, listed = await harvests.run(type="web"), await harvests.run(type="web")
    assert (noticed.exit_code, noticed.reach, listed.exit_code, listed.reach) == (3, Reach.RECENT, 0, Reach.FULL)


async def test_a_dry_run_foresees_the_doubt(platform: Platform, harvests: Harvests) -> None:
    """It says what the run would say about calls that were never listed, and new ones of the night are no such calls."""
    await harvests.run()
    platform.book.insert()
    assert (await harvests.run(dry_run=True)).exit_code == 0
    platform.book.insert({"created_at": "2025-01-02 03:04:05"})
    assert (await harvests.run(dry_run=True)).exit_code == 3


async def test_a_call_deleted_between_counting_and_listing_is_no_gap(platform: Platform, harvests: Harvests) -> None:
    """It was counted and could not be listed any more: the count after the listing clears it up."""
    await harvests.run()
    new = platform.book.insert()

    def delete_it(_: Platform, seen: Seen) -> None:
        if seen.query["per_page"] != "1" and platform.on_request:
            platform.on_request = None
            platform.book.delete(new)

    platform.on_request = delete_it
    assert (await harvests.run()).exit_code == 0


async def test_the_key_of_another_account_is_noticed_by_its_calls(tmp_path: Path) -> None:
    """Where `/user/me` tells no account: calls of proven days, none of which is known, are somebody else's; none is gone."""
    silent = Fault(where="me", kind="status", code=404)
    async with serve(CallBook(count=300, most_seconds=5), faults=[silent]) as platform:
        harvests = Harvests(platform, tmp_path)
        harvests.environment["HARVESTER_RECORDINGS"] = "no"
        await harvests.run()
        mine = harvests.files()
    async with serve(CallBook(seed=2, count=300, first_id=900_001, most_seconds=5), faults=[silent]) as platform:
        harvests.environment["HARVESTER_BASE_URL"] = platform.base_url
        mark = harvests.archive / "harvester-archive.json"
        mark.write_text(json.dumps(json.loads(mark.read_text()) | {"platform": platform.base_url}))
        account = await harvests.run(full=True)
        asked = platform.count("call")
    assert (account.exit_code, account.gone, asked) == (3, [], 0)
    assert "is the key that of another account?" in account_text(account)
    assert mine.items() <= harvests.files().items()


async def test_another_platform_writes_nothing(platform: Platform, harvests: Harvests) -> None:
    """An archive holds the calls of one platform: a run against another one is refused, exit 2, before anything is listed."""
    await harvests.run()
    async with serve(CallBook(count=3)) as other:
        before = sorted(harvests.archive.rglob("*"))
        done = await harvests.cli("run", HARVESTER_BASE_URL=other.base_url)
        listed = other.count("list")
    assert done.returncode == 2
    assert f"this archive holds calls of {platform.base_url}, not of {other.base_url}" in done.stderr.decode()
    assert (sorted(harvests.archive.rglob("*")), listed) == (before, 0)


async def test_the_key_of_another_account_that_tells_writes_nothing(platform: Platform, harvests: Harvests) -> None:
    """`/user/me` names who it is: another one than the archive's is refused before anything is listed or written."""
    await harvests.run()
    mark = harvests.archive / "harvester-archive.json"
    mark.write_text(json.dumps(json.loads(mark.read_text()) | {"account": "somebody.else@example.com"}))
    before, asked = sorted(harvests.archive.rglob("*")), platform.count("list")
    with pytest.raises(ConfigError, match="another account"):
        await harvests.run()
    assert (sorted(harvests.archive.rglob("*")), platform.count("list")) == (before, asked)


async def test_so_many_deletions_are_settled_over_several_full_runs(tmp_path: Path) -> None:
    """A night must end: at most a thousand missing calls are asked for, and how many are left is said."""
    count = FEWEST_ASKED + 150
    book = CallBook(count=count + 400, in_progress=0, late=0, most_seconds=5)
    async with serve(book) as platform:
        harvests = Harvests(platform, tmp_path)
        harvests.environment["HARVESTER_RECORDINGS"] = "no"
        await harvests.run()
        for call_id in list(platform.book.ids())[:count]:
            platform.book.delete(call_id)
        first = await harvests.run(full=True)
        second = await harvests.run(full=True)
        third = await harvests.run(full=True)
    assert [len(account.gone) for account in (first, second, third)] == [FEWEST_ASKED, 150, 0]
    assert first.warnings == [
        "the platform does not list 150 more calls that the archive has; the next full run asks for them"
    ]
    assert [account.exit_code for account in (first, second, third)] == [0, 0, 0]


async def test_a_clock_that_was_ahead_hides_no_days(platform: Platform, harvests: Harvests) -> None:
    """A proven day that has not come yet is none: everything is listed again."""
    await harvests.run()
    (ledger,) = harvests.archive.glob("runs/*/ledger.jsonl")
    text = ledger.read_text()
    proven = f'"proven_through":"{today() - 2 * DAY}"'
    assert proven in text
    ledger.write_text(text.replace(proven, f'"proven_through":"{today() + 1000 * DAY}"'))
    for path in harvests.state.rglob("checkpoint.db*"):
        path.unlink()
    assert (await harvests.run()).reach == Reach.FULL


async def test_gone_calls_are_the_same_after_a_rebuild(platform: Platform, harvests: Harvests) -> None:
    """The checkpoint learns from the run what it would read from the ledger: entries, runs, how many have begun."""
    await harvests.run(recordings=False)
    platform.book.delete(recorded(platform)[0])
    await harvests.run(full=True, recordings=False)

    def known() -> tuple[object, ...]:
        (path,) = harvests.state.rglob("checkpoint.db")
        mark = json.loads((harvests.archive / "harvester-archive.json").read_text())
        checkpoint = Checkpoint.caught_up(path, harvests.archive, mark["archive_id"])
        try:
            entries = checkpoint.find(str(i) for i in range(100_000, 100_100))
            return entries, [run.coverage for run in checkpoint.past_runs()], checkpoint.runs_begun
        finally:
            checkpoint.close()

    learnt = known()
    for path in harvests.state.rglob("checkpoint.db*"):
        path.unlink()
    (harvests.state / next(harvests.state.iterdir()).name / "checkpoint.db").touch()
    assert known() == learnt
    assert learnt[2] == 2
