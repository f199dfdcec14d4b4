"""The ledger: one line per outcome, each bearing the hash of the line before it, across all runs of the archive.

In:   events.  Out: durable lines; and the lines again, checked, from any point on.

One JSON object a line, ASCII only. `prev` is the SHA-256 of the previous line's bytes with its newline; the first line of the
archive has 64 zeros. `seq` counts on across runs. The ledger is the truth: the checkpoint is rebuilt from it, the manifests are
written from it. docs/archive-format.md describes the events and shows how to check the chain from a shell.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec

from harvester.archive import disk, steps
from harvester.archive.layout import ACCOUNT, LEDGER, MANIFEST, PLACE, RUN_ID, RUNS, SEAL, run_key
from harvester.errors import LedgerError
from harvester.model import Count, Coverage, File, PastRun, State

RUN_STARTED = "run-started"
"""The event of a run's first line."""

ERASED = "erased"
"""The event of a tombstone: a call whose files were removed on purpose."""

HARVEST = "run"
"""The command of a run that lists and fetches; first lines that name none mean it. Others are `hold` and `erase`."""

GENESIS = "0" * 64
"""What the first line of an archive continues."""

LONGEST_LINE_BYTES = 16 * 1024 * 1024

_UNREADABLE = (
    "restore it from a copy of the archive, or move its folder elsewhere when no run of harvester has made that; "
    "`harvester verify` tells more"
)

Event = dict[str, Any]


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """How the recording or the transcript of a call ended, as a line tells it; unknown members are left out."""

    state: State
    offered: bool = False
    link: str | None = None
    left: bool = False
    proof: str | None = None  # of a recording that this line tells to be saved


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What every line has, and what a call's line has besides; other members are left to whoever knows the event."""

    seq: Count
    prev: str
    event: str
    at: str
    id: str | None = None
    digest: str | None = None
    place: Annotated[str, msgspec.Meta(pattern=f"^{PLACE.pattern}\\Z")] | None = None  # files are written there
    version: Count | None = None
    recording: Side | None = None
    transcript: Side | None = None
    files: tuple[File, ...] = ()
    erased: tuple[File, ...] = ()  # of a tombstone: what lies there no more
    reason: str | None = None
    gone: bool = False
    command: str | None = None  # of a run's first line: what it did, where that was no harvest
    verdict: str | None = None
    seal: int | None = None  # in a run's first line: the form of the seal that the run gets when it closes
    coverage: msgspec.Raw = msgspec.Raw()  # read by `past_run_of`, so that an unknown form of it spoils no line


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """A point in the chain: behind `offset_bytes` of the ledger of `run_id`, after line `seq`, whose hash is `prev`."""

    run_id: str = ""
    offset_bytes: int = 0
    seq: int = 0
    prev: str = GENESIS


_line = msgspec.json.Decoder(Line)
_coverage = msgspec.json.Decoder(Coverage)


def run_ids(archive: Path) -> list[str]:
    """Return the ids of all runs that have a ledger with a line in it, in the order of the chain.

    The order is that of the first line's `seq`, not of the names: a clock that was set back must not reorder the chain.
    """
    return [run_id for run_id, _ in first_lines(archive)]


def run_ids_of(archive: Path, *commands: str) -> list[str]:
    """Return the ids of the runs, in the order of the chain, whose first line names one of these commands."""
    return [run_id for run_id, line in first_lines(archive) if (line.command or HARVEST) in commands]


def first_lines(archive: Path, newest: int = 0) -> list[tuple[str, Line]]:
    """Return id and first line of all runs that have one, or of so many `newest`, chained. Raises LedgerError, StorageError."""
    with disk.guarded("read", archive / RUNS) as step:
        folders = sorted(run_folders(archive))[-newest:]  # 0: all
        started = [(_first_line(folder / LEDGER), folder.name) for folder in step.over(folders)]
    begun = [(run_id, _line_of(run_id, raw)) for raw, run_id in started if raw is not None]
    return sorted(begun, key=lambda each: (each[1].seq, each[0]))


