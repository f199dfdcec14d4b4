"""Servers on this machine that answer every connection with the same bytes, well-formed or not."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator


def http(body: bytes = b"{}", status: str = "200 OK", headers: str = "") -> bytes:
    """A whole answer, after which the connection ends."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
    return head.encode("latin-1") + body


@contextlib.asynccontextmanager
async def answering(answer: bytes | None, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Serve on a free port until the block ends; give the port and the heads of the requests. None: silence."""
    heads: list[bytes] = []
    quiet = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            heads.append(await reader.read(65536))
            if answer is None:
                await quiet.wait()
            else:
                writer.write(answer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1], heads
    finally:
        quiet.set()
        server.close()
        await server.wait_closed()
