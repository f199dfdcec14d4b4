"""The sums of a run add up, and its ledger and account say the same; where not, it is found."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.archive.layout import ACCOUNT, LEDGER, MANIFEST, SEAL, run_key
from harvester.model import State
from harvester.verify.archive import verify
from harvester.verify.sums import Sums, contradictions, differences
from tests.archive.sites import Site
from tests.harvests import Harvests
from tests.verify.damage import found

COUNTS = st.dictionaries(st.sampled_from([str(state) for state in State]), st.integers(0, 10**6))


def sums(**members: Any) -> Sums:
    """What a complete run of ten calls says, but for some members."""
    told: dict[str, Any] = {
        "event": "run-closed",
        "verdict": "complete",
        "exit_code": 0,
        "listed": 8,
        "revisited": 2,
        "recordings": {"saved": 7, "absent": 3},
        "transcripts": {"saved": 10},
        "windows_proven": 2,
        "windows_unproven": 0,
    }
    return Sums(**(told | members))


def test_sums_that_add_up_contradict_nothing() -> None:
    """Of a complete run, of one that was interrupted, and of one that lists nothing."""
    assert list(contradictions(sums())) == []
    stopped = sums(verdict="interrupted", recordings={"saved": 5}, transcripts={"saved": 5})
    assert list(contradictions(stopped)) == []
    assert list(contradictions(Sums(event="run-closed", verdict="complete"))) == []


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"transcripts": {"saved": 9}}, ("10 transcripts in all, as there are recordings", "9")),
        ({"listed": 7}, ("at most 9 calls settled, as were listed or asked for", "10")),
        ({"listed": 9}, ("11 calls settled, as the run is complete", "10")),
        ({"recordings": {"saved": 9, "failed": 1}}, ("no failed call, as the run is complete", "1")),
        ({"windows_unproven": 3}, ("no unproven window, as the run is complete", "3")),
    ],
)
def test_sums_that_do_not_add_up_are_told(members: dict[str, Any], said: tuple[str, str]) -> None:
    """What the sum should be, and what it is."""
    assert list(contradictions(sums(**members))) == [said]


@given(COUNTS, COUNTS, st.integers(0, 10**7), st.integers(0, 10**7))
def test_a_complete_run_has_settled_what_it_listed(
    recordings: dict[str, int], transcripts: dict[str, int], listed: int, revisited: int
) -> None:
    """Nothing is contradicted if, and only if, both sides add up to what was listed and asked for, and none failed."""
    told = sums(recordings=recordings, transcripts=transcripts, listed=listed, revisited=revisited)
    whole = sum(recordings.values()) == sum(transcripts.values()) == listed + revisited
    assert (not list(contradictions(told))) == (whole and not recordings.get("failed"))


def test_an_account_may_tell_more_than_the_ledger() -> None:
    """States that nobody is in, and windows by their names."""
    account = sums(recordings={"saved": 7, "absent": 3, "failed": 0}, windows_unproven=[])
    assert list(differences(sums(), account)) == []
    assert list(differences(sums(), sums(listed=80))) == [("listed 8", "80")]
    assert list(differences(sums(), sums(recordings={"saved": 10}))) == [("recordings absent 3, saved 7", "saved 10")]


async def altered(harvests: Harvests, run_id: str, **members: Any) -> set[tuple[str, str]]:
    """What is found when the account of a run tells something else."""
    path = harvests.archive / run_key(run_id, ACCOUNT)
    before = path.read_bytes()
    path.write_text(json.dumps(json.loads(before) | members))
    shown = found(harvests.verify())
    path.write_bytes(before)
    return shown


async def test_the_sums_of_a_real_run_hold(harvests: Harvests) -> None:
    """Those of a run of the command line, and of the one after it; an account that tells other sums is found as that, too."""
    await harvests.run()
    account = await harvests.run()
    assert harvests.verify().findings == []
    for members in ({"listed": 1}, {"verdict": "interrupted"}, {"recordings": {"saved": 1}}, {"exit_code": 3}):
        assert ("account", run_key(account.run, ACCOUNT)) in await altered(harvests, account.run, **members)
    (harvests.archive / run_key(account.run, ACCOUNT)).write_text("[]")
    assert ("account", run_key(account.run, ACCOUNT)) in found(harvests.verify())


async def test_an_account_that_the_next_run_wrote_contradicts_nothing(harvests: Harvests) -> None:
    """A crash came between the last line of the ledger and the account: the next run tells what the lines tell."""
    account = await harvests.run()
    for name in (ACCOUNT, MANIFEST, SEAL):
        (harvests.archive / run_key(account.run, name)).unlink()
    await harvests.run()
    assert json.loads((harvests.archive / run_key(account.run, ACCOUNT)).read_bytes())["verdict"] == "interrupted"
    assert harvests.verify().findings == []


async def test_a_ledger_with_other_sums_is_found(site: Site) -> None:
    """The last line says that a call was listed and none settled, and that the run is complete."""
    with site.run() as run:
        told = {"verdict": "complete", "listed": 1, "recordings": {}, "transcripts": {}}
        run.archive.close(told, json.dumps(told).encode())
    assert found(verify(site.root)) == {("account", run_key(run.id, LEDGER))}


def test_nothing_is_said_of_what_is_no_line(root: Path) -> None:
    """A ledger that is empty is damaged, and its sums are nobody's."""
    for path in root.glob(f"runs/*/{LEDGER}"):
        path.write_bytes(b"")
    assert "account" not in {kind for kind, _ in found(verify(root))}
