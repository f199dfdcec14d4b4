"""The processes that fetch recordings beside the run: when one is worth it, and how it is spoken to.

In:   what was settled, and what that cost; batches of errands.  Out: another porter, where one is needed; what was brought.

A run waits for servers most of the time, and one process is enough. Where the servers are quicker than one of Python's
interpreters (a platform in the same building, small recordings) it is the processor that is waited for, of which the machine
may have more. Whether it is so is measured: by the share of the time in which this process, or one that fetches beside it, was
at work; and where somebody is on standby already, by how fast the first recordings came.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Callable, Sequence

import anyio
import msgspec
from anyio.abc import UNIXSocketStream

from harvester.archive import steps
from harvester.archive.pieces import SPOOL_BYTES
from harvester.crew import CALL_BYTES
from harvester.errands import LENGTH_BYTES, Batch, Return, Terms, framed
from harvester.standby import Standby

log = logging.getLogger(__name__)

STRETCH_BYTES = 8 * 1024 * 1024
"""The work between two looks, each call counting `CALL_BYTES` more: 64 recordings of that size. Whoever fetches less is done
before a porter has begun."""

BUSY = 0.85
"""The share of the time in which a process is at work that has more to do than it can."""

FEWEST_QUICK = 8
QUICK_SECONDS = 0.02
"""Who is on standby is called without a look once so many small recordings came at the first attempt and within that time, and
more calls went so than otherwise. Even the eight workers of the beginning keep a processor busy with a third of it, and a look
comes after 64 calls, which another process would have fetched meanwhile."""

PATIENCE_SECONDS = 60.0
"""How long a return may take after the one before: a hundredth of a second where porters are worth it. For what is slow the
run waits."""

MOST_LEFT = 32
LEFT_SHARE = 0.2
"""A porter is sent home when it has left more errands to the run than both of these say: each is asked for twice."""

MOST_USELESS = 3
"""So many have gone before their time; then no other one is tried in this run."""

NEVER_BEGAN = "ended before it brought anything (harvester[fast] brings a libcurl that it can use)"

LOST = "a process that fetched recordings beside this one {why}; what it was to bring was fetched without it, and nothing is lost"

LARGEST_RETURN_BYTES = 16 * 1024 * 1024
"""Far beyond a batch with the largest headers that servers may send."""


class Pressure:
    """Tells whether one process has more to do than it can. Pure: the caller brings clock and CPU times, in seconds."""

    def __init__(self, now: float = 0.0, cpu: float = 0.0) -> None:
        self._begin(now, [cpu])

    def count(self, recording_bytes: int) -> None:
        """Count a call that was fetched."""
        self._work_bytes += recording_bytes + CALL_BYTES

    @property
    def is_due(self) -> bool:
        """Whether it is time for a look."""
        return self._work_bytes >= STRETCH_BYTES

    def look(self, now: float, *cpu: float) -> bool:
        """Tell whether any was busy since the look before, and begin anew. New ones stand behind those that were there."""
        spent = (each - before for each, before in itertools.zip_longest(cpu, self._cpu, fillvalue=0.0))
        busy = max(spent) >= BUSY * (now - self._now)
        self._begin(now, cpu)
        return busy

    def _begin(self, now: float, cpu: Sequence[float]) -> None:
        self._now, self._cpu, self._work_bytes = now, cpu, 0


class Hired:
    """A porter that works for this run. It begins with its first batch, unless it is on standby already."""

    def __init__(
        self,
        terms: Terms,
        standby: Standby | None = None,
        *,
        on_gone: Callable[[], None],
        on_lost: Callable[[str], None],
    ) -> None:
        """`on_gone` is called when it takes no more; before it, `on_lost` is told in a sentence where that was not our wish."""
        self._terms = terms
        self._process = standby
        self._on_gone = on_gone
        self._on_lost = on_lost
        self._stream: UNIXSocketStream | None = None
        self._sending, self._reading = anyio.Lock(fast_acquire=True), anyio.Lock(fast_acquire=True)
        self._brought = self._left = 0
        self.cpu_seconds = 0.0
        self._place = b""
        self.is_open = True
        self.is_last = False  # whether another one would fare no better

    async def fetch(self, batch: Batch) -> Return:
        """Have a batch fetched; several may be under way, and their returns come in the same order.

        Nothing is brought by one that has gone.
        """
        returned = None
        try:
            async with self._sending:
                with anyio.fail_after(PATIENCE_SECONDS):
                    if self.is_open:
                        await self._send(batch)
            async with self._reading:
                with anyio.fail_after(PATIENCE_SECONDS):  # since the return before
                    if self.is_open:
                        returned = await self._next_return(len(batch.errands))
        except TimeoutError:
            await self._lose(f"did not answer for {PATIENCE_SECONDS:g} s")
        except ValueError as error:
            await self._lose(f"said what could not be read ({error})")
        except (anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._lose("ended by itself" if self._brought + self._left else NEVER_BEGAN)
        except OSError as error:
            await self._lose(f"could not begin ({error.strerror or error})")
        except BaseException:
            self.dismiss()  # half a return may have been read
            raise
        if returned is None:
            return Return([None] * len(batch.errands), False, self.cpu_seconds)
        self._count(returned)
        return returned

    def dismiss(self) -> None:
        """End it. What it was about to bring is left to the run."""
        if self.is_open:
            self.is_open = False
            self._on_gone()
        if self._process:
            self._process.kill()

    async def gone(self) -> None:
        """Wait until it has ended, so that nothing is written any more: a step of the storage, which may hang."""
        if self._process:
            with anyio.CancelScope(shield=True), steps.step("end a process that writes to", os.fsdecode(self._place)):
                await anyio.to_thread.run_sync(self._process.gone)
                async with self._sending, self._reading:  # whose turn it was has met the end of the stream
                    self._process.close()
            log.info("a process beside this one brought %d recordings, and left %d to it", self._brought, self._left)

    async def _send(self, batch: Batch) -> None:
        if self._stream is None:
            from anyio.streams.buffered import BufferedByteReceiveStream  # here, because most runs need no porter

            self._place = batch.errands[0].place
            log.info("another process fetches recordings beside this one")
            self._process = self._process or Standby()
            self._stream = await UNIXSocketStream.from_socket(self._process.socket)
            self._returns = BufferedByteReceiveStream(self._stream)
            await self._stream.send(framed(self._terms))
        await self._stream.send(framed(batch))

    async def _next_return(self, errands: int) -> Return:
        """Read a return for so many errands. Raises ValueError for anything else."""
        size_bytes = int.from_bytes(await self._returns.receive_exactly(LENGTH_BYTES), "big")
        if size_bytes > LARGEST_RETURN_BYTES:
            raise ValueError("what it says is no return")
        returned = msgspec.msgpack.decode(await self._returns.receive_exactly(size_bytes), type=Return)
        if len(returned.brought) != errands:
            raise ValueError(f"a return for {len(returned.brought)} errands instead of {errands}")
        return returned

    def _count(self, returned: Return) -> None:
        """Send it home where it is of no use: a server wants patience, which this process has, or it leaves too much."""
        left = returned.brought.count(None)
        self._left += left
        self.cpu_seconds = returned.cpu_seconds
        self._brought += len(returned.brought) - left
        self.is_last |= returned.refused
        if returned.refused or (self._left > MOST_LEFT and self._left > LEFT_SHARE * (self._left + self._brought)):
            self.dismiss()

    async def _lose(self, why: str) -> None:
        if not self.is_open:
            return
        self._on_lost(LOST.format(why=why))
        self.is_last |= not self._brought
        self.dismiss()
        await self.gone()


class Porters:
    """The porters of one run. Use as an async context manager: at its end none writes any more."""

    def __init__(
        self,
        terms: Terms,
        most: int,
        standby: Standby | None = None,
        *,
        on_hired: Callable[[], None],
        on_gone: Callable[[], None],
        on_lost: Callable[[str], None],
    ) -> None:
        """There are `most` at a time; `on_hired` is called before each, `on_gone` after it, `on_lost` as in `Hired`.

        The first to be hired is who is on `standby`.
        """
        self._terms = terms
        self._standby = standby
        self._most = most
        self._on_hired = on_hired
        self._on_gone = on_gone
        self._on_lost = on_lost
        self._hired: list[Hired] = []
        self._pressure = Pressure(time.monotonic(), time.process_time())
        self._quick = self._other = 0  # calls that were fetched, or failed

    async def __aenter__(self) -> Porters:
        """None begins before it is needed."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End all, and who is still on standby."""
        if self._standby:
            self._standby.kill()
        for each in self._hired:
            each.dismiss()
        for each in self._hired:
            await each.gone()

    def count(self, recording_bytes: int, seconds: float | None = None) -> None:
        """Count a call that was fetched; `seconds` is how long it took at its first attempt, if that sufficed.

        Large recordings a porter would leave to the run, and they call for none.
        """
        is_small = recording_bytes < SPOOL_BYTES
        if is_small:
            self._pressure.count(recording_bytes)
        is_quick = is_small and seconds is not None and seconds < QUICK_SECONDS
        self._quick += is_quick
        self._other += not is_quick

    def one_more(self) -> Hired | None:
        """Return a further porter where one is needed. To be asked often: it looks seldom.

        None comes any more where a server has asked one for patience, one could bring nothing at all, or so many were of no use.
        """
        if self._is_obvious:
            self._look()  # the next one is not called for what this process did alone
        elif not (self._pressure.is_due and self._look()):
            return None
        working = sum(each.is_open for each in self._hired)
        useless = len(self._hired) - working
        if working >= self._most or useless >= MOST_USELESS or any(each.is_last for each in self._hired):
            return None
        self._on_hired()
        self._hired.append(Hired(self._terms, self._standby, on_gone=self._on_gone, on_lost=self._on_lost))
        self._standby = None
        return self._hired[-1]

    @property
    def _is_obvious(self) -> bool:
        return self._standby is not None and self._quick >= FEWEST_QUICK and self._quick > self._other

    def _look(self) -> bool:
        spent = time.process_time(), *(each.cpu_seconds for each in self._hired)
        return self._pressure.look(time.monotonic(), *spent)

    @property
    def any_open(self) -> bool:
        """Whether one is at work."""
        return any(each.is_open for each in self._hired)
