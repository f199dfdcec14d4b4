"""Runs whose seals are to be signed and stamped, from the command line: what the screen says, and how they end."""

import json
import shutil
from pathlib import Path

import pytest

from harvester.archive.layout import SEAL, SIGNATURE, STAMP, STAMP_CHAIN
from harvester.demo.server import Platform
from tests.evidence.test_signature import new_key
from tests.evidence.tsa import Authority
from tests.harvests import Harvests

pytestmark = pytest.mark.skipif(
    not (shutil.which("openssl") and shutil.which("ssh-keygen")), reason="openssl or ssh-keygen is missing"
)


def beside(harvests: Harvests) -> list[set[str]]:
    """Return what lies in each run's folder of a seal and what vouches for it, oldest run first."""
    folders = sorted((harvests.archive / "runs").iterdir())
    return [{path.name for path in folder.iterdir() if path.name.startswith("seal")} for folder in folders]


def newest(harvests: Harvests) -> str:
    """Return the id of the newest run."""
    return max(path.name for path in (harvests.archive / "runs").iterdir())


@pytest.mark.calm
async def test_a_run_says_who_has_vouched_for_it(harvests: Harvests, tmp_path: Path) -> None:
    """Signed and stamped: both stand on the screen and in the report, with key and time; the exit code is 0."""
    key = new_key(tmp_path)
    async with Authority(tmp_path / "tsa").served() as authority:
        more = {
            "HARVESTER_SEAL_SSH_KEY": str(key),
            "HARVESTER_SEAL_TSA_URL": authority.url,
            "HARVESTER_SEAL_TSA_CA": str(authority.root),
        }
        done = await harvests.cli("run", "--report-json", "report.json", **more)
    assert done.returncode == 0, done.stderr
    assert b"seal: signed by ED25519 key SHA256:" in done.stderr
    assert b"seal: stamped by CN=TSA,O=Stamps at 20" in done.stderr
    account = json.loads((harvests.folder / "report.json").read_bytes())
    assert ([each.split(" by ")[0] for each in account["seal"]], account["alarms"]) == (["signed", "stamped"], [])
    assert beside(harvests) == [{SEAL, SIGNATURE, STAMP, STAMP_CHAIN}]
    assert harvests.verify().findings == []


@pytest.mark.calm
async def test_a_locked_key_ends_no_run_and_is_overlooked_by_nobody(harvests: Harvests, tmp_path: Path) -> None:
    """Exit 0, because the backup is whole; yet screen (also a quiet one), report, log and `status` say that it is not signed."""
    locked = new_key(tmp_path, passphrase="secret")
    said = f"is not signed: the key {locked} is locked by a passphrase"
    more = {"HARVESTER_SEAL_SSH_KEY": str(locked)}
    done = await harvests.cli("run", "-q", "--report-json", "report.json", **more)
    assert done.returncode == 0
    assert f"alarm: the seal of the run {newest(harvests)} {said}" in done.stderr.decode()
    assert said in json.loads((harvests.folder / "report.json").read_bytes())["alarms"][0]
    (log,) = harvests.state.glob("*/harvester.log")
    assert said in log.read_text()
    assert said in (await harvests.cli("status")).stdout.decode()
    assert beside(harvests) == [{SEAL}]
    open_key = new_key(tmp_path, "open")
    done = await harvests.cli("run", HARVESTER_SEAL_SSH_KEY=str(open_key))
    assert b"seal: of earlier runs 1 seal signed" in done.stderr
    assert beside(harvests) == [{SEAL, SIGNATURE}, {SEAL, SIGNATURE}]
    assert said not in (await harvests.cli("status")).stdout.decode()


async def test_who_wants_to_fail_for_a_signature_can(harvests: Harvests, tmp_path: Path) -> None:
    """With --strict a signature that is missing ends the run with 3, as every alarm does, and `status` says so."""
    locked = new_key(tmp_path, passphrase="secret")
    done = await harvests.cli("run", "--strict", HARVESTER_SEAL_SSH_KEY=str(locked))
    assert done.returncode == 3
    assert b"--strict makes it exit 3" in done.stderr
    assert b"complete, exit code 3" in (await harvests.cli("status")).stdout


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"HARVESTER_SEAL_SSH_KEY": "nowhere"}, b"seal_ssh_key: the key nowhere cannot be read: No such file"),
        ({"HARVESTER_SEAL_SSH_KEY": "letter"}, b"letter holds no SSH key"),
        ({"HARVESTER_SEAL_TSA_URL": "https://me:secret@tsa.example"}, b"without user and query"),
        (
            {"HARVESTER_SEAL_TSA_URL": "https://tsa.example", "HARVESTER_SEAL_TSA_CA": "letter"},
            b"seal_tsa_ca: letter holds no certificates in PEM",
        ),
        (
            {"HARVESTER_SEAL_TSA_URL": "https://tsa.example", "PYTHONPATH": "without"},
            b" -m pip install 'harvester[stamp]'",
        ),
    ],
)
async def test_what_can_never_vouch_is_told_first(
    platform: Platform, harvests: Harvests, more: dict[str, str], said: bytes
) -> None:
    """A key or a root that cannot be read, and an extra that is missing: exit 2 and one sentence, before the first request."""
    (harvests.folder / "letter").write_text("Dear Sir,")
    (harvests.folder / "without").mkdir()
    (harvests.folder / "without" / "sitecustomize.py").write_text("import sys\nsys.modules['rfc3161_client'] = None\n")
    done = await harvests.cli("run", **more)
    assert (done.returncode, platform.requests) == (2, [])
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not harvests.archive.exists()


async def test_an_authority_that_is_down_fails_no_backup(harvests: Harvests, tmp_path: Path) -> None:
    """Tonight nobody answers: exit 0 and an alarm. Tomorrow both stamps are made."""
    authority = Authority(tmp_path / "tsa")
    more = {"HARVESTER_SEAL_TSA_CA": str(authority.root)}
    done = await harvests.cli("run", HARVESTER_SEAL_TSA_URL="http://127.0.0.1:1/tsa", **more)
    assert done.returncode == 0
    assert b"is not stamped: the authority http://127.0.0.1:1/tsa cannot be reached: Connection refused" in done.stderr
    async with authority.served():
        done = await harvests.cli("run", HARVESTER_SEAL_TSA_URL=authority.url, **more)
    assert b"seal: of earlier runs 1 seal stamped" in done.stderr
    assert beside(harvests) == [{SEAL, STAMP, STAMP_CHAIN}] * 2


async def test_a_run_that_was_killed_is_sealed_and_signed_by_the_next(harvests: Harvests, tmp_path: Path) -> None:
    """What it could not close, sign and stamp itself, the next run does for it."""
    more = {"HARVESTER_SEAL_SSH_KEY": str(new_key(tmp_path))}
    harvests.environment |= more
    process = await harvests.start("run")
    await harvests.until(30)
    process.kill()
    await process.aclose()
    done = await harvests.cli("run")
    assert done.returncode == 0
    assert beside(harvests) == [{SEAL, SIGNATURE}] * 2
    assert harvests.verify().findings == []


async def test_a_dry_run_signs_nothing(harvests: Harvests, tmp_path: Path) -> None:
    """It writes nothing, so there is nothing to vouch for; but a key that is not there is told."""
    done = await harvests.cli("run", "--dry-run", HARVESTER_SEAL_SSH_KEY=str(new_key(tmp_path)))
    assert (done.returncode, harvests.archive.exists()) == (0, False)
    assert (await harvests.cli("run", "--dry-run", HARVESTER_SEAL_SSH_KEY="nowhere")).returncode == 2
