"""What goes smoothly: whatever is taken for it is read as everybody else reads it."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harvester.errors import RecordingError
from harvester.platform.links import read_link
from harvester.platform.smooth import LONGEST, Head, Origin, is_whole, origin_of, read_head
from harvester.platform.wire import bare


@pytest.mark.parametrize(
    ("link", "origin"),
    [
        ("https://rec.example/a.mp3", Origin("https", "rec.example", 443)),
        ("http://rec.example/a.mp3?sig=a%2Bb+c/d==&x=[", None),
        ("http://127.0.0.1:8080/calls/1.mp3?X-Amz-Signature=0f&e=1", Origin("http", "127.0.0.1", 8080)),
        ("https://rec.example:443/", Origin("https", "rec.example", 443)),
    ],
)
def test_plain_links_lead_somewhere(link: str, origin: Origin | None) -> None:
    """Scheme, host and port, spelt out."""
    assert origin_of(link) == origin


@pytest.mark.parametrize(
    "link",
    [
        "",
        "rec.example/a.mp3",
        "/a.mp3",
        "ftp://rec.example/a.mp3",
        "https://rec.example",
        "HTTPS://rec.example/",
        "https://Rec.example/",
        "https://user@rec.example/",
        "https://user:word@rec.example/",
        "https://rec.example\\@other.example/",
        "https://rec.example#@other.example/",
        "https://rec.example/#part",
        "https://rec.example/a b.mp3",
        "https://rec.example/a\n.mp3",
        "https://rec.example/a.mp3\n",
        "https://rec.example/../a.mp3",
        "https://rec.example/a%2fb.mp3",
        "https://rec.example/a.mp3?b=%",
        "https://rec.example/a.mp3?",
        "https://rec.example/%zz\u00e9",
        "https://r\u00e9c.example/",
        "https://[::1]/a.mp3",
        "https://rec.example:/a.mp3",
        "https://rec.example:0/a.mp3",
        "https://rec.example:123456/a.mp3",
        "https://.rec.example/a.mp3",
        "https:///a.mp3",
        "https:rec.example/a.mp3",
    ],
)
def test_a_link_in_which_two_could_read_two_hosts_is_none(link: str) -> None:
    """Users, brackets, backslashes, fragments, capitals, what is to be encoded or normalised: it goes another way."""
    assert origin_of(link) is None


PIECES = [
    "https://",
    "http://",
    "rec.example",
    "127.1",
    ":",
    "80",
    "443",
    "/",
    "a",
    ".",
    "..",
    "%2e",
    "?",
    "@",
    "=",
    "&",
    "+",
    "-",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.from_regex(re.compile(r"https?://[!-~]{1,40}")))
@example("https://a/b//c;d?e?f")
@example("http://0/:@")
def test_whatever_is_plain_everybody_reads_alike(link: str) -> None:
    """The same host and port, and the same text for the ledger, as who reads all links finds."""
    origin = origin_of(link)
    if origin is None:
        return
    try:
        url = read_link(link)
    except RecordingError:
        assert origin.port > 65535
        return
    assert (url.scheme, url.host, url.port) == origin
    assert bare(url) in (link.partition("?")[0], link.partition("?")[0].replace(f":{origin.port}/", "/", 1))


def lines(text: str) -> list[bytes]:
    """A head as it comes: each line with its end."""
    return [f"{line}\r\n".encode() for line in text.split("\n")]


def test_a_head_is_read() -> None:
    """Names in small letters, several lines of one name joined, spaces around values gone."""
    head = read_head(lines("HTTP/1.1 200 OK\nContent-Length:  7 \nDigest: a=b\nX: :y\nDIGEST: c=d\n"))
    assert head == Head(200, {"content-length": "7", "digest": "a=b, c=d", "x": ":y"})


def test_of_several_heads_the_last_one_counts() -> None:
    """A 103 comes first, say; and what comes behind a body is no header."""
    early, late, trailer = "HTTP/1.1 103 Early\nX: 1\n", "HTTP/1.1 200 OK\nX: 2\n", "Content-MD5: abc\n"
    assert read_head(lines(early) + lines(late) + lines(trailer)) == Head(200, {"x": "2"})


def test_nothing_but_a_head_comes_first_and_a_trailer_begins_none() -> None:
    """Whatever it looks like: a head begins at the beginning, or behind an empty line."""
    head, trailer = lines("HTTP/1.1 200 OK\nX: 2\n"), lines("A: b\nHTTP/1.1 200 OK\nX: 3\n")
    assert read_head(head + trailer) == Head(200, {"x": "2"})
    assert read_head([b"X: 1\r\n", *head]) is None
    assert read_head([b"\r\n", *head]) is None
    assert read_head([*head, f"X: {'a' * LONGEST}\r\n".encode()]) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "X: 1\n",
        "HTTP/2 200\n",
        "HTTP/1.1 2000 OK\n",
        "HTTP/1.1 OK\n",
        "HTTP/1.1 200 OK\nX",
        "HTTP/1.1 200 OK\nX: 1",
        "HTTP/1.1 404 Not Found\nHTTP/1.1 200 OK: x\nContent-Length: 5\n",
        "HTTP/1.1 200 OK\nno colon\n",
        "HTTP/1.1 200 OK\nX: 1\n folded\n",
        "HTTP/1.1 200 OK\nX : 1\n",
        "HTTP/1.1 200 OK\nX: \u00e9\n",
        "HTTP/1.1 200 OK\nX: a\rb\n",
        "HTTP/1.1 200 OK\nX: a\x00b\n",
    ],
)
def test_an_odd_head_is_none(text: str) -> None:
    """Folded, cut, not ASCII: somebody else reads it."""
    assert read_head(lines(text)) is None


@pytest.mark.parametrize(
    ("status", "headers", "whole"),
    [
        (200, {"content-length": "7"}, True),
        (200, {"content-length": "7", "content-encoding": "Identity"}, True),
        (200, {}, False),
        (200, {"content-length": "8"}, False),
        (200, {"content-length": "6"}, False),
        (200, {"content-length": "7, 7"}, False),
        (200, {"content-length": "+7"}, False),
        (200, {"transfer-encoding": "chunked"}, False),
        (200, {"content-length": "7", "transfer-encoding": "chunked"}, False),
        (200, {"content-length": "7", "content-encoding": "gzip"}, False),
        (206, {"content-length": "7"}, False),
        (203, {"content-length": "7"}, False),
    ],
)
def test_a_body_is_whole_where_one_length_says_so(status: int, headers: dict[str, str], whole: bool) -> None:
    """Everything else wants a second look."""
    assert is_whole(Head(status, headers), 7) is whole


def test_what_is_longer_than_others_read_is_none() -> None:
    """Links and header lines."""
    assert origin_of(f"https://rec.example/{'a' * (LONGEST - 20)}")
    assert not origin_of(f"https://rec.example/{'a' * (LONGEST - 19)}")
    assert read_head(lines(f"HTTP/1.1 200 OK\nX: {'a' * (LONGEST - 5)}\n"))
    assert not read_head(lines(f"HTTP/1.1 200 OK\nX: {'a' * (LONGEST - 4)}\n"))
    assert read_head(lines(f"HTTP/1.1 200 {'a' * (LONGEST - 15)}\n"))
    assert not read_head(lines(f"HTTP/1.1 200 {'a' * (LONGEST - 14)}\n"))
