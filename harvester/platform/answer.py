"""What an answer tells before its body: status, headers, framing, and under whose certificate it came.

In:   an answer of aiohttp.  Out: an `Answer`, whose headers are those that may matter as evidence.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ssl
import weakref

import aiohttp
from aiohttp.connector import Connection

from harvester.platform.resume import KEPT_HEADERS, Answer

_certificates: weakref.WeakKeyDictionary[ssl.SSLObject, str | None] = weakref.WeakKeyDictionary()
"""Of each open connection: a handshake shows one certificate, however many answers follow."""


class Response(aiohttp.ClientResponse):
    """An answer that knows its server's certificate: SHA-256 in hex of the DER form; None without TLS.

    Looked at as the answer begins: the connection of one that has come whole is back in its pool before anybody else sees it.
    """

    certificate_sha256: str | None = None

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Begin to read the answer."""
        if (transport := connection.transport) and (tls := transport.get_extra_info("ssl_object")):
            if tls not in _certificates:
                shown = tls.getpeercert(binary_form=True)
                _certificates[tls] = hashlib.sha256(shown).hexdigest() if shown else None
            self.certificate_sha256 = _certificates[tls]
        return await super().start(connection)


def certificate_sha256_of(response: aiohttp.ClientResponse) -> str | None:
    """Return the certificate of an answer that is a `Response`; None for any other."""
    return response.certificate_sha256 if isinstance(response, Response) else None


def answer_of(response: aiohttp.ClientResponse, where: str, hosts: tuple[str, ...], asked_at: dt.datetime) -> Answer:
    """Return what a recording's server said.

    `where` is its URL without query, `hosts` are those that redirects led to, `asked_at` (aware) is when it was asked.
    """
    said = response.headers
    return Answer(
        url=where,
        status=response.status,
        # one may stand in several lines
        headers={name: ", ".join(said.getall(name)) for name in KEPT_HEADERS if name in said},
        redirect_hosts=hosts,
        certificate_sha256=certificate_sha256_of(response),
        framing=_framing(response),
        length_bytes=response.content_length,
        content_range=", ".join(said.getall("Content-Range", [])) or None,
        encoding=said.get("Content-Encoding", "").strip().lower() or "identity",
        asked_at=asked_at,
    )


def _framing(response: aiohttp.ClientResponse) -> str:
    if response.headers.get("Transfer-Encoding", "").lower() == "chunked":
        return "chunked-end"
    return "content-length" if response.content_length is not None else "close"
