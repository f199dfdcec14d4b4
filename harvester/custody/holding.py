"""`harvester hold`: add a hold, list them, release one.

In:   which calls, why, by whom.  Out: a run that says so in the ledger; `Held`, for the screen and for machines.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from harvester.archive import disk
from harvester.archive.choice import Choice, check_choice, chosen, numbers_in
from harvester.archive.holds import (
    HOLD,
    Hold,
    active,
    added_event,
    new_hold_id,
    number_file,
    read_holds,
    released_event,
)
from harvester.archive.ledger import now_text
from harvester.custody.desk import Desk, at_desk, cause_of, looked_at
from harvester.errors import ConfigError
from harvester.logs import escaped
from harvester.report import SHOWN
from harvester.settings import Resolved
from harvester.wording import counted


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """One hold, and how many archived calls it covers just now."""

    hold: Hold
    calls: int


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What a command about holds tells: what it did in which run, if it did anything, and the holds it is about."""

    archive: str
    did: str = ""  # "added", "released"; empty: they are only listed
    run: str | None = None
    holds: tuple[Holding, ...] = ()
    released_left_out: int = 0
    seal: tuple[str, ...] = ()  # who has vouched for the seal of that run, and what of that could not be had

    def as_json(self) -> bytes:
        """Return it as JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)


def add_hold(resolved: Resolved, choice: Choice) -> Held:
    """Put calls on hold. Raises ConfigError, MarkError, LockedError, StorageError, LedgerError."""
    check_choice(choice)
    cause = cause_of(resolved, choice.number)
    with at_desk(resolved) as desk:
        covered = _covered(desk, choice)
        hold = Hold(
            id=new_hold_id(read_holds(desk.root)),
            choice=choice,
            reason=cause.reason,
            operator=cause.operator,
            added_at=now_text(),
        )
        with desk.run(HOLD, cause) as deed:
            file = None
            if choice.number:
                file, data = number_file(deed.run_id, hold)
                disk.write_durable(desk.root / file.path, data)
                disk.sync_folder((desk.root / file.path).parent)
            deed.archive.note(added_event(hold, file))
            deed.sums = {"hold": hold.id}
    done = Holding(hold=hold, calls=covered)
    return Held(archive=disk.path_text(desk.root), did="added", run=deed.run_id, holds=(done,), seal=tuple(deed.seal))


def release_hold(resolved: Resolved, hold_id: str) -> Held:
    """Release a hold. Raises ConfigError, MarkError, LockedError, StorageError, LedgerError."""
    cause = cause_of(resolved)
    with at_desk(resolved) as desk:
        hold = active(read_holds(desk.root), hold_id)
        with desk.run(HOLD, cause) as deed:
            deed.archive.note(released_event(hold, cause.reason, cause.operator))
            deed.sums = {"hold": hold.id}
        covered = _covered(desk, hold.choice)
    released = msgspec.structs.replace(
        hold, released_at=now_text(), released_by=cause.operator, released_because=cause.reason
    )
    done = Holding(hold=released, calls=covered)
    return Held(
        archive=disk.path_text(desk.root), did="released", run=deed.run_id, holds=(done,), seal=tuple(deed.seal)
    )


def list_holds(resolved: Resolved, *, released: bool) -> Held:
    """Return the active holds, with `released` the others too. Raises MarkError, StorageError, LedgerError."""
    with looked_at(resolved) as (archive, checkpoint):
        every = read_holds(archive)
        shown = [hold for hold in every.values() if hold.is_active or released]
        counts: Counter[str] = Counter()
        numbers = numbers_in(archive)
        for entry in checkpoint.entries() if shown else ():
            for hold in shown:
                counts[hold.id] += not entry.erased and hold.choice.covers(entry, numbers, in_doubt=True)
    return Held(
        archive=disk.path_text(archive),
        holds=tuple(Holding(hold=hold, calls=counts[hold.id]) for hold in shown),
        released_left_out=len(every) - len(shown),
    )


def held_text(held: Held) -> str:
    """Return what a command about holds tells, for people."""
    lines = []
    for each in held.holds:
        hold = each.hold
        state = f"{held.did} by run {held.run}" if held.did else f"added {hold.added_at} by {hold.operator}"
        lines.append(f"hold {hold.id}, {state}: {counted(each.calls, 'archived call')}")
        lines.append(f"  covers {choice_text(hold.choice)}")
        lines.append(f"  because {hold.reason}")
        if not hold.is_active:
            lines.append(f"  released {hold.released_at} by {hold.released_by}: {hold.released_because}")
    if not held.did and not held.holds:
        lines.append("no call is on hold")
    if held.released_left_out:
        lines.append(f"{counted(held.released_left_out, 'hold')} released; --released shows them too")
    lines += [f"seal: {each}" for each in held.seal]
    return "\n".join(map(escaped, lines))


def choice_text(choice: Choice) -> str:
    """Return which calls are meant, for people."""
    named = ", ".join(ascii(each) for each in choice.ids[:SHOWN])
    more = f" and {len(choice.ids) - SHOWN:,} more" if len(choice.ids) > SHOWN else ""
    parts = [f"{'call' if len(choice.ids) == 1 else 'calls'} {named}{more}"] if choice.ids else []
    parts += [f"calls from or to {choice.number}, later ones too"] if choice.number else []
    edges = ((word, day) for word, day in (("from", choice.date_from), ("to", choice.date_to)) if day)
    days = " ".join(f"{word} {day}" for word, day in edges)
    parts += [f"calls created {days}"] if days and not parts else [days] if days else []
    return ", ".join(parts)


def _covered(desk: Desk, choice: Choice) -> int:
    """Count the archived calls that are meant, or may be. Raises ConfigError for an id that is not known, or erased."""
    numbers = numbers_in(desk.root)
    found = list(chosen(desk.checkpoint, choice, numbers, in_doubt=True))
    if choice.ids and (erased := [entry.id for entry in found if entry.erased]):
        raise ConfigError(f"--id: the call {erased[0]!a} is erased: there is nothing left of it to hold")
    return sum(not entry.erased for entry in found)
