"""The bulletin in the local state: what it tells of a run, and of a night that could not begin."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.bulletin import Bulletin, Counts, put_up, read_bulletin
from harvester.demo.faults import Fault
from harvester.demo.server import Platform
from harvester.screen import status_text
from harvester.status import read_status
from tests.harvests import Harvests


def told(harvests: Harvests) -> dict[str, Any]:
    """What status.json says."""
    (path,) = harvests.state.glob("*/status.json")
    found = json.loads(path.read_bytes())
    assert isinstance(found, dict)
    return found


async def test_a_run_is_told_to_its_end(harvests: Harvests) -> None:
    """When a run has ended, the bulletin bears its id, its sums and its verdict, and `status` says nothing twice."""
    account = await harvests.run()
    bulletin = told(harvests)
    assert (bulletin["phase"], bulletin["run"]) == ("ended", account.run)
    assert (bulletin["verdict"], bulletin["exit_code"], bulletin["said"]) == ("complete", 0, None)
    assert bulletin["counts"]["settled"] == account.listed
    assert bulletin["began_at"] <= bulletin["progress_at"] <= bulletin["at"]
    assert "the run" not in status_text(read_status(harvests.settings()))


async def test_a_run_that_is_going_on_is_told(platform: Platform, harvests: Harvests) -> None:
    """While a run is at work, `status` tells its process, its phase and how far it has got."""
    platform.faults.add(Fault(where="recording", kind="hang", after=5))
    process = await harvests.start("run")
    await harvests.until(8)
    status = await harvests.cli("status")
    process.kill()
    await process.aclose()
    assert f"process {process.pid}, is working since" in status.stdout.decode()


@pytest.mark.parametrize(
    ("arguments", "environment", "exit_code", "said"),
    [
        ((), {"HARVESTER_API_KEY": "not-the-key"}, 4, "refuses the API key"),
        (("--base-url", "http://127.0.0.1:9/api"), {}, 5, "127.0.0.1:9"),
        (("--key-file", "nowhere"), {"HARVESTER_API_KEY": ""}, 2, "nowhere"),
    ],
)
@pytest.mark.parametrize("before", [False, True])
async def test_a_night_that_could_not_begin_is_told(
    harvests: Harvests, arguments: tuple[str, ...], environment: dict[str, str], exit_code: int, said: str, before: bool
) -> None:
    """A refused key, a platform that is down, no key: `status` tells exit code and sentence, with an archive or without."""
    if before:
        await harvests.run()
    done = await harvests.cli("run", *arguments, **environment)
    assert done.returncode == exit_code
    bulletin = told(harvests)
    assert (bulletin["phase"], bulletin["run"], bulletin["exit_code"]) == ("ended", None, exit_code)
    assert said in bulletin["said"]
    status = await harvests.cli("status")
    shown = (status.stdout if before else status.stderr).decode()
    assert f"could not begin, and ended with exit code {exit_code}: {bulletin['said']}" in shown
    assert status.returncode == (0 if before else 6)


async def test_a_run_that_is_refused_takes_no_other_ones_bulletin(platform: Platform, harvests: Harvests) -> None:
    """Who does not get the lock, or fails before asking for it, leaves the bulletin of the run that is at work alone."""
    platform.faults.add(Fault(where="recording", kind="hang", after=5))
    process = await harvests.start("run")
    await harvests.until(8)
    second = await harvests.cli("run")
    third = await harvests.cli("run", "--key-file", "nowhere", HARVESTER_API_KEY="")
    bulletin = told(harvests)
    process.kill()
    await process.aclose()
    assert (second.returncode, third.returncode) == (7, 2)
    assert (bulletin["pid"], bulletin["phase"]) == (process.pid, "working")


async def test_an_attempt_that_was_cut_off_is_told(platform: Platform, harvests: Harvests) -> None:
    """A process that was killed before its run began is told as cut off."""
    await harvests.run()
    platform.faults.add(Fault(where="me", kind="hang"))
    before = platform.count("me")
    process = await harvests.start("run")
    while platform.count("me") == before:  # noqa: ASYNC110 - the platform has no event for it
        await anyio.sleep(0.005)
    process.kill()
    await process.aclose()
    assert "was cut off before it had begun" in status_text(read_status(harvests.settings()))


async def test_a_dry_run_leaves_no_trace(harvests: Harvests) -> None:
    """A run that writes nothing puts up no bulletin, whether it ends well or not."""
    await harvests.run(dry_run=True)
    await harvests.cli("run", "--dry-run", HARVESTER_API_KEY="not-the-key")
    await harvests.cli("run", "--dry-run", "--key-file", "nowhere", HARVESTER_API_KEY="")
    assert not list(harvests.state.glob("*/status.json"))


@given(st.binary() | st.builds(lambda text: json.dumps({"pid": text}).encode(), st.text()))
def test_a_bulletin_of_noise_is_none(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    """A bulletin that cannot be read tells nothing, and stops nothing."""
    path = tmp_path_factory.getbasetemp() / "status.json"
    path.write_bytes(noise)
    assert read_bulletin(path) is None


@given(st.text(), st.integers(0, 2**53))
def test_a_bulletin_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, said: str, number: int) -> None:
    """Whatever it says, it is ASCII without control characters, and is read back as it was."""
    path: Path = tmp_path_factory.getbasetemp() / "status.json"
    counts = Counts(expected=number)
    bulletin = Bulletin(archive="a", pid=1, phase="ended", began_at="", since="", at="", said=said, counts=counts)
    put_up(path, bulletin)
    assert read_bulletin(path) == bulletin
    assert path.read_bytes().replace(b"\n", b"").decode("ascii").isprintable()
