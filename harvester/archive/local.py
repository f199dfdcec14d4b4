"""The local state of an archive: lock, checkpoint, log, and the memory that an archive was here, and whose.

In:   the archive's path.  Out: a folder on local disk that belongs to it.

Locks and SQLite do not hold on network shares, so all of it lies on this machine, in the user's state folder, one folder
per archive.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import msgspec

from harvester.archive import disk, steps
from harvester.archive.mark import Mark, read_mark
from harvester.errors import LockedError, MarkError

LOG = "harvester.log"
BULLETIN = "status.json"
KNOWN = "archive.json"


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    archive: str
    archive_id: str
    account: str | None = None  # the first that a run has learnt, where the mark tells none


class LocalState:
    """The local state that belongs to the archive at `archive`; `state_folder` holds those of all archives."""

    def __init__(self, state_folder: Path, archive: Path, checkpoint: Path | None = None) -> None:
        """`checkpoint` is the checkpoint's file, where it is to lie elsewhere."""
        self.archive = archive
        with steps.step("look at", archive):
            real = archive.resolve()
        name = re.sub(r"[^A-Za-z0-9]+", "-", real.name).strip("-")[:40] or "archive"
        self.folder = state_folder / f"{name}-{hashlib.sha256(os.fsencode(real)).hexdigest()[:12]}"
        self.checkpoint = checkpoint or self.folder / "checkpoint.db"
        self.log = self.folder / LOG
        self.bulletin = self.folder / BULLETIN
        self._lock = self.folder / "lock"
        self._known = self.folder / KNOWN

    @contextmanager
    def locked(self, wait_seconds: float = disk.GLANCE_SECONDS) -> Iterator[None]:
        """Hold the archive's lock. A lock left behind by a dead process is none.

        Raises LockedError when another process holds it for all of `wait_seconds`.
        """
        with disk.guarded("create the folder", self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self._lock, timeout=wait_seconds)
        with disk.guarded("lock", self.folder):
            try:
                lock.acquire()
            except filelock.Timeout as error:  # an OSError too, so it is told apart before `guarded` sees it
                raise LockedError(
                    f"another run is at work on the archive {self.archive}; wait for it to end, or stop it first"
                ) from error
        try:
            yield
        finally:
            lock.release()

    def is_locked(self) -> bool:
        """Tell whether a run is going on. Waits for nothing, and makes no folder. Raises StorageError."""
        if not disk.exists(self._lock):
            return False
        try:
            with self.locked(wait_seconds=0):
                return False
        except LockedError:
            return True

    def expected_mark(self, *, must_exist: bool) -> Mark | None:
        """Return the archive's mark, or None where a new archive may be made.

        An account that the mark does not tell is filled in from what an earlier run has learnt.
        Raises MarkError when an archive is expected here and it, or its mark, is missing or is another one.
        """
        mark, known = read_mark(self.archive), self._read_known()
        if mark is None and (must_exist or known):
            raise MarkError(
                f"no archive at {self.archive}, where there should be one: is the disk or the share mounted? "
                f"If the archive was given up on purpose, remove {self._known}"
                if known
                else f"no archive at {self.archive}, and must_exist is set: is the disk or the share mounted? "
                "`harvester init` makes a new archive"
            )
        if mark and known and mark.archive_id != known.archive_id:
            raise MarkError(
                f"another archive lies at {self.archive} than the one this machine knows there; if that is meant, "
                f"remove {self._known}"
            )
        if mark and known and mark.account is None:
            return msgspec.structs.replace(mark, account=known.account)
        return mark

    def remember(self, mark: Mark, account: str | None = None) -> None:
        """Note that the archive is expected here from now on, and whose it is: the mark's account, or the first one learnt."""
        before = self._read_known()
        learnt = before.account if before and before.archive_id == mark.archive_id else None
        owner = mark.account or learnt or account
        known = _Known(archive=disk.path_text(self.archive), archive_id=mark.archive_id, account=owner)
        if before != known:
            disk.replace_durable(self._known, msgspec.json.encode(known) + b"\n")

    def _read_known(self) -> _Known | None:
        return _read_known(self._known)


def remembered_folder(state_folder: Path, archive: Path) -> Path | None:
    """Return the folder of an archive's local state without looking at the archive: it may lie on a share that hangs.

    It is found by the name that the archive had when a run last made or found it. Raises StorageError.
    """
    for name in disk.names(state_folder):
        known = _read_known(state_folder / name / KNOWN)
        if known and known.archive == disk.path_text(archive):
            return state_folder / name
    return None


def _read_known(path: Path) -> _Known | None:
    if not disk.exists(path):
        return None
    with disk.guarded("read", path):
        data = path.read_bytes()
    try:
        return msgspec.json.decode(data, type=_Known)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
