"""Many servers of recordings on this machine, each on a port of its own; they keep their connections open.

In:   how many.  Out: their ports, and how many connections were open at once at most.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Many:
    """The servers. `bodies` are what they answer, by path."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.bodies: dict[str, bytes] = {}
        self.made = self.open = self.most = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer every request on one connection until the client closes it."""
        self.made, self.open = self.made + 1, self.open + 1
        self.most = max(self.most, self.open)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = self.bodies[head.split(b" ")[1].decode()]
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
                await writer.drain()
        self.open -= 1
        writer.close()


@contextlib.asynccontextmanager
async def many_servers(count: int) -> AsyncIterator[Many]:
    """Serve until the block ends."""
    many = Many()
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(count):
            server = await stack.enter_async_context(await asyncio.start_server(many.connected, "127.0.0.1", 0))
            many.ports.append(server.sockets[0].getsockname()[1])
        yield many
