"""A run on an archive: what it writes, in which order, and what it never touches again."""

import datetime as dt
import json
import os
import re
import resource
import shutil
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from harvester.archive import disk, manifest
from harvester.archive.layout import ACCOUNT, LEDGER, MANIFEST, RUN_ID, SEAL, run_key
from harvester.archive.quickness import LONGEST_SECONDS, Quickness
from harvester.archive.store import Archive, new_run_id
from harvester.demo.audio import recording
from harvester.errors import StorageError
from harvester.model import State
from harvester.needs import Rules
from harvester.verify.archive import verify
from tests.archive.sites import NOON, SOUND, Site, call
from tests.fault import mounts

PLACE = "2025/08/04/123"


async def test_a_call_is_three_files_and_a_line(site: Site) -> None:
    """Row and recording lie there byte for byte, the transcript as text; the line names them with size and SHA-256."""
    given = call(123, transcript=[{"sender": "bot", "text": "Hi", "timestamp": 1.7e9}], unknown="kept")
    with site.run() as run:
        (outcome,) = run.archive.commit([await run.draft(given)])
        run.close()
    files = site.files("2025")
    assert files == {f"{PLACE}.json": given.raw, f"{PLACE}.mp3": SOUND, f"{PLACE}.txt": b"[00:00] bot: Hi\n"}
    (line,) = [line for line in site.lines(run.id) if line["event"] == "saved"]
    assert {(each["path"], each["bytes"], each["role"]) for each in line["files"]} == {
        (f"{PLACE}.json", len(given.raw), "metadata"),
        (f"{PLACE}.txt", 16, "transcript"),
        (f"{PLACE}.mp3", len(SOUND), "recording"),
    }
    assert line["recording"]["proof"] == "content-length"
    assert (outcome.recording, outcome.bytes) == (State.SAVED, sum(map(len, files.values())))


async def test_no_transcript_no_text_file(site: Site) -> None:
    """Where the platform has no transcript or no recording there is no file for it, not an empty one."""
    await site.saved(call(1, transcript=None), call(2, transcript=[], recording_url=None))
    assert site.tree() == {"2025/08/04/1.json", "2025/08/04/1.mp3", "2025/08/04/2.json"}


async def test_a_changed_call_gets_a_version_and_the_first_one_stays(site: Site) -> None:
    """What has changed later lies beside what came first; bytes and time of the first version are as they were."""
    await site.saved(call(123))
    before = {key: (data, (site.root / key).stat().st_mtime_ns) for key, data in site.files().items()}
    changed = call(123, transcript="Made anew.")
    with site.run() as run:
        (outcome,) = run.archive.commit([await run.draft(changed, None)])
        run.close()
    assert site.tree() == {f"{PLACE}.{suffix}" for suffix in ("json", "txt", "mp3", "v2.json", "v2.txt")}
    assert {key: (site.files()[key], (site.root / key).stat().st_mtime_ns) for key in before} == before
    assert (outcome.recording, outcome.transcript) == (State.UNCHANGED, State.SAVED)
    assert [line["event"] for line in site.lines(run.id)] == ["run-started", "changed", "run-closed"]


async def test_a_recording_under_another_path_is_kept_beside_the_first(site: Site) -> None:
    """Another path is another recording: it bears the version of the row that names it."""
    await site.saved(call(123))
    await site.saved(call(123, recording_url="https://recordings.example/again/123.mp3"), sound=recording(2, 1))
    assert site.files()[f"{PLACE}.mp3"] == SOUND
    assert site.files()[f"{PLACE}.v2.mp3"] == recording(2, 1)


async def test_a_failed_recording_is_tried_again_in_its_place(site: Site) -> None:
    """The row of a call whose recording failed is kept; when the recording comes, it joins that version."""
    await site.saved(call(123), sound=None)
    assert site.tree() == {f"{PLACE}.json", f"{PLACE}.txt"}
    run_id = await site.saved(call(123))
    assert site.tree() == {f"{PLACE}.json", f"{PLACE}.txt", f"{PLACE}.mp3"}
    assert [line["event"] for line in site.lines(run_id)] == ["run-started", "saved", "run-closed"]


async def test_a_call_stays_in_the_folder_it_first_lay_in(site: Site) -> None:
    """A created_at that changes later does not scatter the versions of a call."""
    await site.saved(call(123))
    await site.saved(call(123, created_at="2025-08-05 00:00:00"))
    assert f"{PLACE}.v2.json" in site.tree()


async def test_every_manifest_passes_sha256sum(site: Site) -> None:
    """All manifests together name every file but themselves and the seals, sorted, and coreutils find each of them intact."""
    for number in range(3):
        await site.saved(call(number), call(9, transcript=f"{number}"), call(f"Ä/ö\\{number}\n"))
    manifests = sorted(site.root.glob(f"runs/*/{MANIFEST}"))
    named = [line.split("  ", 1)[1] for path in manifests for line in path.read_text().splitlines()]
    last = [path.relative_to(site.root).as_posix() for path in (*manifests, *site.root.glob(f"runs/*/{SEAL}"))]
    assert sorted([*named, *last]) == sorted(site.files())
    for path in manifests:
        assert path.read_text().splitlines() == sorted(path.read_text().splitlines(), key=lambda line: line[66:])
    script = "cat runs/*/manifest-sha256.txt | sha256sum --check --strict --quiet"
    await anyio.run_process(["bash", "-c", script], cwd=site.root)


