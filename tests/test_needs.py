"""What a listed call needs: decided from its row, from what the archive holds, and from the time."""

import datetime as dt
import json

import msgspec
import pytest

from harvester.model import Call, Entry, State
from harvester.needs import Needs, Rules, decide, sift
from harvester.platform.rows import read_call

ENDED = dt.datetime(2025, 8, 4, 14, 34, 5, tzinfo=dt.UTC)
SOON = ENDED + dt.timedelta(hours=1)
LATE = ENDED + dt.timedelta(days=3, seconds=1)
LINK = "https://recordings.example/calls/1.mp3"


def call(**members: object) -> Call:
    """A call that has ended, with transcript and recording."""
    row = {
        "id": 1,
        "status": "completed",
        "duration": 245,
        "transcript": "Hello.",
        "recording_url": f"{LINK}?sig=1",
        "created_at": "2025-08-04 14:30:00",
        "updated_at": "2025-08-04 14:34:05",
    }
    return read_call(json.dumps(row | members).encode())


def held(given: Call, recording: State = State.SAVED, **members: object) -> Entry:
    """What the archive holds of a call after its recording ended in this state."""
    entry = Entry(
        id=given.id,
        digest=given.digest,
        place="2025/08/04/1",
        version=1,
        recording=recording,
        transcript=State.SAVED if given.transcript else State.PENDING,
        link=given.link if recording is State.SAVED else None,
    )
    return msgspec.structs.replace(entry, **members)


def needs(given: Call, entry: Entry | None = None, now: dt.datetime = SOON, rules: Rules | None = None) -> Needs:
    """Decide."""
    return decide(given, entry, rules or Rules(), now)


def test_a_new_call_needs_everything() -> None:
    """A call that the archive does not know: its row is written, its recording fetched, whenever it was."""
    for now in (SOON, LATE):
        decided = needs(call(), now=now)
        assert (decided.new_version, decided.fetch, decided.transcript) == (True, True, State.SAVED)


def test_a_call_that_is_held_needs_nothing() -> None:
    """The same row, and its recording held: unchanged, nothing is written, not even a line."""
    decided = needs(call(), held(call()))
    assert (decided.new_version, decided.fetch, decided.news) == (False, False, False)
    assert (decided.recording, decided.transcript) == (State.UNCHANGED, State.UNCHANGED)


def test_a_new_signature_is_no_change() -> None:
    """The query of a link differs at every listing: the row is the same, and the recording is not fetched again."""
    decided = needs(call(recording_url=f"{LINK}?sig=2&expires=9"), held(call()))
    assert (decided.new_version, decided.fetch, decided.news) == (False, False, False)


def test_another_path_is_another_recording() -> None:
    """The same call with its recording under another path: a new version, and the recording is fetched."""
    decided = needs(call(recording_url="https://recordings.example/again/1.mp3"), held(call()))
    assert (decided.new_version, decided.fetch) == (True, True)


@pytest.mark.parametrize(
    "change",
    [
        {"transcript": "Made anew."},
        {"status": "ended"},
        {"a field": "that came tomorrow"},
        {"updated_at": "2025-08-05"},
    ],
)
def test_a_changed_row_is_a_new_version(change: dict[str, object]) -> None:
    """Any other difference of the row makes a new version; the recording that is held is not fetched again."""
    decided = needs(call(**change), held(call()))
    assert (decided.new_version, decided.fetch, decided.recording) == (True, False, State.UNCHANGED)


@pytest.mark.parametrize(
    ("members", "now", "state"),
    [
        ({}, SOON, State.PENDING),  # answered, ended an hour ago
        ({}, LATE, State.ABSENT),  # the grace is over
        ({"updated_at": None}, SOON, State.PENDING),  # ended when it began, plus its duration
        ({"updated_at": None, "created_at": "soon"}, SOON, State.ABSENT),  # nobody knows when
        ({"duration": 0}, SOON, State.ABSENT),  # never connected
        ({"duration": None}, SOON, State.ABSENT),
        ({"status": "no-answer"}, SOON, State.ABSENT),
        ({"status": "busy"}, SOON, State.ABSENT),
        ({"status": "failed"}, SOON, State.ABSENT),
        ({"status": "unanswered"}, SOON, State.ABSENT),
        ({"status": "in-progress", "duration": 0}, SOON, State.PENDING),  # it goes on
        ({"status": "ringing", "duration": None}, SOON, State.PENDING),
        (
            {"status": "initiated", "duration": None},
            LATE,
            State.PENDING,
        ),  # it has not ended, so the grace has not begun
        ({"status": "in-progress"}, LATE + dt.timedelta(days=30), State.ABSENT),  # it got stuck
        ({"status": "a new one"}, SOON, State.PENDING),  # the set is open
        ({"status": None}, SOON, State.PENDING),
    ],
)
def test_what_is_not_there_is_pending_while_it_may_come(
    members: dict[str, object], now: dt.datetime, state: State
) -> None:
    """Recording and transcript are pending while the call goes on or ended within the grace; then they are absent."""
    decided = needs(call(**{"recording_url": None, "transcript": None} | members), now=now)
    assert (decided.recording, decided.transcript, decided.fetch) == (state, state, False)
    assert (decided.reason is None) is (state is State.ABSENT)


