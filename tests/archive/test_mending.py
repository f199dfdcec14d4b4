"""A crash between any two steps: the next run makes it good, trusts nothing unseen, and deletes nothing."""

import json
import resource
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import msgspec
import pytest

from harvester.archive import disk
from harvester.archive.group import GROUP
from harvester.archive.layout import ACCOUNT, LEDGER, MANIFEST, SEAL, run_key
from harvester.archive.stage import Draft
from harvester.demo.audio import recording
from harvester.errors import StorageError
from harvester.model import State
from harvester.needs import Rules
from harvester.verify.archive import verify
from tests.archive.sites import SOUND, Site, call

PLACE = "2025/08/04/123"
FILES = {f"{PLACE}.json", f"{PLACE}.txt", f"{PLACE}.mp3"}


def rename_some(site: Site, draft: Draft, suffixes: Sequence[str]) -> None:
    """Give some of a call's files their names, as a commit does before it writes a line."""
    disk.make_folders(site.root, "2025/08/04")
    for each in draft.staged:
        if each.part and each.file.path.endswith(tuple(suffixes)):
            Path(each.part).rename(site.root / each.file.path)


async def crash(site: Site, *suffixes: str) -> str:
    """Stop a run after the files with these suffixes got their names; the call has no ledger line."""
    with site.run() as run:
        rename_some(site, await run.draft(call(123)), suffixes)
        return run.id


@pytest.mark.parametrize("suffixes", [(), ("json",), ("json", "txt"), ("json", "txt", "mp3"), ("mp3",)])
async def test_files_that_a_crash_has_named_are_adopted(site: Site, suffixes: tuple[str, ...]) -> None:
    """Files with a name and no line are hashed, found equal, and taken in; each call has one version, and all is intact."""
    await crash(site, *suffixes)
    times = {key: (site.root / key).stat().st_mtime_ns for key in site.tree()}
    run_id = await site.saved(call(123))
    assert site.tree() == FILES
    assert {key: (site.root / key).stat().st_mtime_ns for key in times} == times
    (line,) = [line for line in site.lines(run_id) if line["event"] == "saved"]
    assert {file["path"] for file in line["files"]} == FILES
    assert {file["role"] for file in line["files"]} == {"metadata", "transcript", "recording"}
    assert verify(site.root).findings == []


async def test_a_different_file_is_kept_and_the_next_version_written(site: Site) -> None:
    """What lies there and is another is adopted as what it is; ours become the next version."""
    await crash(site, "json", "txt", "mp3")
    before = site.files("2025")
    changed = call(123, transcript="Made anew.")
    run_id = await site.saved(changed, sound=recording(2, 1))
    assert {key: data for key, data in site.files("2025").items() if key in before} == before
    assert site.files()[f"{PLACE}.v2.json"] == changed.raw
    assert site.files()[f"{PLACE}.v2.mp3"] == recording(2, 1)
    (line,) = [line for line in site.lines(run_id) if line["event"] == "saved"]
    assert {file["path"] for file in line["files"] if file["role"] == "adopted"} == FILES
    assert line["version"] == 2
    assert verify(site.root).findings == []


@pytest.mark.parametrize("later", [{"status": "ended"}, {}], ids=["changed", "same"])
async def test_what_lies_beside_an_adopted_file_is_adopted_too(site: Site, later: dict[str, object]) -> None:
    """A recording that the next run does not fetch, and a text that it would not write, get their line all the same."""
    await crash(site, "json", "txt", "mp3")
    with site.run() as run:
        draft = await run.draft(call(123, **later), rules=Rules(recordings=False))
        run.archive.commit([draft])
        run.close()
    assert verify(site.root).findings == []
    await site.saved(call(123, **later))
    assert verify(site.root).findings == []
    with closing(site.checkpoint()) as checkpoint:
        assert checkpoint.find(["123"])["123"].recording is State.SAVED


async def test_a_half_written_file_is_never_taken_for_whole(site: Site) -> None:
    """A file under a final name that holds less than it should is not what was to be written: it gets no role but adopted."""
    await crash(site)
    disk.make_folders(site.root, "2025/08/04")
    (site.root / f"{PLACE}.mp3").write_bytes(SOUND[:-1])
    run_id = await site.saved(call(123))
    assert site.files()[f"{PLACE}.v2.mp3"] == SOUND
    roles = {file["path"]: file["role"] for line in site.lines(run_id) for file in line.get("files", ())}
    assert roles[f"{PLACE}.mp3"] == "adopted"
    assert roles[f"{PLACE}.v2.mp3"] == "recording"


