"""The commands beside `run`, used as a user would: init, status, verify, config, demo, platform, and what the documents show."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from harvester.demo.faults import Fault
from harvester.demo.server import Platform
from tests.harvests import Harvests, command

ROOT = Path(__file__).parent.parent


def shell_blocks(document: str) -> list[str]:
    """The shell examples of a document."""
    return re.findall(r"^```sh\n(.*?)^```", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)


async def test_init_makes_an_archive_that_is_expected(platform: Platform, harvests: Harvests) -> None:
    """`init` makes the archive and a settings file; the run that uses it needs no more flags."""
    made = await harvests.cli("init", "--write", "mine.toml")
    done = await harvests.cli("run", "--config", "mine.toml", HARVESTER_ARCHIVE="")
    assert (made.returncode, done.returncode) == (0, 0)
    assert "must_exist = true" in (harvests.folder / "mine.toml").read_text()
    assert platform.key not in (harvests.folder / "mine.toml").read_text()
    assert harvests.files()


async def test_init_keeps_nothing_that_is_for_one_time(harvests: Harvests) -> None:
    """What was given for this one time (a full listing, a limit) does not stand in the settings file for every night."""
    made = await harvests.cli(
        "init", "--write", "mine.toml", "--full", "--limit", "3", "--lookback-days", "9", "--strict"
    )
    text = (harvests.folder / "mine.toml").read_text()
    assert made.returncode == 0
    assert {"lookback_days = 9", "strict = true", "# full = false", "# limit = 100"} <= set(text.splitlines())


async def test_a_run_of_init_without_its_share_writes_nothing(harvests: Harvests) -> None:
    """The settings file of `init` makes a run stop when the archive is not there, on another machine too: exit 6."""
    await harvests.cli("init", "--write", "mine.toml")
    harvests.archive.rename(harvests.folder / "unmounted")
    harvests.archive.mkdir()
    done = await harvests.cli("run", "--config", "mine.toml", "--state-folder", "new-state")
    assert done.returncode == 6
    assert not any(harvests.archive.iterdir())


async def test_init_overwrites_nothing(harvests: Harvests) -> None:
    """A settings file that is there already is refused, and stays as it is: exit 2, and no archive is made."""
    (harvests.folder / "mine.toml").write_text("# mine")
    taken = await harvests.cli("init", "--write", "mine.toml")
    nowhere = await harvests.cli("init", "--write", "no/such/folder.toml")
    assert (taken.returncode, nowhere.returncode) == (2, 2)
    assert (harvests.folder / "mine.toml").read_text() == "# mine"
    assert not harvests.archive.exists()


async def test_init_takes_an_archive_that_is_there(harvests: Harvests) -> None:
    """After a first run by hand, `init` keeps its archive and writes the settings file for the nights to come."""
    await harvests.run()
    mark = (harvests.archive / "harvester-archive.json").read_bytes()
    made = await harvests.cli("init", "--write", "mine.toml")
    done = await harvests.cli("run", "-q", "--config", "mine.toml", HARVESTER_ARCHIVE="")
    assert (made.returncode, done.returncode) == (0, 0)
    assert (harvests.archive / "harvester-archive.json").read_bytes() == mark


async def test_init_checks_the_key(harvests: Harvests) -> None:
    """A key that the platform refuses makes no archive: exit 4."""
    done = await harvests.cli("init", HARVESTER_API_KEY="wrong")
    assert done.returncode == 4
    assert not harvests.archive.exists()


async def test_status_names_what_is_open_and_why(platform: Platform, harvests: Harvests) -> None:
    """After a run, status tells how it ended, and each pending and failed call with its reason."""
    bad = next(i for i in platform.book.ids() if str(platform.book.row(i)["recording_url"]).endswith(".mp3"))
    platform.faults.add(Fault(where="recording", kind="status", code=404, match=bad))
    await harvests.run()
    done = await harvests.cli("status", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["calls"], told["last_run"]["exit_code"]) == (0, 65, 3)
    assert [(call["id"], "answered 404" in call["reason"]) for call in told["failed"]] == [(str(bad), True)]
    assert [call["id"] for call in told["pending"]] == [str(i) for i in sorted(platform.book.unsettled())]
    assert str(bad) in (await harvests.cli("status")).stdout.decode()


async def test_status_answers_while_a_run_is_going_on(platform: Platform, harvests: Harvests) -> None:
    """Status does not wait for the run that holds the lock."""
    platform.faults.add(Fault(where="recording", kind="hang", after=20))
    process = await harvests.start("run")
    await harvests.until(25)
    done = await harvests.cli("status", "--json")
    process.kill()
    await process.aclose()
    assert done.returncode == 0
    assert json.loads(done.stdout)["running"] is True


async def test_plan_tells_what_a_run_would_take(platform: Platform, harvests: Harvests) -> None:
    """A plan costs a handful of requests and writes nothing: the calls, the requests and the bytes to come."""
    done = await harvests.cli("plan", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["calls"], told["new_calls"]) == (0, 65, 65)
    assert len(platform.requests) < 20
    assert not harvests.archive.exists()
    shown = (await harvests.cli("plan")).stdout.decode()
    assert shown.startswith("calls to list")
    assert "nothing was written" in shown
    assert (await harvests.cli("plan", HARVESTER_API_KEY="wrong")).returncode == 4


async def test_status_shows_what_the_last_run_found_changed(platform: Platform, harvests: Harvests) -> None:
    """`status --changes` names each changed call with its fields, old and new, for people and as JSON."""
    await harvests.run()
    call = next(i for i in platform.book.ids() if platform.book.row(i)["status"] == "ended")
    platform.book.change(call, status="completed")
    await harvests.run(full=True)
    shown = await harvests.cli("status", "--changes")
    told = json.loads((await harvests.cli("status", "--changes", "--json")).stdout)
    assert (shown.returncode, told["changed"], told["calls"][0]["id"]) == (0, 1, str(call))
    assert all(word in shown.stdout.decode() for word in (str(call), "status", "ended", "completed"))


async def test_status_of_nothing_is_an_error(harvests: Harvests) -> None:
    """Where there is no archive, status says so: exit 6, and makes none."""
    done = await harvests.cli("status")
    assert done.returncode == 6
    assert b"no archive" in done.stderr
    assert not harvests.archive.exists()


@pytest.mark.parametrize("damage", ["altered", "missing", "unexpected"])
async def test_verify_names_the_damage(harvests: Harvests, damage: str) -> None:
    """An altered, a missing and an unexpected file are each named: exit 8; an intact archive: exit 0."""
    await harvests.run()
    intact = await harvests.cli("verify")
    key, data = next((key, data) for key, data in harvests.files().items() if key.endswith(".mp3"))
    path = harvests.archive / key
    if damage == "altered":
        path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    elif damage == "missing":
        path.unlink()
    else:
        key = "2025/01/01/stray.mp3"
        (harvests.archive / key).parent.mkdir(parents=True)
        (harvests.archive / key).write_bytes(data)
    done = await harvests.cli("verify", "--json")
    (finding,) = json.loads(done.stdout)["findings"]
    assert (intact.returncode, done.returncode) == (0, 8)
    assert (finding["kind"], finding["path"]) == (damage, key)
    assert f"{damage}: '{key}'" in (await harvests.cli("verify")).stdout.decode()


async def test_config_tells_where_each_value_came_from(harvests: Harvests) -> None:
    """Flag, variable, the file's line, default: each value is shown with its source, and the key never."""
    (harvests.folder / "harvester.toml").write_text("workers = 3\n")
    done = await harvests.cli("config", "--json", "--per-page", "50")
    told = json.loads(done.stdout)
    assert told["per_page"] == {"value": "50", "source": "--per-page", "environment": "HARVESTER_PER_PAGE"}
    assert told["workers"]["source"] == "harvester.toml, line 1"
    assert told["archive"]["source"] == "HARVESTER_ARCHIVE"
    assert told["attempts"] == {"value": "5", "source": "default", "environment": "HARVESTER_ATTEMPTS"}
    assert harvests.platform.key.encode() not in done.stdout + (await harvests.cli("config")).stdout