def test_the_grace_is_a_setting() -> None:
    """What comes late is waited for as long as the settings say, to the second."""
    missing = call(recording_url="")
    assert needs(missing, now=LATE, rules=Rules(grace_days=4)).recording is State.PENDING
    assert needs(missing, now=ENDED, rules=Rules(grace_days=0)).recording is State.PENDING
    assert needs(missing, now=SOON, rules=Rules(grace_days=0)).recording is State.ABSENT


@pytest.mark.parametrize(
    ("before", "now", "news"),
    [
        (State.PENDING, SOON, False),  # nothing is new: it is pending still
        (State.PENDING, LATE, True),  # it will not come any more
        (State.ABSENT, LATE, False),
    ],
)
def test_only_news_gets_a_line(before: State, now: dt.datetime, news: bool) -> None:
    """A pending call that stays pending is counted and not written; when it becomes absent, that is written once."""
    missing = call(recording_url=None)
    assert needs(missing, held(missing, before), now).news is news


@pytest.mark.parametrize("before", [State.PENDING, State.ABSENT, State.FAILED])
def test_what_comes_late_is_fetched(before: State) -> None:
    """A recording that appears after its call was pending or absent is fetched, however late; a failed one again."""
    decided = needs(call(), held(call(recording_url=None), before), now=LATE)
    assert (decided.new_version, decided.fetch) == (True, True)
    assert needs(call(), held(call(), before), now=LATE).fetch


def test_what_is_gone_is_not_asked_for_again() -> None:
    """A recording that the platform has no more is left alone, until its row changes."""
    assert not needs(call(), held(call(), State.GONE)).news
    assert needs(call(), held(call(), State.GONE)).recording is State.GONE
    assert needs(call(status="ended"), held(call(), State.GONE)).fetch


def test_a_recording_that_is_held_stays_held() -> None:
    """When the platform names the recording no more, the archive still has it: unchanged, in a new version of the row."""
    decided = needs(call(recording_url=None), held(call()), now=LATE)
    assert (decided.new_version, decided.fetch, decided.recording) == (True, False, State.UNCHANGED)


def test_recordings_can_be_left_for_later() -> None:
    """With recordings switched off those that are not held are pending, and fetched by a run that has them on."""
    off = Rules(recordings=False)
    decided = needs(call(), rules=off)
    assert (decided.new_version, decided.fetch, decided.recording) == (True, False, State.PENDING)
    assert "--no-recordings" in (decided.reason or "")
    assert needs(call(), held(call()), rules=off).recording is State.UNCHANGED
    assert needs(call(), held(call(), State.PENDING)).fetch


def test_a_row_that_cannot_be_read_has_failed_and_is_kept() -> None:
    """A row that is no object is written as received, and its call counts as failed, with the reason, each time."""
    odd = read_call(b"[1]")
    decided = needs(odd)
    assert (decided.new_version, decided.fetch, decided.recording) == (True, False, State.FAILED)
    assert "not a JSON object" in (decided.reason or "")
    again = needs(odd, held(odd, State.FAILED, transcript=State.ABSENT))
    assert (again.news, again.recording) == (False, State.FAILED)


def test_a_page_is_parted_into_the_settled_and_the_rest() -> None:
    """Each call of a page ends in exactly one heap: an outcome at once, or work to be done with what is held of it."""
    calls = [call(id=number) for number in range(4)]
    entries = {"0": held(calls[0]), "1": held(calls[1], State.FAILED), "3": held(calls[3], digest="another")}
    outcomes, todo = sift(calls, entries, Rules(), SOON)
    assert [(outcome.id, outcome.recording) for outcome in outcomes] == [("0", State.UNCHANGED)]
    assert [(each.call.id, each.entry) for each in todo] == [("1", entries["1"]), ("2", None), ("3", entries["3"])]
    assert [each.needs for each in todo] == [needs(each.call, each.entry) for each in todo]
    assert sum(outcome.bytes for outcome in outcomes) == 0


def test_a_transcript_that_did_not_come_is_news_once() -> None:
    """While it may still come nothing need be written; when the grace is over, the ledger learns that there is none."""
    bare = call(transcript=None)
    entry = held(bare, transcript=State.PENDING)
    assert not needs(bare, entry).news
    late = needs(bare, entry, now=SOON + dt.timedelta(days=30))
    assert (late.news, late.new_version, late.fetch, late.transcript) == (True, False, False, State.ABSENT)
