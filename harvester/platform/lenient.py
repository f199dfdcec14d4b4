"""Read JSON that is broken in places: where the rows of a page lie, and what a row says.

In:   bytes that the strict reader refuses.  Out: the rows byte for byte and what stands around them; a row's value.

Half an emoji, a raw control character or `NaN` in one row makes a whole page no JSON. So rows are told apart by their
brackets and strings alone, whatever stands between those. When even that leads nowhere, since a quote or a bracket is
missing, the row ends at the first brace from which other rows and the rest of the page can be read. Finding the rows
does not descend with the nesting, and reads at most about `MOST_READINGS` times as much as came in.
"""

from __future__ import annotations

import json
import re

import msgspec

BOM = b"\xef\xbb\xbf"
MOST_READINGS = 8
"""A page with one broken row takes about three; beyond this somebody has made it to keep us busy."""

LONGEST_INTEGER = 18
"""Digits that surely fit into 64 bits; a longer number stays the text that it is."""

_GAP = rb"[ \t\r\n]*+"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_KEY = re.compile(_GAP + rb"(" + _STRING + rb")" + _GAP + rb":" + _GAP, re.DOTALL)
_INDEX = re.compile(_GAP + rb'"[0-9]+"' + _GAP + rb":" + _GAP)
_TOKEN = re.compile(_STRING + rb'|[][{}"]', re.DOTALL)
_PLAIN = re.compile(_STRING + rb'|[^][{}",:\s]++', re.DOTALL)
_SPACE = re.compile(_GAP)
_COMMA = re.compile(_GAP + rb"," + _GAP)
_MEMBER_END = re.compile(_GAP + rb"([,}])" + _GAP)
_OPENING = re.compile(_GAP + rb"([{[])" + _GAP)
_CLOSE = re.compile(_GAP + rb"([]}])")
_POSSIBLE_ROW_END = re.compile(rb"\}(?=" + _GAP + rb"[],}])")
_CLOSING = {b"{": b"}", b"[": b"]"}

_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
"""An escape in a JSON string; the group holds half of a surrogate pair, where the other half is missing."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A page in parts: its rows, None where it has no `data`, and its other members, name to value, as JSON."""

    rows: tuple[bytes, ...] | None
    others: dict[str, bytes]


def read_envelope(body: bytes) -> Envelope | None:
    """Take a page apart. None when it is no object, or does not end as one. Of equal names the last counts."""
    body = body.removeprefix(BOM)
    start = _OPENING.match(body)
    return _Reader(body).members(start.end()) if start and start[1] == b"{" else None


def read_value(raw: bytes) -> object:
    """Decode one row; None when it cannot be. Its text can be written as UTF-8: what is no character stays, spelt as `\\ud83d`.

    Numbers that are none (`NaN`) become None, and integers of more than `LONGEST_INTEGER` digits text.
    """
    text = raw.removeprefix(BOM).decode("utf-8", "surrogateescape").encode("utf-8", "backslashreplace").decode()
    try:
        return _decoder.decode(_ESCAPE.sub(lambda escape: f"\\{escape[0]}" if escape[1] else escape[0], text))
    except (ValueError, RecursionError):
        return None


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= LONGEST_INTEGER else digits


_decoder = json.JSONDecoder(strict=False, parse_int=_integer, parse_constant=lambda _: None)


