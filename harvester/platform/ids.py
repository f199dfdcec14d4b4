"""The ids of all calls that a listing has shown, in as little memory as a set can do with.

In:   ids.  Out: whether one has been shown.

A million ids of six digits take 89 MB as text and 66 MB as numbers (CPython 3.11): most platforms count their calls.
"""

from __future__ import annotations

from collections.abc import Iterable

LONGEST_NUMBER = 18
"""Digits of a number that fits into 64 bits whatever it is."""


class Ids:
    """A set of ids; `7` and `007` are different ones."""

    def __init__(self) -> None:
        self._keys: set[int | str] = set()

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, call_id: str) -> bool:
        return _key(call_id) in self._keys

    def update(self, call_ids: Iterable[str]) -> None:
        """Add some."""
        self._keys.update(map(_key, call_ids))


def _key(call_id: str) -> int | str:
    """Return the number that is written like this and in no other way, or the text itself."""
    is_number = call_id.isascii() and call_id.isdigit() and len(call_id) <= LONGEST_NUMBER
    return int(call_id) if is_number and (call_id[0] != "0" or call_id == "0") else call_id
