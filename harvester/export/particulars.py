"""What index and report tell of a call beyond its fields: exact figures, the latest files, its times. Pure.

In:   an `ExportedCall`, or a value of one.  Out: numbers and words.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal, InvalidOperation

from harvester.export.exported import ExportedCall, ExportedFile

MOST_DIGITS = 15
"""Of a number that a double keeps (IEEE 754, DBL_DIG); spreadsheets and many other programs know no other numbers."""

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
"""Not asked from the system, whose language would be another on every machine."""

ZONE_NAMED = "as the platform sent it, which names its time zone"
ZONE_OPEN = "as the platform sent it, which names no time zone"


def plain_number(number: Decimal | int) -> str | None:
    """Return a number digit for digit without an exponent; None for one that no double could hold."""
    exact = Decimal(number)
    if abs(exact.adjusted()) > MOST_DIGITS or len(exact.as_tuple().digits) > MOST_DIGITS:
        return None
    return format(exact, "f")


def duration_of(call: ExportedCall) -> Decimal | None:
    """Return the duration in seconds, digit for digit as the row has it; None where that is no sensible number."""
    if call.duration_seconds is None:
        return None
    try:
        return Decimal(str(call.fields.get("duration")).strip())
    except InvalidOperation:
        return Decimal(str(call.duration_seconds))


def latest(call: ExportedCall, role: str) -> ExportedFile | None:
    """Return the file of the highest version with this role that lies in the bundle."""
    there = [each for each in call.files if each.role == role and each.is_there]
    return max(there, key=lambda each: each.version, default=None)


def day_and_time(received: str) -> str:
    """Return an instant as received for people, such as `4 August 2025, 14:30:00`; unchanged where it is in an unknown form."""
    at = _read(received)
    if at is None:
        return received
    day = f"{at.day} {MONTHS[at.month - 1]} {at.year}"
    offset = "" if at.tzinfo is None else " UTC" if not at.utcoffset() else f" {at:%z}"
    return f"{day}, {at:%H:%M:%S}{offset}" if len(received) > len("2025-08-04") else day


def zone_note(received: str) -> str:
    """Return whether an instant as received bears a time zone, in words."""
    at = _read(received)
    return ZONE_NAMED if at is not None and at.tzinfo else ZONE_OPEN


def _read(received: str) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(received.strip())
    except ValueError:
        return None
