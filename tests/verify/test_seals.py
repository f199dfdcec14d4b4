"""Seals show what a chain cannot: that an end was cut off; and copies of seals, that a whole run is gone."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from harvester.archive.layout import ACCOUNT, LEDGER, MANIFEST, MARK, SEAL, SEAL_PART, SIGNATURE, run_key
from harvester.archive.manifest import write_manifest
from harvester.archive.seal import read_seal, seal_text, write_seal
from harvester.errors import ConfigError
from harvester.verify.archive import verify
from harvester.verify.findings import Verification
from harvester.verify.seals import copies_in
from harvester.verify.witnesses import Witnesses
from tests.archive.sites import Site, call, flip_bit
from tests.verify.damage import edit_ledger, found, runs


def forge(root: Path, run_id: str, *, keep: int) -> None:
    """Cut the end off a run as somebody would who knows the format: its ledger, the files it named, its manifest."""
    path = root / run_key(run_id, LEDGER)
    lines = path.read_bytes().splitlines(keepends=True)
    for line in lines[keep:]:
        for file in json.loads(line).get("files", []):
            (root / file["path"]).unlink(missing_ok=True)
    path.write_bytes(b"".join(lines[:keep]))
    write_manifest(root, run_id)


def remove_run(root: Path, run_id: str) -> None:
    """Take a run and all that it has named out of an archive."""
    forge(root, run_id, keep=0)
    shutil.rmtree(root / "runs" / run_id)


def seals_of(root: Path, target: Path) -> Path:
    """Keep copies of all seals in a folder of their own."""
    for run_id in runs(root):
        (target / run_id).mkdir(parents=True)
        shutil.copy(root / run_key(run_id, SEAL), target / run_id / SEAL)
    return target


def told(result: Verification) -> list[tuple[str, str, str]]:
    """What stands in the findings about seals and missing runs: path, expected, found."""
    return [(each.path, each.expected, each.found) for each in result.findings]


def test_a_cut_off_end_is_found_by_the_seal(root: Path) -> None:
    """The last line, its file and its line in the manifest are gone, and nothing else shows it: the seal does."""
    run_id = runs(root)[1]
    forge(root, run_id, keep=3)
    shown = told(verify(root))
    key = run_key(run_id, LEDGER)
    assert (key, "ledger-lines 4, as its seal says", "3") in shown
    assert any(path == key and expected.startswith("ledger-last-seq 8,") for path, expected, _ in shown)
    assert {path for path, _, _ in shown} == {key, run_key(run_id, MANIFEST)}


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_an_end_that_was_cut_off_with_its_manifest_is_found(root: Path, keep: int) -> None:
    """As if the last run had not closed yet: but it is sealed."""
    run_id = runs(root)[1]
    forge(root, run_id, keep=keep)
    (root / run_key(run_id, MANIFEST)).unlink()
    (root / run_key(run_id, ACCOUNT)).unlink()
    assert {path for _, path in found(verify(root))} & {run_key(run_id, MANIFEST), run_key(run_id, SEAL)}


def test_a_run_in_the_middle_that_was_taken_out_breaks_the_chain(root: Path) -> None:
    """What follows it no longer continues what was before it."""
    remove_run(root, runs(root)[0])
    assert ("ledger", run_key(runs(root)[0], LEDGER)) in found(verify(root))


def test_a_last_run_that_is_gone_is_found_by_a_copy_of_its_seal(root: Path, tmp_path: Path) -> None:
    """Nothing in the archive speaks of it any more; a copy of its seal, kept elsewhere, does."""
    copies = seals_of(root, tmp_path / "copies")
    run_id = runs(root)[1]
    remove_run(root, run_id)
    (root / "2025/08/04/3.json").unlink(missing_ok=True)
    assert verify(root).findings == []
    (finding,) = verify(root, witnesses=Witnesses(copies=tuple(copies_in(copies)))).findings
    assert (finding.kind, finding.path, finding.found) == ("missing", run_key(run_id, LEDGER), "no such run")
    assert finding.expected == f"the run that the copy in {copies / run_id / SEAL} stands for"


def test_a_run_that_was_sealed_anew_is_found_by_a_copy_of_its_seal(root: Path, tmp_path: Path) -> None:
    """Whoever makes ledger, manifest and seal anew leaves nothing that contradicts itself; the copy contradicts."""
    copies = seals_of(root, tmp_path / "copies")
    run_id = runs(root)[1]
    forge(root, run_id, keep=3)
    (root / run_key(run_id, SEAL_PART)).touch()
    write_seal(root, run_id)
    assert verify(root).findings == []
    shown = told(verify(root, witnesses=Witnesses(copies=tuple(copies_in(copies)))))
    where = f"the copy in {copies / run_id / SEAL}"
    assert (run_key(run_id, SEAL), f"the same seal as {where}", "another one") in shown
    assert (run_key(run_id, LEDGER), f"ledger-lines 4, as {where} says", "3") in shown


def test_copies_that_are_the_same_change_nothing(root: Path, tmp_path: Path) -> None:
    """A folder of seals, one seal, or all in one file one behind the other; other files in the folder are passed over."""
    folder = seals_of(root, tmp_path / "copies")
    (folder / "notes.txt").write_text("harvester seal, they say\n")
    (folder / "empty").touch()
    together = tmp_path / "seals.txt"
    together.write_bytes(b"".join(path.read_bytes() for path in sorted(folder.rglob(SEAL))))
    for path, count in ((folder, 2), (together, 2), (folder / runs(root)[0] / SEAL, 1)):
        copies = copies_in(path)
        assert len(copies) == count
        assert verify(root, witnesses=Witnesses(copies=tuple(copies))).findings == []


def test_a_mailbox_is_a_place_for_copies(root: Path, tmp_path: Path) -> None:
    """Seals that were mailed each night are found in the mailbox, between headers, with a mail's line ends."""
    mails = [
        f"From records@example.com\nSubject: seal\n\n{(root / run_key(run_id, SEAL)).read_text()}\n-- \nbye\n\n"
        for run_id in runs(root)
    ]
    (tmp_path / "mbox").write_bytes("".join(mails).replace("\n", "\r\n").encode())
    copies = copies_in(tmp_path / "mbox")
    assert [copy.seal.run for copy in copies] == runs(root)
    assert verify(root, witnesses=Witnesses(copies=tuple(copies))).findings == []


