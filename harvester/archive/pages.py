"""Keep list pages as they came: packed, numbered, each with a ledger line of its own.

In:   `RawPage`s, several at a time.  Out: `runs/<id>/pages/000001.json.gz`, durable, and told of by the ledger.

A page that nobody can read is kept in any run: it is all that there is to find out later what the platform said. The others
are kept where that is asked for. They hold the rows of all callers, so they are never part of what is handed over about one.
"""

from __future__ import annotations

import hashlib
import itertools
import zlib
from collections.abc import Callable

import anyio
import anyio.to_thread
import msgspec

from harvester.archive import disk
from harvester.archive.layout import PAGES, run_key
from harvester.archive.stage import Deposit, Staged
from harvester.archive.store import Archive
from harvester.model import PAGE, File, RawPage


class Pages:
    """Keeps the list pages of one run: those that cannot be read, or every one."""

    def __init__(
        self, archive: Archive, *, every: bool, shows_erased: Callable[[bytes], bool] = lambda body: False
    ) -> None:
        """`shows_erased` tells whether a page shows a call that was erased: such a page is noted, and not kept."""
        self._archive = archive
        self._shows_erased = shows_erased
        self._every = every
        self._number = itertools.count(1)

    async def keep(self, page: RawPage) -> str | None:
        """Keep a page, and return its key; None where it is none to keep. When it returns, the page survives a power cut.

        Raises StorageError.
        """
        if page.readable and not self._every:
            return None
        with anyio.CancelScope(shield=True):  # a page that has come is kept, though the run be stopped
            deposit = await anyio.to_thread.run_sync(self._staged, page, next(self._number))
            await self._archive.commit_from_loop([deposit])
        return deposit.staged[0].file.path if deposit.staged else None

    def _staged(self, page: RawPage, number: int) -> Deposit:
        event = {
            "event": PAGE,
            "window": page.window.named(),
            "number": page.number,
            "per_page": page.per_page,
            "received_at": page.received_at.isoformat(timespec="milliseconds"),
            "readable": page.readable,
            "files": [],
        }
        if self._shows_erased(page.body):
            return Deposit(event=event | {"kept": False})
        data = packed(page.body)
        part = self._archive.parts / f"page-{number}.part"
        disk.write_durable(part, data, mode=self._archive.mode)
        key = run_key(self._archive.run_id, f"{PAGES}/{number:06}.json.gz")
        file = File(path=key, bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), role=PAGE)
        event |= {"files": [msgspec.structs.asdict(file)]} | ({"key_removed": True} if page.key_removed else {})
        return Deposit(event=event, staged=(Staged(file=file, part=str(part)),))


def packed(body: bytes) -> bytes:
    """Return a page as gzip, without name and time: equal pages are equal files. Whoever has gunzip can read it."""
    pack = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    return pack.compress(body) + pack.flush()
