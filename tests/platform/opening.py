"""A client for the simulated platform, that waits for nothing."""

import contextlib
from collections.abc import AsyncIterator

from harvester.demo.server import Platform
from harvester.model import Query, Window
from harvester.platform.api import Api
from harvester.platform.budget import Budget, Gate
from harvester.platform.retry import RetryPolicy
from harvester.platform.rows import read_call
from harvester.platform.walk import Emit, Walker

EVERYTHING = Window(query=Query())
CLOSED = Window(query=Query(), closed=True)
"""Everything, as if no call could arrive any more: one undisturbed walk proves it."""


def at_once(attempts: int = 3) -> RetryPolicy:
    """Retries without waits, the server's wishes excepted; 429s have no more attempts than others."""
    return RetryPolicy(attempts=attempts, throttled_attempts=attempts, first_wait_seconds=0)


@contextlib.asynccontextmanager
async def open_api(platform: Platform, *, attempts: int = 3, key: str | None = None) -> AsyncIterator[Api]:
    """The API of a simulated platform, with a budget that is never used up."""
    async with Api(platform.base_url, key or platform.key, Gate(Budget(1_000_000)), at_once(attempts)) as api:
        yield api


def walker_of(api: Api, emit: Emit, *, pages_in_flight: int = 4, per_page: int = 10) -> Walker:
    """A walker over the pages of an API."""
    return Walker(
        lambda window, number: api.page(window, number, per_page), read_call, emit, pages_in_flight=pages_in_flight
    )
