"""`harvester doctor`: everything that a run stands on is tried, told in words, and nothing is left behind."""

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePath

import anyio
import pytest

from harvester.archive.ground import Finding, lasting, local_enough
from harvester.archive.mark import TRIAL, hold
from harvester.archive.mounts import Mount, mount_of
from harvester.archive.trial import trial_folder, try_folder
from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault
from harvester.demo.server import Options, Platform, serve
from harvester.doctor import Diagnosis, diagnosis_text, examine, look_finding
from harvester.errors import StorageError
from harvester.gauges import budget_finding, clock_finding
from harvester.layers import resolve
from harvester.place import local_state
from harvester.platform.probe import look_of
from tests.harvests import Harvests

AREAS = ["archive", "local state", "key", "platform", "clock", "budget", "recordings"]
MOST_API_REQUESTS = 4
TRY = """
import sys
from pathlib import Path
from harvester.archive.trial import try_folder
from harvester.errors import StorageError
try:
    print(try_folder(Path(sys.argv[1])))
except StorageError as error:
    print(error)
"""
NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


async def ask(harvests: Harvests, **flags: object) -> Diagnosis:
    """Examine with the platform's own key, and see that every file and folder is as it was."""
    before = tree(harvests.folder)
    diagnosis = await examine(resolve(flags, harvests.environment, None), harvests.platform.key, None)
    assert tree(harvests.folder) == before
    return diagnosis


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its bytes, and every folder."""
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


def fill(path: Path) -> None:
    """Write a file until its file system is full."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


def break_off(place: Path, error: BaseException) -> None:
    """Begin a trial in `place` and end it with an error."""
    with trial_folder(place) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_bytes(b"x")
        raise error


def of(diagnosis: Diagnosis, area: str, verdict: str) -> list[Finding]:
    """Return the findings of one area and verdict."""
    return [each for each in diagnosis.findings if (each.area, each.verdict) == (area, verdict)]


def found(*exit_codes: int) -> tuple[Finding, ...]:
    """Return bad findings with these exit codes."""
    return tuple(Finding(area="key", verdict="bad", said="x", advice="y", exit_code=code) for code in exit_codes)


def wrong(diagnosis: Diagnosis) -> list[str]:
    """Return the areas in which something is bad, each of which says what to change."""
    worst = [each for each in diagnosis.findings if each.verdict == "bad"]
    assert all(each.said and each.advice and each.exit_code for each in worst)
    return [each.area for each in worst]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    """Give the folder `mounted`: a small file system of its own, on which a test may do as it likes."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root may mount a small tmpfs, and only on Linux")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


async def test_of_a_sound_archive_all_is_good(harvests: Harvests) -> None:
    """Where nothing is wrong every area is looked at, all of it is good, and the exit code is 0."""
    await harvests.run()
    diagnosis = await ask(harvests)
    assert list(dict.fromkeys(each.area for each in diagnosis.findings)) == AREAS
    of_the_machine = ("is in memory", "in a container's own layer")  # where tests run, the temporary folder may be that
    others = [each for each in diagnosis.findings if not any(words in each.said for words in of_the_machine)]
    assert {each.verdict for each in others} == {"good"}
    assert diagnosis.exit_code == 0
    assert not any(each.advice for each in diagnosis.findings if each.verdict == "good")


async def test_it_asks_the_platform_little(harvests: Harvests, platform: Platform) -> None:
    """A diagnosis sends at most four requests to the API, all GET, and one to a recording's server, for its first byte."""
    diagnosis = await ask(harvests)
    api = [seen for seen in platform.requests if seen.origin == "api"]
    assert len(api) == diagnosis.cost_requests <= MOST_API_REQUESTS
    assert [seen.status for seen in platform.requests if seen.origin == "recordings"] == [206]
    assert {seen.method for seen in platform.requests} == {"GET"}


async def test_before_there_is_an_archive_its_parent_is_examined(harvests: Harvests) -> None:
    """A new archive's place is tried without making it; the finding says which folder was tried instead."""
    diagnosis = await ask(harvests, archive=str(harvests.folder / "new" / "calls"))
    (found,) = [each for each in of(diagnosis, "archive", "note") if "no archive yet" in each.said]
    assert f"{harvests.folder} was examined in its place" in found.said
    assert diagnosis.exit_code == 0
    assert not (harvests.folder / "new").exists()


