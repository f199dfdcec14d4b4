"""Open an archive for a command that is no harvest, and give what it does a run of its own.

In:   settings.  Out: a `Desk` under the same locks as a run; on it a run with its own ledger, account, manifest and seal.

No key is needed, and the platform is not asked. Such a run bears no coverage, so nothing that looks for what was listed and
proven ever sees it.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from harvester import logs
from harvester.archive import disk
from harvester.archive.checkpoint import Checkpoint
from harvester.archive.ledger import Event, now_text
from harvester.archive.local import LocalState
from harvester.archive.mark import Mark, hold, require_mark
from harvester.archive.store import Archive, new_run_id
from harvester.errors import ConfigError, StorageError
from harvester.events import run_started
from harvester.loop import run_async
from harvester.mask import masked_typed
from harvester.place import local_state
from harvester.provenance import provenance_of, system_user
from harvester.settings import Resolved, Settings, flag_of
from harvester.vouching import is_asked_for, require_vouchers, said_of, vouchers_of


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Why something is done, and by whom, as ledger and account tell it."""

    reason: str
    operator: str
    case: str | None = None


class Deed:
    """What a command does to the archive, as a run of its own. `sums` goes into its last line and its account."""

    def __init__(self, archive: Archive, mended: list[str]) -> None:
        self.archive = archive
        self.run_id = archive.run_id
        self.mended = mended  # ids of the runs that had been cut off
        self.sums: Event = {}
        self.failures: list[StorageError] = []
        self.seal: list[str] = []  # who has vouched for the run's seal, and what of that could not be had


class _Sealing:
    """Who vouches for the seal of a run. What that takes is imported only where it is asked for: it costs half a second."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigError for a key that is not there."""
        self._settings = settings
        require_vouchers(settings)

    def vouch(self, root: Path, run_id: str) -> list[str]:
        """Have the seal vouched for; say who has, and what of that could not be had."""
        if not is_asked_for(self._settings):
            return []
        from harvester.evidence.sealing import vouch

        vouched = run_async(vouch, root, run_id, vouchers_of(self._settings))
        return said_of(vouched) + vouched.missing


class Desk:
    """An archive that this command alone may write to."""

    def __init__(self, resolved: Resolved, root: Path, mark: Mark, checkpoint: Checkpoint) -> None:
        self._resolved = resolved
        self._mark = mark
        self.root = root
        self.checkpoint = checkpoint

    @contextmanager
    def run(self, command: str, cause: Cause) -> Iterator[Deed]:
        """Begin a run, and close it behind the block. One that the block leaves by an error is mended by the next run.

        Its seal is signed and stamped as that of any run is. Raises ConfigError for a key that is not there, StorageError,
        LedgerError.
        """
        settings = self._resolved.settings
        seal = _Sealing(settings)
        began, started_at = time.monotonic(), now_text()
        run_id = new_run_id(self.root, dt.datetime.now(dt.UTC))
        # what makes room must not ask for it
        archive = Archive(self.root, self.checkpoint, run_id, min_free_bytes=0, read_only=settings.read_only)
        try:
            why = {name: value for name, value in msgspec.structs.asdict(cause).items() if value is not None}
            provenance = provenance_of(self._resolved)
            provenance = msgspec.structs.replace(provenance, platform=self._mark.platform, **why)
            about = {"command": command, **run_started(provenance)}
            deed = Deed(archive, archive.begin(about))
            yield deed
            sums = {"command": command, **_verdict(deed), **why, **deed.sums}
            account = {
                "run": run_id,
                "archive": disk.path_text(self.root),
                "started_at": started_at,
                "finished_at": now_text(),
                "seconds": round(time.monotonic() - began, 3),
                **sums,
                "mended_runs": deed.mended,
                "provenance": msgspec.to_builtins(provenance),
            }
            archive.close(sums, json.dumps(account, indent=2).encode() + b"\n")
            deed.seal = seal.vouch(self.root, run_id)
        finally:
            archive.abandon()


def cause_of(resolved: Resolved, number: str | None = None) -> Cause:
    """Return reason, operator and case, without phone numbers where they can be told; `number` is one that was asked for.

    Raises ConfigError where no reason is given: one that stands in the settings, for every night, is none for this.
    """
    settings = resolved.settings
    if not settings.reason or resolved.sources["reason"] != flag_of("reason"):
        raise ConfigError("no reason is given: say by --reason why, for whoever reads the ledger in ten years")
    numbers = (number,) if number else ()
    return Cause(
        reason=masked_typed(settings.reason, numbers),
        operator=masked_typed(settings.operator or system_user(), numbers),
        case=settings.case and masked_typed(settings.case, numbers),
    )


@contextmanager
def at_desk(resolved: Resolved) -> Iterator[Desk]:
    """Open the archive that the settings name for writing. Raises MarkError, LockedError, StorageError, LedgerError."""
    local = local_state(resolved.settings)
    mark = _mark(resolved, local)
    with local.locked(), hold(local.archive):
        logs.keep_in(local.log)
        with closing(Checkpoint.caught_up(local.checkpoint, local.archive, mark.archive_id)) as checkpoint:
            yield Desk(resolved, local.archive, mark, checkpoint)


@contextmanager
def looked_at(resolved: Resolved) -> Iterator[tuple[Path, Checkpoint]]:
    """Look at the archive that the settings name, while a run is going on too. Raises MarkError, StorageError, LedgerError."""
    local = local_state(resolved.settings)
    mark = _mark(resolved, local)
    with closing(Checkpoint.copied(local.checkpoint, local.archive, mark.archive_id)) as checkpoint:
        yield local.archive, checkpoint


def _mark(resolved: Resolved, local: LocalState) -> Mark:
    return local.expected_mark(must_exist=resolved.settings.must_exist) or require_mark(local.archive)


def _verdict(deed: Deed) -> Event:
    if not deed.failures:
        return {"verdict": "complete", "exit_code": 0}
    return {"verdict": "incomplete", "exit_code": StorageError.exit_code, "error": str(deed.failures[0])}
