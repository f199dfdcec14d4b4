"""Which files are looked at, and which of those are read from end to end: a pure decision about their keys.

In:   what was asked for: sizes alone, a sample, dates.  Out: yes or no, for each key.

What vouches for the others (mark, ledgers, accounts of runs) is always read. A sample is a share of all files, chosen by a hash
of their keys and the day's number, so that nothing need be remembered from one night to the next: the share is a stretch on a
circle, the next day's begins where it ends, and after 100 / share days, rounded up, the circle has been gone round.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re

import msgspec

from harvester.archive.layout import MARK, RUNS
from harvester.archive.selecting import check_days
from harvester.errors import ConfigError
from harvester.values import flag_day

CIRCLE = 1_000_000
"""All files. A share is so many of it: 50,000 are 5 %. Four decimals of a percent are more than anybody wants."""

PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,4})?)\s*%?", re.ASCII)
MONTH_DAYS = 28
"""The shortest month: a share that takes longer leaves files unread when it is over."""

DATED = re.compile(r"\d{4}/\d{2}/\d{2}/", re.ASCII)
DATED_FOLDER = re.compile(r"\d{4}(?:/\d{2}){0,2}", re.ASCII)


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A share of all files, another one each day."""

    share: int  # of CIRCLE
    day: dt.date

    @property
    def days(self) -> int:
        """How many consecutive days read every file."""
        return -(-CIRCLE // self.share)

    @property
    def percent(self) -> str:
        """The share as text: `5 %`."""
        return f"{self.share * 100 / CIRCLE:.4f}".rstrip("0").rstrip(".") + " %"

    def holds(self, key: str) -> bool:
        """Whether it is this file's turn."""
        place = int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:8], "big")
        return (place - self.day.toordinal() * self.share) % CIRCLE < self.share


class Portion(msgspec.Struct, frozen=True, kw_only=True):
    """Which files are looked at, and which are read. By default all, and all of them."""

    quick: bool = False  # sizes alone
    sample: Sample | None = None
    first: dt.date | None = None  # days of the dated tree
    last: dt.date | None = None

    def looks_at(self, key: str) -> bool:
        """Whether a file is looked at: is it there, and of the right size?"""
        if not (self.first or self.last) or key == MARK or key.startswith(f"{RUNS}/"):
            return True
        return bool(DATED.match(key)) and self._overlaps(key[:10])

    def reads(self, key: str) -> bool:
        """Whether a file that is looked at is also read from end to end."""
        if vouches(key):
            return True
        return not self.quick and (self.sample is None or self.sample.holds(key))

    def enters(self, folder: str) -> bool:
        """Whether a folder may hold files that are looked at, or that should not be where they are."""
        if not (self.first or self.last) or not DATED_FOLDER.fullmatch(folder):
            return True
        return self._overlaps(folder)

    def _overlaps(self, days: str) -> bool:
        """Whether `YYYY`, `YYYY/MM` or `YYYY/MM/DD` has a day in common with what was asked for."""
        first = str(self.first or dt.date.min).replace("-", "/")
        last = str(self.last or dt.date.max).replace("-", "/")
        return first[: len(days)] <= days <= last[: len(days)]


def vouches(key: str) -> bool:
    """Whether a file vouches for others, as mark, ledgers and accounts of runs do."""
    return key == MARK or (key.startswith(f"{RUNS}/") and key.count("/") == 2)


def portion_of(*, quick: bool, sample: str | None, first: str | None, last: str | None, today: dt.date) -> Portion:
    """Return what was asked for, as text: a share such as `5%`, days such as `2025-08-04` or `30d`.

    `today` chooses the part. Raises ConfigError for what cannot be read, or contradicts itself.
    """
    since, until = flag_day("--from", first), flag_day("--to", last)
    check_days(since, until)
    if quick and sample is not None:
        raise ConfigError("--quick reads no file, so --sample has none to choose; leave one of them out")
    chosen = None if sample is None else _sample_of(sample, today)
    return Portion(quick=quick, sample=chosen, first=since, last=until)


def _sample_of(text: str, day: dt.date) -> Sample:
    found = PERCENT.fullmatch(text.strip())
    share = round(float(found[1]) * CIRCLE / 100) if found else 0
    if not 0 < share <= CIRCLE:
        raise ConfigError(f"--sample: {text!a} is not a share of the files, above 0 and up to 100 %, such as 5%")
    return Sample(share=share, day=day)


def notes_of(portion: Portion) -> list[str]:
    """Say in so many words what is not looked at, or not read."""
    notes = []
    if portion.first or portion.last:
        since = f" from {portion.first}" if portion.first else ""
        until = f" until {portion.last}" if portion.last else ""
        notes.append(
            f"only calls{since}{until} were looked at; the chain, the manifests and the seals are checked whole"
        )
    if portion.quick:
        notes.append("quick: sizes were looked at, and no recording, transcript or metadata was read")
    if portion.sample and portion.sample.share < CIRCLE:
        sample = portion.sample
        slow = (
            f", which is more than a month has ({100 / MONTH_DAYS:.1f} % would do)" if sample.days > MONTH_DAYS else ""
        )
        notes.append(
            f"sample of {sample.day}: {sample.percent} of the files were read, of the others only the size was looked at; each "
            f"day has another part, and {sample.days:,} days in a row read all{slow}"
        )
    return notes
