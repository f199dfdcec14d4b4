"""A broken download goes on where it broke off, and only where nothing speaks against it; otherwise it starts over."""

import base64
import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.archive.part import Part
from harvester.archive.pieces import SPOOL_BYTES
from harvester.archive.proof import Judge as ArchiveJudge
from harvester.archive.stage import Intake, Received
from harvester.demo.faults import Fault, Kind
from harvester.demo.options import DEFAULTS, Options
from harvester.errors import LinkError, TransientError
from harvester.model import State
from harvester.needs import Rules, decide
from harvester.platform.resume import Answer, Body, ContentRange, Download, discord, read_content_range
from harvester.verify.archive import verify
from tests.archive.sites import Site
from tests.platform.visiting import Judge, Sink, World, reached, world

LEAST = 2_000
CUT_AT = 3_000
ETAG = '"an-etag"'
HEADERS = {"etag": ETAG, "content-length": "10000"}
NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


def answer(**members: object) -> Answer:
    """The first answer to a download of 10,000 bytes, or one with other members."""
    usual: dict[str, object] = {
        "url": "https://r.example/1.mp3",
        "status": 200,
        "headers": HEADERS,
        "redirect_hosts": (),
        "certificate_sha256": None,
        "framing": "content-length",
        "length_bytes": 10_000,
        "content_range": None,
        "encoding": "identity",
        "asked_at": NOW,
    }
    return Answer(**(usual | members))  # type: ignore[arg-type]


def rest(**members: object) -> Answer:
    """What brings the rest after 4,000 bytes, or something like it."""
    return answer(**{"status": 206, "content_range": "bytes 4000-9999/10000", "length_bytes": 6000} | members)


counts = st.integers(0, 10**15 - 1)


@given(first=counts, length=st.integers(1, 10**6), behind=st.integers(0, 10**6))
def test_a_content_range_that_can_be_is_read(first: int, length: int, behind: int) -> None:
    """Any first and last byte of any whole that is longer, however the unit is spelt."""
    last, total = first + length - 1, first + length + behind
    if total < 10**15:
        for unit in ("bytes ", "Bytes  ", " BYTES "):
            assert read_content_range(f"{unit}{first}-{last}/{total}") == ContentRange(first, last, total)


@given(first=counts, last=counts, total=counts)
def test_a_content_range_that_cannot_be_is_none(first: int, last: int, total: int) -> None:
    """One that ends before it begins, or behind the whole, says nothing."""
    told = read_content_range(f"bytes {first}-{last}/{total}")
    assert (told is not None) == (first <= last < total)


@given(st.text(max_size=40) | st.text(alphabet="bytes 0123456789-/*,=\u0664\n", max_size=40))
def test_reading_a_content_range_never_raises(text: str) -> None:
    """Whatever stands there: numbers that fit to each other, or nothing."""
    told = read_content_range(text)
    assert told is None or 0 <= told.first <= told.last < told.total


@pytest.mark.parametrize(
    "text",
    [None, "", "bytes */100", "bytes 0-9/*", "bytes=0-9/100", "bytes 0-9", "0-9/100", "items 0-9/100", "bytes -9/100",
     "bytes 0-/100", "bytes 0-9/100, bytes 20-29/100", "bytes 0-9/100 x", "bytes +0-9/100", "bytes 0 -9/100",
     "bytes 0-9/1" + "0" * 5000, "bytes \u0660-9/100"],
)  # fmt: skip
def test_other_forms_of_a_content_range_are_none(text: str | None) -> None:
    """Nothing asked for these: an unsatisfied one, one of unknown length, several, other units."""
    assert read_content_range(text) is None


@pytest.mark.parametrize(
    ("first", "received", "asked"),
    [
        (answer(), 4000, True),
        (answer(), LEAST, True),
        (answer(), LEAST - 1, False),
        (answer(), 9999, True),
        (answer(), 10_000, False),
        (answer(), 10_001, False),
        (answer(framing="chunked-end", length_bytes=None), 4000, False),
        (answer(framing="close", length_bytes=None), 4000, False),
        (answer(headers={}), 4000, False),
        (answer(encoding="gzip"), 4000, False),
        *((answer(headers={"etag": tag}), 4000, False) for tag in ('W/"a"', "a", '""', '"a", "b"', '"a b"', '"\xfc"')),
    ],
)
def test_the_rest_is_asked_for_where_it_can_be_told_that_it_is_one(first: Answer, received: int, asked: bool) -> None:
    """Enough came, not all, of a length that was named, under one strong ETag."""
    download = Download(LEAST)
    assert download.rest_asked(received) == {}
    assert download.take(first, 0) == (Body.WHOLE, "")
    assert download.rest_asked(received) == ({"Range": f"bytes={received}-", "If-Range": ETAG} if asked else {})


