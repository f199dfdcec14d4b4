"""Who ran what, why, where, by which clock and against whose platform: told by a run's first line and by its account."""

import getpass
import importlib.metadata
import json
import platform as machine
import ssl
import tomllib
from pathlib import Path
from typing import Any

import pytest

import harvester
from harvester.demo.calls import CallBook
from harvester.demo.options import Options
from harvester.demo.server import Platform, serve
from harvester.errors import ConfigError
from harvester.layers import resolve
from harvester.mask import masked_typed
from harvester.platform.resume import KEPT_HEADERS
from harvester.provenance import libraries
from tests.harvests import Harvests
from tests.platform.test_certificate import fingerprint
from tests.platform.test_tls import Authority, authority, server_tls
from tests.test_clock import Clock, clock, needs_faketime

__all__ = ["authority", "clock"]

NO_PROVENANCE = ("seq", "prev", "at", "event", "run", "seal")


def first_line(harvests: Harvests) -> dict[str, Any]:
    """What the first line of the newest run tells of its provenance."""
    *_, line = (line for line in harvests.lines() if line["event"] == "run-started")
    return {name: value for name, value in line.items() if name not in NO_PROVENANCE}


def account(harvests: Harvests) -> dict[str, Any]:
    """What the account of the newest run tells of its provenance."""
    path = max(harvests.archive.glob("runs/*/run.json"))
    told = json.loads(path.read_bytes())["provenance"]
    return {name: value for name, value in told.items() if value is not None}


def written(harvests: Harvests) -> bytes:
    """All that runs have written beside the calls themselves."""
    return b"".join(path.read_bytes() for path in sorted(harvests.archive.glob("runs/**/*")) if path.is_file())


async def test_line_and_account_tell_the_same(platform: Platform, harvests: Harvests) -> None:
    """Operator, case and reason as they were set; machine, versions, account; what was listed, and by which settings."""
    flags = {"operator": "Ada Lovelace", "case": "2026-0042", "reason": "litigation hold", "per_page": 50}
    await harvests.run(**flags, **{"from": "2025-01-01"}, status=("completed", "ended"))
    told = first_line(harvests)
    assert told == account(harvests)
    expected = {
        "tool": f"harvester {harvester.__version__}",
        "python": machine.python_version(),
        "libraries": libraries(),
        "host": machine.node(),
        "system": f"{machine.system()} {machine.release()} {machine.machine()}",
        "user": getpass.getuser(),
        "operator": "Ada Lovelace",
        "case": "2026-0042",
        "reason": "litigation hold",
        "platform": platform.base_url,
        "listed": {
            "reach": "dates",
            "listed_from": "2025-01-01",
            "listed_to": None,
            "filters": {"status": "completed,ended"},
            "by_number": False,
        },
    }
    assert {name: value for name, value in told.items() if name not in ("server", "settings")} == expected
    assert told["server"]["account"] == "demo@example.com"
    assert told["settings"]["per_page"] == "50"
    assert not {"operator", "case", "reason"} & set(told["settings"])


async def test_without_an_operator_it_is_the_systems_user(harvests: Harvests) -> None:
    """Nobody has to type a name; a case or a reason that there is not is not made up."""
    await harvests.run()
    told = first_line(harvests)
    assert told["operator"] == told["user"] == getpass.getuser()
    assert not {"case", "reason"} & set(told)
    assert told == account(harvests)


async def test_a_later_run_tells_what_it_lists(harvests: Harvests) -> None:
    """From which day on, so that nobody takes a night for all that there is."""
    await harvests.run()
    second = await harvests.run()
    listed = first_line(harvests)["listed"]
    assert (listed["reach"], listed["listed_from"]) == ("recent", str(second.listed_from))


