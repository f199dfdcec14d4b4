"""The main job, end to end: what a run writes, and what the next one makes of it."""

import json
import re

import pytest

from harvester.demo.calls import CallBook
from harvester.demo.server import Platform
from harvester.model import State
from tests.harvests import Harvests


async def test_a_run_archives_every_call(platform: Platform, harvests: Harvests) -> None:
    """Every call has its row byte for byte, its transcript, and its recording byte for byte; the exit code is 0."""
    account = await harvests.run()
    assert (account.verdict, account.exit_code, account.listed) == ("complete", 0, 65)
    for call_id in platform.book.ids():
        row = platform.book.row(call_id)
        assert harvests.path(call_id, "json").read_bytes() == platform.row(call_id)
        assert bool(row["transcript"]) == any(harvests.archive.glob(f"*/*/*/{call_id}.txt"))
        if row["recording_url"]:
            assert harvests.path(call_id, "m[p4][34a]").read_bytes() == platform.book.recording(call_id)


async def test_a_call_lies_in_the_folder_of_its_day(platform: Platform, harvests: Harvests) -> None:
    """A call lies under the year, month and day of its `created_at` as received."""
    await harvests.run()
    for call_id in platform.book.ids():
        day = str(platform.book.row(call_id)["created_at"])[:10].replace("-", "/")
        assert (harvests.archive / day / f"{call_id}.json").exists()


async def test_the_suffix_comes_from_the_bytes(platform: Platform, harvests: Harvests) -> None:
    """A link may end in anything: an MPEG stream becomes .mp3, an MP4 container .m4a or .mp4."""
    await harvests.run()
    for key, data in harvests.files().items():
        if key.endswith((".mp3", ".m4a")):
            assert key.endswith(".m4a") == (data[4:8] == b"ftyp")


async def test_the_outcomes_add_up(harvests: Harvests) -> None:
    """Recordings and transcripts each add up to the calls listed, and those to what the platform claims."""
    account = await harvests.run()
    assert sum(account.recordings.values()) == sum(account.transcripts.values()) == account.listed
    assert account.listed == account.claimed_at_start == account.claimed_at_end
    assert account.recordings[State.PENDING] == 5


async def test_a_second_run_downloads_nothing(platform: Platform, harvests: Harvests) -> None:
    """With nothing new, the next run asks for no recording, writes no file, and is complete."""
    await harvests.run()
    before, asked = harvests.files(), platform.count("recording")
    account = await harvests.run(full=True)
    assert account.exit_code == 0
    assert account.recordings[State.UNCHANGED] > 30
    assert (harvests.files(), platform.count("recording")) == (before, asked)


async def test_what_comes_late_is_fetched_by_the_next_run(platform: Platform, harvests: Harvests) -> None:
    """A call that was going on is pending; once it has ended, its row is kept as a new version, with its recording."""
    await harvests.run()
    late = platform.book.unsettled()[-1]
    first = harvests.path(late, "json").read_bytes()
    platform.book.finish(late)
    account = await harvests.run()
    assert account.recordings[State.SAVED] == account.transcripts[State.SAVED] == 1
    assert harvests.path(late, "json").read_bytes() == first
    assert harvests.path(late, "v2.json").read_bytes() == platform.row(late)
    assert harvests.path(late, "v2.m*").read_bytes() == platform.book.recording(late)


async def test_a_changed_call_becomes_a_new_version(platform: Platform, harvests: Harvests) -> None:
    """A transcript made anew is kept beside the first one; the recording is not fetched again."""
    await harvests.run()
    call_id = next(i for i in platform.book.ids() if platform.book.row(i)["recording_url"])
    asked = platform.count("recording")
    platform.book.change(call_id, transcript="A better transcript.")
    account = await harvests.run(full=True)
    assert harvests.path(call_id, "v2.txt").read_text() == "A better transcript.\n"
    assert (account.recordings[State.SAVED], platform.count("recording")) == (0, asked)
    assert [line["event"] for line in harvests.lines() if line.get("id") == str(call_id)][1:] == ["changed"]