class _Reader:
    """Reads one page. Positions are indices into its bytes."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._led_on: dict[
            int, bool
        ] = {}  # for each position tried whether the rows from there lead to the rest of the page
        self._left_bytes = MOST_READINGS * len(body)

    def members(self, at: int) -> Envelope | None:
        """Read members from `at`, where a key is due, to the end of the page; None when they do not lead there."""
        others: dict[str, bytes] = {}
        while key := _KEY.match(self._body, at):
            name, at = key[1][1:-1].decode("utf-8", "replace"), key.end()
            if name == "data" and self._body[at : at + 1] in _CLOSING:
                rest = self._rows(at)
                return rest and Envelope(rows=rest.rows, others=others | rest.others)
            value_end = self._value_end(at)
            end = _MEMBER_END.match(self._body, value_end) if value_end else None
            if end is None:
                return None
            others[name] = self._body[at:value_end]
            at = end.end()
            if end[1] == b"}":
                return Envelope(rows=None, others=others) if at == len(self._body) else None
        return None

    def _rows(self, at: int) -> Envelope | None:
        """Read the rows of the array, or object, that opens at `at`, and everything behind it."""
        body, rows = self._body, list[bytes]()
        closing = _CLOSING[body[at : at + 1]]
        if rest := self._rest(at + 1, closing):
            return rest if rest.rows is not None else Envelope(rows=(), others=rest.others)
        step: int | Envelope | None = _behind(_INDEX if closing == b"}" else _SPACE, body, at + 1)
        while isinstance(step, int):
            at = step
            end, step = self._row_end(at, closing)
            rows.append(body[at:end])
        if step is None or step.rows is not None:  # a second `data`: the last counts
            return step
        return Envelope(rows=tuple(rows), others=step.others)

    def _step(self, end: int, closing: bytes) -> int | Envelope | None:
        """Return what follows a row that ends at `end`: where the next one begins, or the rest of the page; None: neither."""
        comma = _COMMA.match(self._body, end)
        if comma is None:
            return self._rest(end, closing)
        if closing == b"}":
            return _behind(_INDEX, self._body, comma.end())
        return None if self._body[comma.end() : comma.end() + 1] in b'"]}' else comma.end()

    def _rest(self, at: int, closing: bytes) -> Envelope | None:
        """Read everything behind the rows, from what closes them; None when that does not lead to the end of the page."""
        body = self._body
        close = _CLOSE.match(body, at)
        end = _MEMBER_END.match(body, close.end()) if close and close[1] == closing else None
        if end is None:
            return None
        if end[1] == b",":
            return self.members(end.end())
        return Envelope(rows=None, others={}) if end.end() == len(body) else None

    def _row_end(self, at: int, closing: bytes) -> tuple[int | None, int | Envelope | None]:
        """Return where the row that begins at `at` ends, and the step that follows it; the step is None where there is none."""
        body, end = self._body, self._value_end(at)
        step = self._step(end, closing) if end else None
        if step is None or (body[at : at + 1] == b"{" and read_value(body[at:end]) is None):
            for possible in _POSSIBLE_ROW_END.finditer(body, at):  # its brackets may have led astray
                other = self._step(possible.end(), closing)
                if isinstance(other, Envelope) or (other is not None and self._leads_on(other, closing)):
                    return possible.end(), other
        return end, step

    def _leads_on(self, at: int, closing: bytes) -> bool:
        """Whether from `at` on row follows row until the rest of the page does: what only looks like a row does not."""
        passed = set[int]()
        step: int | Envelope | None = at
        while isinstance(step, int) and step not in self._led_on:
            passed.add(step)
            end = self._value_end(step)
            step = self._step(end, closing) if end else None
        led_on = self._led_on[step] if isinstance(step, int) else step is not None
        self._led_on |= dict.fromkeys(passed, led_on)
        return led_on

    def _value_end(self, at: int) -> int | None:
        """Return where the value that begins at `at` ends, told by its brackets and strings alone; None: it does not."""
        if self._left_bytes < 0:
            return None
        body = self._body
        if body[at : at + 1] not in _CLOSING:
            plain = _PLAIN.match(body, at)
            return plain.end() if plain else None
        awaited = bytearray()
        end, token = None, None
        for token in _TOKEN.finditer(body, at):
            mark = body[token.start() : token.start() + 1]
            if mark in _CLOSING:
                awaited += _CLOSING[mark]
            elif mark != b'"':
                if awaited.pop() != mark[0]:
                    break
                if not awaited:
                    end = token.end()
                    break
            elif token.end() - token.start() == 1:  # a string without end
                break
        self._left_bytes -= (token.end() if token else len(body)) - at
        return end


def _behind(pattern: re.Pattern[bytes], body: bytes, at: int) -> int | None:
    match = pattern.match(body, at)
    return match.end() if match else None
