"""What the tests of holds and erasure share."""

from pathlib import Path

import anyio
import pytest

from harvester.layers import resolve
from harvester.settings import Resolved
from tests.archive.sites import Site, call

REASON = "a request under Art. 17 GDPR"
ANN, BOB = "+1 (555) 010-0001", "+15550100002"


async def fill(site: Site) -> None:
    """Two closed runs: Ann's calls 1 and 2, Bob's 3, one of another day, and a second version of 2."""
    await site.saved(
        call(1, client_phone_number=ANN),
        call(2, client_phone_number=ANN),
        call(3, client_phone_number=BOB),
        call(4, created_at="2025-09-01 09:00:00", client_phone_number=None),
    )
    await site.saved(call(2, client_phone_number=BOB, transcript="Other."))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Make a new archive."""
    return Site(tmp_path)


@pytest.fixture
def filled(site: Site) -> Site:
    """An archive of four calls."""
    anyio.run(fill, site)
    return site


def because(site: Site, reason: str | None = REASON, **flags: object) -> Resolved:
    """Return the settings that name the archive, with a reason that was typed."""
    place = {"archive": str(site.root), "state_folder": str(site.db.parent), "checkpoint": str(site.db)}
    return resolve({**place, "reason": reason, "operator": "ops", **flags}, {}, None)


@pytest.fixture
def resolved(site: Site) -> Resolved:
    """The settings that name the archive, with a reason."""
    return because(site)
