"""Bad input and bad answers: one clear sentence, the right exit code, no traceback, and nothing lost."""

import pytest

from harvester.demo.faults import Fault
from harvester.demo.server import Platform
from harvester.model import State
from tests.harvests import Harvests


def said(stderr: bytes) -> str:
    """What the screen shows, which is never a traceback."""
    text = stderr.decode()
    assert "Traceback" not in text
    return text


async def test_a_wrong_key_stops_at_once(platform: Platform, harvests: Harvests) -> None:
    """A key that is refused: exit 4 after at most 2 requests, one sentence, nothing written."""
    done = await harvests.cli("run", HARVESTER_API_KEY="not-the-key")
    assert done.returncode == 4
    assert said(done.stderr).count("\n") == 1
    assert "refuses the API key" in said(done.stderr)
    assert len(platform.requests) <= 2
    assert not harvests.archive.exists()


async def test_an_unreachable_host_is_named(harvests: Harvests) -> None:
    """Nobody listens there: exit 5 with the address, and nothing written."""
    done = await harvests.cli("run", "--base-url", "http://127.0.0.1:9/api")
    assert done.returncode == 5
    assert "127.0.0.1:9 (Connection refused)" in said(done.stderr)
    assert not harvests.archive.exists()


@pytest.mark.parametrize("where", ["me", "list"])
@pytest.mark.parametrize("kind", ["html", "not_json", "not_paginator", "empty"])
async def test_an_answer_that_is_no_call_list_is_named(
    platform: Platform, harvests: Harvests, where: str, kind: str
) -> None:
    """HTML, JSON of another shape or nothing instead of a page: exit 5, with the URL and without its query."""
    platform.faults.add(Fault(where="list", kind=kind))  # type: ignore[arg-type]
    if where == "me":
        platform.faults.add(Fault(where="me", kind="html"))
    done = await harvests.cli("run", "--from", "2025-01-01")
    assert done.returncode == 5
    assert f"{platform.base_url}/user/calls answered" in said(done.stderr)
    assert "date_from" not in said(done.stderr)


async def test_a_wrong_base_url_makes_no_archive(platform: Platform, harvests: Harvests) -> None:
    """An address that is not the API is told before an archive is made for it."""
    done = await harvests.cli("run", "--base-url", platform.base_url.removesuffix("/api"))
    assert done.returncode == 5
    assert "base URL" in said(done.stderr)
    assert not harvests.archive.exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--per-page", "101"), "--per-page: '101' is not a whole number from 1 to 100"),
        (("--type", "sideways"), "--type: 'sideways' is not one of inbound, outbound, web"),
        (("--from", "yesterday"), "--from: 'yesterday' is not a day"),
        (("--from", "2025-02-02", "--to", "2025-01-01"), "is later than"),
        (("--base-url", "http://example.com/api"), "https://"),
        (("--config", "nowhere.toml"), "nowhere.toml cannot be read"),
        (("--workers", "many"), "--workers: 'many' is not a whole number"),
        (("--no-such-flag",), "--no-such-flag"),
    ],
)
async def test_bad_settings_are_refused(harvests: Harvests, arguments: tuple[str, ...], told: str) -> None:
    """A wrong flag: exit 2, with its name and what is allowed, and nothing written."""
    done = await harvests.cli("run", *arguments)
    assert done.returncode == 2
    assert told in said(done.stderr)
    assert not harvests.archive.exists()


async def test_a_wrong_line_of_the_settings_file_is_named(harvests: Harvests) -> None:
    """A setting that does not exist, or is out of range: exit 2 with the file's line."""
    (harvests.folder / "harvester.toml").write_text("# mine\nper_page = 50\nworkres = 3\n")
    unknown = await harvests.cli("run")
    (harvests.folder / "harvester.toml").write_text("\nper_page = 0\n")
    outside = await harvests.cli("run")
    assert (unknown.returncode, outside.returncode) == (2, 2)
    assert "harvester.toml, line 3: there is no setting 'workres'" in said(unknown.stderr)
    assert "harvester.toml, line 2: '0' is not a whole number from 1 to 100" in said(outside.stderr)


