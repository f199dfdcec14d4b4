"""The manifest of a run: every file that it added, in the form that `sha256sum --check` reads.

In:   the run's ledger.  Out: `manifest-sha256.txt`, sorted by key, relative to the archive.

It is written last: a run without one has not closed. What a night brings is sorted in memory; what is more goes through a
temporary SQLite file, so that a run of a million calls needs no more memory than one of some thousands.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from harvester.archive import disk, ledger
from harvester.archive.layout import ACCOUNT, LEDGER, MANIFEST, MARK, run_key
from harvester.archive.modes import READ_ONLY, WRITABLE, protect

FEW = 50_000
"""Files that are sorted in memory, where they take 20 MB: SQLite takes seven times as long."""

LINES_PER_WRITE = 1000


def write_manifest(archive: Path, run_id: str, mode: int = WRITABLE) -> None:
    """Write the manifest of a run whose ledger is complete. Raises StorageError, LedgerError."""
    path = archive / run_key(run_id, MANIFEST)
    part = path.with_name(f"{MANIFEST}.part")
    with closing(sqlite3.connect("")) as db:
        lines = (f"{digest}  {key}\n" for key, digest in _in_order(_files(archive, run_id), db))
        with disk.guarded("write", part):
            part.unlink(missing_ok=True)  # a link that lies there would lead elsewhere
        with disk.guarded("write", part) as step, part.open("xb") as file:
            while some := "".join(itertools.islice(lines, LINES_PER_WRITE)):
                step.bytes += file.write(some.encode())
                step.moves += 1
            file.flush()
            os.fsync(file.fileno())
    if mode == READ_ONLY:
        protect(part)
    with disk.guarded("rename to", path):
        part.replace(path)
    disk.sync_folder(path.parent)


def _in_order(files: Iterator[tuple[str, str]], db: sqlite3.Connection) -> Iterable[tuple[str, str]]:
    """Return files by their keys, each with its SHA-256, of several for one key the last. `db` holds what are not few."""
    few = list(itertools.islice(files, FEW + 1))
    if len(few) <= FEW:
        return sorted(dict(few).items())
    db.execute("CREATE TABLE file (path TEXT PRIMARY KEY, sha256 TEXT NOT NULL) WITHOUT ROWID")
    db.executemany("INSERT OR REPLACE INTO file VALUES (?, ?)", itertools.chain(few, files))
    return db.execute("SELECT path, sha256 FROM file ORDER BY path")


def _files(archive: Path, run_id: str) -> Iterator[tuple[str, str]]:
    first = True
    for line in ledger.whole_lines(archive, run_id):
        if first and line.prev == ledger.GENESIS:
            yield MARK, disk.sha256_of(archive / MARK)[0]
        first = False
        for file in line.files:
            yield file.path, file.sha256
    for name in (LEDGER, ACCOUNT):
        key = run_key(run_id, name)
        yield key, disk.sha256_of(archive / key)[0]