def test_64_mib_are_fetched_again() -> None:
    """The limit that stands in the documents is the one that holds."""
    download = Download()
    download.take(answer(length_bytes=10**9), 0)
    assert [bool(download.rest_asked(received)) for received in (2**26 - 1, 2**26)] == [False, True]


DISCORDANT = [
    ({"status": 200}, "it answered 200"),
    ({"status": 416, "content_range": "bytes */10000"}, "it answered 416"),
    ({"content_range": None}, "it sent other bytes than were asked for"),
    ({"content_range": "bytes 0-9999/10000"}, "it sent other bytes than were asked for"),
    ({"content_range": "bytes 4001-9999/10000"}, "it sent other bytes than were asked for"),
    ({"content_range": "bytes 4000-8999/10000"}, "it sent other bytes than were asked for"),
    ({"content_range": "bytes 4000-9999/*"}, "it sent other bytes than were asked for"),
    ({"content_range": "bytes 4000-10000/10001", "length_bytes": 6001}, "its length has changed"),
    ({"length_bytes": 5999}, "its length contradicts its range"),
    ({"headers": {"etag": '"another"'}}, "its ETag has changed"),
    ({"headers": {"etag": f"W/{ETAG}"}}, "its ETag has changed"),
    ({"headers": {}}, "its ETag has changed"),
    ({"url": "https://r.example/2.mp3"}, "it came from another place, or encoded"),
    ({"encoding": "gzip"}, "it came from another place, or encoded"),
    ({"headers": HEADERS | {"repr-digest": "sha-256=:AAA=:"}}, "its digest has changed"),
]


@pytest.mark.parametrize(("members", "why"), DISCORDANT)
def test_an_answer_that_may_be_another_recordings_is_not_joined_on(members: dict[str, object], why: str) -> None:
    """One thing that does not fit is enough; it is named, and the next request is for the whole."""
    first = answer(headers=HEADERS | {"repr-digest": "sha-256=:BBB=:"})
    assert discord(first, 4000, rest(**members)) == why
    download = Download(LEAST)
    download.take(first, 0)
    assert download.take(rest(**members), 4000) == (Body.WHOLE if why == "it answered 200" else Body.USELESS, why)
    assert bool(download.rest_asked(4000)) == (why == "it answered 200")


def test_what_is_told_of_a_resumed_recording_is_told_of_the_whole() -> None:
    """Length and status of the first answer, digests of either, and where it went on; not the length of a part."""
    download = Download(LEAST)
    download.take(answer(), 0)
    more = {"etag": ETAG, "content-length": "6000", "content-md5": "of the part", "repr-digest": "of the whole"}
    assert download.take(rest(headers=more), 4000) == (Body.REST, "")
    told = download.ended(10_000, "https://r.example/1.mp3", 2)
    assert (told.status, told.framing, told.attempts, told.resumed_at_bytes) == (200, "content-length", 2, (4000,))
    assert told.headers == HEADERS | {"repr-digest": "of the whole"}
    assert told.started_at == NOW


@pytest.mark.parametrize("received", [9_999, 10_001])
def test_parts_that_do_not_add_up_are_no_recording(received: int) -> None:
    """A rest that was longer or shorter than promised: it is said, and everything is fetched again."""
    download = Download(LEAST)
    download.take(answer(), 0)
    download.take(rest(framing="close", length_bytes=None), 4000)
    with pytest.raises(TransientError, match=rf"hold {received:,} bytes, not 10,000$"):
        download.ended(received, "https://r.example/1.mp3", 2)
    assert download.rest_asked(9_999) == {}


def breaking_off(
    sink: Sink | Part, at: int = CUT_AT, *, since: int = 0, kind: Kind = "cut", headers: dict[str, str] | None = None
) -> Fault:
    """One download, of what is behind the byte `since`, breaks off when so many bytes lie in the sink."""
    return Fault(
        where="recording",
        kind=kind,
        times=1,
        kept_bytes=at - since,
        headers=headers or {},
        before_end=reached(sink, at),
    )


def cut(
    w: World, at: int = CUT_AT, *, since: int = 0, kind: Kind = "cut", headers: dict[str, str] | None = None
) -> None:
    """Let a download of the recording break off."""
    w.platform.faults.add(breaking_off(w.sink, at, since=since, kind=kind, headers=headers))


