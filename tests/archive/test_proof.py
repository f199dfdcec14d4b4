"""What came in is a recording, and the whole of it; an error page is neither."""

import base64
import hashlib
import json
import re
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harvester.archive.part import Part
from harvester.archive.pieces import SPOOL_BYTES
from harvester.archive.proof import MOST_DOWNLOADS, UNPROVEN, Judge, weigh
from harvester.container.sniff import Container, Measure
from harvester.demo.audio import recording
from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault
from harvester.demo.mpeg import FRAME_BYTES
from harvester.demo.server import Options, Platform, serve
from harvester.errors import LinkError, TransientError
from harvester.model import Outcome, State
from harvester.report import SHOWN, Account, lines_of
from tests.archive.sites import call, transfer
from tests.harvests import Harvests

LINK = "https://recordings.example/calls/123.mp3"


async def judged(
    folder: Path,
    *downloads: bytes,
    framing: str = "close",
    seconds: int | None = 2,
    headers: dict[str, str] | None = None,
) -> Judge:
    """Judge a recording after these downloads of it, of which all but the last were refused."""
    part = Part(folder / "1.part")
    judge = Judge(part)
    told = msgspec.structs.replace(transfer(LINK, framing), headers=headers or {})
    try:
        for number, body in enumerate(downloads, start=1):
            await part.restart()
            await part.write(body)
            with suppress(TransientError) if number < len(downloads) else nullcontext():
                await judge(call(duration=seconds), told)
    finally:
        part.discard()
    return judge


@pytest.mark.parametrize("framing", ["content-length", "chunked-end"])
async def test_the_transport_proves_what_it_has_counted(tmp_path: Path, framing: str) -> None:
    """A body with a length, or in chunks with an end, is whole as the transport says; the proof names which."""
    judge = await judged(tmp_path, recording(1, 2)[:-5], framing=framing)
    assert (judge.proof, judge.container) == (framing, Container.MP3)


async def test_a_container_that_shows_its_end_proves_itself(tmp_path: Path) -> None:
    """Without a length the recording's own structure may show that it is whole."""
    assert (await judged(tmp_path, recording(1, 2, "m4a"))).proof == "structure"


@pytest.mark.parametrize("kind", ["mp3", "m4a"])
async def test_a_cut_body_without_a_length_is_never_accepted(tmp_path: Path, kind: str) -> None:
    """A body that ended with its connection, far too early, is tried again, and refused however often it comes."""
    cut = recording(1, 20, kind)[:9000]  # type: ignore[arg-type]
    with pytest.raises(TransientError, match="may have been cut"):
        await judged(tmp_path, cut, cut, cut, seconds=20)


async def test_equal_downloads_prove_what_nothing_else_can(tmp_path: Path) -> None:
    """Where neither container nor call tells how long it is, the same bytes twice are the proof; once is none."""
    sound = recording(1, 2)
    assert (await judged(tmp_path, sound, sound, seconds=None)).proof == "two-downloads"
    assert (await judged(tmp_path, sound, sound[:-FRAME_BYTES], sound, seconds=None)).proof == "two-downloads"
    with pytest.raises(TransientError):
        await judged(tmp_path, sound, seconds=None)
    with pytest.raises(TransientError):
        await judged(tmp_path, sound, sound[:-FRAME_BYTES], seconds=None)


async def test_equal_downloads_prove_nothing_when_a_longer_one_was_there(tmp_path: Path) -> None:
    """Two that are equal were both cut where a third one brought more."""
    sound = recording(1, 2)
    cut = sound[:-FRAME_BYTES]
    with pytest.raises(TransientError, match="an earlier download was longer"):
        await judged(tmp_path, sound, cut, cut, cut, seconds=None)


async def test_what_nothing_proves_is_kept_as_unproven(tmp_path: Path) -> None:
    """After three downloads of which no two are equal the last is kept, and said to be unproven, if none was longer."""
    sound = recording(1, 2)
    assert MOST_DOWNLOADS == 3
    judge = await judged(tmp_path, sound[: -2 * FRAME_BYTES], sound[:-FRAME_BYTES], sound, seconds=None)
    assert (judge.proof, judge.container) == (UNPROVEN, Container.MP3)
    with pytest.raises(TransientError, match="an earlier download was longer"):
        await judged(tmp_path, sound[: -2 * FRAME_BYTES], sound, sound[:-FRAME_BYTES], seconds=None)


async def test_a_sound_download_is_the_last_resort(tmp_path: Path) -> None:
    """Where the link dies after one download that lacks nothing but a proof, that one can be kept, until another begins."""
    part = Part(tmp_path / "1.part")
    judge = Judge(part)
    told = transfer(LINK, "close")
    for body, kept in ((recording(1, 20)[:9000], False), (recording(1, 20), True)):
        await part.restart()
        await part.write(body)
        assert judge.resort() is None
        with pytest.raises(TransientError):
            await judge(call(duration=20 if not kept else None), told)
        assert judge.resort() == (told if kept else None)
    assert judge.proof == UNPROVEN
    await part.write(b"more")
    assert judge.resort() is None
    await part.restart()
    await part.write(bytes(len(recording(1, 20))))  # of the same size, and never judged
    assert judge.resort() is None


