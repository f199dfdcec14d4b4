"""Ask for calls one by one that a listing has not shown: those still open, and in a full run those that are missing from it.

In:   their entries, and ways to ask and to list.  Out: the calls, into the pipeline; the entries of those that are gone.

A call is gone when the listing does not show it *and* the platform knows no call of its id. Where the listing did not reach back
to it, the days around it are listed first. What the platform does not say leaves a call as it stands, for the next run. One call
that keeps failing costs one request a run, and holds up nothing.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

import anyio
import msgspec

from harvester.errors import HarvestError, NotGivenError, PlatformError
from harvester.model import UNUSABLE_ID, Call, Entry, Outcome, State

log = logging.getLogger(__name__)

FAILED_CALLS_IN_A_ROW = 3
"""When so many calls cannot be asked for one after the other, the platform is down, or gives no calls by their ids."""

SPAN_DAYS = 3
"""Days so close to each other are listed as one."""

Ask = Callable[[str], Awaitable[bytes | None]]
"""Fetches the row of a call by its id; None: the platform has none of this id. Raises NotGivenError, PlatformError."""


class Ways(msgspec.Struct, frozen=True, kw_only=True):
    """What a revisit does its work with."""

    ask: Ask
    read_call: Callable[[bytes], Call]
    emit: Callable[[Call], Awaitable[bool]]  # gives a call to the pipeline; False: no more are wanted
    keep: Callable[[Outcome], None]  # is told of each call that stays as it stands
    has_seen: Callable[[str], bool]  # whether a listing has shown a call
    covers: Callable[[dt.date | None], bool]  # whether the listing was whole where calls of this day stand
    check: Callable[[], Awaitable[object]]  # raises PlatformError when the platform is down
    list_days: Callable[[dt.date, dt.date], Awaitable[bool]]  # lists the days from one to another; True: proven whole


def kept(entry: Entry, reason: str | None) -> Outcome:
    """Return the outcome of a call that stays as the archive has it."""

    def now(state: State) -> State:
        return State.UNCHANGED if state is State.SAVED or entry.erased else state

    return Outcome(
        id=entry.id,
        recording=now(entry.recording),
        transcript=now(entry.transcript),
        reason=reason,
        known=True,
        erased=entry.erased,
    )


def is_open(entry: Entry) -> bool:
    """Whether something about a call is still to come, or to be had."""
    return entry.recording in (State.PENDING, State.FAILED) or entry.transcript is State.PENDING


def created_on(entry: Entry) -> dt.date | None:
    """Return the day of an entry's folder; None for an undated one."""
    return created_on_place(entry.place)


def created_on_place(place: str) -> dt.date | None:
    """Return the day that a place such as `2025/08/04/123` names; None for an undated one."""
    try:
        return dt.datetime.strptime(place[:10], "%Y/%m/%d").date()
    except ValueError:
        return None


def spans(days: Iterable[dt.date]) -> Iterator[tuple[dt.date, dt.date]]:
    """Join days into spans to list, with a day more on either side: days are cut in a zone that nobody knows."""
    day = dt.timedelta(days=1)
    first = last = None
    for each in sorted(days):
        if first and last and each - last <= SPAN_DAYS * day:
            last = each
            continue
        if first and last:
            yield first - day, last + day
        first = last = each
    if first and last:
        yield first - day, last + day


class Revisit:
    """Asks for calls one by one, several at a time."""

    def __init__(self, ways: Ways, *, in_flight: int) -> None:
        self._ways = ways
        self._in_flight = in_flight
        self._failed_in_a_row = 0
        self._missed: list[Entry] = []
        self._stopped = False
        self._given_up = ""  # why nobody is asked for any more
        self._fatal: HarvestError | None = None

    async def ask_for(self, entries: Iterable[Entry]) -> list[Entry]:
        """Ask for the calls of these entries; return those that are gone.

        Raises AuthError, PlatformError when the platform is down, and what `entries` raises.
        """
        waiting = iter(entries)
        async with anyio.create_task_group() as tasks:
            for _ in range(self._in_flight):
                tasks.start_soon(self._ask_on, waiting, tasks.cancel_scope)
        if self._fatal:
            raise self._fatal
        return [] if self._stopped else await self._settle_missed()

    async def _ask_on(self, waiting: Iterator[Entry], everyone: anyio.CancelScope) -> None:
        while not self._stopped:
            try:
                entry = next(waiting, None)
                if entry is None:
                    return
                await self._ask(entry)
            except HarvestError as error:  # carried out by hand: a task group would wrap it
                self._fatal = error
                everyone.cancel()
                return

    async def _ask(self, entry: Entry) -> None:
        if self._given_up or entry.id.startswith(UNUSABLE_ID):
            if is_open(entry):
                self._ways.keep(kept(entry, self._given_up or entry.reason))
            return
        try:
            row = await self._ways.ask(entry.id)
        except NotGivenError as error:
            self._failed_in_a_row = 0
            self._ways.keep(kept(entry, str(error)))
            return
        except PlatformError as error:
            self._ways.keep(kept(entry, f"it could not be asked for: {error}"))
            await self._count_failure(error)
            return
        self._failed_in_a_row = 0
        if row is None:
            self._missed.append(entry)
            return
        call = self._ways.read_call(row)
        if call.id != entry.id:
            self._ways.keep(
                kept(entry, f"the platform answered with another call ({call.id[:40]!a}) than was asked for")
            )
        elif not await self._ways.emit(call):
            self._stopped = True

    async def _count_failure(self, error: PlatformError) -> None:
        """After several failures in a row see whether the platform is down; if not, it gives no calls by their ids today."""
        self._failed_in_a_row += 1
        if self._failed_in_a_row == FAILED_CALLS_IN_A_ROW:
            await self._ways.check()
            self._given_up = f"not asked for: the platform lists calls, and gives none by its id ({error})"
            log.warning("%s", self._given_up)

    async def _settle_missed(self) -> list[Entry]:
        """Return the missed calls that are gone; those of days that no listing has shown whole are looked for there first."""
        gone: list[Entry] = []
        elsewhere: list[Entry] = []
        for entry in self._missed:
            (gone if self._ways.covers(created_on(entry)) else elsewhere).append(entry)
        for first, last in spans({day for entry in elsewhere if (day := created_on(entry))}):
            proven = await self._ways.list_days(first, last)
            between = [entry for entry in elsewhere if (day := created_on(entry)) and first < day < last]
            gone += self._not_shown(between, proven=proven)
        self._not_shown([entry for entry in elsewhere if created_on(entry) is None], proven=False)
        return gone

    def _not_shown(self, entries: Sequence[Entry], *, proven: bool) -> list[Entry]:
        """Return those that the listing of their days has not shown; where that is not proven whole, they stay as they stand."""
        unseen = [entry for entry in entries if not self._ways.has_seen(entry.id)]
        if proven:
            return unseen
        for entry in unseen:
            self._ways.keep(
                kept(entry, "the platform knows no call of this id; whether it is gone, a full run finds out")
            )
        return []
