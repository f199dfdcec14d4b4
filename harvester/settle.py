"""Settle one call: fetch its recording, stage its files, say how it ended.

In:   a call, its entry, what it needs.  Out: a `Draft` for the committer.

Whatever happens to one call is its outcome. Only what would happen to every other call too goes on upward: the storage fails, the
key is refused.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Sequence

import anyio.to_thread

from harvester.archive.part import Part
from harvester.archive.proof import Judge
from harvester.archive.stage import Draft, Failure, Intake, Received, Stager, Written
from harvester.archive.tidings import back_draft
from harvester.crew import Crew
from harvester.errands import Batch, Brought, Errand
from harvester.errors import LinkError, NotKeptError, PlatformError, RecordingError
from harvester.mask import masked
from harvester.model import Call, Entry, State, Transfer
from harvester.needs import Todo
from harvester.porters import Hired, Porters

log = logging.getLogger(__name__)

DEAD = re.compile(r" answered (?:404|410)\b")
"""How the reason of a call reads whose link was dead; one that failed in another way has not been told so yet."""

QUOTED_CHARACTERS = 200
"""How much of a page that came instead of a recording is shown: its title, or a sentence of JSON."""

MOST_WAITING_BYTES = 16 * 1024 * 1024
"""Of recordings in memory that wait for their group; what comes beyond is written at once."""

Fetch = Callable[[Call, Part, Judge], Awaitable[Transfer]]
"""Raises RecordingError, or PlatformError when every attempt failed."""


def failure_of(error: RecordingError | PlatformError, call: Call, entry: Entry | None) -> Failure:
    """Decide what a failed download makes of a recording.

    A dead link fails its call, so that somebody is told. When the next run meets it again, with the row unchanged and the
    link asked for anew, the recording is gone: asking for ever brings nothing.
    """
    dead = isinstance(error, LinkError) and error.status in (404, 410)
    same = entry is not None and entry.recording is State.FAILED and entry.digest == call.digest
    again = same and entry is not None and DEAD.search(entry.reason or "") is not None
    return Failure(state=State.GONE if dead and again else State.FAILED, reason=str(error), quote=quote_of(error, call))


def quote_of(error: RecordingError | PlatformError, call: Call) -> str:
    """Return how that begins which came instead of a recording, without phone numbers; empty where nothing did.

    It may still hold a name or what was spoken, so it is for the screen and the local log alone.
    """
    said = error.said if isinstance(error, LinkError) else ""
    return masked(said, call.phone_numbers)[:QUOTED_CHARACTERS]


class Settler:
    """Settles calls for one run: `settle` by many workers at the same time, then `stage` a group at a time."""

    def __init__(self, stager: Stager, fetch: Fetch, crew: Crew, porters: Porters | None = None) -> None:
        """`crew` and `porters` are told what was fetched: by that they find how many they are to be."""
        self._crew = crew
        self._porters = porters
        self._stager = stager
        self._fetch = fetch
        self._waiting_bytes = 0

    async def settle(self, todo: Todo) -> Draft | Intake:
        """Do what the call needs, but for files that are quickly written: `stage` writes those. Raises AuthError, StorageError.

        After a NotKeptError it may be called once more: everything is fetched and written anew, into new files.
        """
        call, entry, needs = todo
        if entry and entry.erased:
            return back_draft(entry)
        received, failure = await self._received(call, entry) if needs.fetch else (None, None)
        intake = Intake(call=call, entry=entry, needs=needs, received=received, failure=failure)
        if needs.fetch:
            self._count(intake.unwritten_bytes, received.transfer if received else None)
        if not self._stager.is_quick(intake.unwritten_bytes, helped=self._is_helped):
            return await self._staged_by_thread(intake)
        if self._waiting_bytes + intake.unwritten_bytes > MOST_WAITING_BYTES:
            return self._stager.stage(intake)
        self._waiting_bytes += intake.unwritten_bytes
        return intake

    def carrier(self) -> Carrier | None:
        """Return who settles batches of calls besides, where one more is needed by now; on quick disks alone."""
        porter = self._porters.one_more() if self._porters and self._stager.is_quick(0) else None
        return Carrier(self, porter) if porter else None

    async def settle_some(self, todos: Sequence[Todo], porter: Hired) -> list[Intake | None]:
        """Return all that is known of calls whose recordings a porter has brought; None where `settle` is to do it."""
        parts = [self._stager.part() for _ in todos]
        errands = [
            Errand.to(todo.call.recording_url or "", part.place) for todo, part in zip(todos, parts, strict=True)
        ]
        returned = await porter.fetch(Batch(errands, self._crew.share))
        if returned.refused:
            self._crew.refused()
        if not self._stager.gathers:  # each file is to have an fsync of its own now, by the process that writes it
            porter.dismiss()
            return [None] * len(todos)
        return [
            self._brought(todo, part, brought) if brought else None
            for todo, part, brought in zip(todos, parts, returned.brought, strict=True)
        ]

    def _brought(self, todo: Todo, part: Part, brought: Brought) -> Intake:
        self._count(brought.size_bytes)
        part.bring(brought.sha256, brought.size_bytes)
        judge = Judge.told(part, brought.container, brought.proof)
        received = Received(part=part, judge=judge, transfer=brought.transfer)
        return Intake(call=todo.call, entry=todo.entry, needs=todo.needs, received=received)

    def _count(self, recording_bytes: int, transfer: Transfer | None = None) -> None:
        self._crew.settled(recording_bytes)
        if self._porters:
            is_first = transfer is not None and transfer.attempts == 1
            seconds = (transfer.finished_at - transfer.started_at).total_seconds() if transfer and is_first else None
            self._porters.count(recording_bytes, seconds)

    async def stage(self, group: Sequence[Draft | Intake]) -> list[Draft | NotKeptError]:
        """Write the files of those calls of a group that have none yet; return a draft for each, or why to `settle` it again.

        First all files, then all that is told of them, takes two thirds of the time: the code and the data that the next call
        needs are still in the processor's caches, from which nothing else has displaced them. Raises StorageError.
        """
        helped = self._is_helped
        written = [each if isinstance(each, Draft) else await self._written(each, helped=helped) for each in group]
        return [self._stager.draft(each) if isinstance(each, Written) else each for each in written]

    async def _written(self, intake: Intake, *, helped: bool) -> Written | Draft | NotKeptError:
        unwritten_bytes = intake.unwritten_bytes
        self._waiting_bytes -= unwritten_bytes
        try:
            if self._stager.is_quick(unwritten_bytes, helped=helped):
                return self._stager.write(intake)
            return await self._staged_by_thread(intake)
        except NotKeptError as error:
            return error

    @property
    def _is_helped(self) -> bool:
        return self._porters is not None and self._porters.any_open

    async def _staged_by_thread(self, intake: Intake) -> Draft:
        # Not abandoned on cancellation: a thread that goes on writing must have ended before the run closes.
        return await anyio.to_thread.run_sync(self._stager.stage, intake)

    async def _received(self, call: Call, entry: Entry | None) -> tuple[Received | None, Failure | None]:
        """Fetch the recording of a call; return it, or why it is not there."""
        part = self._stager.part()
        judge = Judge(part)
        try:
            transfer = await self._fetch(call, part, judge)
            return Received(part=part, judge=judge, transfer=transfer), None
        except (RecordingError, PlatformError) as error:
            kept = judge.resort()
            quote = quote_of(error, call)
            told = "; kept" if kept else f"; it says: {quote}" if quote else ""
            log.info("call %a: %s%s", call.id, masked(str(error), call.phone_numbers), told)
            if kept:
                return Received(part=part, judge=judge, transfer=kept), None
            part.discard()
            return None, failure_of(error, call, entry)
        except NotKeptError:
            part.leave()
            raise
        except BaseException:
            part.discard()
            raise


class Carrier:
    """Settles batches of calls with one porter."""

    def __init__(self, settler: Settler, porter: Hired) -> None:
        self._settler = settler
        self._porter = porter

    @property
    def is_open(self) -> bool:
        """Whether it takes further batches."""
        return self._porter.is_open

    def takes(self, todo: Todo) -> bool:
        """Whether a call may be in a batch: it has a recording to fetch."""
        return todo.needs.fetch and todo.call.recording_url is not None

    async def settle(self, todos: Sequence[Todo]) -> list[Intake | None]:
        """Do as `Settler.settle` does for each; None where it is left to that."""
        return await self._settler.settle_some(todos, self._porter)
