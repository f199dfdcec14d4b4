"""Where links and redirects of recordings may lead, and who gets the key."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from harvester.demo.faults import Fault
from harvester.errors import PlatformError, RecordingError
from harvester.platform.guard import check_link
from harvester.platform.recordings import MOST_REDIRECTS, next_hop, read_link
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
