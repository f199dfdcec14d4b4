"""Holds: which calls they cover, what the ledger tells of them, and what is refused."""

import datetime as dt
import hashlib
import json
import shutil
from pathlib import Path

import pytest

from harvester.archive.choice import Choice
from harvester.archive.holds import read_holds
from harvester.custody.erasing import erase, erasure_text
from harvester.custody.holding import add_hold, held_text, list_holds, release_hold
from harvester.errors import ConfigError, LedgerError, LockedError
from harvester.place import local_state
from harvester.settings import Resolved
from harvester.verify.archive import verify
from tests.archive.sites import Site, call
from tests.custody.conftest import ANN, BOB, because
from tests.evidence.test_signature import new_key


def refused(resolved: Resolved, call_id: str) -> bool:
    """Whether a call is on hold."""
    try:
        erase(resolved, Choice(ids=(call_id,)), execute=False)
    except ConfigError as error:
        return "is on hold" in str(error)
    return False


def test_a_hold_is_told_in_the_ledger(filled: Site, resolved: Resolved) -> None:
    """Adding and releasing are a closed, sealed run each, whose lines name ids, reason and operator."""
    added = add_hold(because(filled, "case 12", operator="ann"), Choice(ids=("1", "3")))
    hold = added.holds[0].hold
    started, line, closed = filled.lines(str(added.run))
    assert (started["command"], closed["command"], closed["hold"]) == ("hold", "hold", hold.id)
    told = {name: line[name] for name in ("event", "hold", "ids", "reason", "operator", "by_number")}
    assert told == {
        "event": "hold-added",
        "hold": hold.id,
        "ids": ["1", "3"],
        "reason": "case 12",
        "operator": "ann",
        "by_number": False,
    }
    assert [refused(resolved, each) for each in "1234"] == [True, False, True, False]
    released = release_hold(because(filled, "settled out of court", operator="bob"), hold.id)
    line = filled.lines(str(released.run))[1]
    assert (line["event"], line["hold"], line["reason"], line["operator"]) == (
        "hold-released",
        hold.id,
        "settled out of court",
        "bob",
    )
    assert not any(refused(resolved, each) for each in "1234")
    assert verify(filled.root).findings == []
    for run in (added.run, released.run):
        assert {"seal.txt", "run.json"} < {path.name for path in (filled.root / "runs" / str(run)).iterdir()}


def test_a_hold_by_number_keeps_the_number_out_of_the_ledger(filled: Site, resolved: Resolved) -> None:
    """The number stands in a file that the line names with its hash, and in nothing else of the archive."""
    added = add_hold(because(filled, f"calls of {ANN}"), Choice(number=ANN))
    (line,) = (each for each in filled.lines(str(added.run)) if each["event"] == "hold-added")
    (file,) = line["files"]
    assert file["role"] == "hold"
    assert json.loads((filled.root / file["path"]).read_text())["phone_number"] == ANN
    of_run = (path for path in (filled.root / "runs" / str(added.run)).iterdir() if path.name != file["path"][-18:])
    assert all(b"5550100001" not in path.read_bytes() and ANN.encode() not in path.read_bytes() for path in of_run)
    assert [refused(resolved, each) for each in "1234"] == [True, True, False, False]
    assert verify(filled.root).findings == []


async def test_a_hold_covers_later_calls(filled: Site, resolved: Resolved) -> None:
    """Calls that are archived after it are held by its days or number, and counted."""
    by_days = add_hold(resolved, Choice(date_from=dt.date(2025, 9, 1), date_to=dt.date(2025, 9, 2)))
    by_number = add_hold(resolved, Choice(number=ANN))
    await filled.saved(call(5, created_at="2025-09-02 23:59:59"), call(6, client_phone_number="15550100001"))
    assert [refused(resolved, each) for each in "56"] == [True, True]
    listed = list_holds(resolved, released=False)
    counts = {each.hold.id: each.calls for each in listed.holds}
    assert counts == {by_days.holds[0].hold.id: 2, by_number.holds[0].hold.id: 3}
    assert "covers calls created from 2025-09-01 to 2025-09-02" in held_text(listed)


def test_released_holds_are_shown_when_asked_for(filled: Site, resolved: Resolved) -> None:
    """The list shows those that are active; with --released the others too, with who released them and why."""
    assert held_text(list_holds(resolved, released=False)) == "no call is on hold"
    hold = add_hold(resolved, Choice(ids=("1",))).holds[0].hold
    release_hold(because(filled, "closed", operator="bob"), hold.id)
    text = held_text(list_holds(resolved, released=False))
    assert text.splitlines() == ["no call is on hold", "1 hold released; --released shows them too"]
    text = held_text(list_holds(resolved, released=True))
    assert "by bob: closed" in text
    assert json.loads(list_holds(resolved, released=True).as_json())["holds"][0]["hold"]["released_by"] == "bob"


def test_what_cannot_be_held_is_refused(filled: Site, resolved: Resolved) -> None:
    """Nothing selected, an unknown id, an erased call, no reason, an unknown hold, one that was released: nothing is written."""
    hold = add_hold(resolved, Choice(ids=("1",))).holds[0].hold
    release_hold(resolved, hold.id)
    erase(resolved, Choice(ids=("4",)), execute=True)
    before = filled.files()
    for choice, said in (
        (Choice(), "nothing is selected"),
        (Choice(ids=("9",)), "the archive knows no call '9'"),
        (Choice(ids=("4",)), "the call '4' is erased"),
    ):
        with pytest.raises(ConfigError, match=said):
            add_hold(resolved, choice)
    for hold_id, said in (("nosuch", "there is no hold 'nosuch'"), (hold.id, "was released already")):
        with pytest.raises(ConfigError, match=said):
            release_hold(resolved, hold_id)
    with pytest.raises(ConfigError, match="no reason is given"):
        add_hold(because(filled, None), Choice(ids=("1",)))
    with pytest.raises(ConfigError, match="no reason is given"):
        release_hold(because(filled, None), hold.id)
    assert filled.files() == before


