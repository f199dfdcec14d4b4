"""An archive that changes, or goes away, while an export reads it leads to no bundle that says something wrong."""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from harvester.archive.layout import LEDGER, run_key
from harvester.errors import DamagedError, MarkError
from harvester.export.bundle import Made, Order, export
from harvester.export.criteria import Criteria
from tests.archive.sites import Site, call
from tests.export.bundles import ANNA, exported_to, files_of
from tests.export.conftest import fill

Swap = Callable[[], None]


def nothing(folder: Path) -> None:
    """The share is gone; its mount point is left."""
    (folder / "calls").mkdir()


def another_account(folder: Path) -> None:
    """An archive of other calls, one of them under an id that both have."""
    anyio.run(Site(folder).saved, call(1, transcript="I am somebody else."), call(77))


def the_same_calls(folder: Path) -> None:
    """An archive of its own of the same calls: their files are the same, its runs are others."""
    anyio.run(fill, Site(folder))


def exported_while(order: Order, swap: Swap, at: int) -> Made | MarkError:
    """Export, and let something happen when so many steps have been told; return what came of it."""
    steps = 0

    def tell(files: int, size_bytes: int) -> None:
        nonlocal steps
        steps += 1
        if steps == at:
            swap()

    try:
        return export(order, tell)
    except MarkError as error:
        return error


@pytest.mark.parametrize("include_damaged", [False, True])
@pytest.mark.parametrize("criteria", [Criteria(), Criteria(phone_numbers=(ANNA,))])
@pytest.mark.parametrize("other", [nothing, another_account, the_same_calls])
def test_another_archive_in_its_place_is_told_or_changes_nothing(
    site: Site, tmp_path: Path, other: Callable[[Path], None], criteria: Criteria, include_damaged: bool
) -> None:
    """Whenever it comes: the export ends with the reason and leaves nothing, or the bundle is that of the archive it began with.

    No file is ever called missing or damaged that lies unharmed in the archive that was asked for.
    """
    exported_to(site, tmp_path / "sound", criteria)
    (tmp_path / "elsewhere").mkdir()
    other(tmp_path / "elsewhere")
    order = Order(archive=site.root, target=tmp_path / "bundle", criteria=criteria, include_damaged=include_damaged)

    def swap() -> None:
        site.root.rename(tmp_path / "away")
        (tmp_path / "elsewhere" / "calls").rename(site.root)

    refused = whole = 0
    for at in itertools.count(1):
        made = exported_while(order, swap, at)
        if isinstance(made, MarkError):
            assert str(site.root) in str(made)
            assert not (tmp_path / "bundle").exists()
            refused += 1
        else:
            assert files_of(tmp_path / "bundle") == files_of(tmp_path / "sound"), at
            shutil.rmtree(tmp_path / "bundle")
            whole += 1
        assert not (tmp_path / "bundle.harvester-part").exists()
        if not (tmp_path / "away").exists():
            break  # it tells of no more steps
        site.root.rename(tmp_path / "elsewhere" / "calls")
        (tmp_path / "away").rename(site.root)
    assert refused
    assert whole


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.replace(b'"id":"5"', b'"id":"6"'), "line 2 is another than a moment before"),
        (lambda data: data[: data.index(b"\n") + 1], "ledger.jsonl is shorter than a moment before"),
    ],
)
async def test_a_ledger_that_has_changed_since_the_calls_were_chosen_is_damage(
    site: Site, tmp_path: Path, change: Callable[[bytes], bytes], said: str
) -> None:
    """A run that is going on has no seal yet that would show it: an older copy of the archive may have come into its place."""
    with site.run() as run:
        await run.save(call(5, status="in-progress", recording_url=None, transcript=None))
        ledger = site.root / run_key(run.id, LEDGER)

        def swap() -> None:
            ledger.write_bytes(change(ledger.read_bytes()))

        order = Order(archive=site.root, target=tmp_path / "bundle", criteria=Criteria(ids=("5",)))
        with pytest.raises(DamagedError, match=said):
            exported_while(order, swap, at=len(list((site.root / "runs").iterdir())))
    assert not (tmp_path / "bundle").exists()
