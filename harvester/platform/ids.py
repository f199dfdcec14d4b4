"""The ids of all calls that a listing has shown, in little memory.

In:   ids.  Out: whether one has been shown.

Most platforms count their calls, and a million numbers take 13 MB here, where a set of them takes 66 MB and one of texts 89
(CPython 3.11). They lie in sorted arrays, many short ones, since half of an array is moved when a number comes between.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable

LONGEST_NUMBER = 18
"""Digits of a number that fits into 64 bits whatever it is."""

SHARDS = 4096
"""Arrays of 250 numbers each for a million ids: short enough to be moved in a tenth of a microsecond."""


class Ids:
    """A set of ids; `7` and `007` are different ones."""

    def __init__(self) -> None:
        self._numbers = [array("q") for _ in range(SHARDS)]
        self._texts: set[str] = set()
        self._count = 0

    def __len__(self) -> int:
        return self._count + len(self._texts)

    def __contains__(self, call_id: str) -> bool:
        number = _number(call_id)
        if number is None:
            return call_id in self._texts
        shard = self._numbers[number % SHARDS]
        place = bisect_left(shard, number)
        return place < len(shard) and shard[place] == number

    def update(self, call_ids: Iterable[str]) -> None:
        """Add some."""
        for call_id in call_ids:
            number = _number(call_id)
            if number is None:
                self._texts.add(call_id)
                continue
            shard = self._numbers[number % SHARDS]
            place = bisect_left(shard, number)
            if place == len(shard) or shard[place] != number:
                shard.insert(place, number)
                self._count += 1


def _number(call_id: str) -> int | None:
    """Return the number that is written like this and in no other way; None for every other text."""
    is_number = call_id.isascii() and call_id.isdigit() and len(call_id) <= LONGEST_NUMBER
    return int(call_id) if is_number and (call_id[0] != "0" or call_id == "0") else None
