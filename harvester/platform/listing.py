"""Walk one window of the listing until it is whole.

In:   a `Window` and a way to fetch its pages.  Out: each call once, given to `emit` a page at a time, in no promised order.

The list is cut into pages by OFFSET, so a call that arrives or is deleted while we walk moves every row behind it. A
walk is whole when the distinct ids that it saw equal the `total` that every page of it reported; until then the window is walked
again, at most `MOST_WALKS` times. What is not whole after that is unproven, and says why. A page that stays unreadable
makes its window unproven; it is never skipped silently.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import anyio
import msgspec

from harvester.errors import HarvestError, PlatformError
from harvester.model import Call, Page, Window, WindowResult

log = logging.getLogger(__name__)

MOST_WALKS = 3
FAILED_PAGES_IN_A_ROW = 3
"""When so many pages stay unreadable one after the other, the platform is down: asking for the rest would only take hours."""

FetchPage = Callable[[Window, int], Awaitable[Page]]
Emit = Callable[[list[Call]], Awaitable[bool]]
"""Takes new calls; returns False when no more are wanted."""


class Walk(msgspec.Struct, kw_only=True):
    """What one walk over the pages of a window has seen so far."""

    total_at_start: int
    total_at_end: int
    last_page: int
    steady: bool = True  # every page reported the same total
    ids: set[str] = msgspec.field(default_factory=set)
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

    def doubt(self) -> str | None:
        """Say why this walk proves nothing, or None when it proves that the window is whole."""
        if self.stopped:
            return "the listing was stopped before its end"
        if self.failed_pages:
            return f"{self.failed_pages} list pages could not be read; the last failure: {self.failure}"
        if not self.steady:
            return f"the platform's total moved from {self.total_at_start:,} to {self.total_at_end:,} during the walk"
        if len(self.ids) != self.total_at_end:
            return (
                f"the platform claims {self.total_at_end:,} calls and its pages held {len(self.ids):,} different ones"
            )
        return None


class Listing:
    """Walks windows, several pages at a time, and gives each call to `emit` once, whatever windows and walks show it in."""

    def __init__(
        self,
        fetch_page: FetchPage,
        read_call: Callable[[bytes], Call],
        emit: Emit,
        *,
        pages_in_flight: int,
        on_total: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`on_total` is told the number of calls that a window claims to hold, as soon as its first page is there."""
        self._fetch_page = fetch_page
        self._read_call = read_call
        self._emit = emit
        self._pages_in_flight = pages_in_flight
        self._on_total = on_total
        self._known: set[str] = set()

    async def walk(self, window: Window) -> WindowResult:
        """Walk a window until it is whole or the walks are used up.

        Raises AuthError, and PlatformError when not even the first page of the first walk can be read.
        """
        for number in range(1, MOST_WALKS + 1):
            try:
                walk = await self._walk_once(window, first_walk=number == 1)
            except PlatformError as error:
                if number == 1:
                    raise
                walk.fail(error)  # the numbers of the walk before are the last ones there are
            doubt = walk.doubt()
            if doubt is None or walk.stopped:
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

    async def _walk_once(self, window: Window, *, first_walk: bool) -> Walk:
        first = await self._fetch_page(window, 1)
        if first_walk:
            self._on_total(first.total)
        walk = Walk(total_at_start=first.total, total_at_end=first.total, last_page=first.last_page)
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
        calls = [self._read_call(row) for row in page.rows]
        walk.ids.update(call.id for call in calls)
        new: dict[str, Call] = {}
        for call in calls:
            if call.id not in self._known:
                new.setdefault(call.id, call)
        self._known.update(new)
        if new and not walk.stopped:
            walk.stopped = not await self._emit(list(new.values()))
