"""A bounded queue between tasks of one event loop.

In:   items, several at a time.  Out: the same, one by one or all that are there, in order; and an end.

anyio's streams cost a turn of the loop and some objects for each item, and there are two of them on the way of each call. Here
who puts in more than there is room for waits behind it, and goes on when half of the room is free, so that neither side wakes
the other for each item. What was put in is in, also where who did it is cancelled while it waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

import anyio

Item = TypeVar("Item")


class Channel(Generic[Item]):
    """May be put into and taken from by any number of tasks. For one event loop: nothing here is safe between threads."""

    def __init__(self, room: int) -> None:
        """`room` is how many items are held before who puts more in must wait."""
        self._items = deque[Item]()
        self._first = deque[Item]()
        self._room = room
        self._closed = self._kept = False
        self._filled: anyio.Event | None = None  # each is there while somebody waits for it
        self._emptied: anyio.Event | None = None

    async def put(self, items: Iterable[Item]) -> None:
        """Put some in, all at once; return when there is room for more."""
        self._items.extend(items)
        self._call_takers()
        while len(self._items) + len(self._first) > self._room:
            self._emptied = self._emptied or anyio.Event()
            await self._emptied.wait()

    async def get(self) -> Item | None:
        """Return the next one, None at the end. One that is there is taken without a turn of the loop."""
        while not self._first and (self._kept or not self._items):
            if not await self._is_filled(kept=self._kept):
                return None
        item = self._first.popleft() if self._first else self._items.popleft()
        self._call_putters()
        return item

    def put_first(self, items: Iterable[Item]) -> None:
        """Put some in before all others, even after the end, for `get` alone: whoever took them with others gives them back."""
        self._first.extend(items)
        self._call_takers()

    async def get_some(self, most: int) -> list[Item]:
        """Return the next ones, `most` at most; nothing at the end."""
        while not self._items:
            if not await self._is_filled():
                return []
        return self.take(most)

    def keep(self, kept: bool) -> None:
        """Keep what is not put first for `get_some`, or let everybody have it again."""
        self._kept = kept
        self._call_takers()

    def __len__(self) -> int:
        """How many are there at the moment, but for those that were put first."""
        return len(self._items)

    def take(self, most: int) -> list[Item]:
        """Return what is there, `most` at most."""
        items = [self._items.popleft() for _ in range(min(most, len(self._items)))]
        self._call_putters()
        if self._closed and not self._items:
            self._call_takers()
        return items

    def close(self) -> None:
        """Note that nothing more will be put in."""
        self._closed = True
        self._call_takers()

    async def _is_filled(self, *, kept: bool = False) -> bool:
        """Wait until there may be more; False at the end, which is not there while what is left may come back."""
        if self._closed and not self._items and not kept:
            return False
        self._filled = self._filled or anyio.Event()
        await self._filled.wait()
        return True

    def _call_takers(self) -> None:
        if self._filled:
            self._filled.set()
            self._filled = None

    def _call_putters(self) -> None:
        if self._emptied and 2 * (len(self._items) + len(self._first)) <= self._room:
            self._emptied.set()
            self._emptied = None