async def test_where_an_archive_must_be_nothing_else_is_tried(harvests: Harvests) -> None:
    """A share that is not mounted is bad, and the disk below it is not written to, nor judged."""
    harvests.archive.mkdir()
    diagnosis = await ask(harvests, must_exist=True)
    (found,) = [each for each in diagnosis.findings if each.area == "archive"]
    assert (found.verdict, diagnosis.exit_code) == ("bad", 6)
    assert "mounted" in found.said


async def test_a_folder_of_other_things_is_bad(harvests: Harvests) -> None:
    """A folder that holds other things is told of, and not touched."""
    harvests.archive.mkdir()
    (harvests.archive / "photo.jpg").write_bytes(b"x")
    diagnosis = await ask(harvests)
    assert wrong(diagnosis) == ["archive"]
    assert "photo.jpg" in of(diagnosis, "archive", "bad")[0].said


async def test_without_an_archive_named_it_says_so(harvests: Harvests) -> None:
    """That no archive is named is wrong in the settings (2); the platform is asked all the same."""
    del harvests.environment["HARVESTER_ARCHIVE"]
    diagnosis = await ask(harvests)
    assert (wrong(diagnosis), diagnosis.exit_code) == (["archive"], 2)
    assert of(diagnosis, "key", "good")


async def test_a_run_that_is_going_on_is_told_of(harvests: Harvests) -> None:
    """A running run is no fault: it is named, whichever lock it holds, and the folder is examined all the same."""
    await harvests.run()
    local = local_state(harvests.settings())
    for lock, words in ((local.locked(), "a run is at work"), (hold(local.archive), "a run with another state folder")):
        with lock:
            diagnosis = await ask(harvests)
        assert any(words in each.said for each in of(diagnosis, "archive", "note"))
        assert any("can be written" in each.said for each in of(diagnosis, "archive", "good"))
        assert diagnosis.exit_code == 0


async def test_a_full_disk_is_bad(harvests: Harvests, mount: Path) -> None:
    """A disk without room for one file more is bad (6), and the trial leaves nothing on it."""
    fill(mount / "filler")
    diagnosis = await ask(harvests, archive=str(mount / "calls"))
    assert set(wrong(diagnosis)) == {"archive"}
    assert diagnosis.exit_code == 6
    assert any("make room" in each.advice for each in of(diagnosis, "archive", "bad"))
    assert list(tree(mount)) == [str(mount / "filler")]


async def test_too_little_room_is_bad(harvests: Harvests) -> None:
    """A disk that takes files, but has less free than a run must leave (min_free), is bad before the run finds out."""
    diagnosis = await ask(harvests, min_free=str(2**59))
    assert (wrong(diagnosis), diagnosis.exit_code) == (["archive"], 6)
    assert "min_free" in of(diagnosis, "archive", "bad")[0].said


async def test_a_read_only_file_system_is_bad(harvests: Harvests, mount: Path) -> None:
    """What cannot be written is bad, for the archive and for the local state, and the sentence names the folder."""
    await anyio.run_process(["mount", "-o", "remount,ro", str(mount)])
    diagnosis = await ask(harvests, archive=str(mount / "calls"), state_folder=str(mount / "state"))
    assert set(wrong(diagnosis)) == {"archive", "local state"}
    assert diagnosis.exit_code == 6
    for area in ("archive", "local state"):
        (found,) = of(diagnosis, area, "bad")
        assert str(mount) in found.said
        assert "read-only" in found.said


async def test_an_archive_in_memory_is_noted(harvests: Harvests, mount: Path) -> None:
    """An archive that a restart empties is told of."""
    diagnosis = await ask(harvests, archive=str(mount))
    assert any("is in memory" in each.said for each in of(diagnosis, "archive", "note"))


async def test_a_state_folder_that_is_a_file_is_bad(harvests: Harvests) -> None:
    """A local state that can be made nowhere is bad (6)."""
    (harvests.folder / "state").write_bytes(b"")
    diagnosis = await ask(harvests)
    assert (wrong(diagnosis), diagnosis.exit_code) == (["local state"], 6)