def test_a_copy_that_was_cut_off_is_told(root: Path, tmp_path: Path) -> None:
    """A file that ends in the middle of a seal, or in which another seal begins there."""
    data = (root / run_key(runs(root)[0], SEAL)).read_bytes()
    for content in (data[:-100], data[: data.index(b"ledger-lines")] + data):
        (tmp_path / "seals.txt").write_bytes(content)
        with pytest.raises(ConfigError, match="cannot be used: the seal is damaged"):
            copies_in(tmp_path / "seals.txt")


def test_a_seal_that_is_gone_is_found_by_its_copy_too(root: Path, tmp_path: Path) -> None:
    """The copy is then what the run is held against."""
    copies = seals_of(root, tmp_path / "copies")
    run_id = runs(root)[0]
    (root / run_key(run_id, SEAL)).unlink()
    edit_ledger(root, 0, lambda lines: lines[:-1])
    shown = found(verify(root, witnesses=Witnesses(copies=tuple(copies_in(copies)))))
    assert {
        ("missing", run_key(run_id, SEAL)),
        ("seal", run_key(run_id, SEAL)),
        ("seal", run_key(run_id, LEDGER)),
    } <= shown


async def test_copies_of_other_archives_are_passed_over(root: Path, site: Site, tmp_path: Path) -> None:
    """One folder may hold the seals of several archives."""
    await site.saved(call(9))
    copies = seals_of(root, tmp_path / "copies")
    seals_of(site.root, copies / "other")
    result = verify(root, witnesses=Witnesses(copies=tuple(copies_in(copies))))
    assert (result.findings, result.notes) == ([], ["held against 2 copies of seals (1 more are of other archives)"])
    with pytest.raises(ConfigError, match="1 copies of seals, and none is of this archive"):
        verify(root, witnesses=Witnesses(copies=tuple(copies_in(copies / "other"))))