async def test_an_open_key_file_is_a_warning(platform: Platform, harvests: Harvests) -> None:
    """A key file that others can read works, with a warning that says how to close it."""
    key = harvests.folder / "key"
    key.write_text(platform.key + "\n")
    key.chmod(0o644)
    done = await harvests.cli("run", "--key-file", "key", HARVESTER_API_KEY="")
    assert done.returncode == 0
    assert b"chmod 600" in done.stderr


async def test_the_demo_shows_the_main_job(tmp_path: Path) -> None:
    """`harvester demo` harvests about 200 calls, verifies them, and says where they are and what to do next."""
    done = await anyio.run_process(command("demo"), cwd=tmp_path, stderr=subprocess.PIPE)
    told = done.stderr.decode()
    assert "200 calls listed" in told
    assert "complete: " in told
    assert "intact: " in told
    assert "harvester-demo/archive" in told
    assert "HARVESTER_API_KEY" in told
    assert len(list((tmp_path / "harvester-demo/archive").rglob("*.mp3"))) > 100


async def test_the_demo_can_be_run_again(tmp_path: Path) -> None:
    """A second demo takes another folder; the first one's archive stays."""
    for _ in range(2):
        await anyio.run_process(command("demo"), cwd=tmp_path, stderr=subprocess.PIPE)
    assert sorted(await anyio.to_thread.run_sync(os.listdir, tmp_path)) == ["harvester-demo", "harvester-demo-2"]


