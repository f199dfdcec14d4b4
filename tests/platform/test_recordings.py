"""Recordings from the simulated platform: whole, renewed, tried again, or given up in one sentence."""

from typing import Literal

import pytest

from harvester.demo.faults import Fault, Kind
from harvester.demo.options import Options
from harvester.errors import LinkError, RecordingError, TransientError
from harvester.platform.recordings import DEAD_LINK
from tests.platform.strange import answering, http
from tests.platform.visiting import AUDIO, Judge, world


@pytest.mark.parametrize(
    ("sent", "framing"), [("length", "content-length"), ("chunked", "chunked-end"), ("close", "close")]
)
async def test_a_recording_comes_byte_for_byte(sent: Literal["length", "chunked", "close"], framing: str) -> None:
    """In every framing; how its end was told is reported, because not every end is a proof."""
    async with world(options=Options(recordings_body=sent)) as w:
        transfer = await w.fetch()
        assert w.whole
        assert (transfer.framing, transfer.status, transfer.attempts) == (framing, 200, 1)


async def test_what_is_told_of_a_transfer_holds_no_secrets() -> None:
    """The link without its signature, only the headers on the list, instants that are aware."""
    async with world(options=Options(signed_links=True)) as w:
        transfer = await w.fetch()
        assert transfer.link == f"{w.platform.recordings_url}/calls/{w.call_id}.mp3"
        assert set(transfer.headers) == {"content-type", "content-length", "etag", "date"}
        assert transfer.started_at.tzinfo
        assert transfer.started_at <= transfer.finished_at


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_recording_that_is_too_large_is_refused(framing: Literal["length", "chunked"]) -> None:
    """By its Content-Length before a byte is kept, else by counting; it is not tried again."""
    async with world(options=Options(recordings_body=framing), max_file_bytes=1000) as w:
        with pytest.raises(RecordingError, match=r"larger than max_file_size \(1,000 bytes\)"):
            await w.fetch()
        assert w.sink.starts == (0 if framing == "length" else 1)
        assert w.platform.count("recording") == 1


async def test_a_recording_of_exactly_the_largest_size_is_taken() -> None:
    """The limit itself is permitted."""
    async with world() as w:
        size_bytes = len(w.platform.book.recording(w.call_id))
    async with world(max_file_bytes=size_bytes) as w:
        await w.fetch()
        assert w.whole


async def test_an_expired_link_is_renewed() -> None:
    """A signed link that has died since the listing is asked for anew, once, and the fresh one works."""
    async with world(options=Options(signed_links=True)) as w:
        stale = w.call()
        w.platform.expire_links()
        await w.recordings.fetch(stale, w.sink, Judge())
        assert w.whole
        assert [(seen.where, seen.status) for seen in w.platform.requests] == [
            ("recording", 403),
            ("call", 200),
            ("recording", 200),
        ]


@pytest.mark.parametrize("code", sorted(DEAD_LINK))
async def test_a_dead_link_is_an_outcome_after_two_fresh_ones(code: int) -> None:
    """When two fresh links are refused as well it is given up; the message says so, the status is kept."""
    dead = Fault(where="recording", kind="status", code=code)
    async with world(dead, options=Options(signed_links=True)) as w:
        with pytest.raises(LinkError, match=rf"\.mp3 answered {code}; 2 fresh links did not help$") as caught:
            await w.fetch()
        assert caught.value.status == code
        assert (w.platform.count("recording"), w.platform.count("call")) == (3, 2)


async def test_the_same_link_again_is_not_asked_twice() -> None:
    """A platform without signatures gives the same link: nothing is gained by trying it."""
    async with world(Fault(where="recording", kind="gone")) as w:
        with pytest.raises(LinkError, match=r"\.mp3 answered 410$"):
            await w.fetch()
        assert (w.platform.count("recording"), w.platform.count("call")) == (1, 1)


