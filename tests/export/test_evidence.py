"""What is handed over proves that it belongs to sealed runs, shows nobody else's lines, and says what is not proven."""

import json
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from harvester.archive.layout import LEDGER, MANIFEST, MARK, SEAL, SIGNATURE, STAMP, STAMP_CHAIN, run_key
from harvester.archive.merkle import root_from
from harvester.archive.seal import make_seal, read_seal, seal_text
from harvester.errors import DamagedError
from harvester.export.bag import Bag
from harvester.export.criteria import Criteria
from harvester.export.evidence import write_evidence
from harvester.export.selection import select
from harvester.export.sinks import FolderSink
from tests.archive.sites import Site, call, flip_bit
from tests.export.bundles import ANNA, DAY, checked, exported_to, info_of, without_seal

OF_ANNA = Criteria(phone_numbers=(ANNA,))


def runs_of(site: Site) -> list[str]:
    """The ids of all runs, oldest first."""
    return sorted(path.name for path in (site.root / "runs").iterdir())


@pytest.fixture
def bundle(site: Site, tmp_path: Path) -> Path:
    """What is exported of Anna: calls 1 and 3, of two runs."""
    exported_to(site, tmp_path / "bundle", OF_ANNA)
    return tmp_path / "bundle"


def test_the_ledger_lines_are_those_of_the_calls_byte_for_byte(site: Site, bundle: Path) -> None:
    """In the order of the chain, and no other: another caller's id stands in none of the files."""
    lines = (bundle / "evidence" / LEDGER).read_bytes().splitlines(keepends=True)
    archived = [
        line
        for run_id in runs_of(site)
        for line in (site.root / run_key(run_id, LEDGER)).read_bytes().splitlines(keepends=True)
    ]
    assert lines == [line for line in archived if json.loads(line).get("id") in ("1", "3")]
    assert len(lines) == 3
    proofs = (bundle / "evidence" / "proofs.jsonl").read_text()
    assert f"{DAY}/2." not in proofs
    assert "2025/09/01" not in proofs


def test_the_proofs_lead_to_the_roots_that_are_sealed(site: Site, bundle: Path) -> None:
    """Each ledger line and each file has one proof; the seals and the mark are those of the archive."""
    proofs = [json.loads(line) for line in (bundle / "evidence" / "proofs.jsonl").read_text().splitlines()]
    for proof in proofs:
        data = (bundle / "evidence" / run_key(proof["run"], SEAL)).read_bytes()
        assert data == (site.root / run_key(proof["run"], SEAL)).read_bytes()
        seal = read_seal(data)
        path = map(bytes.fromhex, proof["path"])
        root = root_from(proof["entry"].encode(), proof["index"], proof["size"], path)
        assert root is not None
        assert root.hex() == getattr(seal, f"{proof['tree']}_merkle_root")
    files = {path.relative_to(bundle / "data").as_posix() for path in (bundle / "data").rglob("*.*")}
    assert sorted(proof["entry"].partition("  ")[2] for proof in proofs if proof["tree"] == "manifest") == sorted(files)
    lines = (bundle / "evidence" / LEDGER).read_text().splitlines()
    assert [proof["entry"] for proof in proofs if proof["tree"] == "ledger"] == lines
    assert (bundle / "evidence" / MARK).read_bytes() == (site.root / MARK).read_bytes()


def test_the_script_that_comes_along_is_short_and_accepts_the_bundle(bundle: Path) -> None:
    """It runs without this package, says what belongs to sealed runs, and a stranger can read it in a few minutes."""
    done = checked(bundle)
    assert (done.returncode, done.stdout) == (0, "all 8 files and 3 ledger lines belong to sealed runs\n")
    text = (bundle / "evidence" / "check_proofs.py").read_text()
    assert len(text.splitlines()) <= 35
    assert f"script has {len(text.splitlines())} lines" in (bundle / "VERIFY.md").read_text()
    assert "harvester" not in text


