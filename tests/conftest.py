"""What every test may ask for."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from harvester.demo.calls import CallBook
from harvester.demo.server import Platform, serve
from tests.harvests import Harvests

DAYS = 90
CALM_DAYS = 25
"""A day without calls is an alarm where four weeks before it had some: never within so few days."""

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")  # how long a busy machine takes is no finding


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio, the only loop that aiohttp knows."""
    return "asyncio"


@pytest.fixture
async def platform(request: pytest.FixtureRequest) -> AsyncIterator[Platform]:
    """Serve 60 settled calls and 5 open ones; a test may add faults and change calls while it is served.

    They lie in the last 90 days, which on some dates have a day without calls that is an alarm. A test marked `calm` wants none.
    """
    days = CALM_DAYS if request.node.get_closest_marker("calm") else DAYS
    now = datetime.now(UTC)
    async with serve(CallBook(count=65, most_seconds=20, first_at=now - timedelta(days), last_at=now)) as platform:
        yield platform


@pytest.fixture
def harvests(platform: Platform, tmp_path: Path) -> Harvests:
    """Harvest that platform into a folder of the test's own."""
    return Harvests(platform, tmp_path)
