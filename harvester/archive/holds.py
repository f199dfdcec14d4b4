"""Holds: which calls must not be erased, by whom, and why.

In:   the ledgers of the runs that added and released holds.  Out: every `Hold`; the events that add one and release it.

A hold that names ids holds these calls. One that names a phone number or days holds later calls too. A phone number must not
stand in a ledger: it lies in a file of the run that added the hold, which the ledger line names with its hash.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from harvester.archive import disk, ledger
from harvester.archive.choice import Choice, Numbers
from harvester.archive.layout import LEDGER, RUN_ID, RUNS, run_key
from harvester.archive.ledger import Event
from harvester.errors import ConfigError, LedgerError
from harvester.mask import masked
from harvester.model import Entry, File

HOLD = "hold"
"""The command of a run that adds or releases holds, and the role of a file that keeps a hold's phone number."""

ADDED = "hold-added"
RELEASED = "hold-released"
HOLD_FILE = "hold-"
"""How the name of a file begins that keeps a hold's phone number."""

HOLD_KEY = re.compile(rf"{RUNS}/{RUN_ID.pattern}/{HOLD_FILE}[0-9a-f]{{8}}\.json", re.ASCII)
LARGEST_BYTES = 1024 * 1024
"""Of such a file: more than anybody can type for a number."""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """One hold. `released_at` None: it is active."""

    id: str
    choice: Choice
    reason: str
    operator: str
    added_at: str
    released_at: str | None = None
    released_by: str | None = None
    released_because: str | None = None

    @property
    def is_active(self) -> bool:
        """Whether nobody has released it."""
        return self.released_at is None


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """What the line of a hold has; of any other line all but `event` and `at` is left at its default."""

    event: str
    at: str
    hold: str = ""
    reason: str = ""
    operator: str = ""
    ids: tuple[str, ...] = ()
    date_from: dt.date | None = msgspec.field(name="from", default=None)
    date_to: dt.date | None = msgspec.field(name="to", default=None)
    files: tuple[File, ...] = ()


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the file of a hold by phone number holds."""

    hold: str
    phone_number: str


_line = msgspec.json.Decoder(_Line)


def read_holds(archive: Path) -> dict[str, Hold]:
    """Return every hold of an archive by its id, in the order in which they were added.

    Raises StorageError, LedgerError: where a hold cannot be read, nobody can say what it holds.
    """
    holds: dict[str, Hold] = {}
    for run_id in ledger.run_ids_of(archive, HOLD):
        for raw in ledger.raw_lines(archive, run_id):
            try:
                line = _line.decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise LedgerError(f"a line of {run_key(run_id, LEDGER)} cannot be read ({error})") from error
            if line.event == ADDED:
                holds[line.hold] = _added(archive, run_id, line)
            elif line.event == RELEASED and line.hold in holds:
                holds[line.hold] = msgspec.structs.replace(
                    holds[line.hold],
                    released_at=line.at,
                    released_by=line.operator,
                    released_because=line.reason,
                )
    return holds


def new_hold_id(holds: Mapping[str, Hold]) -> str:
    """Return an id that no hold has: eight hex digits."""
    while (hold_id := secrets.token_hex(4)) in holds:
        pass
    return hold_id


def added_event(hold: Hold, file: File | None) -> Event:
    """Return the line that adds a hold; `file` is that of its phone number, where it has one."""
    choice = hold.choice
    return {
        "event": ADDED,
        "hold": hold.id,
        "reason": hold.reason,
        "operator": hold.operator,
        "ids": list(choice.ids),
        "from": str(choice.date_from) if choice.date_from else None,
        "to": str(choice.date_to) if choice.date_to else None,
        "by_number": choice.number is not None,
        "files": [] if file is None else [msgspec.structs.asdict(file)],
    }


def released_event(hold: Hold, reason: str, operator: str) -> Event:
    """Return the line that releases a hold."""
    numbers = [hold.choice.number] if hold.choice.number else []
    return {"event": RELEASED, "hold": hold.id, "reason": masked(reason, numbers), "operator": operator, "files": []}


def number_file(run_id: str, hold: Hold) -> tuple[File, bytes]:
    """Return the file that keeps the phone number of a hold, and its bytes."""
    told = _Told(hold=hold.id, phone_number=hold.choice.number or "")
    data = msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n"
    return File(
        path=hold_key(run_id, hold.id), bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), role=HOLD
    ), data


def sweep(archive: Path, run_id: str) -> None:
    """Remove the phone number of a hold that was never added: a crash came between file and line. Raises StorageError."""
    keys = {run_key(run_id, name) for name in disk.names(archive / run_key(run_id, "")) if name.startswith(HOLD_FILE)}
    if keys:
        keys -= {file.path for line in ledger.whole_lines(archive, run_id) for file in line.files}
    for key in keys:
        with disk.guarded("remove", archive / key):
            (archive / key).unlink()


def hold_key(run_id: str, hold_id: str) -> str:
    """Return the key of the file that keeps the phone number of a hold."""
    return run_key(run_id, f"{HOLD_FILE}{hold_id}.json")


def active(holds: Mapping[str, Hold], hold_id: str) -> Hold:
    """Return a hold that is to be released. Raises ConfigError when there is none of this id, or it is released already."""
    hold = holds.get(hold_id)
    if hold is None:
        raise ConfigError(f"there is no hold {hold_id[:40]!a}; `harvester hold list` names those that there are")
    if not hold.is_active:
        raise ConfigError(f"the hold {hold_id} was released already, at {hold.released_at} by {hold.released_by!a}")
    return hold


def holding(holds: Iterable[Hold], entry: Entry, numbers: Numbers) -> Hold | None:
    """Return an active hold that covers a call, or may cover it where its phone numbers cannot be told; None: nobody holds it."""
    if entry.erased:
        return None
    return next((hold for hold in holds if hold.is_active and hold.choice.covers(entry, numbers, in_doubt=True)), None)


def _added(archive: Path, run_id: str, line: _Line) -> Hold:
    key = hold_key(run_id, line.hold)
    number = next((_number(archive, key, file) for file in line.files if file.role == HOLD), None)
    choice = Choice(ids=line.ids, number=number, date_from=line.date_from, date_to=line.date_to)
    return Hold(id=line.hold, choice=choice, reason=line.reason, operator=line.operator, added_at=line.at)


def _number(archive: Path, key: str, file: File) -> str:
    """Return the phone number of a hold, from its file. Raises LedgerError when that is not the one that the ledger names."""
    path = archive / key
    if file.path == key and HOLD_KEY.fullmatch(key) and disk.file_bytes(path) == file.bytes:
        data = disk.beginning_of(path, LARGEST_BYTES)
        if data is not None and hashlib.sha256(data).hexdigest() == file.sha256:
            with suppress(msgspec.DecodeError, UnicodeDecodeError):
                return msgspec.json.decode(data, type=_Told).phone_number
    raise LedgerError(
        f"{key}, which says which calls a hold covers, is missing or altered; restore it from a copy: until then nothing "
        "can be erased"
    )
