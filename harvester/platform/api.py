"""The call API: one list page, one call, the account of the key.

In:   a window and a page number, or a call's id.  Out: `Page`, row, account.

Only ever GET: the keys have no read-only scope and a DELETE takes a call's audio with it (docs/api.md). Every request passes the
budget's gate, every failure the one retry. Redirects are not followed: the framework sends a bad key to an HTML
login page unless it is asked for JSON.
"""

from __future__ import annotations

import datetime as dt
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping, Set

import aiohttp
import anyio
import msgspec
from yarl import URL

from harvester.errors import AuthError, ConfigError, HarvestError, NotGivenError, PlatformError, TransientError
from harvester.mask import keyless, secretless
from harvester.model import Page, RawPage, Window
from harvester.platform.answer import Response, certificate_sha256_of
from harvester.platform.budget import Gate
from harvester.platform.clock import Clock, clock_of
from harvester.platform.patience import MinRate, Patience
from harvester.platform.retry import RetryPolicy, retry
from harvester.platform.rows import read_page
from harvester.platform.unpack import ACCEPTED, unpacked
from harvester.platform.wire import (
    CONNECT_SECONDS,
    USER_AGENT,
    asked_wait_seconds,
    bare,
    header_number,
    translated,
)

LARGEST_ANSWER_BYTES = 32 * 1024 * 1024
"""A page of 100 calls with long transcripts is a few megabytes; more than this, unpacked, is a mistake or an attack."""

HEADERS = {"Accept": "application/json", "Accept-Encoding": ACCEPTED, "User-Agent": USER_AGENT}

NOT_FOUND = frozenset({404})
NO_SUCH_CALL = frozenset({404, 410})
NOT_GIVEN = frozenset({403, 422})
"""Answers about a single call, not about the key or the filters; 422: an id of another form than theirs, as some rows have it."""


KeepPage = Callable[[RawPage], Awaitable[None]]
"""Takes a list page as it came, before anything is made of it."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of the API, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Api:
    """The API of one account. Use as an async context manager."""

    def __init__(
        self,
        base_url: str,
        key: str,
        gate: Gate,
        policy: RetryPolicy,
        min_rate: MinRate = MinRate(),  # noqa: B008 - it is frozen
    ) -> None:
        """`min_rate` says how many bytes per second the platform must send at least, and how long it may be silent."""
        self.base_url = URL(base_url.rstrip("/"))
        self._own = _origin_of(self.base_url)
        self.gate = gate
        self._policy = policy
        self._min_rate = min_rate
        self._key = key
        self._spoke = False  # whether this host has ever answered as the call API does
        self.last_headers: Mapping[str, str] = {}  # of the newest answer, a refusal too; for who asks one at a time
        self.last_clock: Clock | None = None  # as that answer told it
        self.last_certificate_sha256: str | None = None  # under which it came

    async def __aenter__(self) -> Api:
        """Open the connections."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            # for all but the connection there is Patience
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            headers=HEADERS,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            response_class=Response,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._session.close()

    def is_own(self, url: URL) -> bool:
        """Whether a URL is of the API's own origin: scheme, host and port, spelt out or not, are the same."""
        return _origin_of(url) == self._own

    def authorization_for(self, url: URL) -> dict[str, str]:
        """Return the header with the key when `url` is of the API's own origin, and nothing for every other.

        A URL that brings its own user or password gets none either: HTTP has room for one of them.
        """
        named = url.raw_user is not None or url.raw_password is not None
        return {"Authorization": f"Bearer {self._key}"} if self.is_own(url) and not named else {}

    def keyless(self, text: str, *secrets: str) -> str:
        """Return a text from outside without the key, other `secrets` and the queries of URLs."""
        return secretless(text, (self._key, *secrets))

    async def account(self) -> str | None:
        """Return the e-mail address of the key's account, or None where the platform does not tell.

        Raises AuthError when the key is refused, PlatformError when the platform cannot be talked to.
        """
        answer = await self._get("user/me", {})
        try:
            me = msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        email = me.get("email") if isinstance(me, dict) else None
        return email if isinstance(email, str) and email else None

    async def page(self, window: Window, number: int, per_page: int, keep: KeepPage | None = None) -> Page:
        """Fetch page `number` (the first is 1) of a window, `per_page` (1 to 100) calls a page.

        `keep` is given the page that was read as it came, or, where no attempt could be read, the last one that had come.
        Raises AuthError, ConfigError for a refused filter, PlatformError when no attempt brought a readable page, and what
        `keep` raises.
        """
        where = bare(self.base_url / "user/calls")
        came: RawPage | None = None

        async def attempt(_: int) -> Page:
            nonlocal came
            answer = await self._request(
                "user/calls", {**window.parameters(), "per_page": str(per_page), "page": str(number)}
            )
            if answer.status == 404:
                raise PlatformError(f"{where} answered 404: is this the call API's base URL?")
            came = keep and self._as_it_came(answer, window, number, per_page)
            try:
                page = read_page(answer.body, where)
            except PlatformError as error:
                if self._spoke:  # it was the call API a moment ago: a proxy's error page, worth another attempt
                    raise TransientError(str(error)) from error
                raise
            self._spoke = True
            return page

        try:
            page = await retry(self._policy, attempt, f"page {number}")
        except HarvestError:
            if keep and came:
                await keep(came)
            raise
        if keep and came:
            await keep(msgspec.structs.replace(came, readable=True))
        return page

    def _as_it_came(self, answer: Answer, window: Window, number: int, per_page: int) -> RawPage:
        """Return a page that nobody has read yet. A page that repeats what it was asked with is kept without the key."""
        body = keyless(answer.body, self._key)
        return RawPage(
            window=window,
            number=number,
            per_page=per_page,
            body=body,
            received_at=dt.datetime.now(dt.UTC),
            readable=False,
            key_removed=body != answer.body,
        )

    async def call(self, call_id: str) -> bytes | None:
        """Fetch one call's row by its id, byte for byte; None when the platform has none of this id (404, 410).

        Raises NotGivenError when it does not say (403, 422), AuthError when the key is refused (401), PlatformError.
        """
        answer = await self._get(f"user/calls/{urllib.parse.quote(call_id, safe='')}", {}, NO_SUCH_CALL | NOT_GIVEN)
        if answer.status in NOT_GIVEN:
            raise NotGivenError(f"the platform does not give the call {call_id!a} by its id ({answer.status})")
        return None if answer.status in NO_SUCH_CALL else answer.body

    async def _get(self, path: str, parameters: dict[str, str], expected: Set[int] = NOT_FOUND) -> Answer:
        return await retry(self._policy, lambda _: self._request(path, parameters, expected), path)

    async def _request(self, path: str, parameters: dict[str, str], expected: Set[int] = NOT_FOUND) -> Answer:
        """Send one GET within the budget. Return a 200 or an `expected` status; raise everything else as the error that it is."""
        url = URL(f"{self.base_url}/{path}", encoded=True).with_query(parameters)
        where, budget = bare(url), self.gate.budget
        async with self.gate.request() as number:
            headers: Mapping[str, str] = {}
            asked_at, asked = dt.datetime.now(dt.UTC), time.perf_counter()
            try:
                with translated(where):
                    with self._min_rate.awaiting_answer(where):
                        response = await self._session.get(
                            url, headers=self.authorization_for(url), allow_redirects=False
                        )
                    async with response:
                        headers = self.last_headers = response.headers
                        self.last_clock = clock_of(headers.get("Date", ""), asked_at, time.perf_counter() - asked)
                        self.last_certificate_sha256 = certificate_sha256_of(response)
                        body = await self._read_capped(response, where)
                answer = Answer(status=response.status, headers=headers, body=_unpacked(response, body, where))
            finally:
                budget.answered(
                    number,
                    anyio.current_time(),
                    header_number(headers, "X-RateLimit-Limit"),
                    header_number(headers, "X-RateLimit-Remaining"),
                )
            error = None if answer.status in expected else _error_of(answer, where, self._key)
            if isinstance(error, TransientError) and error.throttled:
                budget.refused(number, anyio.current_time(), error.retry_after_seconds)
        if error is not None:
            raise error
        return answer

    async def _read_capped(self, response: aiohttp.ClientResponse, where: str) -> bytes:
        body, patience = bytearray(), Patience(self._min_rate)
        while chunk := await patience.next(response.content.readany, where):
            body += chunk
            if len(body) > LARGEST_ANSWER_BYTES:
                raise PlatformError(f"{where} answered more than {LARGEST_ANSWER_BYTES:,} bytes")
        return bytes(body)


