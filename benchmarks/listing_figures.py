"""Measure the listing: how busy it keeps the platform's limit, and how soon downloads begin.

In:   how many calls, a folder.  Out: a `Section` each.

Both are read from the platform's own log of requests.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path

from harvested import ARCHIVE, harvest
from pace import WINDOW_SECONDS, busy_share, most_requests
from platform_server import Request, Spec
from results import Figure, Section
from served import served

SPAN = dt.timedelta(days=730)
"""What a platform holds at most: it deletes a call after 24 months (docs/api.md)."""

PER_PAGE = 100
LIMIT_PER_MINUTE = 600
LEAST_BUSY = 0.97
MOST_THROTTLED = 0.01

SHORT_SECONDS = 20
"""Of the calls' recordings, so that the simulated platform makes them quickly."""


def budget(folder: Path, calls: int) -> Section:
    """List `calls` calls from a platform that permits 600 requests a minute, and tells so by its headers only."""
    spec = _spec(calls, limit_per_minute=LIMIT_PER_MINUTE)
    with tempfile.TemporaryDirectory(dir=folder) as own, served(spec) as platform:
        harvest(Path(own), platform.address.base_url, platform.address.key, "--dry-run")
        requests = platform.seen().requests
    share = busy_share(requests, LIMIT_PER_MINUTE)
    throttled = sum(request.status == 429 for request in requests)
    seconds = max(request.at for request in requests) - min(request.at for request in requests)
    permitted = LIMIT_PER_MINUTE * seconds / WINDOW_SECONDS
    return Section(
        title="The budget: 600 requests a minute, told by headers",
        figures=[
            Figure(
                name="share of the limit kept busy",
                target="at least 97 %",
                measured="not measurable: no minute was over" if share is None else f"{share:.1%}",
                met=None if share is None else share >= LEAST_BUSY,
            ),
            Figure(
                name="answers with status 429",
                target="at most 1 %",
                measured=f"{throttled:,} of {len(requests):,} ({throttled / len(requests):.1%})",
                met=throttled <= MOST_THROTTLED * len(requests),
            ),
            cost_figure(requests, calls),
            Figure(
                name="the whole listing",
                measured=f"{-(-calls // PER_PAGE):,} pages in {len(requests):,} requests and {seconds:,.1f} s, "
                f"in which the limit permits {permitted:,.0f}",
            ),
        ],
        how="`harvester run --dry-run` without a setting for the budget. The share is taken from the platform's log, over its "
        "windows of a minute that ended: answers with status 200 from the first request up to the last window's first, against "
        "what the limit permits in that time, so that neither the beginning of the last window nor its end flatters it.",
    )


def overlap(folder: Path, calls: int) -> Section:
    """Harvest `calls` calls with their recordings, and look when the first of these lay on the disk."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        watched = str(Path(own) / ARCHIVE)
        with served(_spec(calls, watched=watched)) as platform:
            harvest(Path(own), platform.address.base_url, platform.address.key, requests_per_minute="1000000")
            requests = platform.seen().requests
    listed = [request for request in requests if request.where == "list"]
    pages = [request for request in listed if request.per_page == PER_PAGE]
    return Section(
        title="Downloads overlap the listing",
        figures=[
            _overlap_figure("when the third page of calls was asked for", pages),
            _overlap_figure("at the third request of the list, counts of calls included", listed),
        ],
        how=f"`harvester run` over {calls:,} calls, so many that the listing is cut by dates, with an unlimited budget, which is "
        "the hardest case: the listing goes as fast as it can. Before it answers a request of the list, the demo platform counts "
        "the files in the archive that are recordings under their final names.",
    )


def cost_figure(requests: list[Request], calls: int) -> Figure:
    """Return how many requests of the list `calls` calls have cost."""
    spent, most = sum(request.where == "list" for request in requests), most_requests(calls, PER_PAGE)
    return Figure(
        name="requests of the list",
        target=f"at most {most:,}: the pages, a tenth more, and 20",
        measured=f"{spent:,}",
        met=spent <= most,
    )


def _overlap_figure(when: str, requests: list[Request]) -> Figure:
    found = requests[2].recordings_on_disk if len(requests) > 2 else None
    return Figure(
        name=f"recordings on the disk {when}",
        target="at least 1",
        measured="not measurable: there was no third" if found is None else str(found),
        met=None if found is None else found > 0,
    )


def _spec(calls: int, *, limit_per_minute: int | None = None, watched: str | None = None) -> Spec:
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    return Spec(
        calls=calls,
        first_at=now - SPAN,
        last_at=now,
        most_seconds=SHORT_SECONDS,
        limit_per_minute=limit_per_minute,
        watched=watched,
    )
