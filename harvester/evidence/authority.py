"""The border to a time-stamping authority: one question and one answer over HTTP (RFC 3161, section 3.4).

In:   the authority's URL and a query in DER.  Out: its answer, as received; or an EvidenceError that says what is wrong.

An authority is a stranger: what it sends is bounded in size and time, and a redirect is not followed, because the settings say
who is to vouch. It gets a hash and nothing else. Whether the answer is any good is for stamp.py to tell.
"""

from __future__ import annotations

import asyncio
import os
import ssl

import aiohttp
from yarl import URL

import harvester
from harvester.errors import EvidenceError

DEADLINE_SECONDS = 20.0
"""For the whole exchange: an authority answers within a second, and a run that has ended waits for it."""

LARGEST_BYTES = 256 * 1024
"""Of an answer; tokens with a long chain have some 10 kB."""

QUERY_TYPE = "application/timestamp-query"
HEADERS = {
    "Content-Type": QUERY_TYPE,
    "Accept": "application/timestamp-reply",
    "Accept-Encoding": "identity",
    "User-Agent": f"harvester/{harvester.__version__}",
}


async def ask(url: str, query: bytes, *, deadline_seconds: float = DEADLINE_SECONDS) -> bytes:
    """Return what an authority answers to a query. Raises EvidenceError."""
    where = f"the authority {_bare(url)}"
    try:
        async with (
            asyncio.timeout(deadline_seconds),
            aiohttp.ClientSession(trust_env=False, auto_decompress=False) as session,
            session.post(url, data=query, headers=HEADERS, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise EvidenceError(_refusal(where, answer))
            body = await _read(answer.content)
    except TimeoutError:
        raise EvidenceError(f"{where} has not answered within {deadline_seconds:g} seconds") from None
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError, ssl.SSLError) as error:
        raise EvidenceError(f"{where}: no trusted TLS connection ({_plain(error)})") from None
    except aiohttp.ClientConnectorError as error:
        number = error.os_error.errno
        reason = os.strerror(number) if number and number > 0 else "its name cannot be found"
        raise EvidenceError(f"{where} cannot be reached: {reason}") from None
    except (aiohttp.ClientError, ConnectionError, UnicodeError, ValueError) as error:
        raise EvidenceError(f"{where}: the exchange failed ({type(error).__name__})") from None
    if body is None:
        raise EvidenceError(f"{where} sends more than {LARGEST_BYTES:,} bytes, and no stamp is that long")
    return body


async def _read(content: aiohttp.StreamReader) -> bytes | None:
    """Return an answer's body; None where it is too long."""
    body = bytearray()
    async for block in content.iter_any():
        body += block
        if len(body) > LARGEST_BYTES:
            return None
    return bytes(body)


def _refusal(where: str, answer: aiohttp.ClientResponse) -> str:
    if 300 <= answer.status < 400:
        to = _bare(answer.headers.get("Location", ""))
        return (
            f"{where} answers with a redirect to {to}, which is not followed; if it has moved there, set seal_tsa_url"
        )
    return f"{where} answers with HTTP status {answer.status}"


def _bare(url: str) -> str:
    """Return an address without user, query and fragment, in plain characters."""
    try:
        return _plain(URL(url).with_user(None).with_query(None).with_fragment(None))
    except ValueError:
        return _plain(url.split("?")[0].split("@")[-1])


def _plain(said: object) -> str:
    return "".join(c if c.isascii() and c.isprintable() else c.encode("unicode_escape").decode() for c in str(said))[
        :200
    ]