async def test_a_run_that_was_cut_off_is_closed_by_the_next(site: Site) -> None:
    """Its torn line is cut, its parts are swept, it gets account, manifest and seal, and the next run's ledger says so."""
    with site.run() as run:
        await run.save(call(1), call(2))
        await run.draft(call(3))
    with (site.root / run_key(run.id, LEDGER)).open("ab") as file:
        file.write(b'{"seq":4,"pre')
    with site.run() as mending:
        mending.close()
    assert site.lines(mending.id)[1] | {"seq": 0, "prev": "", "at": ""} == {
        "seq": 0,
        "prev": "",
        "at": "",
        "event": "recovered",
        "run": run.id,
        "torn_bytes": 13,
        "files": [],
    }
    files = site.files(f"runs/{run.id}")
    assert files.keys() == {run_key(run.id, name) for name in (LEDGER, ACCOUNT, MANIFEST, SEAL)}
    account = json.loads(files[run_key(run.id, ACCOUNT)])
    assert (account["verdict"], account["recordings"]["saved"], account["run"]) == ("interrupted", 2, run.id)
    result = verify(site.root)
    assert (result.findings, result.notes) == ([], [])


async def test_a_run_is_mended_once(site: Site) -> None:
    """A run that has its manifest is closed for good: later runs neither name nor touch it."""
    with site.run() as crashed:
        await crashed.save(call(1))
    await site.saved(call(2))
    before = site.files(f"runs/{crashed.id}")
    run_id = await site.saved(call(3))
    assert [line["event"] for line in site.lines(run_id)] == ["run-started", "saved", "run-closed"]
    assert site.files(f"runs/{crashed.id}") == before


async def test_several_runs_can_be_mended_at_once(site: Site) -> None:
    """Where the run that should have mended was cut off as well, the next one closes both."""
    with site.run() as first:
        await first.save(call(1))
    with site.run() as second:
        (site.root / run_key(first.id, MANIFEST)).unlink()  # as if it had not come that far
    with site.run() as third:
        third.close()
    assert [line["run"] for line in site.lines(third.id) if line["event"] == "recovered"] == [first.id, second.id]
    assert verify(site.root).findings == []


@pytest.mark.parametrize("left", [None, b"", b'{"seq":1,"pre'])
async def test_a_run_that_had_not_begun_leaves_nothing(site: Site, left: bytes | None) -> None:
    """A run cut off before its first line was whole is no break in the chain: it is swept, and the ledger says so."""
    first = await site.saved(call(1))
    torn = "20991231T235959Z-00000000"
    disk.make_folders(site.root, f"runs/{torn}/parts")
    if left is not None:
        (site.root / run_key(torn, LEDGER)).write_bytes(left)
    assert verify(site.root).findings == []
    with site.run(run_id="20991231T235960Z-00000001") as run:
        run.close()
    assert {path.name for path in (site.root / "runs").iterdir()} == {first, run.id}
    assert site.lines(run.id)[1]["run"] == torn
    assert site.lines(run.id)[1]["torn_bytes"] == len(left or b"")
    assert verify(site.root).notes == []


async def test_an_account_that_was_written_is_kept(site: Site) -> None:
    """A crash between account and manifest: the run's own account stays, with its verdict, and the manifest names it."""
    with site.run() as run:
        await run.save(call(1))
        run.archive.note({"event": "run-closed"})
        disk.replace_durable(site.root / run_key(run.id, ACCOUNT), b'{"verdict": "complete"}\n')
        (site.root / run_key(run.id, f"{MANIFEST}.part")).write_bytes(b"0000")
    result = verify(site.root)
    assert (result.findings, len(result.notes)) == ([], 1)
    with site.run() as mending:
        mending.close()
    assert site.files()[run_key(run.id, ACCOUNT)] == b'{"verdict": "complete"}\n'
    assert run_key(run.id, f"{MANIFEST}.part") not in site.files()
    assert verify(site.root).findings == []


