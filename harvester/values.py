"""Read one value of a setting, as it comes from a flag, the environment (both text) or the settings file (TOML's types).

In:   text or a TOML value.  Out: the value, or a ValueError that says what is allowed (*"500" is not* ...).
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import math
import re
import unicodedata
import zoneinfo
from collections.abc import Callable
from pathlib import Path

from yarl import URL

from harvester.errors import ConfigError

Read = Callable[[object], object]

SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE | re.ASCII)
SIZE_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
LARGEST_SIZE_BYTES = 2**60
DAYS_AGO = re.compile(r"(\d{1,5})d", re.ASCII)
HOST = re.compile(r"[^\s/:@?#\[\]]+|(?=.*:.*:)[0-9a-f:.]+")
"""A name or an IPv4 address, or an IPv6 address without brackets."""


NOT_IN_A_LINE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's categories of control characters, halves of characters, and what begins a line or a paragraph."""


def text(value: object) -> str:
    """Any text that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text")
    return value.strip()


def line(most: int) -> Read:
    """Return a reader of texts of one line, at most so many characters: they stand in the ledger and in reports."""
    allowed = f"a text in one line, at most {most:,} characters"

    def read(value: object) -> str:
        found = text(value) if isinstance(value, str) and value.strip() else ""
        if not found or len(found) > most or any(unicodedata.category(each) in NOT_IN_A_LINE for each in found):
            raise ValueError(allowed)
        return found

    return read


def path(value: object) -> Path:
    """A path; a leading `~` is the user's home."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError("a path")
    try:
        return Path(value.strip()).expanduser()
    except RuntimeError:
        raise ValueError("a path: nobody has this home folder") from None


def switch(value: object) -> bool:
    """True or false; as text also yes/no, on/off, 1/0. Nothing else: a switch guessed at is a switch turned off."""
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError("true or false")


def whole(least: int, most: int | None = None) -> Callable[[object], int]:
    """Return a reader of whole numbers from `least` to `most`."""
    allowed = f"a whole number from {least} to {most:,}" if most is not None else f"a whole number, at least {least}"

    def read(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value.strip(), re.ASCII):
            value = int(value)
        if (
            isinstance(value, bool)
            or not isinstance(value, int)
            or value < least
            or (most is not None and value > most)
        ):
            raise ValueError(allowed)
        return value

    return read


def number(least: float, most: float) -> Read:
    """Return a reader of numbers from `least` to `most`."""

    def read(value: object) -> float:
        try:
            found = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
        except (ValueError, OverflowError):
            found = math.nan
        if not least <= found <= most:
            raise ValueError(f"a number from {least:g} to {most:g}")
        return found

    return read


def size(least: int) -> Read:
    """Return a reader of bytes, at least `least`: a number, or text such as `500K`, `20M`, `1.5G` (units of 1024)."""
    allowed = f"a number of bytes, at least {least}, such as 1048576, 500K, 20M or 1.5G"

    def read(value: object) -> int:
        found = value if isinstance(value, int) and not isinstance(value, bool) else -1
        shape = SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
        if shape and len(shape[1]) < 20:
            found = int(float(shape[1]) * SIZE_UNITS[shape[2].lower()])
        if not least <= found <= LARGEST_SIZE_BYTES:
            raise ValueError(allowed)
        return found

    return read


def date(value: object) -> dt.date:
    """A day: `2025-08-04`, or `30d` for thirty days ago (UTC)."""
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    word = value.strip() if isinstance(value, str) else ""
    try:
        if ago := DAYS_AGO.fullmatch(word):
            return dt.datetime.now(dt.UTC).date() - dt.timedelta(days=int(ago[1]))
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", word, re.ASCII):
            return dt.date.fromisoformat(word)
    except (ValueError, OverflowError):
        pass
    raise ValueError("a day such as 2025-08-04, or 30d for thirty days ago")


def flag_day(flag: str, typed: str | None) -> dt.date | None:
    """Read the day of a flag that is no setting; None where it was not typed. Raises ConfigError, which names the flag."""
    try:
        return None if typed is None else date(typed)
    except ValueError as error:
        raise ConfigError(f"{flag}: {typed!a} is not {error}") from None


WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

Rhythm = int | str
"""Every so many runs, or a word of WEEKDAYS."""


def rhythm(value: object) -> Rhythm:
    """A number of runs, 1 to 1,000, or a weekday."""
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in WEEKDAYS:
        return word
    try:
        return whole(1, 1000)(value)
    except ValueError:
        raise ValueError("a number of runs from 1 to 1,000, or a weekday such as sunday") from None


def choice(*allowed: str) -> Read:
    """Return a reader of one of the words."""

    def read(value: object) -> str:
        word = value.strip().lower() if isinstance(value, str) else ""
        if word not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return word

    return read


def words(value: object) -> tuple[str, ...]:
    """A list of words, or words separated by commas; their case is kept, since the platform may tell it apart."""
    allowed = "a list of words, at least one, or words separated by commas"
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not parts:
        raise ValueError(allowed)
    found: list[str] = []
    for part in parts:
        if not isinstance(part, str) or not all(map(str.strip, part.split(","))):
            raise ValueError(allowed)
        found += map(str.strip, part.split(","))
    return tuple(dict.fromkeys(found))


def hosts(value: object) -> tuple[str, ...]:
    """A list of host names or addresses, as `words`, in lower case: a host's name has no case."""
    found = tuple(dict.fromkeys(word.lower() for word in words(value)))
    if not all(HOST.fullmatch(word) for word in found):
        raise ValueError("a list of host names, such as recordings.example.com, without scheme, port and path")
    return found


def zone(value: object) -> zoneinfo.ZoneInfo:
    """A time zone of the IANA database."""
    try:
        return zoneinfo.ZoneInfo(text(value))
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        raise ValueError("the name of a time zone, such as UTC or Europe/Berlin") from None


def api_url(value: object) -> str:
    """The base URL of an API: https, or http on a loopback address; no user, query or fragment."""
    allowed = "a URL such as https://platform.example.com/api"
    try:
        url = URL(text(value).rstrip("/"))
    except ValueError:
        raise ValueError(allowed) from None
    more = url.user or url.password or url.query_string or url.fragment
    if not url.host or url.scheme not in ("http", "https") or more:
        raise ValueError(allowed)
    if url.scheme == "http" and not _is_loopback(url.host):
        raise ValueError("a URL that begins with https:// (the key would travel readable over http)")
    return str(url)


def authority_url(value: object) -> str:
    """The address of a time-stamping authority: https or http, since its answers are signed; no user, query or fragment.

    Those may be secrets, and the ledger tells the settings of a run.
    """
    allowed = "a URL such as https://tsa.example.com/rfc3161, without user and query"
    try:
        url = URL(text(value))
    except ValueError:
        raise ValueError(allowed) from None
    if (
        not url.host
        or url.scheme not in ("http", "https")
        or url.user
        or url.password
        or url.query_string
        or url.fragment
    ):
        raise ValueError(allowed)
    return str(url)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
