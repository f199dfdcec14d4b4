"""Download one call's recording into a sink.

In:   a `Call` and a `Sink`.  Out: a `Transfer`, once the caller's `judge` has accepted what lies in the sink.

Links are dead sooner or later, and some are signed for minutes only: when one is refused, or leads to something that is no
recording, the API is asked for a fresh one, at most twice. Redirects are followed by hand, and the headers built anew at each
hop, so that the key never leaves the API's origin. Only the judge knows what a whole recording is; here is only the transport.
"""

from __future__ import annotations

import datetime as dt
import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

import aiohttp
from yarl import URL

from harvester.errors import CertificateError, LinkError, NotGivenError, PlatformError, RecordingError, TransientError
from harvester.mask import query_values
from harvester.model import Call, Transfer
from harvester.platform.answer import Response, answer_of
from harvester.platform.api import Api
from harvester.platform.bandwidth import Bandwidth
from harvester.platform.connections import Connections
from harvester.platform.guard import check_link
from harvester.platform.links import next_hop, read_link
from harvester.platform.patience import MinRate, Patience
from harvester.platform.resume import RESUME_ABOVE_BYTES, Body, Download
from harvester.platform.retry import RetryPolicy, retry
from harvester.platform.rows import read_call
from harvester.platform.smooth import MOST_REDIRECTS, REDIRECTS
from harvester.platform.trust import Trust
from harvester.platform.unpack import Unpacker, unpacker_of
from harvester.platform.wire import CONNECT_SECONDS, USER_AGENT, asked_wait_seconds, bare, translated

log = logging.getLogger(__name__)

READ_BUFFER_BYTES = 1024 * 1024
"""How much a connection reads ahead; aiohttp's default of 64 KiB costs a wake-up of the loop for each."""

SMALL_BYTES = 256 * 1024  # a body that is known to be larger is taken as it comes, and not put together first

DEAD_LINK = frozenset({401, 403, 404, 410})
EXPIRED = (b"ExpiredToken", b"Request has expired")
"""What object stores that speak S3's dialect say in the body of a 400 about a signed link that has died."""

MOST_FRESH_LINKS = 2
"""One for a link that died while it waited, one more where the platform gave the first out of a cache."""

SHOWN_OF_REFUSAL_BYTES = 4096
"""How much of a refusal's body is read: it holds a sentence or two."""

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


Opened = tuple[aiohttp.ClientResponse, str, tuple[str, ...]]
"""An answer, where it came from (without query), and the hosts that redirects led to."""


