"""The border to HTTP: what aiohttp raises and servers answer becomes one of our errors, here and nowhere else.

In:   exceptions and answers of aiohttp.  Out: `HarvestError`s, whose messages name the URL without its query.

Who is trusted is what aiohttp reads once, when it is imported: the system's authorities, or the file that `SSL_CERT_FILE` names
(OpenSSL reads that variable itself). A context of our own would read them again, which takes tens of milliseconds.
"""

from __future__ import annotations

import datetime as dt
import errno
import os
import ssl
from collections.abc import Mapping
from types import TracebackType

import aiohttp
import msgspec
from yarl import URL

import harvester
from harvester.errors import CertificateError, PlatformError, RecordingError, TransientError
from harvester.platform.clock import http_date
from harvester.platform.guard import PrivateAddressError

USER_AGENT = f"harvester/{harvester.__version__}"
CONNECT_SECONDS = 30.0
"""How long one address of a name may take to accept a connection."""

NO_MORE_FILES = frozenset({errno.EMFILE, errno.ENFILE})
FILES_WAIT_SECONDS = 1.0
"""How long to wait at least before another try to open a connection where the limit on open files is reached."""

RENEW = "check the clock of this machine; if it is right, whoever runs the server must renew its certificate"
OTHER_NAME = (
    "check the spelling of the address; what answers there is not that server, or its certificate was made for another"
)

ADVICE = {9: RENEW, 10: RENEW, 62: OTHER_NAME, 64: OTHER_NAME}
"""What to do about a certificate, by OpenSSL's X509_V_ERR_ number: not valid yet, expired, for another host, for another IP."""

UNKNOWN_AUTHORITY = "if your network has its own certificate authority, name its file in SSL_CERT_FILE"
"""What to do about every other: nobody whom this machine trusts has signed it. There is no way around the check."""


def bare(url: URL | str) -> str:
    """Return a URL without query, fragment and user, for messages and the ledger. Never raises."""
    try:
        url = URL(url, encoded=True) if isinstance(url, str) else url
        if url.raw_user is None and not url.raw_query_string and not url.raw_fragment and url.host:
            return str(url)
        return str(url.with_user(None).with_query(None).with_fragment(None)) if url.host else str(url).split("?")[0]
    except ValueError:  # what the text holds cannot be told, so none of it is shown
        return "an unreadable address"


class translated:  # noqa: N801 - it reads as the verb that it is
    """Raise what aiohttp raises in the block as TransientError, or PlatformError where no retry can help.

    Raises RecordingError where the guard has refused the address.
    """

    __slots__ = ("_where",)

    def __init__(self, where: str) -> None:
        """`where` is the URL without query, for the messages."""
        self._where = where

    def __enter__(self) -> None:
        """Nothing is to be done before."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise what was raised as one of our errors."""
        if isinstance(error, Exception):
            _raise_as_ours(error, self._where)


def _raise_as_ours(raised: Exception, where: str) -> None:
    """Raise what stands for an error of aiohttp, from it; every other as it is."""
    try:
        raise raised
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError, ssl.SSLError) as error:
        cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
        if "WRONG_VERSION_NUMBER" in str(cause):
            raise PlatformError(
                f"{where}: what answers there does not speak TLS; check the port, or https against http"
            ) from error
        why = f"no trusted TLS connection {_distrust(cause)}"
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise CertificateError(where, why) from error
        raise PlatformError(f"{where}: {why}") from error
    except aiohttp.ClientConnectorError as error:
        if error.os_error.errno in NO_MORE_FILES:  # it passes, as a 429 does: nothing is wrong with what was asked for
            raise TransientError(
                f"{where}: no further connection can be opened: too many open files (ulimit -n)",
                retry_after_seconds=FILES_WAIT_SECONDS,
                throttled=True,
            ) from error
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            raise TransientError(
                f"{where}: the name {error.host} cannot be found; check the spelling and the network"
            ) from error
        if isinstance(error.os_error, PrivateAddressError):
            raise RecordingError(
                f"{where} leads to the private address {error.os_error.address}, which is refused; "
                "--allow-private-hosts permits it in a laboratory"
            ) from error
        reason = os.strerror(error.os_error.errno) if error.os_error.errno else str(error.os_error)
        raise TransientError(f"{where}: no connection to {error.host}:{error.port} ({reason})") from error
    except aiohttp.ClientPayloadError as error:
        raise TransientError(f"{where}: the answer was cut short") from error
    except TimeoutError as error:
        raise TransientError(f"{where}: no answer in time") from error
    except (aiohttp.InvalidURL, UnicodeError) as error:  # UnicodeError: a host that no resolver can be asked for
        raise PlatformError(f"{where}: the address cannot be used") from error
    except aiohttp.ClientResponseError as error:  # its text holds the URL with its query
        raise TransientError(f"{where}: the answer is not HTTP") from error
    except (aiohttp.ClientError, ConnectionError) as error:
        raise TransientError(f"{where}: the connection broke ({str(error) or type(error).__name__})") from error


def _distrust(cause: Exception) -> str:
    """Say in brackets why a server is not trusted, and then what to do."""
    if not isinstance(cause, ssl.SSLCertVerificationError):
        return f"({cause}); the server and this machine find no version of TLS that both speak, or something is between them"
    why = str(cause.verify_message).rstrip(".")
    return f"({why}); {ADVICE.get(cause.verify_code) or _authority_advice()}"


def _authority_advice() -> str:
    """Return what to do about an authority that nobody here knows. OpenSSL says nothing of a file that it cannot read."""
    named = os.environ.get("SSL_CERT_FILE")
    if named and not os.access(named, os.R_OK):
        return f"SSL_CERT_FILE names {named}, which cannot be read"
    return UNKNOWN_AUTHORITY


def asked_wait_seconds(headers: Mapping[str, str], body: bytes, now: dt.datetime) -> float | None:
    """Seconds that a 429 or 503 asks us to wait; None when it says nothing that can be read.

    In this order (docs/api.md): `Retry-After` as seconds or HTTP date, `retry_after` in the body, `X-RateLimit-Reset` (Unix
    seconds). Dates are held against the server's own `Date` where it sends one, since its clock and ours may differ.
    """
    server_now = http_date(headers.get("Date", "")) or now
    stated = headers.get("Retry-After", "").strip()
    if stated:
        if stated.isascii() and stated.isdecimal():
            return float(stated[:12])
        if at := http_date(stated):
            return max(0.0, (at - server_now).total_seconds())
    in_body = _asked_in_body(body)
    if in_body is not None:
        return in_body
    reset = headers.get("X-RateLimit-Reset", "").strip()
    if reset.isascii() and reset.isdecimal():
        return max(0.0, float(reset[:12]) - server_now.timestamp())
    return None


def header_number(headers: Mapping[str, str], name: str) -> int | None:
    """Read a header that is a count; None when it is missing or none."""
    text = headers.get(name, "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _asked_in_body(body: bytes) -> float | None:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    seconds = answer.get("retry_after") if isinstance(answer, dict) else None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    return float(max(0, min(seconds, 10**9)))
