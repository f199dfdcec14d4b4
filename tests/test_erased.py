"""What erasing and holding mean for later runs: nothing is fetched again, and no look at the newest run meets them."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from harvester.archive.choice import Choice
from harvester.archive.ledger import HARVEST, run_ids_of
from harvester.archive.local import LocalState
from harvester.archive.tidings import erased_draft, gone_draft
from harvester.changes import read_changes
from harvester.custody.erasing import erase
from harvester.custody.holding import add_hold
from harvester.layers import resolve
from harvester.model import Reach
from harvester.place import local_state
from harvester.screen import account_text, status_text
from harvester.settings import Resolved
from harvester.status import read_status
from tests.archive.sites import Site, call
from tests.harvests import Harvests


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Make a new archive."""
    return Site(tmp_path)


def because(harvests: Harvests) -> Resolved:
    """The settings of a command that has a reason."""
    return resolve({"reason": "a request"}, harvests.environment, None)


def erase_call(harvests: Harvests, *ids: str) -> None:
    """Erase calls, and make sure that they are gone."""
    erase(because(harvests), Choice(ids=ids), execute=True)
    assert not held_of(harvests, *ids)


def held_of(harvests: Harvests, *ids: str) -> list[str]:
    """The files of some calls that lie in the archive."""
    return [key for key in harvests.files() if key.rpartition("/")[2].partition(".")[0] in ids]


def forget(local: LocalState) -> None:
    """Lose the checkpoint."""
    for path in local.folder.glob("checkpoint.db*"):
        path.unlink()


@pytest.mark.parametrize("rebuilt", [False, True])
@pytest.mark.parametrize("flags", [{}, {"full": True}, {"dry_run": True}, {"dry_run": True, "full": True}])
async def test_an_erased_call_is_not_fetched_when_it_is_listed(
    harvests: Harvests, rebuilt: bool, flags: dict[str, Any]
) -> None:
    """Changed or not, in a short run and a full one, by a checkpoint that is rebuilt too: it counts as unchanged and erased."""
    await harvests.run()
    first, last = "100003", "100058"
    erase_call(harvests, first, last)
    for call_id in (first, last):
        harvests.platform.book.change(int(call_id), transcript="Other words.")
    if rebuilt:
        forget(local_state(harvests.settings()))
    asked = harvests.platform.count("recording")
    account = await harvests.run(**flags)
    assert account.exit_code == 0, account
    assert account.erased == (2 if account.reach == Reach.FULL else 1)
    assert account.recordings["saved"] == 0
    assert not held_of(harvests, first, last)
    assert harvests.platform.count("recording") - asked <= 5  # of the calls that are still open
    assert f"{'2 calls' if account.erased == 2 else '1 call'} of the unchanged: erased" in account_text(account)
    assert harvests.verify().findings == []


async def test_an_erased_call_is_not_fetched_when_it_is_asked_for(harvests: Harvests) -> None:
    """A full run asks by id for what a listing does not show: an erased call that the platform gives then is left alone."""
    await harvests.run(type="outbound")
    call_id = next(json.loads(data)["id"] for key, data in harvests.files().items() if key.endswith(".json"))
    erase_call(harvests, str(call_id))
    harvests.platform.book.change(call_id, type="inbound", transcript="Other words.")
    account = await harvests.run(type="outbound", full=True)
    assert any(seen.path.endswith(f"/user/calls/{call_id}") for seen in harvests.platform.requests)
    assert (account.erased, account.recordings["saved"], account.recordings["gone"]) == (1, 0, 0)
    assert not held_of(harvests, str(call_id))


async def test_an_open_call_that_is_erased_is_asked_for_no_more(harvests: Harvests) -> None:
    """A pending call is open until it is erased; then it costs no request, and what comes late is not fetched."""
    await harvests.run()
    open_call = str(harvests.platform.book.unsettled()[0])
    erase_call(harvests, open_call)
    harvests.platform.book.finish(int(open_call))
    account = await harvests.run()
    assert account.erased == 1
    assert not held_of(harvests, open_call)


async def test_an_erased_call_goes(harvests: Harvests) -> None:
    """That the platform has deleted it is noted, so that its total is held against the right number of calls."""
    await harvests.run()
    erase_call(harvests, "100003")
    harvests.platform.book.delete(100003)
    gone = await harvests.run(full=True)
    assert (gone.exit_code, gone.recordings["gone"], gone.erased) == (0, 1, 0)
    assert "the archive has erased what it held of it" in account_text(gone)
    assert (read_status(harvests.settings()).gone, read_status(harvests.settings()).erased) == (1, 1)
    assert harvests.verify().findings == []


async def test_an_erased_call_comes_back(site: Site) -> None:
    """When the platform has a call again that was erased and gone, that alone is noted: it stays erased, by the ledgers too."""
    await site.saved(call(1))
    with site.run() as run:
        run.archive.commit([erased_draft(run.checkpoint.find(["1"])["1"], [], "why", "ops")])
        run.archive.commit([gone_draft(run.checkpoint.find(["1"])["1"])])
        await run.save(call(1, transcript="Other."))
        run.close()
    for rebuilt in (False, True):
        if rebuilt:
            site.db.unlink()
        checkpoint = site.checkpoint()
        (entry,) = checkpoint.find(["1"]).values()
        assert (entry.gone, entry.erased, checkpoint.count_present()) == (False, True, 1)
        checkpoint.close()
    assert site.lines(run.id)[-2]["files"] == []