def asked(w: World) -> list[tuple[str | None, int | None]]:
    """What was asked for of recordings, and the status of each answer."""
    return [(seen.asked_range, seen.status) for seen in w.platform.requests if seen.where == "recording"]


@pytest.mark.parametrize("kind", ["cut", "reset"])
async def test_a_broken_download_goes_on_where_it_broke_off(kind: Kind) -> None:
    """Not a byte is fetched twice, and the recording is the one that the platform has."""
    async with world(resume_above_bytes=LEAST) as w:
        cut(w, kind=kind)
        transfer = await w.fetch()
        assert w.whole
        assert asked(w) == [(None, 200), (f"bytes={CUT_AT}-", 206)]
        assert (transfer.attempts, transfer.resumed_at_bytes, w.sink.starts) == (2, (CUT_AT,), 1)
        assert transfer.headers["content-length"] == str(w.sink.size_bytes)


async def test_a_download_may_go_on_more_than_once() -> None:
    """A rest that breaks off, too, goes on from there."""
    async with world(resume_above_bytes=LEAST) as w:
        cut(w)
        again = CUT_AT + 1_000
        cut(w, again, since=CUT_AT)
        assert (await w.fetch()).resumed_at_bytes == (CUT_AT, again)
        assert w.whole


async def test_a_busy_server_between_costs_nothing_that_came() -> None:
    """A 503 to the request for the rest is a failure like any other: the next attempt asks for the rest again."""
    async with world(resume_above_bytes=LEAST) as w:
        cut(w)
        w.platform.faults.add(Fault(where="recording", kind="status", code=503, times=1))
        assert (await w.fetch()).resumed_at_bytes == (CUT_AT,)
        assert asked(w) == [(None, 200), (f"bytes={CUT_AT}-", 503), (f"bytes={CUT_AT}-", 206)]
        assert w.whole


async def test_little_is_fetched_again_from_the_start() -> None:
    """Below the limit no range is ever asked for."""
    async with world(resume_above_bytes=CUT_AT + 1) as w:
        cut(w)
        assert (await w.fetch()).resumed_at_bytes == ()
        assert asked(w) == [(None, 200), (None, 200)]
        assert w.whole


@pytest.mark.parametrize(
    ("options", "headers"),
    [(DEFAULTS, {"ETag": 'W/"weak"'}), (Options(with_etag=False), {})],
    ids=["weak ETag", "no ETag"],
)
async def test_without_a_strong_etag_no_range_is_asked_for(options: Options, headers: dict[str, str]) -> None:
    """Nothing would tell that the rest belongs to what came."""
    async with world(resume_above_bytes=LEAST, options=options) as w:
        cut(w, headers=headers)
        assert (await w.fetch()).resumed_at_bytes == ()
        assert asked(w) == [(None, 200), (None, 200)]
        assert w.whole


async def test_a_server_that_ignores_ranges_sends_the_whole() -> None:
    """Its 200 is the whole recording, and taken as that: no third request."""
    async with world(resume_above_bytes=LEAST, options=Options(with_range=False)) as w:
        cut(w)
        transfer = await w.fetch()
        assert w.whole
        assert (transfer.attempts, transfer.resumed_at_bytes, w.sink.starts) == (2, (), 2)
        assert asked(w) == [(None, 200), (f"bytes={CUT_AT}-", 200)]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(where="recording", kind="status", code=416, headers={"Content-Range": "bytes */9"}),
        Fault(where="recording", kind="status", code=400),
        Fault(where="recording", kind="altered", headers={"Content-Range": "bytes 0-99/100"}),
        Fault(where="recording", kind="altered", headers={"Content-Range": ""}),
        Fault(where="recording", kind="altered", headers={"Content-Range": f"bytes {CUT_AT}-99999999/100000000"}),
        Fault(where="recording", kind="altered", headers={"ETag": '"another"'}),
        Fault(where="recording", kind="altered", headers={"Content-Encoding": "gzip"}),
        Fault(where="recording", kind="altered", body=b"too short"),
    ],
    ids=["416", "400", "another range", "no range", "another total", "another ETag", "encoded", "another length"],
)
async def test_an_answer_that_does_not_fit_starts_the_download_over(fault: Fault) -> None:
    """Within the same attempt: a server that cannot resume costs a request, and never a recording."""
    async with world(resume_above_bytes=LEAST) as w:
        cut(w)
        w.platform.faults.add(Fault(**{**{f: getattr(fault, f) for f in fault.__struct_fields__}, "times": 1}))
        transfer = await w.fetch()
        assert w.whole
        assert (transfer.attempts, transfer.resumed_at_bytes, w.sink.starts) == (2, (), 2)
        assert [ranged for ranged, _ in asked(w)] == [None, f"bytes={CUT_AT}-", None]


