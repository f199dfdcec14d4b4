"""The checkpoint's tables: their form, and how what a ledger line says of a call becomes a row, and a row an `Entry` again.

In:   ledger lines, entries, rows.  Out: entries, rows, SQL.
"""

from __future__ import annotations

from harvester.archive.ledger import ERASED, Line
from harvester.model import Entry, State

FORMAT = 5
UNSETTLED = "NOT gone AND (recording = 'failed' OR (recording = 'pending' AND NOT left_out) OR transcript = 'pending')"
LEFT_OUT = "NOT gone AND left_out AND transcript <> 'pending'"
"""Which entries are still open, and which are so only because recordings were switched off; an index bears each."""

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entry (id TEXT PRIMARY KEY, digest TEXT NOT NULL, place TEXT NOT NULL, version INTEGER NOT NULL,
  recording TEXT NOT NULL, transcript TEXT NOT NULL, offered INTEGER NOT NULL, link TEXT, left_out INTEGER NOT NULL,
  gone INTEGER NOT NULL, reason TEXT, erased INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS unsettled ON entry (place) WHERE {UNSETTLED};
CREATE INDEX IF NOT EXISTS left_out ON entry (place) WHERE {LEFT_OUT};
CREATE INDEX IF NOT EXISTS erased ON entry (place) WHERE erased;
CREATE TABLE IF NOT EXISTS run (number INTEGER PRIMARY KEY, past TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tally (number INTEGER PRIMARY KEY, calls INTEGER NOT NULL, gone INTEGER NOT NULL);
INSERT OR IGNORE INTO tally VALUES (1, 0, 0);
CREATE TRIGGER IF NOT EXISTS added AFTER INSERT ON entry
  BEGIN UPDATE tally SET calls = calls + 1, gone = gone + NEW.gone; END;
CREATE TRIGGER IF NOT EXISTS changed AFTER UPDATE ON entry WHEN NEW.gone <> OLD.gone
  BEGIN UPDATE tally SET gone = gone + NEW.gone - OLD.gone; END;
"""
"""The tally is kept because counting a million entries reads the whole file: half a second, and several from a disk that has
not been read since last night."""

NAMES = (
    "id", "digest", "place", "version", "recording", "transcript", "offered", "link", "left_out", "gone", "reason",
    "erased",
)  # fmt: skip
COLUMNS = ", ".join(NAMES)
LEARN = (
    f"INSERT INTO entry VALUES ({', '.join('?' * len(NAMES))}) "
    f"ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in NAMES[1:-1])}, "
    "erased = max(erased, excluded.erased)"
)
"""A call that was erased stays so, whatever later lines say of it."""

Row = tuple[str, str, str, int, str, str, int, str | None, int, int, str | None, int]


def entry_of(line: Line) -> Entry | None:
    """Return what a ledger line says of its call; None for the lines that are about no call."""
    if line.id is None or line.recording is None or line.transcript is None:
        return None
    return Entry(
        id=line.id,
        digest=line.digest or "",
        place=line.place or "",
        version=line.version or 0,
        recording=line.recording.state,
        transcript=line.transcript.state,
        offered=line.recording.offered,
        link=line.recording.link,
        left=line.recording.left,
        gone=line.gone,
        reason=line.reason,
        erased=line.event == ERASED,
    )


def row_of(e: Entry) -> Row:
    """Return an entry as a row, in the order of COLUMNS.

    Of texts and numbers themselves: for each of a type made of them, as a State or a bool is, SQLite looks for an adapter.
    """
    return (
        e.id, e.digest, e.place, e.version, e.recording.value, e.transcript.value, int(e.offered), e.link, int(e.left),
        int(e.gone), e.reason, int(e.erased),
    )  # fmt: skip


def entry_from(row: Row) -> Entry:
    """Return the entry that a row, in the order of COLUMNS, holds."""
    call_id, digest, place, version, recording, transcript, offered, link, left, gone, reason, erased = row
    return Entry(
        id=call_id,
        digest=digest,
        place=place,
        version=version,
        recording=State(recording),
        transcript=State(transcript),
        offered=bool(offered),
        link=link,
        left=bool(left),
        gone=bool(gone),
        reason=reason,
        erased=bool(erased),
    )
