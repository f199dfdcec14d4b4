"""The border to HTTP, against servers that fail in each way there is."""

import datetime as dt
import email.utils

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from harvester.errors import PlatformError, TransientError
from harvester.platform.wire import asked_wait_seconds, bare, header_number, translated
from tests.platform.strange import answering, http

NOW = dt.datetime(2026, 11, 23, 12, 0, 0, tzinfo=dt.UTC)
SECRET = "signature=a1b2c3"


def http_date(seconds_from_now: float) -> str:
    """An instant as HTTP headers write it."""
    return email.utils.format_datetime(NOW + dt.timedelta(seconds=seconds_from_now), usegmt=True)


async def get(url: str, **options: object) -> bytes:
    """GET a URL behind the border."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector()) as session:
        with translated(bare(url)):
            async with session.get(url, **options) as response:  # type: ignore[arg-type]
                return await response.read()
    raise AssertionError("the border swallowed an error")


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"Retry-After": "30"}, b"", 30),
        ({"Retry-After": " 0 "}, b"", 0),
        ({"Retry-After": http_date(90)}, b"", 90),
        ({"Retry-After": http_date(90).replace("GMT", "-0000")}, b"", 90),
        ({}, b'{"message":"Too Many Attempts.","retry_after":60}', 60),
        ({}, b'{"retry_after":2.5}', 2.5),
        ({"X-RateLimit-Reset": f"{NOW.timestamp() + 45:.0f}"}, b"", 45),
        ({"Retry-After": "30", "X-RateLimit-Reset": "1"}, b'{"retry_after":60}', 30),
        ({"X-RateLimit-Reset": "1"}, b'{"retry_after":60}', 60),
        ({"Retry-After": "soon"}, b'{"retry_after":60}', 60),
        ({}, b"", None),
        ({"Retry-After": "-5"}, b"<html>", None),
        ({"Retry-After": "1.5"}, b'{"retry_after":"soon"}', None),
        ({"X-RateLimit-Reset": "tomorrow"}, b'{"retry_after":true}', None),
        ({}, b'{"retry_after":1' + b"0" * 400 + b"}", 1e9),
        ({}, b'{"retry_after":-3}', 0),
        ({"Retry-After": "9" * 5000}, b"", 999_999_999_999),
    ],
)
def test_the_wait_asked_for_is_read_in_all_its_forms(
    headers: dict[str, str], body: bytes, seconds: float | None
) -> None:
    """Retry-After as seconds or date, then `retry_after` in the body, then X-RateLimit-Reset; None for what nobody can read."""
    assert asked_wait_seconds(headers, body, NOW) == seconds


@pytest.mark.parametrize("headers", [{"Retry-After": http_date(-3600)}, {"X-RateLimit-Reset": "1"}])
def test_an_instant_that_has_passed_asks_for_no_wait(headers: dict[str, str]) -> None:
    """A date in the past is no negative wait."""
    assert asked_wait_seconds(headers, b"", NOW) == 0


@pytest.mark.parametrize(
    "headers", [{"Retry-After": http_date(7230)}, {"X-RateLimit-Reset": f"{NOW.timestamp() + 7230:.0f}"}]
)
def test_instants_are_held_against_the_servers_own_clock(headers: dict[str, str]) -> None:
    """A server whose clock is two hours ahead asks for half a minute, not for two hours."""
    assert asked_wait_seconds(headers | {"Date": http_date(7200)}, b"", NOW) == 30


ODD_TEXT = st.text(max_size=40) | st.integers().map(str) | st.datetimes().map(email.utils.format_datetime)


@given(
    headers=st.dictionaries(st.sampled_from(["Retry-After", "X-RateLimit-Reset", "Date"]), ODD_TEXT),
    body=st.binary(max_size=40) | (st.integers() | st.floats()).map(lambda number: b'{"retry_after":%a}' % number),
)
@settings(max_examples=100, deadline=None)
def test_no_answer_makes_reading_the_wait_fail(headers: dict[str, str], body: bytes) -> None:
    """Whatever headers and body hold: a number of seconds that is not negative, or None."""
    seconds = asked_wait_seconds(headers, body, NOW)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("text", "number"), [("60", 60), (" 0 ", 0), ("", None), ("-1", None), ("6e1", None), ("9" * 99, None)]
)
def test_a_count_in_a_header_is_a_plain_number_or_nothing(text: str, number: int | None) -> None:
    """What is no plausible count is treated as not sent."""
    assert header_number({"X": text}, "X") == number
    assert header_number({}, "X") is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"https://user:pass@r.example:8443/a%2Bb+c.mp3?{SECRET}#part", "https://r.example:8443/a%2Bb+c.mp3"),
        (f"/login?{SECRET}", "/login"),
        (f"http://[::1?{SECRET}", "an unreadable address"),
        (f"http://r.example:99999/?{SECRET}", "an unreadable address"),
    ],
)
def test_messages_show_a_url_without_its_secrets(url: str, shown: str) -> None:
    """Query, fragment, user and password stay out; what cannot be read is not shown at all."""
    assert bare(url) == shown


@given(st.text(max_size=30).map(lambda text: "http://" + text) | st.text(max_size=30))
@settings(max_examples=100, deadline=None)
def test_showing_a_url_never_raises(url: str) -> None:
    """A message is written about every link, however broken; no query is left in it."""
    assert "?" not in bare(url)


async def test_a_refused_connection_is_worth_another_attempt() -> None:
    """Nobody listens: the message names host, port and the system's reason."""
    async with answering(b"") as (port, _):
        pass
    with pytest.raises(TransientError, match=rf"no connection to 127\.0\.0\.1:{port} \(Connection refused\)"):
        await get(f"http://127.0.0.1:{port}/?{SECRET}")