async def test_a_recording_that_changes_midway_is_fetched_anew() -> None:
    """The server sees by `If-Range` that it is another one now, and sends the whole of it."""
    async with world(resume_above_bytes=LEAST) as w:
        cut(w, headers={"ETag": '"that-of-yesterday"'})
        assert (await w.fetch()).resumed_at_bytes == ()
        assert asked(w) == [(None, 200), (f"bytes={CUT_AT}-", 200)]
        assert w.whole


async def test_what_the_judge_refuses_is_never_resumed() -> None:
    """A body that came to its end and did not please is fetched again whole."""
    async with world(resume_above_bytes=LEAST) as w:
        transfer = await w.fetch(judge=Judge(TransientError("damaged")))
        assert (transfer.attempts, transfer.resumed_at_bytes) == (2, ())
        assert asked(w) == [(None, 200), (None, 200)]


async def test_a_fresh_link_begins_anew() -> None:
    """What came under a link that has died since is not joined with what another link brings."""
    async with world(resume_above_bytes=LEAST, options=Options(signed_links=True)) as w:
        cut(w)
        w.platform.faults.add(Fault(where="recording", kind="status", code=403, times=1))
        assert (await w.fetch()).resumed_at_bytes == ()
        assert [ranged for ranged, _ in asked(w)] == [None, f"bytes={CUT_AT}-", None]
        assert w.whole


async def test_a_dead_link_is_dead_for_the_rest_too() -> None:
    """A 404 to the request for the rest is told as every 404."""
    async with world(resume_above_bytes=LEAST) as w:
        cut(w)
        w.platform.faults.add(Fault(where="recording", kind="status", code=404))
        with pytest.raises(LinkError, match="answered 404"):
            await w.fetch()


@pytest.mark.parametrize("right", [True, False])
async def test_a_digest_of_the_whole_proves_what_was_pieced_together(tmp_path: Path, right: bool) -> None:
    """What the first answer promised holds for all bytes, those on the disk too; the ledger's line says where it went on."""
    at, site = SPOOL_BYTES + 1_000, Site(tmp_path)
    async with world(resume_above_bytes=LEAST, most_seconds=20_000) as w:
        book = w.platform.book
        recorded = (i for i in book.ids() if str(book.row(i)["recording_url"]).endswith(".mp3"))
        w.call_id = next(i for i in recorded if len(book.recording(i)) > 2 * SPOOL_BYTES)
        body = book.recording(w.call_id)
        digest = hashlib.md5(body if right else body[at:], usedforsecurity=False).digest()
        promise = {"Content-MD5": base64.b64encode(digest).decode()}
        with site.run() as run:
            part = run.stager.part()
            judge = ArchiveJudge(part)
            w.platform.faults.add(breaking_off(part, at, headers=promise))
            for headers in ({"Content-MD5": "of the part"}, promise):
                w.platform.faults.add(Fault(where="recording", kind="altered", headers=headers, times=1))
            if not right:
                with pytest.raises(TransientError, match="not those that content-md5 promises"):
                    await w.recordings.fetch(w.call(), part, judge)
                part.discard()
                return
            transfer = await w.recordings.fetch(w.call(), part, judge)
            received = Received(part=part, judge=judge, transfer=transfer)
            needs = decide(w.call(), None, Rules(), NOW)
            draft = run.stager.stage(Intake(call=w.call(), entry=None, needs=needs, received=received))
            event: dict[str, Any] = draft.event
            (file,) = [each for each in event["files"] if each.role == "recording"]
            assert (event["recording"]["proof"], event["recording"]["resumed_at_bytes"]) == ("digest", (at,))
            assert (file.bytes, file.sha256) == (len(body), hashlib.sha256(body).hexdigest())
            assert part.path.read_bytes() == body
            run.archive.commit([draft])
            run.close()
            assert [line["recording"]["resumed_at_bytes"] for line in site.lines(run.id) if "recording" in line] == [
                [at]
            ]
    assert not verify(site.root).findings
    with site.run(begin=False) as later:
        assert later.checkpoint.find([str(w.call_id)])[str(w.call_id)].recording is State.SAVED
