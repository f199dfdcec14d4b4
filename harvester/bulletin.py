"""What the local state tells of the run that is going on, or of the last attempt at one: `status.json`.

In:   phases, counts, how an attempt ended.  Out: a small file, always whole; and what it says, for `harvester status`.

It lies on local disk, so it can be written, and read, when the archive's storage cannot: a night that could not begin has left
no trace in the archive. Only who holds the lock writes it. It is not the truth about anything that is saved, so it is not
fsynced, and where it cannot be written the run goes on without.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from harvester.archive import disk
from harvester.archive.ledger import now_text
from harvester.errors import HarvestError, StorageError
from harvester.exhaustion import NO_MEMORY, is_want_of_memory
from harvester.mask import masked

if TYPE_CHECKING:
    from harvester.report import Account

log = logging.getLogger(__name__)

EVERY_SECONDS = 5.0
"""How often the counts of a run that is going on are written."""

BEGINNING, WORKING, CLOSING, ENDED, STUCK = "beginning", "working", "closing", "ended", "stuck"
"""The phases of an attempt. `stuck`: its storage hung, and it was given up."""

UNEXPECTED = "unexpected error, a bug; the log tells where"
EXIT_INTERRUPTED = 130

LOCK_SECONDS = 1.0
"""How long the last word waits for a write that may hang itself."""

_writing = threading.Lock()


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run has got, in calls; `written_bytes` of recordings, transcripts and rows."""

    expected: int = 0
    settled: int = 0
    failed: int = 0
    written_bytes: int = 0


class Bulletin(msgspec.Struct, frozen=True, kw_only=True):
    """What `status.json` says. Instants are in UTC."""

    archive: str
    pid: int
    phase: str
    began_at: str
    since: str  # when the phase began
    at: str  # when this was written
    run: str | None = None  # None: nothing was written into the archive
    counts: Counts = Counts()
    progress_at: str | None = None  # when the last call was settled
    verdict: str | None = None
    exit_code: int | None = None
    said: str | None = None  # the sentence that says what went wrong
    alarms: tuple[str, ...] = ()  # also those that came up when the run's account in the archive was written already


class Board:
    """Where the bulletins of one attempt are put up. Without a path it is a board that nobody sees."""

    def __init__(self, path: Path | None, archive: Path, counts: Callable[[], Counts] = Counts) -> None:
        """`counts` tells how far the run has got; it is called from the thread that writes."""
        self._path = path
        self._counts = counts
        self._written = 0.0  # on the monotonic clock
        self._complained = False
        now = now_text()
        self._last = Bulletin(
            archive=disk.path_text(archive), pid=os.getpid(), phase=BEGINNING, began_at=now, since=now, at=now
        )

    def enter(self, phase: str, run: str | None = None) -> None:
        """Say that a phase has begun; from `WORKING` on, in which run."""
        self._put(phase=phase, since=now_text(), run=run or self._last.run)

    def beat(self) -> None:
        """Say how far the run has got, if that was not said a moment ago."""
        if time.monotonic() - self._written >= EVERY_SECONDS:
            self._put()

    def conclude(self, account: Account) -> None:
        """Say how the run has ended."""
        self._end(account.verdict, account.exit_code, account.error, tuple(map(masked, account.alarms)))

    def fail(self, error: BaseException) -> None:
        """Say why there is no run."""
        if isinstance(error, HarvestError):
            self._end("incomplete", error.exit_code, str(error))
        elif isinstance(error, Exception):
            said = NO_MEMORY if is_want_of_memory(error) else UNEXPECTED
            self._end("incomplete", HarvestError.exit_code, said)
        else:
            self._end("interrupted", EXIT_INTERRUPTED, None)

    def _end(self, verdict: str, exit_code: int, said: str | None, alarms: tuple[str, ...] = ()) -> None:
        said = masked(said) if said else None
        self._put(phase=ENDED, since=now_text(), verdict=verdict, exit_code=exit_code, said=said, alarms=alarms)

    def _put(self, **changed: object) -> None:
        if self._path is None:
            return
        with _writing:
            counts, now = self._counts(), now_text()
            moved = {"progress_at": now} if counts != self._last.counts else {}
            self._last = msgspec.structs.replace(self._last, at=now, counts=counts, **moved, **changed)
            self._written = time.monotonic()
            try:
                put_up(self._path, self._last)
            except StorageError as error:
                log.log(
                    logging.INFO if self._complained else logging.WARNING, "%s is not kept: %s", self._path.name, error
                )
                self._complained = True


@contextmanager
def board_for(path: Path | None, archive: Path, counts: Callable[[], Counts] = Counts) -> Iterator[Board]:
    """Say that an attempt begins, and whatever error ends the block. The lock must be held."""
    board = Board(path, archive, counts)
    board.enter(BEGINNING)
    try:
        yield board
    except BaseException as error:
        board.fail(error)
        raise


def give_up(path: Path, archive: Path, sentence: str) -> None:
    """Say that the storage hangs and the run is given up; what is known of the run stays. The last word of a process.

    For another thread than the run's.
    """
    _writing.acquire(timeout=LOCK_SECONDS)  # for good: the process ends, and nothing is to be put up over this
    last = read_bulletin(path)
    now = now_text()
    if last is None or last.pid != os.getpid():
        last = Bulletin(archive=disk.path_text(archive), pid=os.getpid(), phase=STUCK, began_at=now, since=now, at=now)
    ended = {"verdict": "incomplete", "exit_code": StorageError.exit_code, "said": masked(sentence)}
    with suppress(StorageError):
        put_up(path, msgspec.structs.replace(last, phase=STUCK, since=now, at=now, **ended))


def put_up(path: Path, bulletin: Bulletin) -> None:
    """Write a bulletin in ASCII, whole or not at all. Raises StorageError."""
    text = json.dumps(msgspec.to_builtins(bulletin), indent=2).replace("\x7f", "\\u007f")
    part = path.with_name(f"{path.name}.part")
    with disk.guarded("write", part):
        part.write_bytes(text.encode() + b"\n")
        part.replace(path)


def read_bulletin(path: Path) -> Bulletin | None:
    """Return what the bulletin says; None where there is none, or one that cannot be read."""
    try:
        with disk.guarded("read", path):
            data = path.read_bytes()
        return msgspec.json.decode(data, type=Bulletin)
    except (StorageError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
