"""Download one call's recording into a sink.

In:   a `Call` and a `Sink`.  Out: a `Transfer`, once the caller's `judge` has accepted what lies in the sink.

Links are dead sooner or later, and some are signed for minutes only: when one is refused, or leads to something that is no
recording, the API is asked once for a fresh one. Redirects are followed by hand, and the headers built anew at each hop, so
that the key never leaves the API's origin. Only the judge knows what a whole recording is; here is only the transport.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Protocol

import aiohttp
from yarl import URL

from harvester.errors import LinkError, RecordingError, TransientError
from harvester.model import Call, Transfer
from harvester.platform.api import Api
from harvester.platform.bandwidth import Bandwidth
from harvester.platform.guard import check_link, guarded_socket
from harvester.platform.retry import RetryPolicy, retry
from harvester.platform.rows import read_call
from harvester.platform.wire import TIMEOUT, USER_AGENT, asked_wait_seconds, bare, tls_context, translated

MOST_REDIRECTS = 5
READ_BUFFER_BYTES = 1024 * 1024
"""How much a connection reads ahead; aiohttp's default of 64 KiB costs a wake-up of the loop for each."""

DEAD_LINK = frozenset({401, 403, 404, 410})
KEPT_HEADERS = (
    "content-type",
    "content-length",
    "etag",
    "last-modified",
    "date",
    "content-md5",
    "repr-digest",
    "x-goog-hash",
)
"""What a recording's server said that may matter as evidence. Everything else is left out: it may hold anything."""

HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": USER_AGENT}


