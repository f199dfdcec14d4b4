"""What the tests of faults share: one platform that does nothing wrong, and what an undisturbed run makes of it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from harvester.demo.calls import CallBook
from harvester.demo.server import Platform, serve
from tests.fault.scene import Scene, Tree

CALLS = 6
"""Few enough that a run can be stopped at each of its system calls, enough that it has more than one group and day."""


@pytest.fixture(scope="session")
async def platform(anyio_backend: str) -> AsyncIterator[Platform]:
    """Serve a few calls, all over: every run is to end with the same bytes."""
    async with serve(CallBook(count=CALLS, most_seconds=5, in_progress=0, late=0)) as platform:
        yield platform


@pytest.fixture(scope="session")
async def undisturbed(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """Return the dated tree of a run that nothing disturbs."""
    scene = Scene(platform, tmp_path_factory.mktemp("undisturbed"))
    ended = await scene.ends()
    assert ended.exit_code == 0, ended.said
    return scene.tree()


@pytest.fixture
def hooked(platform: Platform) -> Iterator[Platform]:
    """Return the platform, whose hook is taken out afterwards."""
    yield platform
    platform.on_request = None


@pytest.fixture
def scene(platform: Platform, tmp_path: Path) -> Scene:
    """Return an archive of the test's own, which is not there yet."""
    return Scene(platform, tmp_path)