async def test_a_dry_run_writes_nothing(platform: Platform, harvests: Harvests) -> None:
    """A dry run lists, says what it would save, asks for no recording, and leaves no archive."""
    account = await harvests.run(dry_run=True)
    assert account.recordings[State.SAVED] > 30
    assert platform.count("recording") == 0
    assert not harvests.archive.exists()


async def test_a_dry_run_knows_what_is_saved(harvests: Harvests) -> None:
    """On an archive that exists, a dry run counts only what is new."""
    await harvests.run()
    account = await harvests.run(dry_run=True)
    assert account.recordings[State.SAVED] == 0
    assert len(list(harvests.archive.glob("runs/*"))) == 1


async def test_a_limit_is_not_a_whole_account(harvests: Harvests) -> None:
    """--limit stops after so many calls, and says that the account is not proven whole: exit code 3."""
    account = await harvests.run(limit=7)
    assert (account.listed, account.exit_code) == (7, 3)
    assert len([key for key in harvests.files() if key.endswith(".json")]) == 7
    assert "--limit" in account.windows_unproven[0]


async def test_recordings_can_be_left_for_later(platform: Platform, harvests: Harvests) -> None:
    """Without recordings they stay pending, and the next run with them fetches them."""
    first = await harvests.run(recordings=False)
    assert (platform.count("recording"), first.recordings[State.SAVED]) == (0, 0)
    second = await harvests.run()
    assert second.recordings[State.SAVED] > 30
    assert second.transcripts[State.SAVED] == 0


@pytest.mark.parametrize(
    ("flags", "asked"),
    [
        ({"type": "inbound"}, {"type": "inbound"}),
        ({"assistant_id": "1"}, {"assistant_id": "1"}),
        ({"campaign_id": "2"}, {"campaign_id": "2"}),
        ({"phone_number": "+15551234567"}, {"phone_number": "+15551234567"}),
        ({"from": "2025-08-01", "to": "2025-08-31"}, {"date_from": "2025-08-01", "date_to": "2025-08-31"}),
        ({"status": ["completed"]}, {"status": "completed"}),
        ({"per_page": "7"}, {"per_page": "7"}),
    ],
)
async def test_every_filter_reaches_the_platform(
    platform: Platform, harvests: Harvests, flags: dict[str, object], asked: dict[str, str]
) -> None:
    """Every documented filter is a setting that the platform is asked with, on every page; counts may ask for less."""
    await harvests.run(dry_run=True, **flags)
    lists = [seen.query for seen in platform.requests if seen.where == "list" and seen.query["per_page"] != "1"]
    assert lists
    assert all(asked.items() <= query.items() for query in lists)


async def test_several_statuses_are_several_queries(platform: Platform, harvests: Harvests) -> None:
    """A request takes one status, so several are listed one after the other, and each call comes once."""
    account = await harvests.run(status=["completed", "failed", "no-answer"])
    rows = [platform.book.row(call_id)["status"] for call_id in platform.book.ids()]
    assert account.listed == sum(status in ("completed", "failed", "no-answer") for status in rows)
    assert {seen.query["status"] for seen in platform.requests if seen.where == "list"} == {
        "completed",
        "failed",
        "no-answer",
    }


async def test_an_unknown_status_is_a_warning(harvests: Harvests) -> None:
    """The set of statuses is open: one that is not documented is asked for, and the account warns."""
    account = await harvests.run(status=["teleported"])
    assert account.exit_code == 0
    assert "teleported" in account.warnings[0]


async def test_the_account_is_the_same_everywhere(harvests: Harvests) -> None:
    """--json, --report-json and run.json tell the same account."""
    done = await harvests.cli("run", "--json", "--report-json", "report.json")
    (written,) = harvests.archive.glob("runs/*/run.json")
    assert json.loads(done.stdout) == json.loads(written.read_bytes())
    assert (harvests.folder / "report.json").read_bytes() == written.read_bytes()
    assert json.loads(done.stdout)["verdict"] == "complete"


