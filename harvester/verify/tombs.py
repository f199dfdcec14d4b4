"""Hold the tombstones against the files: what was erased on purpose is missing for a reason, and must not lie there.

In:   the tombstones that the books have met.  Out: a finding for each that explains nothing; the files of the others are expected
no more.

A tombstone explains a missing file of its own call, or a kept list page, when it states the hash that the ledger states. It
explains nothing else: no ledger, manifest, account or mark, no file of another call, none that has another hash.
"""

from __future__ import annotations

from pathlib import Path

from harvester.archive import disk
from harvester.archive.erasure import is_erasable, place_of
from harvester.archive.layout import LEDGER, PAGE_KEY, run_key
from harvester.verify.catalog import Buried, Catalog
from harvester.verify.findings import Verification
from harvester.verify.portion import Portion


def hold_tombstones(
    archive: Path, catalog: Catalog, open_runs: set[str], portion: Portion, result: Verification
) -> None:
    """Take what tombstones explain out of the catalog; find those that explain nothing, and what still lies there."""
    waiting = 0
    for each in catalog.buried():
        said = f"line {each.number} of {run_key(each.run_id, LEDGER)}"
        if not _is_its_own(each):
            result.find("ledger", each.path[:200], "tombstones of a call's own files alone", f"a tombstone in {said}")
            continue
        if each.known is not None and each.known != each.sha256:
            result.find(
                "ledger", each.path, f"{each.known}, as its line says", f"{each.sha256} in the tombstone, {said}"
            )
            continue
        catalog.bury(each.path)
        if not portion.looks_at(each.path):
            continue
        if not disk.exists(archive / each.path):
            result.erased_files += 1
        elif each.run_id in open_runs:
            waiting += 1
        else:
            result.find("erased", each.path, f"no file: it was erased, says {said}", "a file")
    if waiting:
        result.notes.append(
            f"{waiting:,} erased files still lie there: the run that erases them, or the next, removes them"
        )
    if result.erased_files:
        result.notes.append(
            f"{result.erased_files:,} files were erased on purpose; tombstones in the ledger say when, by whom and why"
        )


def _is_its_own(each: Buried) -> bool:
    return is_erasable(each.path) and (bool(PAGE_KEY.fullmatch(each.path)) or place_of(each.path) == each.place)