async def test_the_platform_can_be_served_alone(tmp_path: Path) -> None:
    """`harvester platform` prints its URL and key, and a run against them works."""
    async with await anyio.open_process(command("platform", "--port", "0", "--calls", "30")) as process:
        assert process.stdout is not None
        told = (await process.stdout.receive()).decode().split()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "HARVESTER_BASE_URL": told[2],
            "HARVESTER_API_KEY": told[4],
        }
        done = await anyio.run_process(
            command("run", "--archive", "a", "--allow-private-hosts", "--min-free", "0"), cwd=tmp_path, env=environment
        )
        process.terminate()
    assert done.returncode == 0


async def test_the_commands_of_the_readme_run(platform: Platform, harvests: Harvests) -> None:
    """Every command that the README shows works as it stands, once the key is a real one."""
    for block in shell_blocks("README.md")[1:]:
        script = block.replace("export HARVESTER_API_KEY=...", "true").replace("/mnt/nas", ".").replace("/etc", "etc")
        (harvests.folder / "etc/harvester").mkdir(parents=True, exist_ok=True)
        key = harvests.folder / "etc/harvester/key"
        key.write_text(platform.key)
        key.chmod(0o600)
        environment = harvests.environment | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        del environment["HARVESTER_ARCHIVE"]
        environment["HARVESTER_STATE_FOLDER"] = str(harvests.folder / f"state-{len(script)}")
        async with await anyio.open_process(
            ["bash", "-euo", "pipefail", "-c", script], env=environment, cwd=harvests.folder
        ) as process:
            assert await process.wait() == 0
        (harvests.folder / "calls").rename(harvests.folder / f"done-{len(script)}")


def test_the_readme_begins_with_what_to_paste() -> None:
    """Both commands stand within the first 15 lines, each on one line: the demo, then the tests."""
    head = (ROOT / "README.md").read_text().splitlines()[:15]
    assert sum(line.startswith("python3 -m venv") and line.endswith("harvester demo") for line in head) == 1
    assert sum(line.startswith("python3 -m venv") and line.endswith("pytest") for line in head) == 1


@pytest.mark.parametrize("tampered", [False, True])
async def test_the_shell_checks_of_the_format_work(harvests: Harvests, tampered: bool) -> None:
    """The shell lines of docs/archive-format.md find an intact archive intact, and an altered one altered."""
    await harvests.run()
    await harvests.run()
    if tampered:
        (ledger, _) = sorted(harvests.archive.glob("runs/*/ledger.jsonl"))
        ledger.write_bytes(ledger.read_bytes().replace(b'"attempts":1', b'"attempts":2', 1))
    files, _, chain, both, *_ = shell_blocks("docs/archive-format.md")  # of the seals: tests/archive/test_seal.py
    said = []
    for script in (files, chain, both.replace("/tmp/", f"{harvests.folder}/")):
        done = await anyio.run_process(["bash", "-c", script], cwd=harvests.archive, check=False)
        said.append(done.stdout.decode().strip())
    assert ("intact" in said[0], "unbroken" in said[1]) == (not tampered, not tampered)
    assert said[2] == ""


async def test_the_shell_check_of_an_archive_with_erased_calls_works(harvests: Harvests) -> None:
    """The shell lines of docs/archive-format.md know what was erased, and name what lies there again or is missing besides."""
    await harvests.run()
    path = harvests.path(100003, "json")
    erased, data = path.relative_to(harvests.archive), path.read_bytes()
    await harvests.cli("erase", "--id", "100003", "--reason", "a request", "--execute")
    script = shell_blocks("docs/archive-format.md")[1].replace("/tmp/", f"{harvests.folder}/")

    async def said() -> str:
        done = await anyio.run_process(["bash", "-c", script], cwd=harvests.archive, check=False)
        return done.stdout.decode().strip()

    assert await said() == "intact"
    path.write_bytes(data)
    assert await said() == f"intact\nerased, and lies there: {erased}"
    harvests.path(100004, "json").unlink()
    assert "intact" not in (await said()).splitlines()


