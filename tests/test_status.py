"""Status: the newest run, what is open, and no trace of having asked."""

import json
from pathlib import Path

import anyio
import pytest

from harvester.archive.layout import ACCOUNT, LEDGER, run_key
from harvester.archive.local import LocalState
from harvester.layers import resolve
from harvester.place import local_state
from harvester.screen import status_text
from harvester.settings import Settings
from harvester.status import CUT_OFF, GOING_ON, read_status
from tests.archive.sites import Site, call


async def fill(site: Site) -> None:
    """One run that closes: a call saved, and one that failed for a reason of two lines."""
    with site.run() as run:
        await run.save(call(1))
        run.archive.commit([await run.draft(call(2), None, failure="no\nlast run: complete")])
        run.close()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Make an archive in which a run has closed."""
    site = Site(tmp_path)
    anyio.run(fill, site)
    return site


@pytest.fixture
def settings(site: Site) -> Settings:
    """Name that archive."""
    flags = {"archive": str(site.root), "state_folder": str(site.db.parent), "checkpoint": str(site.db)}
    return resolve(flags, {}, None).settings


@pytest.fixture
def local(settings: Settings) -> LocalState:
    """The local state of that archive."""
    return local_state(settings)


def test_a_run_that_was_cut_off_is_not_hidden(site: Site, settings: Settings) -> None:
    """After a crash the newest run is shown as cut off, without numbers that nobody knows, not the run before."""
    with site.run() as run:
        pass
    status = read_status(settings)
    told = json.loads(status.as_json())["last_run"]
    assert (status.running, told["run"], told["verdict"]) == (False, run.id, CUT_OFF)
    assert told["exit_code"] is told["listed"] is None
    assert f"last run {run.id}: {CUT_OFF}" in status_text(status).splitlines()


def test_a_run_that_never_began_is_not_hidden(site: Site, settings: Settings) -> None:
    """A run that was cut off before its first line, as a full disk does, is the newest one all the same."""
    with site.run() as run:
        (site.root / run_key(run.id, LEDGER)).write_bytes(b'{"seq":')
    last = read_status(settings).last_run
    assert last
    assert (last.run, last.verdict) == (run.id, CUT_OFF)


async def test_a_run_that_is_going_on_is_shown(site: Site, settings: Settings, local: LocalState) -> None:
    """While the lock is held the newest run is going on, and the calls are counted as far as it has got."""
    with local.locked(), site.run() as run:
        await run.save(call(3))
        status = read_status(settings)
    assert status.last_run
    assert (status.running, status.calls) == (True, 3)
    assert (status.last_run.run, status.last_run.verdict) == (run.id, GOING_ON)


@pytest.mark.parametrize("account", [b'{"run": "%s", "verdict": "interrupted"}', b'{"run": "%s"', b"\xff"])
def test_an_account_that_tells_little_is_shown_as_it_is(site: Site, settings: Settings, account: bytes) -> None:
    """A mended run's account has no exit code and no count, a damaged one nothing: neither is shown as 0."""
    with site.run() as run:
        run.close()
    (site.root / run_key(run.id, ACCOUNT)).write_bytes(account.replace(b"%s", run.id.encode()))
    status = read_status(settings)
    assert status.last_run
    assert (status.last_run.run, status.last_run.exit_code, status.last_run.listed) == (run.id, None, None)
    assert "exit code" not in status_text(status)
    assert "listed" not in status_text(status)


@pytest.mark.parametrize("noise", [None, b"noise" * 4096])
@pytest.mark.parametrize("running", [False, True])
def test_nothing_is_held_and_nothing_written(
    site: Site, settings: Settings, local: LocalState, noise: bytes | None, running: bool
) -> None:
    """Without a readable checkpoint the ledgers are read, no lock is needed for that, and no checkpoint is made."""
    site.db.unlink()
    if noise:
        site.db.write_bytes(noise)
    if running:
        with local.locked():
            status = read_status(settings)
    else:
        status = read_status(settings)
        assert not local.folder.exists()
    assert (status.calls, [each.id for each in status.failed], status.running) == (2, ["2"], running)
    assert (site.db.read_bytes() if site.db.exists() else None) == noise


def test_a_reason_forges_no_line(settings: Settings) -> None:
    """Control characters in what the platform said are escaped on the screen."""
    lines = status_text(read_status(settings)).splitlines()
    assert sum(line.startswith("last run") for line in lines) == 1
    assert any("no\\nlast run: complete" in line for line in lines)


def test_an_archive_without_a_run(tmp_path: Path) -> None:
    """An archive that `init` has just made has no last run, no calls, nothing open."""
    site = Site(tmp_path)
    status = read_status(resolve({"archive": str(site.root), "state_folder": str(tmp_path)}, {}, None).settings)
    assert (status.last_run, status.calls, status.running) == (None, 0, False)
    assert "no run has written anything yet" in status_text(status)
