"""Erasing: what goes, what stays, what the ledger tells of it, and what is refused."""

import datetime as dt
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from harvester.archive.choice import Choice
from harvester.archive.erasure import ids_on, remove
from harvester.archive.layout import LEDGER, run_key
from harvester.archive.mark import hold
from harvester.custody.erasing import Erasure, erase, erasure_text
from harvester.custody.holding import add_hold, release_hold
from harvester.errors import ConfigError, LockedError, MarkError
from harvester.layers import resolve
from harvester.place import local_state
from harvester.settings import Resolved
from harvester.verify.archive import verify
from tests.archive.sites import Site, call
from tests.custody.conftest import ANN, REASON, because


def erased(resolved: Resolved, *ids: str) -> Erasure:
    """Erase calls by their ids."""
    return erase(resolved, Choice(ids=ids), execute=True)


def ids(done: Erasure) -> list[str]:
    """The ids of the calls that were erased or would be."""
    return [each.id for each in done.calls]


def test_a_preview_changes_nothing(filled: Site, resolved: Resolved) -> None:
    """Without --execute it is shown which calls and files would go, with all versions and their bytes, and nothing is written."""
    before = filled.files()
    shown = erase(resolved, Choice(ids=("2",)), execute=False)
    assert filled.files() == before
    assert shown.run is None
    (of_two,) = shown.calls
    keys = [grave.file.path for grave in of_two.files]
    assert keys == sorted(key for key in filled.tree() if key.startswith("2025/08/04/2."))
    assert len(keys) == 5
    assert shown.size_bytes == sum(len(before[key]) for key in keys)
    text = erasure_text(shown)
    assert all(key in text for key in keys)
    assert "--execute" in text


def test_what_is_erased_is_gone_and_told(filled: Site, resolved: Resolved) -> None:
    """All versions of the call go, nothing else does, and its tombstone names files, hashes, reason and operator."""
    before = filled.files()
    lines = {each["path"]: each for run in runs(filled) for line in filled.lines(run) for each in line.get("files", ())}
    done = erased(resolved, "2")
    mine = {key for key in before if key.startswith("2025/08/04/2.")}
    assert filled.tree() == {key for key in before if key.startswith("2")} - mine
    assert done.run
    started, tombstone, closed = filled.lines(done.run)
    assert (started["command"], started["operator"], started["reason"]) == ("erase", "ops", REASON)
    assert (tombstone["event"], tombstone["id"]) == ("erased", "2")
    assert (tombstone["operator"], tombstone["reason"]) == ("ops", REASON)
    assert {each["path"]: each for each in tombstone["erased"]} == {key: lines[key] for key in mine}
    assert (closed["event"], closed["erased_calls"], closed["erased_files"]) == ("run-closed", 1, 5)
    folder = filled.root / "runs" / done.run
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        (LEDGER, "manifest-sha256.txt", "run.json", "seal.txt")
    )
    assert json.loads((folder / "run.json").read_text())["command"] == "erase"


def test_verify_accepts_what_was_erased(filled: Site, resolved: Resolved) -> None:
    """An archive of which calls were erased is intact, and verify says how many files tombstones explain."""
    erased(resolved, "2", "4")
    result = verify(filled.root)
    assert (result.findings, result.erased_files) == ([], 8)
    assert any("8 files were erased on purpose" in note for note in result.notes)


def test_nothing_of_it_stays_in_the_checkpoint(filled: Site, resolved: Resolved) -> None:
    """The checkpoint keeps of an erased call what its ledger lines say of it: no link, and the same after it is rebuilt."""
    erased(resolved, "1")
    with_it = entry_of(filled, "1")
    filled.db.unlink()
    assert with_it == entry_of(filled, "1")
    assert (with_it.erased, with_it.link) == (True, None)


