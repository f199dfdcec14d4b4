"""A process beside the run that writes and hashes small files, where there is a second core for it.

In:   a call's files: paths and bytes.  Out: their SHA-256; or None: write them yourself.

Hashing 64 KiB and creating a call's three files take as long as everything else that the event loop does about a call, and a
thread fights with the loop over the interpreter at each of their ten system calls (`quickness.py`). A process does not. The bytes
go to it through memory that both share, and the paths through a socket.

It takes so many calls at a time and no more: whoever finds it busy writes by himself, so that the work is divided by who has
time. When it cannot be begun, or dies, everything is as if it had never been there. What it writes is made durable, named and
told by the run alone; it waits for nothing and decides nothing.
"""

from __future__ import annotations

import asyncio
import logging
import marshal
import mmap
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from harvester.archive import disk
from harvester.archive.hand import MESSAGE_BYTES, Answer, Work

log = logging.getLogger(__name__)

HAND = Path(__file__).with_name("hand.py")

SLOTS = 8
SLOT_BYTES = 288 * 1024
"""What a call's files may hold together: a recording of `quickness.SMALL_BYTES`, its row and its transcript."""

WORTH_CALLS = 150
"""So many calls are written without it first: to begin it takes as long as it saves on those."""

ENDS_WITHIN_SECONDS = 10.0

File = tuple[str, Sequence[bytes | bytearray]]
"""A path, and what is to be written there, in pieces."""


class Scribe:
    """Use as an async context manager. For one event loop."""

    def __init__(self, *, cores: int | None = None) -> None:
        """`cores` are those that this process may use; fewer than two: nothing is ever taken."""
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        self._is_of_use = (usable if cores is None else cores) > 1 and hasattr(os, "memfd_create")
        self._passed = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._free: list[int] = []
        self._waiting: deque[tuple[int, asyncio.Future[Answer | None]]] = deque()
        self._unsent: list[Work] = []

    async def __aenter__(self) -> Self:
        """Nothing is begun before it is worth it."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process. It has nothing left to do: whoever gave it something has waited for it."""
        self._end()

    async def write(self, files: Sequence[File], mode: int = 0o666) -> list[str] | None:
        """Write new files, for their group to make durable; return their SHA-256 in hex, None where nobody has written them all.

        Then some may lie there: who writes them must give them other names. Raises StorageError and NotKeptError as
        `disk.write_new` does. Whoever is cancelled here leaves files behind, as parts that the run's end sweeps away.
        """
        sizes = [sum(map(len, pieces)) for _, pieces in files]
        if not self._free or sum(sizes) > SLOT_BYTES:
            return None
        slot = self._free.pop()
        at = slot * SLOT_BYTES
        for _, pieces in files:
            for piece in pieces:
                self._memory[at : at + len(piece)] = piece
                at += len(piece)
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Answer | None] = loop.create_future()
        self._waiting.append((slot, answered))
        if not self._unsent:
            loop.call_soon(self._send)
        self._unsent.append(
            (slot * SLOT_BYTES, mode, [(path, size) for (path, _), size in zip(files, sizes, strict=True)])
        )
        with disk.guarded("write", files[0][0]) as step:
            answer = await answered
            if isinstance(answer, tuple):
                nth, number, step.renewable = answer
                step.path = files[nth][0]
                raise OSError(number, os.strerror(number))
        return answer

    @property
    def takes_one(self) -> bool:
        """Whether it has time for another call. To be asked for each: when it has been asked often enough it begins."""
        if self._is_of_use and self._process is None:
            self._passed += 1
            if self._passed > WORTH_CALLS:
                self._begin()
        return bool(self._free)

    def _begin(self) -> None:
        """Begin the process. Where that is not to be had it is never tried again."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs, open(os.memfd_create("harvester-scribe"), "r+b", buffering=0) as shared:  # noqa: PTH123 - no path
                shared.truncate(SLOTS * SLOT_BYTES)
                self._memory = mmap.mmap(shared.fileno(), 0)
                numbers = (theirs.fileno(), shared.fileno())
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(HAND), *map(str, numbers)],
                    pass_fds=numbers,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is the run's to answer
                )
        except OSError as error:
            log.debug("no process to write files: %s", error)
            self._is_of_use = False
            ours.close()
            return
        ours.setblocking(False)
        self._socket = ours
        self._free = list(range(SLOTS))
        asyncio.get_running_loop().add_reader(ours, self._take_answers)

    def _send(self) -> None:
        works, self._unsent = self._unsent, []
        try:
            if self._is_of_use:
                self._socket.send(marshal.dumps(works))
        except OSError as error:
            self._give_up(str(error))

    def _take_answers(self) -> None:
        try:
            message = self._socket.recv(MESSAGE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._give_up(str(error))
            return
        if not message:
            self._give_up("it has ended")
            return
        for answer in marshal.loads(message):
            slot, answered = self._waiting.popleft()
            self._free.append(slot)
            if not answered.done():  # whoever waited may have been cancelled
                answered.set_result(answer)

    def _give_up(self, why: str) -> None:
        """Let everybody who waits write by himself."""
        log.debug("the process that writes files is given up: %s", why)
        self._end()
        while self._waiting:
            _, answered = self._waiting.popleft()
            if not answered.done():
                answered.set_result(None)

    def _end(self) -> None:
        process, self._process, self._is_of_use, self._free = self._process, None, False, []
        if process is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        try:
            process.wait(ENDS_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._memory.close()
