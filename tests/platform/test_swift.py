"""Recordings that libcurl fetches: what it takes is what `recordings` would have taken, and told."""

import contextlib
import functools
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
import pytest

from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault
from harvester.demo.server import Platform, serve
from harvester.model import Transfer
from harvester.platform import swift
from harvester.platform.recordings import HEADERS
from harvester.platform.smooth import MOST_REDIRECTS, Origin
from harvester.platform.swift import Fetched, Swift, Ways
from tests.platform.strange import answering, http
from tests.platform.test_certificate import fingerprint
from tests.platform.test_tls import Authority, authority, server_tls
from tests.platform.visiting import world

__all__ = ["authority"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no porters on Windows")

WAYS = Ways(
    headers=HEADERS,
    largest_bytes=1_000_000,
    seconds=30,
    hosts=(),
    own=None,
    allow_private_hosts=True,
    ca_file=None,
    ca_folder=None,
)


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    """Serve calls that are all over."""
    async with serve(CallBook(count=60, most_seconds=20, in_progress=0, late=0)) as platform:
        yield platform


def fetched_by(by: Swift, links: Iterable[str]) -> list[Fetched | None]:
    """What comes of each link, in their order. Blocks."""
    asked = list(links)
    found: dict[int, Fetched | None] = {}

    def keep(number: int, fetched: Fetched | None) -> None:
        found[number] = fetched

    silent, other = os.pipe()
    try:
        for number, link in enumerate(asked):
            by.ask(link, functools.partial(keep, number))
        by.go_on()
        while len(found) < len(asked):
            assert not by.wait(silent)
            by.go_on()
    finally:
        os.close(silent)
        os.close(other)
        by._multi.close()  # or the servers would wait for what it leaves open
    return [found[number] for number in range(len(asked))]


async def fetch(links: Iterable[str], ways: Ways = WAYS, connections: int = 4) -> list[Fetched | None]:
    """The same, while this loop serves."""
    by = Swift(ways)
    by.use(connections)
    return await anyio.to_thread.run_sync(fetched_by, by, links)


def links_of(platform: Platform, count: int = 20) -> dict[str, bytes]:
    """Links, and the recordings behind them."""
    some = [each for each in platform.book.ids() if platform.book.row(each)["recording_url"]][:count]
    return {
        f"{platform.recordings_url}{platform.book.row(each)['recording_url']}": platform.book.recording(each)
        for each in some
    }


def timeless(transfer: Transfer) -> Transfer:
    """A transfer but for its times."""
    return msgspec.structs.replace(transfer, started_at=transfer.finished_at, finished_at=transfer.finished_at)


async def test_recordings_come_whole(platform: Platform) -> None:
    """Each under its link, with its hash; one after the other or many at once."""
    wanted = links_of(platform)
    for connections in (1, 7):
        came = await fetch(wanted, connections=connections)
        assert [each and b"".join(each.body) for each in came] == list(wanted.values())


CHUNKED = 'Transfer-Encoding: chunked\r\nContent-MD5: abc=\r\nETag: "e"\r\n'


def raw(headers: str, body: bytes, status: str = "200 OK") -> bytes:
    """An answer with just these headers."""
    return f"HTTP/1.1 {status}\r\n{headers}\r\n".encode() + body


PLAIN = raw("Content-Length: 5\r\n", b"sound")


@pytest.mark.parametrize(
    ("answer", "is_taken"),
    [
        (raw("Content-Type: audio/mpeg\r\nDate: now\r\nContent-Length: 5\r\n", b"sound"), True),
        (raw("Content-Length: 0\r\n", b""), True),  # whoever looks at the bytes refuses it
        (raw("Digest: a=b\r\ndigest: c=d\r\nX-Other: 1\r\nContent-Length: 5\r\n", b"sound"), True),
        (raw("X: 1\r\n", b"", "103 Early Hints") + raw("Content-Length: 5\r\n", b"sound"), True),
        (raw("Content-Encoding: identity\r\nContent-Length: 5\r\n", b"sound"), True),
        (http(b"sound"), False),  # it closes the connection, and what it sent behind the body is not told
        (raw("Content-Length: 5\r\n", b"sound of more"), False),  # cut by a length that is too small
        (raw("Content-Length: 9\r\n", b"sound"), False),  # cut
        (raw(CHUNKED, b"3\r\nsou\r\n2;x=y\r\nnd\r\n0\r\n\r\n"), False),
        (raw(CHUNKED, b"3\r\nsou\r\n"), False),  # cut
        (raw("", b"sound"), False),  # nobody tells where it ends
        (raw("Content-Encoding: gzip\r\nContent-Length: 5\r\n", b"sound"), False),
        (raw("Content-Length: 5\r\n", b"sound", "206 Partial Content"), False),
        (raw("Content-Length: 5\r\n", b"sound", "404 Not Found"), False),
        (raw("HTTP/1.1 200 OK: x\r\nContent-Length: 5\r\n", b"sound", "404 Not Found"), False),
        (raw("WWW-Authenticate: Basic\r\nContent-Length: 5\r\n", b"sound", "401 Unauthorized"), False),
        (raw("Content-Length: 0\r\n", b"", "302 Found"), False),
        (raw("Content-Length: 0\r\nLocation: relative.mp3\r\n", b"", "302 Found"), False),
        (raw("Content-Length: 0\r\nLocation: file:///etc/hostname\r\n", b"", "302 Found"), False),
        (raw("Content-Length: 5\r\nX: \xff\r\n", b"sound"), False),
        (raw("Content-Length: 1000001\r\n", bytes(1_000_001)), False),  # too large
        (raw(CHUNKED, b"80000\r\n" + bytes(0x80000) + b"\r\n80000\r\n" + bytes(0x80000) + b"\r\n0\r\n\r\n"), False),
        (b"sound", False),
        (b"", False),
    ],
)
async def test_what_is_taken_is_told_as_recordings_tells_it(answer: bytes, is_taken: bool) -> None:
    """The same bytes, status, headers, framing; what goes less smoothly is not taken, whether it could be had or not."""
    async with answering(answer) as (port, _), world() as other:
        link = f"http://127.0.0.1:{port}/a.mp3?sig=secret"
        (came,) = await fetch([link])
        if not is_taken:
            assert came is None
            return
        assert came
        expected = await other.fetch(link)
        assert b"".join(came.body) == other.sink.data
        assert timeless(came.transfer) == timeless(
            msgspec.structs.replace(expected, finished_at=came.transfer.finished_at)
        )
        assert came.transfer.started_at <= came.transfer.finished_at


@pytest.mark.parametrize(
    "link",
    [
        "/a%2Fb//c;d=e?X-Sig=a%2Bb+c/d==",
        "/-._~!$&'()*+,;=:@/-._~!$&'()*+,;=:@?-._~!$&'()*+,;=:@/?x",
        "/%00%0D%0A%20%7E%41?%00%23%26",
        "//a//?a=b?c=d&&e",
        "/a..b/c.?..",
    ],
)
async def test_it_asks_as_recordings_asks(link: str) -> None:
    """The same headers, the path and query as they stand, and nothing that the environment names."""
    async with answering(PLAIN) as (port, heads), world() as other:
        await fetch([f"http://127.0.0.1:{port}{link}"])
        await other.fetch(f"http://127.0.0.1:{port}{link}")
    ours, theirs = (sorted(head.lower().split(b"\r\n")) for head in heads)
    assert ours == theirs
    assert heads[0].startswith(f"GET {link} HTTP/1.1\r\n".encode())


async def test_redirects_are_followed_as_recordings_follows_them() -> None:
    """The hosts that they led to are told; never from https to http, never too many."""
    async with answering(PLAIN) as (port, _), world() as other:
        answer = http(status="307 Temporary", headers=f"Location: http://127.0.0.1:{port}/b.mp3?sig=x\r\n")
        async with answering(answer) as (begins, _):
            link = f"http://127.0.0.1:{begins}/a.mp3"
            (came,) = await fetch([link])
            expected = await other.fetch(link)
    assert came
    assert came.transfer.redirect_hosts == ("127.0.0.1",) == expected.redirect_hosts
    assert came.transfer.link == link == expected.link
    assert b"".join(came.body) == b"sound"


async def test_redirects_without_end_end(platform: Platform) -> None:
    """After so many."""
    platform.faults.add(Fault(where="recording", kind="redirect"))
    assert await fetch(links_of(platform, 1)) == [None]
    assert platform.count("recording") == MOST_REDIRECTS + 1


@pytest.mark.parametrize(
    ("changed", "host"),
    [
        ({"hosts": ("rec.example",)}, "127.0.0.1"),
        ({"allow_private_hosts": False}, "127.0.0.1"),
        ({"allow_private_hosts": False}, "localhost"),
        ({"allow_private_hosts": False}, "2130706433"),
    ],
)
@pytest.mark.parametrize("redirects", [False, True])
async def test_no_byte_is_sent_to_where_nothing_is_to_be_fetched(
    changed: dict[str, object], host: str, redirects: bool
) -> None:
    """Hosts that the settings do not name, private addresses in every disguise; nor is a redirect to there followed."""
    async with answering(PLAIN) as (port, heads):
        link = f"http://{host}:{port}/a.mp3"
        ways = WAYS._replace(**changed)  # type: ignore[arg-type]
        if redirects and ways.hosts:
            answer = http(status="302 Found", headers=f"Location: {link}\r\n")
            async with answering(answer) as (begins, first):
                assert await fetch([f"http://localhost:{begins}/"], ways._replace(hosts=("localhost",))) == [None]
                assert len(first) == 1
        else:
            assert await fetch([link], ways) == [None]
        assert heads == []


async def test_links_to_the_own_origin_are_not_asked_for() -> None:
    """They want the key; nor is a redirect to there followed."""
    async with answering(PLAIN) as (port, heads):
        ways = WAYS._replace(own=Origin("http", "127.0.0.1", port))
        answer = http(status="302 Found", headers=f"Location: http://127.0.0.1:{port}/a.mp3\r\n")
        async with answering(answer) as (begins, _):
            assert await fetch([f"http://127.0.0.1:{port}/a.mp3", f"http://127.0.0.1:{begins}/"], ways) == [None, None]
        assert heads == []


async def test_what_takes_too_long_is_given_up(platform: Platform) -> None:
    """And the others come."""
    wanted = links_of(platform, 3)
    slow = next(each for each in platform.book.ids() if f"/{each}." in next(iter(wanted)))
    platform.faults.add(Fault(where="recording", kind="hang", match=slow))
    came = await fetch(wanted, WAYS._replace(seconds=1))
    assert [each and b"".join(each.body) for each in came] == [None, *list(wanted.values())[1:]]


@pytest.mark.parametrize("code", [429, 503])
async def test_where_a_server_asks_for_patience_nothing_more_is_asked_for(platform: Platform, code: int) -> None:
    """What had been asked for comes."""
    platform.faults.add(Fault(where="recording", kind="status", code=code, after=3, times=1))
    by = Swift(WAYS)
    by.use(1)
    came = await anyio.to_thread.run_sync(fetched_by, by, links_of(platform))
    assert [each is not None for each in came] == [True] * 3 + [False] * 17
    assert by.is_refused
    assert platform.count("recording") == 4


async def test_the_certificate_is_told(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every recording, however many come over one connection; where it is forgotten, what comes is not taken."""
    certificate = authority.certificate("swift", "IP:127.0.0.1")
    async with serve(CallBook(count=60, most_seconds=5), tls=server_tls(certificate)) as platform:
        wanted = links_of(platform)
        ways = WAYS._replace(ca_file=str(authority.file))
        for connections in (1, 4):
            came = await fetch(wanted, ways, connections)
            assert {each and each.transfer.certificate_sha256 for each in came} == {fingerprint(certificate)}
        monkeypatch.setattr(swift, "MOST_CERTIFICATES", 1)
        came = await fetch(wanted, ways, connections=2)
        assert {each.transfer.certificate_sha256 for each in came if each} == {fingerprint(certificate)}
        assert None in came


async def test_the_certificate_is_told_though_a_connection_began_with_something_else(authority: Authority) -> None:
    """A redirect, a dead link: what comes over the same connection next came under the same certificate."""
    certificate = authority.certificate("begun", "IP:127.0.0.1")
    async with serve(CallBook(count=60, most_seconds=5), tls=server_tls(certificate)) as platform:
        first, second, *others = links_of(platform)
        redirect = Fault(where="recording", kind="redirect", location=second, times=1)
        platform.faults.add(redirect)
        platform.faults.add(Fault(where="recording", kind="gone", times=1))
        came = await fetch([first, *others], WAYS._replace(ca_file=str(authority.file)), connections=1)
    assert [each and each.transfer.certificate_sha256 for each in came[:3]] == [
        None,
        fingerprint(certificate),
        fingerprint(certificate),
    ]


@pytest.mark.parametrize("kind", ["expired", "other name", "unknown", "nameless", "its own"])
async def test_who_is_not_who_it_should_be_is_asked_for_nothing(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """It is connected to once; the others' recordings come."""
    name = "IP:127.0.0.2" if kind == "other name" else "IP:127.0.0.1"
    certificate = authority.certificate(kind.replace(" ", "-"), name, days=-1 if kind == "expired" else 2)
    trusted = authority.file
    if kind == "unknown":
        trusted = tmp_path / "others.pem"
        shutil.copy(authority.certificate("others", name, signed_by_itself=True), trusted)
    if kind == "its own":  # trust in one certificate is no trust in who has signed it
        trusted = certificate
    if kind == "nameless":
        certificate = nameless(authority)
    ways = WAYS._replace(ca_file=str(trusted))
    async with answering(PLAIN) as (other, _):
        with knocked_at(server_tls(certificate)) as (port, connections):
            links = [f"https://127.0.0.1:{port}/{number}.mp3" for number in range(3)] + [f"http://127.0.0.1:{other}/"]
            *refused, came = await fetch(links, ways, connections=1)
    assert refused == [None] * 3
    assert came
    assert len(connections) == (3 if kind == "nameless" else 1)  # libcurl takes one without names, and we then do not


@contextlib.contextmanager
def knocked_at(tls: ssl.SSLContext) -> Iterator[tuple[int, list[str]]]:
    """Answer over TLS on a free port until the block ends; give the port and, in a list, who connected."""
    came = list[str]()

    def serve_all() -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, peer = listener.accept()
                came.append(str(peer))
                with plain, contextlib.suppress(OSError), tls.wrap_socket(plain, server_side=True) as secure:
                    secure.recv(65536)
                    secure.sendall(PLAIN)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve_all)
        thread.start()
        try:
            yield listener.getsockname()[1], came
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def nameless(authority: Authority) -> Path:
    """A certificate whose subject is 127.0.0.1, and which names nobody."""
    file = authority.file.with_name("nameless.pem")
    key = authority.file.with_name("nameless.key")
    made = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=127.0.0.1"]
    signed = ["-CA", str(authority.file), "-CAkey", str(authority.file.with_name("ca.key")), "-x509", "-days", "2"]
    subprocess.run(["openssl", *made, "-keyout", str(key), "-out", str(file), *signed], check=True, capture_output=True)
    file.write_bytes(file.read_bytes() + key.read_bytes())
    return file


async def test_where_nobody_is_trusted_tls_is_not_spoken(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom libcurl was built to trust, or finds in the environment, does not count."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    certificate = authority.certificate("untold", "IP:127.0.0.1")
    with knocked_at(server_tls(certificate)) as (port, connections):
        assert await fetch([f"https://127.0.0.1:{port}/"], WAYS) == [None]
    assert connections == []


async def test_every_connection_shows_its_certificate(authority: Authority) -> None:
    """No session is resumed, which would show none, though each connection brings one recording alone."""
    certificate = authority.certificate("closing", "IP:127.0.0.1")
    async with answering(PLAIN, server_tls(certificate)) as (port, heads):
        links = [f"https://127.0.0.1:{port}/{number}" for number in range(5)]
        came = await fetch(links, WAYS._replace(ca_file=str(authority.file)), connections=1)
    assert [each and each.transfer.certificate_sha256 for each in came] == [fingerprint(certificate)] * 5
    assert len(heads) == 5


async def test_no_redirect_leads_out_of_tls(authority: Authority) -> None:
    """As everywhere in harvester."""
    certificate = authority.certificate("leading", "IP:127.0.0.1")
    async with answering(PLAIN) as (port, heads):
        away = raw(f"Location: http://127.0.0.1:{port}/\r\nContent-Length: 0\r\n", b"", "302 Found")
        async with answering(away, server_tls(certificate)) as (begins, _):
            link = f"https://127.0.0.1:{begins}/"
            assert await fetch([link], WAYS._replace(ca_file=str(authority.file))) == [None]
    assert heads == []


async def test_a_wait_costs_no_processor() -> None:
    """For a second that a server says nothing."""
    swift = Swift(WAYS._replace(seconds=1))
    swift.use(1)

    def spent() -> float:
        before = time.thread_time()
        fetched_by(swift, [f"http://127.0.0.1:{port}/"])
        return time.thread_time() - before

    async with answering(None) as (port, _):
        assert await anyio.to_thread.run_sync(spent) < 0.25


async def test_what_was_fetched_is_not_held(platform: Platform) -> None:
    """Whoever gets it is the only one who has it."""
    by = Swift(WAYS)
    by.use(5)
    came = await anyio.to_thread.run_sync(fetched_by, by, links_of(platform))
    assert all(sys.getrefcount(each.body) == 2 for each in came if each)  # its tuple, and the question


async def test_a_folder_of_authorities_is_trusted_too(authority: Authority, tmp_path: Path) -> None:
    """As OpenSSL reads it: each under the hash of its name."""
    shutil.copy(authority.file, tmp_path)
    await anyio.run_process(["openssl", "rehash", str(tmp_path)])
    certificate = authority.certificate("by-folder", "IP:127.0.0.1")
    async with answering(PLAIN, server_tls(certificate)) as (port, _):
        (came,) = await fetch([f"https://127.0.0.1:{port}/"], WAYS._replace(ca_folder=str(tmp_path)))
    assert came


async def test_proxies_of_the_environment_are_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere in harvester."""
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{taken.getsockname()[1]}")
        async with answering(PLAIN) as (port, _):
            (came,) = await fetch([f"http://127.0.0.1:{port}/"])
    assert came