@pytest.mark.parametrize("code", [404, 422])
async def test_a_call_that_is_gone_leaves_its_link_dead(code: int) -> None:
    """When the platform does not know the call any more, the link's own error is the outcome."""
    faults = [Fault(where="recording", kind="gone"), Fault(where="call", kind="status", code=code)]
    async with world(*faults, options=Options(signed_links=True)) as w:
        with pytest.raises(LinkError, match=r"answered 410$"):
            await w.fetch()


async def test_what_is_no_recording_is_asked_for_anew() -> None:
    """An error page behind a 200 is a dead link, too: the judge says so."""
    async with world(options=Options(signed_links=True)) as w:
        await w.fetch(judge=Judge(LinkError("an error page", 200)))
        assert w.whole
        assert (w.platform.count("recording"), w.platform.count("call")) == (2, 1)


async def test_what_came_instead_is_told_without_keys_and_signatures() -> None:
    """A page that repeats the request shows neither the key, nor the link's signature, nor the query of any URL."""
    async with world(options=Options(signed_links=True)) as w:
        link = w.call().recording_url or ""
        signature = link.rpartition("=")[2]
        echo = f"<p>{w.platform.key}, {signature}, {link}, https://x.example/?a=b&amp;c=d"
        with pytest.raises(LinkError) as caught:
            await w.fetch(link, judge=Judge(*[LinkError("a page", 200, echo)] * 3))
    bare = link.partition("?")[0]
    assert caught.value.said == f"<p>(secret), (secret), {bare}?(query) https://x.example/?(query)"
    assert "2 fresh links did not help" in str(caught.value)


async def test_what_the_judge_finds_cut_is_fetched_again_from_the_start() -> None:
    """Each attempt begins with an empty sink."""
    async with world(options=Options(recordings_body="close")) as w:
        transfer = await w.fetch(judge=Judge(TransientError("cut?")))
        assert w.whole
        assert (transfer.attempts, w.sink.starts) == (2, 2)


@pytest.mark.parametrize("code", [408, 425, 429, 500, 503])
async def test_passing_failures_are_tried_again(code: int) -> None:
    """A busy server is asked again after the wait that it asks for; no fresh link is needed for that."""
    async with world(Fault(where="recording", kind="status", code=code, times=2, headers={"Retry-After": "0"})) as w:
        transfer = await w.fetch()
        assert w.whole
        assert (transfer.attempts, w.platform.count("call")) == (3, 0)


@pytest.mark.parametrize("kind", ["cut", "cut_chunked", "reset"])
async def test_a_cut_recording_is_tried_again(kind: Kind) -> None:
    """What came in part is forgotten, and fetched again."""
    async with world(Fault(where="recording", kind=kind, times=2)) as w:
        await w.fetch()
        assert w.whole
        assert w.platform.count("recording") == 3


@pytest.mark.parametrize("kind", ["cut", "cut_chunked", "reset"])
async def test_a_recording_that_is_always_cut_is_given_up(kind: Kind) -> None:
    """After the last attempt the failure is the outcome, with the link but not its query."""
    async with world(Fault(where="recording", kind=kind), options=Options(signed_links=True)) as w:
        with pytest.raises(TransientError, match="/calls/") as caught:
            await w.fetch()
        assert w.platform.count("recording") == 3
        assert "signature" not in str(caught.value)


@pytest.mark.parametrize("code", [204, 300, 400, 451])
async def test_other_answers_are_no_recordings(code: int) -> None:
    """What is neither success, nor dead link, nor passing failure ends at once."""
    async with world(Fault(where="recording", kind="status", code=code, body=b"")) as w:
        with pytest.raises(RecordingError, match=f"answered {code}$"):
            await w.fetch()
        assert w.platform.count("recording") == 1


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip"])
async def test_an_encoded_answer_is_refused(encoding: str) -> None:
    """Byte for byte means: not packed on the way. It was not asked for."""
    encoded = http(AUDIO, headers=f"Content-Encoding: {encoding}\r\n")
    async with world() as w, answering(encoded) as (port, heads):
        with pytest.raises(RecordingError, match=f"sent the recording encoded \\('{encoding}'\\)"):
            await w.fetch(f"http://127.0.0.1:{port}/1.mp3")
    assert b"\r\naccept-encoding: identity\r\n" in heads[0].lower()
