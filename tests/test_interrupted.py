"""A run that is stopped by anything goes on where it stopped: nothing is fetched twice, nothing is skipped."""

import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault
from harvester.demo.server import Platform, serve
from tests.harvests import Harvests


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    """Serve 300 settled calls, enough to be interrupted among them."""
    async with serve(CallBook(count=300, most_seconds=20, in_progress=0, late=0)) as platform:
        yield platform


def fetched(platform: Platform, since: int = 0) -> Counter[str]:
    """How often each recording was asked for, from the request with this number on."""
    return Counter(seen.path for seen in platform.requests[since:] if seen.where == "recording")


def settled_links(harvests: Harvests) -> set[str]:
    """The paths of the recordings that the ledger calls saved."""
    links = (line["recording"]["link"] for line in harvests.lines() if line["event"] == "saved")
    return {link.partition("://")[2].partition("/")[2] for link in links}


def recordings_of(platform: Platform) -> list[bytes]:
    """Every recording of the account."""
    return sorted(platform.book.recording(i) for i in platform.book.ids() if platform.book.row(i)["recording_url"])


def archived_recordings(harvests: Harvests) -> list[bytes]:
    """Every recording of the archive."""
    return sorted(data for key, data in harvests.files().items() if key.endswith((".mp3", ".m4a", ".mp4")))


@pytest.mark.parametrize("after", [3, 40, 120])
async def test_a_killed_run_goes_on(platform: Platform, harvests: Harvests, after: int) -> None:
    """After SIGKILL the next run fetches what is not settled, nothing that is, and the archive is whole."""
    process = await harvests.start("run")
    await harvests.until(after)
    process.kill()
    await process.aclose()
    settled, asked = settled_links(harvests), len(platform.requests)
    account = await harvests.run()
    assert account.exit_code == 0
    assert archived_recordings(harvests) == recordings_of(platform)
    assert not settled & {path.lstrip("/") for path in fetched(platform, asked)}
    assert not harvests.verify().findings


async def test_a_killed_run_leaves_no_half_file_under_a_final_name(platform: Platform, harvests: Harvests) -> None:
    """What has a final name when the power goes is whole: each file equals what the platform holds."""
    process = await harvests.start("run")
    await harvests.until(60)
    process.kill()
    await process.aclose()
    whole = set(recordings_of(platform))
    assert all(data in whole for data in archived_recordings(harvests))
    assert all(data.startswith(b"{") and data.endswith(b"}") for key, data in harvests.files().items() if "json" in key)


async def test_a_killed_run_is_mended(harvests: Harvests) -> None:
    """The next run closes the one that was cut off: manifest, account, seal, no parts left, and a line that says so."""
    process = await harvests.start("run")
    await harvests.until(60)
    process.kill()
    await process.aclose()
    account = await harvests.run()
    (cut_off,) = account.mended_runs
    assert {path.name for path in (harvests.archive / "runs" / cut_off).iterdir()} == {
        "ledger.jsonl",
        "manifest-sha256.txt",
        "run.json",
        "seal.txt",
    }
    assert [line["run"] for line in harvests.lines() if line["event"] == "recovered"] == [cut_off]


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_closes_the_run(
    platform: Platform, harvests: Harvests, number: signal.Signals, exit_code: int
) -> None:
    """SIGINT and SIGTERM end the run with its ledger closed and its own exit code; the next run goes on."""
    process = await harvests.start("run")
    await harvests.until(30)
    process.send_signal(number)
    assert await process.wait() == exit_code
    await process.aclose()
    last = list(harvests.lines())[-1]
    assert (last["event"], last["verdict"], last["exit_code"]) == ("run-closed", "interrupted", exit_code)
    assert (await harvests.run()).exit_code == 0
    assert archived_recordings(harvests) == recordings_of(platform)
    assert not harvests.verify().findings


async def test_a_second_signal_stops_at_once(platform: Platform, harvests: Harvests) -> None:
    """While the run waits for recordings that never come, a second signal ends it; the next run mends it."""
    platform.faults.add(Fault(where="recording", kind="hang", after=5))
    process = await harvests.start("run")
    await harvests.until(8)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    said = await process.stderr.receive()
    assert b"once more stops at once" in said
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 130
    await process.aclose()
    platform.faults.clear()
    assert len((await harvests.run()).mended_runs) == 1


