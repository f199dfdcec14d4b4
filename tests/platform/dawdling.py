"""Servers on this machine that take their time."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

STEP_SECONDS = 0.02
LONG_STEPS = 150
"""So that a client without patience fails its test, and does not hang it."""


class Dawdler:
    """A server that sends `pieces`, a step between two, then `rest` step by step for long; None: it is done then."""

    def __init__(self, pieces: tuple[bytes, ...], rest: bytes | None) -> None:
        self._pieces = pieces
        self._rest = rest
        self.link = ""
        self._tasks = set[asyncio.Task[None]]()
        self.connections = 0
        self.left_alone = 0  # connections that the other side has closed before the end

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection, until all is sent or the other side goes."""
        self._tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        self.connections += 1
        await reader.readuntil(b"\r\n\r\n")
        gone = asyncio.create_task(reader.read())
        more = () if self._rest is None else itertools.repeat(self._rest, LONG_STEPS)
        for piece in itertools.chain(self._pieces, more):
            writer.write(piece)
            if (await asyncio.wait([gone], timeout=STEP_SECONDS))[0]:
                self.left_alone += 1
                break
        gone.cancel()
        writer.close()

    async def ended(self) -> None:
        """Wait until every connection has come to its end."""
        if self._tasks and (await asyncio.wait(self._tasks, timeout=10))[1]:
            raise AssertionError("a connection was left open")


@contextlib.asynccontextmanager
async def dawdling(*pieces: bytes, rest: bytes | None) -> AsyncIterator[Dawdler]:
    """Serve on a free port; when the block ends, wait until every connection has come to its end."""
    dawdler = Dawdler(pieces, rest)
    server = await asyncio.start_server(dawdler.connected, "127.0.0.1", 0)
    dawdler.link = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/1.mp3"
    try:
        yield dawdler
        await dawdler.ended()
    finally:
        server.close()