async def test_a_lost_checkpoint_is_noted(harvests: Harvests) -> None:
    """An archive without its checkpoint is no fault: the ledger is the truth."""
    await harvests.run()
    for path in harvests.state.rglob("checkpoint.db*"):
        path.unlink()
    diagnosis = await ask(harvests)
    assert "checkpoint" in of(diagnosis, "local state", "note")[0].said
    assert diagnosis.exit_code == 0


async def test_a_wrong_key_is_bad(harvests: Harvests) -> None:
    """A key that the platform refuses ends with 4; the clock is told all the same, and the key stands nowhere."""
    key = "this-is-not-the-key-7f3a"
    diagnosis = await examine(resolve({}, harvests.environment, None), key, None)
    assert (wrong(diagnosis), diagnosis.exit_code, diagnosis.cost_requests) == (["key"], 4, 1)
    assert of(diagnosis, "clock", "good")
    assert key not in diagnosis_text(diagnosis) + diagnosis.as_json().decode()


async def test_no_key_is_bad(harvests: Harvests, platform: Platform) -> None:
    """Without a key the reason is told, as of a setting (2); the folders are examined, and nobody is asked."""
    diagnosis = await examine(resolve({}, harvests.environment, None), None, "the key file x cannot be read: gone")
    assert (wrong(diagnosis), diagnosis.exit_code, platform.requests) == (["key"], 2, [])
    assert "the key file x" in of(diagnosis, "key", "bad")[0].said
    assert of(diagnosis, "archive", "good")


async def test_what_is_odd_about_a_key_is_noted(harvests: Harvests) -> None:
    """A key that works and that others can read is a note, with what closes it."""
    problem = "others can read the key file x; close it with: chmod 600 x"
    diagnosis = await examine(resolve({}, harvests.environment, None), harvests.platform.key, problem)
    (found,) = of(diagnosis, "key", "note")
    assert found.advice == "close it with: chmod 600 x"
    assert diagnosis.exit_code == 0


async def test_a_platform_that_is_down_is_bad(harvests: Harvests) -> None:
    """Where nobody answers, one attempt is made, and the code is 5."""
    diagnosis = await ask(harvests, base_url="http://127.0.0.1:9/api")
    assert (wrong(diagnosis), diagnosis.exit_code, diagnosis.cost_requests) == (["platform"], 5, 1)
    assert not of(diagnosis, "clock", "good")


@pytest.mark.parametrize("kind", ["html", "not_json", "not_paginator", "status", "redirect", "empty"])
async def test_what_is_no_call_platform_is_bad(harvests: Harvests, platform: Platform, kind: str) -> None:
    """An address at which something else answers is bad (5), without waiting for it to get well."""
    platform.faults.add(Fault(where="list", kind=kind, headers={"Retry-After": "900"}))  # type: ignore[arg-type]
    diagnosis = await ask(harvests)
    assert (wrong(diagnosis), diagnosis.exit_code) == (["platform"], 5)


async def test_a_refused_filter_is_a_setting(harvests: Harvests, platform: Platform) -> None:
    """A filter that the platform refuses is a setting to change (2)."""
    platform.faults.add(Fault(where="list", kind="status", code=422))
    assert (await ask(harvests)).exit_code == 2


@pytest.mark.parametrize("limit", [None, 1])
async def test_a_used_up_budget_is_noted(harvests: Harvests, platform: Platform, limit: int | None) -> None:
    """Where no further request is permitted, it is not waited for: what could not be asked is told."""
    if limit is None:
        platform.faults.add(Fault(where="list", kind="status", code=429, headers={"Retry-After": "900"}))
    diagnosis = await ask(harvests, requests_per_minute=limit)
    assert len(of(diagnosis, "budget", "note")) == 1
    assert (wrong(diagnosis), diagnosis.exit_code) == ([], 0)


