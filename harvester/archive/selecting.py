"""By what a call is selected: the days on which it was created, its phone numbers. Pure decisions, the same for whoever selects.

In:   what was asked for; the place of a call, its row.  Out: yes or no.

Who is told that an export holds all calls of a number, and has them erased then, must be told of the same calls both times.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Container, Iterable
from typing import Any

import msgspec

from harvester.errors import ConfigError

STATED = re.compile(rb'"(?:client|assistant)_phone_number"\s*+:\s*+(?:"([^"]*)"|(\d+))')
"""How a number stands in a row that is no JSON."""

SHOWN_CHARACTERS = 40
SHOWN_IDS = 5


def check_days(first: dt.date | None, last: dt.date | None) -> None:
    """Refuse days of which there is none. Raises ConfigError."""
    if first and last and first > last:
        raise ConfigError(f"--from {first} is after --to {last}; exchange them")


def check_number(number: str) -> None:
    """Refuse a phone number that is none. Raises ConfigError."""
    if not digits_of(number):
        raise ConfigError(
            f"--phone-number: {number[:SHOWN_CHARACTERS]!a} holds no digit; name a number such as +1987654321"
        )


def check_ids(ids: Iterable[str], known: Container[str]) -> None:
    """Refuse ids that the archive does not know: one that was mistyped must not be passed over. Raises ConfigError."""
    if unknown := [each for each in ids if each not in known]:
        more = f" and {len(unknown) - SHOWN_IDS:,} more" if len(unknown) > SHOWN_IDS else ""
        named = ", ".join(ascii(each[:80]) for each in unknown[:SHOWN_IDS])
        raise ConfigError(f"--id: the archive knows no call {named}{more}")


def is_of_days(place: str, first: dt.date | None, last: dt.date | None, *, in_doubt: bool) -> bool:
    """Whether a call was created on one of these days, both included, as its folder tells; None: no limit.

    `in_doubt` is the answer where nobody knows on which day it was.
    """
    if first is None and last is None:
        return True
    day = place[:10].replace("/", "-")  # compared as text: a million of them are gone through
    if not day[:1].isdigit():
        return in_doubt
    return (first or dt.date.min).isoformat() <= day <= (last or dt.date.max).isoformat()


def digits_of(number: str) -> str:
    """Return the digits of a phone number, as numbers are compared: without zeros before them, `+1 555` as `001555`."""
    return re.sub(r"\D", "", number, flags=re.ASCII).lstrip("0")


class _Row(msgspec.Struct):
    client_phone_number: Any = None
    assistant_phone_number: Any = None


_row = msgspec.json.Decoder(_Row)


def row_numbers(raw: bytes) -> frozenset[str]:
    """Return the digits of the phone numbers in a row, whatever else is odd about it."""
    try:
        row = _row.decode(raw)
        stated = [str(value) for value in (row.client_phone_number, row.assistant_phone_number) if value is not None]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        stated = [_unescaped(text) or number.decode() for text, number in STATED.findall(raw)]
    return frozenset(digits for number in stated if (digits := digits_of(number)))


def _unescaped(text: bytes) -> str:
    """Return what stands between two quotes of JSON; as it is, where it is none. A plus may be written `\\u002b`."""
    try:
        return str(json.loads(b'"%b"' % text, strict=False))
    except ValueError:
        return text.decode("ascii", "replace")