class Sink(Protocol):
    """Where a recording's bytes go."""

    size_bytes: int

    async def restart(self) -> None:
        """Forget what came so far: another attempt begins."""

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes. Raises StorageError."""


Judge = Callable[[Call, Transfer], Awaitable[None]]
"""Raises TransientError when the recording came in cut, LinkError when it is none, RecordingError when it is of no use."""


class Recordings:
    """Downloads recordings. Use as an async context manager."""

    def __init__(
        self,
        api: Api,
        policy: RetryPolicy,
        *,
        workers: int,
        bandwidth: Bandwidth,
        max_file_bytes: int | None = None,
        hosts: tuple[str, ...] = (),
        allow_private_hosts: bool = False,
    ) -> None:
        self._api = api
        self._policy = policy
        self._workers = workers
        self._bandwidth = bandwidth
        self._max_file_bytes = max_file_bytes
        self._hosts = hosts
        self._allow_private_hosts = allow_private_hosts

    async def __aenter__(self) -> Recordings:
        """Open the connections: guarded ones, and plain ones for links to the API's own origin."""
        self._plain = self._session(guarded=False)
        self._guarded = self._plain if self._allow_private_hosts else self._session(guarded=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._plain.close()
        await self._guarded.close()

    def _session(self, *, guarded: bool) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=tls_context(), limit=self._workers, socket_factory=guarded_socket if guarded else None
            ),
            timeout=TIMEOUT,
            auto_decompress=False,
            read_bufsize=READ_BUFFER_BYTES,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
        )

    async def fetch(self, call: Call, sink: Sink, judge: Judge) -> Transfer:
        """Download the recording of a call that has a `recording_url`.

        Raises RecordingError when it cannot be had, PlatformError when its server cannot be used or every attempt failed,
        AuthError when the key is refused, StorageError from the sink.
        """
        link = call.recording_url or ""
        try:
            return await self._attempts(call, link, sink, judge)
        except LinkError as error:
            fresh = await self._fresh_link(call)
            if fresh is None or fresh == link:
                raise
            try:
                return await self._attempts(call, fresh, sink, judge)
            except LinkError as again:
                raise LinkError(f"{again}; a fresh link did not help", again.status) from error

    async def _attempts(self, call: Call, link: str, sink: Sink, judge: Judge) -> Transfer:
        async def attempt(number: int) -> Transfer:
            transfer = await self._download(link, sink, number)
            await judge(call, transfer)
            return transfer

        return await retry(self._policy, attempt, f"recording of call {call.id!a}")

    async def _fresh_link(self, call: Call) -> str | None:
        row = await self._api.call(call.id)
        return None if row is None else read_call(row).recording_url

    async def _download(self, link: str, sink: Sink, attempt: int) -> Transfer:
        """Make one attempt, redirects included. Return when the body's end was reached."""
        started_at = dt.datetime.now(dt.UTC)
        url, hosts = read_link(link), []
        for _ in range(MOST_REDIRECTS + 1):
            check_link(url, self._hosts)
            where = bare(url)
            headers = HEADERS | self._api.authorization_for(url)
            session = self._plain if self._api.is_own(url) else self._guarded
            with translated(where):
                async with session.get(url, headers=headers, allow_redirects=False) as response:
                    if response.status in (301, 302, 303, 307, 308):
                        url = next_hop(url, response.headers.get("Location", ""))
                        hosts.append(url.host or "")
                        continue
                    await self._check_status(response, where)
                    framing = _framing(response)
                    await self._receive(response, sink)
                    return Transfer(
                        link=bare(read_link(link)),
                        status=response.status,
                        headers={name: response.headers[name] for name in KEPT_HEADERS if name in response.headers},
                        redirect_hosts=tuple(hosts),
                        framing=framing,
                        attempts=attempt,
                        started_at=started_at,
                        finished_at=dt.datetime.now(dt.UTC),
                    )
        raise RecordingError(f"{bare(read_link(link))} redirects more than {MOST_REDIRECTS} times")

    async def _check_status(self, response: aiohttp.ClientResponse, where: str) -> None:
        """Let a 200 through whose length we accept; raise for everything else."""
        status = response.status
        if status in DEAD_LINK:
            raise LinkError(f"{where} answered {status}", status)
        if status in (408, 425, 429) or status >= 500:
            said = await response.content.read(4096)
            wait = asked_wait_seconds(response.headers, said, dt.datetime.now(dt.UTC))
            raise TransientError(f"{where} answered {status}", retry_after_seconds=wait, throttled=status == 429)
        if status != 200:
            raise RecordingError(f"{where} answered {status}")
        if (encoding := response.headers.get("Content-Encoding", "identity").lower()) != "identity":
            raise RecordingError(f"{where} sent the recording encoded ({encoding!a}), which was not asked for")
        self._check_size(response.content_length or 0)

    def _check_size(self, size_bytes: int) -> None:
        if self._max_file_bytes is not None and size_bytes > self._max_file_bytes:
            raise RecordingError(f"the recording is larger than max_file_size ({self._max_file_bytes:,} bytes)")

    async def _receive(self, response: aiohttp.ClientResponse, sink: Sink) -> None:
        await sink.restart()
        async for chunk in response.content.iter_any():
            await sink.write(chunk)
            self._check_size(sink.size_bytes)
            await self._bandwidth.spend(len(chunk))


def read_link(link: str) -> URL:
    """Read a recording's link. What is encoded stays as it is, a literal `+` too: a signature would not survive less.

    Raises RecordingError when it is no URL.
    """
    link = link.strip()
    try:
        url = URL(link, encoded=link.isascii() and " " not in link)
        if url.host and url.port != 0:  # bad names and ports show only when somebody asks for them
            url.host.encode("idna")
    except ValueError as error:
        raise RecordingError("the recording's link is not a URL") from error
    if not link.isprintable():
        raise RecordingError("the recording's link is not a URL: it holds control characters")
    return url


def next_hop(url: URL, location: str) -> URL:
    """Return where a redirect from `url` leads; `location` may be relative. Raises RecordingError when https would be left."""
    target = url.join(read_link(location))
    if url.scheme == "https" and target.scheme != "https":
        raise RecordingError(f"{bare(url)} redirects from https to {target.scheme or 'nowhere'}, which is refused")
    return target


def _framing(response: aiohttp.ClientResponse) -> str:
    if response.headers.get("Transfer-Encoding", "").lower() == "chunked":
        return "chunked-end"
    return "content-length" if response.content_length is not None else "close"