def _unpacked(response: aiohttp.ClientResponse, body: bytes, where: str) -> bytes:
    """Unpack a body. What cannot be unpacked of a refusal is left out: its status counts."""
    try:
        return unpacked(body, response.headers.get("Content-Encoding", ""), LARGEST_ANSWER_BYTES, where)
    except PlatformError:
        if response.status == 200:
            raise
        return b""


def _error_of(answer: Answer, where: str, key: str) -> Exception | None:
    """Decide what an answer means: None for one to be read (200), else the error to raise.

    The platform's words are quoted without the `key`: some servers repeat what they refuse.
    """
    status = answer.status
    if status == 200:
        return None
    said = _message_of(answer.body, key)
    if status in (401, 403):
        return AuthError(f"{where} refuses the API key ({status}{said}); check that it is the key of this platform")
    if status == 422:
        return ConfigError(f"the platform refuses the filters ({status}{said})")
    if status in (408, 425, 429) or status >= 500:
        wait = asked_wait_seconds(answer.headers, answer.body, dt.datetime.now(dt.UTC))
        return TransientError(f"{where} answered {status}{said}", retry_after_seconds=wait, throttled=status == 429)
    if 300 <= status < 400:
        target = bare(answer.headers.get("Location", "nowhere"))
        return PlatformError(f"{where} redirects to {target} instead of answering: is this the call API's base URL?")
    return PlatformError(f"{where} answered {status}{said}")


def _message_of(body: bytes, key: str) -> str:
    """Return the API's own words, `: ...`, at most 200 characters, without the `key`; empty for HTML and silence."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    if not isinstance(answer, dict):
        return ""
    said = [str(answer.get("message", ""))]
    errors = answer.get("errors")
    if isinstance(errors, dict):
        said += [
            f"{field}: {' '.join(map(str, why)) if isinstance(why, list) else why}" for field, why in errors.items()
        ]
    text = "; ".join(part for part in said if part)
    text = secretless(text, (key,))
    return f": {ascii(text)[1:-1][:200]}" if text else ""


def _origin_of(url: URL) -> tuple[str, str, int | None]:
    return url.scheme, (url.host or "").lower(), url.port
