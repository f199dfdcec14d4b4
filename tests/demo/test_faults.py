"""Each way in which the simulated platform can misbehave, as a client meets it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from email.utils import formatdate

import aiohttp
import pytest

from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault, Kind
from harvester.demo.server import DEMO_KEY, Platform, serve

HEADERS = {"Authorization": f"Bearer {DEMO_KEY}", "Accept": "application/json"}


@contextlib.asynccontextmanager
async def platform_with(*faults: Fault) -> AsyncIterator[tuple[Platform, aiohttp.ClientSession]]:
    """A platform with these faults, and a session that has its key."""
    async with serve(CallBook(), faults=faults) as platform, aiohttp.ClientSession(headers=HEADERS) as session:
        yield platform, session


def link(platform: Platform, nth: int = 0) -> str:
    """A recording that exists."""
    paths = [str(platform.book.row(call_id)["recording_url"]) for call_id in platform.book.ids()]
    return platform.recordings_url + [path for path in paths if path.endswith(".mp3")][nth]


async def status_of(session: aiohttp.ClientSession, url: str) -> int:
    """The status that a GET is answered with."""
    async with session.get(url, allow_redirects=False) as response:
        return response.status


async def answer(fault: Fault) -> tuple[int, dict[str, str], bytes]:
    """What the fault makes of a whole answer to the first request it strikes."""
    async with platform_with(fault) as (platform, session):
        paths = {"list": "/user/calls", "call": "/user/calls/100001", "me": "/user/me"}
        url = platform.base_url + paths[fault.where] if fault.where in paths else link(platform)
        async with session.get(url, allow_redirects=False) as response:
            return response.status, dict(response.headers), await response.read()


@pytest.mark.parametrize("where", ["list", "call", "me", "recording"])
async def test_a_fault_strikes_only_where_it_is_meant_to(where: str) -> None:
    """A fault of one kind of request leaves the other kinds alone."""
    fault = Fault(where=where, kind="status", code=503)  # type: ignore[arg-type]
    async with platform_with(fault) as (platform, session):
        base = f"{platform.base_url}/user"
        urls = {
            "list": f"{base}/calls",
            "call": f"{base}/calls/100001",
            "me": f"{base}/me",
            "recording": link(platform),
        }
        for place, url in urls.items():
            assert await status_of(session, url) == (503 if place == where else 200)


async def test_a_fault_can_match_one_page() -> None:
    """A match on the list is a page number; the first page is page 1 even if nobody says so."""
    faults = (Fault(where="list", kind="status", match=2), Fault(where="list", kind="gone", match=1))
    async with platform_with(*faults) as (platform, session):
        url = f"{platform.base_url}/user/calls"
        assert [await status_of(session, url + query) for query in ("", "?page=2", "?page=3")] == [410, 500, 200]


async def test_a_fault_can_match_one_call() -> None:
    """A match on recordings and single calls is a call id."""
    faults = (Fault(where="call", kind="gone", match=100_002), Fault(where="recording", kind="gone", match=0))
    async with platform_with(*faults) as (platform, session):
        url = f"{platform.base_url}/user/calls"
        assert [await status_of(session, f"{url}/{call_id}") for call_id in (100_001, 100_002)] == [200, 410]
        assert await status_of(session, link(platform)) == 200
        struck = int(link(platform, 1).rpartition("/")[2].rpartition("_")[2].removesuffix(".mp3"))
        platform.faults.add(Fault(where="recording", kind="gone", match=struck))
        assert [await status_of(session, link(platform, nth)) for nth in (0, 1)] == [200, 410]


async def test_a_fault_strikes_after_some_requests_and_so_many_times() -> None:
    """`after` lets requests through, `times` ends it; both count on the server, the fault itself is frozen."""
    fault = Fault(where="me", kind="status", code=500, after=2, times=2)
    for _ in range(2):
        async with platform_with(fault) as (platform, session):
            statuses = [await status_of(session, f"{platform.base_url}/user/me") for _ in range(6)]
            assert statuses == [200, 200, 500, 500, 200, 200]
            assert [seen.status for seen in platform.requests] == statuses


async def test_faults_come_and_go_while_serving() -> None:
    """Faults can be added and cleared between two runs against the same platform."""
    async with platform_with() as (platform, session):
        url = f"{platform.base_url}/user/me"
        platform.faults.add(Fault(where="me", kind="status", code=503))
        assert await status_of(session, url) == 503
        platform.faults.clear()
        assert await status_of(session, url) == 200


async def test_a_bad_key_is_refused_before_anything_goes_wrong() -> None:
    """Faults strike authenticated requests only, and are not used up by others."""
    async with platform_with(Fault(where="me", kind="status", times=1)) as (platform, session):
        url = f"{platform.base_url}/user/me"
        async with session.get(url, headers={"Authorization": "Bearer wrong"}) as response:
            assert response.status == 401
        assert await status_of(session, url) == 500


@pytest.mark.parametrize("retry_after", ["7", formatdate(time.time() + 7, usegmt=True)])
async def test_a_status_brings_its_headers(retry_after: str) -> None:
    """A 429 or a 503 can carry a Retry-After, in seconds or as a date, and a message in JSON."""
    fault = Fault(where="list", kind="status", code=429, headers={"Retry-After": retry_after})
    status, headers, body = await answer(fault)
    assert (status, headers["Retry-After"]) == (429, retry_after)
    assert (headers["Content-Type"], body) == ("application/json", b'{"message":"Too Many Attempts."}')


async def test_a_status_can_have_an_html_body() -> None:
    """A 503 from a proxy in front is an HTML page."""
    status, headers, body = await answer(Fault(where="list", kind="status", code=503, body=b"<html>busy</html>"))
    assert (status, headers["Content-Type"], body) == (503, "text/html; charset=utf-8", b"<html>busy</html>")


@pytest.mark.parametrize(
    ("kind", "status", "content_type", "start"),
    [
        ("html", 200, "text/html; charset=utf-8", b"<!DOCTYPE html>"),
        ("empty", 200, "audio/mpeg", b""),
        ("not_json", 200, "application/json", b"upstream"),
        ("not_paginator", 200, "application/json", b'{"status":"ok"'),
        ("gone", 410, "application/json", b'{"message"'),
        ("wrong_type", 200, "audio/mpeg", b'{"message"'),
        ("redirect", 302, "text/html; charset=utf-8", b"<!DOCTYPE html>"),
    ],
)
async def test_a_wrong_answer_is_a_whole_answer(kind: Kind, status: int, content_type: str, start: bytes) -> None:
    """These faults break no rule of HTTP: only the content is not what was asked for."""
    got_status, headers, body = await answer(Fault(where="recording", kind=kind))
    assert (got_status, headers["Content-Type"]) == (status, content_type)
    assert body.startswith(start)
    assert bool(body) == bool(start)


async def test_a_recording_can_be_gone_with_404() -> None:
    """Gone is 410 unless a code is given."""
    assert (await answer(Fault(where="recording", kind="gone", code=404)))[0] == 404


async def test_a_body_can_be_dictated() -> None:
    """`json_body` answers 200 with exactly the bytes given."""
    status, headers, body = await answer(Fault(where="list", kind="json_body", body=b'{"data": 1}'))
    assert (status, headers["Content-Type"], body) == (200, "application/json", b'{"data": 1}')


async def test_an_answer_can_be_altered() -> None:
    """Status, headers and body that are given stand instead of its own; the others stay."""
    status, headers, body = await answer(Fault(where="recording", kind="altered", code=206, headers={"X-Odd": "x"}))
    assert (status, headers["X-Odd"], headers["Content-Type"]) == (206, "x", "audio/mpeg")
    assert int(headers["Content-Length"]) == len(body) > 0
    assert (await answer(Fault(where="recording", kind="altered", body=b"other")))[2] == b"other"


async def test_a_cut_can_wait_until_what_came_was_read() -> None:
    """The connection stays until `before_end` returns, and the headers of the fault stand in the answer."""
    read = asyncio.Event()
    fault = Fault(where="recording", kind="cut", kept_bytes=500, headers={"ETag": "x"}, before_end=read.wait)
    async with platform_with(fault) as (platform, session), session.get(link(platform)) as response:
        assert response.headers["ETag"] == "x"
        assert len(await response.content.readexactly(500)) == 500
        assert not response.content.exception()
        read.set()
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.content.readany()


async def test_a_redirect_leads_elsewhere_or_to_itself() -> None:
    """A redirect goes to the location given; without one it is a loop."""
    _, headers, _ = await answer(Fault(where="me", kind="redirect", location="http://127.0.0.1:9/x"))
    assert headers["Location"] == "http://127.0.0.1:9/x"
    async with platform_with(Fault(where="me", kind="redirect", code=307)) as (platform, session):
        with pytest.raises(aiohttp.TooManyRedirects):
            await session.get(f"{platform.base_url}/user/me", max_redirects=4)


@pytest.mark.parametrize("kind", ["cut", "cut_chunked", "reset"])
@pytest.mark.parametrize("where", ["list", "recording"])
async def test_a_cut_body_that_can_be_noticed_is_an_error(kind: Kind, where: str) -> None:
    """With a length, with chunks or with a reset the client can tell that half the body is missing."""
    with pytest.raises(aiohttp.ClientPayloadError):
        await answer(Fault(where=where, kind=kind))  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "was_reset"), [("cut", False), ("reset", True)])
async def test_a_reset_is_a_reset(kind: Kind, was_reset: bool) -> None:
    """A reset arrives as TCP RST, a cut as an orderly end of the connection."""
    async with platform_with(Fault(where="me", kind=kind)) as (platform, _):
        host, port = platform.base_url.removeprefix("http://").removesuffix("/api").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        lines = ["GET /api/user/me HTTP/1.1", "Host: x", f"Authorization: Bearer {DEMO_KEY}", "", ""]
        writer.write("\r\n".join(lines).encode())
        with pytest.raises(ConnectionResetError) if was_reset else contextlib.nullcontext():
            assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()


async def test_a_cut_body_without_a_length_looks_whole() -> None:
    """With neither length nor chunks the client sees a good answer of the wrong size."""
    status, headers, body = await answer(Fault(where="recording", kind="cut_close", kept_bytes=1000))
    assert status == 200
    assert not {"Content-Length", "Transfer-Encoding"} & set(headers)
    assert len(body) == 1000


@pytest.mark.parametrize("kind", ["cut", "cut_chunked", "cut_close"])
async def test_a_cut_can_leave_nothing_of_the_body(kind: Kind) -> None:
    """With no byte kept, the head arrives and then the connection ends."""
    cut = platform_with(Fault(where="recording", kind=kind, kept_bytes=0))
    async with cut as (platform, session), session.get(link(platform)) as response:
        assert response.status == 200
        with contextlib.suppress(aiohttp.ClientPayloadError):
            assert await response.read() == b""


async def test_a_cut_says_how_long_the_body_would_have_been() -> None:
    """A cut answer has the Content-Length and the ETag of the whole, so that a client can go on with a range."""
    async with platform_with(Fault(where="recording", kind="cut", times=1, kept_bytes=500)) as (platform, session):
        url = link(platform)
        async with session.get(url) as response:
            length, tag = response.headers["Content-Length"], response.headers["ETag"]
            kept = await response.content.readexactly(500)
        async with session.get(url, headers={"Range": "bytes=500-", "If-Range": tag}) as response:
            assert response.status == 206
            assert len(kept + await response.read()) == int(length)


async def test_a_hanging_request_ends_with_the_platform() -> None:
    """Nothing is answered, other requests are; when the platform shuts down the connection is dropped."""
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        async with serve(CallBook(), faults=[Fault(where="list", kind="hang")]) as platform:
            hanging = asyncio.ensure_future(session.get(f"{platform.base_url}/user/calls"))
            while platform.count("list") == 0:
                assert await status_of(session, f"{platform.base_url}/user/me") == 200
            assert not hanging.done()
            assert [seen.status for seen in platform.requests if seen.where == "list"] == [None]
        with pytest.raises(aiohttp.ClientConnectionError):
            await hanging
