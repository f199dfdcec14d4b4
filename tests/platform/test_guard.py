"""Where a recording may be fetched from: names, addresses, and what they lead to."""

import re
import socket

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from harvester.errors import RecordingError
from harvester.platform.guard import PrivateAddressError, check_link, guarded_socket, is_private
from harvester.platform.wire import translated
from tests.platform.strange import answering, http

PRIVATE = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1",
    "169.254.169.254",  # the metadata service of most clouds
    "100.64.0.1", "198.18.0.1", "192.0.2.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "2002:7f00:1::", "2002:a00:1::1",
    "64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::1", "2001:0:a00:1::",
    "", "localhost", "not an address", "127.1", "0x7f000001", "2130706433",
]  # fmt: skip
PUBLIC = [
    "8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.1", "223.255.255.255",
    "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_told_in_every_disguise(address: str) -> None:
    """Loopback, private, link-local, shared, multicast, reserved, IPv4 inside IPv6; and what is no address at all."""
    assert is_private(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_let_through(address: str) -> None:
    """The neighbours of the private ranges, and public IPv4 inside IPv6, are public."""
    assert not is_private(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "169.254.169.254"])
def test_no_socket_is_opened_to_a_private_address(address: str) -> None:
    """The refusal knows the address, and is an error that every name's other addresses survive."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with pytest.raises(PrivateAddressError) as caught:
        guarded_socket((family, socket.SOCK_STREAM, 0, "", (address, 443)))
    assert caught.value.address == address


def test_a_socket_to_a_public_address_is_a_plain_one() -> None:
    """The guard changes nothing for everybody else."""
    with guarded_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("8.8.8.8", 443))) as opened:
        assert (opened.family, opened.type) == (socket.AF_INET, socket.SOCK_STREAM)


class Names(AbstractResolver):
    """A resolver that knows one answer."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        pass


async def refusal(url: str, resolver: AbstractResolver | None = None) -> str:
    """What a guarded GET of a private URL is refused with."""
    connector = aiohttp.TCPConnector(socket_factory=guarded_socket, resolver=resolver)
    async with aiohttp.ClientSession(connector=connector) as session:
        with pytest.raises(RecordingError) as caught, translated("W"):
            await session.get(url)
    return str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "[::ffff:127.0.0.1]"])
async def test_not_a_byte_is_sent_to_a_private_host(host: str) -> None:
    """Whatever name leads to it, the address that is really connected to decides; the message names it, and the flag."""
    async with answering(http()) as (port, heads):
        text = await refusal(f"http://{host}:{port}/")
    assert re.fullmatch(r"W leads to the private address \S+, which is refused; --allow-private-hosts permits .*", text)
    assert heads == []


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["127.0.0.1", "::1"], ["10.0.0.1", "fe80::1", "::1", "127.0.0.2"]]
)
async def test_a_name_with_several_private_addresses_is_refused_like_one(addresses: list[str]) -> None:
    """`localhost` has two addresses on most machines; the race between them ends in the same sentence."""
    assert "private address" in await refusal("http://inside.example/", Names(*addresses))


NOT_HTTP = [
    "file:///etc/passwd",
    "ftp://r.example/1.mp3",
    "javascript:alert(1)",
    "data:audio/mpeg,",
    "1.mp3",
    "//r.example/1",
    "http:///1",
    "",
]


@pytest.mark.parametrize("link", NOT_HTTP)
def test_only_http_links_with_a_host_are_followed(link: str) -> None:
    """Every other kind of link is refused, in one sentence."""
    with pytest.raises(RecordingError, match="is not an http or https link"):
        check_link(URL(link))


@pytest.mark.parametrize(
    "link", ["http://r.example/1.mp3", "https://r.example:8443/1.mp3?a=1", "HTTPS://R.EXAMPLE/1.mp3"]
)
def test_http_links_are_let_through(link: str) -> None:
    """With no hosts named, and with theirs named, in whatever case."""
    check_link(URL(link, encoded=True))
    check_link(URL(link, encoded=True), ("r.example",))


@pytest.mark.parametrize("host", ["evil.example", "r.example.evil.example", "xr.example", "sub.r.example"])
def test_hosts_that_are_not_named_are_refused(host: str) -> None:
    """`recording_host` names whole hosts; neither a longer name nor a part of one passes."""
    with pytest.raises(RecordingError, match=f"lies on {host}, which is not one of the recording_hosts"):
        check_link(URL(f"https://{host}/r.example/1.mp3"), ("r.example",))
