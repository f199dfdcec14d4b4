"""The border to libcurl: fetch many recordings at once, with as little Python as can be.

In:   links.  Out: for each what was `Fetched`, None where it did not go smoothly (`smooth`).

libcurl takes a third of the processor's time that aiohttp takes for the same recording: sockets, TLS and HTTP are C, and
Python sees nothing but the pieces of a body and the lines of its head. It is for where that time is what a run waits for, and
only for what goes smoothly: one attempt, no key, nothing that would have to be resumed, unpacked, explained or asked for anew.
"""

from __future__ import annotations

import binascii
import datetime as dt
import hashlib
import select
import socket
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

import pycurl

from harvester.model import Transfer
from harvester.platform.guard import is_private
from harvester.platform.smooth import (
    MOST_REDIRECTS,
    REDIRECTS,
    Head,
    Origin,
    is_whole,
    origin_of,
    read_head,
    transfer_of,
)

REFUSALS = frozenset({429, 503})

CLOSED = -1

READ_BYTES = 512 * 1024
"""How much libcurl reads at once; of TLS it gets 16 KiB at a time, whatever it asks for."""

MOST_CERTIFICATES = 4096
"""Of how many connections it is remembered; what an older one brings is not taken."""


class Fetched(NamedTuple):
    """A recording that came whole: what is told of it, and its bytes in pieces."""

    transfer: Transfer
    body: list[bytes]
    sha256: str  # in hex


Then = Callable[[Fetched | None], None]


class Ways(NamedTuple):
    """How recordings are asked for."""

    headers: Mapping[str, str]
    largest_bytes: int
    seconds: float  # how long one may take, and each redirect
    hosts: tuple[str, ...]  # where any are named, no others
    own: Origin | None  # the API's: its links need the key
    allow_private_hosts: bool
    ca_file: str | None
    ca_folder: str | None


class Swift:
    """Fetches recordings: `use` so many connections, `ask` for any number of recordings, then `go_on`, `wait`, and so on.

    Once a server asks for patience nothing more is asked for, and of one that is not who it should be nothing either.
    """

    def __init__(self, ways: Ways) -> None:
        """Nothing is fetched until it is said how many connections to use."""
        self._ways = ways
        self.is_refused = False  # whether a server has asked for patience (429, 503)
        self._distrusted = set[Origin | None]()
        self._multi = pycurl.CurlMulti()
        self._connections = 0
        self._idle = list[_Line]()
        self._busy = dict[pycurl.Curl, _Line]()
        self._waiting = deque[tuple[str, Then]]()
        self._certificates = dict[int, str]()

    def use(self, connections: int) -> None:
        """Fetch so many at the same time from now on."""
        if connections != self._connections:
            self._connections = connections
            self._multi.setopt(pycurl.M_MAXCONNECTS, connections)

    def ask(self, link: str, then: Then) -> None:
        """Fetch the recording behind a link as soon as a connection is free, and call `then` with it."""
        self._waiting.append((link, then))

    def go_on(self) -> None:
        """Do what can be done now."""
        self._begin_waiting()
        self._multi.perform()
        self._end_done()
        self._begin_waiting()

    def wait(self, also: int) -> bool:
        """Wait until there is more to do, or the descriptor `also` can be read; return whether it can."""
        reads, writes, odd = self._multi.fdset()
        milliseconds = self._multi.timeout()
        ready, _, _ = select.select([also, *reads], writes, odd, None if milliseconds < 0 else milliseconds / 1000)
        return also in ready

    def _begin_waiting(self) -> None:
        while self._waiting and len(self._busy) < self._connections:
            link, then = self._waiting.popleft()
            if self.is_refused or not self._may_ask(link):
                then(None)
                continue
            line = self._idle.pop() if self._idle else _Line(self._ways)
            line.begin(link, then)
            self._begin(line)

    def _begin(self, line: _Line) -> None:
        self._busy[line.curl] = line
        self._multi.add_handle(line.curl)

    def _may_ask(self, link: str) -> bool:
        origin, ways = origin_of(link), self._ways
        if origin is None or origin == ways.own or origin in self._distrusted:
            return False
        if origin.scheme == "https" and ways.ca_file is None and ways.ca_folder is None:
            return False  # libcurl would trust whom it was built to trust
        return not ways.hosts or origin.host in ways.hosts

    def _end_done(self) -> None:
        left = 1
        while left:
            left, came, broken = self._multi.info_read()
            for curl in came:
                self._end(self._busy.pop(curl), came=True)
            for curl, number, _ in broken:
                line = self._busy.pop(curl)
                if number == pycurl.E_PEER_FAILED_VERIFICATION:
                    self._distrusted.add(origin_of(line.link))
                self._end(line, came=False)

    def _end(self, line: _Line, *, came: bool) -> None:
        head = line.head() if came else None
        self._multi.remove_handle(line.curl)
        certificate_sha256 = self._certificate_of(line) if came else None  # now, though this answer may be no recording
        if head and head.status in REDIRECTS and self._is_followed(line, head.headers.get("location", "")):
            self._begin(line)
            return
        if head and head.status in REFUSALS:
            self.is_refused = True
        fetched = _fetched(line, head, certificate_sha256) if head else None
        then = line.then
        line.forget()
        self._idle.append(line)
        then(fetched)

    def _is_followed(self, line: _Line, target: str) -> bool:
        if not self._may_ask(target) or (line.is_secure and not target.startswith("https:")):
            return False
        return line.redirect(target)

    def _certificate_of(self, line: _Line) -> str | None:
        """Return the SHA-256 of the certificate under which it came, which libcurl shows with a connection's first answer.

        None without TLS, and where it is not known any more.
        """
        if not line.is_secure:
            return None
        connection = line.curl.getinfo(pycurl.CONN_ID)
        if connection not in self._certificates and (shown := line.certificate()):
            while len(self._certificates) >= MOST_CERTIFICATES:
                del self._certificates[next(iter(self._certificates))]
            self._certificates[connection] = hashlib.sha256(shown).hexdigest()
        return self._certificates.get(connection)


