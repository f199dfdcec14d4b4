"""Where links and redirects of recordings may lead, who gets the key, and what becomes of links that have died."""

import contextlib
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from harvester.demo.faults import Fault
from harvester.demo.options import Options
from harvester.errors import LinkError, PlatformError, RecordingError
from harvester.platform.guard import check_link
from harvester.platform.links import next_hop, read_link
from harvester.platform.recordings import DEAD_LINK, MOST_FRESH_LINKS
from harvester.platform.smooth import MOST_REDIRECTS
from harvester.platform.wire import bare
from tests.platform.strange import answering, http
from tests.platform.visiting import AUDIO, world


def redirect(location: str | None = None, *, times: int | None = 1, code: int = 302) -> Fault:
    """The recordings server sends its visitors elsewhere."""
    return Fault(where="recording", kind="redirect", location=location, times=times, code=code)


async def test_the_key_never_goes_to_another_origin() -> None:
    """Neither directly nor by a redirect from the API's own origin, which gets it."""
    async with world() as w:
        link = w.call().recording_url
        w.platform.faults.add(Fault(where="me", kind="redirect", location=link))
        transfer = await w.fetch(f"{w.platform.base_url}/user/me")
        assert w.whole
        assert transfer.redirect_hosts == ("127.0.0.1",)
        assert [(seen.origin, seen.had_authorization) for seen in w.platform.requests] == [
            ("api", True),
            ("recordings", False),
        ]


async def test_a_redirect_to_the_apis_origin_brings_the_key_back() -> None:
    """A link that ends at the API gets the key there, and only there."""
    async with world() as w:
        w.platform.faults.add(redirect(f"{w.platform.base_url}/user/me"))
        await w.fetch()
        assert [(seen.where, seen.had_authorization) for seen in w.platform.requests] == [
            ("recording", False),
            ("me", True),
        ]


async def test_a_link_with_its_own_password_is_no_trouble() -> None:
    """On the API's own origin, too: the key stays at home, and the password out of what is told."""
    async with world(Fault(where="me", kind="status", code=410)) as w:
        await w.fetch(w.platform.base_url.replace("http://", "http://user:secret@") + "/user/me?sig=1")
        assert w.platform.requests[0].path == "/api/user/me"
        transfer = await w.fetch(w.platform.recordings_url.replace("//", "//user:secret@") + f"/calls/{w.call_id}.mp3")
        assert transfer.link == f"{w.platform.recordings_url}/calls/{w.call_id}.mp3"


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(code: int) -> None:
    """Every kind, to absolute and relative places, five of them in a row."""
    async with world(redirect(times=MOST_REDIRECTS - 1, code=code)) as w:
        w.platform.faults.add(redirect(f"{w.call_id}.mp3", code=code))
        transfer = await w.fetch()
        assert w.whole
        assert transfer.redirect_hosts == ("127.0.0.1",) * MOST_REDIRECTS


async def test_a_redirect_without_end_is_given_up() -> None:
    """After five it is no passing failure, and the sentence says why."""
    async with world(redirect(times=None)) as w:
        with pytest.raises(RecordingError, match=r"\.mp3 redirects more than 5 times$"):
            await w.fetch()
        assert w.platform.count("recording") == MOST_REDIRECTS + 1


@pytest.mark.parametrize("location", ["file:///etc/passwd", "javascript:alert(1)", "http://h:bad/", "http://["])
async def test_redirects_lead_to_http_only(location: str) -> None:
    """What a link may not be, a redirect may not make of it."""
    async with world(redirect(location)) as w:
        with pytest.raises(RecordingError, match="is not "):
            await w.fetch()


@pytest.mark.parametrize("location", ["http://r.example/1", "ftp://r.example/1", "file:///1"])
def test_https_is_not_left(location: str) -> None:
    """A redirect from https leads to https or nowhere."""
    with pytest.raises(RecordingError, match=r"redirects from https to (http|ftp|file), which is refused$"):
        next_hop(URL("https://r.example/0?signature=1"), location)


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("https://r.example/a/0?s=1", "https://q.example/1?t=2", "https://q.example/1?t=2"),
        ("https://r.example/a/0?s=1", "/1+2%2B.mp3?t=a+b%2F", "https://r.example/1+2%2B.mp3?t=a+b%2F"),
        ("https://r.example/a/0?s=1", "1.mp3", "https://r.example/a/1.mp3"),
        ("https://r.example/a/0", "//q.example/1", "https://q.example/1"),
        ("http://r.example/0", "https://r.example/0", "https://r.example/0"),
        ("http://r.example/0", "http://q.example/0", "http://q.example/0"),
    ],
)
def test_a_redirect_leads_where_it_says(url: str, location: str, target: str) -> None:
    """Absolute and relative ones; what is encoded stays as it is; the old query is not taken along."""
    assert str(next_hop(URL(url), location)) == target


