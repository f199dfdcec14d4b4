"""A process that fetches recordings beside the run, where one process is not enough.

In:   on stdin how it is to work, then links and the paths of parts.  Out: on stdout what lies in each part.

A porter makes the first attempt that the run would make, in a quicker way, and writes a whole recording into its part. What
does not go smoothly it leaves to the run: a dead link, a server that asks for patience, a recording that is large or cannot be
proven at once, a disk that refuses. The run then begins from the start, and alone decides what has become of the call. So
whatever happens to a porter costs time and nothing else. It is told no key, writes no name and no ledger, and ends when its
stdin does.

It loads neither aiohttp nor asyncio, whose start would take longer than many a run has left.
"""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec

from harvester.archive.digest import hasher, promised
from harvester.archive.disk import write_new
from harvester.archive.pieces import SPOOL_BYTES
from harvester.container.sniff import SNIFF_BYTES, sniff
from harvester.errands import LENGTH_BYTES, Batch, Brought, Return, Terms, framed
from harvester.errors import HarvestError
from harvester.platform.smooth import origin_of
from harvester.platform.swift import Fetched, Swift, Ways

PR_SET_PDEATHSIG = 1  # linux/prctl.h

ERRAND_SECONDS = 5.0
"""How long one may take. What takes longer keeps all others of its batch waiting, and no processor busy: the run waits for it."""

READ_BYTES = 64 * 1024

Message = TypeVar("Message")


class _Round:
    """What each errand of a batch has brought so far."""

    def __init__(self, errands: int) -> None:
        self.brought: list[Brought | None] = [None] * errands
        self.under_way = errands


class Porter:
    """Fetches batches of recordings, several at a time, and sends returns in the order in which batches came."""

    def __init__(self, terms: Terms, to: int) -> None:
        """`to` is the descriptor for returns."""
        self._mode = terms.mode
        self._to = to
        self._rounds = deque[_Round]()
        self._swift = Swift(
            Ways(
                headers=terms.headers,
                largest_bytes=min(terms.max_file_bytes or SPOOL_BYTES, SPOOL_BYTES - 1),
                seconds=ERRAND_SECONDS,
                hosts=terms.hosts,
                own=origin_of(f"{terms.base_url}/"),
                allow_private_hosts=terms.allow_private_hosts,
                ca_file=terms.ca_file,
                ca_folder=terms.ca_folder,
            )
        )

    def take(self, batch: Batch) -> None:
        """Take a batch."""
        self._swift.use(batch.connections)
        brings = _Round(len(batch.errands))
        self._rounds.append(brings)
        for number, errand in enumerate(batch.errands):
            self._swift.ask(errand.link, functools.partial(self._came, brings, number, errand.place))

    def go_on(self, stdin: int) -> bool:
        """Go on with what was taken; return, once there is nothing to go on with, whether `stdin` can be read."""
        self._swift.go_on()
        while self._rounds and not self._rounds[0].under_way:
            _send(Return(self._rounds.popleft().brought, self._swift.is_refused, time.process_time()), self._to)
        return self._swift.wait(stdin)

    def _came(self, brings: _Round, number: int, place: bytes, fetched: Fetched | None) -> None:
        brings.brought[number] = self._kept(os.fsdecode(place), fetched) if fetched else None
        brings.under_way -= 1

    def _kept(self, place: str, fetched: Fetched) -> Brought | None:
        """Write a recording into its part, if it is one, and nothing about it is to be doubted."""
        transfer, body, sha256 = fetched
        container = sniff(_head_of(body))
        if container is None:
            return None
        proof = transfer.framing
        if digest := promised(transfer.headers, transfer.status):
            known = bytes.fromhex(sha256) if digest.algorithm == "sha256" else _hashed(digest.algorithm, body)
            if known != digest.value:
                return None
            proof = "digest"
        try:
            write_new(place, *body, durably=False, mode=self._mode)
        except HarvestError:  # what is there of the file stays: the disk is to give its blocks to no other
            return None
        return Brought(sha256, sum(map(len, body)), container, proof, transfer)


def _head_of(body: Sequence[bytes]) -> bytes:
    if body and len(body[0]) >= SNIFF_BYTES:
        return body[0][:SNIFF_BYTES]
    return b"".join(body[:SNIFF_BYTES])[:SNIFF_BYTES]


def _hashed(algorithm: str, body: Sequence[bytes]) -> bytes:
    found = hasher(algorithm)
    for piece in body:
        found.update(piece)
    return found.digest()


class _Stdin:
    """Reads messages from a pipe, without waiting for whole ones."""

    def __init__(self, stdin: int) -> None:
        self._stdin = stdin
        self._came = bytearray()

    def read(self) -> bool:
        """Take what is there; return whether more can come."""
        piece = os.read(self._stdin, READ_BYTES)
        self._came += piece
        return bool(piece)

    def messages(self, kind: type[Message]) -> Iterator[Message]:
        """Yield those that are whole."""
        while True:
            end = LENGTH_BYTES + int.from_bytes(self._came[:LENGTH_BYTES], "big")
            if len(self._came) < max(end, LENGTH_BYTES + 1):
                return
            message = self._came[LENGTH_BYTES:end]
            del self._came[:end]
            yield msgspec.msgpack.decode(message, type=kind)


def _work(stdin: int, to: int) -> None:
    """Serve until stdin ends."""
    said, terms = _Stdin(stdin), None
    while terms is None:
        if not said.read():
            return
        terms = next(said.messages(Terms), None)
    porter = Porter(terms, to)
    while True:
        for batch in said.messages(Batch):
            porter.take(batch)
        if porter.go_on(stdin) and not said.read():
            return


def _send(message: object, to: int) -> None:
    left = memoryview(framed(message))
    while left:
        left = left[os.write(to, left) :]


def _kept_apart() -> int:
    """Keep stdout for returns alone, whatever else is printed; return its new descriptor."""
    to = os.dup(sys.stdout.fileno())
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
    return to


def _die_with_parent() -> None:
    """Have the kernel end this process when the one that began it is gone (Linux; elsewhere stdin's end does, a little later)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    _die_with_parent()
    # These are for the run, which decides what is still fetched.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _work(sys.stdin.fileno(), _kept_apart())
