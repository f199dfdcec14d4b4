"""The files that there should be, in a table that outgrows no memory.

In:   the files that ledger lines and manifests name.  Out: where they contradict each other; and the files again, by name.

The table is a temporary SQLite file that is gone when it is closed, so that a million calls need no more memory than ten. It lies
in the system's folder for such files, never in the archive, and in memory where there is no folder to write to. What is asked of
it is asked for many files at once: a question for each would take longer than hashing the small ones.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from harvester.errors import StorageError

SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA cache_size = -16000;
BEGIN;
CREATE TABLE file (path TEXT PRIMARY KEY, sha256 TEXT NOT NULL, bytes TEXT, run TEXT) WITHOUT ROWID;
CREATE TABLE listed (path TEXT, sha256 TEXT, number INTEGER);
CREATE TABLE buried (path TEXT PRIMARY KEY, sha256 TEXT, place TEXT, run TEXT, number INTEGER) WITHOUT ROWID;
"""
"""Nothing in it is to be kept: so it is one transaction to the end, which nobody can take back. The cache is in KiB."""

FOLDER_VARIABLES = ("SQLITE_TMPDIR", "TMPDIR")
FOLDERS = ("/var/tmp", "/usr/tmp", "/tmp")
"""Where SQLite puts temporary files (sqlite.org/tempfiles.html), but for the last resort: the folder one happens to stand in."""

IN_MEMORY = ":memory:"
ON_DISK = ""


class Expected(NamedTuple):
    """A file that there should be. `size_text` is its size in bytes as its line states it; a manifest states none."""

    path: str
    sha256: str
    size_text: str | None


class Named(NamedTuple):
    """A file as a ledger line names it."""

    path: str
    sha256: str
    size_text: str
    run_id: str
    seq: int


class Contradiction(NamedTuple):
    """A file about which two lines do not agree; `known` is the hash that was there first, None: nobody has named the file."""

    path: str
    sha256: str
    number: int  # of the later line: its `seq`, or its place in the manifest from 1
    known: str | None


class Buried(NamedTuple):
    """A file as a tombstone names it; `place` is that of the tombstone's call, `known` the hash that its own line states."""

    path: str
    sha256: str
    place: str
    run_id: str
    number: int  # of the tombstone: its `seq`
    known: str | None


class Catalog:
    """The table, while it is open."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[Self]:
        """Give an empty table for the block. Raises StorageError where it has no room."""
        with closing(sqlite3.connect(place(os.environ), isolation_level=None)) as db:
            try:
                db.executescript(SCHEMA)
                yield cls(db)
            except sqlite3.OperationalError as error:
                raise StorageError(
                    f"the list of files has no room in the folder for temporary files ({error}); make room there, or name "
                    "another folder with the environment variable TMPDIR"
                ) from error

    def take(self, files: list[Named]) -> tuple[int, list[Contradiction]]:
        """Take in files of ledger lines. Return how many were new, and which were known with another hash."""
        rows = [(file.path, file.sha256, file.size_text, file.run_id) for file in files]
        new = self._changed("INSERT OR IGNORE INTO file VALUES (?, ?, ?, ?)", rows)
        if new == len(files):
            return new, []
        known = [Contradiction(file.path, file.sha256, file.seq, self.sha256_of(file.path)) for file in files]
        return new, [each for each in known if each.known != each.sha256]

    def hold_against(self, listed: Iterable[tuple[str, str, int]]) -> None:
        """Put a manifest's lines (path, hash, number) beside the files, in the place of the manifest before."""
        self._run("DELETE FROM listed")
        self._changed("INSERT INTO listed VALUES (?, ?, ?)", listed)

    def adopt(self, path: str, run_id: str) -> bool:
        """Take in a file that manifests alone name, if this one does and no ledger does. Return whether it is new."""
        row = "SELECT path, sha256, NULL, ? FROM listed WHERE path = ? LIMIT 1"
        return bool(self._changed(f"INSERT OR IGNORE INTO file {row}", [(run_id, path)]))

    def contradicted(self) -> Iterator[Contradiction]:
        """Yield the lines of the manifest that no ledger bears out."""
        rows = self._run(
            "SELECT listed.path, listed.sha256, number, file.sha256 FROM listed LEFT JOIN file ON file.path = listed.path "
            "WHERE file.sha256 IS NOT listed.sha256 ORDER BY number"
        )
        return map(Contradiction._make, rows)

    def unlisted(self, run_id: str, count: int) -> list[str]:
        """Return the files of a run, `count` of them, that its manifest does not name."""
        matched = "SELECT COUNT(DISTINCT file.path) FROM listed JOIN file ON file.path = listed.path WHERE run = ?"
        if int(next(self._run(matched, run_id))[0]) == count:  # as nearly always; else all files are gone through
            return []
        return [
            row[0] for row in self._run("SELECT path FROM file WHERE run = ? EXCEPT SELECT path FROM listed", run_id)
        ]

    def sha256_of(self, path: str) -> str | None:
        """Return the hash that a file should have; None where nobody names it."""
        row = next(self._run("SELECT sha256 FROM file WHERE path = ?", path), None)
        return None if row is None else str(row[0])

    def entomb(self, files: Iterable[tuple[str, str, str, str, int]]) -> None:
        """Take in the files of tombstones: path, hash, place of the call, run, number of the line. The first one counts."""
        self._changed("INSERT OR IGNORE INTO buried VALUES (?, ?, ?, ?, ?)", files)

    def buried(self) -> list[Buried]:
        """Return every file that a tombstone names, in the order of their paths."""
        rows = self._run(
            "SELECT buried.path, buried.sha256, place, buried.run, number, file.sha256 FROM buried "
            "LEFT JOIN file ON file.path = buried.path ORDER BY buried.path"
        )
        return list(map(Buried._make, rows))

    def bury(self, path: str) -> None:
        """Expect a file no more."""
        self._run("DELETE FROM file WHERE path = ?", path)

    def is_buried(self, path: str) -> bool:
        """Whether a tombstone names a file."""
        return next(self._run("SELECT 1 FROM buried WHERE path = ?", path), None) is not None

    def files(self) -> Iterator[Expected]:
        """Yield every file that there should be, in the order of their paths."""
        return map(Expected._make, self._run("SELECT path, sha256, bytes FROM file ORDER BY path"))

    def _run(self, statement: str, *values: str) -> Iterator[tuple[str, ...]]:
        return iter(self._db.execute(statement, values))

    def _changed(self, statement: str, rows: Iterable[tuple[object, ...]]) -> int:
        """Do a statement for each row; return how many rows of the table it made."""
        before = self._db.total_changes
        self._db.executemany(statement, rows)
        return self._db.total_changes - before


def place(environment: Mapping[str, str]) -> str:
    """Return where SQLite is to have the table: on disk where there is a folder for it, else in memory."""
    named = [environment[name] for name in FOLDER_VARIABLES if environment.get(name)]
    usable = any(Path(folder).is_dir() and os.access(folder, os.W_OK | os.X_OK) for folder in (*named, *FOLDERS))
    return ON_DISK if usable else IN_MEMORY
