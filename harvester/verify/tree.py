"""Walk the archive's folders for files that nobody has named.

In:   what the books know.  Out: a finding for each file that stands in no ledger and no manifest.

A folder that is a link is named like a file and not walked into: nothing in an archive is one. A folder that vanishes meanwhile
held parts of a run that has closed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from harvester.archive import disk
from harvester.archive.mark import NOT_CONTENT
from harvester.verify.books import Books
from harvester.verify.findings import Verification
from harvester.verify.portion import Portion


def find_strangers(archive: Path, books: Books, portion: Portion, result: Verification) -> None:
    """Find the files that stand in no ledger and no manifest, where they are looked for. Raises StorageError."""
    strange = [key for key in _keys(archive, portion) if not books.knows(key)]
    named = books.named_by_open_runs(set(strange)) if strange else set()
    if named:
        result.notes.append(
            f"{len(named):,} files are named by a run that has not closed; it, or the next run, settles them"
        )
    for key in strange:
        if key not in named:
            what = "a symbolic link" if os.path.islink(archive / key) else "a file"  # noqa: PTH114 - it never raises
            result.find("unexpected", key, "no such file", what)


def _keys(archive: Path, portion: Portion) -> Iterator[str]:
    """Yield the keys of all files in the folders that are entered, by folder and name."""
    folders = [""]
    while folders:
        within = folders.pop()
        path = archive / within
        found: list[tuple[str, bool]] = []
        with disk.guarded("read", path) as step, suppress(FileNotFoundError), os.scandir(path) as entries:
            found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in step.over(entries))
        content = [(f"{within}{name}", is_folder) for name, is_folder in found if name not in NOT_CONTENT]
        yield from (key for key, is_folder in content if not is_folder)
        folders += reversed([f"{key}/" for key, is_folder in content if is_folder and portion.enters(key)])
