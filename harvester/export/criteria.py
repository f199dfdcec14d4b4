"""Which calls a bundle is to hold: a pure decision.

In:   what was asked for, and a call.  Out: whether it is meant.

Of several values of one criterion any is enough; of several criteria all must hold. A day is that of the folder in which the call
lies. Every version of a row is looked at, not the latest alone: a number that the platform has blotted out since is found in
what it had sent before.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import msgspec

from harvester.archive.selecting import check_days, check_number, digits_of, is_of_days, row_numbers
from harvester.errors import ConfigError
from harvester.export.exported import ExportedCall


class Criteria(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; empty: every call."""

    ids: tuple[str, ...] = ()
    phone_numbers: tuple[str, ...] = ()
    date_from: dt.date | None = None
    date_to: dt.date | None = None
    assistants: tuple[str, ...] = ()  # names or ids
    campaigns: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    @property
    def needs_row(self) -> bool:
        """Whether the ledger alone cannot tell which calls are meant."""
        return any((self.phone_numbers, self.assistants, self.campaigns, self.statuses, self.texts))

    def may_mean(self, call_id: str, place: str) -> bool:
        """Whether a call may be meant, by what the ledger tells of it."""
        if self.ids and call_id not in self.ids:
            return False
        return is_of_days(place, self.date_from, self.date_to, in_doubt=False)

    def means(self, call: ExportedCall) -> bool:
        """Whether a call is meant, by one version of its row; `may_mean` has been asked before."""
        return (
            (not self.phone_numbers or not row_numbers(call.row).isdisjoint(map(digits_of, self.phone_numbers)))
            and (not self.assistants or _named(self.assistants, call.assistant, call.fields.get("assistant_id")))
            and (not self.campaigns or _named(self.campaigns, call.campaign, call.fields.get("campaign_id")))
            and (not self.statuses or call.status in self.statuses)
            and (not self.texts or _said(self.texts, call))
        )

    def in_words(self) -> str:
        """Return what was asked for as one line."""
        lists = {
            "id": self.ids,
            "phone number": self.phone_numbers,
            "assistant": self.assistants,
            "campaign": self.campaigns,
            "status": self.statuses,
            "text in the transcript": self.texts,
        }
        said = [f"{name} {' or '.join(map(repr, values))}" for name, values in lists.items() if values]
        if self.date_from:
            said.append(f"from {self.date_from}")
        if self.date_to:
            said.append(f"to {self.date_to}")
        return "; ".join(said) or "all calls of the archive"


def check(criteria: Criteria) -> None:
    """Refuse what can mean no call. Raises ConfigError."""
    for number in criteria.phone_numbers:
        check_number(number)
    for text in criteria.texts:
        if not _plain(text):
            raise ConfigError("--text: an empty text is in every transcript; name some words")
    check_days(criteria.date_from, criteria.date_to)


def _named(wanted: Iterable[str], name: str | None, number: object) -> bool:
    """Whether one of the wanted words is the name, in capitals or not, or the id where the row bears one."""
    known = {_plain(name or ""), str(number) if isinstance(number, int | str) else ""} - {""}
    return any(_plain(each) in known for each in wanted)


def _said(texts: Iterable[str], call: ExportedCall) -> bool:
    spoken = [_plain(turn.text) for turn in call.turns] or [_plain(call.transcript or "")]
    return any(_plain(text) in each for text in texts for each in spoken)


def _plain(text: str) -> str:
    """Return a text as it is compared: without the difference of capitals, and of blanks and line breaks."""
    return " ".join(text.casefold().split())
