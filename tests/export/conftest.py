"""What the tests of exports share."""

from pathlib import Path

import anyio
import pytest

from tests.archive.sites import Site, call
from tests.export.bundles import ANNA, BORIS


async def fill(site: Site) -> None:
    """Four calls in two runs: one of Anna's that has changed since, one to her, one of Boris', one of nobody's."""
    await site.saved(
        call(1, client_phone_number=ANNA, assistant_name="Sales", campaign_name="Autumn"),
        call(2, client_phone_number=BORIS, assistant_name="Support", status="no-answer", transcript="Ring me back."),
        call(3, created_at="2025-08-05 09:00:00", assistant_phone_number=ANNA, transcript="Please  CANCEL\nmy order."),
    )
    changed = call(1, client_phone_number=None, assistant_name="Sales", transcript="Hello again.")
    await site.saved(changed, call(4, created_at="2025-09-01 10:00:00"))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An archive with a few calls."""
    site = Site(tmp_path)
    anyio.run(fill, site)
    return site
