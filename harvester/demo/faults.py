"""Make the simulated platform misbehave: what goes wrong, where, and how often.

In:   a list of `Fault`.  Out: for each request the fault that strikes it, and the broken answer on the wire.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Literal

import msgspec
from aiohttp import web

from harvester.demo.answers import HTML, JSON, Answer, Framing, hang_up, php_json, send

Where = Literal["list", "call", "me", "recording"]
Kind = Literal[
    "status",
    "html",
    "empty",
    "cut",
    "cut_chunked",
    "cut_close",
    "reset",
    "hang",
    "redirect",
    "not_json",
    "not_paginator",
    "gone",
    "wrong_type",
    "json_body",
    "altered",
]

_CUT: dict[str, Framing] = {"cut": "length", "cut_chunked": "chunked", "cut_close": "close", "reset": "length"}
_MESSAGES = {401: "Unauthenticated.", 404: "Call not found", 429: "Too Many Attempts.", 500: "Server Error"}
_PAGE = b"<!DOCTYPE html><html><head><title>Be right back</title></head><body><h1>Be right back.</h1></body></html>"


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One way to fail.

    where       which requests it strikes
    match       only this page of the list, or only this call id; None: all
    after       lets the first so many matching requests through
    times       strikes so many requests; None: all
    kind        status         `code` with `headers` and `body`; JSON of the framework unless a body is given
                html           200 with an HTML page
                empty          200 with no body
                cut            Content-Length, but the connection ends after `kept_bytes` of the body
                cut_chunked    the same, chunked, without the last chunk
                cut_close      the same with neither length nor chunks: nothing tells that it was cut
                reset          as cut, with a TCP reset
                hang           no answer until the platform shuts down
                redirect       `code` (302) to `location`; without one to itself, for ever
                not_json       200 with text that is no JSON
                not_paginator  200 with JSON of another shape
                gone           `code` (410)
                wrong_type     200 with an error in JSON and the content type of an audio file
                json_body      200 with `body` as JSON
                altered        the whole answer with another `code`, `headers`, `body`, of those that are given
    headers     besides those of the answer, or instead of them; one that is cut takes them too
    kept_bytes  how much of the body gets through where it is cut; None: half
    before_end  awaited between the last byte of what is cut and the end of its connection: what is read then cannot be lost
    """

    where: Where
    kind: Kind
    match: int | None = None
    after: int = 0
    times: int | None = None
    code: int | None = None
    headers: dict[str, str] = {}
    body: bytes | None = None
    location: str | None = None
    kept_bytes: int | None = None
    before_end: Callable[[], Awaitable[object]] | None = None


class Faults:
    """The faults of one platform and how often each has been met. They can come and go while it serves."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._faults = [_Counted(fault) for fault in faults]

    def add(self, fault: Fault) -> None:
        """From now on this goes wrong, too."""
        self._faults.append(_Counted(fault))

    def clear(self) -> None:
        """From now on nothing goes wrong."""
        self._faults.clear()

    def strike(self, where: str, subject: int | None) -> Fault | None:
        """The first fault that strikes a request; `subject` is its page or its call id. Each match is counted."""
        for counted in self._faults:
            if counted.fault.where == where and counted.fault.match in (None, subject) and counted.strikes():
                return counted.fault
        return None


class _Counted:
    """A fault and how many requests have matched it."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._matched = 0

    def strikes(self) -> bool:
        self._matched += 1
        struck = self._matched - self.fault.after
        return struck > 0 and (self.fault.times is None or struck <= self.fault.times)


def broken(fault: Fault, whole: Answer, url: str) -> Answer:
    """What is answered instead of the `whole` answer to a request for `url`. Cuts are made when it is sent."""
    match fault.kind:
        case "status":
            return _status(fault, fault.code or 500)
        case "gone":
            return _status(fault, fault.code or 410)
        case "html":
            return Answer(body=fault.body or _PAGE, content_type=HTML, headers=fault.headers)
        case "empty":
            return Answer(content_type=whole.content_type, headers=fault.headers)
        case "redirect":
            headers = {"Location": fault.location or url, **fault.headers}
            return Answer(status=fault.code or 302, body=_PAGE, content_type=HTML, headers=headers)
        case "not_json":
            return Answer(body=fault.body or b"upstream connect error", headers=fault.headers)
        case "not_paginator":
            return Answer(body=php_json({"status": "ok", "calls": []}), headers=fault.headers)
        case "wrong_type":
            body = fault.body or php_json({"message": "Recording not found"})
            return Answer(body=body, content_type="audio/mpeg", headers=fault.headers)
        case "json_body":
            return Answer(body=fault.body or b"{}", headers=fault.headers)
        case "altered":
            body = whole.body if fault.body is None else fault.body
            return _with(whole, fault.headers, status=fault.code or whole.status, body=body)
        case _:
            return _with(whole, fault.headers)


async def misbehave(
    fault: Fault, request: web.BaseRequest, answer: Answer, closing: asyncio.Event
) -> web.StreamResponse:
    """Send an answer made by `broken`; a hanging one waits until `closing` is set."""
    if fault.kind == "hang":
        await closing.wait()
        return hang_up(request)
    if fault.kind in _CUT:
        kept_bytes = len(answer.body) // 2 if fault.kept_bytes is None else fault.kept_bytes
        reset = fault.kind == "reset"
        return await send(
            request,
            answer,
            framing=_CUT[fault.kind],
            kept_bytes=kept_bytes,
            reset=reset,
            before_end=fault.before_end,
        )
    return await send(request, answer)


def _with(whole: Answer, headers: dict[str, str], **others: int | bytes) -> Answer:
    return msgspec.structs.replace(whole, headers={**whole.headers, **headers}, **others)


def _status(fault: Fault, code: int) -> Answer:
    body = fault.body if fault.body is not None else php_json({"message": _MESSAGES.get(code, "Error")})
    content_type = HTML if body.startswith(b"<") else JSON
    return Answer(status=code, body=body, content_type=content_type, headers=fault.headers)