def unbegun_ids(archive: Path) -> list[str]:
    """Return the ids of the runs that were cut off before their first line was whole. They have settled nothing."""
    with disk.guarded("read", archive / RUNS) as step:
        return sorted(
            folder.name
            for folder in step.over(run_folders(archive))
            if not any((folder / name).exists() for name in (MANIFEST, ACCOUNT, SEAL))
            and not (folder / LEDGER).is_symlink()
            and not _is_no_file(folder / LEDGER)
            and _first_line(folder / LEDGER) is None
        )


def run_folders(archive: Path) -> list[Path]:
    """Return the folders of all runs, in no order. Raises OSError."""
    return [path for path in (archive / RUNS).glob("*") if RUN_ID.fullmatch(path.name)]


def decode_line(raw: bytes) -> Line:
    """Read one line by itself. Raises LedgerError when it cannot be read."""
    try:
        return _line.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LedgerError(f"the line cannot be read ({error})") from error


def past_run_of(line: Line, run_id: str) -> PastRun | None:
    """Return what the last line of a run tells of its coverage; None for every other line, and for one in an unknown form."""
    if not bytes(line.coverage):
        return None
    try:
        coverage = _coverage.decode(line.coverage)
        closed_at = dt.datetime.fromisoformat(line.at)
    except (msgspec.DecodeError, ValueError):
        return None
    return PastRun(run=run_id, closed_at=closed_at, verdict=line.verdict or "", coverage=coverage)


def check_link(line: Line, after: Position) -> None:
    """Hold a line against the one before it. Raises LedgerError when it does not continue the chain."""
    if line.prev != after.prev or line.seq != after.seq + 1:
        raise LedgerError(f"line {line.seq} does not continue line {after.seq}: lines were altered, lost or added")


def read_run(archive: Path, run_id: str, after: Position) -> Iterator[tuple[Line, bytes, Position]]:
    """Yield the whole lines of one run's ledger from `after` on: the line, its bytes, and the position behind it.

    A torn last line is left out; `torn_bytes` tells of it. Raises LedgerError, StorageError.
    """
    path = archive / RUNS / run_id / LEDGER
    offset = after.offset_bytes if after.run_id == run_id else 0
    with disk.guarded("read", path) as step, path.open("rb") as file:
        file.seek(offset)
        while raw := file.readline(LONGEST_LINE_BYTES):
            step.moves += 1
            if not raw.endswith(b"\n"):
                return
            line = _line_of(run_id, raw, after)
            offset += len(raw)
            after = Position(run_id=run_id, offset_bytes=offset, seq=line.seq, prev=hashlib.sha256(raw).hexdigest())
            yield line, raw, after


def read_from(archive: Path, after: Position) -> Iterator[tuple[Line, Position]]:
    """Yield every line of the archive behind `after`, with the position behind it.

    Raises LedgerError when a line is unreadable, does not continue the chain, or when `after` is not in it.
    """
    ids = run_ids(archive)
    if after.run_id and after.run_id not in ids:
        raise LedgerError(f"the ledger of run {after.run_id} is missing")
    for run_id in ids[ids.index(after.run_id) if after.run_id else 0 :]:
        for line, _, behind in read_run(archive, run_id, after):
            after = behind
            yield line, behind


def is_in_chain(archive: Path, position: Position) -> bool:
    """Whether a line that is the one of `position` still ends there."""
    path = archive / RUNS / position.run_id / LEDGER
    try:
        with steps.step("read", path), path.open("rb") as file:
            start = max(0, position.offset_bytes - LONGEST_LINE_BYTES)
            file.seek(start)
            read = file.read(position.offset_bytes - start)
    except OSError:
        return False
    last = read[read.rfind(b"\n", 0, len(read) - 1) + 1 :]
    return len(read) == position.offset_bytes - start and hashlib.sha256(last).hexdigest() == position.prev