def test_a_place_without_copies_is_told(root: Path, tmp_path: Path) -> None:
    """Nothing there, a folder without seals, a seal with a flipped bit: a ConfigError that names it."""
    with pytest.raises(ConfigError, match="there is nothing at"):
        copies_in(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no seal lies at"):
        copies_in(tmp_path / "empty")
    copies = seals_of(root, tmp_path / "copies")
    flip_bit(copies / runs(root)[0] / SEAL, 200)
    with pytest.raises(ConfigError, match=r"a copy in .*seal.txt cannot be used: the seal is damaged"):
        copies_in(copies)


@pytest.mark.parametrize("field", ["archive", "run"])
def test_the_seal_of_another_run_or_archive_is_found(root: Path, field: str) -> None:
    """A seal belongs to the run in whose folder it lies, and to the archive whose mark is there."""
    run_id = runs(root)[0]
    path = root / run_key(run_id, SEAL)
    data = path.read_bytes().replace(run_id.encode(), runs(root)[1].encode())
    if field == "archive":
        archive_id = json.loads((root / MARK).read_text())["archive_id"]
        data = path.read_bytes().replace(archive_id.encode(), b"6f1f3a52-7c7e-4a8e-9f0b-0d3c5f6a7b8c")
    body = data[: data.rindex(b"seal-sha256")]
    path.write_bytes(body + f"seal-sha256: {hashlib.sha256(body).hexdigest()}\n".encode())
    assert seal_text(read_seal(path.read_bytes())) == path.read_bytes()
    (finding,) = verify(root).findings
    assert (finding.kind, finding.path) == ("seal", run_key(run_id, SEAL))
    assert finding.expected.startswith(f"{field} ")


def test_a_manifest_that_was_written_anew_does_not_fit_its_seal(root: Path) -> None:
    """A manifest without a file that the ledger does not name either is found by the seal alone."""
    run_id = runs(root)[1]
    path = root / run_key(run_id, MANIFEST)
    path.write_bytes(b"".join(reversed(path.read_bytes().splitlines(keepends=True))))
    shown = told(verify(root))
    assert {key for key, _, _ in shown} == {run_key(run_id, MANIFEST)}
    assert [expected.split()[0] for _, expected, _ in shown] == ["manifest-sha256", "manifest-merkle-root"]


def test_runs_from_before_there_were_seals_are_a_note(root: Path) -> None:
    """Such a run speaks of no seal in its first line; one note tells how many there are."""
    for nth in (0, 1):
        edit_ledger(root, nth, lambda lines: [lines[0].replace(b'"seal":1,', b""), *lines[1:]])
        (root / run_key(runs(root)[nth], SEAL)).unlink()
    notes = [note for note in verify(root).notes if "before there were seals" in note]
    assert len(notes) == 1
    assert notes[0].startswith(
        f"2 of 2 runs are from before there were seals and have none (the last is {runs(root)[1]})"
    )


@pytest.mark.parametrize("name", [SEAL, SIGNATURE])
def test_a_link_in_the_place_of_a_seal_is_found(root: Path, name: str) -> None:
    """A link is no file of the archive."""
    path = root / run_key(runs(root)[0], name)
    (root.parent / "outside").write_bytes(path.read_bytes() if path.exists() else b"")
    path.unlink(missing_ok=True)
    path.symlink_to(root.parent / "outside")
    assert ("unexpected", run_key(runs(root)[0], name)) in found(verify(root))
