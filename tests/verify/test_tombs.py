"""Verify accepts what a tombstone explains, and nothing else."""

import hashlib
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from harvester.archive.layout import MANIFEST, run_key
from harvester.archive.tidings import erased_draft
from harvester.verify.archive import verify
from tests.archive.sites import Site, call

Files = list[dict[str, Any]]


@pytest.fixture
def site(tmp_path: Any) -> Site:
    """An archive of two calls."""
    site = Site(tmp_path)
    anyio.run(site.saved, call(1), call(2))
    return site


def files_of(site: Site, call_id: str) -> Files:
    """The files of a call, as its line names them."""
    (run_id,) = (path.name for path in (site.root / "runs").iterdir())
    return next(line["files"] for line in site.lines(run_id) if line.get("id") == call_id)


def entomb(site: Site, files: Files, *, closed: bool = True, removed: bool = True) -> str:
    """Put a tombstone of call 1 for some files into a run of its own, and remove them."""
    with site.run() as run:
        entry = run.checkpoint.find(["1"])["1"]
        run.archive.commit([erased_draft(entry, files, "why", "ops")])
        if removed:
            for file in files:
                (site.root / file["path"]).unlink()
        if closed:
            run.close()
        return run.id


def found(site: Site) -> set[tuple[str, str]]:
    """Kind and path of all findings."""
    return {(each.kind, each.path) for each in verify(site.root).findings}


def test_what_a_tombstone_explains_is_accepted(site: Site) -> None:
    """Its files are missing for a reason; they are counted, and expected no more."""
    entomb(site, files_of(site, "1"))
    result = verify(site.root)
    assert (result.findings, result.erased_files) == ([], 3)


def test_a_missing_file_without_a_tombstone_is_a_finding(site: Site) -> None:
    """One of the files stands in no tombstone, and a neighbour's neither."""
    files = files_of(site, "1")
    (site.root / "2025/08/04/2.txt").unlink()
    (site.root / files[2]["path"]).unlink()
    entomb(site, files[:2])
    assert found(site) == {("missing", "2025/08/04/2.txt"), ("missing", files[2]["path"])}


def test_an_erased_file_that_lies_there_is_a_finding(site: Site) -> None:
    """Be it that it was never removed, or that it lies there again, and whatever it holds."""
    files = files_of(site, "1")
    entomb(site, files, removed=False)
    for file in files[1:]:
        (site.root / file["path"]).unlink()
    (site.root / files[1]["path"]).write_bytes(b"other bytes")
    assert found(site) == {("erased", file["path"]) for file in files[:2]}


def test_a_tombstone_of_a_run_at_work_is_a_note(site: Site) -> None:
    """While the run that erases has not closed its files may still lie there."""
    entomb(site, files_of(site, "1"), closed=False, removed=False)
    result = verify(site.root)
    assert result.findings == []
    assert any("3 erased files still lie there" in note for note in result.notes)


def _another_hash(site: Site, files: Files) -> Files:
    return [files[0] | {"sha256": "0" * 64}]


def _another_call(site: Site, files: Files) -> Files:
    return [files_of(site, "2")[0]]


def _no_file_of_a_call(site: Site, files: Files) -> Files:
    (run_id,) = (path.name for path in (site.root / "runs").iterdir())
    key = run_key(run_id, MANIFEST)
    data = (site.root / key).read_bytes()
    return [{"path": key, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "role": "page"}]


@pytest.mark.parametrize("forged", [_another_hash, _another_call, _no_file_of_a_call])
def test_a_tombstone_explains_nothing_else(site: Site, forged: Callable[[Site, Files], Files]) -> None:
    """With another hash than the ledger's, of another call's file, of a manifest: it is a finding, and explains nothing."""
    files = forged(site, files_of(site, "1"))
    entomb(site, files)
    key = files[0]["path"]
    assert ("ledger", key) in found(site)
    assert {path for kind, path in found(site) if kind in ("missing", "manifest")} >= {key}
