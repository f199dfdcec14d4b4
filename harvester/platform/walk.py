"""Walk one window of the listing until it is whole.

In:   a `Window` and a way to fetch its pages.  Out: each call once, given to `emit` a page at a time, in no promised order.

The list is cut into pages by OFFSET, so a call that arrives or is deleted while we walk moves every row behind it, and a
row may slip through between two pages. Three things prove that none did, whatever the list's order:

- one page that is not full and holds as many calls as the platform claims: all of them, at one instant;
- in a window that can receive no more calls: every page claims the same total, and so many different ids were seen. Only
  deletions could have moved rows, and they would have changed the total, or left an id short;
- so many of the ids had been seen *before* this walk as its first page claims to exist, by walks before it or by earlier runs.
  They existed before it began and were seen after: they are all that existed at that instant. What came later is not missed,
  what is gone could not be had.

Until one holds the window is walked again, at most `MOST_WALKS` times; then it is unproven, and says why. A page that stays
unreadable makes its window unproven; it is never skipped silently.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable

import anyio
import msgspec

from harvester.errors import HarvestError, PlatformError
from harvester.model import Call, Page, Window, WindowResult
from harvester.platform.ids import Ids

log = logging.getLogger(__name__)

MOST_WALKS = 4
FAILED_PAGES_IN_A_ROW = 3
"""When so many pages stay unreadable one after the other, the platform is down: asking for the rest would only take hours."""

FetchPage = Callable[[Window, int], Awaitable[Page]]
Emit = Callable[[list[Call]], Awaitable[bool]]
"""Takes new calls; returns False when no more are wanted."""


Knows = Callable[[list[str]], Iterable[str]]
"""Tells which of some ids have been seen before."""


class Walk(msgspec.Struct, kw_only=True):
    """What one walk over the pages of a window has seen so far."""

    total_at_start: int
    total_at_end: int
    last_page: int
    steady: bool = True  # every page reported the same total
    is_snapshot: bool = False  # one page that was not full: all there was, at one instant
    is_open: bool = False  # calls may arrive in it: only ids that were seen before prove it
    ids: set[str] = msgspec.field(default_factory=set)
    confirmed: int = 0  # ids that an earlier walk, window or run had shown already
    next_page: int = 2
    failed_pages: int = 0
    failed_in_a_row: int = 0
    failure: str = ""
    stopped: bool = False
    fatal: HarvestError | None = None  # the key was refused, or the filters: no page will ever come

    def see(self, page: Page) -> None:
        """Take in what a page says about the whole list."""
        self.failed_in_a_row = 0
        self.steady = self.steady and page.total == self.total_at_start
        self.total_at_end = page.total
        self.last_page = max(self.last_page, page.last_page)

    def fail(self, error: PlatformError) -> None:
        """Take in that a page could not be read."""
        self.failed_pages += 1
        self.failed_in_a_row += 1
        self.failure = str(error)

    def take_page_number(self) -> int | None:
        """Return the number of the next page to ask for, or None when there is none left or no sense in asking."""
        if self.stopped or self.failed_in_a_row >= FAILED_PAGES_IN_A_ROW or self.next_page > self.last_page:
            return None
        self.next_page += 1
        return self.next_page - 1

    @property
    def repeats(self) -> bool:
        """Whether this walk saw, undisturbed, just what walks before it saw: another would say the same."""
        return self.steady and not self.failed_pages and self.confirmed == len(self.ids) > 0

    def note(self, page: Page, call_ids: set[str], known: set[str]) -> None:
        """Take in the ids of a page; `known` holds those of them that had been seen before.

        A last page that is full and shows something new may not be the last, whatever the platform claims.
        """
        new = call_ids - self.ids
        self.ids |= new
        self.confirmed += len(new & known)
        if new and page.number >= self.last_page and len(page.rows) >= page.per_page:
            self.last_page = page.number + 1

    def doubt(self, *, closed: bool) -> str | None:
        """Say why this walk proves nothing, or None when it proves that the window is whole."""
        if self.stopped:
            return "the listing was stopped before its end"
        if self.failed_pages:
            return f"{self.failed_pages} list pages could not be read; the last failure: {self.failure}"
        counted = self.steady and len(self.ids) == self.total_at_start
        if (counted and (closed or self.is_snapshot)) or self.confirmed == self.total_at_start:
            return None
        if not self.steady:
            return f"the platform's total moved from {self.total_at_start:,} to {self.total_at_end:,} during the walk"
        if len(self.ids) != self.total_at_start:
            return (
                f"the platform claims {self.total_at_start:,} calls and its pages held {len(self.ids):,} different ones"
            )
        return "calls came and went during every walk"


class Walker:
    """Walks windows, several pages at a time, and emits each call once, whatever windows and walks show it in.

    `found` is the number of different calls seen so far.
    """

    def __init__(
        self,
        fetch_page: FetchPage,
        read_call: Callable[[bytes], Call],
        emit: Emit,
        *,
        pages_in_flight: int,
        knows: Knows = lambda ids: (),
    ) -> None:
        """`knows` tells which calls earlier runs have seen; it is asked about windows in which calls may arrive."""
        self._fetch_page = fetch_page
        self._read_call = read_call
        self._emit = emit
        self._pages_in_flight = pages_in_flight
        self._knows = knows
        self._known = Ids()

    @property
    def found(self) -> int:
        """How many different calls all walks together have seen."""
        return len(self._known)

    def has_seen(self, call_id: str) -> bool:
        """Whether any page so far has shown a call."""
        return call_id in self._known

    async def show(self, page: Page) -> bool:
        """Give on the calls of a page that belongs to no walk; return whether more are wanted."""
        walk = Walk(total_at_start=page.total, total_at_end=page.total, last_page=page.last_page)
        await self._take(walk, page)
        return not walk.stopped

    async def walk(self, window: Window, first: Page | None = None) -> WindowResult:
        """Walk a window until it is whole or the walks are used up. `first` is its first page, where it is there already.

        Raises AuthError, ConfigError, and PlatformError when not even the first page of the first walk can be read.
        """
        for number in range(1, MOST_WALKS + 1):
            try:
                walk = await self._walk_once(window, first)
            except PlatformError as error:
                if number == 1:
                    raise
                walk.fail(error)  # the numbers of the walk before are the last ones there are
            first = None
            doubt = walk.doubt(closed=window.closed)
            if doubt is None or walk.stopped or (walk.repeats and number > 1):
                break
            log.info("walk %d of the window proves nothing: %s", number, doubt)
        return WindowResult(
            window=window,
            total_at_start=walk.total_at_start,
            total_at_end=walk.total_at_end,
            distinct_ids=len(walk.ids),
            walks=number,
            reason=doubt,
        )

    async def _walk_once(self, window: Window, first: Page | None) -> Walk:
        first = first or await self._fetch_page(window, 1)
        walk = Walk(
            total_at_start=first.total,
            total_at_end=first.total,
            last_page=first.last_page,
            is_snapshot=first.last_page == 1 and len(first.rows) < first.per_page,
            is_open=not window.closed,
        )
        await self._take(walk, first)
        async with anyio.create_task_group() as tasks:
            for _ in range(min(self._pages_in_flight, walk.last_page - 1)):
                tasks.start_soon(self._fetch_pages, walk, window, tasks.cancel_scope)
        if walk.fatal:
            raise walk.fatal
        return walk

    async def _fetch_pages(self, walk: Walk, window: Window, all_fetchers: anyio.CancelScope) -> None:
        while (number := walk.take_page_number()) is not None:
            try:
                page = await self._fetch_page(window, number)
                walk.see(page)
                await self._take(walk, page)
            except PlatformError as error:
                walk.fail(error)
                log.warning("page %d cannot be read: %s", number, error)
            except HarvestError as error:  # carried out by hand: a task group would wrap it
                walk.fatal = error
                all_fetchers.cancel()
                return

    async def _take(self, walk: Walk, page: Page) -> None:
        """Note the calls of a page and give on those that no page has shown before."""
        calls = {call.id: call for call in map(self._read_call, reversed(page.rows))}
        new = [call for call_id, call in calls.items() if call_id not in self._known]
        known = calls.keys() - {call.id for call in new}
        if walk.is_open:
            known |= set(self._knows([call.id for call in new]))
        walk.note(page, set(calls), known)
        self._known.update(call.id for call in new)
        if new and not walk.stopped:
            walk.stopped = not await self._emit(new[::-1])