@pytest.mark.parametrize("place", ["calls/report.json", "no/such/folder/report.json", "."])
async def test_a_report_that_cannot_lie_there_is_refused_first(
    platform: Platform, harvests: Harvests, place: str
) -> None:
    """A report inside the archive, in a folder that is not there, or that is a folder: exit 2 before the first request."""
    done = await harvests.cli("run", "--report-json", place)
    assert (done.returncode, len(platform.requests)) == (2, 0)
    assert b"--report-json" in done.stderr


async def test_a_report_goes_into_a_device_and_does_not_replace_it(harvests: Harvests) -> None:
    """What is no regular file is written into, never replaced."""
    done = await harvests.cli("run", "-q", "--report-json", "/dev/stdout")
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (0, "complete")


async def test_a_run_that_cannot_begin_leaves_its_report(harvests: Harvests) -> None:
    """A night whose key is refused writes a report that says so, over the one of the night before, and a line in the log."""
    await harvests.cli("run", "--report-json", "report.json")
    done = await harvests.cli("run", "-q", "--report-json", "report.json", HARVESTER_API_KEY="revoked")
    report = json.loads((harvests.folder / "report.json").read_bytes())
    (log,) = harvests.state.glob("*/harvester.log")
    assert (done.returncode, report["verdict"], report["exit_code"]) == (4, "incomplete", 4)
    assert "refuses the API key" in report["error"]
    assert "refuses the API key" in log.read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
async def test_a_report_that_cannot_be_written_hides_no_account(platform: Platform, harvests: Harvests) -> None:
    """The account is on the screen, and what befell the run decides the exit code where that is worse."""
    done = await harvests.cli("run", "--report-json", "/dev/full")
    assert done.returncode == 2
    assert b"complete: everything that the platform lists is settled" in done.stderr
    assert done.stderr.endswith(
        b"cannot write /dev/full: the disk is full; make room and run again: what is saved stays\n"
    )
    platform.faults.add(Fault(where="list", kind="status", code=401))
    assert (await harvests.cli("run", "--report-json", "/dev/full")).returncode == 4
    done = await harvests.cli("run", "--report-json", "/dev/full", HARVESTER_API_KEY="revoked")
    assert (done.returncode, b"refuses the API key" in done.stderr) == (4, True)


async def test_a_slip_in_a_variable_is_told(harvests: Harvests) -> None:
    """A variable that begins like ours and means nothing is named."""
    done = await harvests.cli("config", HARVESTER_PERPAGE="5")
    assert b"HARVESTER_PERPAGE" in done.stderr


async def test_a_closed_screen_is_no_reason_to_fail(harvests: Harvests) -> None:
    """Without a standard error, as under some schedulers, the run does its job."""
    line = " ".join([*command("run"), "2>&-"])
    environment = {**harvests.environment, "PATH": os.environ["PATH"], "HOME": str(harvests.folder)}
    done = await anyio.run_process(line, check=False, env=environment, cwd=harvests.folder)
    assert done.returncode == 0
    assert harvests.files()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(("key", "exit_code"), [("", 0), ("revoked", 4)])
async def test_a_screen_that_takes_nothing_changes_no_exit_code(harvests: Harvests, key: str, exit_code: int) -> None:
    """What cron sends to a full disk is lost; how the run has ended is told by its exit code all the same."""
    line = " ".join([*command("run"), "2>/dev/full"])
    environment = {**harvests.environment, "PATH": os.environ["PATH"], "HOME": str(harvests.folder)}
    environment |= {"HARVESTER_API_KEY": key} if key else {}
    done = await anyio.run_process(line, check=False, env=environment, cwd=harvests.folder)
    assert (done.returncode, done.stdout) == (exit_code, b"")


async def test_the_demo_says_what_to_type(tmp_path: Path) -> None:
    """Started from an environment that is not active, it names the program by its path, so that its lines can be pasted."""
    started = str(Path(sys.executable).parent / "harvester")
    for path, typed in (("/usr/bin:/bin", started), (f"{Path(started).parent}:/usr/bin:/bin", "harvester")):
        done = await anyio.run_process(
            [started, "demo"], cwd=tmp_path, stderr=subprocess.PIPE, env={"PATH": path, "HOME": str(tmp_path)}
        )
        assert f"\n  {typed} run --archive ./calls\n" in done.stderr.decode()
