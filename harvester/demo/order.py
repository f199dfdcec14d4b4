"""Put the calls of one query in their order and cut it by OFFSET, without a row in memory.

In:   the indexes of the untouched calls, oldest first, and the few calls that were touched since.
Out:  a `View`: how many calls there are, and which one stands at place n.

The untouched calls need no list: `range(a, b)` will do, and the place of each is arithmetic. A call that was
inserted, changed or deleted leaves a *gap* there and, unless it was deleted, comes back as a *guest* between
two of them. So a page costs O(guests), not O(calls).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from math import gcd
from typing import Literal

import msgspec

Order = Literal["newest", "oldest", "shuffled"]

# Neighbours of a shuffled list lie this share of the list apart: the golden section, which spreads best.
_STRIDE = 0.6180339887


class Guest(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A touched call; guests sort by age. `before` counts the calls among the untouched that are older."""

    before: int
    created_s: float
    index: int


class View:
    """The calls of one query in one order. `len(view)` is how many, `view.page(start, stop)` which."""

    def __init__(
        self, calls: Sequence[int], *, touched: Collection[int], guests: Sequence[Guest], order: Order, first_id: int
    ) -> None:
        """`calls` holds the indexes as if none had been touched, ascending; call number i has the id `first_id` + i.

        Those of `touched` that are not among `calls` do not matter.
        """
        self._calls = calls
        self._order = order
        self._first_id = first_id
        self._stride = _coprime(len(calls))
        self._stride_back = pow(self._stride, -1, max(1, len(calls)))
        gaps = sorted(self._place(at) for index in touched if (at := _find(calls, index)) is not None)
        placed = sorted(guests, reverse=order == "newest")
        slots = [self._slot(guest) for guest in placed]
        if order == "shuffled":
            placed = [guest for _, guest in sorted(zip(slots, placed, strict=True))]
            slots.sort()
        self._guests = placed
        self._guest_places = [slot - bisect_left(gaps, slot) + nth for nth, slot in enumerate(slots)]
        self._live_before_gap = [gap - nth for nth, gap in enumerate(gaps)]
        self._total = len(calls) - len(gaps) + len(placed)

    def __len__(self) -> int:
        return self._total

    def page(self, start: int, stop: int) -> list[int]:
        """The ids of the calls at the places `start` up to, not including, `stop`."""
        return [self._first_id + self._at(place) for place in range(start, min(stop, self._total))]

    def _at(self, place: int) -> int:
        nth = bisect_left(self._guest_places, place)
        if nth < len(self._guests) and self._guest_places[nth] == place:
            return self._guests[nth].index
        rank = place - nth
        return self._calls[self._unplace(rank + bisect_right(self._live_before_gap, rank))]

    def _place(self, at: int) -> int:
        """Where the call that is number `at` by age stands in this order."""
        if self._order == "oldest":
            return at
        if self._order == "newest":
            return len(self._calls) - 1 - at
        return at * self._stride % len(self._calls)

    def _unplace(self, place: int) -> int:
        """The inverse of `_place`."""
        if self._order == "shuffled":
            return place * self._stride_back % len(self._calls)
        return self._place(place)

    def _slot(self, guest: Guest) -> int:
        """The place in front of which a guest stands; in a shuffled list its old one or any, but always the same."""
        if self._order == "oldest":
            return guest.before
        if self._order == "newest":
            return len(self._calls) - guest.before
        at = _find(self._calls, guest.index)
        return (guest.index * self._stride) % (len(self._calls) + 1) if at is None else self._place(at)


def _find(calls: Sequence[int], index: int) -> int | None:
    at = bisect_left(calls, index)
    return at if at < len(calls) and calls[at] == index else None


def _coprime(count: int) -> int:
    """A stride that visits each of `count` places once."""
    stride = max(1, int(count * _STRIDE))
    while count > 1 and gcd(stride, count) != 1:
        stride += 1
    return stride