def test_the_libraries_are_those_that_it_depends_on() -> None:
    """Each that pyproject.toml names stands there with its version, and OpenSSL, SQLite and zlib."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    named = {text.partition(">")[0] for text in project["dependencies"] + project["optional-dependencies"]["fast"]}
    assert set(libraries()) == named | {"openssl", "sqlite", "zlib"}
    assert {name: libraries()[name] for name in named} == {name: importlib.metadata.version(name) for name in named}
    assert libraries()["openssl"] == ssl.OPENSSL_VERSION


@pytest.mark.parametrize("file", ["yarl-9.1.dist-info/METADATA", "yarl-9.1.egg-info/PKG-INFO", "yarl-9.1.egg-info"])
@pytest.mark.parametrize("head", ["Metadata-Version: 2.1\nName: yarl\n", "Name: yarl\nSummary: old\n Version: 8\n"])
def test_a_version_is_that_of_the_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, head: str
) -> None:
    """However a library was installed, by pip or by a system's own packages, and whatever its description says."""
    metadata = tmp_path / file
    metadata.parent.mkdir(exist_ok=True)
    metadata.write_text(f"{head}Version: 9.1\nLicense: MIT\n\nVersion: 7 was better.\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert libraries()["yarl"] == "9.1"


def test_a_library_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is made up for it, and nothing else is missing."""
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert set(libraries()) == {"openssl", "sqlite", "zlib"}


async def test_the_clock_is_held_against_the_platforms(harvests: Harvests) -> None:
    """On one machine both agree, to within what the platform's whole seconds and the round trip leave open."""
    await harvests.run()
    told = first_line(harvests)["server"]["clock"]
    assert abs(told["offset_seconds"]) <= told["uncertainty_seconds"]
    assert told["uncertainty_seconds"] == pytest.approx((told["round_trip_seconds"] + 1) / 2, abs=0.001)


@needs_faketime
async def test_a_wrong_clock_is_told_by_how_much(harvests: Harvests, clock: Clock) -> None:
    """Three days behind are told as three days behind: what a run dates can be put right later."""
    clock.set("-3d")
    done = await harvests.cli("run", **clock.environment)
    assert done.returncode == 0, done.stderr
    told = first_line(harvests)["server"]["clock"]
    assert told["offset_seconds"] == pytest.approx(-3 * 86_400, abs=told["uncertainty_seconds"] + 1)


async def test_the_certificate_of_the_api_is_told(authority: Authority, tmp_path: Path) -> None:
    """Rows and pages came under it: the SHA-256 that openssl tells of the file that the server was given."""
    certificate = authority.certificate("api", "IP:127.0.0.1")
    async with serve(CallBook(count=3, most_seconds=1), tls=server_tls(certificate)) as platform:
        harvests = Harvests(platform, tmp_path)
        done = await harvests.cli("run", SSL_CERT_FILE=str(authority.file))
        assert done.returncode == 0, done.stderr
    assert first_line(harvests)["server"]["certificate_sha256"] == fingerprint(certificate)
    assert account(harvests)["server"]["certificate_sha256"] == fingerprint(certificate)


async def test_every_saved_file_tells_where_it_came_from(harvests: Harvests) -> None:
    """Link without its query, status, allow-listed headers, beginning and end, and what shows that it is whole."""
    async with serve(CallBook(count=20, most_seconds=5), options=Options(signed_links=True)) as platform:
        signed = Harvests(platform, harvests.folder / "signed")
        await signed.run()
    told = [line["recording"] for line in signed.lines() if line.get("recording", {}).get("state") == "saved"]
    assert told
    for each in told:
        assert each["from"] == each["link"]
        assert each["from"].startswith(f"{platform.recordings_url}/calls/")
        assert "?" not in each["from"]
        assert (each["status"], each["redirect_hosts"], each["attempts"]) == (200, [], 1)
        assert set(each["headers"]) <= set(KEPT_HEADERS)
        assert each["started_at"] <= each["finished_at"]
        assert each["proof"] == "content-length"


NUMBER = "+15550123456"


@pytest.mark.parametrize("field", ["operator", "case", "reason"])
@pytest.mark.parametrize(
    "typed",
    [
        "calls of +1 (987) 654-3210",
        "calls of 0049 30 1234567",
        "calls of +4930/1234567.",
        "calls of 1-555-012-3456",
        "calls of +15550123456",
    ],
)
async def test_a_number_that_was_typed_is_not_written(harvests: Harvests, field: str, typed: str) -> None:
    """International ones in any spelling, and the one that is asked for in every one; the account says that it was left out."""
    account = await harvests.run(**{field: typed, "phone_number": NUMBER})
    assert first_line(harvests)[field].startswith("calls of (number)")
    digits = "".join(filter(str.isdigit, typed))
    assert not any(each.encode() in written(harvests) for each in (typed, digits, digits.lstrip("0"), NUMBER))
    assert [each for each in account.warnings if field in each and "phone number" in each]


@pytest.mark.parametrize("typed", ["2026-0042", "AZ 12 C 345/26", "0042", "0000123456789", "GDPR art. 17, 2026-03-02"])
def test_a_case_number_is_no_phone_number(typed: str) -> None:
    """What a person types to find a file again stays as it was typed."""
    assert masked_typed(typed, (NUMBER,)) == typed


async def test_the_number_that_was_asked_for_is_told_only_as_that(harvests: Harvests, platform: Platform) -> None:
    """That there was such a filter stands in line and account, and the number nowhere."""
    number = next(str(platform.book.row(i)["client_phone_number"]) for i in platform.book.ids())
    await harvests.run(phone_number=number)
    assert first_line(harvests)["listed"]["by_number"] is True
    assert account(harvests)["listed"]["by_number"] is True
    assert number.lstrip("+").encode() not in written(harvests)


async def test_no_key_is_told(harvests: Harvests, platform: Platform) -> None:
    """Neither the key nor the command that prints it: how to get at it is nobody's business."""
    await harvests.run(key_command=f"echo {platform.key}")
    assert platform.key.encode() not in written(harvests)
    assert "key_command" not in first_line(harvests)["settings"]


@pytest.mark.parametrize("name", ["operator", "case", "reason"])
@pytest.mark.parametrize("value", ["two\nlines", "\x1b[31mred", "  ", "x" * 1001, 7, "\udcff"])
def test_what_is_no_line_is_refused(name: str, value: object, tmp_path: Path) -> None:
    """One clear sentence that names the setting and what is allowed."""
    with pytest.raises(ConfigError, match=f"--{name}: .* is not a text in one line, at most (200|1,000) characters"):
        resolve({name: value}, {}, None)


async def test_screens_escape_them(harvests: Harvests) -> None:
    """A mark of writing direction turns no line around, wherever the setting is shown."""
    done = await harvests.cli("config", "--operator", "Ada \N{RIGHT-TO-LEFT OVERRIDE}txt")
    assert r"Ada \u202etxt" in done.stdout.decode()


async def test_it_may_stand_in_the_environment_and_in_the_file(harvests: Harvests) -> None:
    """A nightly job has its operator in the settings file, and a single run its case in a flag."""
    path = harvests.folder / "harvester.toml"
    path.write_text('operator = "records office"\ncase = "nightly"\n')
    environment = {"HARVESTER_REASON": "retention"}
    done = await harvests.cli("run", "--config", str(path), "--case", "2026-0042", **environment)
    assert done.returncode == 0, done.stderr
    told = first_line(harvests)
    assert (told["operator"], told["case"], told["reason"]) == ("records office", "2026-0042", "retention")


async def test_a_dry_run_tells_it_and_writes_nothing(harvests: Harvests) -> None:
    """Its account has the provenance, too; the archive is not even made."""
    account = await harvests.run(dry_run=True, case="2026-0042")
    assert account.provenance is not None
    assert account.provenance.case == "2026-0042"
    assert not harvests.archive.exists()


async def test_the_account_of_a_killed_run_tells_it_too(harvests: Harvests, platform: Platform) -> None:
    """The next run writes it, from the ledger's first line: who ran it is not lost with the process."""
    process = await harvests.start("run", "--case", "2026-0042", "--bandwidth", "20K")
    await harvests.until(recordings=3)
    process.kill()
    await process.aclose()
    killed = first_line(harvests)
    await harvests.run()
    path = min(harvests.archive.glob("runs/*/run.json"))
    told = json.loads(path.read_bytes())
    assert (told["verdict"], told["provenance"]) == ("interrupted", killed)
    assert killed["case"] == "2026-0042"
    assert not harvests.verify().findings
