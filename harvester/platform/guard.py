"""Where a recording may be fetched from.

In:   a link, an address.  Out: silence, or a RecordingError.

A row is data from outside, and its `recording_url` makes this machine send a request. So private, loopback and link-local
addresses are refused, on the address that is really connected to: a check of the name alone is passed by a
name that resolves to 127.0.0.1, and a check in the resolver by a literal address.
"""

from __future__ import annotations

import ipaddress
import socket

import aiohttp
from yarl import URL

from harvester.errors import RecordingError

SCHEMES = frozenset({"http", "https"})


def check_link(url: URL, hosts: tuple[str, ...] = ()) -> None:
    """Refuse a link that is not HTTP(S), names no host, or names none of `hosts` (where any are given).

    Raises RecordingError.
    """
    if url.scheme not in SCHEMES or not url.host:
        raise RecordingError(f"the recording's link is not an http or https link ({url.scheme or 'no scheme'})")
    if hosts and url.host.lower() not in hosts:
        raise RecordingError(
            f"the recording lies on {url.host}, which is not one of the recording_hosts of the settings"
        )


def is_private(address: str) -> bool:
    """Whether an IP address (with or without a zone) is not one of the public internet, IPv4 inside IPv6 included."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return True
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        ip = inner or ip
    return not ip.is_global or ip.is_multicast


def guarded_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    """Open a socket for `aiohttp.TCPConnector(socket_factory=...)`, unless it would lead to a private address.

    Raises RecordingError, before a byte is sent.
    """
    family, kind, protocol, _, target = info
    if is_private(str(target[0])):
        raise RecordingError(
            f"the recording's link leads to the private address {target[0]}, which is refused; "
            "--allow-private-hosts permits it in a laboratory"
        )
    return socket.socket(family, kind, protocol)
