"""The ground on which an archive and its local state are to stand: what their file systems can do, found out by trying.

In:   a `LocalState`, which knows both folders.  Out: `Ground`: findings, and the archive's mark.

Everything is tried in a folder of its own, which is removed whatever happens; the archive's files are not touched, so a run that
is going on is not disturbed. Where an archive is expected and not there, nothing is tried: it would be the wrong disk.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import msgspec

from harvester.archive import disk, ledger
from harvester.archive.local import LocalState
from harvester.archive.mark import TRIAL, Mark
from harvester.archive.mounts import LAYERS, MEMORY, Mount, read_mount
from harvester.archive.store import DEFAULT_MIN_FREE_BYTES, SMALL_DISK_SHARE
from harvester.archive.trial import trial_folder, try_folder
from harvester.errors import HarvestError, LedgerError, StorageError

ARCHIVE = "archive"
LOCAL_STATE = "local state"
LOOKED_AT_RUNS = 100
"""Of the newest that many: it is done in milliseconds, and `verify` reads all."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one look has found."""

    area: str
    verdict: str  # "good", "note" or "bad"
    said: str  # one sentence: what was found
    advice: str = ""  # what to change; empty when it is good
    exit_code: int = 0  # with which a run would end because of it


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, and the archive's mark where there is one."""

    findings: list[Finding]
    mark: Mark | None


def good(area: str, said: str) -> Finding:
    """Return the finding that something is as it should be."""
    return Finding(area=area, verdict="good", said=said)


def note(area: str, said: str, advice: str) -> Finding:
    """Return the finding that something is odd, and does no harm by itself."""
    return Finding(area=area, verdict="note", said=said, advice=advice)


def bad(area: str, error: HarvestError, advice: str, before: str = "") -> Finding:
    """Return the finding of an error; what its message says behind a semicolon is the advice, else `advice` is."""
    said, _, own = str(error).partition("; ")
    return Finding(area=area, verdict="bad", said=before + said, advice=own or advice, exit_code=error.exit_code)


def examine_archive(
    local: LocalState, *, must_exist: bool, min_free_bytes: int | None, read_only: bool = False
) -> Ground:
    """Examine the archive's folder, or the nearest above it that exists. Blocks. Raises nothing that is a HarvestError."""
    mark, findings = None, list[Finding]()
    try:
        mark = local.expected_mark(must_exist=must_exist)
        place = nearest(local.archive)
        findings.append(_presence(local, mark, place))
    except StorageError as error:
        return Ground(findings=[bad(ARCHIVE, error, "mount the share, or name the archive's folder")], mark=None)
    findings += _running(local, place)
    is_there = place == local.archive.absolute()
    findings += _tried(
        place,
        "" if is_there else f"the archive's folder does not exist, and in the nearest above it, {place}: ",
        read_only=read_only,
    )
    findings += _ledgers(local.archive) if mark else []
    findings.append(_room(place, min_free_bytes))
    findings += lasting(place, read_mount(place))
    return Ground(findings=findings, mark=mark)


def examine_local_state(local: LocalState, *, has_archive: bool) -> list[Finding]:
    """Examine the folders of lock and checkpoint. `has_archive`: there is one that a checkpoint would be of. Blocks."""
    findings = []
    for folder in dict.fromkeys((local.folder, local.checkpoint.parent)):
        try:
            place = nearest(folder)
        except StorageError as error:
            findings.append(bad(LOCAL_STATE, error, "name another folder with state_folder"))
            continue
        findings += local_enough(place, read_mount(place))
        findings.append(_database(folder, place))
    findings.append(_checkpoint(local.checkpoint, has_archive=has_archive))
    return findings


def nearest(folder: Path) -> Path:
    """Return the folder, or the nearest above it that exists. Raises StorageError when that is no folder, or cannot be told."""
    place = folder.absolute()
    while not disk.exists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise StorageError(f"{place} is no folder; name a folder")
    return place


def _tried(place: Path, where: str, *, read_only: bool) -> list[Finding]:
    """Try the archive's folder; `where` begins what is bad."""
    try:
        notes = [note(ARCHIVE, f"{place}: {said}", advice) for said, advice in try_folder(place, read_only=read_only)]
    except StorageError as error:
        return [bad(ARCHIVE, error, "mount the disk or the share writable, or name another folder", where)]
    said = (
        f"{place} can be written: files are made durable, renamed and never written over; names of 100 bytes are taken"
    )
    return [good(ARCHIVE, said), *notes, *_left_behind(place)]


def _ledgers(archive: Path) -> list[Finding]:
    """Tell of a ledger among the newest that nobody can read: every command but `verify` would end because of it."""
    try:
        ledger.first_lines(archive, newest=LOOKED_AT_RUNS)
    except (LedgerError, StorageError) as error:
        return [bad(ARCHIVE, error, "see `harvester verify`")]
    return []


def _left_behind(place: Path) -> list[Finding]:
    """Name what a doctor that was killed could not remove."""
    return [
        note(
            ARCHIVE,
            f"{place / name} was left behind by a `harvester doctor` that was killed",
            "remove it, unless another one is at work just now",
        )
        for name in sorted(disk.names(place))
        if name.startswith(TRIAL)
    ]