class _Line:
    """What fetches one recording at a time, over whatever connection is free."""

    def __init__(self, ways: Ways) -> None:
        self._largest_bytes = ways.largest_bytes
        self.body = list[bytes]()
        self.lines = list[bytes]()
        self.curl = curl = pycurl.Curl()
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in ways.headers.items()])
        curl.setopt(pycurl.PATH_AS_IS, 1)
        curl.setopt(pycurl.PROXY, "")  # as aiohttp does: the environment's proxies are for others
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.BUFFERSIZE, READ_BYTES)
        curl.setopt(pycurl.TIMEOUT_MS, int(ways.seconds * 1000))
        curl.setopt(pycurl.MAXFILESIZE_LARGE, ways.largest_bytes)  # where a length is told
        curl.setopt(pycurl.OPT_CERTINFO, 1)
        curl.setopt(pycurl.SSL_OPTIONS, pycurl.SSLOPT_NO_PARTIALCHAIN)  # as OpenSSL does by itself
        curl.setopt(pycurl.SSL_SESSIONID_CACHE, 0)  # a resumed session shows no certificate
        for option, path in ((pycurl.CAINFO, ways.ca_file), (pycurl.CAPATH, ways.ca_folder)):
            if path is None:
                curl.unsetopt(option)
            else:
                curl.setopt(option, path)
        if not ways.allow_private_hosts:
            curl.setopt(pycurl.OPENSOCKETFUNCTION, _public_socket)
        curl.setopt(pycurl.WRITEFUNCTION, self._take)

    def begin(self, link: str, then: Then) -> None:
        """Make ready to fetch what is behind a link."""
        self.first_link, self.then = link, then
        self.hosts: tuple[str, ...] = ()
        self.started_at = dt.datetime.now(dt.UTC)
        self._to(link)

    def redirect(self, target: str) -> bool:
        """Make ready to follow; return whether that is not too often."""
        if len(self.hosts) == MOST_REDIRECTS:
            return False
        self.hosts = (*self.hosts, target.split("/")[2].partition(":")[0])
        self._to(target)
        return True

    def head(self) -> Head | None:
        """Return the head of the answer that came, None where there is anything odd about it.

        libcurl cuts what is longer than its told length, says nothing, and closes the connection; so a closed one is odd.
        """
        head = read_head(self.lines)
        is_odd = head is not None and head.status == 200 and self.curl.getinfo(pycurl.ACTIVESOCKET) == CLOSED
        return None if is_odd else head

    def certificate(self) -> bytes | None:
        """Return the server's certificate in DER, where this answer was the first on its connection.

        One without the names that it is for (RFC 6125) libcurl takes by its subject, and nobody else does.
        """
        shown = dict(next(iter(self.curl.getinfo(pycurl.INFO_CERTINFO)), ()))
        if "Cert" not in shown or "X509v3 Subject Alternative Name" not in shown:
            return None
        return binascii.a2b_base64("".join(shown["Cert"].split("-----")[2].split()))

    def forget(self) -> None:
        """Hold on to nothing of what was fetched."""
        self.body, self.lines = [], []
        del self.then

    def _to(self, link: str) -> None:
        self.link = link
        self.is_secure = link.startswith("https:")
        self.body = []
        self.body_bytes = 0
        self.sha256 = hashlib.sha256()
        self.lines = []
        self.curl.setopt(pycurl.URL, link)
        self.curl.setopt(pycurl.HEADERFUNCTION, self.lines.append)

    def _take(self, piece: bytes) -> int | None:
        self.body_bytes += len(piece)
        if self.body_bytes > self._largest_bytes:
            return 0  # libcurl gives it up
        self.sha256.update(piece)  # now, while the processor has it at hand
        self.body.append(piece)
        return None


def _fetched(line: _Line, head: Head, certificate_sha256: str | None) -> Fetched | None:
    if not is_whole(head, line.body_bytes) or (line.is_secure and certificate_sha256 is None):
        return None
    transfer = transfer_of(
        head,
        line.first_link,
        hosts=line.hosts,
        certificate_sha256=certificate_sha256,
        started_at=line.started_at,
    )
    return Fetched(transfer, line.body, line.sha256.hexdigest())


def _public_socket(_purpose: int, address: tuple[int, int, int, tuple[str, int]]) -> socket.socket | int:
    """Open a socket, unless it would lead to a private address."""
    family, kind, protocol, target = address
    return pycurl.SOCKET_BAD if is_private(str(target[0])) else socket.socket(family, kind, protocol)
