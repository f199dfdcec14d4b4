"""A process that fetches recordings beside the run, where one process is not enough.

In:   on stdin how it is to work, then links and the paths of parts.  Out: on stdout what lies in each part.

A porter makes the first attempt that the run would make, with the same code, and writes a whole recording into its part. What
does not go smoothly it leaves to the run: a dead link, a server that asks for patience, a recording that is large or cannot be
proven at once, a disk that refuses. The run then begins from the start, and alone decides what has become of the call. So
whatever happens to a porter costs time and nothing else. It is told no key, writes no name and no ledger, and ends when its
stdin does.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import TypeVar

import anyio
import msgspec
from yarl import URL

from harvester.archive.part import SPOOL_BYTES, Part
from harvester.archive.proof import Judge
from harvester.errands import LENGTH_BYTES, Brought, Errand, Return, Terms, framed
from harvester.errors import HarvestError, NotGivenError, NotKeptError, RecordingError
from harvester.loop import run_async
from harvester.model import Call, Transfer
from harvester.platform.api import Api
from harvester.platform.bandwidth import Bandwidth
from harvester.platform.budget import Budget, Gate
from harvester.platform.patience import MinRate
from harvester.platform.recordings import Recordings
from harvester.platform.retry import RetryPolicy

PR_SET_PDEATHSIG = 1  # linux/prctl.h
WRITTEN_AT_ONCE_BYTES = 256 * 1024
"""Larger recordings are written as they come; smaller ones when their batch is there, one after the other, which is quicker."""

ERRAND_SECONDS = 5.0
"""How long one may take. What takes longer keeps all others of its batch waiting, and no processor busy: the run waits for it."""

ONE_ATTEMPT = RetryPolicy(attempts=1, throttled_attempts=1)

Message = TypeVar("Message")


class _Keyless(Api):
    """Knows which links are of the API's own origin, and nothing more."""

    def authorization_for(self, url: URL) -> dict[str, str]:
        """Leave the link to who has the key. Raises RecordingError."""
        raise RecordingError(f"{url.host} wants the key")

    async def call(self, call_id: str) -> bytes | None:
        """Ask for no fresh link. Raises NotGivenError."""
        raise NotGivenError(f"call {call_id}: a porter asks for no fresh link")


class Porter:
    """Fetches batches of recordings, several at a time."""

    def __init__(self, recordings: Recordings, terms: Terms) -> None:
        """Of `recordings` no more than the `terms` say are fetched at the same time."""
        self._recordings = recordings
        self._mode = terms.mode
        self._places = anyio.Semaphore(terms.connections)

    async def fetch(self, errands: Sequence[Errand]) -> list[Brought | None]:
        """Fetch a batch; return what each errand brought."""
        came = await asyncio.gather(*map(self._fetched, errands))
        return [each if isinstance(each, Brought) else each and _staged(*each) for each in came]

    async def _fetched(self, errand: Errand) -> Brought | tuple[Part, Judge, Transfer] | None:
        part = Part(os.fsdecode(errand.place), self._mode)
        judge = Judge(part)
        transfer = None
        try:
            async with self._places:
                with anyio.move_on_after(ERRAND_SECONDS):
                    transfer = await self._recordings.fetch(_call_of(errand), part, judge)
        except NotKeptError:
            part.leave()
            return None
        except HarvestError:
            transfer = None
        if transfer is None:
            part.discard()
            return None
        return _staged(part, judge, transfer) if part.size_bytes > WRITTEN_AT_ONCE_BYTES else (part, judge, transfer)


def _staged(part: Part, judge: Judge, transfer: Transfer) -> Brought | None:
    try:
        sha256, size_bytes, _ = part.stage(durably=False)
    except HarvestError:  # the file stays where it is: the disk is to give its blocks to no other
        return None
    return Brought(sha256, size_bytes, judge.container, judge.proof, transfer)


def _call_of(errand: Errand) -> Call:
    """Return a call of which nothing is known but its link."""
    return Call(
        id=os.fsdecode(errand.place.rpartition(b"/")[2]),
        raw=b"",
        digest="",
        created_at=None,
        ended_at=None,
        status=None,
        duration_seconds=None,
        recording_url=errand.link,
        transcript=None,
        phone_numbers=(),
    )


async def _work(to: int) -> None:
    """Serve until stdin ends; `to` is the descriptor for returns."""
    stdin = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin.buffer)
    terms = await _received(stdin, Terms)
    if terms is None:
        return
    was_refused = False

    def refused() -> None:
        nonlocal was_refused
        was_refused = True

    async def serve(errands: list[Errand], before: anyio.Event, done: anyio.Event) -> None:
        nonlocal was_refused
        brought = await porter.fetch(errands)
        await before.wait()  # whoever sent the batches awaits their returns in the same order
        _send(Return(brought, was_refused), to)
        was_refused = False
        done.set()

    largest_bytes = min(terms.max_file_bytes or SPOOL_BYTES, SPOOL_BYTES - 1)
    async with (
        Recordings(
            _Keyless(terms.base_url, "", Gate(Budget(1)), ONE_ATTEMPT),
            ONE_ATTEMPT,
            workers=terms.connections,
            bandwidth=Bandwidth(None),
            min_rate=MinRate(bytes_per_second=terms.least_bytes_per_second, over_seconds=terms.patience_seconds),
            max_file_bytes=largest_bytes,
            hosts=terms.hosts,
            allow_private_hosts=terms.allow_private_hosts,
            on_refusal=refused,
        ) as recordings,
        anyio.create_task_group() as tasks,
    ):
        porter = Porter(recordings, terms)
        before = anyio.Event()
        before.set()
        while (errands := await _received(stdin, list[Errand])) is not None:
            done = anyio.Event()
            tasks.start_soon(serve, errands, before, done)
            before = done
        tasks.cancel_scope.cancel()


async def _received(stdin: asyncio.StreamReader, kind: type[Message]) -> Message | None:
    """Return the next message, None at the end."""
    try:
        size_bytes = int.from_bytes(await stdin.readexactly(LENGTH_BYTES), "big")
        return msgspec.msgpack.decode(await stdin.readexactly(size_bytes), type=kind)
    except asyncio.IncompleteReadError:
        return None


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
    run_async(_work, _kept_apart())
