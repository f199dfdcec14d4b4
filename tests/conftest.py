"""What every test may ask for."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from harvester.demo.calls import CallBook
from harvester.demo.server import Platform, serve
from tests.harvests import Harvests

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")  # how long a busy machine takes is no finding


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio, the only loop that aiohttp knows."""
    return "asyncio"


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    """Serve 60 settled calls and 5 open ones; a test may add faults and change calls while it is served."""
    async with serve(CallBook(count=65, most_seconds=20)) as platform:
        yield platform


@pytest.fixture
def harvests(platform: Platform, tmp_path: Path) -> Harvests:
    """Harvest that platform into a folder of the test's own."""
    return Harvests(platform, tmp_path)