@contextmanager
def files_limited(most_bytes: int) -> Iterator[None]:
    """Let the disk refuse what would make a file longer than this."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


async def cut_off(site: Site) -> str:
    """Stop a run between the names and the line of the call 123: the disk refuses its ledger line."""
    with site.run() as run:
        await run.save(call(1))
        draft = await run.draft(call(123))
        run.archive.note({"event": "window", "reason": "x" * 4000})  # so that the ledger alone meets the limit
        with (
            files_limited((site.root / run_key(run.id, LEDGER)).stat().st_size),
            pytest.raises(StorageError, match=LEDGER),
        ):
            run.archive.commit([draft])
        return run.id


def recovered(site: Site, run_id: str) -> dict[str, str]:
    """Return path and role of the files that a run has recovered."""
    lines = [line for line in site.lines(run_id) if line["event"] == "recovered"]
    return {file["path"]: file["role"] for line in lines for file in line["files"]}


async def test_a_run_whose_commit_failed_cannot_close(site: Site) -> None:
    """Where names have no lines, or a line is torn, nothing may be written behind it, also if the disk would take it again."""
    with site.run() as run:
        await run.save(call(1))
        draft, another = await run.draft(call(123)), await run.draft(call(2))
        with files_limited((site.root / run_key(run.id, LEDGER)).stat().st_size + 600), pytest.raises(StorageError):
            run.archive.commit([draft])
        with pytest.raises(StorageError, match="has ended it"):
            run.archive.commit([another])
        with pytest.raises(StorageError, match="has ended it"):
            run.close()
    await site.saved(call(3))
    assert verify(site.root).findings == []


@pytest.mark.parametrize("from_loop", [True, False])
async def test_a_run_whose_commit_broke_off_cannot_close(site: Site, from_loop: bool) -> None:
    """Whatever ended it between names and lines, be it a bug: nothing may be written behind it, and the next run mends it."""
    with site.run() as run:
        draft = msgspec.structs.replace(await run.draft(call(123)), event={"event": object()})
        with pytest.raises(TypeError):
            await run.archive.commit_from_loop([draft]) if from_loop else run.archive.commit([draft])
        with pytest.raises(StorageError, match="has ended it"):
            run.close()
    await site.saved(call(3))
    assert site.tree() >= FILES
    assert verify(site.root).findings == []


async def test_a_commit_is_cancelled_as_a_whole_or_not_at_all(site: Site) -> None:
    """Whenever the task that commits is cancelled: what has a name has its line, so that the run can close."""
    with site.run() as run:
        for turns in range(12):
            draft = await run.draft(call(turns))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run.archive.commit_from_loop, [draft])
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
        run.close()
        told = {file["path"] for line in site.lines(run.id) for file in line.get("files", ())}
    assert site.tree() == told
    assert verify(site.root).findings == []


async def test_files_of_a_call_that_is_gone_get_their_line(site: Site) -> None:
    """A call deleted at the platform meanwhile never comes by again: its files are adopted by the next run all the same."""
    await cut_off(site)
    run_id = await site.saved(call(2))
    assert recovered(site, run_id) == dict.fromkeys(FILES, "adopted")
    assert site.tree() >= FILES
    assert all(f"  {key}\n" in site.files()[run_key(run_id, MANIFEST)].decode() for key in FILES)
    assert verify(site.root).findings == []


@pytest.mark.parametrize(("later", "version"), [({}, 1), ({"transcript": "Made anew."}, 2)], ids=["same", "changed"])
@pytest.mark.parametrize("in_between", [True, False])
async def test_a_call_that_comes_back_finds_its_recovered_files(
    site: Site, later: dict[str, object], version: int, in_between: bool
) -> None:
    """In the run that mends, or in a later one, the same call takes its files over; a changed one becomes the next version."""
    await cut_off(site)
    if in_between:
        await site.saved(call(2))
    run_id = await site.saved(call(123, **later))
    (line,) = [line for line in site.lines(run_id) if line.get("id") == "123"]
    assert (line["version"], {file["path"] for file in line["files"]} >= FILES) == (version, True)
    assert (f"{PLACE}.v2.json" in site.tree()) == (version == 2)
    assert verify(site.root).findings == []


async def test_only_what_lies_there_as_it_was_named_is_recovered(site: Site) -> None:
    """A file that did not get its name, one with other bytes, and a link are none of what the run has named."""
    await cut_off(site)
    (site.root / f"{PLACE}.json").unlink()
    (site.root / f"{PLACE}.txt").write_bytes(b"hello.\n")
    (site.root / f"{PLACE}.mp3").rename(site.root.parent / "elsewhere")
    (site.root / f"{PLACE}.mp3").symlink_to(site.root.parent / "elsewhere")
    assert recovered(site, await site.saved()) == {}


async def test_what_has_its_line_is_not_recovered(site: Site) -> None:
    """A run that is cut off after the line of its last group has left nothing behind."""
    with site.run() as run:
        await run.save(call(123))
    assert recovered(site, await site.saved()) == {}


@pytest.mark.parametrize("torn", [None, b"", b'[{"path":"2025/08/04/123.js', b"\0" * 200, b"\xff"])
async def test_a_torn_group_had_named_nothing(site: Site, torn: bytes | None) -> None:
    """The group is whole before the first file gets its name, so a torn one, or none, tells of none and holds up no run."""
    cut = await crash(site)
    group = site.root / run_key(cut, GROUP)
    group.unlink() if torn is None else group.write_bytes(torn)
    run_id = await site.saved(call(123))
    assert recovered(site, run_id) == {}
    assert verify(site.root).findings == []


async def test_a_crash_while_mending_loses_sight_of_no_file(site: Site) -> None:
    """The run that mends is cut off itself, the one before it closed and its own first line not written: the next one knows."""
    cut = await cut_off(site)
    with site.run(begin=False) as mending, files_limited(6000), pytest.raises(StorageError, match=LEDGER):
        mending.archive.begin({"settings": "x" * 8000})
    assert (site.root / run_key(cut, MANIFEST)).exists()
    run_id = await site.saved()
    assert recovered(site, run_id) == dict.fromkeys(FILES, "adopted")
    assert [line["run"] for line in site.lines(run_id) if line["event"] == "recovered"] == [mending.id]
    assert verify(site.root).findings == []
