"""Find the calls that are meant, and all that the ledgers say of them.

In:   an archive and `Criteria`; no local state.  Out: `Selection`: calls, files, ledger lines.

Every ledger is read once, line by line; then, where the ledger cannot tell, the rows of the calls in question. What is found
lies in a temporary SQLite file, so memory stays flat. Nothing is written into the archive, no lock is taken, and no link is
followed; a run that is going on is read as far as it is written. What does not hold together is noted: whoever exports decides.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from harvester.archive import disk, ledger
from harvester.archive.inside import Inside
from harvester.archive.layout import FILE_KEY, LEDGER, MANIFEST, RUNS, SEAL, run_key
from harvester.archive.ledger import ERASED, Line, Position
from harvester.archive.seal import load_seal
from harvester.errors import LedgerError, SealError, StorageError
from harvester.export.criteria import Criteria
from harvester.export.exported import ExportedFile, Standing, exported
from harvester.model import File

SCHEMA = """
CREATE TABLE call (id TEXT PRIMARY KEY, place TEXT NOT NULL, standing BLOB NOT NULL, meant INTEGER DEFAULT 0) WITHOUT ROWID;
CREATE TABLE file (key TEXT PRIMARY KEY, id TEXT NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, role TEXT NOT NULL,
  version INTEGER NOT NULL, run TEXT NOT NULL, erased INTEGER DEFAULT 0, proven INTEGER DEFAULT 0) WITHOUT ROWID;
CREATE TABLE line (seq INTEGER, id TEXT NOT NULL, run TEXT NOT NULL, number INTEGER NOT NULL, sha256 TEXT NOT NULL);
"""
INDICES = (
    "CREATE INDEX by_call ON file (id, key)",
    "CREATE INDEX by_place ON call (place, id) WHERE meant",
    "CREATE INDEX by_run ON line (run, number)",
)
BATCH = 1000
MOST_FLAWS = 100
"""More are not noted: a ledger of which every line is noise would fill the memory."""

VERSION = re.compile(r"\.v([1-9][0-9]{0,8})\.[a-z0-9]+\Z", re.ASCII)

Tell = Callable[[int, int], None]
"""Told the number of files and bytes that one more step has read."""


class Selection(msgspec.Struct, kw_only=True):
    """The calls that are meant, in a temporary database that is gone when it is closed."""

    db: sqlite3.Connection
    inside: Inside
    criteria: Criteria
    as_of: str = ""  # when the newest line of the archive was written
    flaws: list[str] = msgspec.field(default_factory=list)  # what does not hold together, a sentence each
    known: set[str] = msgspec.field(
        default_factory=set
    )  # the ids among those that were asked for that a ledger tells of
    promised: set[str] = msgspec.field(default_factory=set)  # the runs whose first lines speak of a seal
    unreadable: int = 0  # calls that may be meant, and whose rows cannot be read
    erased: int = 0  # calls that may be meant, and whose rows were erased

    def standings(self) -> Iterator[Standing]:
        """Yield what the ledger says of each call that is meant, sorted by place."""
        last = ("", "")
        while True:
            query = (
                "SELECT place, id, standing FROM call WHERE meant AND (place, id) > (?, ?) ORDER BY place, id LIMIT ?"
            )
            rows = self.db.execute(query, (*last, BATCH)).fetchall()
            yield from (_standing.decode(row[2]) for row in rows)
            if len(rows) < BATCH:
                return
            last = (rows[-1][0], rows[-1][1])

    def files(self, call_id: str) -> list[ExportedFile]:
        """Return the files of a call, sorted by key, as the ledger states them."""
        query = "SELECT key, bytes, sha256, role, version, run, erased FROM file WHERE id = ? ORDER BY key"
        return [
            ExportedFile(
                key=key,
                bytes=size,
                sha256=digest,
                role=role,
                version=version,
                run=run,
                erased=bool(erased),
                is_there=not erased,
            )
            for key, size, digest, role, version, run, erased in self.db.execute(query, (call_id,))
        ]

    def counts(self) -> tuple[int, int, int]:
        """Return how many calls are meant, how many files they have, and of how many bytes."""
        (calls,) = self.db.execute("SELECT count(*) FROM call WHERE meant").fetchone()
        query = "SELECT count(*), coalesce(sum(bytes), 0) FROM file JOIN call USING (id) WHERE meant AND NOT erased"
        files, size_bytes = self.db.execute(query).fetchone()
        return calls, files, size_bytes

    def runs(self) -> list[str]:
        """Return the runs that have lines of these calls, in the order of the chain."""
        query = "SELECT run FROM line JOIN call USING (id) WHERE meant GROUP BY run ORDER BY min(seq)"
        return [row[0] for row in self.db.execute(query)]

    def numbered_lines(self, run_id: str) -> Iterator[tuple[int, str]]:
        """Return which lines of a run's ledger, counted from 0, are of these calls, and their SHA-256 in hex."""
        query = "SELECT number, line.sha256 FROM line JOIN call USING (id) WHERE meant AND run = ? ORDER BY number"
        return ((number, sha256) for number, sha256 in self.db.execute(query, (run_id,)))

    def line_hashes(self) -> Iterator[tuple[int, str]]:
        """Yield number and SHA-256 in hex of each ledger line of these calls, in the order of the chain."""
        yield from self.db.execute(
            "SELECT seq, line.sha256 FROM line JOIN call USING (id) WHERE meant ORDER BY seq, run, number"
        )

    def unproven(self, run_id: str) -> int:
        """Return how many files of these calls a run is the first to name, and no manifest has been found to name."""
        query = "SELECT count(*) FROM file JOIN call USING (id) WHERE meant AND run = ? AND NOT erased AND NOT proven"
        (count,) = self.db.execute(query, (run_id,)).fetchone()
        return int(count)

    def lines(self, key: str) -> Iterator[bytes]:
        """Yield the lines of a ledger or manifest. Raises StorageError when it cannot be read: nothing can be told then."""
        try:
            yield from self.inside.lines(key)
        except ValueError as error:
            raise StorageError(
                f"cannot read {self.inside.root / key}: {error}; `harvester verify` tells more"
            ) from None

    def flawed(self, flaw: str) -> None:
        """Note what does not hold together. No sentence tells of a call: it may be one that is not meant."""
        if len(self.flaws) < MOST_FLAWS:
            self.flaws.append(flaw)

    def close(self) -> None:
        """Let the database go."""
        self.db.close()


