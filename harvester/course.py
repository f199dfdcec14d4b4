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

from harvester.model import Call, Coverage, Entry, Outcome, Query, Reach, State, WindowResult
from harvester.pipeline import Emit
from harvester.report import Account
from harvester.revisit import Ask, Revisit, Ways, kept
from harvester.scope import DayBook, Scope, coverage_of

FEWEST_ASKED = 1_000
"""A full run asks for so many missing calls by their ids, or as many as its listing took requests if that is more."""


ATTEMPTS_TO_COUNT = 3
"""How often calls are counted again because the list moved meanwhile."""

FEWEST_STRANGE = 20
"""So many calls of proven days, none of which the archive knows, are those of another account."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of the platform."""

    list_calls: Callable[[Query], Awaitable[None]]
    has_seen: Callable[[str], bool]
    count: Callable[[Query], Awaitable[int]]  # how many calls it claims to hold
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
        """`whole_archive` tells whether the query selects all that the archive holds; `limit` is a count of calls, `in_flight` of
        calls asked for at the same time; `today` is the day in UTC.
        """
        self._query = msgspec.structs.replace(query, date_from=scope.date_from)
        self.scope = scope
        self._whole_archive = whole_archive
        self.books = books
        self._account = account
        self._keep_outcome = keep
        self._limit = limit
        self._in_flight = in_flight
        self._today = today
        self._emit: Emit
        self._source: Source
        self._book = DayBook()
        self._listed: tuple[WindowResult, ...] = ()  # those of the listing alone
        self._shown = 0  # by the listing alone
        self._claimed_older: int | None = (
            None  # how many calls the platform claims that the listing does not reach back to
        )
        self._asked: set[str] = set()
        self._unanswered: list[str] = []  # why open calls could not be asked for
        self._met_known = scope.proven_through is None  # whether the listing has shown a call that the archive knows
        self._unknown_old = 0  # calls of proven days that the archive did not know, until it met one that it knows
        self.windows: list[WindowResult] = []
        self.lost: list[Entry] = []

    async def run(self, source: Source, emit: Emit) -> None:
        """Give every call to `emit`. Raises AuthError, ConfigError for a refused filter, PlatformError."""
        self._source, self._emit = source, emit
        everything = msgspec.structs.replace(self._query, date_from=None)
        await self._source.list_calls(self._query)
        self._listed, self._shown = tuple(self.windows), self._account.listed
        if self._is_strange:
            self._account.windows_unproven.append(
                f"none of {self._unknown_old:,} calls listed from days that were proven is known to the archive: is the key "
                "that of another account? Nothing was settled as gone"
            )
        elif not self._is_limited and (self.scope.reach is Reach.RECENT or self._whole_archive):
            await self._revisit()
        if self.scope.reach is Reach.RECENT and self._whole_archive and not self._is_limited:
            self._claimed_older = await self._count_older(everything)
        if self._is_limited:
            self._account.windows_unproven[:] = [f"stopped after {self._limit:,} calls, as --limit asked"]

    async def take(self, calls: list[Call]) -> bool:
        """Pass on what the listing shows, up to the limit; return whether more are wanted."""
        calls = [
            call for call in calls if call.id not in self._asked
        ]  # settled already: its days are listed for another
        if self._limit is not None:
            calls = calls[: self._limit - self._account.listed]
        self._account.listed += len(calls)
        for call in calls:
            self._book.take(call)
        if not self._met_known:
            self._meet(calls)
        return await self._emit(calls) and not self._is_limited

    def add_window(self, result: WindowResult) -> None:
        """Take in how the walk of one window ended."""
        self.windows.append(result)
        self._account.add_window(result)

    def conclude(self, *, ended_well: bool, unsaved: int = 0) -> Coverage:
        """Return what the run has proven, and put into the account whether calls are missing. Everything must be settled.

        `unsaved` is the number of new calls that a dry run has not put into the checkpoint.
        """
        ended_well = ended_well and not self._is_limited
        doubted = self._is_strange
        if ended_well and self._claimed_older is not None:
            known_older = self.books.count_present() + unsaved - self._shown
            if self._claimed_older > known_older:
                doubted = True
                self._account.windows_unproven.append(
                    f"the platform claims {self._claimed_older + self._shown:,} calls and the archive knows "
                    f"{known_older + self._shown:,}: some from before {self.scope.date_from} were never listed; "
                    f"{'--full lists everything' if self._account.dry_run else 'the next run lists everything'}"
                )
        if len(self.lost) >= FEWEST_STRANGE and len(self.lost) > self.books.count_present():
            self._account.alarms.append(
                f"{len(self.lost):,} calls are gone from the platform at once, more than are left: were they deleted on "
                "purpose, or is the key that of another account?"
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
        proven = self._whole_archive and all(result.proven for result in self._listed)
        revisit = Revisit(
            Ways(
                ask=self._source.ask,
                read_call=self._source.read_call,
                emit=self._take_asked,
                keep=self._keep,
                check=lambda: self._source.count(self._query),
                has_seen=self._source.has_seen,
                covers=lambda day: proven and self.scope.covers(day),
                list_days=self._list_days,
            ),
            in_flight=self._in_flight,
        )
        gone = await revisit.ask_for(self._unseen(also_settled=self.scope.reach is Reach.FULL and proven))
        self._account.revisited += len(gone)
        self.lost = gone
        if self._unanswered:
            self._account.warnings.append(
                f"{len(self._unanswered):,} calls could not be asked for by id, and stay as they are: {self._unanswered[0]}"
            )

    def _unseen(self, *, also_settled: bool) -> Iterator[Entry]:
        """Yield the open calls that the listing has not shown, then perhaps the settled ones, as many as may be asked for."""
        left = max(FEWEST_ASKED, self._source.requests())
        open_ids = set()
        for entry in self.books.unsettled():
            if self._source.has_seen(entry.id):
                continue
            open_ids.add(entry.id)
            left -= 1
            if left >= 0:
                yield entry
            else:
                self._keep(kept(entry, "not asked for yet; the next run goes on"))
        if not also_settled:
            return
        settled = (
            call_id
            for call_id in self.books.present_ids()
            if call_id not in open_ids and not self._source.has_seen(call_id)
        )
        for call_id in itertools.islice(settled, max(0, left)):
            yield from self.books.find([call_id]).values()
        more = sum(1 for _ in settled) + max(0, -left)
        if more:
            self._account.warnings.append(
                f"the platform does not list {more:,} more calls that the archive has; the next full run asks for them"
            )

    async def _count_older(self, everything: Query) -> int:
        """Return how many calls the platform claims besides those that the listing reaches back to.

        The recent ones are counted between two counts of all that must agree: what arrives or goes meanwhile shifts them.
        """
        older, after = 0, await self._source.count(everything)
        for _ in range(ATTEMPTS_TO_COUNT):
            before, recent, after = after, await self._source.count(self._query), await self._source.count(everything)
            older = max(older, min(before, after) - recent)
            if before == after:
                break
        return older

    def _meet(self, calls: list[Call]) -> None:
        """Look whether the archive knows one of the calls of proven days that are listed again: it must know them all."""
        proven_through = self.scope.proven_through or dt.date.min
        old = [call.id for call in calls if (day := call.created_on) and day <= proven_through]
        self._met_known = bool(self.books.find(old))
        self._unknown_old += len(old)

    @property
    def _is_strange(self) -> bool:
        return not self._met_known and self._unknown_old >= FEWEST_STRANGE

    async def _list_days(self, first: dt.date, last: dt.date) -> bool:
        """List some days again; return whether they are proven whole."""
        if self.scope.reach is Reach.FULL or not self._whole_archive:
            return False  # everything was listed already, or this listing is no witness for what other filters found
        before = len(self.windows)
        await self._source.list_calls(msgspec.structs.replace(self._query, date_from=first, date_to=last))
        listed = self.windows[before:]
        return bool(listed) and all(result.proven for result in listed) and not self._is_limited

    async def _take_asked(self, call: Call) -> bool:
        self._account.revisited += 1
        self._asked.add(call.id)
        return await self._emit([call])

    def _keep(self, outcome: Outcome) -> None:
        self._account.revisited += 1
        self._asked.add(outcome.id)
        if outcome.recording is not State.FAILED and outcome.reason:
            self._unanswered.append(outcome.reason)
        self._keep_outcome(outcome)

    @property
    def _is_limited(self) -> bool:
        return self._limit is not None and self._account.listed >= self._limit