def test_calls_are_chosen_by_number(filled: Site, resolved: Resolved) -> None:
    """Either number of any version counts, by its digits alone; what else is given narrows the choice."""
    by_number = Choice(number="001 555 0100001")
    assert ids(erase(resolved, by_number, execute=False)) == ["1", "2"]
    of_bob = Choice(number="+15550100002", ids=("2", "4"))
    assert ids(erase(resolved, of_bob, execute=False)) == ["2"]


def test_calls_that_may_be_meant_are_left_alone_and_counted(filled: Site, resolved: Resolved) -> None:
    """Nobody is told that nothing of a caller is left while a row is missing that may bear his number, an older one too."""
    (filled.root / "2025/08/04/3.json").unlink()
    with pytest.raises(
        ConfigError, match="no archived call is selected; but of 1 call nobody can tell: a row is missing"
    ):
        erase(resolved, Choice(number="+4912345678"), execute=True)
    (filled.root / "2025/08/04/2.json").unlink()
    shown = erase(resolved, Choice(number=ANN), execute=False)
    assert (ids(shown), shown.doubtful) == (["1"], 2)
    assert "note: of 2 calls nobody can tell" in erasure_text(shown)


def test_calls_are_chosen_by_days(filled: Site, resolved: Resolved) -> None:
    """The first and the last day belong to it; a call without a day lies in none."""
    late = Choice(date_from=dt.date(2025, 8, 5))
    assert ids(erase(resolved, late, execute=False)) == ["4"]
    day = Choice(date_from=dt.date(2025, 8, 4), date_to=dt.date(2025, 8, 4))
    assert ids(erase(resolved, day, execute=False)) == ["1", "2", "3"]


def test_no_number_reaches_the_ledger(filled: Site) -> None:
    """Neither the number that chose the calls nor one in the reason stands in ledger or account."""
    done = erase(because(filled, f"the caller {ANN} asks for it"), Choice(number=ANN), execute=True)
    told = b"".join(path.read_bytes() for path in (filled.root / "runs" / str(done.run)).iterdir())
    assert b"010-0001" not in told
    assert b"5550100001" not in told
    assert b"the caller (number) asks for it" in told


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (Choice(), "nothing is selected"),
        (Choice(ids=("1", "99")), "the archive knows no call '99'"),
        (Choice(number="+4912345678"), "no archived call is selected"),
        (Choice(number="none"), "holds no digit"),
        (Choice(date_from=dt.date(2025, 2, 2), date_to=dt.date(2025, 2, 1)), "is after --to"),
    ],
)
@pytest.mark.parametrize("execute", [False, True])
def test_what_cannot_be_meant_is_refused(
    filled: Site, resolved: Resolved, choice: Choice, said: str, execute: bool
) -> None:
    """Each is one sentence, and nothing is erased."""
    before = filled.files()
    with pytest.raises(ConfigError, match=said):
        erase(resolved, choice, execute=execute)
    assert filled.files() == before


def test_a_reason_is_typed(filled: Site, tmp_path: Path) -> None:
    """Without one nothing is erased; one that stands in a settings file, for every night, is none."""
    config = tmp_path / "harvester.toml"
    config.write_text('reason = "nightly"\n')
    flags = {"archive": str(filled.root), "state_folder": str(tmp_path), "checkpoint": str(filled.db)}
    for resolved in (
        because(filled, None),
        resolve(flags, {"HARVESTER_REASON": "nightly"}, None),
        resolve(flags, {}, config),
    ):
        with pytest.raises(ConfigError, match="no reason is given: say by --reason why"):
            erased(resolved, "1")


def test_what_is_on_hold_is_refused(filled: Site, resolved: Resolved) -> None:
    """One call on hold keeps all that were chosen with it; once the hold is released they can be erased."""
    held = add_hold(because(filled, "case 12", operator="legal"), Choice(ids=("3",))).holds[0].hold
    before = filled.files()
    for execute in (False, True):
        with pytest.raises(
            ConfigError, match=f"the call '3' is on hold {held.id}, .* by legal: 'case 12'; nothing was"
        ):
            erase(resolved, Choice(date_from=dt.date(2025, 8, 1)), execute=execute)
    assert filled.files() == before
    release_hold(resolved, held.id)
    assert ids(erased(resolved, "3")) == ["3"]