@pytest.mark.parametrize("few", [0, 7, 8, 9, 1000])
def test_a_manifest_is_sorted_in_memory_or_not(site: Site, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    """Each key stands there once, with the hash that the last line names, in the order of the keys' bytes."""
    monkeypatch.setattr(manifest, "FEW", few)
    keys = [
        "2025/08/04/2.json",
        "2025/08/04/10.json",
        "2025/08/04/10.v2.json",
        "2025/08/04/2.json",
        "\ufffd",
        "\U0001f600",
    ]
    with site.run() as run:
        for number, key in enumerate(keys):
            digest = f"{number:064}"
            run.archive.note(
                {"event": "saved", "files": [{"path": key, "bytes": 1, "sha256": digest, "role": "adopted"}]}
            )
        run.close()
    names = {f"{number:064}  {key}" for number, key in enumerate(keys) if number != 0}
    lines = site.files()[run_key(run.id, MANIFEST)].decode().splitlines()
    assert names < set(lines)
    assert len(lines) == len(names) + 3  # ledger, account and mark
    assert lines == sorted(lines, key=lambda line: line[66:].encode())


async def test_no_file_of_a_closed_run_is_ever_touched(site: Site) -> None:
    """Later runs, with changed, failed and new calls, leave every byte and time of what is closed as it was."""
    await site.saved(call(1), call(2))
    before = {key: (data, (site.root / key).stat().st_mtime_ns) for key, data in site.files().items()}
    with site.run() as crashed:
        await crashed.save(call(3))
    await site.saved(call(1, status="ended"), call(4), sound=None)
    await site.saved(call(2, recording_url="https://recordings.example/x.mp3"), call(4))
    assert {key: (site.files()[key], (site.root / key).stat().st_mtime_ns) for key in before} == before


async def test_files_come_before_their_line(site: Site) -> None:
    """Where a file cannot get its name there is no ledger line of any call of the group, and the checkpoint knows none."""
    with site.run() as run:
        drafts = [await run.draft(call(1)), await run.draft(call(2, created_at="2031-01-01 00:00:00"))]
        (site.root / "2031").write_text("a file where a folder should be")
        with pytest.raises(StorageError, match="2031"):
            run.archive.commit(drafts)
        assert [line["event"] for line in site.lines(run.id)] == ["run-started"]
        assert not run.checkpoint.find(["1", "2"])


async def test_the_line_comes_before_the_checkpoint(site: Site) -> None:
    """Where the disk refuses the ledger line, the checkpoint does not learn of the call; the next run makes it good."""
    with site.run() as run:
        draft = await run.draft(call(123))
        run.archive.note({"event": "window", "reason": "x" * 4000})  # so that the ledger alone meets the limit
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        written_bytes = (site.root / run_key(run.id, LEDGER)).stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (written_bytes + 100, limits[1]))
        try:
            with pytest.raises(StorageError, match=LEDGER):
                run.archive.commit([draft])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert not run.checkpoint.find(["123"])
    run_id = await site.saved(call(123))
    assert [line.get("torn_bytes") for line in site.lines(run_id)[:2]] == [None, 100]
    assert verify(site.root).findings == []


async def test_nothing_is_named_over_what_appeared_meanwhile(site: Site) -> None:
    """A file that another machine has put under a call's name since it was staged is not written over: a StorageError."""
    with site.run() as run:
        draft = await run.draft(call(123))
        disk.make_folders(site.root, "2025/08/04")
        (site.root / f"{PLACE}.mp3").write_bytes(b"theirs")
        with pytest.raises(StorageError, match=r"123\.mp3 appeared meanwhile: another harvester"):
            run.archive.commit([draft])
    assert site.files()[f"{PLACE}.mp3"] == b"theirs"
    assert [line["event"] for line in site.lines(run.id)] == ["run-started"]


async def test_what_must_stay_free_stays_free(site: Site) -> None:
    """Below min_free nothing is begun and nothing committed: a StorageError with the path and what to do."""
    with site.run(begin=False, min_free_bytes=2**62) as run, pytest.raises(StorageError, match=r"min_free.*make room"):
        run.archive.begin({})
    assert not (site.root / "runs").exists()
    least = shutil.disk_usage(site.root).free - 20_000_000
    with site.run(min_free_bytes=least) as run, (site.root.parent / "other").open("wb") as other:
        draft = await run.draft(call(1))
        os.posix_fallocate(other.fileno(), 0, 100_000_000)
        with pytest.raises(StorageError, match="to stay free"):
            run.archive.commit([draft])
    (site.root.parent / "other").unlink()
    assert site.tree() == set()