def _presence(local: LocalState, mark: Mark | None, place: Path) -> Finding:
    if mark:
        return good(ARCHIVE, f"{local.archive} is an archive, made at {mark.created_at} for {mark.platform}")
    there = "is empty" if place == local.archive.absolute() else f"does not exist; {place} was examined in its place"
    return note(
        ARCHIVE,
        f"there is no archive yet: {local.archive} {there}",
        "nothing, if a new one is meant: `harvester init` or the first run makes it; else mount the share",
    )


def _running(local: LocalState, place: Path) -> list[Finding]:
    """Tell whether a run holds the archive, by this local state or by another."""
    said = ""
    try:
        if local.is_locked():
            said = "a run is at work on the archive just now"
        elif place == local.archive.absolute():
            with disk.locked(place) as free:
                said = "" if free else "a run with another state folder is at work on the archive just now"
    except StorageError as error:
        return [bad(ARCHIVE, error, "give the user that runs harvester the right to write there")]
    advice = "nothing: it is not disturbed by this; a second run would end with exit code 7"
    return [note(ARCHIVE, said, advice)] if said else []


def _room(place: Path, min_free_bytes: int | None) -> Finding:
    """Hold what is free against what a run leaves free, as Archive.check_room does, and see whether files can be made at all."""
    try:
        total, free = disk.space_bytes(place)
        free_files = _free_files(place)
    except StorageError as error:
        return bad(ARCHIVE, error, "check the disk")
    least = min(DEFAULT_MIN_FREE_BYTES, int(total * SMALL_DISK_SHARE)) if min_free_bytes is None else min_free_bytes
    said = f"{free:,} of {total:,} bytes are free at {place}, and a run leaves {least:,} free (min_free)"
    if free_files == 0:
        said = f"the file system of {place} has no room for another file, however small (inodes)"
    if free < least or not free or free_files == 0:
        return Finding(area=ARCHIVE, verdict="bad", said=said, advice="make room", exit_code=StorageError.exit_code)
    return good(ARCHIVE, said)


def _free_files(place: Path) -> int | None:
    """Return how many files more the file system takes; None where it does not count them. Raises StorageError."""
    if sys.platform == "win32":
        return None
    with disk.guarded("look at", place):
        found = os.statvfs(place)
    return found.f_favail if found.f_files else None


def lasting(place: Path, mount: Mount | None) -> list[Finding]:
    """Say on what the archive lies, and what that means for it."""
    if mount is None:
        return []
    if mount.is_share:
        said, advice = f"{place} is on a share ({mount})", "set must_exist, so that no run fills the disk below it"
    elif mount.is_program:
        said = f"{place} is on a file system made by a program ({mount})"
        advice = "make sure that what it calls written is so: some keep it in a cache (rclone: --vfs-cache-mode full)"
    elif mount.type in MEMORY:
        said, advice = f"{place} is in memory ({mount})", "name a folder on a disk: this one is empty after a restart"
    elif mount.type in LAYERS:
        said = f"{place} is in a container's own layer ({mount})"
        advice = "mount a volume for the archive: the layer goes when the container goes"
    else:
        return [good(ARCHIVE, f"{place} is on a local disk ({mount})")]
    return [note(ARCHIVE, said, advice)]


def local_enough(place: Path, mount: Mount | None) -> list[Finding]:
    """Say whether the local state lies on this machine: SQLite and locks do not hold on shares."""
    if mount is None:
        return []
    said, advice = f"the local state is to lie on a share ({mount})", "name a folder on a local disk with state_folder"
    if mount.is_share:
        return [Finding(area=LOCAL_STATE, verdict="bad", said=said, advice=advice, exit_code=StorageError.exit_code)]
    if mount.is_program:
        said = f"the local state is to lie on a file system made by a program ({mount})"
        return [note(LOCAL_STATE, said, advice)]
    return [good(LOCAL_STATE, f"{place} is on a local file system ({mount})")]


def _database(folder: Path, place: Path) -> Finding:
    """Try an SQLite database with a write-ahead log, as the checkpoint is one."""
    instead = "" if place == folder.absolute() else f" (of {folder}, which does not exist yet)"
    advice = "name a local folder that may be written with state_folder"
    try:
        with trial_folder(place) as trial, closing(sqlite3.connect(trial / "trial.db")) as db:
            (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
            db.execute("CREATE TABLE tried (number INTEGER)")
            db.commit()
    except StorageError as error:
        return bad(LOCAL_STATE, error, advice)
    except sqlite3.Error as error:
        said = f"{place}{instead} takes no SQLite database ({error})"
        return Finding(area=LOCAL_STATE, verdict="bad", said=said, advice=advice, exit_code=StorageError.exit_code)
    if mode != "wal":
        return note(LOCAL_STATE, f"{place}{instead} takes no write-ahead log, which the checkpoint uses", advice)
    return good(LOCAL_STATE, f"{place}{instead} can be written, and takes an SQLite database")


def _checkpoint(path: Path, *, has_archive: bool) -> Finding:
    try:
        size_bytes = disk.file_bytes(path)
    except StorageError as error:
        return bad(LOCAL_STATE, error, "give the user that runs harvester the right to read it")
    if size_bytes is not None:
        return good(LOCAL_STATE, f"the checkpoint {path} is there, {size_bytes:,} bytes")
    if not has_archive:
        return good(LOCAL_STATE, "there is no checkpoint yet, as there is no archive")
    advice = "nothing: the next run makes it anew from the ledger, which takes a while in a large archive"
    return note(LOCAL_STATE, f"there is no checkpoint at {path}", advice)