async def test_the_platforms_limit_is_told(tmp_path: Path) -> None:
    """Where the headers tell a limit, it is named, with what is left of it."""
    async with serve(CallBook(count=20), options=Options(limit_per_minute=50)) as platform:
        diagnosis = await ask(Harvests(platform, tmp_path), requests_per_minute=20)
    (found,) = of(diagnosis, "budget", "good")
    assert "50 requests a minute, of which 48 are left" in found.said


async def test_another_accounts_archive_is_bad(harvests: Harvests) -> None:
    """An archive that belongs to another account than the key is bad before a run says so (2)."""
    await harvests.run()
    mark = harvests.archive / "harvester-archive.json"
    mark.write_bytes(mark.read_bytes().replace(b"demo@", b"other@"))
    diagnosis = await ask(harvests)
    assert (wrong(diagnosis), diagnosis.exit_code) == (["archive"], 2)


async def test_recordings_on_private_addresses_are_told_of(harvests: Harvests, platform: Platform) -> None:
    """Where the settings refuse the recordings' server, it is bad (2), names the setting, and nobody is connected to."""
    diagnosis = await ask(harvests, allow_private_hosts=False)
    assert (wrong(diagnosis), diagnosis.exit_code) == (["recordings"], 2)
    assert "allow-private-hosts" in of(diagnosis, "recordings", "bad")[0].advice
    assert platform.count("recording") == 0


async def test_a_recording_host_that_is_not_permitted_is_told_of(harvests: Harvests) -> None:
    """A recording_host that leaves the platform's own out is bad (2)."""
    diagnosis = await ask(harvests, recording_host=("example.com",))
    assert (wrong(diagnosis), diagnosis.exit_code) == (["recordings"], 2)


async def test_a_server_without_ranges_and_etags_is_noted(tmp_path: Path) -> None:
    """A recording's server that cannot resume is a note: what is cut begins anew."""
    options = Options(with_range=False, with_etag=False)
    async with serve(CallBook(count=20, most_seconds=20), options=options) as platform:
        diagnosis = await ask(Harvests(platform, tmp_path))
    (found,) = of(diagnosis, "recordings", "note")
    assert "sends no parts" in found.said
    assert "names no versions" in found.said
    assert diagnosis.exit_code == 0


async def test_one_dead_link_is_noted(harvests: Harvests, platform: Platform) -> None:
    """One recording that is gone says little: a run asks for a fresh link."""
    platform.faults.add(Fault(where="recording", kind="gone"))
    diagnosis = await ask(harvests)
    assert "410" in of(diagnosis, "recordings", "note")[0].said
    assert diagnosis.exit_code == 0


async def test_a_link_that_bears_a_number_is_shown_without(harvests: Harvests, platform: Platform) -> None:
    """A caller's number in a recording's link does not stand in what may be handed to strangers."""
    location = f"{platform.recordings_url}/calls/+4915112345678.mp3"
    platform.faults.add(Fault(where="recording", kind="redirect", location=location, times=1))
    diagnosis = await ask(harvests)
    assert "4915112345678" not in diagnosis_text(diagnosis)
    assert "(number)" in of(diagnosis, "recordings", "note")[0].said


async def test_a_redirect_is_followed_with_the_same_care(harvests: Harvests, platform: Platform) -> None:
    """A recording that redirects for ever ends, and without the key."""
    platform.faults.add(Fault(where="recording", kind="redirect"))
    assert wrong(await ask(harvests)) == ["recordings"]
    assert not any(seen.had_authorization for seen in platform.requests if seen.origin == "recordings")


async def test_the_worst_decides(harvests: Harvests) -> None:
    """Of several faults the storage decides, then the key, a setting, the platform: as in docs/exit-codes.md."""
    diagnosis = await ask(harvests, must_exist=True, base_url="http://127.0.0.1:9/api")
    assert (wrong(diagnosis), diagnosis.exit_code) == (["archive", "platform"], 6)
    assert Diagnosis(findings=found(5, 2), cost_requests=0).exit_code == 2
    assert Diagnosis(findings=found(5, 2, 4), cost_requests=0).exit_code == 4
    assert Diagnosis(findings=found(), cost_requests=0).exit_code == 0


