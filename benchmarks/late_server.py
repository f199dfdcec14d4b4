"""Serve one recording under every path, each answer late by the same time, in a process of its own.

In:   a `Late` as JSON, the only argument.  Out: HTTPS on 127.0.0.1, and one line on stdout as soon as it answers.

Requests wait beside each other, so the delay is that of a distant server, not of a busy one. It ends when stdin does.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import msgspec
from aiohttp import web
from harvested import environment


class Late(msgspec.Struct, frozen=True, kw_only=True):
    """What is served, where, and how late each answer begins. Paths are those of files."""

    port: int
    delay_seconds: float
    recording: str
    certificate: str
    key: str


async def main(late: Late) -> None:
    """Serve until stdin ends."""
    content = await anyio.Path(late.recording).read_bytes()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(late.certificate, late.key)

    async def answer(_: web.BaseRequest) -> web.Response:
        await asyncio.sleep(late.delay_seconds)
        return web.Response(body=content, content_type="audio/mpeg")

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", late.port, ssl_context=context).start()
        print("serving", flush=True)
        async for _ in anyio.wrap_file(sys.stdin):
            pass
    finally:
        await runner.cleanup()


@contextmanager
def served_late(late: Late) -> Iterator[None]:
    """Serve in a process of its own for as long as the block lasts. SystemExit when it does not begin."""
    command = [sys.executable, str(Path(__file__)), msgspec.json.encode(late).decode()]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
    with process:  # leaving it closes stdin, which ends the server, and waits
        if not (process.stdout and process.stdout.readline()):
            raise SystemExit(f"the server of late recordings ended with {process.wait()}; its lines above tell why")
        yield


if __name__ == "__main__":
    wanted = msgspec.json.decode(sys.argv[1], type=Late)
    anyio.run(main, wanted, backend_options={"use_uvloop": sys.platform != "win32"})
