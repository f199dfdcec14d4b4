"""List everything that a query selects, and prove it whole.

In:   a `Query`, and a way to fetch pages.  Out: each call once, to `emit`; a `WindowResult` for each window, to `on_window`.

A request takes one status, so several are surveyed and walked one after the other. What the windows of a survey may leave out
is caught by walking the whole of it once more.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import msgspec

from harvester.errors import PlatformError
from harvester.model import LIFE, Call, Page, Query, Window, WindowResult
from harvester.platform.survey import Survey
from harvester.platform.walk import Emit, Knows, Walker

FetchPage = Callable[[Window, int, int], Awaitable[Page]]
"""Fetches page n of a window, so many calls a page."""


class Claim(msgspec.Struct, kw_only=True):
    """How many calls the platform claims to hold, before and after the listing."""

    at_start: int = 0
    at_end: int = 0


class Listing:
    """Lists one account. `claim` grows as it goes on."""

    def __init__(
        self,
        fetch_page: FetchPage,
        read_call: Callable[[bytes], Call],
        emit: Emit,
        *,
        per_page: int,
        pages_in_flight: int,
        on_total: Callable[[int], None],
        on_window: Callable[[WindowResult], None],
        knows: Knows = lambda ids: (),
    ) -> None:
        """`on_total` is told the calls that each query claims, as soon as its first page is there.

        `knows` tells which calls earlier runs have seen.
        """
        self._fetch_page = fetch_page
        self._read_call = read_call
        self._emit = emit
        self._per_page = per_page
        self._on_total = on_total
        self._on_window = on_window
        self._stopped = False
        self._walker = Walker(self._page, read_call, self._pass_on, pages_in_flight=pages_in_flight, knows=knows)
        self.claim = Claim()

    def has_seen(self, call_id: str) -> bool:
        """Whether any page so far has shown a call."""
        return self._walker.has_seen(call_id)

    async def list_calls(self, query: Query, today: dt.date) -> None:
        """List all that the query selects, or until `emit` wants no more. `today` is the day in UTC.

        Raises AuthError, ConfigError for a refused filter, PlatformError when a window cannot even be begun.
        """
        query = await self._to_the_last_day(query)
        for status in sorted(query.status, key=_life) or (None,):
            if not self._stopped:
                await self._list_one(Survey(self._page, self._count, self._day_of, query, status, today))

    async def _to_the_last_day(self, query: Query) -> Query:
        """Return a query that brings the calls of its last day, though the platform may leave out the day of `date_to`.

        Told by three counts at most: the day alone has none, with the next there are some, and not all are of the next.
        """
        last = query.date_to
        if last is None or await self._count(Window(query=query, date_from=last, date_to=last)):
            return query
        after = last + dt.timedelta(days=1)
        both = await self._count(Window(query=query, date_from=last, date_to=after))
        if both and await self._count(Window(query=query, date_from=after, date_to=after)) < both:
            return msgspec.structs.replace(query, date_to=after)
        return query

    async def _list_one(self, survey: Survey) -> None:
        before = self._walker.found
        async with aclosing(survey.windows(self._on_total, self._walker.show)) as windows:
            async for window, first in windows:
                if isinstance(first, PlatformError):
                    self._on_window(_unread(window, first))
                    continue
                result = await self._walk(window, first)
                if self._stopped:
                    return
                if not survey.is_cut:
                    survey.total_at_end = result.total_at_end
        if await survey.leaves_some_out(self._walker.found - before):
            await self._walk(survey.whole)
        self.claim.at_start += survey.total_at_start
        self.claim.at_end += survey.total_at_end

    async def _walk(self, window: Window, first: Page | None = None) -> WindowResult:
        result = await self._walker.walk(window, first)
        self._on_window(result)
        return result

    async def _pass_on(self, calls: list[Call]) -> bool:
        self._stopped = not await self._emit(calls)
        return not self._stopped

    async def _page(self, window: Window, number: int) -> Page:
        return await self._fetch_page(window, number, self._per_page)

    async def _count(self, window: Window) -> int:
        return (await self._fetch_page(window, 1, 1)).total

    def _day_of(self, row: bytes) -> dt.date | None:
        return self._read_call(row).created_on


def _life(status: str) -> int:
    """Order statuses as calls pass through them: one that moves on meanwhile is met again, and never between two."""
    return LIFE.index(status) if status in LIFE else len(LIFE)


def _unread(window: Window, error: PlatformError) -> WindowResult:
    """Return the result of a window whose first page could not be read."""
    return WindowResult(
        window=window,
        total_at_start=0,
        total_at_end=0,
        distinct_ids=0,
        walks=1,
        reason=f"a window could not be begun: {error}",
    )
