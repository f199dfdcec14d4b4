"""Look at one recording's server without fetching the recording: does it resume, and does it say what it sends?

In:   a link.  Out: `Look`, from the head of one answer.

The first byte alone is asked for, by a GET, and not even that is read. The way there is that of recordings.py: redirects by hand,
guarded connections, the key for the API's origin alone.
"""

from __future__ import annotations

import re

import msgspec

from harvester.errors import RecordingError
from harvester.platform.guard import check_link
from harvester.platform.links import next_hop, read_link
from harvester.platform.recordings import HEADERS, Recordings
from harvester.platform.smooth import MOST_REDIRECTS, REDIRECTS
from harvester.platform.wire import bare, translated

FIRST_BYTE = {"Range": "bytes=0-0"}
RANGE_OF = re.compile(r"bytes 0-0/(\d{1,15}|\*)", re.ASCII | re.IGNORECASE)


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What a recording's server said."""

    link: str  # without its query; after redirects
    status: int
    has_range: bool  # it answered with the first byte alone
    etag: str  # "strong", "weak" or "none"
    size_bytes: int | None  # of the whole recording; None: it does not tell


class Probe(Recordings):
    """Looks at recordings. Use as an async context manager, made like `Recordings`."""

    async def __aenter__(self) -> Probe:
        """Open the connections."""
        await super().__aenter__()
        return self

    async def look(self, link: str) -> Look:
        """Ask once, redirects included. Raises RecordingError for a link that is refused, PlatformError for its server."""
        url = read_link(link)
        for _ in range(MOST_REDIRECTS + 1):
            check_link(url, self._hosts)
            headers = HEADERS | FIRST_BYTE | self._api.authorization_for(url)
            session = self._plain if self._api.is_own(url) else self._guarded
            with translated(bare(url)):
                async with session.get(url, headers=headers, allow_redirects=False) as response:
                    if response.status not in REDIRECTS:
                        response.close()
                        return look_of(bare(url), response.status, dict(response.headers))
                    url = next_hop(url, response.headers.get("Location", ""))
        raise RecordingError(f"{bare(read_link(link))} redirects more than {MOST_REDIRECTS} times")


def look_of(link: str, status: int, headers: dict[str, str]) -> Look:
    """Read the head of an answer to a request for the first byte."""
    said = {name.lower(): value.strip() for name, value in headers.items()}
    shape = RANGE_OF.fullmatch(said.get("content-range", "")) if status == 206 else None
    size = (shape[1] if shape else "*") if status == 206 else said.get("content-length", "*")
    tag = said.get("etag", "")
    strength = "weak" if tag.startswith("W/") else "strong" if tag.startswith('"') else "none"
    readable = size.isascii() and size.isdecimal() and len(size) <= 15
    return Look(
        link=link,
        status=status,
        has_range=shape is not None,
        etag=strength,
        size_bytes=int(size) if readable and status in (200, 206) else None,
    )
