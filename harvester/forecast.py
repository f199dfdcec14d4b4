"""Forecast what a run will list, send, fetch and write, from a sample of its listing. Pure.

In:   sampled calls, what the platform claims to hold, the sizes of a few recordings.  Out: windows, requests, bytes.

Windows and requests are no formula: the very decisions that cut a listing (platform/windows.py) are played through on how the
sample says the calls are spread over time. Bytes are means over the sample; those of recordings go by the seconds of a call,
which the rows tell for every call, so that ten sizes are enough.
"""

from __future__ import annotations

import datetime as dt
import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from harvester.model import Query
from harvester.platform.windows import DateRule, Span, cut, most_pages, separate_open_days, window_of
from harvester.sample import Sample, Work

BLOCK_BYTES = 4096
"""What a file occupies is a multiple of this on ext4, XFS, APFS and NTFS as they are made by default."""

RECORD_BYTES_PER_CALL = 1300
"""Ledger line and manifest lines of a call with three files; measured on the demo platform."""

REQUESTS_BEFORE_A_RUN = 1
"""`GET /user/me`."""

REQUESTS_TO_SETTLE_DATES = 4
"""How the platform cuts by date: three counts around one day and one of the whole (platform/survey.py)."""

REQUESTS_TO_FIND_OUT_IN_VAIN = 2
"""The same where it ignores dates: the first two counts show it."""

REQUESTS_TO_FIND_THE_OLDEST = 1
REQUESTS_TO_ADD_UP = 3
"""What no date finds is looked for at the end by three counts, unless dates were asked for."""

ENOUGH_CALLS = 50
"""So many new calls in a sample stand for all new ones; where it holds fewer of them, older calls tell more."""

QUANTILES = 16
"""Into how many parts a list without order is parted by age; more would take the sample's noise for the account's habits."""

IN_ORDER_SHARE = 0.95
"""A list is in order when so many of its calls are on the right side of those half a sample away: a few may be out of place."""

