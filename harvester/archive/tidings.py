"""What is to be committed about a call of which no file is written: it is gone from the platform, it is back, it is erased.

In:   the call's entry.  Out: a `Draft` without files.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from harvester.archive.ledger import ERASED, Event
from harvester.archive.stage import Draft
from harvester.archive.told import held
from harvester.errors import HarvestError
from harvester.model import Entry, Outcome, State

DELETED = "the platform has the call no more; what the archive holds of it stays"
DELETED_AND_ERASED = "the platform has the call no more; the archive has erased what it held of it"


def gone_draft(entry: Entry) -> Draft:
    """Return what is to be committed about a call that the platform has no more. What the archive holds of it stays."""
    reason = DELETED_AND_ERASED if entry.erased else DELETED
    return Draft(
        outcome=Outcome(id=entry.id, recording=State.GONE, transcript=State.GONE, reason=reason),
        entry=msgspec.structs.replace(entry, gone=True, reason=reason),
        event={"event": "gone", **_about(entry), "gone": True, "reason": reason},
    )


async def commit_gone(
    lost: Sequence[Entry],
    most: int,
    commit: Callable[[Sequence[Draft]], Awaitable[list[Outcome]]],
    on_outcome: Callable[[Outcome], None],
    is_stopped: Callable[[], bool],
) -> HarvestError | None:
    """Commit in groups of at `most` so many that calls are gone, until it is to stop.

    Return the error that ends the run, if one does.
    """
    for start in range(0, len(lost), most):
        if is_stopped():
            break
        try:
            outcomes = await commit([gone_draft(entry) for entry in lost[start : start + most]])
        except HarvestError as error:
            return error
        for outcome in outcomes:
            on_outcome(outcome)
    return None


def back_draft(entry: Entry) -> Draft:
    """Return what is to be committed about an erased call that was gone and is listed again. It stays erased."""
    return Draft(
        outcome=Outcome(id=entry.id, recording=State.UNCHANGED, transcript=State.UNCHANGED, erased=True),
        entry=msgspec.structs.replace(entry, gone=False, reason=None),
        event={"event": "unchanged", **_about(entry), "reason": None},
    )


def erased_draft(entry: Entry, files: Sequence[Event], reason: str, operator: str) -> Draft:
    """Return the tombstone of a call: `files` are those that are removed once it is durable.

    Its states are `gone`, and its digest stays, so that a harvester from before there were tombstones fetches nothing either.
    """
    erased = msgspec.structs.replace(
        entry, recording=State.GONE, transcript=State.GONE, link=None, left=False, erased=True, reason=reason
    )
    about = _about(erased) | ({"gone": True} if entry.gone else {})
    return Draft(
        outcome=Outcome(id=entry.id, recording=State.GONE, transcript=State.GONE, reason=reason, erased=True),
        entry=erased,
        event={"event": ERASED, **about, "reason": reason, "operator": operator, "erased": list(files)},
    )


def _about(entry: Entry) -> Event:
    return {
        "id": entry.id,
        "digest": entry.digest,
        "place": entry.place,
        "version": entry.version,
        "recording": held(entry),
        "transcript": {"state": entry.transcript},
        "files": [],
    }
