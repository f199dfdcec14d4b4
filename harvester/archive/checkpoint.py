"""The checkpoint: an index over the ledger, so that a run knows at once what is settled.

In:   ledger lines.  Out: the `Entry` of a call.

It holds nothing that is nowhere else: how far into the ledger it has read, and what the lines up to there say of each call.
On start it reads the rest. Lost, stale, of another archive or damaged, it is thrown away and rebuilt. It lies on local
disk, because SQLite does not survive network shares. Who only asks gets a copy in memory, and disturbs no run.
"""

from __future__ import annotations

import datetime as dt
import logging
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Self

import msgspec

from harvester.archive import ledger
from harvester.archive.database import DAMAGED, remove, storage, wants_room
from harvester.archive.layout import UNDATED
from harvester.archive.ledger import HARVEST, RUN_STARTED, Position
from harvester.archive.table import COLUMNS, FORMAT, LEARN, LEFT_OUT, SCHEMA, UNSETTLED, entry_from, entry_of, row_of
from harvester.errors import LedgerError
from harvester.model import Entry, PastRun

log = logging.getLogger(__name__)

LINES_PER_TRANSACTION = 10_000
ENTRIES_PER_BATCH = 10_000
IDS_PER_QUERY = 500  # an SQLite from before 3.32 takes 999 at most

CHECKED_BYTES = 32 * 1024 * 1024
"""Up to this size, about 150,000 calls, every page is looked at when the checkpoint is opened. Beyond, reading it all would
cost every night seconds; a run that meets damage there ends with a StorageError, and leaves a note by which the next one
rebuilds the checkpoint."""

MEMORY = Path(":memory:")
"""The path of a checkpoint that lies in memory and is gone when it is closed."""