_standing = msgspec.msgpack.Decoder(Standing)


def select(archive: Path, criteria: Criteria, tell: Tell) -> Selection:
    """Find the calls of an archive that are meant. Raises StorageError, LedgerError."""
    db = sqlite3.connect("", isolation_level=None)
    selection = Selection(db=db, inside=Inside(archive), criteria=criteria)
    try:
        db.executescript(SCHEMA)
        db.execute("BEGIN")
        _read_ledgers(archive, selection, tell)
        for index in INDICES:
            db.execute(index)
        _choose(selection, tell)
    except BaseException:
        db.close()
        raise
    return selection


def _read_ledgers(archive: Path, selection: Selection, tell: Tell) -> None:
    _refuse_links(archive)
    after = Position()
    begun = ledger.run_ids(archive)
    for lost in sorted({folder.name for folder in ledger.run_folders(archive)} - set(begun)):
        if any(disk.exists(archive / run_key(lost, name)) for name in (MANIFEST, SEAL)):
            selection.flawed(f"{run_key(lost, LEDGER)} is missing, and its run has closed")
    for run_id in begun:
        key = run_key(run_id, LEDGER)
        sealed = _sealed_end(archive, run_id)  # before the ledger: a run may be at work
        for number, raw in enumerate(selection.lines(key)):
            if not raw.endswith(b"\n"):
                break  # torn, or still being written
            after = _read_line(selection, run_id, number, raw, after)
        if sealed not in (None, (after.seq, after.prev)):
            selection.flawed(f"{key} does not end as its seal says")
        tell(1, 0)


def _sealed_end(archive: Path, run_id: str) -> tuple[int, str] | None:
    """Return seq and hash of the last line of a run's ledger, as its seal says; None where there is none that can be read."""
    try:
        loaded = load_seal(archive, run_id)
    except SealError:
        return None  # told by who hands it over
    return (loaded[0].ledger_last_seq, loaded[0].ledger_last_line_sha256) if loaded else None


def _refuse_links(archive: Path) -> None:
    """Refuse runs that lie elsewhere. Raises StorageError."""
    with disk.guarded("look at", archive / RUNS) as step:
        disk.refuse_link(archive / RUNS, (archive / RUNS).lstat())
        for folder in step.over(ledger.run_folders(archive)):
            disk.refuse_link(folder, folder.lstat())