@pytest.mark.parametrize("framing", ["content-length", "chunked-end", "close"])
@pytest.mark.parametrize("size_bytes", [10_000, 2 * SPOOL_BYTES + 7])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "md5"])
async def test_a_promised_digest_is_the_strongest_proof(
    tmp_path: Path, framing: str, size_bytes: int, algorithm: str
) -> None:
    """Bytes that hash to what the server says are whole however the body ended, in memory or on the disk, and no others are."""
    one = recording(1, 20)
    sound = (one * (size_bytes // len(one) + 1))[:size_bytes]
    value = base64.b64encode(hashlib.new(algorithm, sound).digest()).decode()
    headers = {"repr-digest": f"{algorithm.replace('sha', 'sha-')}=:{value}:"}
    flipped = bytearray(sound)
    flipped[size_bytes // 2] ^= 1
    judge = await judged(tmp_path, sound[:-FRAME_BYTES], bytes(flipped), sound, framing=framing, headers=headers)
    assert judge.proof == "digest"
    for body in (bytes(flipped), sound[:-FRAME_BYTES]):
        with pytest.raises(TransientError) as caught:
            await judged(tmp_path, body, framing=framing, seconds=None, headers=headers)
        assert str(caught.value) == f"{LINK} came cut or damaged: its bytes are not those that repr-digest promises"


async def test_an_etag_proves_what_nothing_else_does_and_disproves_nothing(tmp_path: Path) -> None:
    """An ETag that is the MD5 saves the second download; one that is not is no failure, whatever it looks like."""
    sound = recording(1, 2)
    md5 = {"etag": f'"{hashlib.md5(sound, usedforsecurity=False).hexdigest()}"'}
    other = {"etag": f'"{"0" * 32}"'}
    assert (await judged(tmp_path, sound, seconds=None, headers=md5)).proof == "digest"
    assert (await judged(tmp_path, sound, sound, seconds=None, headers=other)).proof == "two-downloads"
    with pytest.raises(TransientError, match="only an equal download"):
        await judged(tmp_path, sound, seconds=None, headers=other)
    for headers in (md5, other):
        assert (await judged(tmp_path, sound, headers=headers)).proof == "duration"
        assert (await judged(tmp_path, sound, framing="content-length", headers=headers)).proof == "content-length"


async def test_a_recording_shorter_than_its_call_is_whole_when_its_digest_is(tmp_path: Path) -> None:
    """Of a call that was recorded in part, the digest shows that the part is all there is."""
    sound = recording(1, 2)
    md5 = hashlib.md5(sound, usedforsecurity=False)
    for headers in ({"etag": f'"{md5.hexdigest()}"'}, {"content-md5": base64.b64encode(md5.digest()).decode()}):
        assert (await judged(tmp_path, sound, seconds=60, headers=headers)).proof == "digest"
    with pytest.raises(TransientError, match="may have been cut"):
        await judged(tmp_path, sound, sound, seconds=60)


async def test_a_digest_makes_no_recording_of_a_page(tmp_path: Path) -> None:
    """An error page has a digest, too."""
    page = b"<!DOCTYPE html><p>no"
    headers = {"content-md5": base64.b64encode(hashlib.md5(page, usedforsecurity=False).digest()).decode()}
    with pytest.raises(LinkError, match="is not a recording"):
        await judged(tmp_path, page, headers=headers)


def mp3_calls(platform: Platform) -> list[int]:
    """Return the calls that have an MP3."""
    book = platform.book
    return [each for each in book.ids() if str(book.row(each)["recording_url"]).endswith(".mp3")]


def saved(harvests: Harvests, call_id: int) -> dict[str, Any]:
    """Return what the ledger says of the recording of a call that was saved."""
    return next(line["recording"] for line in harvests.lines() if line.get("id") == str(call_id))


async def test_the_account_names_what_is_kept_without_proof(tmp_path: Path) -> None:
    """Saved, exit code 0, `unproven` in the ledger; the account lists the calls, and the screen says it in one line."""
    options = Options(recordings_body="close", with_etag=False)
    async with serve(CallBook(count=30, most_seconds=20), options=options) as platform:
        chosen = mp3_calls(platform)[:2]
        for call_id in chosen:
            unknown = re.sub(rb'"duration":[0-9]+', b'"duration":null', platform.row(call_id))
            platform.book.replace_row(call_id, unknown)
            for frames in (2, 1):
                kept_bytes = len(platform.book.recording(call_id)) - frames * FRAME_BYTES
                cut = Fault(where="recording", kind="cut_close", match=call_id, times=1, kept_bytes=kept_bytes)
                platform.faults.add(cut)
        harvests = Harvests(platform, tmp_path)
        account = await harvests.run()
        for call_id in chosen:
            assert harvests.path(call_id, "mp3").read_bytes() == platform.book.recording(call_id)
            assert (saved(harvests, call_id)["proof"], saved(harvests, call_id)["attempts"]) == (UNPROVEN, 3)
        assert (account.exit_code, sorted(account.unproven)) == (0, sorted(map(str, chosen)))
        assert json.loads(account.as_json())["unproven"] == account.unproven
        (said,) = [line for line in lines_of(account) if line.startswith("unproven: ")]
        assert said.startswith("unproven: 2 recordings came without length, digest or other proof that they are whole")
        assert all(f"'{call_id}'" in said for call_id in chosen)
        assert (await harvests.run(full=True)).unproven == []


def test_the_screen_names_twenty_that_are_unproven() -> None:
    """One line, however many there are, and where all of them stand; an id writes nothing on the terminal."""
    account = Account(run="r1", archive="/calls", started_at="2026-11-23T02:00:01Z")
    for number in range(SHOWN + 5):
        account.count(Outcome(id=f"{number}\x1b", recording=State.SAVED, transcript=State.SAVED, unproven=True))
    (said,) = [line for line in lines_of(account) if line.startswith("unproven: ")]
    assert said.startswith(f"unproven: {SHOWN + 5} recordings came without ")
    assert said.endswith(r"'19\x1b' and 5 more, all in /calls/runs/r1/run.json")
    assert said.isprintable()


@pytest.mark.parametrize("sound", [True, False])
async def test_a_server_that_promises_a_digest_is_held_to_it(tmp_path: Path, sound: bool) -> None:
    """The bytes it promised are saved with the proof `digest`; others fail their call, with a reason that names the header."""
    async with serve(CallBook(count=30, most_seconds=20)) as platform:
        call_id = mp3_calls(platform)[0]
        body = platform.book.recording(call_id)
        promise = base64.b64encode(hashlib.sha256(body).digest()).decode()
        sent = body if sound else body[:-FRAME_BYTES]
        headers = {"Repr-Digest": f"sha-256=:{promise}:"}
        platform.faults.add(
            Fault(where="recording", kind="status", match=call_id, code=200, headers=headers, body=sent)
        )
        harvests = Harvests(platform, tmp_path)
        account = await harvests.run(attempts=2)
        assert platform.count("recording") >= account.recordings[State.SAVED] + 2 * (not sound)
        if sound:
            assert (account.exit_code, saved(harvests, call_id)["proof"]) == (0, "digest")
            assert saved(harvests, call_id)["headers"]["repr-digest"] == headers["Repr-Digest"]
        else:
            ((failed, reason),) = [(each.id, each.reason) for each in account.failures]
            assert (account.exit_code, failed) == (3, str(call_id))
            assert "its bytes are not those that repr-digest promises" in reason
            assert promise not in reason


@pytest.mark.parametrize(
    ("whole", "measured_seconds", "call_seconds", "same", "proof"),
    [
        (True, None, None, False, "structure"),
        (False, 60.0, 60.0, True, None),  # it shows its cut itself: two equal ones were cut at the same place
        (None, 60.0, 60.0, False, "duration"),
        (None, 58.0, 60.0, False, "duration"),
        (None, 70.0, 60.0, False, "duration"),
        (None, 540.0, 600.0, False, "duration"),
        (None, 30.0, 60.0, False, None),  # shorter than its call: that is no mere lack of proof
        (None, 30.0, 60.0, True, None),
        (None, None, 60.0, False, UNPROVEN),
        (None, None, 1.0, False, UNPROVEN),  # of a call so short nothing can be missing but all of it
        (None, None, 60.0, True, "two-downloads"),
        (None, 60.0, None, False, UNPROVEN),
        (None, 60.0, 0.0, True, "two-downloads"),
    ],
)
def test_the_proof_of_a_body_without_length(
    whole: bool | None, measured_seconds: float | None, call_seconds: float | None, same: bool, proof: str | None
) -> None:
    """Its structure; else its length against the call's, within 2 s or a tenth; else an equal download; or none."""
    measured = Measure(duration_seconds=measured_seconds, whole=whole, detail="")
    assert weigh(measured, call_seconds, same_as_before=same) == proof


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "it is empty"),
        (b" \n ", "it is empty"),
        (b"<!DOCTYPE html><p>Sign in, John Smith", "it begins with '<!DOCTYPE'"),
        (b"<?xml version='1.0'?><Error><Key>John Smith</Key>", "it begins with '<?xml'"),
        (b'{"message": "John Smith: sig=S3CR3T"}', "it begins with '{'"),
        (b"John Smith\nsig=S3CR3T", "it begins with text"),
        (b"\x89PNG\r\n\x1a\nJohn Smith", "it begins with the bytes 89 50 4e 47"),
    ],
)
@pytest.mark.parametrize("framing", ["content-length", "close"])
async def test_an_error_page_is_not_a_recording(tmp_path: Path, body: bytes, told: str, framing: str) -> None:
    """What is no recording is refused whatever its headers say; the reason says what it is and quotes nothing of it."""
    with pytest.raises(LinkError) as caught:
        await judged(tmp_path, body, framing=framing)
    assert f"{LINK} is not a recording: {told}" in str(caught.value)
    assert "Smith" not in str(caught.value)
    assert "S3CR3T" not in str(caught.value)
