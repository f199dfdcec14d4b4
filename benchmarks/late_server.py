"""Serve one recording under every path, each answer late by the same time, in a process of its own.

In:   a `Late` as JSON, the only argument.  Out: HTTPS on 127.0.0.1; a line on stdout as soon as it answers, another at its end.

Requests wait beside each other, so the delay is that of a distant server, not of a busy one. It ends when stdin does, and tells
how late its answers were. A distant server takes nothing of this machine, so this one does as little as can be for an answer.
"""

from __future__ import annotations

import asyncio
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import anyio
import msgspec
from harvested import environment

END_OF_HEAD = b"\r\n\r\n"


class Late(msgspec.Struct, frozen=True, kw_only=True):
    """What is served, where, and how late each answer begins. Paths are those of files."""

    port: int
    delay_seconds: float
    recording: str
    certificate: str
    key: str


class Served(msgspec.Struct):
    """How late answers began, in seconds: known once the server has ended."""

    mean_seconds: float = 0.0
    least_seconds: float = 0.0
    most_seconds: float = 0.0


class Answers(asyncio.Protocol):
    """One connection: each request on it gets the same answer, late."""

    def __init__(self, answer: bytes, delay_seconds: float, took: list[float]) -> None:
        """`took` takes how late each answer began."""
        self._answer = answer
        self._delay_seconds = delay_seconds
        self._took = took
        self._came = b""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what answers are written to."""
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's are none by their class

    def data_received(self, data: bytes) -> None:
        """Answer each whole request in its time. None has a body."""
        self._came += data
        *whole, self._came = self._came.split(END_OF_HEAD)
        for _ in whole:
            self._loop.call_later(self._delay_seconds, self._write, time.monotonic())

    def _write(self, asked_at: float) -> None:
        self._took.append(time.monotonic() - asked_at)
        self._transport.write(self._answer)


async def main(late: Late) -> None:
    """Serve until stdin ends."""
    content = await anyio.Path(late.recording).read_bytes()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: {len(content)}"
    answer = head.encode() + END_OF_HEAD + content
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(late.certificate, late.key)
    took: list[float] = []
    server = await asyncio.get_running_loop().create_server(
        lambda: Answers(answer, late.delay_seconds, took), "127.0.0.1", late.port, ssl=context
    )
    async with server:
        print("serving", flush=True)
        async for _ in anyio.wrap_file(sys.stdin):
            pass
    served = (
        Served(mean_seconds=statistics.fmean(took), least_seconds=min(took), most_seconds=max(took))
        if took
        else Served()
    )
    print(msgspec.json.encode(served).decode(), flush=True)


@contextmanager
def served_late(late: Late) -> Iterator[Served]:
    """Serve in a process of its own for as long as the block lasts; what is yielded is filled then.

    SystemExit when it does not begin.
    """
    command = [sys.executable, str(Path(__file__)), msgspec.json.encode(late).decode()]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
    assert process.stdin
    assert process.stdout
    served = Served()
    with process:  # leaving it closes stdin, which ends the server, and waits
        if not process.stdout.readline():
            raise SystemExit(f"the server of late recordings ended with {process.wait()}; its lines above tell why")
        yield served
        process.stdin.close()
        line = process.stdout.readline()
        if not line:
            raise SystemExit("the server of late recordings did not last; its lines above tell why")
        told = msgspec.json.decode(line, type=Served)
        for name in Served.__struct_fields__:
            setattr(served, name, getattr(told, name))


if __name__ == "__main__":
    wanted = msgspec.json.decode(sys.argv[1], type=Late)
    anyio.run(main, wanted, backend_options={"use_uvloop": sys.platform != "win32"})