def _read_line(selection: Selection, run_id: str, number: int, raw: bytes, after: Position) -> Position:
    """Take in one line; return the position behind it. One that breaks the chain is a flaw, and reading goes on behind it."""
    seq = after.seq + 1
    try:
        line = ledger.decode_line(raw)
        seq, selection.as_of = line.seq, line.at
        if line.seal:
            selection.promised.add(run_id)
        if line.id in selection.criteria.ids:
            selection.known.add(line.id)
        if line.id is not None and line.place and selection.criteria.may_mean(line.id, line.place):
            _take(selection, run_id, number, line, raw)
        ledger.check_link(line, after)
    except LedgerError as error:
        selection.flawed(f"{run_key(run_id, LEDGER)}: {error}")
    return Position(run_id=run_id, seq=seq, prev=hashlib.sha256(raw).hexdigest())


def _take(selection: Selection, run_id: str, number: int, line: Line, raw: bytes) -> None:
    """Take in what a line says of a call that may be meant."""
    db, call_id, place = selection.db, line.id or "", line.place or ""
    row = db.execute("SELECT standing FROM call WHERE id = ?", (call_id,)).fetchone()
    known = _standing.decode(row[0]) if row else None
    standing = Standing(
        id=call_id,
        place=known.place if known else place,
        version=line.version or (known.version if known else 1),
        recording_state=line.recording.state if line.recording else known.recording_state if known else None,
        transcript_state=line.transcript.state if line.transcript else known.transcript_state if known else None,
        proof=(line.recording.proof if line.recording else None) or (known.proof if known else None),
        reason=line.reason,
        gone=known.gone if known and line.event == ERASED else line.gone,
        erased=line.event == ERASED or (known is not None and known.erased),
    )
    db.execute(
        "INSERT INTO call (id, place, standing) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET standing = excluded.standing",
        (call_id, standing.place, msgspec.msgpack.encode(standing)),
    )
    row = (line.seq, call_id, run_id, number, hashlib.sha256(raw).hexdigest())
    db.execute("INSERT INTO line VALUES (?, ?, ?, ?, ?)", row)
    for file in line.files:
        _take_file(selection, standing, file, run_id, line.seq)
    for file in line.erased:
        db.execute("UPDATE file SET erased = 1 WHERE key = ? AND sha256 = ?", (file.path, file.sha256))


def _take_file(selection: Selection, standing: Standing, file: File, run_id: str, seq: int) -> None:
    """Take in one file of a call: one that bears its name, and no other."""
    if not file.path.startswith(f"{standing.place}.") or not FILE_KEY.fullmatch(file.path):
        selection.flawed(f"ledger line {seq} names a file that is none of its call")
        return
    version = VERSION.search(file.path)
    row = (file.path, standing.id, file.bytes, file.sha256, file.role, int(version[1]) if version else 1, run_id)
    selection.db.execute(
        "INSERT INTO file (key, id, bytes, sha256, role, version, run) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) "
        "DO UPDATE SET role = CASE excluded.role WHEN 'adopted' THEN role ELSE excluded.role END",
        row,
    )
    known = selection.db.execute("SELECT sha256 FROM file WHERE key = ?", (file.path,)).fetchone()
    if known[0] != file.sha256:
        selection.flawed(f"ledger line {seq} says something else of a file than a line before it")


def _choose(selection: Selection, tell: Tell) -> None:
    """Mark the calls that are meant."""
    db, criteria = selection.db, selection.criteria
    if not criteria.needs_row:
        db.execute("UPDATE call SET meant = 1")
        return
    last = ""
    while rows := db.execute(
        "SELECT id, standing FROM call WHERE id > ? ORDER BY id LIMIT ?", (last, BATCH)
    ).fetchall():
        last = rows[-1][0]
        meant = [(call_id,) for call_id, standing in rows if _is_meant(selection, _standing.decode(standing), tell)]
        db.executemany("UPDATE call SET meant = 1 WHERE id = ?", meant)


def _is_meant(selection: Selection, standing: Standing, tell: Tell) -> bool:
    unreadable = erased = False
    for file in selection.files(standing.id):
        if file.role != "metadata":
            continue
        if file.erased:
            erased = True
            continue
        try:
            row = selection.inside.read(file.key)
        except ValueError:
            unreadable = True
            continue
        tell(1, len(row))
        if selection.criteria.means(exported(standing, row, ())):
            return True
        unreadable |= hashlib.sha256(row).hexdigest() != file.sha256
    selection.unreadable += unreadable
    selection.erased += erased and not unreadable
    return False
