"""A client for the simulated platform, that waits for nothing."""

import contextlib
from collections.abc import AsyncIterator, Callable

from harvester.demo.server import Platform
from harvester.model import Query, Window
from harvester.platform.api import Api
from harvester.platform.budget import Budget, Gate
from harvester.platform.listing import Emit, Listing
from harvester.platform.retry import RetryPolicy
from harvester.platform.rows import read_call

EVERYTHING = Window(query=Query())


def at_once(attempts: int = 3) -> RetryPolicy:
    """Retries without waits, the server's wishes excepted; 429s have no more attempts than others."""
    return RetryPolicy(attempts=attempts, throttled_attempts=attempts, first_wait_seconds=0)


@contextlib.asynccontextmanager
async def open_api(platform: Platform, *, attempts: int = 3, key: str | None = None) -> AsyncIterator[Api]:
    """The API of a simulated platform, with a budget that is never used up."""
    async with Api(platform.base_url, key or platform.key, Gate(Budget(1_000_000)), at_once(attempts)) as api:
        yield api


def listing_of(
    api: Api,
    emit: Emit,
    *,
    pages_in_flight: int = 4,
    per_page: int = 10,
    on_total: Callable[[int], None] = lambda _: None,
) -> Listing:
    """A listing over the pages of an API."""
    return Listing(
        lambda window, number: api.page(window, number, per_page),
        read_call,
        emit,
        pages_in_flight=pages_in_flight,
        on_total=on_total,
    )