def test_what_is_erased_already_is_said(filled: Site, resolved: Resolved) -> None:
    """A call cannot be erased twice; beside others it is left alone and named."""
    erased(resolved, "1")
    with pytest.raises(ConfigError, match="the call '1' is erased already"):
        erased(resolved, "1")
    again = erased(resolved, "1", "3")
    assert (ids(again), again.already) == (["3"], ("1",))


def test_what_lies_there_again_is_erased_again(filled: Site, resolved: Resolved) -> None:
    """Files that came back from a backup are a finding, and go when their call is erased once more."""
    key = "2025/08/04/1.mp3"
    data = (filled.root / key).read_bytes()
    erased(resolved, "1")
    (filled.root / key).write_bytes(data)
    assert [(each.kind, each.path) for each in verify(filled.root).findings] == [("erased", key)]
    again = erased(resolved, "1")
    assert [grave.file.path for each in again.calls for grave in each.files] == [key]
    assert not verify(filled.root).findings


def test_what_no_line_names_goes_too(filled: Site, resolved: Resolved) -> None:
    """A file under the call's names that a crash left without a line is the call's; its neighbours' are not."""
    stray, other = filled.root / "2025/08/04/1.v7.wav", filled.root / "2025/08/04/11.mp3"
    stray.write_bytes(b"stray")
    other.write_bytes(b"another's")
    erased(resolved, "1")
    assert not stray.exists()
    assert other.exists()


def test_damage_is_told(filled: Site, resolved: Resolved) -> None:
    """A tombstone says which files were altered or missing when they were erased, and keeps the hashes of the ledger."""
    (filled.root / "2025/08/04/1.mp3").write_bytes(b"altered")
    (filled.root / "2025/08/04/1.txt").unlink()
    done = erased(resolved, "1")
    tombstone = filled.lines(str(done.run))[1]
    assert {each["path"][-3:]: each.get("found") for each in tombstone["erased"]} == {
        "son": None,
        "mp3": "altered",
        "txt": "missing",
    }
    assert not verify(filled.root).findings


async def test_files_that_a_crash_left_go_too(filled: Site, resolved: Resolved) -> None:
    """What a run that was cut off had named without a line is mended first, and erased with its call."""
    with filled.run() as run:
        draft = await run.draft(call(1, client_phone_number=ANN, transcript="New."))
        with pytest.raises(BaseException, match="cut off"):
            cut_off_before_lines(run.archive, draft)
    assert (filled.root / "2025/08/04/1.v2.json").exists()
    done = erased(resolved, "1")
    assert done.mended == (run.id,)
    assert not [key for key in filled.tree() if key.startswith("2025/08/04/1.")]
    assert not verify(filled.root).findings


def cut_off_before_lines(archive: Any, draft: Any) -> None:
    """Commit a draft up to the point where its files have names and no line."""
    steps = archive._steps([draft])
    next(steps)()
    next(steps)
    steps.throw(RuntimeError("cut off"))


def test_what_cannot_be_removed_is_told(filled: Site, resolved: Resolved) -> None:
    """Where a file cannot be removed the others go, exit code 6 and the text say so, verify finds it, erasing again mends it."""
    folder, elsewhere = filled.root / "2025/08", filled.root.parent / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    done = erased(resolved, "1", "4")
    assert done.exit_code == 6
    assert "is a symbolic link" in erasure_text(done)
    assert "not all erased: 3 files still there" in erasure_text(done)
    assert filled.lines(str(done.run))[-1]["exit_code"] == 6
    folder.unlink()
    elsewhere.rename(folder)
    found = [(each.kind, each.path) for each in verify(filled.root).findings]
    assert found == [("erased", f"2025/08/04/1.{suffix}") for suffix in ("json", "mp3", "txt")]
    assert erased(resolved, "1").exit_code == 0
    assert not verify(filled.root).findings