async def test_a_private_address_is_refused_unless_allowed() -> None:
    """Not a byte goes there, the call's outcome says why, and it is not tried again."""
    async with world(allow_private_hosts=False) as w:
        with pytest.raises(RecordingError, match=r"private address 127\.0\.0\.1, .* --allow-private-hosts"):
            await w.fetch()
        assert w.platform.requests == []


async def test_a_redirect_to_a_private_address_is_refused_too() -> None:
    """The API's own origin may lie on a private address; where it sends us may not."""
    async with world(allow_private_hosts=False) as w:
        w.platform.faults.add(Fault(where="me", kind="redirect", location=w.call().recording_url))
        with pytest.raises(RecordingError, match="private address"):
            await w.fetch(f"{w.platform.base_url}/user/me")
        assert [seen.where for seen in w.platform.requests] == ["me"]


async def test_only_the_hosts_that_the_settings_name_are_asked() -> None:
    """With `recording_host` set, other hosts are refused, in links and in redirects."""
    async with world(hosts=("r.example",)) as w:
        with pytest.raises(RecordingError, match=r"lies on 127\.0\.0\.1, which is not one of the recording_hosts"):
            await w.fetch()
        assert w.platform.requests == []
    async with world(redirect("http://localhost/1.mp3"), hosts=("127.0.0.1",)) as w:
        with pytest.raises(RecordingError, match="lies on localhost"):
            await w.fetch()


BROKEN_LINKS = ["1.mp3", "http://", "http://h:99999/", "http://h:x/", "http://xn--/", "http://h/\x00", "http://a..b/1"]


@pytest.mark.parametrize("link", ["file:///etc/passwd", "ftp://r.example/1", "javascript:alert(1)", *BROKEN_LINKS])
async def test_a_link_that_is_none_is_an_outcome(link: str) -> None:
    """However broken a link is, its call fails with one sentence, and nothing else does."""
    async with world() as w:
        with pytest.raises(RecordingError, match="the recording's link is not "):
            await w.fetch(link)


@given(st.text(max_size=30).map(lambda text: "http://" + text) | st.text(max_size=30))
@settings(max_examples=100, deadline=None)
def test_reading_a_link_raises_a_recording_error_only(link: str) -> None:
    """What passes can be shown, and its origin told, without another error."""
    with contextlib.suppress(RecordingError):
        url = read_link(link)
        check_link(url)
        assert url.origin()
        assert bare(url)


async def test_a_link_reaches_the_server_as_it_is_written() -> None:
    """A literal plus, an encoded one and a signature arrive unchanged; the client says who it is, and shows no key."""
    target = "/calls/+15550100_1%2B2.mp3?X-Sig=a+b%2Bc%2f/=&e=1"
    async with world() as w, answering(http(AUDIO, headers="Content-Encoding: Identity\r\n")) as (port, heads):
        await w.fetch(f" http://127.0.0.1:{port}{target} ")
        assert bytes(w.sink.data) == AUDIO
    assert heads[0].split(b"\r\n")[0].decode() == f"GET {target} HTTP/1.1"
    assert b"\r\nuser-agent: harvester/" in heads[0].lower()
    assert b"authorization" not in heads[0].lower()


async def test_an_address_that_the_network_refuses_is_an_outcome_at_once() -> None:
    """Shorthand for an IP address is no address; no attempt will help."""
    async with world() as w:
        with pytest.raises(PlatformError, match=r"^http://127\.1/1\.mp3: the address cannot be used$"):
            await w.fetch("http://127.1/1.mp3?signature=1")


SIGNED = Options(signed_links=True)
"""The platform signs its links: every one that it gives is another one."""


@pytest.mark.parametrize("code", sorted(DEAD_LINK))
@pytest.mark.parametrize("dead", [1, MOST_FRESH_LINKS])
async def test_a_dead_link_is_renewed_at_most_twice(code: int, dead: int) -> None:
    """The link of the listing and the first fresh one may be dead; the second fresh one is tried as well."""
    async with world(Fault(where="recording", kind="status", code=code, times=dead), options=SIGNED) as w:
        await w.fetch()
        assert w.whole
        assert [seen.where for seen in w.platform.requests] == ["recording", "call"] * dead + ["recording"]


async def test_a_recording_whose_fresh_links_are_dead_too_is_given_up() -> None:
    """After the second fresh link nothing more is asked, and the reason says that they did not help."""
    async with world(Fault(where="recording", kind="gone"), options=SIGNED) as w:
        with pytest.raises(LinkError, match=r"\.mp3 answered 410; 2 fresh links did not help$") as caught:
            await w.fetch()
        assert caught.value.status == 410
        assert (w.platform.count("recording"), w.platform.count("call")) == (3, 2)


async def test_a_fresh_link_that_was_tried_already_is_not_tried_again() -> None:
    """The listing's link has died and the platform gives the same dead one twice: it is asked for once."""
    async with world(Fault(where="recording", kind="gone")) as w:
        with pytest.raises(LinkError, match=r"answered 410; a fresh link did not help$"):
            await w.fetch(f"{w.call().recording_url}?of=the+listing")
        assert (w.platform.count("recording"), w.platform.count("call")) == (2, 2)


