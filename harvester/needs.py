"""Decide what a listed call needs, from its row and from what the archive holds of it. Pure.

In:   a `Call`, its `Entry` or None, the `Rules`, the time.  Out: `Needs`.

Three questions, each with one answer: is the row another one than the one we hold (then it becomes a new version), how does its
transcript stand, how does its recording stand. What is not there yet is pending for as long as it may still come; after that it
is absent. A changed row is always looked at anew, so nothing that comes late is lost for ever. A call that was erased needs
nothing ever again.
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

import msgspec

from harvester.model import UNCONNECTED_STATUSES, Call, Entry, Outcome, State

GOING_ON_DAYS = 30.0
"""A call that has not ended, says its row, is waited for so long after the row's last change; later it is one that got stuck."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say about settling."""

    recordings: bool = True  # False: leave recordings for a later run
    grace_days: float = 3.0  # how long after a call's end its recording or transcript may still appear


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done about one call."""

    new_version: bool  # write the row, and its transcript, as a new version
    fetch: bool  # download the recording
    recording: State  # how the recording stands when it is not fetched
    transcript: State
    left: bool = False  # the recording is not fetched only because recordings are switched off
    reason: str | None = None
    news: bool = True  # False: the archive knows all of this already, and nothing need be written, not even a line
    erased: bool = False  # it is left alone because it was erased from the archive

    def outcome(self, call: Call) -> Outcome:
        """Return the outcome of a call that needs nothing to be written."""
        return Outcome(
            id=call.id,
            recording=self.recording,
            transcript=self.transcript,
            reason=self.reason,
            known=True,
            erased=self.erased,
        )


class Todo(NamedTuple):
    """A call about which something is to be done; `entry` is what the archive holds of it."""

    call: Call
    entry: Entry | None
    needs: Needs


def decide(call: Call, entry: Entry | None, rules: Rules, now: dt.datetime) -> Needs:
    """Decide what a call needs. `now` is aware."""
    if entry and entry.erased:
        return Needs(
            new_version=False,
            fetch=False,
            recording=State.UNCHANGED,
            transcript=State.UNCHANGED,
            news=entry.gone,
            erased=True,
        )
    changed = entry is None or entry.digest != call.digest
    transcript = _transcript(call, changed=changed, rules=rules, now=now)
    fetch, recording, reason = _recording(call, entry, rules, now)
    held = State.UNCHANGED if entry and entry.recording is State.SAVED else entry.recording if entry else None
    waited = entry is not None and entry.transcript is State.PENDING
    left = fetch and not rules.recordings
    if left:
        fetch, recording, reason = False, State.PENDING, "recordings are switched off (--no-recordings)"
    back = entry is not None and (entry.gone or entry.left != left)
    return Needs(
        new_version=changed,
        fetch=fetch,
        recording=recording,
        transcript=transcript,
        left=left,
        reason=reason,
        news=changed or back or fetch or recording is not held or (waited and transcript is not State.PENDING),
    )


def sift(
    calls: list[Call], known: dict[str, Entry], rules: Rules, now: dt.datetime
) -> tuple[list[Outcome], list[Todo]]:
    """Part a page of calls into the outcomes of those that need nothing, and the others with what they need."""
    outcomes, todo = [], []
    for call in calls:
        entry = known.get(call.id)
        needs = decide(call, entry, rules, now)
        if needs.news:
            todo.append(Todo(call, entry, needs))
        else:
            outcomes.append(needs.outcome(call))
    return outcomes, todo


def _transcript(call: Call, *, changed: bool, rules: Rules, now: dt.datetime) -> State:
    if call.transcript is not None:
        return State.SAVED if changed else State.UNCHANGED
    return State.PENDING if _may_come(call, rules, now) else State.ABSENT


def _recording(call: Call, entry: Entry | None, rules: Rules, now: dt.datetime) -> tuple[bool, State, str | None]:
    """Return whether to fetch, the state if not, and the reason for it."""
    held = entry.link if entry else None
    if call.unreadable:
        return False, State.FAILED, f"{call.flaw}; it is kept as received"
    if held and call.link in (held, None):
        return False, State.UNCHANGED, None
    if not call.has_ended and _may_come(call, rules, now):  # a recording that is there already is still being written
        return False, State.PENDING, "the call has not ended"
    if call.recording_url is None:
        if _may_come(call, rules, now):
            return False, State.PENDING, "no recording yet"
        if entry and entry.offered:
            return False, State.GONE, "the platform named a recording earlier and names none any more"
        return False, State.ABSENT, None
    if entry and entry.recording is State.GONE and entry.digest == call.digest:
        return False, State.GONE, entry.reason
    return True, State.SAVED, None


def _may_come(call: Call, rules: Rules, now: dt.datetime) -> bool:
    """Whether something that is missing may still appear: the call goes on, or was answered, and that is not long ago."""
    grace_days = rules.grace_days if call.has_ended else max(rules.grace_days, GOING_ON_DAYS)
    if call.ended_at is None or now - call.ended_at > dt.timedelta(days=grace_days):
        return False
    return not call.has_ended or (call.status not in UNCONNECTED_STATUSES and bool(call.duration_seconds))
