"""What the platform said, kept as it said it: every list page where that is asked for, and those that nobody can read always."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from harvester.demo.faults import Fault
from harvester.demo.server import Platform
from tests.harvests import Harvests

NONSENSE = b'{"data":7,"caller":"+1 (987) 654-3210"}'


def pages(harvests: Harvests) -> Iterator[dict[str, Any]]:
    """The ledger lines that tell of kept pages."""
    return (line for line in harvests.lines() if line["event"] == "page")


def body_of(harvests: Harvests, line: dict[str, Any]) -> bytes:
    """What a kept page holds."""
    (file,) = line["files"]
    return gzip.decompress((harvests.archive / file["path"]).read_bytes())


async def asked_again(platform: Platform, line: dict[str, Any]) -> bytes:
    """The page that a line tells of, as the platform sends it."""
    days = {f"date_{name}": line["window"][name] for name in ("from", "to") if line["window"][name]}
    asked = {**days, "per_page": str(line["per_page"]), "page": str(line["number"])}
    headers = {"Authorization": f"Bearer {platform.key}", "Accept": "application/json"}
    url = f"{platform.base_url}/user/calls"
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url, params=asked) as response:
        return await response.read()


@pytest.mark.parametrize("per_page", [10, 100])
async def test_every_list_page_is_kept_byte_for_byte(platform: Platform, harvests: Harvests, per_page: int) -> None:
    """As many as the platform was asked for, each as it was sent, those that only counted included; and all is intact."""
    account = await harvests.run(keep_pages=True, per_page=per_page)
    told = list(pages(harvests))
    assert (account.exit_code, account.listed) == (0, 65)
    assert len(told) == platform.count("list") == account.pages_kept
    for line in told:
        assert line["readable"]
        assert body_of(harvests, line) == await asked_again(platform, line)
    assert not harvests.verify().findings


async def test_without_it_no_page_is_kept(harvests: Harvests) -> None:
    """Pages hold the rows of all callers: nobody has them lie about who has not asked for them."""
    account = await harvests.run()
    assert (account.pages_kept, list(pages(harvests))) == (0, [])
    assert not list(harvests.archive.glob("runs/*/pages"))


async def test_a_dry_run_keeps_none(platform: Platform, harvests: Harvests) -> None:
    """It writes nothing, whatever it is asked to keep and however odd the pages are."""
    platform.faults.add(Fault(where="list", kind="altered", body=NONSENSE, match=3))
    account = await harvests.run(keep_pages=True, dry_run=True, per_page=10)
    assert (account.pages_kept, account.unread_pages) == (0, [])
    assert not harvests.archive.exists()


async def test_a_page_that_cannot_be_read_is_kept_always(platform: Platform, harvests: Harvests) -> None:
    """Its bytes lie in the run's folder, the account and the screen say where, and the ledger tells nothing of what is in it."""
    platform.faults.add(Fault(where="list", kind="altered", body=NONSENSE, match=3))
    done = await harvests.cli("run", "--per-page", "10", "--attempts", "2")
    assert done.returncode == 3
    kept = list(pages(harvests))
    assert {(line["number"], line["readable"], body_of(harvests, line)) for line in kept} == {(3, False, NONSENSE)}
    keys = [line["files"][0]["path"] for line in kept]
    (report,) = harvests.archive.glob("runs/*/run.json")
    assert json.loads(report.read_bytes())["unread_pages"] == keys
    (told,) = [line for line in done.stderr.decode().splitlines() if line.startswith("unreadable: ")]
    folder, _, name = keys[0].rpartition("/")
    assert f"{harvests.archive}/{folder}: {name}" in told
    assert not harvests.verify().findings
    (ledger,) = harvests.archive.glob("runs/*/ledger.jsonl")
    assert b"987) 654" not in ledger.read_bytes()


async def test_no_page_brings_the_key_into_the_archive(platform: Platform, harvests: Harvests) -> None:
    """Some servers show on an error page what they were asked with: the key in it is replaced, and the line says so."""
    page = f"<pre>Authorization: Bearer {platform.key}</pre>".encode()
    platform.faults.add(Fault(where="list", kind="altered", body=page, match=3))
    await harvests.run(per_page=10, attempts=1)
    line = next(pages(harvests))
    assert body_of(harvests, line) == b"<pre>Authorization: Bearer (secret)</pre>"
    assert line["key_removed"]


async def test_a_first_page_that_cannot_be_read_is_kept_too(platform: Platform, harvests: Harvests) -> None:
    """The run ends with 5, because nothing can be listed at all; what came instead lies there."""
    platform.faults.add(Fault(where="list", kind="altered", body=NONSENSE))
    account = await harvests.run(attempts=2)
    assert account.exit_code == 5
    assert [body_of(harvests, line) for line in pages(harvests)] == [NONSENSE]
    assert not harvests.verify().findings


@pytest.mark.parametrize("keep", [True, False])
async def test_a_page_that_another_attempt_brings_is_no_loss(
    platform: Platform, harvests: Harvests, keep: bool
) -> None:
    """A proxy's error page in between is none that cannot be read: what is kept is the page that came in the end."""
    platform.faults.add(Fault(where="list", kind="altered", body=b"<html>", match=3, times=1))
    account = await harvests.run(per_page=10, keep_pages=keep)
    assert (account.exit_code, account.unread_pages) == (0, [])
    assert len(list(pages(harvests))) == (platform.count("list") - 1 if keep else 0)


@pytest.mark.parametrize("by_number", [True, False])
async def test_what_a_page_holds_stands_in_the_page_alone(
    platform: Platform, harvests: Harvests, by_number: bool
) -> None:
    """No number, no name, no transcript in ledger, account, manifest or path; the number that was asked for neither."""
    rows = [platform.book.row(i) for i in platform.book.ids()]
    number = str(rows[0]["client_phone_number"])
    await harvests.run(keep_pages=True, phone_number=number if by_number else None)
    assert number.encode() in b"".join(body_of(harvests, line) for line in pages(harvests))
    shown = {
        path: b"" if "pages" in path.parts else path.read_bytes() for path in harvests.archive.glob("runs/*/**/*.*")
    }
    secrets = {str(row[name]).lstrip("+") for row in rows for name in ("client_phone_number", "assistant_phone_number")}
    secrets |= {str(row["campaign_name"]) for row in rows} - {"None"}
    assert len(secrets) > 10
    for path, data in shown.items():
        assert not [secret for secret in secrets if secret.encode() in str(path).encode() + data]
