"""Whatever a platform, a recording's server or a stranger in the archive's folder writes: no screen and no log obeys it."""

import json
from pathlib import Path

import msgspec
import pytest

from harvester.demo.faults import Fault
from harvester.demo.server import Platform
from tests.harvests import Harvests

NASTY = "x\x1b[2J\x07\r\nharvester: complete \u202egnp.exe\u2066 \x9b31m \x7f \u2028 end"
"""Clears the screen, forges a line, turns the direction of writing, and speaks in C1."""

COMMANDS = [
    ("run", "-v"),
    ("run", "-vv", "--log-json"),
    ("run", "-q"),
    ("run", "--json", "--full"),
    ("run", "--dry-run", "--full"),
    ("status",),
    ("status", "--json"),
    ("status", "--changes"),
    ("status", "--changes", "--json"),
    ("plan",),
    ("plan", "--json"),
    ("verify",),
    ("verify", "--json"),
    ("doctor",),
    ("doctor", "--json"),
    ("config",),
    ("config", "--json"),
    ("init",),
]


def spoil(platform: Platform, *, also: str = "") -> None:
    """Write it wherever the platform can write: rows, ids, links, the account, errors, pages instead of recordings."""
    ids = list(platform.book.ids())
    for call_id in ids[10:14]:
        platform.book.change(
            call_id,
            status=NASTY,
            type=NASTY,
            campaign_name=NASTY + also,
            transcript=NASTY + also,
            variables={NASTY + also: NASTY},
            created_at=f"2026-11-01 {NASTY}",
            client_phone_number=NASTY,
        )
    platform.book.replace_row(ids[14], json.dumps({"id": NASTY, "created_at": NASTY, "recording_url": NASTY}).encode())
    platform.book.replace_row(ids[15], json.dumps({"id": 7, "recording_url": f"http://{NASTY}/"}).encode())
    platform.faults.clear()
    platform.faults.add(Fault(where="me", kind="altered", body=json.dumps({"email": NASTY}).encode()))
    platform.faults.add(Fault(where="recording", kind="html", match=ids[20], body=f"<html>{NASTY}".encode()))
    platform.faults.add(
        Fault(where="recording", kind="status", match=ids[21], code=302, headers={"Location": "http://a\x9b/"})
    )
    said = json.dumps({"message": NASTY}).encode()
    platform.faults.add(Fault(where="list", kind="status", code=503, times=1, body=said, headers={"Retry-After": "0"}))


def check(shown: bytes) -> None:
    """Nothing in it moves the cursor, and no line of it is forged."""
    text = shown.decode()
    assert [c for c in text if c != "\n" and not c.isprintable()] == []
    assert not any(line.startswith("harvester: complete") for line in text.splitlines())


@pytest.fixture
def nasty(platform: Platform, harvests: Harvests) -> Harvests:
    """Such a platform, and an archive and a state folder with such names."""
    spoil(platform)
    harvests.archive = harvests.folder / "calls\x1b[31m\u202e\x7f"
    harvests.state = harvests.folder / "state\x1b[31m"
    harvests.environment |= {
        "HARVESTER_ARCHIVE": str(harvests.archive),
        "HARVESTER_STATE_FOLDER": str(harvests.state),
        "HARVESTER_RECORDING_GRACE_DAYS": "0",
    }
    return harvests


async def test_no_screen_and_no_log_obeys_what_comes_from_outside(platform: Platform, nasty: Harvests) -> None:
    """Every command, for people and as JSON, on an archive of such calls that have changed, with a stranger's file in it."""
    first = await nasty.cli("run")
    check(first.stdout + first.stderr)
    assert first.returncode == 3
    spoil(platform, also="again")
    (nasty.archive / "2026" / "odd\x1b[2J\u202e\nharvester: complete").mkdir(parents=True)
    (nasty.archive / "odd\x1b[2J\u202e\nharvester: complete").write_text("?")
    for arguments in COMMANDS:
        done = await nasty.cli(*arguments)
        assert b"Traceback" not in done.stderr
        assert done.returncode in (0, 3, 8), arguments
        assert done.stdout + done.stderr or arguments[-1] == "-q", arguments
        check(done.stdout + done.stderr)
        if "--json" in arguments:
            assert msgspec.json.decode(done.stdout)
    logs = [path for path in nasty.state.rglob("*") if path.suffix == ".log"]
    assert logs
    for log in logs:
        check(log.read_bytes())


@pytest.mark.parametrize("code", [400, 401, 422])
async def test_a_refusal_is_one_line(platform: Platform, harvests: Harvests, code: int) -> None:
    """What the platform says of a refusal stands in one line, escaped, whatever it holds."""
    body = json.dumps({"message": NASTY, "errors": {NASTY: [NASTY]}}).encode()
    platform.faults.add(Fault(where="me", kind="status", code=code, body=body))
    done = await harvests.cli("run")
    check(done.stderr)
    assert done.stderr.count(b"\n") == 1
    assert b"\\x1b[2J" in done.stderr


async def test_an_account_with_an_odd_name_forges_no_line(platform: Platform, harvests: Harvests) -> None:
    """Whose the key is, and whose the archive, is said in one line where the two differ."""
    await harvests.run()
    platform.faults.add(Fault(where="me", kind="altered", body=json.dumps({"email": NASTY}).encode()))
    done = await harvests.cli("run")
    check(done.stderr)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1


async def test_settings_of_any_text_forge_no_line(harvests: Harvests) -> None:
    """`config` shows a value in its own line, whatever stands in it."""
    (harvests.folder / "harvester.toml").write_text(f"key_command = {json.dumps(NASTY)}\n")
    for arguments in (("config",), ("config", "--json")):
        done = await harvests.cli(*arguments)
        check(done.stdout + done.stderr)
        assert done.returncode == 0
        assert b"[2J" in done.stdout


def test_the_nasty_text_is_nasty() -> None:
    """The test's own measure refuses it."""
    with pytest.raises(AssertionError):
        check(NASTY.encode())
    assert Path(NASTY).name
