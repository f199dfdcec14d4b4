"""Send an answer in every framing that HTTP/1.1 knows, whole or cut.

In:   an `Answer`, how its end is told, how much of it gets through.  Out: bytes on the connection.

A framework sends no broken answer, so those are written to the transport by hand.
"""

import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Literal

import msgspec
from aiohttp import web

Framing = Literal["length", "chunked", "close"]

JSON = "application/json"
HTML = "text/html; charset=utf-8"

# SO_LINGER with a wait of zero: closing sends a reset instead of an orderly end.
_LINGER_ZERO = struct.pack("ii", 1, 0)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = {}


def php_json(value: object) -> bytes:
    r"""JSON as PHP writes it: ASCII only, `\uXXXX` for the rest, and `/` escaped as `\/`."""
    return json.dumps(value, separators=(",", ":")).replace("/", "\\/").encode("ascii")


def json_answer(status: int, value: object, headers: dict[str, str] | None = None) -> Answer:
    """An answer in JSON."""
    return Answer(status=status, body=php_json(value), headers=headers or {})


async def send(
    request: web.BaseRequest,
    answer: Answer,
    *,
    framing: Framing = "length",
    kept_bytes: int | None = None,
    reset: bool = False,
    before_end: Callable[[], Awaitable[object]] | None = None,
) -> web.StreamResponse:
    """Send an answer: whole, or only the first `kept_bytes` of its body and then the end of the connection.

    `reset` ends the connection with a TCP reset, `before_end` is awaited before it ends. Returns what the handler has to return.
    """
    headers = {"Content-Type": answer.content_type, **answer.headers}
    if kept_bytes is None and framing == "length":
        return web.Response(status=answer.status, body=answer.body, headers=headers)
    if kept_bytes is None and framing == "chunked":
        return await _send_chunked(request, answer, headers)
    transport = request.transport
    if transport is None or transport.is_closing():
        return _Sent()
    body = answer.body[:kept_bytes]
    if framing == "length":
        headers["Content-Length"] = str(len(answer.body))
    elif framing == "chunked":
        headers["Transfer-Encoding"] = "chunked"
        body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    else:
        headers["Connection"] = "close"
    transport.write(_head(answer.status, headers) + body)
    if before_end is not None:
        await before_end()
    if reset:
        _linger_zero(transport.get_extra_info("socket").fileno())
    transport.close()
    return _Sent()


def hang_up(request: web.BaseRequest) -> web.StreamResponse:
    """End the connection without an answer."""
    if request.transport is not None:
        request.transport.close()
    return _Sent()


class _Sent(web.StreamResponse):
    """Tells the framework that there is nothing left to send."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing."""

    async def write_eof(self, data: bytes | bytearray | memoryview = b"") -> None:
        """Nothing."""


async def _send_chunked(request: web.BaseRequest, answer: Answer, headers: dict[str, str]) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=headers)
    response.enable_chunked_encoding()
    try:
        await response.prepare(request)
        await response.write(answer.body)
        await response.write_eof()
    except ConnectionError:
        return _Sent()  # the client went away, as clients do
    return response


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _linger_zero(descriptor: int) -> None:
    """Set the option on a duplicate: it belongs to the connection, and not every event loop lets its socket be set."""
    with socket.socket(fileno=os.dup(descriptor)) as twin:
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
