"""Compare two rows of one call, field by field. Pure.

In:   two rows, byte for byte as the platform sent them.  Out: `Comparison`: every field that differs, with both values as JSON.

What was sent is compared, not what it means: `1` and `1.0` differ, `0.02` and `"0.02000000"` too, and no digit is lost. The query
string of `recording_url` is no difference, because links are signed anew at every listing. No value that is handed out bears the
query string of any URL: who has a signed link has what it leads to. A row whose fields cannot be told for certain (it is not
JSON, no object, or names a member twice) is compared as one text.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import NamedTuple, NoReturn, TypeAlias

import msgspec
from msgspec import UNSET, Raw, UnsetType

LINK = "recording_url"
BOM = b"\xef\xbb\xbf"

WRITTEN_DIFFERENTLY = (
    "no field differs: the row is only written differently (the order of its members, spaces, escapes)"
)

_QUERY = r"(?:\?|\\u003[fF])"
_SIGNED = re.compile(rf'("{LINK}"\s*+:\s*+"(?:(?!{_QUERY})[^"])*+){_QUERY}[^"]*+')
_URL = re.compile(r'(:(?:\\*+/){2})([^\s"<>]*+)')  # slashes are escaped in JSON that stands in a text
_BEHIND_PATH = re.compile(rf"(?:{_QUERY}|#|\\u0023).*", re.DOTALL)
_PARAMETERS = re.compile(r'\?[^\s?="<>]*+=[^\s"<>]*+')
"""A query without a URL before it, as in `/calls/7.mp3?sig=abc`."""

_PLAIN_NAME = re.compile(r"[^\W\d][\w-]*")


class Number(NamedTuple):
    """A number as it was written."""

    text: str


Value: TypeAlias = "dict[str, Value] | list[Value] | Number | str | bool | None"


class Difference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One field that differs. Values are JSON, numbers digit for digit, and bear the query string of no URL.

    Values that are equal all the same differ in such a query string alone.
    """

    path: str  # such as `transcript[3].text`; empty: the row as one text
    old: Raw | UnsetType = UNSET  # left out: the field was added
    new: Raw | UnsetType = UNSET  # left out: the field was removed


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between two rows, in the order of the newer one; what it has no more comes last."""

    differences: tuple[Difference, ...]
    note: str | None = None  # why there is none, or why the rows are compared as text


def compare(old: bytes, new: bytes) -> Comparison:
    """Compare two rows. Never raises, whatever they hold."""
    rows = []
    for name, raw in (("older", old), ("newer", new)):
        try:
            rows.append(_read(raw))
        except ValueError as error:
            return _as_texts(old, new, f"the {name} row {error}")
    try:
        found = tuple(_differences("", *rows))
    except RecursionError:  # what could just be read may be too deep to be written
        return _as_texts(old, new, "the rows are nested too deeply")
    return Comparison(differences=found, note=None if found else WRITTEN_DIFFERENTLY)


def without_queries(text: str) -> str:
    """Return text in which every URL has lost its user, its query string and its fragment; `?...` tells that there was one."""
    return _PARAMETERS.sub("?...", _URL.sub(lambda url: url[1] + _public(url[2]), text))


def _public(rest: str) -> str:
    authority, slash, path = _BEHIND_PATH.sub("?...", rest).partition("/")
    return f"{authority.rpartition('@')[2]}{slash}{path}"


def _read(raw: bytes) -> Value:
    """Read a row. Raises ValueError that says what is wrong with it."""
    try:
        row = _decoder.decode(raw.removeprefix(BOM).decode("utf-8", "surrogateescape"))
    except json.JSONDecodeError:
        raise ValueError("is not JSON") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(row, dict):
        raise ValueError("is not a JSON object")
    return row


def _members(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    members = {
        name: value.partition("?")[0] if name == LINK and isinstance(value, str) else value for name, value in pairs
    }
    if len(members) < len(pairs):
        raise ValueError("names a member twice")
    return members


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"holds {word}, which is not JSON")


_decoder = json.JSONDecoder(
    strict=False,  # raw control characters come in transcripts, and hide no field
    parse_int=Number,
    parse_float=Number,
    parse_constant=_no_number,
    object_pairs_hook=_members,
)


def _differences(path: str, old: Value | UnsetType, new: Value | UnsetType) -> Iterator[Difference]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in new | old:
            yield from _differences(path + _step(name), old.get(name, UNSET), new.get(name, UNSET))
    elif isinstance(old, list) and isinstance(new, list):
        for index, (before, now) in enumerate(itertools.zip_longest(old, new, fillvalue=UNSET)):
            yield from _differences(f"{path}[{index}]", before, now)
    elif old != new:
        yield Difference(path=path.removeprefix("."), old=_raw(old), new=_raw(new))


def _step(name: str) -> str:
    return f".{name}" if _PLAIN_NAME.fullmatch(name) else f"[{_json(name)}]"


def _raw(value: Value | UnsetType) -> Raw | UnsetType:
    return UNSET if isinstance(value, UnsetType) else Raw(_json(value).encode())


def _json(value: Value) -> str:
    """Write a value as JSON. Half an emoji is spelt out (`\\ud83d`): as what it is no strict reader would take it."""
    if isinstance(value, Number):
        return value.text
    if isinstance(value, str):
        return json.dumps(without_queries(value).encode("utf-8", "backslashreplace").decode(), ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join([_json(each) for each in value])}]"
    if isinstance(value, dict):
        return f"{{{', '.join([f'{_json(name)}: {_json(each)}' for name, each in value.items()])}}}"
    return json.dumps(value)


def _as_texts(old: bytes, new: bytes, why: str) -> Comparison:
    before, now = (_SIGNED.sub(r"\1", raw.decode("utf-8", "backslashreplace")) for raw in (old, new))
    return Comparison(
        differences=(Difference(path="", old=_raw(before), new=_raw(now)),), note=f"{why}: compared as one text"
    )
