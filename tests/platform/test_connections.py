"""Recordings may lie on any number of hosts; connections stay few all the same."""

import anyio

from tests.platform.many import many_servers
from tests.platform.visiting import AUDIO, Judge, Sink, world

WORKERS = 4
"""Those of `world`."""


async def test_idle_connections_count_as_well() -> None:
    """Forty hosts, one after the other: never more connections are open than there are workers, the last ones stay open."""
    async with many_servers(40) as many, world() as w:
        many.bodies = {"/1.mp3": AUDIO}
        for port in many.ports:
            await w.fetch(f"http://127.0.0.1:{port}/1.mp3")
            assert bytes(w.sink.data) == AUDIO
        assert many.most <= WORKERS + 1  # the server hears of the end of one after the beginning of the next
        assert many.made == len(many.ports)
        for port in many.ports[-WORKERS:]:
            await w.fetch(f"http://127.0.0.1:{port}/1.mp3")
        assert many.made == len(many.ports)


async def test_connections_in_use_are_never_closed_for_others() -> None:
    """Workers that fetch from many hosts at the same time all get what they asked for."""
    async with many_servers(60) as many, world() as w:
        many.bodies = {f"/{port}.mp3": AUDIO + str(port).encode() for port in many.ports}
        room = anyio.CapacityLimiter(WORKERS)

        async def fetch(port: int) -> None:
            sink = Sink()
            async with room:
                await w.recordings.fetch(w.call(f"http://127.0.0.1:{port}/{port}.mp3"), sink, Judge())
            assert bytes(sink.data) == many.bodies[f"/{port}.mp3"]

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                for port in many.ports:
                    tasks.start_soon(fetch, port)
        assert many.most <= 2 * WORKERS
