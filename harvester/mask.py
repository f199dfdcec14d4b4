"""Keep phone numbers out of the ledger and the account of a run, and keys and signatures out of what is quoted.

In:   a link, a sentence or a page that may hold one.  Out: the same with `(number)`, `(secret)` or `?(query)` in its place.

Links of recordings are seen with the caller's number in the file name (docs/api.md). The ledger is what is handed to
strangers, so it holds none: neither the call's own numbers, with or without plus, leading zeros and separators, nor
anything of the form of an international one.
"""

from __future__ import annotations

import functools
import html
import re
import urllib.parse
from collections.abc import Iterable

INTERNATIONAL = re.compile(r"(?:\+|%2[Bb])\d{7,15}", re.ASCII)
"""A plus, or its encoding, and 7 to 15 digits (ITU-T E.164)."""

QUERY = re.compile(r"\?[^\s\"'<>=]*=[^\s\"'<>]*")
"""A question mark, and a name with a value behind it: a question in a sentence has no such thing."""

SHORTEST_SECRET = 8
"""In characters. What is shorter is a number or a word, and would blot out parts of what is quoted."""

TYPED = re.compile(r"(?:\+|(?<!\w)00(?=[ ._()/-]*[1-9]))(?:[ ._()/-]*\d){7,15}", re.ASCII)
"""The same as people type it: after a plus or 00, with separators. Nobody can tell a national number from that of a case."""

FEWEST_DIGITS = 6
"""Shorter ones are internal extensions, and would blot out parts of ids."""

SEPARATOR = r"(?:[ ._()/-]|%20|%2[89DEdeFf])*"
"""What people and links put between the digits of a number."""

SEPARATORS = b" ._()/-"
"""Those of them that are single characters."""

NO_DIGIT = re.compile(r"\D", re.ASCII)


def masked(text: str, numbers: Iterable[str] = ()) -> str:
    """Return `text` without international phone numbers and without `numbers`, however they are spelt in it."""
    joined = b"" if "%" in text else text.encode("utf-8", "surrogatepass").translate(None, SEPARATORS)
    for digits in _digits_of(tuple(numbers)):
        if not joined or digits.encode() in joined:  # a pattern costs a hundred times as much
            text = re.sub(rf"(?:\+|%2[Bb])?0*{SEPARATOR.join(digits)}", "(number)", text)
    return INTERNATIONAL.sub("(number)", text) if "+" in text or "%" in text else text


def masked_typed(text: str, numbers: Iterable[str] = ()) -> str:
    """Return a `text` that a person has typed without `numbers` and without what reads like an international phone number."""
    return TYPED.sub("(number)", masked(text, numbers))


@functools.lru_cache(maxsize=1024)
def _digits_of(numbers: tuple[str, ...]) -> list[str]:
    """Return the digits of each number that is long enough, longest first: a shorter one may be the beginning of a longer."""
    every = {NO_DIGIT.sub("", number).lstrip("0") for number in numbers}
    return sorted((digits for digits in every if len(digits) >= FEWEST_DIGITS), key=len, reverse=True)


def secretless(text: str, secrets: Iterable[str]) -> str:
    """Return `text` without `secrets`, in the spellings that pages and JSON give them, and without the query of any URL."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        for spelling in _spellings(secret):
            text = text.replace(spelling, "(secret)")
    return QUERY.sub("?(query)", text)


def keyless(data: bytes, key: str) -> bytes:
    """Return bytes that somebody else sent without `key`, in the spellings that pages and JSON give it; all else stays."""
    for spelling in _spellings(key):
        data = data.replace(spelling.encode(), b"(secret)")
    return data


def _spellings(secret: str) -> tuple[str, ...]:
    if not secret:
        return ()
    every = (
        secret,
        urllib.parse.quote(secret, safe=""),
        html.escape(secret),
        secret.replace("/", "\\/"),
        repr(secret)[1:-1],  # an object among the words stands there as Python writes it
    )
    return tuple(dict.fromkeys(every))


def query_values(link: str) -> list[str]:
    """Return the values in a link's query that are long enough to be secrets, as they stand there and as they are meant."""
    pairs = [pair.partition("=")[2] for pair in link.partition("?")[2].partition("#")[0].split("&")]
    return [value for raw in pairs for value in (raw, urllib.parse.unquote(raw)) if len(value) >= SHORTEST_SECRET]
