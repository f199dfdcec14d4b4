"""`harvester erase`: show what erasing some calls would take, and erase them.

In:   which calls, why, by whom.  Out: `Erasure`; with `execute` tombstones in the ledger and no more files of these calls.

Nothing at all is erased when one of the calls is on hold. What cannot be removed is told, and the command is to be given again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from harvester.archive import disk
from harvester.archive.checkpoint import Checkpoint
from harvester.archive.choice import Choice, check_choice, chosen, numbers_in
from harvester.archive.erasure import ERASE, Grave, Tomb, remove, tombs_of
from harvester.archive.holds import holding, read_holds
from harvester.archive.tidings import erased_draft
from harvester.custody.desk import Cause, Deed, at_desk, cause_of, looked_at
from harvester.errors import ConfigError, StorageError
from harvester.logs import escaped
from harvester.model import PAGE, Entry
from harvester.report import SHOWN
from harvester.settings import Resolved
from harvester.wording import counted, size_text

GROUP = 256
"""Calls whose tombstones are made durable together, before the first of their files goes."""


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is to be erased or has been, and its files."""

    id: str
    place: str
    files: tuple[Grave, ...]
    size_bytes: int


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What `harvester erase` tells. `run` None: nothing was erased, it is only shown."""

    archive: str
    run: str | None
    calls: tuple[Erased, ...]
    files: int
    size_bytes: int
    pages: int  # kept list pages among the files: they show other calls too
    already: tuple[str, ...]  # ids of the calls that were erased before
    doubtful: int  # calls that may be meant: rows are missing that may bear the number, or they have no day
    mended: tuple[str, ...] = ()  # ids of runs that had been cut off
    failures: tuple[str, ...] = ()  # why files could not be removed
    seal: tuple[str, ...] = ()  # who has vouched for the seal of that run, and what of that could not be had

    @property
    def exit_code(self) -> int:
        """0, or that of the storage where something could not be removed."""
        return StorageError.exit_code if self.failures else 0

    def as_json(self) -> bytes:
        """Return it as JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)


class _Selection(msgspec.Struct, frozen=True, kw_only=True):
    """The calls that are meant: those to be erased, those that were before, and how many nobody can tell."""

    tombs: list[Tomb]
    already: tuple[str, ...]
    doubtful: int


def erase(resolved: Resolved, choice: Choice, *, execute: bool) -> Erasure:
    """Show what is erased, or with `execute` erase it.

    Raises ConfigError for what is on hold or not there, MarkError, LockedError, StorageError, LedgerError.
    """
    check_choice(choice)
    cause = cause_of(resolved, choice.number)
    if not execute:
        with looked_at(resolved) as (archive, checkpoint):
            return _told(archive, _select(archive, checkpoint, choice))
    with at_desk(resolved) as desk:
        selection = _select(desk.root, desk.checkpoint, choice)
        with desk.run(ERASE, cause) as deed:
            if deed.mended:  # what a run that was cut off had named has its lines only now, or is erased by now
                selection = _select(desk.root, desk.checkpoint, choice, may_be_done=True)
            for start in range(0, len(selection.tombs), GROUP):
                _bury(deed, selection.tombs[start : start + GROUP], cause)
            done = _told(desk.root, selection, deed)
            deed.sums = {"erased_calls": len(done.calls), "erased_files": done.files, "erased_bytes": done.size_bytes}
    return msgspec.structs.replace(done, seal=tuple(deed.seal))


def _bury(deed: Deed, tombs: Sequence[Tomb], cause: Cause) -> None:
    """Make the tombstones of some calls durable, then remove their files."""
    deed.archive.commit([erased_draft(tomb.entry, tomb.files(), cause.reason, cause.operator) for tomb in tombs])
    keys = (grave.file.path for tomb in tombs for grave in tomb.graves)
    deed.failures += remove(deed.archive.root, keys)


