"""List pages are kept as they came, durable and told of by the ledger, whatever else is being committed meanwhile."""

import datetime as dt
import gzip
import hashlib

import anyio
import anyio.lowlevel
import pytest

from harvester.archive.layout import MANIFEST, PAGE_KEY, run_key
from harvester.archive.pages import Pages, packed
from harvester.model import Query, RawPage, Window
from harvester.verify.archive import verify
from tests.archive.sites import NOON, Run, Site, call, flip_bit
from tests.archive.test_mending import files_limited, recovered

BODY = b'{"data":[{"client_phone_number":"+1 (987) 654-3210"}],"total":1}'


def page(number: int = 1, body: bytes = BODY, *, readable: bool = True) -> RawPage:
    """A page of the listing of some days, as it came."""
    days = Window(query=Query(), status="completed", date_from=dt.date(2025, 8, 1), date_to=dt.date(2025, 8, 4))
    return RawPage(window=days, number=number, per_page=100, body=body, received_at=NOON, readable=readable)


def page_lines(site: Site, run_id: str) -> list[dict[str, object]]:
    """The ledger lines that tell of pages."""
    return [line for line in site.lines(run_id) if line["event"] == "page"]


async def kept(site: Site, *pages: RawPage, every: bool = True) -> str:
    """Keep pages in one run that closes, and return its id."""
    with site.run() as run:
        keeper = Pages(run.archive, every=every)
        for each in pages:
            await keeper.keep(each)
        run.close()
        return run.id


async def cut_off(site: Site) -> str:
    """Stop a run between the name and the line of a page: the disk refuses its ledger line."""
    with site.run() as run:
        run.archive.note({"event": "window", "reason": "x" * 4000})  # so that the ledger alone meets the limit
        with files_limited(4500), pytest.raises(Exception, match="ledger"):
            await Pages(run.archive, every=True).keep(page())
        return run.id


async def test_a_page_is_kept_as_it_came(site: Site) -> None:
    """Any gunzip gives the bytes back; the ledger names the file with size and hash, and which page of which window it was."""
    run_id = await kept(site, page(7))
    key = run_key(run_id, "pages/000001.json.gz")
    data = site.files()[key]
    assert (await anyio.run_process(["gzip", "-dc"], input=data)).stdout == BODY
    (line,) = page_lines(site, run_id)
    assert {name: line[name] for name in line if name not in ("seq", "prev", "at", "event")} == {
        "window": {"from": "2025-08-01", "to": "2025-08-04", "status": "completed"},
        "number": 7,
        "per_page": 100,
        "received_at": "2026-11-23T12:00:00.000+00:00",
        "readable": True,
        "files": [{"path": key, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "role": "page"}],
    }
    assert f"  {key}\n" in site.files()[run_key(run_id, MANIFEST)].decode()
    assert verify(site.root).findings == []


def test_equal_pages_are_equal_files() -> None:
    """Packing adds neither time nor name: what is the same was the same, and can be found by its hash."""
    assert packed(BODY) == packed(BODY)
    assert packed(BODY)[3:8] == bytes(5)  # RFC 1952: no flags, so no name; MTIME 0
    assert gzip.decompress(packed(b"")) == b""


@pytest.mark.parametrize("every", [True, False])
async def test_what_nobody_can_read_is_kept_always(site: Site, every: bool) -> None:
    """The others are kept where all are asked for; each file has the next number, in the order in which they came."""
    run_id = await kept(site, page(1), page(2, b"<html>", readable=False), page(3), every=every)
    told = [(line["number"], line["readable"]) for line in page_lines(site, run_id)]
    assert told == ([(1, True), (2, False), (3, True)] if every else [(2, False)])
    held = [key for key in site.files() if "/pages/" in key]
    assert held == [run_key(run_id, f"pages/{number:06}.json.gz") for number in range(1, len(told) + 1)]
    assert all(PAGE_KEY.fullmatch(key) for key in held)


async def test_pages_and_calls_take_turns(site: Site) -> None:
    """Pages come several at once, while calls are committed: no line is torn or twice, and the chain holds."""

    async def commit(run: Run, number: int) -> None:
        await run.archive.commit_from_loop([await run.draft(call(number))])

    with site.run() as run:
        keeper = Pages(run.archive, every=True)
        async with anyio.create_task_group() as tasks:
            for number in range(30):
                tasks.start_soon(keeper.keep, page(number))
                tasks.start_soon(commit, run, number)
        run.close()
    events = [line["event"] for line in site.lines(run.id)]
    assert (events.count("page"), events.count("saved")) == (30, 30)
    assert verify(site.root).findings == []


async def test_a_page_that_has_come_is_kept_though_the_run_is_stopped(site: Site) -> None:
    """Whenever the listing is cancelled: a page whose keeping has begun has its name and its line."""
    with site.run() as run:
        keeper = Pages(run.archive, every=True)
        for turns in range(1, 8):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(keeper.keep, page(turns))
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
        run.close()
    assert len(page_lines(site, run.id)) == 7
    assert verify(site.root).findings == []


async def test_a_crash_between_name_and_line_loses_no_page(site: Site) -> None:
    """Until the next run the page is no finding; that one puts it into its ledger, as what it is."""
    cut = await cut_off(site)
    key = run_key(cut, "pages/000001.json.gz")
    assert (site.root / key).exists()
    assert verify(site.root).findings == []
    run_id = await site.saved()
    assert recovered(site, run_id) == {key: "page"}
    assert f"  {key}\n" in site.files()[run_key(run_id, MANIFEST)].decode()
    assert verify(site.root).findings == []


async def test_verify_finds_one_bit_a_loss_and_a_stranger(site: Site) -> None:
    """A kept page is a file like any other: altered, missing or without a line, it is found."""
    run_id = await kept(site, page(1), page(2))
    flip_bit(site.root / run_key(run_id, "pages/000001.json.gz"), 12)
    (site.root / run_key(run_id, "pages/000002.json.gz")).unlink()
    (site.root / run_key(run_id, "pages/000003.json.gz")).write_bytes(packed(BODY))
    found = {finding.path[-14:]: finding.kind for finding in verify(site.root).findings}
    assert found == {"000001.json.gz": "altered", "000002.json.gz": "missing", "000003.json.gz": "unexpected"}