async def test_text_and_json_write_nothing_on_a_terminal(harvests: Harvests) -> None:
    """Control characters in a path stand escaped in the text, and the JSON is ASCII that reads back."""
    diagnosis = await ask(harvests, archive=f"{harvests.folder}/\x1b[31mcälls")
    text, told = diagnosis_text(diagnosis), diagnosis.as_json()
    assert "\x1b" not in text
    assert "\\x1b" in text
    assert told.isascii()
    assert json.loads(told)["exit_code"] == 0
    assert len(json.loads(told)["findings"]) == len(diagnosis.findings)


async def test_the_text_counts_what_is_wrong(harvests: Harvests) -> None:
    """The last line says whether anything is wrong; below what is not good stands what to change."""
    lines = diagnosis_text(await ask(harvests, must_exist=True)).splitlines()
    assert lines[0].startswith("bad   archive ")
    assert lines[1].lstrip().startswith("-> ")
    assert lines[-1].startswith("1 thing must be changed")
    assert diagnosis_text(await ask(harvests)).splitlines()[-1].startswith("nothing is wrong")


def test_a_trial_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """The trial's folder is removed with all that is in it, also when the trial ends with an error or is interrupted."""
    for error in (StorageError("full"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            break_off(tmp_path, error)
        assert list(tmp_path.iterdir()) == []


async def test_what_a_killed_doctor_left_is_named(harvests: Harvests) -> None:
    """A trial folder that nobody could remove is told of, and not removed: another doctor may be at work in it."""
    await harvests.run()
    left = harvests.archive / f"{TRIAL}0123456789ab"
    left.mkdir()
    diagnosis = await ask(harvests)
    assert any(str(left) in each.said for each in of(diagnosis, "archive", "note"))


def test_a_folder_is_tried_in_less_than_a_second(tmp_path: Path) -> None:
    """All that can be tried, on any disk: who examines an archive does not wait for it."""
    began = time.monotonic()
    try_folder(tmp_path, read_only=True)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        ("flock:error=EOPNOTSUPP", "it knows no lock that keeps two runs apart"),
        ("utimensat:error=EPERM", "it does not let times of files be set"),
        ("rename:error=EACCES:when=2", "a file that is open cannot be replaced"),
        ("fsync:error=EINVAL:when=9", "it cannot make the names in a folder durable"),
        ("fsync:error=EIO:when=1", "cannot write"),
        ("/^rename:error=EROFS:when=1", "cannot rename"),
        ("mkdir:error=EDQUOT:when=1", "cannot write in"),
    ],
)
def test_what_shares_refuse_is_told(tmp_path: Path, refused: str, expected: str) -> None:
    """What SMB, NFS and FAT refuse is noted, what no archive can do without is an error; nothing stays behind in either case."""
    if shutil.which("strace") is None:
        pytest.skip("a share that refuses is played by strace, which is not installed")
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={refused}"]
    done = subprocess.run(
        [*strace, sys.executable, "-c", TRY, str(tmp_path)], capture_output=True, text=True, check=False
    )
    if "ptrace" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.splitlines()[0]}")
    assert expected in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("shift_seconds", "verdict", "words"),
    [
        (0, "good", ""),
        (-59, "good", ""),
        (61, "good", ""),  # the header's second is not over yet
        (62, "note", "ahead of"),
        (-61, "note", "behind"),
        (-3600, "note", "behind"),
        (3602, "bad", "ahead of"),
        (-3 * 3600, "bad", "behind"),
    ],
)
def test_the_clock_is_held_against_the_platforms(shift_seconds: int, verdict: str, words: str) -> None:
    """More than a minute off is a note, more than an hour bad; the time that a request takes is not held against a clock."""
    mine = NOON + dt.timedelta(seconds=shift_seconds)
    found = clock_finding({"Date": "Sun, 01 Mar 2026 12:00:00 GMT"}, mine, mine)
    assert found.verdict == verdict
    assert words in found.said
    assert bool(found.advice) == (verdict != "good")


