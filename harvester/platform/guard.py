"""Where a recording may be fetched from.

In:   a link, an address.  Out: silence, or an error.

A row is data from outside, and its `recording_url` makes this machine send a request. So private, loopback and link-local
addresses are refused, on the address that is really connected to: a check of the name alone is passed by a
name that resolves to 127.0.0.1, and a check in the resolver by a literal address.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

from harvester.errors import RecordingError

if TYPE_CHECKING:  # who fetches with libcurl loads neither
    import aiohttp
    from yarl import URL

SCHEMES = frozenset({"http", "https"})
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""How hosts without IPv4 of their own reach the IPv4 internet (RFC 6052)."""


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
        if ip.is_site_local:  # deprecated by RFC 3879, and still routed inside some networks
            return True
        ip = _inner(ip) or ip
    return not ip.is_global or ip.is_multicast or ip.is_reserved


def _inner(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that a gateway on the way would make of an IPv6 one."""
    if ip in NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)


class PrivateAddressError(RecordingError, OSError):
    """A connection to `address` is refused.

    An OSError, because nothing else is understood by the race that aiohttp runs between the addresses of a name; and with one
    text for every address, because the race raises its losers' error as it is only when all of them say the same.
    """

    def __init__(self, address: str) -> None:
        super().__init__("a private address")
        self.address = address


def guarded_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    """Open a socket for `aiohttp.TCPConnector(socket_factory=...)`, unless it would lead to a private address.

    Raises PrivateAddressError, before a byte is sent; `wire.translated` makes a RecordingError of it.
    """
    family, kind, protocol, _, target = info
    if is_private(str(target[0])):
        raise PrivateAddressError(str(target[0]))
    return socket.socket(family, kind, protocol)