@pytest.mark.parametrize("damage", ["deleted", "noise", "truncated", "emptied"])
async def test_a_lost_checkpoint_is_rebuilt(platform: Platform, harvests: Harvests, damage: str) -> None:
    """Without a readable checkpoint the ledgers tell what is settled: nothing is downloaded again."""
    await harvests.run()
    asked = platform.count("recording")
    (checkpoint,) = harvests.state.glob("*/checkpoint.db")
    if damage == "deleted":
        checkpoint.unlink()
    elif damage == "truncated":
        os.truncate(checkpoint, checkpoint.stat().st_size // 2)
    else:
        checkpoint.write_bytes(os.urandom(50_000) if damage == "noise" else b"")
    account = await harvests.run()
    assert account.exit_code == 0
    assert platform.count("recording") == asked


async def test_another_machine_goes_on_from_the_archive_alone(platform: Platform, harvests: Harvests) -> None:
    """The local state is only an index: with a new one the run knows all that is settled."""
    await harvests.run()
    asked = platform.count("recording")
    account = await harvests.run(state_folder=str(harvests.folder / "elsewhere"))
    assert (account.exit_code, platform.count("recording")) == (0, asked)


async def test_a_torn_ledger_line_is_cut_and_told(harvests: Harvests) -> None:
    """A last line without its end is cut off, and the next run says so in its ledger."""
    process = await harvests.start("run")
    await harvests.until(60)
    process.kill()
    await process.aclose()
    (ledger,) = harvests.archive.glob("runs/*/ledger.jsonl")
    with ledger.open("ab") as file:
        file.write(b'{"seq":99,"prev":"0')
    assert (await harvests.run()).exit_code == 0
    (mended,) = [line for line in harvests.lines() if line["event"] == "recovered"]
    assert mended["torn_bytes"] == 19
    assert not harvests.verify().findings


@pytest.mark.parametrize("kept", [0.5, 0.9, "whole lines"])
async def test_a_ledger_that_was_cut_after_its_run_had_closed_is_told(
    platform: Platform, harvests: Harvests, kept: float | str
) -> None:
    """The next run says so, looks at what it tells no more, and converges; nothing that it does not tell is taken for settled."""
    await harvests.run()
    before = harvests.files()
    (ledger,) = harvests.archive.glob("runs/*/ledger.jsonl")
    data = ledger.read_bytes()
    left = data[: int(len(data) * kept)] if isinstance(kept, float) else b"".join(data.splitlines(keepends=True)[:-9])
    ledger.write_bytes(left)
    account = await harvests.run()
    assert (account.exit_code, account.listed) == (0, 300)
    assert any("does not end as its seal says" in warning for warning in account.warnings)
    assert harvests.files() == before
    assert harvests.verify().findings
    assert not [warning for warning in (await harvests.run()).warnings if "seal" in warning]


def noise(ledger: Path) -> None:
    """Write a line that nobody can read."""
    ledger.write_bytes(b"\x00\x1b]0;noise\n")


@pytest.mark.parametrize("command", ["run", "status", "plan", "doctor"])
@pytest.mark.parametrize("plant", [noise, Path.mkdir, os.mkfifo], ids=["noise", "folder", "pipe"])
async def test_a_ledger_that_is_none_is_told_with_what_to_do(
    harvests: Harvests, command: str, plant: Callable[[Path], None]
) -> None:
    """Each command refuses it (8), waits for nobody, and says where it lies and how to go on; without it all is as it was."""
    await harvests.run()
    planted = harvests.archive / "runs" / "20261126T050000Z-aaaaaaaa"
    planted.mkdir()
    plant(planted / "ledger.jsonl")
    with anyio.fail_after(20):
        done = await harvests.cli(command)
        told = (await harvests.cli("verify")).stdout.decode()
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 8
    assert f"{planted.name}/ledger.jsonl" in said
    assert said.count("restore it from a copy of the archive, or move its folder elsewhere") == 1
    assert "a folder below runs/ that no run of harvester has made is to be moved elsewhere" in told
    assert "the next run" not in told  # mends it not
    planted.rename(harvests.folder / planted.name)
    assert (await harvests.cli(command)).returncode == 0
    assert not harvests.verify().findings


@pytest.mark.parametrize("state", ["state", "elsewhere"])
async def test_only_one_run_at_a_time(platform: Platform, harvests: Harvests, state: str) -> None:
    """A second run on the archive, with whatever state folder: exit 7, one sentence, and the first is left alone."""
    platform.faults.add(Fault(where="recording", kind="hang", after=5))
    process = await harvests.start("run")
    await harvests.until(6)
    try:
        with anyio.fail_after(20):
            second = await harvests.cli("run", "--state-folder", str(harvests.folder / state))
    finally:
        process.kill()
        await process.aclose()
    assert second.returncode == 7
    assert second.stderr.decode().count("\n") == 1
    assert "another run" in second.stderr.decode()


async def test_what_is_settled_is_not_asked_for_again(platform: Platform, tmp_path: Path) -> None:
    """In a run that is not interrupted no recording is asked for twice."""
    await Harvests(platform, tmp_path).run()
    assert max(fetched(platform).values()) == 1


async def test_verify_calls_a_run_that_is_going_on_no_damage(platform: Platform, harvests: Harvests) -> None:
    """While a run writes, and after it was killed, verify has notes but no findings."""
    process = await harvests.start("run")
    for recordings in (20, 90, 160):
        await harvests.until(recordings)
        assert not (await anyio.to_thread.run_sync(harvests.verify)).findings
    process.kill()
    await process.aclose()
    found = harvests.verify()
    assert not found.findings
    assert found.notes
