"""Tell a download that goes smoothly from every other.

In:   a link, the lines of an answer's head.  Out: an `Origin`, a `Head`, a `Transfer`; None for anything out of the ordinary.

Who fetches quickly and without second thoughts must know what it may take. So all is read strictly here, that no two readers
could take it for different things: links of plain characters, answers of plain lines. What remains is for `recordings`, which
reads all that servers send.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from harvester.model import Transfer
from harvester.platform.resume import KEPT_HEADERS

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS = 5

LONGEST = 8190
"""Characters of a link and bytes of a header line: what aiohttp takes of a line."""

PORTS = {"http": 80, "https": 443}

LINK = re.compile(
    r"(https?)://([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)(?::([1-9][0-9]{0,4}))?/[A-Za-z0-9._~!$&'()*+,;=:@/%-]*"
    r"(?:\?[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*)?",
    re.ASCII,
)
"""A link in which everybody finds the same host and path: no user, bracket, backslash or fragment, nothing to be encoded."""

STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r\n")
FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~]*\r\n")
"""The lines of an answer's head: of ASCII, none of them folded (RFC 9112, 4 and 5)."""

END = b"\r\n"

FIELDS_REMEMBERED = 256
"""Most lines of a server's heads are the same in each answer, and to read one takes ten times as long as to find it."""

ODD = re.compile(r"%(?![0-9A-F]{2})|/\.|\?\Z")
"""What some would write in another way before they ask for it, which a signed link may not survive."""


class Origin(NamedTuple):
    """Where a link leads, its port spelt out."""

    scheme: str
    host: str
    port: int


class Head(NamedTuple):
    """The head of an answer: headers have their names in lower case, and several lines of one name are joined by commas."""

    status: int
    headers: Mapping[str, str]


def origin_of(link: str) -> Origin | None:
    """Return where a plain link leads."""
    found = LINK.fullmatch(link) if len(link) <= LONGEST else None
    if not found or ODD.search(link):
        return None
    scheme, host, port = found.groups()
    return Origin(scheme, host, int(port or PORTS[scheme]))


def read_head(lines: Iterable[bytes]) -> Head | None:
    """Read the lines around a body, line ends included: of several heads the last one counts, and no trailer does."""
    status = None
    headers = dict[str, str]()
    is_within, before = False, END
    for line in lines:
        if len(line) > LONGEST:
            return None
        if before == END and line.startswith(b"HTTP/"):
            found = STATUS.fullmatch(line)
            if found is None:
                return None
            status, headers, is_within = int(found[1]), {}, True
        elif is_within and line != END:
            field = _field_of(line)
            if field is None:
                return None
            name, value = field
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        elif status is None:
            return None
        else:
            is_within = False
        before = line
    return None if status is None or is_within else Head(status, headers)


@functools.lru_cache(FIELDS_REMEMBERED)
def _field_of(line: bytes) -> tuple[str, str] | None:
    if not FIELD.fullmatch(line):
        return None
    name, _, value = line.decode().partition(":")
    return name.lower(), value.strip()


def is_whole(head: Head, body_bytes: int) -> bool:
    """Whether a body of so many bytes is a whole recording, as it lies at the server, by the one length that was told.

    Chunks tell an end too, but libcurl does not tell what came behind it.
    """
    told = head.headers
    return (
        head.status == 200
        and told.get("content-length") == str(body_bytes)
        and "transfer-encoding" not in told
        and told.get("content-encoding", "identity").lower() == "identity"
    )


def transfer_of(
    head: Head,
    link: str,
    *,
    hosts: tuple[str, ...],
    certificate_sha256: str | None,
    started_at: dt.datetime,
) -> Transfer:
    """Return what is told of a whole recording that came just now; `link` is where it began, `hosts` where redirects led."""
    return Transfer(
        link=link.partition("?")[0],
        status=head.status,
        headers={name: head.headers[name] for name in KEPT_HEADERS if name in head.headers},
        redirect_hosts=hosts,
        framing="content-length",
        attempts=1,
        started_at=started_at,
        finished_at=dt.datetime.now(dt.UTC),
        certificate_sha256=certificate_sha256,
    )
