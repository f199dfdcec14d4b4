"""Find windows that together hold the whole listing and are each small enough to walk again.

In:   a query, and ways to fetch a page and to count a window.  Out: windows with their first pages.

A listing of few pages is one window. A larger one is cut by date, but only after the platform has shown how it cuts: whether it
heeds dates at all, and whether `date_to` belongs to its window, told by counts that must add up while the total stands still.
Nothing is believed about the list's order or the zone of its days. Calls that no date finds are counted at the end.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable

from harvester.errors import PlatformError
from harvester.model import Page, Query, Window
from harvester.platform.windows import DateRule, Span, cut, most_pages, separate_open_days, window_of

log = logging.getLogger(__name__)

ATTEMPTS_TO_COUNT = 3
"""How often counts are asked for again because the list moved between them."""

FAILED_WINDOWS_IN_A_ROW = 3

EPOCH = dt.date(1970, 1, 1)
LONG_AGO = dt.date(1990, 1, 1)
"""Before any call platform: no use in looking further back."""

Fetch = Callable[[Window, int], Awaitable[Page]]
Count = Callable[[Window], Awaitable[int]]
Show = Callable[[Page], Awaitable[bool]]
"""Gives on the calls of a page; returns False when no more are wanted."""

DayOf = Callable[[bytes], dt.date | None]


class Survey:
    """Surveys what one query (with at most one status) selects."""

    def __init__(
        self, fetch: Fetch, count: Count, day_of: DayOf, query: Query, status: str | None, today: dt.date
    ) -> None:
        """`day_of` reads the day of a row's `created_at`; `today` is the day in UTC."""
        self._fetch = fetch
        self._count = count
        self._day_of = day_of
        self._query = query
        self._status = status
        self._today = today
        self.is_cut = False
        self.whole = window_of(query, status, Span(), DateRule.INCLUSIVE, today)
        self.total_at_start = 0
        self.total_at_end = 0

    async def windows(
        self, on_total: Callable[[int], None], show: Show
    ) -> AsyncGenerator[tuple[Window, Page | PlatformError], None]:
        """Yield each window with its first page, or the error instead of it, oldest first.

        `on_total` is told how many calls the whole claims to hold. `show` is given the first page of a listing that is to be
        cut, so that downloads begin before its dates are surveyed; no window is yielded when it wants no more. Raises what
        `fetch` and `count` raise for the whole, and when several windows in a row cannot be begun: the platform is down.
        """
        first = await self._fetch(self.whole, 1)
        on_total(first.total)
        self.total_at_start = self.total_at_end = first.total
        rule = None
        if first.last_page > most_pages(self.whole):
            if not await show(first):
                return
            days = await self._sample(first)
            rule = await self._date_rule(days)
        if rule is None:
            yield self.whole, first
            return
        self.is_cut = True
        log.info("cutting %d pages by date (%s)", first.last_page, rule.value)
        oldest = self._query.date_from or await self._oldest(min(days))
        newest = self._query.date_to or max(max(days), self._today)
        todo = deque(separate_open_days(self._query, self._today))
        failed_in_a_row = 0
        while todo:
            span = todo.popleft()
            window = window_of(self._query, self._status, span, rule, self._today)
            try:
                page = await self._fetch(window, 1)
            except PlatformError as error:
                failed_in_a_row += 1
                if failed_in_a_row == FAILED_WINDOWS_IN_A_ROW:
                    raise
                yield window, error
                continue
            failed_in_a_row = 0
            most = most_pages(window)
            parts = cut(span, page.last_page, oldest, newest, most) if page.last_page > most else [span]
            if len(parts) > 1:
                todo.extendleft(reversed(parts))
            else:
                yield window, page

    async def leaves_some_out(self, found: int) -> bool:
        """Whether the windows, which held `found` different calls, may leave some out: calls that no date finds."""
        if not self.is_cut or self._query.date_from or self._query.date_to:
            return False
        for _ in range(ATTEMPTS_TO_COUNT):
            before, dated = await self._count(self.whole), await self._count(self._window(EPOCH, None))
            self.total_at_end = await self._count(self.whole)
            if before == self.total_at_end:  # nothing moved in between, so the counts may be held against each other
                still = before == self.total_at_start
                return dated != before or (still and found != before)
        return True

    async def _sample(self, first: Page) -> Counter[dt.date]:
        """Count the days of the calls on the first and the last page."""
        last = await self._fetch(self.whole, first.last_page)
        oldest, newest = self._query.date_from or dt.date.min, self._query.date_to or dt.date.max
        days = (self._day_of(row) for row in first.rows + last.rows)
        found = Counter(day for day in days if day and oldest <= day <= newest)  # in another zone it may lie outside
        return found or Counter({min(max(self._today, oldest), newest): 1})

    async def _date_rule(self, days: Counter[dt.date]) -> DateRule | None:
        """Find out how the platform cuts by date; None: it does not.

        Around a day that has calls the counts tell, if the total stands still meanwhile: before and after must add up.
        """
        total = self.total_at_start
        for day, _ in days.most_common(ATTEMPTS_TO_COUNT):
            next_day = day + dt.timedelta(days=1)
            until = await self._count(self._window(None, day))
            after = await self._count(self._window(next_day, None))
            if until + after > 1.25 * total:  # more than moving calls explain: both hold nearly everything
                return None
            inclusive = until + after == total and await self._count(self._window(day, day)) > 0
            until_next = until if inclusive else await self._count(self._window(None, next_day))
            before, total = total, await self._count(self.whole)
            if before == total and inclusive:
                return DateRule.INCLUSIVE
            if before == total and until < until_next and until_next + after == total:
                return DateRule.EXCLUSIVE
        return DateRule.OVERLAP

    async def _oldest(self, guess: dt.date) -> dt.date:
        """Return a day that hardly any call is older than; it need not be right, it only makes good cuts."""
        step_days = 60
        while guess > LONG_AGO and await self._count(self._window(None, guess - dt.timedelta(days=1))) > 0:
            guess -= dt.timedelta(days=step_days)
            step_days *= 4
        return guess

    def _window(self, date_from: dt.date | None, date_to: dt.date | None) -> Window:
        """Return a window for counting, kept within the query's own dates."""
        query = self._query
        first = max(filter(None, (date_from, query.date_from)), default=None)
        last = min(filter(None, (date_to, query.date_to)), default=None)
        return Window(query=query, status=self._status, date_from=first, date_to=last)