SAMPLED_SHARE = 0.9
"""A sample that reaches so far into its list has seen its end, give or take what moves meanwhile."""


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """The size of one recording that its server told."""

    bytes: int
    seconds: float | None  # of its call


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """What it takes to list."""

    windows: int
    requests: int

    def __add__(self, other: Effort) -> Effort:
        """Return both together."""
        return Effort(windows=self.windows + other.windows, requests=self.requests + other.requests)


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What is expected to come in and to be written. Counts are of calls."""

    new: float = 0.0
    recordings: float = 0.0
    files_bytes: float = 0.0  # rows and transcripts
    recordings_bytes: float | None = 0.0  # None: no server told a size
    disk_bytes: float = 0.0  # what all of it occupies; without the recordings where their size is unknown

    def __add__(self, other: Expected) -> Expected:
        """Return both together."""
        unknown = self.recordings_bytes is None or other.recordings_bytes is None
        return Expected(
            new=self.new + other.new,
            recordings=self.recordings + other.recordings,
            files_bytes=self.files_bytes + other.files_bytes,
            recordings_bytes=None if unknown else (self.recordings_bytes or 0) + (other.recordings_bytes or 0),
            disk_bytes=self.disk_bytes + other.disk_bytes,
        )


class Spread:
    """How the calls of one listing are spread over time, as far as a sample of them tells."""

    def __init__(self, sample: Sample, others: Sequence[Sample] = ()) -> None:
        """What lies between two sampled calls is thought to be spread evenly.

        A sample that does not reach to the end of its list tells nothing of its span; then the `others` do.
        """
        self._total = sample.total
        if others and max((call.position for call in sample.calls), default=0) < SAMPLED_SHARE * (sample.total - 1):
            days = sorted(
                _days(call.created_at) for each in (sample, *others) for call in each.calls if call.created_at
            )
            self._days, self._ranks = _quantiles(days, sample.total)
            return
        dated = sorted((call.position, _days(call.created_at)) for call in sample.calls if call.created_at)
        positions, days = [position for position, _ in dated], [day for _, day in dated]
        half = len(days) // 2
        later = sum(days[at + half] >= days[at] for at in range(len(days) - half))
        share = later / (len(days) - half) if half else 0.5
        days.sort()
        if share >= IN_ORDER_SHARE:
            self._days, self._ranks = days, positions
        elif share <= 1 - IN_ORDER_SHARE:
            self._days, self._ranks = days, [sample.total - 1 - position for position in reversed(positions)]
        else:
            self._days, self._ranks = _quantiles(days, sample.total)

    @property
    def oldest(self) -> dt.date | None:
        """The day of the oldest call; None when no call of the sample bears a date."""
        return dt.date.fromordinal(int(self._days[0])) if self._days else None

    def calls_in(self, span: Span) -> float:
        """Return how many calls were probably created in a span of days."""
        until = self._total if span.last is None else self._before(span.last.toordinal() + 1)
        since = 0.0 if span.first is None else self._before(span.first.toordinal())
        return max(0.0, until - since)

    def _before(self, day: float) -> float:
        """Return how many calls were probably created before an instant, in days."""
        at = bisect_left(self._days, day)
        if at == 0:
            return 0.0
        if at == len(self._days):
            return float(self._total)
        (left, right), (low, high) = self._days[at - 1 : at + 1], self._ranks[at - 1 : at + 1]
        return low + (high - low) * (day - left) / (right - left)


def effort_of(query: Query, spread: Spread, total: int, per_page: int, today: dt.date, *, heeds_dates: bool) -> Effort:
    """Return what it takes to list what one query (with at most one status) selects, when nothing moves meanwhile.

    `total` is the calls that it claims, `per_page` what the platform serves. `today` is the day in UTC.
    """
    status = next(iter(query.status), None)
    whole = window_of(query, status, Span(), DateRule.INCLUSIVE, today)
    oldest = query.date_from or spread.oldest
    if math.ceil(total / per_page) <= most_pages(whole) or oldest is None:
        return Effort(windows=1, requests=_walk_requests(total, per_page, closed=whole.closed))
    requests = 2  # the first page and the last
    if not heeds_dates:
        walked = _walk_requests(total, per_page, closed=whole.closed)
        return Effort(windows=1, requests=requests - 1 + REQUESTS_TO_FIND_OUT_IN_VAIN + walked)
    requests += REQUESTS_TO_SETTLE_DATES
    requests += REQUESTS_TO_FIND_THE_OLDEST if query.date_from is None else 0
    requests += REQUESTS_TO_ADD_UP if query.date_from is None and query.date_to is None else 0
    newest, windows = query.date_to or today, 0
    todo = deque(separate_open_days(query, today))
    while todo:
        span = todo.popleft()
        calls = spread.calls_in(span)
        pages = math.ceil(calls / per_page)
        window = window_of(query, status, span, DateRule.INCLUSIVE, today)
        most = most_pages(window)
        parts = cut(span, pages, oldest, newest, most) if pages > most else [span]
        if len(parts) > 1:
            requests += 1
            todo.extendleft(reversed(parts))
        else:
            windows += 1
            requests += _walk_requests(calls, per_page, closed=window.closed)
    return Effort(windows=windows, requests=requests)


def expected_from(sample: Sample, new: int | None, sizes: Sequence[Size]) -> Expected:
    """Return what a run of one listing is expected to bring.

    `new` is how many of its calls the archive does not know; None: as large a share as of the sample. What it knows is fetched
    and written only so far as the sample shows: recordings that were left or failed, rows that have changed.
    """
    if not sample.calls:
        return Expected()
    held = [call.as_held for call in sample.calls if call.as_held is not None]
    unknown = [call.as_new for call in sample.calls if call.as_held is None]
    count_new = sample.total * len(unknown) / len(sample.calls) if new is None else float(min(new, sample.total))
    alike = unknown if len(unknown) >= min(count_new, ENOUGH_CALLS) else [call.as_new for call in sample.calls]
    expected = _times(count_new, alike, sizes)
    expected += _times(sample.total - count_new, held, sizes)
    return msgspec.structs.replace(expected, new=count_new)


def size_teller(sizes: Sequence[Size]) -> Callable[[Work], float] | None:
    """Return what tells the expected bytes of a recording: by the seconds of its call where both are known, else the mean.

    None when there are no sizes to go by.
    """
    if not sizes:
        return None
    mean_bytes = sum(size.bytes for size in sizes) / len(sizes)
    timed = [(size.bytes, size.seconds) for size in sizes if size.seconds]
    per_second = sum(told for told, _ in timed) / sum(seconds for _, seconds in timed) if timed else None
    return lambda work: per_second * work.seconds if per_second and work.seconds else mean_bytes


def _times(count: float, works: Sequence[Work], sizes: Sequence[Size]) -> Expected:
    """Return what `count` calls bring that are on the average as these."""
    if not works or count <= 0:
        return Expected()
    scale = count / len(works)
    fetched = [work for work in works if work.link]
    bytes_of = size_teller(sizes)
    recordings = [bytes_of(work) for work in fetched] if bytes_of else []
    files = [size for work in works for size in work.files]
    records = RECORD_BYTES_PER_CALL * sum(bool(work.files or work.link) for work in works)
    return Expected(
        recordings=scale * len(fetched),
        files_bytes=scale * sum(files),
        recordings_bytes=scale * sum(recordings) if bytes_of or not fetched else None,
        disk_bytes=scale * (sum(map(_occupied, [*files, *recordings])) + records),
    )


def _walk_requests(calls: float, per_page: int, *, closed: bool) -> int:
    """Return the requests that walk a window until it is proven: twice while it may receive calls, unless one page shows all."""
    pages = max(1, math.ceil(calls / per_page))
    if pages == 1 and calls < per_page:
        return 1
    pages += calls % per_page == 0  # behind a last page that is full there may be another
    return pages if closed else 2 * pages


def _occupied(size_bytes: float) -> int:
    return math.ceil(size_bytes / BLOCK_BYTES) * BLOCK_BYTES


def _days(at: dt.datetime) -> float:
    """Return an aware instant as days, whose whole part is the ordinal of its day in UTC."""
    at = at.astimezone(dt.UTC)
    midnight = dt.datetime.combine(at.date(), dt.time(), dt.UTC)
    return at.date().toordinal() + (at - midnight) / dt.timedelta(days=1)


def _quantiles(days: Sequence[float], total: int) -> tuple[list[float], list[int]]:
    """Return at which days how many of `total` calls are older, going by the ages of a few that were met in no order."""
    last = max(1, len(days) - 1)
    chosen = sorted({last * part // QUANTILES for part in range(QUANTILES + 1)} & set(range(len(days))))
    return [days[rank] for rank in chosen], [rank * (total - 1) // last for rank in chosen]