class Recordings:
    """Downloads recordings. Use as an async context manager.

    `workers` is a count of connections; `max_file_bytes` the largest recording to accept; `min_rate` says how many bytes per
    second a server must send at least; what broke off after `resume_above_bytes` goes on there, where its server lets it.
    """

    def __init__(
        self,
        api: Api,
        policy: RetryPolicy,
        *,
        workers: int,
        bandwidth: Bandwidth,
        min_rate: MinRate = MinRate(),  # noqa: B008 - it is frozen
        max_file_bytes: int | None = None,
        hosts: tuple[str, ...] = (),
        allow_private_hosts: bool = False,
        on_refusal: Callable[[], None] = lambda: None,
        resume_above_bytes: int = RESUME_ABOVE_BYTES,
    ) -> None:
        self._api = api
        self._policy = policy
        self._workers = workers
        self._on_refusal = on_refusal
        self._bandwidth = bandwidth
        self._min_rate = min_rate
        self._max_file_bytes = max_file_bytes
        self._hosts = hosts
        self._allow_private_hosts = allow_private_hosts
        self._resume_above_bytes = resume_above_bytes
        self._trust = Trust()

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
            connector=Connections(self._workers, guarded=guarded),
            # sock_read would run while we hold a body back, too; for all but the connection there is Patience
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            auto_decompress=False,
            read_bufsize=READ_BUFFER_BYTES,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=HEADERS,
            response_class=Response,
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
        )

    async def fetch(self, call: Call, sink: Sink, judge: Judge) -> Transfer:
        """Download the recording of a call that has a `recording_url`.

        Raises RecordingError when it cannot be had, PlatformError when its server cannot be used or every attempt failed,
        AuthError when the key is refused, StorageError from the sink.
        """
        link, tried = call.recording_url or "", set[str]()
        while True:
            tried.add(link)
            try:
                return await self._attempts(call, link, sink, judge)
            except LinkError as error:
                fresh = await self._fresh_link(call) if len(tried) <= MOST_FRESH_LINKS else None
                if fresh is None or fresh in tried:
                    error.said = self._api.keyless(
                        error.said, *(value for each in tried for value in query_values(each))
                    )
                    if len(tried) == 1:
                        raise
                    helpless = "a fresh link" if len(tried) == 2 else f"{len(tried) - 1} fresh links"
                    raise LinkError(f"{error}; {helpless} did not help", error.status, error.said) from error
                link = fresh

    async def size_bytes(self, link: str) -> int | None:
        """Return how large the recording behind a link is, as its server's headers say; None when nobody tells.

        One attempt; the connection is closed before the body is read. It is a GET all the same: that is all we ever send.
        """
        try:
            response, *_ = await self._open(read_link(link))
        except (RecordingError, PlatformError):
            return None
        response.close()
        return response.content_length

    async def _attempts(self, call: Call, link: str, sink: Sink, judge: Judge) -> Transfer:
        download, what = Download(self._resume_above_bytes), f"recording of call {call.id!a}"
        url = read_link(link)
        where = bare(url)

        async def attempt(number: int) -> Transfer:
            await self._download(url, sink, download, what)
            transfer = download.ended(sink.size_bytes, where, number)
            await judge(call, transfer)
            return transfer

        return await retry(self._policy, attempt, what)

    async def _fresh_link(self, call: Call) -> str | None:
        try:
            row = await self._api.call(call.id)
        except NotGivenError:
            return None
        return None if row is None else read_call(row).recording_url

    async def _download(self, url: URL, sink: Sink, download: Download, what: str) -> None:
        """Make one attempt, redirects included. Return when the body's end was reached."""
        body = Body.USELESS
        while body is Body.USELESS:  # at most twice: after a rest that is of no use the whole is asked for
            asked_at, received_bytes = dt.datetime.now(dt.UTC), sink.size_bytes
            rest_asked = download.rest_asked(received_bytes)
            response, where, hosts = await self._open(url, rest_asked)
            try:
                answer = answer_of(response, where, hosts, asked_at)
                body, why = download.take(answer, received_bytes)
                if rest_asked:
                    log.info("%s: broke off after %s bytes; %s", what, f"{received_bytes:,}", why or "goes on there")
                if body is Body.WHOLE:
                    await sink.restart()
                if body is not Body.USELESS:
                    with translated(answer.url):
                        await self._receive(response, answer.url, sink)
            finally:
                response.close()  # where its body's end was reached, the connection is back in the pool already

    async def _open(self, link: URL, rest_asked: dict[str, str] | None = None) -> Opened:
        """Ask for a link, redirects included; return the accepted answer, its body unread.

        Whoever gets the answer closes it. With the headers of `rest_asked`, answers that only the whole can follow are accepted
        too: somebody else judges them.
        """
        url, hosts = link, list[str]()
        for _ in range(MOST_REDIRECTS + 1):
            check_link(url, self._hosts)
            self._trust.check(url)
            where = bare(url)
            is_own = self._api.is_own(url)
            headers = (rest_asked or {}) | (self._api.authorization_for(url) if is_own else {})
            session = self._plain if is_own else self._guarded
            response = None
            try:
                with translated(where), self._min_rate.awaiting_answer(where):
                    response = await session.get(url, headers=headers or None, allow_redirects=False)
                    if response.status not in REDIRECTS:
                        await self._check_status(response, where, rest_asked=bool(rest_asked))
                        return response, where, tuple(hosts)
                url = next_hop(url, response.headers.get("Location", ""))
                hosts.append(url.host or "")
            except BaseException as error:
                if response is not None:
                    response.close()
                if isinstance(error, CertificateError):
                    self._trust.lose(url, error)
                raise
            response.release()
        raise RecordingError(f"{bare(link)} redirects more than {MOST_REDIRECTS} times")

    async def _check_status(self, response: aiohttp.ClientResponse, where: str, *, rest_asked: bool) -> None:
        """Let a 200 through whose length we accept, and what may answer a request for a rest; raise for everything else."""
        status = response.status
        if status in DEAD_LINK:
            raise LinkError(f"{where} answered {status}", status)
        if status in (429, 503):
            self._on_refusal()
        if status in (408, 425, 429) or status >= 500:
            said = await response.content.read(SHOWN_OF_REFUSAL_BYTES)
            wait = asked_wait_seconds(response.headers, said, dt.datetime.now(dt.UTC))
            raise TransientError(f"{where} answered {status}", retry_after_seconds=wait, throttled=status == 429)
        if status == 400 and await _says_expired(response):
            raise LinkError(f"{where} answered 400: the link has expired", status)
        if status != 200 and rest_asked:
            return
        if status != 200:
            raise RecordingError(f"{where} answered {status}")
        encoding = response.headers.get("Content-Encoding", "")
        if unpacker_of(encoding, where) is None:
            raise RecordingError(f"{where} sent the recording encoded ({encoding!a}), which was not asked for")
        self._check_size(response.content_length or 0)

    def _check_size(self, size_bytes: int) -> None:
        if self._max_file_bytes is not None and size_bytes > self._max_file_bytes:
            raise RecordingError(f"the recording is larger than max_file_size ({self._max_file_bytes:,} bytes)")

    async def _receive(self, response: aiohttp.ClientResponse, where: str, sink: Sink) -> None:
        patience, content = Patience(self._min_rate), response.content
        unpacker = unpacker_of(response.headers.get("Content-Encoding", ""), where) or Unpacker()
        is_large = (response.content_length or 0) > SMALL_BYTES
        read = functools.partial(_next_chunk, content) if is_large else content.readany
        while not content.at_eof():
            # To wait costs a timer, and much of what comes is there already; but to put a large one together costs more.
            if not is_large and (chunk := content.read_nowait()):
                patience.spend(0.0, len(chunk))
            else:
                chunk = await patience.next(read, where)
            for piece in unpacker.feed(chunk):
                await sink.write(piece)
                self._check_size(sink.size_bytes)
            await self._bandwidth.spend(len(chunk))
        unpacker.end()


async def _next_chunk(content: aiohttp.StreamReader) -> bytes:
    chunk, _ = await content.readchunk()
    return chunk


async def _says_expired(response: aiohttp.ClientResponse) -> bool:
    """Whether the body of a refusal, as far as it is read, says that the link has expired."""
    said = b""
    while len(said) < SHOWN_OF_REFUSAL_BYTES and (
        chunk := await response.content.read(SHOWN_OF_REFUSAL_BYTES - len(said))
    ):
        said += chunk
    return any(words in said for words in EXPIRED)