def _select(archive: Path, checkpoint: Checkpoint, choice: Choice, *, may_be_done: bool = False) -> _Selection:
    """Return the calls that are meant.

    Raises ConfigError where one is on hold, or nothing is left to erase, unless it `may_be_done`.
    """
    numbers = numbers_in(archive)
    entries: list[Entry] = []
    doubtful = 0
    for entry in chosen(checkpoint, choice, numbers, in_doubt=True):
        if choice.covers(entry, numbers, in_doubt=False):
            entries.append(entry)
        elif not entry.erased:
            doubtful += 1
    _refuse_held(archive, entries)
    tombs = tombs_of(archive, entries)
    already = tuple(tomb.entry.id for tomb in tombs if tomb.entry.erased and not tomb.graves)
    left = [tomb for tomb in tombs if tomb.graves or not tomb.entry.erased]
    if not left and not may_be_done:
        what = f"the call {already[0]!a} is erased already" if len(already) == 1 else "all of them are erased already"
        what = what if already else "no archived call is selected"
        raise ConfigError(f"nothing to erase: {what}{f'; but {_doubt_text(doubtful)}' if doubtful else ''}")
    return _Selection(tombs=left, already=already, doubtful=doubtful)


def _doubt_text(calls: int) -> str:
    """Say that some calls may be meant, and are left alone."""
    return f"of {counted(calls, 'call')} nobody can tell: a row is missing that may bear the number, or the call has no day"


def _refuse_held(archive: Path, entries: Iterable[Entry]) -> None:
    holds = [hold for hold in read_holds(archive).values() if hold.is_active]
    numbers = numbers_in(archive)
    held = [(entry, hold) for entry in entries if holds and (hold := holding(holds, entry, numbers))]
    if held:
        entry, hold = held[0]
        more = f" (and {len(held) - 1:,} more of those that are selected)" if len(held) > 1 else ""
        raise ConfigError(
            f"the call {entry.id!a} is on hold {hold.id}{more}, since {hold.added_at} by {hold.operator}: {hold.reason!a}; "
            "nothing was erased: leave it out, or release the hold first"
        )


def _told(archive: Path, selection: _Selection, deed: Deed | None = None) -> Erasure:
    calls = tuple(
        Erased(id=tomb.entry.id, place=tomb.entry.place, files=tomb.graves, size_bytes=tomb.size_bytes)
        for tomb in selection.tombs
    )
    return Erasure(
        archive=disk.path_text(archive),
        run=deed.run_id if deed else None,
        calls=calls,
        files=sum(len(call.files) for call in calls),
        size_bytes=sum(call.size_bytes for call in calls),
        pages=sum(grave.file.role == PAGE for call in calls for grave in call.files),
        already=selection.already,
        doubtful=selection.doubtful,
        mended=tuple(deed.mended) if deed else (),
        failures=tuple(map(str, deed.failures)) if deed else (),
    )


def erasure_text(erasure: Erasure) -> str:
    """Return what is erased, or would be, for people: at most 20 calls with their files."""
    lines = []
    for call in erasure.calls[:SHOWN]:
        lines.append(
            f"call {call.id!a} ({call.place}): {counted(len(call.files), 'file')}, {size_text(call.size_bytes)}"
        )
        lines += [f"  {_file_text(grave)}" for grave in call.files]
    if len(erasure.calls) > SHOWN:
        lines.append(f"and {len(erasure.calls) - SHOWN:,} calls more; --json names all")
    if erasure.pages:
        lines.append(f"note: {counted(erasure.pages, 'kept list page')} among them, which may show other calls too")
    if erasure.already:
        lines.append(f"note: {counted(len(erasure.already), 'call')} of the selected erased before, left alone")
    if erasure.doubtful:
        lines.append(f"note: {_doubt_text(erasure.doubtful)}; left alone")
    lines += [f"mended: the run {run} was cut off; its files are in order now" for run in erasure.mended]
    lines += [f"not removed: {failure}" for failure in erasure.failures[:SHOWN]]
    what = f"{counted(len(erasure.calls), 'call')}, {counted(erasure.files, 'file')}, {size_text(erasure.size_bytes)}"
    if erasure.run is None:
        lines.append(f"to be erased: {what}; nothing was erased yet: --execute does it, and nothing brings it back")
    elif erasure.failures:
        lines.append(f"not all erased: {counted(len(erasure.failures), 'file')} still there; mend that and erase again")
    else:
        lines.append(f"erased: {what}; the tombstones stand in the ledger of run {erasure.run}")
        lines.append("copies, snapshots and backups of the archive are not reached: see to them too")
    lines += [f"seal: {each}" for each in erasure.seal]
    return "\n".join(map(escaped, lines))


def _file_text(grave: Grave) -> str:
    odd = {"": "", "altered": ", not as the ledger says", "missing": ", which is missing"}[grave.found]
    return f"{grave.file.path}  {size_text(grave.file.bytes)}{odd}"