async def test_the_screen_ends_with_the_account(harvests: Harvests) -> None:
    """Without a terminal there is no bar; the last lines are the account, on stderr, and stdout stays empty."""
    done = await harvests.cli("run")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"\r" not in done.stderr
    assert done.stderr.decode().splitlines()[-1].startswith("complete: ")


@pytest.mark.calm
async def test_quiet_is_silent_about_success(harvests: Harvests) -> None:
    """-q prints nothing when all went well."""
    done = await harvests.cli("run", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


async def test_the_key_is_in_no_byte(platform: Platform, harvests: Harvests) -> None:
    """Neither archive, local state, screen nor log holds the key, with the most talkative settings too."""
    done = await harvests.cli("run", "-vv", "--json")
    written = b"".join(path.read_bytes() for path in harvests.folder.rglob("*") if path.is_file())
    assert platform.key.encode() not in done.stdout + done.stderr + written


async def test_the_ledger_holds_no_caller(platform: Platform, harvests: Harvests) -> None:
    """No phone number and no word of a transcript is in what would be handed to strangers: ledger, manifest, account."""
    await harvests.run()
    handed = b"".join(path.read_bytes() for path in harvests.archive.glob("runs/*/*")).decode()
    for call_id in platform.book.ids():
        row = platform.book.row(call_id)
        for field in ("client_phone_number", "assistant_phone_number", "transcript"):
            assert not row[field] or str(row[field])[:30] not in handed
    assert not re.search(r"(\+|%2B)\d{7}", handed)


async def test_recordings_start_while_the_list_is_walked(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Downloads overlap the listing: a recording is asked for before the last page is."""
    from harvester.demo.server import serve

    async with serve(CallBook(count=400, most_seconds=5)) as platform:
        harvests = Harvests(platform, tmp_path_factory.mktemp("overlap"))
        await harvests.run(per_page=10, pages_in_flight=1)
        kinds = [seen.where for seen in platform.requests]
    assert kinds.index("recording") < len(kinds) - 1 - kinds[::-1].index("list")


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_every_framing_brings_the_same_bytes(tmp_path_factory: pytest.TempPathFactory, framing: str) -> None:
    """With a length, in chunks, or ended by the connection's end: the archive is the same, and the proof is named."""
    from harvester.demo.server import Options, serve

    options = Options(recordings_body=framing)  # type: ignore[arg-type]
    async with serve(CallBook(count=40, most_seconds=20), options=options) as platform:
        harvests = Harvests(platform, tmp_path_factory.mktemp(framing))
        account = await harvests.run()
        proofs = {line["recording"].get("proof") for line in harvests.lines() if line["event"] == "saved"}
        recordings = [data for key, data in harvests.files().items() if key[-3:] in ("mp3", "m4a")]
        expected = [platform.book.recording(i) for i in platform.book.ids() if platform.book.row(i)["recording_url"]]
    assert account.exit_code == 0
    assert sorted(recordings) == sorted(expected)
    assert (
        proofs
        <= {"length": {"content-length"}, "chunked": {"chunked-end"}, "close": {"duration", "structure"}}[framing]
    )


async def test_a_path_of_any_bytes_will_do(harvests: Harvests) -> None:
    """A folder whose name is not UTF-8 is an archive like any other: run, run again, status, verify."""
    archive = str(harvests.folder / "M\udcfcller calls" / "d\xe9j\xe0")
    commands = (("run", "--json"), ("run", "-q"), ("status", "--json"), ("verify", "--json"), ("verify",), ("config",))
    for words in commands:
        done = await harvests.cli(*words, "--archive", archive)
        assert done.returncode == 0, done.stderr.decode()