async def test_no_page_that_shows_an_erased_call_is_kept(harvests: Harvests) -> None:
    """Its row would come back with it: such a page is noted in the ledger as not kept; the others are kept."""
    await harvests.run(keep_pages=True)
    erase_call(harvests, "100003")
    account = await harvests.run(keep_pages=True, full=True, per_page=20)
    pages = [gzip.decompress(path.read_bytes()) for path in harvests.archive.glob(f"runs/{account.run}/pages/*")]
    assert pages
    assert not any(b"100003" in page for page in pages)
    told = [line for line in harvests.lines() if line["event"] == "page" and line.get("kept") is False]
    assert told
    assert all(line["files"] == [] for line in told)
    assert harvests.verify().findings == []


async def test_plan_counts_no_erased_call_as_new(harvests: Harvests) -> None:
    """A plan foresees what a run would do: nothing of an erased call is new."""
    await harvests.run()
    before = json.loads((await harvests.cli("plan", "--full", "--json")).stdout)
    erase_call(harvests, "100003")
    after = json.loads((await harvests.cli("plan", "--full", "--json")).stdout)
    assert (after["calls"], after["new_calls"]) == (before["calls"], before["new_calls"])


async def test_holds_and_erasures_are_no_harvests(harvests: Harvests) -> None:
    """Status, changes, look-back and the count of runs pass over them; status tells how many calls are erased."""
    await harvests.run(type="outbound")
    settings = harvests.settings()
    before = read_status(settings)
    some = sorted(harvests.files())[0].rpartition("/")[2].partition(".")[0]
    add_hold(because(harvests), Choice(number="+15550000"))
    erase_call(harvests, some)
    after = read_status(settings)
    assert (after.last_run, after.erased) == (before.last_run, 1)
    assert "1 of them erased" in status_text(after)
    assert read_changes(settings).is_first
    second = await harvests.run(type="outbound")
    assert (second.reach, second.exit_code) == (Reach.RECENT, 0)
    # The archive is still whole under its filter, so that a full run finds what is gone.
    harvests.platform.book.delete(next(int(key.rpartition("/")[2].partition(".")[0]) for key in harvests.files()))
    assert (await harvests.run(type="outbound", full=True)).recordings["gone"] == 1
    assert len(run_ids_of(harvests.archive, HARVEST)) == 3


async def test_the_command_line(harvests: Harvests) -> None:
    """Hold, erase, release, as a user types them: data on stdout, one sentence and exit code 2 for what is refused."""
    await harvests.run()
    held = await harvests.cli("hold", "add", "--id", "100003", "--reason", "case 12", "--operator", "ann", "--json")
    hold = json.loads(held.stdout)["holds"][0]["hold"]
    assert (held.returncode, hold["operator"]) == (0, "ann")
    refused = await harvests.cli("erase", "--id", "100003", "--reason", "a request", "--execute")
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert b"is on hold" in refused.stderr
    assert b"Traceback" not in refused.stderr
    listed = await harvests.cli("hold", "list")
    assert f"hold {hold['id']}, added".encode() in listed.stdout
    assert (await harvests.cli("hold", "release", hold["id"], "--reason", "closed")).returncode == 0
    shown = await harvests.cli("erase", "--id", "100003", "--reason", "a request")
    assert (shown.returncode, b"nothing was erased yet" in shown.stdout) == (0, True)
    done = await harvests.cli("erase", "--id", "100003", "--reason", "a request", "--execute", "--json")
    assert (done.returncode, json.loads(done.stdout)["calls"][0]["id"]) == (0, "100003")
    assert not held_of(harvests, "100003")
    wrong = await harvests.cli("erase", "--from", "yesterday", "--reason", "a request")
    assert (wrong.returncode, b"--from: 'yesterday' is not a day" in wrong.stderr) == (2, True)


async def test_settings_choose_nothing(harvests: Harvests) -> None:
    """A filter of the nightly run, from the environment or the settings file, never chooses what is erased."""
    await harvests.run()
    wide = {"HARVESTER_PHONE_NUMBER": "+1", "HARVESTER_FROM": "2000-01-01"}
    refused = await harvests.cli("erase", "--reason", "a request", "--execute", **wide)
    assert (refused.returncode, b"nothing is selected" in refused.stderr) == (2, True)


async def test_one_account_is_named(harvests: Harvests) -> None:
    """An id is that of a call in one account: of several, the one that is meant is to be named."""
    config = harvests.folder / "two.toml"
    tables = [
        f'[[account]]\nname = "{each}"\narchive = "{harvests.folder / each}"\nkey_file = "k"\n' for each in ("a", "b")
    ]
    config.write_text("".join(tables))
    refused = await harvests.cli("erase", "--id", "1", "--reason", "x", "--config", str(config), HARVESTER_ARCHIVE="")
    assert (refused.returncode, b"name the one that is meant by --account" in refused.stderr) == (2, True)
