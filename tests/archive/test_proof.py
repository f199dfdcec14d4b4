"""What came in is a recording, and the whole of it; an error page is neither."""

from pathlib import Path

import pytest

from harvester.archive.part import Part
from harvester.archive.proof import Judge, weigh
from harvester.container.sniff import Container, Measure
from harvester.demo.audio import recording
from harvester.errors import LinkError, TransientError
from tests.archive.sites import call, transfer

LINK = "https://recordings.example/calls/123.mp3"


async def judged(folder: Path, *downloads: bytes, framing: str = "close", seconds: int | None = 2) -> Judge:
    """Judge a recording after these downloads of it, of which all but the last were refused."""
    part = Part(folder / "1.part")
    judge = Judge(part)
    for number, body in enumerate(downloads, start=1):
        await part.restart()
        await part.write(body)
        try:
            await judge(call(duration=seconds), transfer(LINK, framing))
        except TransientError:
            if number == len(downloads):
                raise
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
    with pytest.raises(TransientError):
        await judged(tmp_path, sound, seconds=None)
    with pytest.raises(TransientError):
        await judged(tmp_path, sound, sound[:-417], seconds=None)


@pytest.mark.parametrize(
    ("whole", "measured_seconds", "call_seconds", "same", "proof"),
    [
        (True, None, None, False, "structure"),
        (False, 60.0, 60.0, True, None),  # it shows its cut itself: two equal ones were cut at the same place
        (None, 60.0, 60.0, False, "duration"),
        (None, 58.0, 60.0, False, "duration"),
        (None, 70.0, 60.0, False, "duration"),
        (None, 540.0, 600.0, False, "duration"),
        (None, 30.0, 60.0, False, None),
        (None, 30.0, 60.0, True, None),
        (None, None, 60.0, False, None),
        (None, None, 1.0, False, None),  # of a call so short nothing can be missing but all of it
        (None, None, 60.0, True, "two-downloads"),
        (None, 60.0, None, False, None),
        (None, 60.0, 0.0, True, "two-downloads"),
    ],
)
def test_the_proof_of_a_body_without_length(
    whole: bool | None, measured_seconds: float | None, call_seconds: float | None, same: bool, proof: str | None
) -> None:
    """Its structure; else its length against the call's, within 2 s or a tenth; else, where that is unknown, a second one."""
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
