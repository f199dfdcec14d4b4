"""The archive's folder held open: what its path leads to later cannot get folders of ours."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harvester.archive.anchor import Anchor
from harvester.errors import StorageError
from tests.archive.sites import Site, call

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows cannot hold a folder open by a number")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a folder."""
    root = tmp_path / "calls"
    root.mkdir()
    return root


@pytest.fixture
def anchor(root: Path) -> Iterator[Anchor]:
    """Hold it open."""
    anchor = Anchor(root)
    yield anchor
    anchor.close()


def replaced(root: Path) -> Path:
    """Put another folder in its place; return where it lies now."""
    away = root.with_name("away")
    root.rename(away)
    root.mkdir()
    return away


def test_as_long_as_the_path_leads_there_nothing_is_said(root: Path, anchor: Anchor) -> None:
    """What happens in the folder, or to its times, makes it no other one."""
    (root / "2025").mkdir()
    os.utime(root, (1, 1))
    anchor.check()


def test_another_folder_in_its_place_is_told(root: Path, anchor: Anchor) -> None:
    """Another folder under the same name, or none: a StorageError that asks for the share."""
    replaced(root)
    with pytest.raises(StorageError, match=r"calls was taken away .*mount the disk or the share"):
        anchor.check()
    root.rmdir()
    with pytest.raises(StorageError, match="was taken away"):
        anchor.check()


def test_folders_are_made_in_the_one_that_was_opened(root: Path, anchor: Anchor) -> None:
    """Each missing folder of a key is made, once or twice makes no difference, and never below what lies in its place now."""
    anchor.make_folders("2025/08/04")
    away = replaced(root)
    anchor.make_folders("2025/08/04")
    anchor.make_folders("2025/08/05")
    assert sorted(path.name for path in (away / "2025" / "08").iterdir()) == ["04", "05"]
    assert list(root.iterdir()) == []


def test_a_file_in_the_way_is_named(root: Path, anchor: Anchor) -> None:
    """A folder that cannot be made is a StorageError with its path."""
    (root / "2025").write_bytes(b"")
    with pytest.raises(StorageError, match=r"cannot create the folder .*2025/08/04"):
        anchor.make_folders("2025/08/04")


def test_a_folder_that_is_not_there_cannot_be_held(tmp_path: Path) -> None:
    """A path that leads nowhere is a StorageError."""
    with pytest.raises(StorageError, match="unmounted"):
        Anchor(tmp_path / "unmounted")


async def test_a_group_is_not_committed_to_another_place(site: Site) -> None:
    """A group that is ready when the archive was taken away gets no name and no line, neither here nor there."""
    with site.run() as run:
        draft = await run.draft(call(1))
        away = replaced(site.root)
        with pytest.raises(StorageError, match="was taken away"):
            run.archive.commit([draft])
        assert list(site.root.iterdir()) == []
        assert not list(away.glob("2025"))


def test_another_archive_is_not_begun_on(site: Site, tmp_path: Path) -> None:
    """Where another archive has come into the place since the mark was read, nothing is begun."""
    other = Site(tmp_path / "other")
    with site.run(begin=False) as run:
        site.root.rename(tmp_path / "away")
        other.root.rename(site.root)
        before = site.files()
        with pytest.raises(StorageError, match="another archive lies at"):
            run.archive.begin({"tool": "test"})
        assert site.files() == before
