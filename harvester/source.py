"""What a course asks of the platform, built from the API and the settings.

In:   an open `Api`, settings, a `Course`.  Out: its `Source`.
"""

from __future__ import annotations

import datetime as dt
import functools

import msgspec

from harvester.course import Course, Source
from harvester.model import Query, Window
from harvester.platform.api import Api, KeepPage
from harvester.platform.listing import Listing
from harvester.platform.rows import read_call
from harvester.progress import Progress
from harvester.report import Account
from harvester.settings import Settings


def source_of(
    api: Api,
    settings: Settings,
    course: Course,
    account: Account,
    progress: Progress,
    today: dt.date,
    keep: KeepPage | None = None,
) -> Source:
    """Return what `course` asks of the platform.

    `today` is the day in UTC; `account` is told what the first listing claims, and `keep` is given each list page as it came.
    """
    fetch = functools.partial(api.page, keep=keep)
    read = functools.partial(read_call, naive_zone=settings.timezone)
    listing = Listing(
        fetch,
        read,
        course.take,
        per_page=settings.per_page,
        pages_in_flight=settings.pages_in_flight,
        on_total=progress.expect,
        on_window=course.add_window,
        knows=course.books.find,
    )
    is_first = True

    async def list_calls(query: Query) -> None:
        nonlocal is_first
        try:
            await listing.list_calls(query, today)
        finally:
            if is_first:
                account.claimed_at_start, account.claimed_at_end = listing.claim.at_start, listing.claim.at_end
            is_first = False

    async def count(query: Query) -> int:
        window = Window(query=query, date_from=query.date_from, date_to=query.date_to)
        windows = [msgspec.structs.replace(window, status=status) for status in query.status or (None,)]
        return sum([(await fetch(each, 1, 1)).total for each in windows])

    return Source(
        list_calls=list_calls,
        has_seen=listing.has_seen,
        count=count,
        requests=lambda: api.gate.budget.sent,
        ask=api.call,
        read_call=read,
    )
