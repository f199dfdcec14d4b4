"""A simulated platform, a client for its recordings, and a call that has one."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
import msgspec

from harvester.archive.part import Part
from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault
from harvester.demo.options import DEFAULTS, Options
from harvester.demo.server import Platform, serve
from harvester.errors import HarvestError
from harvester.model import Call, Transfer
from harvester.platform.bandwidth import Bandwidth
from harvester.platform.recordings import Recordings
from harvester.platform.resume import RESUME_ABOVE_BYTES
from harvester.platform.rows import read_call
from tests.platform.opening import at_once, open_api

AUDIO = b"ID3 not really"


class Sink:
    """Keeps what comes in memory."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.size_bytes = 0
        self.starts = 0

    async def restart(self) -> None:
        self.data.clear()
        self.size_bytes = 0
        self.starts += 1

    async def write(self, chunk: bytes) -> None:
        self.data += chunk
        self.size_bytes += len(chunk)


def reached(sink: Sink | Part, size_bytes: int) -> Callable[[], Awaitable[None]]:
    """Return a function that waits until so many bytes have come."""

    async def wait() -> None:
        with anyio.fail_after(10):
            while sink.size_bytes < size_bytes:  # noqa: ASYNC110 - a sink has no event for it
                await anyio.sleep(0.001)

    return wait


class Judge:
    """Accepts what comes, after these complaints."""

    def __init__(self, *complaints: HarvestError) -> None:
        self._complaints = list(complaints)

    async def __call__(self, call: Call, transfer: Transfer) -> None:
        if self._complaints:
            raise self._complaints.pop(0)


class World:
    """A simulated platform, a client for its recordings, and one call that has a recording."""

    def __init__(self, platform: Platform, recordings: Recordings) -> None:
        self.platform = platform
        self.recordings = recordings
        self.call_id = next(
            i for i in platform.book.ids() if str(platform.book.row(i)["recording_url"]).endswith(".mp3")
        )
        self.sink = Sink()

    def call(self, link: str | None = None) -> Call:
        """The call as it is listed now, or with another link."""
        call = read_call(self.platform.row(self.call_id))
        return call if link is None else msgspec.structs.replace(call, recording_url=link)

    async def fetch(self, link: str | None = None, judge: Judge | None = None) -> Transfer:
        """Fetch its recording into `sink`."""
        return await self.recordings.fetch(self.call(link), self.sink, judge or Judge())

    @property
    def whole(self) -> bool:
        """Whether the sink holds the recording byte for byte."""
        return bytes(self.sink.data) == self.platform.book.recording(self.call_id)


@contextlib.asynccontextmanager
async def world(
    *faults: Fault,
    options: Options = DEFAULTS,
    max_file_bytes: int | None = None,
    hosts: tuple[str, ...] = (),
    allow_private_hosts: bool = True,
    resume_above_bytes: int = RESUME_ABOVE_BYTES,
    most_seconds: int = 20,
) -> AsyncIterator[World]:
    """Three attempts, no waits; the platform is on this machine, so private hosts are allowed unless the test is about them."""
    async with (
        serve(CallBook(count=30, most_seconds=most_seconds), faults=faults, options=options) as platform,
        open_api(platform) as api,
        Recordings(
            api,
            at_once(),
            workers=4,
            bandwidth=Bandwidth(None),
            max_file_bytes=max_file_bytes,
            hosts=hosts,
            allow_private_hosts=allow_private_hosts,
            resume_above_bytes=resume_above_bytes,
        ) as recordings,
    ):
        yield World(platform, recordings)