class Checkpoint:
    """An open checkpoint. `caught_up` opens one that knows the whole ledger, `copied` one for who only asks."""

    def __init__(self, path: Path, archive_id: str, *, copy_of: Path | None = None) -> None:
        """Open the file at `path`. One in MEMORY begins as what the file `copy_of` holds, where one is named."""
        self.path = copy_of or path  # as messages name it
        self.archive_id = archive_id  # whose ledger it knows
        self._open(path, copy_of)

    @classmethod
    def caught_up(cls, path: Path, archive: Path, archive_id: str) -> Self:
        """Open the checkpoint at `path` and read on to the ledger's end; rebuild it when it does not fit the ledger.

        Raises LedgerError when the ledger itself does not hold together, StorageError; the file stays where its disk is full.
        """
        try:
            return cls._read_to_the_end(path, archive, archive_id)
        except UNFIT as error:
            with storage(path):
                if wants_room(path, error):  # a new one would need as much
                    raise
            reason = str(error).partition("; ")[0]  # what to do is said where that fails, too
            log.warning("the checkpoint %s does not fit the archive (%s); rebuilding it from the ledgers", path, reason)
        remove(path)
        with storage(path):
            return cls._read_to_the_end(path, archive, archive_id)

    @classmethod
    def copied(cls, path: Path, archive: Path, archive_id: str) -> Self:
        """Return one in memory that knows the ledger as far as it is written; the file at `path` is never written.

        No lock is needed for it, and a run that is going on does not notice. Raises LedgerError, StorageError.
        """
        try:
            return cls._read_to_the_end(MEMORY, archive, archive_id, copy_of=path)
        except UNFIT as error:
            log.info("the checkpoint %s is of no use (%s); reading the ledgers instead", path, error)
        with storage(MEMORY):
            return cls._read_to_the_end(MEMORY, archive, archive_id)

    @classmethod
    def _read_to_the_end(cls, path: Path, archive: Path, archive_id: str, copy_of: Path | None = None) -> Self:
        checkpoint = cls(path, archive_id, copy_of=copy_of)
        try:
            checkpoint._read_on(archive)
        except BaseException:
            checkpoint.close()
            raise
        return checkpoint

    def find(self, ids: Iterable[str]) -> dict[str, Entry]:
        """Return the entries of those of the ids that the archive knows. A page of them costs a statement, not a hundred."""
        asked, found = list(ids), dict[str, Entry]()
        for start in range(0, len(asked), IDS_PER_QUERY):
            some = asked[start : start + IDS_PER_QUERY]
            query = f"SELECT {COLUMNS} FROM entry WHERE id IN ({', '.join('?' * len(some))})"
            with storage(self.path):
                found.update((row[0], entry_from(row)) for row in self._db.execute(query, some))
        return found

    def count(self) -> int:
        """Return how many calls the archive knows."""
        return self._tally("calls")

    def count_present(self) -> int:
        """Return how many of them the platform is not known to have deleted."""
        return self._tally("calls - gone")

    def count_unsettled(self, before: dt.date, *, left_out: bool = False) -> int:
        """Return how many of the entries that `unsettled` yields are of calls from before a day, or of no known day."""
        folder = before.strftime("%Y/%m/%d")
        older = f"(place < '{folder}' OR place >= '{UNDATED}')"
        return sum(self._count(f"({which}) AND {older}") for which in (UNSETTLED, LEFT_OUT)[: 1 + left_out])

    def unsettled(self, *, left_out: bool = False) -> Iterator[Entry]:
        """Yield every entry whose recording is pending or failed, or whose transcript is pending, by place.

        With `left_out` those too whose recording is pending only because recordings were switched off.
        """
        for which in (UNSETTLED, LEFT_OUT)[: 1 + left_out]:
            query = f"SELECT {COLUMNS} FROM entry WHERE {which} AND (place, id) > (?, ?) ORDER BY place, id LIMIT ?"
            last = ("", "")
            while True:
                with storage(self.path):
                    rows = self._db.execute(query, (*last, ENTRIES_PER_BATCH)).fetchall()
                yield from map(entry_from, rows)
                if len(rows) < ENTRIES_PER_BATCH:
                    break
                last = (rows[-1][2], rows[-1][0])

    def count_erased(self) -> int:
        """Return of how many calls the archive has erased what it held."""
        return self._count("erased")

    def count_left_out(self) -> int:
        """Return of how many calls only the recording is pending, because recordings were switched off."""
        return self._count(LEFT_OUT)

    def present_ids(self) -> Iterator[str]:
        """Yield the id of every call that the platform is not known to have deleted, a batch at a time."""
        return (row[0] for row in self._by_id("id", "NOT gone"))

    def erased_ids(self) -> Iterator[str]:
        """Yield the id of every call that was erased."""
        return (row[0] for row in self._by_id("id", "erased"))

    def entries(self) -> Iterator[Entry]:
        """Yield the entry of every call, by id, a batch at a time."""
        return map(entry_from, self._by_id(COLUMNS, "TRUE"))

    def _by_id(self, columns: str, which: str) -> Iterator[Any]:
        """Yield rows of some columns, the first of them `id`, a batch at a time."""
        query, last = f"SELECT {columns} FROM entry WHERE id > ? AND {which} ORDER BY id LIMIT ?", ""
        while True:
            with storage(self.path):
                rows = self._db.execute(query, (last, ENTRIES_PER_BATCH)).fetchall()
            yield from rows
            if len(rows) < ENTRIES_PER_BATCH:
                return
            last = rows[-1][0]

    def oldest_place(self) -> str | None:
        """Return the place of the oldest call that is dated, such as `2025/08/04/123`; None where there is none."""
        with storage(self.path):
            (place,) = self._db.execute("SELECT min(place) FROM entry WHERE place GLOB '[0-9]*'").fetchone()
        return None if place is None else str(place)

    @property
    def runs_begun(self) -> int:
        """How many runs have begun, those included that never closed and have told nothing of their coverage."""
        with storage(self.path):
            return int(self._about("runs_begun") or 0)

    def past_runs(self) -> list[PastRun]:
        """Return what closed runs have told of their coverage, oldest first."""
        with storage(self.path):
            rows = self._db.execute("SELECT past FROM run ORDER BY number").fetchall()
            return [_past_run.decode(row[0]) for row in rows]

    def _tally(self, what: str) -> int:
        with storage(self.path):
            return int(self._db.execute(f"SELECT {what} FROM tally").fetchone()[0])

    def _count(self, which: str) -> int:
        with storage(self.path):
            return int(self._db.execute(f"SELECT count(*) FROM entry WHERE {which}").fetchone()[0])

    def learn(
        self, entries: Iterable[Entry], position: Position, runs: Iterable[PastRun] = (), *, begun: int = 0
    ) -> None:
        """Take in what the ledger says up to `position`: entries, closed runs, how many runs have begun.

        The lines must be durable already. Raises StorageError.
        """
        with storage(self.path):
            self._learn(entries, position, runs, begun)

    @property
    def position(self) -> Position:
        """How far the checkpoint has read."""
        return msgspec.json.decode(self._about("position") or "{}", type=Position)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _open(self, path: Path, copy_of: Path | None) -> None:
        if path != MEMORY:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.with_name(path.name + DAMAGED).exists():
                raise _StaleError("a run has met damage in it")
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            if copy_of:
                with closing(sqlite3.connect(f"{copy_of.absolute().as_uri()}?mode=ro", uri=True)) as source:
                    source.backup(self._db)
            self._db.execute("PRAGMA journal_mode = WAL")
            # WAL with NORMAL survives a power cut whole, if perhaps a little behind; the ledger has the rest.
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._check_pages()
            self._db.executescript(SCHEMA)
            about = f"{FORMAT} {self.archive_id}"
            if self._about("archive") not in (None, about):
                raise _StaleError("it is of another archive or format")
            self._db.execute("INSERT OR REPLACE INTO about VALUES ('archive', ?)", (about,))
        except BaseException:
            self._db.close()
            raise

    def _check_pages(self) -> None:
        """Find damage now, while it can be mended, and not in the middle of the run that meets it."""
        (size_bytes,) = self._db.execute(
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        ).fetchone()
        if size_bytes <= CHECKED_BYTES:
            (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise _StaleError(f"it is damaged: {' '.join(found.split())}")

    def _about(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def _read_on(self, archive: Path) -> None:
        position = self.position
        if position.run_id and not ledger.is_in_chain(archive, position):
            raise _StaleError("it has read another ledger than the one that lies there")
        entries: list[Entry] = []
        runs: list[PastRun] = []
        lines = begun = 0
        for line, behind in ledger.read_from(archive, position):
            position = behind
            lines += 1
            if entry := entry_of(line):
                entries.append(entry)
            if run := ledger.past_run_of(line, position.run_id):
                runs.append(run)
            begun += line.event == RUN_STARTED and line.command in (None, HARVEST)
            if lines % LINES_PER_TRANSACTION == 0:
                self._learn(entries, position, runs, begun)
                entries.clear()
                runs.clear()
                begun = 0
        if lines:
            self._learn(entries, position, runs, begun)

    def _learn(self, entries: Iterable[Entry], position: Position, runs: Iterable[PastRun], begun: int) -> None:
        self._db.execute("BEGIN")
        try:
            self._db.executemany(LEARN, map(row_of, entries))
            self._db.executemany(
                "INSERT INTO run (past) VALUES (?)", ((msgspec.json.encode(run).decode(),) for run in runs)
            )
            if begun:
                number = str(int(self._about("runs_begun") or 0) + begun)
                self._db.execute("INSERT OR REPLACE INTO about VALUES ('runs_begun', ?)", (number,))
            text = msgspec.json.encode(position).decode()
            self._db.execute("INSERT OR REPLACE INTO about VALUES ('position', ?)", (text,))
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise


_past_run = msgspec.json.Decoder(PastRun)


class _StaleError(LedgerError):
    """The checkpoint is damaged, or belongs to something else than this ledger."""


UNFIT = (OSError, sqlite3.Error, LedgerError, ValueError)
"""What a checkpoint raises that is lost, noise, damaged or stale. A LedgerError may be the ledger's own, and then comes again."""
