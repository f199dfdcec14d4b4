"""Serve the simulated platform on this machine: the API on one port, the recordings on another.

In:   a `CallBook`, what shall go wrong, how it behaves.  Out: two HTTP servers, and a note of every request.

    async with serve(CallBook(count=200)) as platform:
        print(platform.base_url, platform.key)
        await anyio.sleep_forever()

An error in here is a bug of the simulation, not one of the failures it plays: it is raised when `serve` ends.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Literal

import anyio
import msgspec
from aiohttp import web

from harvester.demo.answers import Answer, send
from harvester.demo.api import LIST_PATH, ME_PATH, Api, call_id_in
from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault, Faults, Where, broken, misbehave
from harvester.demo.options import DEFAULTS, Options
from harvester.demo.paginator import page_number
from harvester.demo.recordings import Links, Recordings, call_id_of
from harvester.demo.throttle import Throttle

__all__ = ["DEMO_KEY", "Options", "Platform", "Seen", "serve"]

DEMO_KEY = "demo-key-5d41402abc4b2a76b9719d911017c592"

# How long the end of `serve` waits for answers that are under way.
_SHUTDOWN_SECONDS = 0.5


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One request that arrived. `at` is in seconds of the event loop's clock; no `status` while it is unanswered."""

    origin: Literal["api", "recordings"]
    where: Where | Literal["other"]
    method: str
    path: str
    query: dict[str, str]
    had_authorization: bool
    asked_range: str | None
    at: float
    status: int | None = None


class Platform:
    """A simulated platform while it serves.

    `requests` holds every request in the order of arrival, `in_flight_most` the greatest number of simultaneous
    requests by kind. `faults`, `book` and `on_request` can be changed at any time; `on_request` is called before
    each answer of the list.
    """

    def __init__(
        self,
        book: CallBook,
        *,
        key: str,
        faults: Iterable[Fault],
        options: Options,
        on_request: "Hook | None",
        origin: str,
        recordings_url: str,
    ) -> None:
        self.book = book
        self.key = key
        self.base_url = f"{origin}/api"
        self.recordings_url = recordings_url
        self.faults = Faults(faults)
        self.on_request = on_request
        self.requests: list[Seen] = []
        self.in_flight_most: Counter[str] = Counter()
        self.errors: list[Exception] = []
        self.closing = asyncio.Event()
        self._options = options
        self._in_flight: Counter[str] = Counter()
        self._links = Links(recordings_url, signed=options.signed_links)
        self._api = Api(book, options, key=key, origin=origin, links=self._links)
        self._recordings = Recordings(book, options, self._links)
        self._throttle = Throttle(options)

    def count(self, where: Where) -> int:
        """How many requests of one kind have arrived."""
        return sum(seen.where == where for seen in self.requests)

    def row(self, call_id: int) -> bytes:
        """The row of a call as it is served now, byte for byte. KeyError when there is no such call."""
        return self._api.row(call_id)

    def expire_links(self) -> None:
        """From now on every signed link issued before answers 403."""
        self._links.expire()

    async def handle_api(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request to the API."""
        where, subject = _place(request)
        return await self._handle(request, "api", where, subject)

    async def handle_recordings(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request to the recordings server."""
        return await self._handle(request, "recordings", "recording", call_id_of(request.path))

    async def _handle(
        self,
        request: web.BaseRequest,
        origin: Literal["api", "recordings"],
        where: Where | Literal["other"],
        subject: int | None,
    ) -> web.StreamResponse:
        number = len(self.requests)
        seen = Seen(
            origin=origin,
            where=where,
            method=request.method,
            path=request.path,
            query=dict(request.query.items()),
            had_authorization="Authorization" in request.headers,
            asked_range=request.headers.get("Range"),
            at=asyncio.get_running_loop().time(),
        )
        self.requests.append(seen)
        self._in_flight[where] += 1
        self.in_flight_most[where] = max(self.in_flight_most[where], self._in_flight[where])
        try:
            if self._options.latency_seconds:
                await asyncio.sleep(self._options.latency_seconds)
            answer, fault = self._answer(request, seen, subject)
            if fault is None or fault.kind != "hang":
                self.requests[number] = msgspec.structs.replace(seen, status=answer.status)
            if fault is not None:
                return await misbehave(fault, request, answer, self.closing)
            framing = self._options.recordings_body if answer.status in (200, 206) else "length"
            return await send(request, answer, framing=framing if origin == "recordings" else "length")
        except Exception as error:
            self.errors.append(error)
            raise
        finally:
            self._in_flight[where] -= 1

    def _answer(self, request: web.BaseRequest, seen: Seen, subject: int | None) -> tuple[Answer, Fault | None]:
        """The answer to a request and, if one strikes it, the fault that has shaped it."""
        headers: dict[str, str] = {}
        if seen.origin == "api":
            refusal = self._api.refusal(seen.method, seen.path, request.headers)
            if refusal is None:
                headers, refusal = self._throttle.hit(asyncio.get_running_loop().time())
            if refusal is not None:
                return refusal, None
            if seen.where == "list" and self.on_request is not None:
                self.on_request(self, seen)
            answer = self._api.answer(seen.path, seen.query)
            answer = msgspec.structs.replace(answer, headers={**answer.headers, **headers})
        else:
            answer = self._recordings.answer(seen.method, seen.path, seen.query, request.headers)
        fault = self.faults.strike(seen.where, subject)
        return (answer, None) if fault is None else (broken(fault, answer, str(request.url)), fault)


Hook = Callable[[Platform, Seen], None]


@contextlib.asynccontextmanager
async def serve(
    book: CallBook,
    *,
    key: str = DEMO_KEY,
    faults: Iterable[Fault] = (),
    options: Options = DEFAULTS,
    on_request: Hook | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    recordings_port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Platform]:
    """Serve a book until the block ends; port 0 takes any that is free. With `tls` both servers speak it.

    OSError when a port is taken; an ExceptionGroup at the end when the simulation itself went wrong.
    """
    scheme = "https" if tls else "http"
    with socket.create_server((host, port)) as api, socket.create_server((host, recordings_port)) as recordings:
        platform = Platform(
            book,
            key=key,
            faults=faults,
            options=options,
            on_request=on_request,
            origin=f"{scheme}://{host}:{api.getsockname()[1]}",
            recordings_url=f"{scheme}://{host}:{recordings.getsockname()[1]}",
        )
        async with _listen(api, platform.handle_api, tls), _listen(recordings, platform.handle_recordings, tls):
            try:
                yield platform
            finally:
                platform.closing.set()
    if platform.errors:
        raise ExceptionGroup("the simulated platform went wrong", platform.errors)


@contextlib.asynccontextmanager
async def _listen(
    sock: socket.socket,
    handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    tls: ssl.SSLContext | None,
) -> AsyncIterator[None]:
    runner = web.ServerRunner(web.Server(handler, access_log=None), shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.SockSite(runner, sock, ssl_context=tls).start()
        yield
    finally:
        # Whoever cancels the platform still wants its connections closed.
        with anyio.CancelScope(shield=True):
            await runner.cleanup()


def _place(request: web.BaseRequest) -> tuple[Where | Literal["other"], int | None]:
    """What a request to the API is for, and its page or its call id."""
    if request.path == LIST_PATH:
        return "list", page_number(request.query.get("page"))
    if request.path == ME_PATH:
        return "me", None
    if request.path.startswith(f"{LIST_PATH}/"):
        return "call", call_id_in(request.path)
    return "other", None
