"""Serve the demo platform in a process of its own, so that its memory and its time are not the harvester's.

In:   a `Spec` as JSON, the only argument; then a line on stdin for each question.  Out: lines of JSON on stdout.

The first line is the `Address`. Each line on stdin is answered by what the platform has `Seen` since the last one. It ends when
stdin does, so it never outlives whoever started it.
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import msgspec

from harvester.demo import server
from harvester.demo.calls import CallBook
from harvester.demo.options import Options

RECORDING_SUFFIXES = frozenset({".mp3", ".mp4", ".m4a", ".wav", ".ogg"})

LOOKS = 20
"""Requests of the list before which the archive is looked into: a look costs time, and only the first few matter."""


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """Which platform is served. Port 0: any that is free. `watched`: an archive whose recordings are counted."""

    calls: int
    first_at: dt.datetime
    last_at: dt.datetime
    most_seconds: int = 230
    limit_per_minute: int | None = None
    port: int = 0
    recordings_port: int = 0
    watched: str | None = None


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a platform answers, and to which key."""

    base_url: str
    key: str
    port: int
    recordings_port: int


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request that the platform has seen. `at` is in monotonic seconds; no `status` while it is unanswered."""

    at: float
    where: str  # "list", "call", "me" or "recording"
    per_page: int | None
    status: int | None
    recordings_on_disk: int | None  # whole ones in the watched archive at that moment; of the first LOOKS of the list


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a platform has seen since it was asked last; `cpu_seconds` is what its process has spent in all."""

    requests: list[Request]
    cpu_seconds: float


class Looks:
    """How many recordings lay in an archive when each of the first requests of the list had arrived."""

    def __init__(self, archive: Path | None) -> None:
        self._archive = archive
        self.found: dict[int, int] = {}  # by the number of the request of the list; the first is 1

    def look(self, platform: server.Platform, _: server.Seen) -> None:
        """Count the recordings that have their final names; called before a request of the list is answered."""
        if self._archive is not None and len(self.found) < LOOKS:
            names = self._archive.glob("[0-9]*/*/*/*")
            self.found[platform.count("list")] = sum(1 for name in names if name.suffix in RECORDING_SUFFIXES)


async def main(spec: Spec) -> None:
    """Serve until stdin ends."""
    first_at, last_at = spec.first_at, spec.last_at
    book = CallBook(count=spec.calls, first_at=first_at, last_at=last_at, now=last_at, most_seconds=spec.most_seconds)
    looks = Looks(Path(spec.watched) if spec.watched else None)
    async with server.serve(
        book,
        options=Options(limit_per_minute=spec.limit_per_minute),
        on_request=looks.look,
        port=spec.port,
        recordings_port=spec.recordings_port,
    ) as platform:
        say(
            Address(
                base_url=platform.base_url,
                key=platform.key,
                port=port_of(platform.base_url),
                recordings_port=port_of(platform.recordings_url),
            )
        )
        told = listed = 0
        async for _ in anyio.wrap_file(sys.stdin):
            seen = Seen(requests=[], cpu_seconds=time.process_time())
            for each in platform.requests[told:]:
                listed += each.where == "list"
                seen.requests.append(_request(each, looks.found.get(listed) if each.where == "list" else None))
            told += len(seen.requests)
            say(seen)


def _request(seen: server.Seen, recordings_on_disk: int | None) -> Request:
    return Request(
        at=seen.at,
        where=seen.where,
        per_page=int(seen.query["per_page"]) if "per_page" in seen.query else None,
        status=seen.status,
        recordings_on_disk=recordings_on_disk,
    )


def port_of(url: str) -> int:
    """Return the port of an address that names one."""
    return urlsplit(url).port or 0


def say(answer: msgspec.Struct) -> None:
    """Write one line of JSON."""
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    wanted = msgspec.json.decode(sys.argv[1], type=Spec)
    anyio.run(main, wanted, backend_options={"use_uvloop": sys.platform != "win32"})