def test_a_run_at_work_keeps_it_waiting(filled: Site, resolved: Resolved) -> None:
    """The archive is locked as for a run, by this local state or another; a preview waits for nobody."""
    local = local_state(resolved.settings)
    with local.locked():
        assert ids(erase(resolved, Choice(ids=("1",)), execute=False)) == ["1"]
        with pytest.raises(LockedError):
            erased(resolved, "1")
    with hold(filled.root), pytest.raises(LockedError):
        erased(resolved, "1")


def test_only_an_archive_is_touched(tmp_path: Path) -> None:
    """A folder that is none is refused, and nothing is made there."""
    flags = {"archive": str(tmp_path / "none"), "state_folder": str(tmp_path / "state"), "reason": REASON}
    resolved = resolve(flags, {}, None)
    with pytest.raises(MarkError, match="there is no archive at"):
        erased(resolved, "1")
    assert list(tmp_path.iterdir()) == []


def page_of(site: Site, name: str, data: bytes) -> str:
    """Keep a list page in a run of its own, as `keep_pages` does; return its key."""
    with site.run() as run:
        key = run_key(run.id, f"pages/{name}")
        (site.root / key).parent.mkdir()
        (site.root / key).write_bytes(data)
        file = {"path": key, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "role": "page"}
        run.archive.note({"event": "page", "number": 1, "readable": True, "files": [file]})
        run.close()
    return key


def test_pages_that_show_the_call_go(filled: Site, resolved: Resolved) -> None:
    """Kept list pages that show the call are erased as a whole, packed, plain, cut or unreadable; others stay."""
    body = json.dumps({"data": [{"id": 1}, {"id": 3}]}).encode()
    gone = [
        page_of(filled, "000001.json.gz", gzip.compress(body)),
        page_of(filled, "000002.json.gz", b'{"data": {"0": {"id": "1"}}}'),
        page_of(filled, "000003.json.gz", gzip.compress(body)[:-9]),
        page_of(filled, "000004.json.gz", b'<p>call "id":1, and no JSON'),
        page_of(filled, "000005.json.gz", b"\x1f\x8b" + b"noise"),
    ]
    stay = [
        page_of(filled, "000006.json.gz", gzip.compress(b'{"data": [{"id": 11}, {"id": 3, "duration": 1}]}')),
        page_of(filled, "000007.json.gz", b"call 11, and no 10 or 21"),
    ]
    done = erased(resolved, "1")
    assert done.pages == len(gone)
    assert "5 kept list pages among them" in erasure_text(done)
    assert [key for key in (*gone, *stay) if (filled.root / key).exists()] == stay
    assert not verify(filled.root).findings
    assert ids_on(body) == {"1", "3"}


def test_a_key_that_leads_out_removes_nothing(filled: Site, resolved: Resolved, tmp_path: Path) -> None:
    """An altered tombstone that names other files than a call's, or a folder that is a link, removes nothing outside."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "1.mp3").write_bytes(b"not ours")
    (filled.root / "2025/09/30").symlink_to(outside)
    assert remove(filled.root, ["../outside/1.mp3", "harvester-archive.json", run_key(runs(filled)[0], LEDGER)]) == []
    assert len(remove(filled.root, ["2025/09/30/1.mp3"])) == 1
    assert (outside / "1.mp3").exists()
    assert (filled.root / "harvester-archive.json").exists()
    assert (filled.root / run_key(runs(filled)[0], LEDGER)).exists()


def runs(site: Site) -> list[str]:
    """The ids of all runs."""
    return sorted(path.name for path in (site.root / "runs").iterdir())


def entry_of(site: Site, call_id: str) -> Any:
    """What a checkpoint that has read the ledgers says of a call."""
    checkpoint = site.checkpoint()
    try:
        return checkpoint.find([call_id])[call_id]
    finally:
        checkpoint.close()
