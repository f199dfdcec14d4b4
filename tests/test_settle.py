"""Settling one call: what happens to it is its outcome; what would happen to every call goes on upward."""

import datetime as dt
import hashlib
import threading
from pathlib import Path

import anyio
import pytest

from harvester.archive.part import Part
from harvester.archive.pieces import SPOOL_BYTES
from harvester.archive.proof import Judge
from harvester.archive.quickness import SMALL_BYTES, Quickness
from harvester.archive.stage import Draft, Intake, Stager
from harvester.crew import Crew
from harvester.errors import AuthError, LinkError, PlatformError, RecordingError, StorageError, TransientError
from harvester.model import Call, Entry, State, Transfer
from harvester.needs import Rules, Todo, decide
from harvester.settle import MOST_WAITING_BYTES, Fetch, Settler
from tests.archive.sites import SOUND, call, transfer

LARGE = SOUND * (2 * SPOOL_BYTES // len(SOUND))


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """The folder for what is on its way."""
    (tmp_path / "calls").mkdir()
    (tmp_path / "parts").mkdir()
    return tmp_path / "parts"


def settler(parts: Path, fetch: Fetch) -> Settler:
    """Settle into that folder."""
    return Settler(Stager(parts.parent / "calls", parts, dt.UTC), fetch, Crew(1, fixed=True))


def quick_settler(parts: Path, fetch: Fetch) -> Settler:
    """The same, on a disk so quick that small files wait for their group."""
    quickness = Quickness(local=True)
    stager = Stager(parts.parent / "calls", parts, dt.UTC, gathers=lambda: True, quickness=quickness)
    return Settler(stager, fetch, Crew(1, fixed=True))


def bringing(sound: bytes, error: BaseException | None = None) -> Fetch:
    """A download that brings these bytes, and then fails if an error is given."""

    async def fetch(call: Call, part: Part, judge: Judge) -> Transfer:
        await part.restart()
        await part.write(sound)
        if error:
            raise error
        told = transfer(call.link or "")
        await judge(call, told)
        return told

    return fetch


def todo(given: Call, entry: Entry | None = None) -> Todo:
    """What is to be done about a call."""
    return Todo(given, entry, decide(given, entry, Rules(), dt.datetime.now(dt.UTC)))


async def draft_of(settler: Settler, given: Call, entry: Entry | None = None) -> Draft:
    """Settle and stage one call."""
    return await only(settler, await settler.settle(todo(given, entry)))


async def only(settler: Settler, settled: Draft | Intake) -> Draft:
    """Stage a group of one call."""
    (draft,) = await settler.stage([settled])
    assert isinstance(draft, Draft)
    return draft


async def never(call: Call, part: Part, judge: Judge) -> Transfer:
    """A download that nobody asked for."""
    raise AssertionError(call.id)


def staged(draft: Draft) -> dict[str, bytes]:
    """What is to get which name."""
    return {each.file.path.rpartition("/")[2]: Path(each.part).read_bytes() for each in draft.staged if each.part}


def left_in(folder: Path) -> list[str]:
    """The names that lie in a folder."""
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("sound", [SOUND, LARGE])
async def test_a_call_is_staged_whole(parts: Path, sound: bytes) -> None:
    """Row, transcript and recording lie in the parts, hashed, none of them under a final name yet."""
    draft = await draft_of(settler(parts, bringing(sound)), call(123), None)
    assert staged(draft) == {"123.json": call(123).raw, "123.txt": b"Hello.\n", "123.mp3": sound}
    assert [each.file.sha256 for each in draft.staged] == [
        hashlib.sha256(data).hexdigest() for data in staged(draft).values()
    ]
    assert (draft.outcome.recording, draft.outcome.transcript) == (State.SAVED, State.SAVED)
    assert left_in(parts.parent / "calls") == []


@pytest.mark.parametrize(
    "error", [RecordingError("too large"), LinkError("dead", 404), TransientError("cut short"), PlatformError("TLS")]
)
@pytest.mark.parametrize("sound", [SOUND, LARGE])
async def test_a_recording_that_cannot_be_had_is_a_failed_call(parts: Path, error: Exception, sound: bytes) -> None:
    """The call has failed with that reason; row and transcript are kept, and of the recording nothing is left."""
    draft = await draft_of(settler(parts, bringing(sound, error)), call(123), None)
    assert (draft.outcome.recording, draft.outcome.reason) == (State.FAILED, str(error))
    assert (draft.entry.recording, draft.entry.link) == (State.FAILED, None)
    assert staged(draft).keys() == {"123.json", "123.txt"}
    assert len(left_in(parts)) == 2


@pytest.mark.parametrize("error", [AuthError("key"), StorageError("disk"), ZeroDivisionError("bug")])
async def test_what_would_happen_to_every_call_goes_on_upward(parts: Path, error: Exception) -> None:
    """A refused key, a failing disk or a bug is no outcome of one call; nothing of it is left behind."""
    with pytest.raises(type(error)):
        await draft_of(settler(parts, bringing(LARGE, error)), call(123), None)
    assert left_in(parts) == []


async def test_a_download_that_is_stopped_leaves_nothing(parts: Path) -> None:
    """When a stop drops a call in the middle of its download, its part is removed, and no file stays open."""

    async def fetch(call: Call, part: Part, judge: Judge) -> Transfer:
        await part.write(LARGE)
        assert left_in(parts) != []
        scope.cancel()
        await anyio.sleep_forever()
        raise AssertionError

    with anyio.CancelScope() as scope:
        await draft_of(settler(parts, fetch), call(123), None)
    assert scope.cancelled_caught
    assert left_in(parts) == []


@pytest.mark.parametrize(
    ("given", "recording"),
    [
        (call(123, recording_url=None), State.ABSENT),
        (call(123, recording_url=None, status="in-progress", updated_at="2099-01-01 00:00:00"), State.PENDING),
    ],
)
async def test_what_is_not_there_is_not_asked_for(parts: Path, given: Call, recording: State) -> None:
    """A call without a link is settled without any download."""
    draft = await draft_of(settler(parts, never), given, None)
    assert draft.outcome.recording is recording
    assert staged(draft).keys() == {"123.json", "123.txt"}


async def test_a_failed_call_keeps_its_version(parts: Path) -> None:
    """The next attempt of a failed call stages the recording only: its row is written already."""
    first = await draft_of(settler(parts, bringing(SOUND, RecordingError("no"))), call(123), None)
    again = await draft_of(settler(parts.parent, bringing(SOUND)), call(123), first.entry)
    assert staged(again).keys() == {"123.mp3"}
    assert again.entry.version == 1


async def test_many_calls_are_settled_at_once(parts: Path) -> None:
    """Calls that are staged in several threads never share a part; a failing one among them stops no other."""
    drafts: list[Draft] = []

    async def fetch(call: Call, part: Part, judge: Judge) -> Transfer:
        failing = RecordingError("no") if int(call.id) % 3 == 0 else None
        return await bringing(SOUND + call.id.encode(), failing)(call, part, judge)

    settling = settler(parts, fetch)

    async def settle(number: int) -> None:
        drafts.append(await draft_of(settling, call(number)))

    async with anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(settle, number)
    assert sum(draft.outcome.recording is State.FAILED for draft in drafts) == 10
    for draft in drafts:
        sound = staged(draft).get(f"{draft.outcome.id}.mp3")
        assert sound == (None if draft.outcome.recording is State.FAILED else SOUND + draft.outcome.id.encode())


async def test_small_files_wait_for_their_group(parts: Path) -> None:
    """Where the disk is quick nothing is written before the group is staged; what is larger is, and by a thread."""
    settling = quick_settler(parts, bringing(SOUND))
    waiting = await settling.settle(todo(call(123)))
    assert (isinstance(waiting, Intake), left_in(parts)) == (True, [])
    assert staged(await only(settling, waiting)) == {
        "123.json": call(123).raw,
        "123.txt": b"Hello.\n",
        "123.mp3": SOUND,
    }


async def test_large_files_wait_for_no_group(parts: Path) -> None:
    """They are hashed and written by a thread as soon as they are there."""
    draft = await quick_settler(parts, bringing(LARGE)).settle(todo(call(123)))
    assert isinstance(draft, Draft)
    assert staged(draft)["123.mp3"] == LARGE


@pytest.mark.parametrize("stays_quick", [True, False])
async def test_what_waits_is_written_by_a_thread_where_the_disk_became_slow(parts: Path, stays_quick: bool) -> None:
    """Each file is made durable by itself then, after a failed sync for example: the loop waits for no disk."""
    gathers, asked_by = True, list[threading.Thread]()

    def asked() -> bool:
        asked_by.append(threading.current_thread())
        return gathers

    stager = Stager(parts.parent / "calls", parts, dt.UTC, gathers=asked, quickness=Quickness(local=True))
    settling = Settler(stager, bringing(SOUND), Crew(1, fixed=True))
    waiting = await settling.settle(todo(call(123)))
    assert isinstance(waiting, Intake)
    gathers = stays_quick
    draft = await only(settling, waiting)
    assert (asked_by[-1] is threading.main_thread()) is stays_quick
    assert {each.durable for each in draft.staged} == {not stays_quick}


async def test_what_waits_for_its_group_fills_no_memory(parts: Path) -> None:
    """Beyond so many bytes a recording is written at once, and waits again when what came before is staged."""
    sound = SOUND * (SMALL_BYTES // len(SOUND))
    settling = quick_settler(parts, bringing(sound))
    many = MOST_WAITING_BYTES // len(sound)
    waiting = [await settling.settle(todo(call(number))) for number in range(many + 1)]
    assert [isinstance(each, Intake) for each in waiting] == [True] * many + [False]
    drafts = await settling.stage(waiting)
    assert len({each.outcome.id for each in drafts if isinstance(each, Draft)}) == many + 1
    assert isinstance(await settling.settle(todo(call(many + 1))), Intake)


@pytest.mark.parametrize("sound", [SOUND, LARGE])
@pytest.mark.parametrize("error", [LinkError("dead", 404), TransientError("503")])
async def test_a_download_that_lacks_nothing_but_a_proof_is_kept_when_no_other_can_be_had(
    parts: Path, error: Exception, sound: bytes
) -> None:
    """It ended with its connection, and the link died before a second one could be compared: kept, and unproven."""

    async def fetch(call: Call, part: Part, judge: Judge) -> Transfer:
        await part.restart()
        await part.write(sound)
        with pytest.raises(TransientError):
            await judge(call, transfer(call.link or "", "close"))
        raise error

    draft = await draft_of(settler(parts, fetch), call(123, duration=None), None)
    assert (draft.outcome.recording, draft.outcome.unproven, draft.outcome.reason) == (State.SAVED, True, None)
    assert draft.event["recording"]["proof"] == "unproven"
    assert staged(draft)["123.mp3"] == sound