def whole_lines(archive: Path, run_id: str) -> Iterator[Line]:
    """Yield the lines of one run without looking at the chain. Raises LedgerError, StorageError."""
    return (_line_of(run_id, raw) for raw in raw_lines(archive, run_id))


def raw_lines(archive: Path, run_id: str) -> Iterator[bytes]:
    """Yield the bytes of the whole lines of one run, for who knows more members than `Line`. Raises StorageError."""
    path = archive / RUNS / run_id / LEDGER
    with disk.guarded("read", path) as step, path.open("rb", buffering=disk.READ_BLOCK_BYTES) as file:
        for raw in step.over(file):
            if raw.endswith(b"\n"):
                yield raw


class Ledger:
    """The ledger of the run that is going on. Its lines are durable when `append` returns."""

    def __init__(self, path: Path, after: Position) -> None:
        """Create the file of a new run; `after` is the end of the chain so far. Raises StorageError."""
        self.path = path
        self._run_id = path.parent.name
        self.position = Position(run_id=self._run_id, seq=after.seq, prev=after.prev)
        with disk.guarded("create", path):
            self._file = path.open("xb", buffering=0)
        disk.sync_folder(path.parent)

    def append(self, events: list[Event]) -> None:
        """Write one line per event, at one instant, and make them durable together. Raises StorageError."""
        seq, prev, at, block = self.position.seq, self.position.prev, now_text(), bytearray()
        for event in events:
            seq += 1
            raw = encode({"seq": seq, "prev": prev, "at": at, **event})
            prev = hashlib.sha256(raw).hexdigest()
            block += raw
        with disk.guarded("write", self.path):
            view = memoryview(block)
            while view:
                view = view[self._file.write(view) :]
            os.fsync(self._file.fileno())
        self.position = Position(
            run_id=self._run_id, offset_bytes=self.position.offset_bytes + len(block), seq=seq, prev=prev
        )

    def close(self) -> None:
        """Close the file. Its lines are durable by now: an error that a share has kept for this moment is about none of them."""
        with suppress(OSError):
            self._file.close()


def encode(event: Event) -> bytes:
    """Write an event as a line: ASCII, so that it is the same text under every encoding, and one newline at its end."""
    with suppress(UnicodeEncodeError):
        if (raw := msgspec.json.encode(event)).isascii():  # so nearly every line, in a fifth of the time
            return raw + b"\n"
    text = json.dumps(event, ensure_ascii=True, separators=(",", ":"), default=msgspec.to_builtins)
    if "\\ud" in text:  # perhaps half a surrogate pair, from odd bytes outside: a line that no strict reader would take
        clean = json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8", "replace")
        text = json.dumps(json.loads(clean), ensure_ascii=True, separators=(",", ":"))
    return text.encode() + b"\n"


def now_text() -> str:
    """Return the time of day in UTC as lines and accounts state it, to the millisecond."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _line_of(run_id: str, raw: bytes, after: Position | None = None) -> Line:
    """Read one line of a run's ledger, which comes `after` another. Raises LedgerError that names it and says what to do."""
    try:
        line = decode_line(raw)
        if after:
            check_link(line, after)
        return line
    except LedgerError as error:
        raise LedgerError(f"{run_key(run_id, LEDGER)}: {error}; {_UNREADABLE}") from error


def _is_no_file(path: Path) -> bool:
    """Whether a folder, a pipe or a device lies in the place of a ledger: who opens a pipe waits for ever."""
    return path.exists() and not path.is_file()


def _first_line(path: Path) -> bytes | None:
    if _is_no_file(path):
        raise LedgerError(f"{run_key(path.parent.name, LEDGER)} is no file; {_UNREADABLE}")
    if not path.exists():
        return None
    with path.open("rb") as file:
        raw = file.readline(LONGEST_LINE_BYTES)
    return raw if raw.endswith(b"\n") else None