@pytest.mark.skipif(bool(mounts.MISSING), reason=str(mounts.MISSING))
def test_a_hundredth_of_a_small_disk_stays_free(tmp_path: Path) -> None:
    """Where min_free is not set: on a disk below 100 GiB one byte in a hundred, and not the whole GiB of a large one."""
    with mounts.memory(tmp_path / "disk", "size=64m"):
        site = Site(tmp_path / "disk")
        with closing(site.checkpoint()) as checkpoint, (tmp_path / "disk" / "other").open("wb") as other:
            archive = Archive(site.root, checkpoint, "any")
            os.posix_fallocate(other.fileno(), 0, shutil.disk_usage(site.root).free - 1_000_000)
            archive.check_room()
            os.posix_fallocate(other.fileno(), 0, os.fstat(other.fileno()).st_size + 500_000)
            with pytest.raises(StorageError, match="671,088 are to stay free"):
                archive.check_room()
            archive.abandon()


@pytest.mark.skipif(bool(mounts.POWERLESS), reason=str(mounts.POWERLESS))
def test_a_gibibyte_of_a_large_disk_stays_free(tmp_path: Path) -> None:
    """Where min_free is not set: on a disk of 120 GiB one GiB, and not a hundredth of it, which is more."""
    disk_bytes, least = 120 * 1024**3, 1024**3
    with mounts.roomy(tmp_path, tmp_path / "disk", disk_bytes):
        site = Site(tmp_path / "disk")
        with closing(site.checkpoint()) as checkpoint, (tmp_path / "disk" / "other").open("wb") as other:
            archive = Archive(site.root, checkpoint, "any")
            taken = shutil.disk_usage(site.root).free - disk_bytes // 100 + 100_000_000
            os.posix_fallocate(other.fileno(), 0, taken)
            assert least < shutil.disk_usage(site.root).free < disk_bytes // 100
            archive.check_room()
            os.posix_fallocate(other.fileno(), taken, 200_000_000)
            with pytest.raises(StorageError, match="1,073,741,824 are to stay free"):
                archive.check_room()
            archive.abandon()


async def test_the_time_that_naming_takes_is_counted(site: Site) -> None:
    """The loop names files as well as writing them: a group that is named quickly makes up for calls that were written slowly."""
    with site.run() as run:
        quickness = run.archive.quickness = Quickness(local=True)
        drafts = [await run.draft(call(number), None) for number in range(1, 301)]
        quickness.took(LONGEST_SECONDS)
        run.archive.commit(drafts)
        quickness.took(LONGEST_SECONDS / 4)
        assert quickness.permits(0)


def test_a_closed_run_takes_no_more(site: Site) -> None:
    """After its last line a run writes nothing."""
    with site.run() as run:
        run.close()
        before = site.files()
        with pytest.raises(StorageError, match="is closed"):
            run.archive.note({"event": "window"})
    assert site.files() == before


async def test_a_run_folder_holds_four_files_once_it_has_closed(site: Site) -> None:
    """Ledger, account, manifest and seal, and nothing that was on its way."""
    with site.run() as run:
        await run.save(call(1))
        await run.draft(call(2))  # staged, and dropped by a stop
        run.close()
    assert {path.name for path in (site.root / "runs" / run.id).iterdir()} == {LEDGER, ACCOUNT, MANIFEST, SEAL}
    assert json.loads(site.files()[run_key(run.id, "run.json")]) == {"verdict": "complete"}


def test_run_ids_sort_as_the_runs_were_made(tmp_path: Path) -> None:
    """Within one second, and after the clock was set back, the next run's id still sorts behind all others."""
    made = []
    for now in (NOON, NOON, NOON - dt.timedelta(days=400), NOON + dt.timedelta(hours=1)):
        made.append(new_run_id(tmp_path, now))
        (tmp_path / "runs" / made[-1]).mkdir(parents=True)
    assert made == sorted(set(made))
    assert all(RUN_ID.fullmatch(run_id) for run_id in made)
    assert [re.sub("-.*", "", run_id) for run_id in made] == [
        "20261123T120000Z",
        "20261123T120001Z",
        "20261123T120002Z",
        "20261123T130000Z",
    ]


async def test_recordings_left_for_later(site: Site) -> None:
    """With recordings switched off the row is kept and the recording is pending; a later run fetches it."""
    with site.run() as run:
        (outcome,) = run.archive.commit([await run.draft(call(123), rules=Rules(recordings=False))])
        run.close()
    assert (outcome.recording, outcome.transcript) == (State.PENDING, State.SAVED)
    with closing(site.checkpoint()) as checkpoint:
        assert [entry.id for entry in checkpoint.unsettled()] == []
        assert [entry.id for entry in checkpoint.unsettled(left_out=True)] == ["123"]
    await site.saved(call(123))
    assert f"{PLACE}.mp3" in site.tree()


async def test_files_can_be_read_by_others(site: Site) -> None:
    """Files get the permissions that the user's umask leaves, so that a group can read the archive where it may."""
    before = os.umask(0o027)
    try:
        await site.saved(call(123))
    finally:
        os.umask(before)
    assert {(site.root / key).stat().st_mode & 0o777 for key in site.tree()} == {0o640}