async def test_an_unknown_host_is_named() -> None:
    """A name that no resolver knows may be a typing error or a network that is down."""
    with pytest.raises(
        TransientError, match=r"the name platform\.invalid cannot be found; check the spelling"
    ) as caught:
        await get(f"http://platform.invalid/?{SECRET}")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "the connection broke (Server disconnected)"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "the answer is not HTTP"),
        (b"HTTP/1.1 two hundred\r\n\r\n", "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "the answer was cut short"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "the answer was cut short"),
        (http(b"no gzip", headers="Content-Encoding: gzip\r\n"), "the answer was cut short"),
    ],
)
async def test_broken_answers_are_worth_another_attempt(answer: bytes, message: str) -> None:
    """The message says in one line what broke and where, without the query."""
    async with answering(answer) as (port, _):
        with pytest.raises(TransientError) as caught:
            await get(f"http://127.0.0.1:{port}/x?{SECRET}")
        assert str(caught.value) == f"http://127.0.0.1:{port}/x: {message}"


async def test_silence_is_worth_another_attempt() -> None:
    """A server that says nothing for too long."""
    async with answering(None) as (port, _):
        with pytest.raises(TransientError, match=f"http://127.0.0.1:{port}/: no answer in time"):
            await get(f"http://127.0.0.1:{port}/", timeout=aiohttp.ClientTimeout(sock_read=0.01))


@pytest.mark.parametrize("url", ["http://a..example/", f"http://{'a' * 80}.example/", "http://127.1/"])
async def test_an_address_that_cannot_be_used_is_tried_once(url: str) -> None:
    """Names that no resolver can be asked for, and shorthand for IP addresses: no attempt will help."""
    with pytest.raises(PlatformError, match="the address cannot be used") as caught:
        await get(url)
    assert not isinstance(caught.value, TransientError)


def test_an_error_without_a_text_is_named() -> None:
    """Some of aiohttp's errors say nothing; then their kind is told."""
    with pytest.raises(TransientError, match=r"W: the connection broke \(ConnectionResetError\)"), translated("W"):
        raise ConnectionResetError


def test_a_url_object_is_shown_like_its_text() -> None:
    """Both forms are in use, and hide the same."""
    assert bare(URL(f"https://u:p@r.example/a.mp3?{SECRET}")) == "https://r.example/a.mp3"
