"""`harvester status --changes`: what the newest run found changed, field by field, and what it found gone.

In:   the archive.  Out: `Changes`; harvester/contrast.py shows them on the screen.

A changed row has become a new version beside the one before it, so both are there to be compared. It may be asked while a run is
going on, and disturbs none: it holds no lock, writes nothing, and reads the ledger as far as it is written. Of each pair of rows
only what differs is kept, so that memory grows with the differences and not with the calls.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from harvester.archive import disk, ledger
from harvester.archive.erasure import ERASE
from harvester.archive.layout import versioned
from harvester.archive.ledger import Line
from harvester.archive.mark import require_mark
from harvester.container.sniff import Container
from harvester.difference import Difference, compare
from harvester.model import File, State
from harvester.place import local_state
from harvester.settings import Settings

MOST_VERSIONS = 100
"""How far back a version is looked for that lies on the disk. A call has a handful."""

_VERSION = re.compile(r"(?:\.v([1-9][0-9]{0,8}))?\.[a-z0-9]+", re.ASCII)
_NOT_ASCII = re.compile(r"[^\x00-\x7e]")


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the recording of a changed call: fetched anew (SAVED), FAILED or GONE. Sizes in bytes."""

    state: State
    path: str | None = None
    bytes: int | None = None
    path_before: str | None = None  # None: the archive held none
    bytes_before: int | None = None
    reason: str | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A call whose row has changed."""

    id: str
    place: str
    version: int
    version_before: int | None  # None: none lies in the archive
    differences: tuple[Difference, ...] = ()
    recording: Recording | None = None  # None: as it was
    notes: tuple[str, ...] = ()  # what could not be read, or is odd about the comparison


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """A call that the platform has no more, or whose recording it has no more."""

    id: str
    place: str
    reason: str | None


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What `harvester status --changes` tells."""

    archive: str
    run: str | None = None  # the newest run that has a ledger; None: there is none yet
    closed_at: str | None = None  # None: it has not closed
    is_first: bool = False  # nothing had been archived before it
    changed: int = 0  # how many calls; `calls` may hold fewer of them, when only some were asked for
    calls: tuple[Change, ...] = ()
    gone: tuple[Gone, ...] = ()
    earlier_run: str | None = None  # the newest run before it that found a change; looked for when this one found none

    def as_json(self) -> bytes:
        """Return it as JSON in ASCII, so that nothing in it writes on a terminal; numbers keep all their digits."""
        text = msgspec.json.format(msgspec.json.encode(self), indent=2).decode()
        return _NOT_ASCII.sub(lambda character: json.dumps(character[0])[1:-1], text).encode()


def read_changes(settings: Settings, most: int | None = None) -> Changes:
    """Read what the newest run of the archive that the settings name found changed.

    The rows of the first `most` changed calls are compared (None: of all); the others are only counted.
    Raises MarkError, StorageError, LedgerError, ConfigError.
    """
    archive = local_state(settings).archive
    require_mark(archive)
    ids = ledger.run_ids_of(archive, ledger.HARVEST)
    if not ids:
        return Changes(archive=disk.path_text(archive))
    changed, closed_at = 0, None
    calls: list[Change] = []
    gone: list[Gone] = []
    erased = _erased(archive)
    for line in ledger.whole_lines(archive, ids[-1]):
        if row := _changed_row(line):
            changed += 1
            if most is None or len(calls) < most:
                calls.append(_erased_change(line) if line.id in erased else _change(archive, line, row))
        elif line.event == State.GONE and line.id is not None:
            gone.append(Gone(id=line.id, place=line.place or "", reason=line.reason))
        elif line.event == "run-closed":
            closed_at = line.at
    return Changes(
        archive=disk.path_text(archive),
        run=ids[-1],
        closed_at=closed_at,
        is_first=len(ids) == 1,
        changed=changed,
        calls=tuple(calls),
        gone=tuple(gone),
        earlier_run=None if changed else _newest_with_changes(archive, ids[:-1]),
    )


def _newest_with_changes(archive: Path, ids: list[str]) -> str | None:
    """Return the newest of these runs that found a change. The archive's first, often its largest by far, could find none."""
    for run_id in reversed(ids[1:]):
        if any(_changed_row(line) for line in ledger.whole_lines(archive, run_id)):
            return run_id
    return None


