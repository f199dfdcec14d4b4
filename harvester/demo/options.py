"""How the simulated platform behaves where the real one's behaviour is unknown. The defaults are the likeliest."""

from typing import Literal

import msgspec

from harvester.demo.order import Order


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The choices of one simulated platform.

    order                 of the list; "shuffled" is arbitrary, but the same at every request
    date_to_inclusive     whether `date_to` still counts as inside
    day_zone_hours        where days are cut: the hours that the zone is ahead of UTC
    ignore_dates          checks `date_from` and `date_to`, then forgets them
    per_page_clamp        serves no more than this many calls on a page, whatever was asked
    past_the_end          what a page after the last one is: empty, or the first page over again
    total_offset          added to `total`: a count that disagrees with the rows
    data_as_object        `data` as an object keyed by index
    limit_per_minute      requests in one fixed window, for the whole account; None: no limit, no headers
    limit_window_seconds  the length of that window, so that a test need not wait for a minute
    retry_after_form      how a 429 tells the wait: Retry-After in seconds or as an HTTP date (both with
                          X-RateLimit-Reset), `retry_after` in the body alone, X-RateLimit-Reset alone, or not at all
    recordings_body       how a recording is framed: Content-Length, chunked, or by the end of the connection
    with_range, with_etag whether recordings honour `Range`, and carry an ETag (the MD5 of the content)
    signed_links          recording links carry `expires` and `signature`, other ones in every answer; without
                          them, or after `Platform.expire_links()`, a recording answers 403
    latency_seconds       before every answer
    """

    order: Order = "newest"
    date_to_inclusive: bool = True
    day_zone_hours: float = 0
    ignore_dates: bool = False
    per_page_clamp: int = 100
    past_the_end: Literal["empty", "first-page"] = "empty"
    total_offset: int = 0
    data_as_object: bool = False
    limit_per_minute: int | None = None
    limit_window_seconds: float = 60
    retry_after_form: Literal["seconds", "date", "body", "reset", "none"] = "seconds"
    recordings_body: Literal["length", "chunked", "close"] = "length"
    with_range: bool = True
    with_etag: bool = True
    signed_links: bool = False
    latency_seconds: float = 0


DEFAULTS = Options()
