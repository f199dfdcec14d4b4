"""Which archived calls are meant: by id, by phone number, by the days on which they were created.

In:   what was asked for, entries, the rows that lie in the archive.  Out: the entries of the calls that all of it selects.

A phone number is held against both numbers of a row, by its digits alone. It stands in no ledger, so the rows themselves are
read: every version of them, for a number may have changed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from harvester.archive import disk
from harvester.archive.checkpoint import Checkpoint
from harvester.archive.layout import versioned
from harvester.archive.selecting import check_days, check_ids, check_number, digits_of, is_of_days, row_numbers
from harvester.errors import ConfigError
from harvester.model import Entry


class Known(NamedTuple):
    """The digits of a call's phone numbers, in all versions of its row; `is_all` unless one of them is missing."""

    numbers: frozenset[str]
    is_all: bool = True


Numbers = Callable[[Entry], Known]
"""Returns what is known of a call's phone numbers."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. A call is meant when all that is given selects it; None and () are not given."""

    ids: tuple[str, ...] = ()
    number: str | None = None  # as it was asked for
    date_from: dt.date | None = None  # the folder of the call tells its day
    date_to: dt.date | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all was asked for."""
        return self == Choice()

    def has_day(self, entry: Entry, *, in_doubt: bool) -> bool:
        """Whether a call was created on one of the days; `in_doubt` is the answer where nobody knows on which it was."""
        return is_of_days(entry.place, self.date_from, self.date_to, in_doubt=in_doubt)

    def covers(self, entry: Entry, numbers: Numbers, *, in_doubt: bool) -> bool:
        """Whether a call is meant; `in_doubt` is the answer where its day or its phone numbers cannot be told."""
        if (self.ids and entry.id not in self.ids) or not self.has_day(entry, in_doubt=in_doubt):
            return False
        if self.number is None:
            return True
        known = numbers(entry)
        return digits_of(self.number) in known.numbers or (in_doubt and not known.is_all)


def check_choice(choice: Choice) -> None:
    """Raise ConfigError when nothing was asked for, or what no call can be."""
    if choice.is_empty:
        raise ConfigError("nothing is selected: name calls by --id, by --phone-number, or by their days (--from, --to)")
    if choice.number is not None:
        check_number(choice.number)
    check_days(choice.date_from, choice.date_to)


def chosen(checkpoint: Checkpoint, choice: Choice, numbers: Numbers, *, in_doubt: bool = False) -> Iterator[Entry]:
    """Yield the entries of the calls that are meant; `in_doubt`: those too of which nobody can tell.

    Raises ConfigError for an id that the archive does not know, StorageError.
    """
    if choice.ids:
        known = checkpoint.find(choice.ids)
        check_ids(choice.ids, known)
    entries = (known[each] for each in dict.fromkeys(choice.ids)) if choice.ids else checkpoint.entries()
    return (entry for entry in entries if choice.covers(entry, numbers, in_doubt=in_doubt))


def numbers_in(archive: Path) -> Numbers:
    """Return what reads the phone numbers of calls from their rows in the archive, each call's once."""
    last: tuple[str, Known] = "", Known(frozenset())

    def numbers(entry: Entry) -> Known:
        nonlocal last
        if last[0] != entry.id:  # several holds ask for the same call, one after the other
            last = entry.id, _read(archive, entry)
        return last[1]

    return numbers


def _read(archive: Path, entry: Entry) -> Known:
    found: set[str] = set()
    is_all = True
    for version in range(1, entry.version + 1):
        path = archive / versioned(entry.place, version, "json")
        if disk.file_bytes(path) is None:
            is_all = False
            continue
        with disk.guarded("read", path):
            found |= row_numbers(path.read_bytes())
    return Known(frozenset(found), is_all)
