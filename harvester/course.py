"""The course of a run: what it lists, and in which order. Builds nothing; it is given functions.

In:   a `Scope`, ways to list and to ask, what the archive knows.  Out: calls, into the pipeline; at the end a `Coverage`.

First the listing from the scope's first day on, then the calls that are still open and were not shown by it, then, in a full run
that is proven whole, those that the archive has and the platform does not list. At last the platform's unfiltered total is
held against what the archive knows: a call that no run has ever listed shows there.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator

import msgspec

from harvester.model import Call, Coverage, Entry, Outcome, Query, Reach, WindowResult
from harvester.pipeline import Emit
from harvester.report import Account
from harvester.revisit import Ask, Revisit, Ways
from harvester.scope import DayBook, Scope, coverage_of

FEWEST_ASKED = 1_000
"""A full run asks for so many missing calls by their ids, or as many as its listing took requests if that is more."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of the platform."""

    list_calls: Callable[[Query], Awaitable[None]]
    has_seen: Callable[[str], bool]
    count_all: Callable[[], Awaitable[int]]  # how many calls it claims to hold, whatever the filters
    requests: Callable[[], int]  # sent so far
    ask: Ask
    read_call: Callable[[bytes], Call]


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of the archive's checkpoint."""

    unsettled: Callable[[], Iterable[Entry]] = lambda: ()
    present_ids: Callable[[], Iterator[str]] = lambda: iter(())
    count_present: Callable[[], int] = lambda: 0
    find: Callable[[Iterable[str]], dict[str, Entry]] = lambda ids: {}


class Course:
    """The course of one run: `scope` is what it lists, `lost` the entries of the calls that turned out to be gone."""

    def __init__(
        self,
        *,
        query: Query,
        scope: Scope,
        whole_archive: bool,
        books: Books,
        account: Account,
        keep: Callable[[Outcome], None],
        limit: int | None,
        in_flight: int,
        today: dt.date,
    ) -> None:
        """`whole_archive` tells whether the query selects all that the archive holds; `today` is the day in UTC."""
        self._query = msgspec.structs.replace(query, date_from=scope.date_from)
        self.scope = scope
        self._whole_archive = whole_archive
        self._books = books
        self._account = account
        self._keep_outcome = keep
        self._limit = limit
        self._in_flight = in_flight
        self._today = today
        self._emit: Emit
        self._source: Source
        self._book = DayBook()
        self._listed: tuple[WindowResult, ...] = ()  # those of the listing alone
        self._claimed_before: int | None = None
        self.windows: list[WindowResult] = []
        self.lost: list[Entry] = []

    async def run(self, source: Source, emit: Emit) -> None:
        """Give every call to `emit`. Raises AuthError, ConfigError for a refused filter, PlatformError."""
        self._source, self._emit = source, emit
        if self.scope.reach is Reach.RECENT and self._query == Query(date_from=self.scope.date_from):
            self._claimed_before = await self._source.count_all()
        await self._source.list_calls(self._query)
        self._listed = tuple(self.windows)
        if self._is_limited:
            self._account.windows_unproven[:] = [f"stopped after {self._limit:,} calls, as --limit asked"]
        elif self._whole_archive and self.scope.reach is not Reach.DATES:
            await self._revisit()

    async def take(self, calls: list[Call]) -> bool:
        """Pass on what the listing shows, up to the limit; return whether more are wanted."""
        if self._limit is not None:
            calls = calls[: self._limit - self._account.listed]
        self._account.listed += len(calls)
        for call in calls:
            self._book.take(call)
        return await self._emit(calls) and not self._is_limited

    def add_window(self, result: WindowResult) -> None:
        """Take in how the walk of one window ended."""
        self.windows.append(result)
        self._account.add_window(result)

    def conclude(self, *, ended_well: bool) -> Coverage:
        """Return what the run has proven, and put into the account whether calls are missing. Everything must be settled."""
        ended_well = ended_well and not self._is_limited
        doubted = False
        if ended_well and self._claimed_before is not None:
            known = self._books.count_present()
            doubted = self._claimed_before > known
            if doubted:
                self._account.windows_unproven.append(
                    f"the platform claims {self._claimed_before:,} calls and the archive knows {known:,}: some from before "
                    f"{self.scope.date_from} were never listed; the next run lists everything"
                )
        coverage = coverage_of(
            self.scope,
            self._query,
            self._listed,
            self._book,
            ended_well=ended_well,
            doubted=doubted,
            today=self._today,
        )
        self._account.proven_through = coverage.proven_through
        return coverage

    async def _revisit(self) -> None:
        proven = all(result.proven for result in self._listed)
        revisit = Revisit(
            Ways(
                ask=self._source.ask,
                read_call=self._source.read_call,
                emit=self._take_asked,
                keep=self._keep,
                has_seen=self._source.has_seen,
                covers=lambda day: proven and self.scope.covers(day),
                list_days=self._list_days,
            ),
            in_flight=self._in_flight,
        )
        self.lost = await revisit.ask_for(
            self._missing() if self.scope.reach is Reach.FULL and proven else self._open()
        )
        self._account.revisited += len(self.lost)

    def _open(self) -> list[Entry]:
        """Return the open calls that the listing has not shown."""
        return [entry for entry in self._books.unsettled() if not self._source.has_seen(entry.id)]

    def _missing(self) -> Iterator[Entry]:
        """Yield what the archive has and the listing has not shown, the open ones first, as many as may be asked for."""
        open_ones = self._open()
        first = {entry.id for entry in open_ones}
        yield from open_ones
        missing = (
            call_id
            for call_id in self._books.present_ids()
            if call_id not in first and not self._source.has_seen(call_id)
        )
        most = max(FEWEST_ASKED, self._source.requests())
        for call_id in itertools.islice(missing, most):
            yield from self._books.find([call_id]).values()
        more = sum(1 for _ in missing)
        if more:
            self._account.warnings.append(
                f"the platform does not list {more:,} more calls that the archive has; the next full run asks for them"
            )

    async def _list_days(self, first: dt.date, last: dt.date) -> bool:
        """List some days again; return whether they are proven whole."""
        if self.scope.reach is Reach.FULL:
            return False  # everything was listed already
        before = len(self.windows)
        await self._source.list_calls(msgspec.structs.replace(self._query, date_from=first, date_to=last))
        return all(result.proven for result in self.windows[before:])

    async def _take_asked(self, call: Call) -> bool:
        self._account.revisited += 1
        return await self._emit([call])

    def _keep(self, outcome: Outcome) -> None:
        self._account.revisited += 1
        self._keep_outcome(outcome)

    @property
    def _is_limited(self) -> bool:
        return self._limit is not None and self._account.listed >= self._limit
