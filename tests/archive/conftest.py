"""What the tests of the archive share."""

from pathlib import Path

import pytest

from tests.archive.sites import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Make a new archive."""
    return Site(tmp_path)
