"""`harvester status`: how the last run ended, and what is pending or failed and why.

In:   the archive and its local state.  Out: `Status`.

It may be asked while a run is going on: then the checkpoint is read as it is, and nothing is waited for.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import msgspec

from harvester.archive import disk, ledger
from harvester.archive.checkpoint import Checkpoint
from harvester.archive.layout import ACCOUNT, run_key
from harvester.archive.mark import require_mark
from harvester.errors import LockedError
from harvester.model import Entry, State
from harvester.place import local_state
from harvester.settings import Settings


class LastRun(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a run's account that status shows; what a run that was cut off could not say is empty."""

    run: str
    verdict: str
    exit_code: int = 0
    listed: int = 0
    finished_at: str = ""
    seconds: float = 0.0
    windows_unproven: tuple[str, ...] = ()
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
    running: bool
    last_run: LastRun | None
    pending: list[Open]
    failed: list[Open]

    def as_json(self) -> bytes:
        """Return it as JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)


def read_status(settings: Settings) -> Status:
    """Read the status of the archive that the settings name. Raises MarkError, StorageError, LedgerError."""
    local = local_state(settings)
    mark = require_mark(local.archive)
    with ExitStack() as stack:
        running = False
        try:
            stack.enter_context(local.locked())
            checkpoint = Checkpoint.caught_up(local.checkpoint, local.archive, mark.archive_id)
        except LockedError:
            running = True
            checkpoint = Checkpoint(local.checkpoint, mark.archive_id)
        stack.callback(checkpoint.close)
        entries = list(checkpoint.unsettled())
        calls = checkpoint.count()
    return Status(
        archive=str(local.archive),
        calls=calls,
        running=running,
        last_run=_last_run(local.archive),
        pending=_open(entries, State.PENDING),
        failed=_open(entries, State.FAILED),
    )


def _last_run(archive: Path) -> LastRun | None:
    for run_id in reversed(ledger.run_ids(archive)):
        path = archive / run_key(run_id, ACCOUNT)
        with disk.guarded("read", path):
            if path.exists():
                return msgspec.json.decode(path.read_bytes(), type=LastRun)
    return None


def _open(entries: list[Entry], state: State) -> list[Open]:
    return [Open(id=e.id, place=e.place, reason=e.reason) for e in entries if e.recording is state]