def test_a_hold_that_cannot_be_read_holds_everything(filled: Site, resolved: Resolved) -> None:
    """Where the number of a hold was altered or lost nobody can say what it covers: nothing is erased, exit code 8."""
    add_hold(resolved, Choice(number=ANN))
    (path,) = filled.root.glob("runs/*/hold-*.json")
    path.write_text(path.read_text().replace("0001", "0009"))
    with pytest.raises(LedgerError, match="is missing or altered"):
        erase(resolved, Choice(ids=("3",)), execute=True)


@pytest.mark.parametrize(
    ("name", "forged"),
    [
        ("hold-1a2b3c4d", "{}"),
        ("hold-1a2b3c4d", '{"hold":"x","phone_number":5}'),
        ("hold-1a2b3c4d", "noise"),
        ("hold-/../../../../secret", '{"hold":"x","phone_number":"1"}'),
    ],
)
def test_a_forged_hold_is_a_ledger_error(filled: Site, resolved: Resolved, name: str, forged: str) -> None:
    """Whoever makes file and line anew has nothing read outside the archive, and no command end by a traceback."""
    added = add_hold(resolved, Choice(number=ANN))
    (path,) = filled.root.glob("runs/*/hold-*.json")
    (path.parent / "hold-").mkdir()
    (path.parent / f"{name}.json").write_text(forged)
    ledger = filled.root / "runs" / str(added.run) / "ledger.jsonl"
    lines = ledger.read_bytes().splitlines()
    line = json.loads(lines[1])
    (file,) = line["files"]
    line["hold"] = name.removeprefix("hold-")
    data = forged.encode()
    key = f"runs/{added.run}/{name}.json"
    line["files"] = [file | {"path": key, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}]
    ledger.write_bytes(b"\n".join([lines[0], json.dumps(line).encode(), *lines[2:], b""]))
    with pytest.raises(LedgerError, match="is missing or altered"):
        read_holds(filled.root)


def test_a_call_whose_numbers_nobody_knows_is_held(filled: Site, resolved: Resolved) -> None:
    """A hold by number covers a call whose row is lost: it might be one of them. Erasing by number leaves it and says so."""
    (filled.root / "2025/08/04/3.json").unlink()
    shown = erase(resolved, Choice(number=ANN), execute=False)
    assert ([each.id for each in shown.calls], shown.doubtful) == (["1", "2"], 1)
    assert (
        add_hold(resolved, Choice(number=ANN)).holds[0].calls
        == list_holds(resolved, released=False).holds[0].calls
        == 3
    )
    assert refused(resolved, "3")


async def test_a_call_without_a_day_is_held_by_days(filled: Site, resolved: Resolved) -> None:
    """It may be one of them; erasing by days leaves it alone. A hold of other numbers on these days does not cover it."""
    await filled.saved(call(5, created_at="soon", client_phone_number=BOB))
    first, last = dt.date(2030, 1, 1), dt.date(2030, 1, 2)
    other = add_hold(resolved, Choice(date_from=first, date_to=last, number=ANN)).holds[0].hold
    assert not refused(resolved, "5")
    assert add_hold(resolved, Choice(date_from=first, date_to=last)).holds[0].hold.id != other.id
    assert [refused(resolved, each) for each in "145"] == [False, False, True]


def test_a_run_at_work_keeps_a_hold_waiting(filled: Site, resolved: Resolved) -> None:
    """A hold is added under the archive's lock; listing them needs none."""
    with local_state(resolved.settings).locked():
        with pytest.raises(LockedError):
            add_hold(resolved, Choice(ids=("1",)))
        assert list_holds(resolved, released=True).holds == ()


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is missing")
def test_its_seal_is_signed_as_that_of_any_run(filled: Site, tmp_path: Path) -> None:
    """Holds and erasures are vouched for as the settings say, at once; a key that is not there is refused before anything."""
    resolved = because(filled, seal_ssh_key=str(new_key(tmp_path)))
    added = add_hold(resolved, Choice(ids=("1",)))
    assert "\nseal: signed by ED25519 key" in held_text(added)
    done = erase(resolved, Choice(ids=("3",)), execute=True)
    assert "seal: signed by ED25519 key" in erasure_text(done)
    for run in (added.run, done.run):
        assert (filled.root / "runs" / str(run) / "seal.txt.sig").exists()
    before = filled.files()
    with pytest.raises(ConfigError, match="nowhere cannot be read"):
        add_hold(because(filled, seal_ssh_key="nowhere"), Choice(ids=("1",)))
    assert filled.files() == before


async def test_a_number_without_its_line_is_swept(filled: Site, resolved: Resolved) -> None:
    """A crash between the file of a hold's number and its line leaves no number behind: the next run removes it."""
    with filled.run() as run:
        stray = filled.root / "runs" / run.id / "hold-0a0a0a0a.json"
        stray.write_text("{}")
    add_hold(resolved, Choice(ids=("1",)))
    assert not stray.exists()
    assert len(read_holds(filled.root)) == 1
    assert verify(filled.root).findings == []
