"""Glance at a few pages of a listing, and ask a few servers how large their recordings are: what a forecast is made from.

In:   the API, a query, what the archive knows.  Out: a `Glance`: samples, and what they say of effort and bytes.

It costs a handful of requests to the API, however large the account is.
"""

from __future__ import annotations

import datetime as dt
import functools
import statistics
from collections.abc import Callable, Iterable, Sequence

import anyio
import msgspec

from harvester.forecast import (
    REQUESTS_BEFORE_A_RUN,
    Effort,
    Expected,
    Size,
    Spread,
    effort_of,
    expected_from,
)
from harvester.model import Entry, Page, Query, Window
from harvester.needs import Rules
from harvester.platform.api import Api
from harvester.platform.recordings import Recordings
from harvester.platform.rows import read_call, read_instant
from harvester.platform.windows import DateRule, Span, most_pages, window_of
from harvester.sample import Sample, Sampled, links_to_ask, pages_to_sample, work_for
from harvester.settings import Settings

SAMPLED_PER_PAGE = 100
"""The most that the platform gives: the sample should be large."""

MOST_REQUESTS = 8
"""What a plan may cost. Only a query for more statuses than that costs more: each is a listing of its own."""

REQUESTS_TO_TRY_DATES = 2

MORE_THAN_MOVING_EXPLAINS = 1.25
"""So many times the total, counted before and after a day: both hold nearly everything. The same as in platform/survey.py."""

MOST_SIZES = 10
SIZES_AT_ONCE = 4
PATIENCE_SECONDS = 20.0
"""How long the servers of recordings, all together, may take to tell sizes."""

Find = Callable[[Iterable[str]], dict[str, Entry]]


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of the archive's checkpoint; by default there is none."""

    calls: int = 0  # that the archive knows and the platform is not known to have deleted
    find: Find = lambda ids: {}


class Glance:
    """A glance at all listings of one query: one for each status, or one. `calls` is what they claim to hold."""

    def __init__(self, api: Api, settings: Settings, query: Query, held: Held, now: dt.datetime) -> None:
        """`now` is aware."""
        self._api = api
        self.query = query
        self._held = held
        self._now = now
        self._zone = settings.timezone
        self._rules = Rules(recordings=settings.recordings, grace_days=settings.recording_grace_days)
        self._per_page = settings.per_page
        self.samples: list[Sample] = []
        self.heeds_dates = True

    @property
    def calls(self) -> int:
        """How many calls the platform claims."""
        return sum(sample.total for sample in self.samples)

    @property
    def sampled_calls(self) -> int:
        """How many calls were looked at."""
        return sum(len(sample.calls) for sample in self.samples)

    async def take(self) -> None:
        """Fetch the sample: page 1 of each listing, its last, and some between; and see whether dates are heeded.

        Raises AuthError, ConfigError for a refused filter, PlatformError.
        """
        windows = [self._window(status, Span()) for status in self.query.status or (None,)]
        pages = [[await self._api.page(window, 1, SAMPLED_PER_PAGE)] for window in windows]
        served = [first.per_page for (first,) in pages if first.per_page]
        self._per_page = min([self._per_page, *served])
        cut = [
            first.total > most_pages(window) * self._per_page for (first,), window in zip(pages, windows, strict=True)
        ]
        room = MOST_REQUESTS - self._api.gate.budget.sent - (REQUESTS_TO_TRY_DATES if any(cut) else 0)
        for listing, number in pages_to_sample([first.last_page for (first,) in pages], room):
            pages[listing].append(await self._api.page(windows[listing], number, SAMPLED_PER_PAGE))
        self.samples = [self._sample(each) for each in pages]
        if any(cut):
            longest = max(range(len(windows)), key=lambda listing: self.samples[listing].total)
            self.heeds_dates = await self._try_dates(windows[longest].status, self.samples[longest])

    def effort(self) -> Effort:
        """Return what it takes to list everything, the run's first request included."""
        today, total = self._now.date(), Effort(windows=0, requests=REQUESTS_BEFORE_A_RUN)
        for sample in self.samples:
            spread = Spread(sample, [other for other in self.samples if other is not sample])
            total += effort_of(self.query, spread, sample.total, self._per_page, today, heeds_dates=self.heeds_dates)
        return total

    def expected(self, sizes: Sequence[Size] = ()) -> Expected:
        """Return what a run is expected to bring, its recordings going by these sizes.

        Of everything, the archive's own count tells how many are new; under filters, the sample does.
        """
        total = Expected()
        for sample in self.samples:
            new = max(0, sample.total - self._held.calls) if self.query == Query() else None
            total += expected_from(sample, new, sizes)
        return total

    async def sizes(self, recordings: Recordings) -> tuple[list[Size], int]:
        """Return the sizes that servers tell of a few recordings, and how many were asked; none when none is to be fetched."""
        asked = links_to_ask(self.samples, MOST_SIZES) if self.expected().recordings else []
        sizes: list[Size] = []
        todo = iter(asked)

        async def ask() -> None:
            for work in todo:
                told = await recordings.size_bytes(work.link or "")
                if told is not None:
                    sizes.append(Size(bytes=told, seconds=work.seconds))

        with anyio.move_on_after(PATIENCE_SECONDS):
            async with anyio.create_task_group() as tasks:
                for _ in range(SIZES_AT_ONCE):
                    tasks.start_soon(ask)
        return sizes, len(asked)

    def _window(self, status: str | None, span: Span) -> Window:
        return window_of(self.query, status, span, DateRule.INCLUSIVE, self._now.date())

    def _sample(self, pages: list[Page]) -> Sample:
        calls = [
            ((page.number - 1) * page.per_page + at, read_call(row, naive_zone=self._zone))
            for page in pages
            for at, row in enumerate(page.rows)
        ]
        known = self._held.find(call.id for _, call in calls)
        work = functools.partial(work_for, rules=self._rules, now=self._now)
        return Sample(
            total=pages[0].total,
            calls=tuple(
                Sampled(
                    position=position,
                    created_at=read_instant(call.created_at, self._zone),
                    as_new=work(call, None),
                    as_held=work(call, known[call.id]) if call.id in known else None,
                )
                for position, call in calls
            ),
        )

    async def _try_dates(self, status: str | None, sample: Sample) -> bool:
        """Whether the platform heeds dates: before and after a day there are not nearly all calls each."""
        ordinals = [call.created_at.toordinal() for call in sample.calls if call.created_at]
        if not ordinals:
            return True
        day = dt.date.fromordinal(statistics.median_low(ordinals))
        spans = Span(last=day), Span(first=day + dt.timedelta(days=1))
        counts = [(await self._api.page(self._window(status, span), 1, 1)).total for span in spans]
        return sum(counts) <= MORE_THAN_MOVING_EXPLAINS * sample.total