def edit(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change a file."""
    path.write_bytes(change(path.read_bytes()))


def test_the_script_finds_whatever_was_altered(site: Site, tmp_path: Path) -> None:
    """A file, a ledger line, a proof, a seal; a file or a line that nothing proves: each is named, and it ends with 1."""
    seal = run_key(runs_of(site)[0], SEAL)
    changes: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
        "file": (f"data/{DAY}/1.mp3", lambda data: data[:-1] + b"x", "not the file that was sealed"),
        "line": (
            f"evidence/{LEDGER}",
            lambda data: data.replace(b'"saved"', b'"faked"', 1),
            "no seal stands for the ledger line",
        ),
        "entry": (
            "evidence/proofs.jsonl",
            lambda data: data.replace(b"1.mp3", b"9.mp3"),
            "not in the manifest that is sealed",
        ),
        "path": (
            "evidence/proofs.jsonl",
            lambda data: re.sub(rb'"path":\["\w+",?', b'"path":[', data, count=1),
            "not in the ledger that is sealed",
        ),
        "index": (
            "evidence/proofs.jsonl",
            lambda data: re.sub(rb'"index":(\d+)', rb'"index":9\1', data, count=1),
            "not in the ledger that is sealed",
        ),
        "size": (
            "evidence/proofs.jsonl",
            lambda data: re.sub(rb'"size":(\d+)', rb'"size":1\1', data, count=1),
            "not in the ledger that is sealed",
        ),
        "proof gone": (
            "evidence/proofs.jsonl",
            lambda data: data.split(b"\n", 1)[1],
            "no seal stands for the ledger line",
        ),
        "seal": (
            f"evidence/{seal}",
            lambda data: data.replace(b"manifest-merkle-root: ", b"manifest-merkle-root: 0"),
            "not in the manifest that is sealed",
        ),
    }
    for name, (path, change, said) in changes.items():
        exported_to(site, tmp_path / name, OF_ANNA)
        edit(tmp_path / name / path, change)
        done = checked(tmp_path / name)
        assert (done.returncode, said in done.stdout) == (1, True), (name, done)
    exported_to(site, tmp_path / "more", OF_ANNA)
    (tmp_path / "more" / "data" / "new.json").write_text("{}")
    assert "no seal stands for the file: new.json" in checked(tmp_path / "more").stdout


def test_runs_without_a_seal_are_said_in_so_many_words(site: Site, tmp_path: Path) -> None:
    """In VERIFY.md, bag-info.txt, the certificate and what the command prints; the other run's lines stay proven."""
    first, second = runs_of(site)
    without_seal(site, first)
    made = exported_to(site, tmp_path / "bundle", OF_ANNA)
    bundle = tmp_path / "bundle"
    assert made.unsealed_runs == (first,)
    assert info_of(bundle)["Seals"] == "1 of 2 runs sealed, NOT SIGNED, NOT STAMPED"
    assert f"Run `{first}` has NO SEAL" in (bundle / "VERIFY.md").read_text()
    assert "1 of 2 runs sealed" in (bundle / "CERTIFICATE.md").read_text()
    proven = {json.loads(line)["run"] for line in (bundle / "evidence" / "proofs.jsonl").read_text().splitlines()}
    assert proven == {second}
    assert f"no seal stands for the file: {DAY}/1.mp3" in checked(bundle).stdout
    without_seal(site, second)
    exported_to(site, tmp_path / "none", OF_ANNA)
    assert info_of(tmp_path / "none")["Seals"] == "NOT SEALED: none of the 2 runs of these calls has a seal"
    assert "## 2. Not sealed" in (tmp_path / "none" / "VERIFY.md").read_text()


@pytest.mark.parametrize("left", [b"", b"noise\n"])
def test_a_manifest_that_names_none_of_the_files_is_damage(site: Site, tmp_path: Path, left: bytes) -> None:
    """Nothing would be proven by it, and the recipient would be the first to find out."""
    key = run_key(runs_of(site)[0], MANIFEST)
    (site.root / key).write_bytes(left)
    with pytest.raises(DamagedError, match=rf"{key} does not name all files that the run's ledger names \(6\)"):
        exported_to(site, tmp_path / "bundle", OF_ANNA)


def test_a_closed_run_without_its_ledger_is_damage(site: Site, tmp_path: Path) -> None:
    """Its lines may have been of these calls; a chain shows no end that is cut off, what is left of the run does."""
    key = run_key(runs_of(site)[-1], LEDGER)
    (site.root / key).unlink()
    with pytest.raises(DamagedError, match=f"{key} is missing, and its run has closed"):
        exported_to(site, tmp_path / "bundle", OF_ANNA)


def test_a_ledger_whose_end_was_cut_off_is_damage(site: Site, tmp_path: Path) -> None:
    """Also where no line of these calls is left in it: the seal beside it says how it ended."""
    key = run_key(runs_of(site)[-1], LEDGER)
    edit(site.root / key, lambda data: data[: data.index(b"\n") + 1])
    with pytest.raises(DamagedError, match=f"{key} does not end as its seal says"):
        exported_to(site, tmp_path / "bundle", OF_ANNA)


def test_a_seal_that_was_taken_away_is_damage(site: Site, tmp_path: Path) -> None:
    """The first line of its run speaks of it: refused with its name; included, it is noted. One still to come is not missed."""
    run_id = runs_of(site)[0]
    seal = site.root / run_key(run_id, SEAL)
    seal.rename(seal.with_name("seal.txt.part"))  # as a crash leaves it
    assert exported_to(site, tmp_path / "crashed", OF_ANNA).unsealed_runs == (run_id,)
    seal.with_name("seal.txt.part").unlink()
    with pytest.raises(DamagedError, match=f"{run_key(run_id, SEAL)} is missing, and the first line of its run speaks"):
        exported_to(site, tmp_path / "bundle", OF_ANNA)
    made = exported_to(site, tmp_path / "bundle", OF_ANNA, include_damaged=True)
    assert made.unsealed_runs == (run_id,)
    assert run_key(run_id, SEAL) in info_of(tmp_path / "bundle")["Note"]


def test_a_seal_that_is_damaged_counts_as_none(site: Site, tmp_path: Path) -> None:
    """It is handed over as it is, and no paper calls its run sealed."""
    run_id = runs_of(site)[0]
    flip_bit(site.root / run_key(run_id, SEAL), 200)
    made = exported_to(site, tmp_path / "bundle", OF_ANNA, include_damaged=True)
    assert (made.unsealed_runs, info_of(tmp_path / "bundle")["Seals"].split(",")[0]) == (
        (run_id,),
        "1 of 2 runs sealed",
    )
    assert f"Run `{run_id}` has NO SEAL that holds" in (tmp_path / "bundle" / "VERIFY.md").read_text()
    assert (tmp_path / "bundle" / "evidence" / run_key(run_id, SEAL)).exists()


@pytest.mark.parametrize("name", [LEDGER, MANIFEST, SEAL])
def test_a_run_that_is_not_what_its_seal_says_is_damaged(site: Site, tmp_path: Path, name: str) -> None:
    """Refused with its name; included, the bundle notes it, and proves nothing by it."""
    run_id = runs_of(site)[-1 if name == LEDGER else 0]
    path = site.root / run_key(run_id, name)
    if name == LEDGER:  # the archive's last line, of no call: nothing but the seal finds that it was altered
        edit(path, lambda data: data.replace(b'"verdict":"complete"', b'"verdict":"compleat"'))
    elif name == MANIFEST:
        edit(path, lambda data: data + b"0" * 64 + b"  2025/08/04/9.json\n")
    else:
        flip_bit(path, 200)
    with pytest.raises(DamagedError, match=run_key(run_id, name)):
        exported_to(site, tmp_path / "bundle", OF_ANNA)
    assert not (tmp_path / "bundle").exists()
    made = exported_to(site, tmp_path / "bundle", OF_ANNA, include_damaged=True)
    assert any(run_key(run_id, name) in note for note in made.notes)
    assert checked(tmp_path / "bundle").returncode == 1


def test_a_sealed_manifest_that_contradicts_its_ledger_is_damage(site: Site, tmp_path: Path) -> None:
    """Whoever made manifest and seal anew, and not the ledger: the two say something else of one file."""
    run_id = runs_of(site)[0]
    edit(site.root / run_key(run_id, MANIFEST), lambda data: re.sub(rb"\w{64}(?=  \S+/1\.mp3)", b"0" * 64, data))
    (site.root / run_key(run_id, SEAL)).write_bytes(seal_text(make_seal(site.root, run_id)))
    with pytest.raises(
        DamagedError, match=f"{run_key(run_id, MANIFEST)} says something else of a file than the ledger"
    ):
        exported_to(site, tmp_path / "bundle", OF_ANNA)


@pytest.mark.parametrize("name", [SEAL, SIGNATURE, STAMP, STAMP_CHAIN])
def test_what_vouches_is_bounded(site: Site, tmp_path: Path, name: str) -> None:
    """A seal, signature or stamp of any size is not handed over, nor counted as one."""
    key = run_key(runs_of(site)[0], name)
    with (site.root / key).open("wb") as file:
        file.truncate(2_000_000)
    with pytest.raises(DamagedError, match=f"{key}: it has 2,000,000 bytes"):
        exported_to(site, tmp_path / "bundle", OF_ANNA)
    exported_to(site, tmp_path / "bundle", OF_ANNA, include_damaged=True)
    assert not (tmp_path / "bundle" / "evidence" / key).exists()
    assert "NOT SIGNED, NOT STAMPED" in info_of(tmp_path / "bundle")["Seals"]


def test_the_seals_of_another_archive_prove_nothing(site: Site, tmp_path: Path) -> None:
    """A mark with another archive's id beside them: nobody can say whose calls these are."""
    mark = msgspec.structs.replace(site.mark, archive_id="00000000-0000-4000-8000-000000000000")
    (site.root / MARK).write_bytes(msgspec.json.encode(mark))
    with pytest.raises(DamagedError, match=f"it is the seal of another run, .* of the archive {site.mark.archive_id}"):
        exported_to(site, tmp_path / "bundle", OF_ANNA)


async def test_many_proofs_are_made_in_several_passes(tmp_path: Path) -> None:
    """A run of which more lines are wanted than fit into one pass is proven all the same."""
    site = Site(tmp_path)
    await site.saved(*(call(number) for number in range(40)))
    with closing(select(site.root, Criteria(), lambda files, size_bytes: None)) as selection:
        bag = Bag(FolderSink(tmp_path / "bag"))
        write_evidence(selection, bag, at_once=7)
        bag.finish([])
    exported_to(site, tmp_path / "bundle")
    several = (tmp_path / "bag" / "evidence" / "proofs.jsonl").read_text().splitlines()
    at_once = (tmp_path / "bundle" / "evidence" / "proofs.jsonl").read_text().splitlines()
    assert sorted(several) == sorted(at_once)
    assert len(several) == 160
    assert checked(tmp_path / "bundle").stdout == "all 120 files and 40 ledger lines belong to sealed runs\n"