@pytest.mark.parametrize("code", [403, 404, 422])
async def test_a_call_that_is_not_given_has_no_fresh_link(code: int) -> None:
    """Whether the platform has the call no more or keeps it from this key: the link's own error is the outcome."""
    faults = [Fault(where="recording", kind="gone"), Fault(where="call", kind="status", code=code)]
    async with world(*faults, options=SIGNED) as w:
        with pytest.raises(LinkError, match=r"\.mp3 answered 410$"):
            await w.fetch()
        assert (w.platform.count("recording"), w.platform.count("call")) == (1, 1)


EXPIRED_TOKEN = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
EXPIRED_REQUEST = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"


@pytest.mark.parametrize(
    "said", [EXPIRED_TOKEN, EXPIRED_REQUEST, b" " * 4000 + EXPIRED_REQUEST], ids=["token", "request", "late"]
)
async def test_a_400_that_says_expired_is_a_dead_link(said: bytes) -> None:
    """Object stores answer 400 to a link signed with a token that has run out; a fresh one is asked for."""
    async with world(Fault(where="recording", kind="status", code=400, body=said, times=1), options=SIGNED) as w:
        await w.fetch()
        assert w.whole
        assert (w.platform.count("recording"), w.platform.count("call")) == (2, 1)


@pytest.mark.parametrize(
    "said",
    [b"", b"<Error><Code>InvalidRequest</Code></Error>", b" " * 4096 + EXPIRED_TOKEN],
    ids=["silent", "another", "too late"],
)
async def test_another_400_is_no_dead_link(said: bytes) -> None:
    """What does not say so within 4096 bytes is a failure like others: a fresh link would not help."""
    async with world(Fault(where="recording", kind="status", code=400, body=said), options=SIGNED) as w:
        with pytest.raises(RecordingError, match=r"\.mp3 answered 400$"):
            await w.fetch()
        assert (w.platform.count("recording"), w.platform.count("call")) == (1, 0)


async def test_a_link_that_stays_expired_says_why() -> None:
    """The outcome names the expiry and not only the number."""
    async with world(Fault(where="recording", kind="status", code=400, body=EXPIRED_TOKEN)) as w:
        with pytest.raises(LinkError, match=r"\.mp3 answered 400: the link has expired$"):
            await w.fetch()


async def test_a_size_is_learnt_without_the_recording() -> None:
    """Of a terabyte that is announced nothing is waited for."""
    announced = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\nID3"
    async with world() as w, answering(announced) as (port, heads):
        assert await w.recordings.size_bytes(f"http://127.0.0.1:{port}/1.mp3?s=1") == 10**12
    assert heads[0].startswith(b"GET /1.mp3?s=1 HTTP/1.1\r\n")


async def test_a_size_is_learnt_behind_redirects_and_with_a_get() -> None:
    """It is the size of what would be downloaded; we never send anything but GET."""
    async with world(redirect()) as w:
        size_bytes = await w.recordings.size_bytes(w.call().recording_url or "")
        assert size_bytes == len(w.platform.book.recording(w.call_id))
        assert [(seen.where, seen.method) for seen in w.platform.requests] == [("recording", "GET")] * 2


@pytest.mark.parametrize("body", ["chunked", "close"])
async def test_a_size_that_nobody_tells_is_none(body: Literal["chunked", "close"]) -> None:
    """Without Content-Length only the download would tell."""
    async with world(options=Options(recordings_body=body)) as w:
        assert await w.recordings.size_bytes(w.call().recording_url or "") is None


@pytest.mark.parametrize("code", [403, 404, 429, 503])
async def test_a_size_is_asked_for_once(code: int) -> None:
    """Whatever is refused or fails tells no size; it is not tried again, and no fresh link is asked for."""
    async with world(Fault(where="recording", kind="status", code=code), options=SIGNED) as w:
        assert await w.recordings.size_bytes(w.call().recording_url or "") is None
        assert [seen.where for seen in w.platform.requests] == ["recording"]


@pytest.mark.parametrize(
    "link", ["", "file:///etc/passwd", *BROKEN_LINKS, "http://127.1/1.mp3", "http://127.0.0.1:9/1"]
)
async def test_a_link_that_is_none_has_no_size(link: str) -> None:
    """However broken it is, a size that cannot be learnt is no error."""
    async with world() as w:
        assert await w.recordings.size_bytes(link) is None


async def test_the_guard_stands_before_sizes_too() -> None:
    """Neither a private address nor a host that the settings do not name is asked for a size."""
    async with world(allow_private_hosts=False) as w:
        assert await w.recordings.size_bytes(w.call().recording_url or "") is None
        assert w.platform.requests == []
    async with world(hosts=("r.example",)) as w:
        assert await w.recordings.size_bytes(w.call().recording_url or "") is None
        assert w.platform.requests == []