def test_a_slow_answer_is_no_wrong_clock() -> None:
    """An answer that took ten minutes proves no error of the clock, and one without a date none at all."""
    late = NOON + dt.timedelta(minutes=10)
    assert clock_finding({"Date": "Sun, 01 Mar 2026 12:05:00 GMT"}, NOON, late).verdict == "good"
    assert clock_finding({}, NOON, late).verdict == "note"
    assert clock_finding({"Date": "yesterday"}, NOON, late).verdict == "note"


@pytest.mark.parametrize(
    ("limit", "remaining", "wanted", "verdict", "words"),
    [
        (None, None, None, "note", "60 a minute"),
        (None, None, 30, "good", "requests_per_minute (30)"),
        (100, 98, None, "good", "98 are left"),
        (100, 98, 600, "note", "less than requests_per_minute (600)"),
        (100, 3, None, "note", "3 are left"),
        (100, None, 20, "good", "requests_per_minute (20)"),
    ],
)
def test_the_budget_follows_from_headers_and_settings(
    limit: int | None, remaining: int | None, wanted: int | None, verdict: str, words: str
) -> None:
    """What the platform tells and what the settings say give the budget of a run; others who use it up are suspected."""
    found = budget_finding(limit, remaining, wanted, 60)
    assert found.verdict == verdict
    assert words in found.said


@pytest.mark.parametrize(
    ("link", "status", "headers", "verdict"),
    [
        ("https://r/1.mp3", 206, {"Content-Range": "bytes 0-0/9", "ETag": '"a"'}, "good"),
        ("https://r/1.mp3", 206, {"Content-Range": "bytes 0-0/9", "ETag": 'W/"a"'}, "note"),
        ("https://r/1.mp3", 206, {"Content-Range": "bytes 5-5/9", "ETag": '"a"'}, "note"),
        ("https://r/1.mp3", 200, {"Content-Length": "9", "ETag": '"a"'}, "note"),
        ("http://r/1.mp3", 206, {"Content-Range": "bytes 0-0/9", "ETag": '"a"'}, "note"),
        ("https://r/1.mp3", 200, {"Content-Length": "9" * 5000}, "note"),
        ("https://r/1.mp3", 500, {}, "note"),
    ],
)
def test_a_recordings_server_is_judged_by_its_answer(
    link: str, status: int, headers: dict[str, str], verdict: str
) -> None:
    """Parts, a strong ETag and TLS are good; what lacks is a note that says what follows from it."""
    found = look_finding(look_of(link, status, headers))
    assert found.verdict == verdict
    assert bool(found.advice) == (verdict == "note")


def test_the_mount_of_a_path_is_found() -> None:
    """The nearest mount point holds a path; of two on one point the later; names with spaces are read."""
    table = "\n".join(
        [
            "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw",
            "30 27 0:40 / /mnt rw shared:1 - tmpfs tmpfs rw",
            "31 30 0:41 / /mnt/my\\040nas rw,relatime shared:5 master:2 - cifs //nas/calls rw",
            "32 27 0:42 / /srv rw - ext4 /dev/vdb rw",
            "33 27 0:43 / /srv rw - fuse.sshfs me@there:/ rw",
            "torn",
        ]
    )
    expected = {
        "/home/x": "ext4",
        "/mnt/x": "tmpfs",
        "/mnt/my nas/calls": "cifs",
        "/mnt/my": "tmpfs",
        "/srv/a": "fuse.sshfs",
    }
    found = {path: mount_of(PurePath(path), table) for path in expected}
    assert {path: mount.type for path, mount in found.items() if mount} == expected


@pytest.mark.parametrize(
    ("kind", "archive", "state"),
    [
        ("ext4", "good", "good"),
        ("fuseblk", "good", "good"),
        ("nfs4", "note", "bad"),
        ("cifs", "note", "bad"),
        ("fuse.rclone", "note", "note"),
        ("tmpfs", "note", "good"),
        ("overlay", "note", "good"),
    ],
)
def test_what_a_file_system_means(kind: str, archive: str, state: str) -> None:
    """An archive may lie on a share, which is noted; the local state may not: SQLite and locks do not hold there."""
    mount = Mount(point="/x", type=kind, source="there")
    assert [each.verdict for each in lasting(Path("/x"), mount)] == [archive]
    assert [each.verdict for each in local_enough(Path("/x"), mount)] == [state]