def _changed_row(line: Line) -> File | None:
    """Return the file of the new row when a line tells of a changed call; None for every other line.

    A call that is new may begin with a version above 1 too: where all below were taken by files that this line adopts.
    """
    if line.id is None or line.place is None or line.version is None or line.version < 2:
        return None
    key = versioned(line.place, line.version, "json")
    row = next((file for file in line.files if file.role == "metadata" and file.path == key), None)
    return row if row and next(_versions_before(line), None) else None


def _versions_before(line: Line) -> Iterator[int]:
    """Yield the versions below that of a line which may be of the row before, latest first.

    A number that this very line adopts was lying there without a line: nobody knows what it was compared with.
    """
    place, latest = line.place or "", line.version or 0
    adopted = {
        int(version[1] or 1)
        for file in line.files
        if file.path.startswith(place) and (version := _VERSION.fullmatch(file.path, len(place)))
        if file.role == "adopted"
    }
    yield from (v for v in range(latest - 1, max(0, latest - 1 - MOST_VERSIONS), -1) if v not in adopted)


def _erased(archive: Path) -> set[str]:
    """Return the ids of the calls that have been erased."""
    lines = (ledger.whole_lines(archive, run_id) for run_id in ledger.run_ids_of(archive, ERASE))
    return {line.id for each in lines for line in each if line.event == ledger.ERASED and line.id is not None}


def _erased_change(line: Line) -> Change:
    """Return what is left of a change to a call that has been erased since."""
    return Change(
        id=line.id or "",
        place=line.place or "",
        version=line.version or 0,
        version_before=None,
        notes=("it has been erased since: nothing of it is left to compare",),
    )


def _change(archive: Path, line: Line, row: File) -> Change:
    place, notes = line.place or "", []
    before, differences = None, tuple[Difference, ...]()
    try:
        before, old = _row_before(archive, line)
        expected = next(_versions_before(line))
        if before != expected:
            notes.append(f"no row of version {expected} lies in the archive: compared with version {before}")
        comparison = compare(old, _new_row(archive, row))
        differences = comparison.differences
        notes += [comparison.note] if comparison.note else []
    except ValueError as error:
        notes.append(str(error))
    return Change(
        id=line.id or "",
        place=place,
        version=line.version or 0,
        version_before=before,
        differences=differences,
        recording=_recording(archive, line),
        notes=tuple(notes),
    )


def _row_before(archive: Path, line: Line) -> tuple[int, bytes]:
    """Return the latest version before that of a line, and its row. Raises ValueError that says why it cannot be read."""
    for version in _versions_before(line):
        path = archive / versioned(line.place or "", version, "json")
        try:
            if path.is_file():
                return version, path.read_bytes()
        except OSError as error:
            raise ValueError(f"the version before ({path.name}) cannot be read: {error.strerror or error}") from error
    raise ValueError("the version before cannot be read: none lies in the archive; `harvester verify` tells more")


def _new_row(archive: Path, row: File) -> bytes:
    """Return the row that a line tells of. Raises ValueError when it cannot be read, or is another one."""
    path = archive / row.path
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ValueError(f"the new version ({path.name}) cannot be read: {error.strerror or error}") from error
    if hashlib.sha256(raw).hexdigest() != row.sha256:
        raise ValueError(
            f"the new version ({path.name}) is not what its ledger line says; `harvester verify` tells more"
        )
    return raw


def _recording(archive: Path, line: Line) -> Recording | None:
    """Return what a line about a changed call tells of its recording; None when that is as it was."""
    state = line.recording.state if line.recording else None
    fetched = next((file for file in line.files if file.role == "recording"), None)
    if fetched:
        key, size_bytes = _recording_before(archive, line) or (None, None)
        return Recording(
            state=State.SAVED, path=fetched.path, bytes=fetched.bytes, path_before=key, bytes_before=size_bytes
        )
    if state in (State.FAILED, State.GONE):
        return Recording(state=state, reason=line.reason)
    return None


def _recording_before(archive: Path, line: Line) -> tuple[str, int] | None:
    for version in _versions_before(line):
        for container in Container:
            key = versioned(line.place or "", version, container)
            if (size_bytes := disk.file_bytes(archive / key)) is not None:
                return key, size_bytes
    return None