async def test_a_filter_that_the_platform_refuses_is_told_in_its_words(platform: Platform, harvests: Harvests) -> None:
    """A 422 is the user's to mend: exit 2, with what the platform said."""
    body = b'{"message":"The given data was invalid.","errors":{"status":["The selected status is invalid."]}}'
    platform.faults.add(Fault(where="list", kind="status", code=422, body=body))
    done = await harvests.cli("run", "--status", "odd")
    assert done.returncode == 2
    assert "The selected status is invalid." in said(done.stderr)


async def test_a_folder_that_is_no_archive_is_left_alone(harvests: Harvests) -> None:
    """A folder that is not empty and bears no mark: exit 6, and not a byte of it is touched."""
    harvests.archive.mkdir()
    (harvests.archive / "thesis.txt").write_text("mine")
    done = await harvests.cli("run")
    assert done.returncode == 6
    assert "is not empty" in said(done.stderr)
    assert [path.name for path in harvests.archive.iterdir()] == ["thesis.txt"]


async def test_a_share_that_is_not_mounted_stops_the_run(harvests: Harvests) -> None:
    """An archive that was here and is not: exit 6, and nothing is made in its place."""
    await harvests.run()
    harvests.archive.rename(harvests.folder / "unmounted")
    done = await harvests.cli("run")
    assert done.returncode == 6
    assert "mounted" in said(done.stderr)
    assert not harvests.archive.exists()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault(where="recording", kind="html"), "is not a recording: it begins with"),
        (Fault(where="recording", kind="empty"), "is empty"),
        (Fault(where="recording", kind="cut"), "cut short"),
        (Fault(where="recording", kind="cut_chunked"), "cut short"),
        (Fault(where="recording", kind="cut_close"), "may have been cut"),
        (Fault(where="recording", kind="reset"), "cut short"),
        (Fault(where="recording", kind="status", code=404), "answered 404"),
        (Fault(where="recording", kind="status", code=500), "answered 500"),
        (Fault(where="recording", kind="wrong_type"), "is not a recording"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
async def test_a_bad_recording_is_a_failed_call(
    platform: Platform, harvests: Harvests, fault: Fault, told: str
) -> None:
    """One recording cannot be had: its call has failed, with the reason; all others are there; exit 3; mended later."""
    bad = next(i for i in platform.book.ids() if str(platform.book.row(i)["recording_url"]).endswith(".mp3"))
    platform.faults.add(Fault(**{**{f: getattr(fault, f) for f in fault.__struct_fields__}, "match": bad}))
    account = await harvests.run(attempts=2)
    assert (account.verdict, account.exit_code) == ("incomplete", 3)
    assert [failure.id for failure in account.failures] == [str(bad)]
    assert told in account.failures[0].reason
    assert harvests.path(bad, "json").exists()
    assert not list(harvests.archive.rglob(f"{bad}.m[p4]*"))
    assert account.recordings[State.SAVED] > 30
    platform.faults.clear()
    assert (await harvests.run()).exit_code == 0
    assert harvests.path(bad, "mp3").read_bytes() == platform.book.recording(bad)


async def test_a_page_instead_of_a_recording_is_shown_escaped(platform: Platform, harvests: Harvests) -> None:
    """Its first 200 characters stand on the screen and in the local log, and in no file of the archive."""
    page = "<html>\x1b[31mmoved\u202e\nby Zebulon Quark " + "x" * 160 + "y" * 1000
    platform.faults.add(Fault(where="recording", kind="html", body=page.encode()))
    done = await harvests.cli("run")
    assert done.returncode == 3
    told = said(done.stderr)
    shown = "it says: <html>\\x1b[31mmoved\\u202e\\nby Zebulon Quark xxx"
    assert shown in told
    left = 200 - page.index("y" * 1000)
    assert "x" + "y" * left in told
    assert "y" * (left + 1) not in told
    assert "\x1b" not in told
    (log,) = harvests.state.rglob("*.log")
    assert shown in log.read_text()
    for path in harvests.archive.rglob("*"):
        assert not path.is_file() or b"Zebulon" not in path.read_bytes(), path


async def test_a_fault_that_passes_is_no_failure(platform: Platform, harvests: Harvests) -> None:
    """What a second attempt mends is tried again, and the run is complete."""
    platform.faults.add(Fault(where="recording", kind="cut", times=5))
    platform.faults.add(Fault(where="list", kind="status", code=500, times=1))
    platform.faults.add(Fault(where="recording", kind="status", code=503, times=2))
    account = await harvests.run()
    assert account.exit_code == 0


async def test_an_unreadable_page_is_never_skipped_silently(platform: Platform, harvests: Harvests) -> None:
    """A page that stays unreadable leaves the listing unproven: exit 3; the calls of the other pages are there."""
    platform.faults.add(Fault(where="list", kind="not_json", match=3))
    account = await harvests.run(per_page=10, attempts=2)
    assert (account.exit_code, account.listed) == (3, 55)
    assert "could not be read" in account.windows_unproven[0]


@pytest.mark.parametrize("code", [401, 403])
async def test_a_key_that_is_withdrawn_stops_the_run(platform: Platform, harvests: Harvests, code: int) -> None:
    """A 401 or 403 in the middle of a run ends it: exit 4, the ledger closed; what is saved stays, and the next run goes on."""
    platform.faults.add(Fault(where="list", kind="status", code=code, match=3))
    account = await harvests.run(per_page=10, pages_in_flight=1)
    assert account.exit_code == 4
    assert "refuses the API key" in (account.error or "")
    assert platform.count("list") == 3
    assert list(harvests.lines())[-1]["event"] == "run-closed"
    assert not harvests.verify().findings
    platform.faults.clear()
    kept, fetched = harvests.files(), platform.count("recording")
    again = await harvests.run()
    assert again.exit_code == 0
    assert again.recordings[State.UNCHANGED] == account.recordings[State.SAVED]
    assert again.recordings[State.SAVED] == platform.count("recording") - fetched
    assert kept.items() <= harvests.files().items()


@pytest.mark.parametrize(
    "row",
    [
        b'{"status":"completed","created_at":"2025-08-04 14:30:00"}',
        b'{"id":null,"created_at":"2025-08-04 14:30:00"}',
        b'{"id":true}',
        b'{"id":{"a":1},"type":7}',
        b'{"id":"../../../etc/passwd","created_at":"2025-08-04 14:30:00"}',
        b'{"id":"CON","created_at":"the day before"}',
        b'{"id":"\\u202e\\u001b[31m","created_at":12}',
        b'{"id":"x","type":"carrier-pigeon","duration":"long","created_at":"2025-13-45"}',
        b'{"id":"x","transcript":{"odd":[1]},"variables":"none","recording_url":17}',
    ],
)
async def test_an_odd_row_is_archived_under_a_safe_name(platform: Platform, harvests: Harvests, row: bytes) -> None:
    """No usable id, no readable date, strange types: the row is kept byte for byte, inside the archive, exit 0."""
    platform.book.replace_row(next(platform.book.ids()), row)
    account = await harvests.run()
    assert (account.exit_code, account.listed) == (0, 65)
    (key,) = [key for key, data in harvests.files().items() if data == row]
    assert key.rpartition("/")[2].replace("-", "").replace(".json", "").isalnum()
    assert not harvests.verify().findings


@pytest.mark.parametrize("row", [b"null", b"17", b'"a call"', b"[1,2]"])
async def test_a_row_that_is_no_object_has_failed_and_is_kept(
    platform: Platform, harvests: Harvests, row: bytes
) -> None:
    """A row that cannot be read at all counts as failed, with its bytes kept; the others are all there."""
    platform.book.replace_row(next(platform.book.ids()), row)
    account = await harvests.run()
    assert (account.exit_code, len(account.failures), account.listed) == (3, 1, 65)
    assert row in harvests.files().values()


async def test_private_addresses_are_refused_unless_allowed(platform: Platform, harvests: Harvests) -> None:
    """A row cannot make this machine ask hosts of its own network, unless the user says so."""
    account = await harvests.run(allow_private_hosts=False)
    assert platform.count("recording") == 0
    assert "private address 127.0.0.1" in account.failures[0].reason


async def test_a_full_disk_stops_the_run(harvests: Harvests) -> None:
    """Less free than is to stay free: exit 6, with the path and what to do, before the first byte of a call."""
    done = await harvests.cli("run", "--min-free", "900T")
    assert done.returncode == 6
    assert "make room and run again" in said(done.stderr)
    assert not harvests.files()
