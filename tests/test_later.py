"""What becomes of a call over several runs, when the platform changes its mind meanwhile."""

import json

import pytest

from harvester.archive import ledger
from harvester.archive.ledger import Position
from harvester.demo.faults import Fault
from harvester.demo.server import Platform, Seen
from harvester.model import State
from harvester.platform.rows import read_call
from harvester.screen import account_text
from tests.harvests import Harvests


def recorded(platform: Platform) -> int:
    """The id of a call that has an MP3 under a plain link."""
    return next(i for i in platform.book.ids() if str(platform.book.row(i)["recording_url"]).endswith(f"{i}.mp3"))


async def test_a_recording_is_not_fetched_while_the_call_goes_on(platform: Platform, harvests: Harvests) -> None:
    """A link in the row of a call that has not ended leads to half a recording: it stays pending until the call is over."""
    going_on = platform.book.unsettled()[-1]
    platform.book.finish(going_on)
    platform.book.change(going_on, status="in-progress")
    first = await harvests.run()
    assert not list(harvests.archive.rglob(f"{going_on}.m*"))
    platform.book.change(going_on, status="completed")
    second = await harvests.run()
    assert (first.recordings[State.PENDING], second.recordings[State.SAVED]) == (5, 1)
    assert harvests.path(going_on, "v2.m*").read_bytes() == platform.book.recording(going_on)


async def test_a_dead_link_fails_once_and_is_gone_then(platform: Platform, harvests: Harvests) -> None:
    """The first run that meets a 404 fails, so that somebody is told; the second settles it as gone; no third one asks."""
    dead = recorded(platform)
    platform.faults.add(Fault(where="recording", kind="gone", match=dead))
    first, second = await harvests.run(), await harvests.run()
    asked = platform.count("recording")
    third = await harvests.run(full=True)
    assert [account.exit_code for account in (first, second, third)] == [3, 0, 0]
    assert [len(first.failures), len(second.gone), len(third.gone)] == [1, 1, 0]
    assert third.recordings[State.GONE] == 1
    assert platform.count("recording") == asked


async def test_a_recording_that_was_offered_and_is_no_more_is_gone(platform: Platform, harvests: Harvests) -> None:
    """Failed, and then the row names none: it is reported as gone, never passed off as a call without a recording."""
    lost = recorded(platform)
    platform.faults.add(Fault(where="recording", kind="status", code=500, match=lost))
    await harvests.run(attempts=1)
    platform.book.change(lost, recording_url=None)
    account = await harvests.run(recording_grace_days=0)
    assert [gone.id for gone in account.gone] == [str(lost)]
    assert f"gone: call '{lost}'" in account_text(account)


async def test_a_recording_that_is_held_stays_held(platform: Platform, harvests: Harvests) -> None:
    """A new link that is dead makes nobody forget the recording under the old one; when that comes back, nothing is fetched."""
    call_id = recorded(platform)
    old = platform.book.row(call_id)["recording_url"]
    await harvests.run()
    platform.book.change(call_id, recording_url="/calls/999999.mp3")
    moved = await harvests.run(full=True)
    asked = platform.count("recording")
    platform.book.change(call_id, recording_url=None)
    none = await harvests.run(full=True)
    platform.book.change(call_id, recording_url=old)
    back = await harvests.run(full=True)
    assert [account.exit_code for account in (moved, none, back)] == [3, 0, 0]
    assert platform.count("recording") == asked
    assert harvests.path(call_id, "mp3").read_bytes() == platform.book.recording(call_id)


async def test_a_call_that_moves_on_between_two_statuses_is_met(platform: Platform, harvests: Harvests) -> None:
    """Statuses are listed in the order in which a call passes through them, so one that ends meanwhile is not missed."""
    going_on = next(i for i in platform.book.unsettled() if platform.book.row(i)["status"] == "in-progress")

    def end_it(_: Platform, seen: Seen) -> None:
        if seen.query.get("status") == "completed":
            platform.book.change(going_on, status="completed")

    platform.on_request = end_it
    await harvests.run(status=["completed", "in-progress"])
    assert harvests.path(going_on, "json")


async def test_an_operator_of_any_name_can_run(harvests: Harvests) -> None:
    """A user's name that is not UTF-8 is written so that the next run can read it."""
    for _ in range(2):
        done = await harvests.cli("run", "-q", LOGNAME="J\udcfcrgen")
        assert done.returncode == 0
    assert next(harvests.lines())["operator"].startswith("J")


@pytest.mark.parametrize("odd", ["\udce4", "a\ud83d", "\U0001f600", "\x00\x1b[31m", "\u2028"])
def test_a_line_that_is_written_can_be_read(odd: str) -> None:
    """Whatever text a header or a name holds, its line is ASCII and reads back."""
    raw = ledger.encode({"seq": 1, "prev": ledger.GENESIS, "at": "", "event": "failed", "reason": odd, odd: [odd]})
    assert raw.isascii()
    line = ledger.decode_line(raw)
    ledger.check_link(line, Position())
    assert line.reason == odd.encode("utf-8", "replace").decode()


def test_a_link_is_remembered_without_its_secrets() -> None:
    """User, password, query and fragment of a link go nowhere."""
    row = b'{"id":7,"recording_url":"https://user:s3cret@host.example/a/7.mp3?sig=abc#tok=1"}'
    assert read_call(row).link == "https://host.example/a/7.mp3"


async def test_a_transcript_that_comes_late_is_pending_too(platform: Platform, harvests: Harvests) -> None:
    """A call with its recording and without its transcript is named by status; after the grace it is settled as absent."""
    late = recorded(platform)
    platform.book.change(late, transcript=None)
    await harvests.run()
    told = json.loads((await harvests.cli("status", "--json")).stdout)
    assert {"id": str(late), "reason": "no transcript yet"}.items() <= next(
        call for call in told["pending"] if call["id"] == str(late)
    ).items()
    await harvests.run(recording_grace_days=0)
    told = json.loads((await harvests.cli("status", "--json")).stdout)
    assert str(late) not in {call["id"] for call in told["pending"]}
