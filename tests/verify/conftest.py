"""What the tests of verify share: an archive that is intact, and copies of it to be damaged."""

from pathlib import Path

import anyio
import pytest

from tests.archive.sites import Site, copied
from tests.verify.damage import fill


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Make a new archive."""
    return Site(tmp_path)


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """An archive that is intact, and stays so: tests damage a copy."""
    site = Site(tmp_path_factory.mktemp("intact"))
    anyio.run(fill, site)
    return site


@pytest.fixture
def root(intact: Site, tmp_path: Path) -> Path:
    """A copy of the archive, to be damaged."""
    return copied(intact, tmp_path / "copy")
