"""`harvester status`: how the last run ended, and what is pending or failed and why.

In:   the archive and its local state.  Out: `Status`.

It may be asked while a run is going on, and disturbs none: it holds no lock, writes nothing, and reads the ledger as far as it is
written.
"""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import msgspec

from harvester.archive import disk, ledger
from harvester.archive.checkpoint import Checkpoint
from harvester.archive.layout import ACCOUNT, run_key
from harvester.archive.ledger import now_text
from harvester.archive.local import BULLETIN, LocalState, remembered_folder
from harvester.archive.mark import require_mark
from harvester.bulletin import ENDED, STUCK, Bulletin, read_bulletin
from harvester.errors import MarkError
from harvester.logs import escaped
from harvester.model import Entry, State
from harvester.place import local_state, state_folder
from harvester.settings import Settings
from harvester.streams import give

GOING_ON = "has not closed: it is going on"
CUT_OFF = "did not close: it was cut off (by a signal, a power cut or a full disk), and the next run mends it"


PATIENCE_SECONDS = 10.0
"""How long the archive's storage is waited for, at most: somebody sits there."""


class LastRun(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a run's account that status shows; None is what a run that was cut off could not say."""

    run: str
    verdict: str
    exit_code: int | None = None
    listed: int | None = None
    finished_at: str | None = None
    seconds: float | None = None
    listed_from: str | None = None
    windows_unproven: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str | None = None


class Open(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is not settled."""

    id: str
    place: str
    reason: str | None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What `harvester status` tells."""

    archive: str
    calls: int
    gone: int  # calls that the platform has no more
    erased: int  # calls of which the archive has erased what it held
    running: bool
    last_run: LastRun | None
    attempt: Bulletin | None  # the run that is going on, or the last attempt at one, by this machine
    pending: list[Open]
    left_out: int  # calls of which only the recording is pending, because recordings were switched off
    failed: list[Open]

    def as_json(self) -> bytes:
        """Return it as JSON in ASCII, so that nothing in it writes on a terminal."""
        return json.dumps(msgspec.to_builtins(self), indent=2).replace("\x7f", "\\u007f").encode()


def read_status(settings: Settings) -> Status:
    """Read the status of the archive that the settings name. Raises MarkError, StorageError, LedgerError."""
    local = local_state(settings)
    attempt = read_bulletin(local.bulletin)
    try:
        mark = require_mark(local.archive)
    except MarkError as error:
        told = attempt_text(attempt, local.is_locked(), None)
        raise MarkError(f"{error}; {told}" if told else str(error)) from error
    running, last_run = _newest_run(local)
    with closing(Checkpoint.copied(local.checkpoint, local.archive, mark.archive_id)) as checkpoint:
        entries = list(checkpoint.unsettled())
        calls, left_out = checkpoint.count(), checkpoint.count_left_out()
        gone, erased = calls - checkpoint.count_present(), checkpoint.count_erased()
    return Status(
        archive=disk.path_text(local.archive),
        calls=calls,
        gone=gone,
        erased=erased,
        running=running,
        last_run=last_run,
        attempt=attempt,
        pending=_open(entries, State.PENDING),
        left_out=left_out,
        failed=_open(entries, State.FAILED),
    )


def say_what_is_told(settings: Settings) -> None:
    """Say what the local state tells, for want of an archive that answers. Touches the archive by no more than its name."""
    folder = remembered_folder(state_folder(settings), settings.archive or Path())
    attempt = read_bulletin(folder / BULLETIN) if folder else None
    if settings.json:
        give(json.dumps({"attempt": msgspec.to_builtins(attempt)}, indent=2).replace("\x7f", "\\u007f"))
    elif attempt:
        give(escaped(attempt_text(attempt, attempt.phase not in (ENDED, STUCK), None)))


def attempt_text(attempt: Bulletin | None, running: bool, last_run: LastRun | None) -> str:
    """Return what there is to tell of an attempt besides what the archive tells of its last run; it may be nothing."""
    if attempt is None or (last_run and attempt.at < (last_run.finished_at or "") <= now_text()):
        return ""  # a run of another machine, or with another state folder, came behind it; one of the future had a wrong clock
    which = f"the run {attempt.run}" if attempt.run else f"the attempt of {attempt.began_at}"
    code = "" if attempt.exit_code is None else f" with exit code {attempt.exit_code}"
    reason = f": {attempt.said}" if attempt.said else ""
    if attempt.phase == STUCK:
        still = f"; its process ({attempt.pid}) is there until the storage answers" if running else ""
        return f"{which} was given up at {attempt.since}{code}{still}{reason}"
    if running:
        counts = attempt.counts
        progress = f", the last at {attempt.progress_at}" if attempt.progress_at else ""
        return (
            f"{which}, process {attempt.pid}, is {attempt.phase} since {attempt.since}: "
            f"{counts.settled:,} of {counts.expected:,} calls settled{progress}, {counts.failed:,} failed"
        )
    if attempt.phase != ENDED:
        return "" if attempt.run else f"{which} was cut off before it had begun"
    if attempt.run is None:
        return f"{which} could not begin, and ended{code}{reason}"
    unwritten = last_run is None or (last_run.run == attempt.run and last_run.exit_code is None)
    return f"{which} ended at {attempt.since}{code}{reason}" if unwritten else ""


def _newest_run(local: LocalState) -> tuple[bool, LastRun | None]:
    """Tell whether a run is going on, and what is known of the newest one that harvests: holds and erasures are passed over.

    The order matters: a run that was there before the lock was found free has ended, and has its account unless it was cut off.
    """
    begun, unbegun = ledger.run_ids_of(local.archive, ledger.HARVEST), ledger.unbegun_ids(local.archive)
    running = local.is_locked()
    newest = max(begun[-1:] + unbegun, default=None)
    if newest is None:
        return running, None
    if not running and _account(local.archive, newest) is None:
        with disk.locked(local.archive) as held:  # a run may be at work that has another state folder
            running = not held
    return running, _account(local.archive, newest) or LastRun(run=newest, verdict=GOING_ON if running else CUT_OFF)


def _account(archive: Path, run_id: str) -> LastRun | None:
    """Return what the account of a run tells; None when there is none."""
    path = archive / run_key(run_id, ACCOUNT)
    try:
        with disk.guarded("read", path):
            return msgspec.json.decode(path.read_bytes(), type=LastRun) if path.exists() else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return LastRun(run=run_id, verdict=f"its account cannot be read ({error}); `harvester verify` tells more")


def _open(entries: list[Entry], state: State) -> list[Open]:
    return [
        Open(id=e.id, place=e.place, reason=e.reason if e.recording is state and not e.left else "no transcript yet")
        for e in entries
        if state in (e.recording, e.transcript)
    ]
