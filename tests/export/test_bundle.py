"""A bundle is a bag that others' tools accept, whole or absent, and says what is wrong with what it holds."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harvester.errors import ConfigError, LockedError, StorageError
from harvester.export.criteria import Criteria
from harvester.export.target import Target
from harvester.provenance import system_user
from tests.archive.sites import Site, flip_bit
from tests.export.bundles import ANNA, BORIS, DAY, calls_of, exported_to, files_of, info_of, large_recording, typed

OF_ANNA = Criteria(phone_numbers=(ANNA,))
OF_BORIS = Criteria(phone_numbers=(BORIS,))


def run(*command: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end."""
    return subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, check=False)


def bagit(bundle: Path) -> int:
    """Return how the Library of Congress' tool ends on a bundle."""
    return run(Path(sys.executable).with_name("bagit.py"), "--validate", "--quiet", bundle).returncode


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_bundle_is_a_valid_bag(site: Site, tmp_path: Path, algorithm: str) -> None:
    """bagit.py accepts it, coreutils accept both kinds of its manifests, and a changed byte is found by either.

    Each tag manifest names all that is no payload but the tag manifests, which RFC 8493 (2.2.1) forbids.
    """
    bundle = tmp_path / "bundle"
    exported_to(site, bundle)
    tags = {path for path in files_of(bundle) if not path.startswith(("data/", "tagmanifest-"))}
    lines = (bundle / f"tagmanifest-{algorithm}.txt").read_text().splitlines()
    assert {line.partition("  ")[2] for line in lines} == tags
    sums = (
        f"{algorithm}sum",
        "--check",
        "--strict",
        "--quiet",
        f"manifest-{algorithm}.txt",
        f"tagmanifest-{algorithm}.txt",
    )
    assert bagit(bundle) == 0
    assert run(*sums, folder=bundle).returncode == 0
    flip_bit(bundle / "data" / DAY / "2.mp3", 7)
    assert bagit(bundle) != 0
    assert run(*sums, folder=bundle).returncode != 0


def test_the_files_of_a_call_are_those_of_the_archive(site: Site, tmp_path: Path) -> None:
    """All versions, byte for byte, under the same keys; of other callers there is nothing, in no file."""
    bundle = tmp_path / "bundle"
    exported_to(site, bundle, Criteria(ids=("1",)))
    files, archived = files_of(bundle), site.files()
    data = {path.removeprefix("data/"): held for path, held in files.items() if path.startswith("data/")}
    assert data == {key: held for key, held in archived.items() if key.startswith(f"{DAY}/1.")}
    assert len(data) == 5
    for other in (BORIS, f"{DAY}/2.", "Ring me back", "CANCEL"):
        assert not [path for path, held in files.items() if other.encode() in held]


def test_the_bag_tells_what_it_is(site: Site, tmp_path: Path) -> None:
    """`bag-info.txt` has size, case, operator, how the calls were chosen, and the day of the newest ledger line."""
    made = exported_to(site, tmp_path / "bundle", OF_ANNA, case="A v. B\nPayload-Oxum: 0.0", operator="Clerk")
    info = info_of(tmp_path / "bundle")
    data = {path: held for path, held in files_of(tmp_path / "bundle").items() if path.startswith("data/")}
    assert info["Payload-Oxum"] == f"{sum(map(len, data.values()))}.{len(data)}"
    assert (info["Case"], info["Operator"]) == ("A v. B Payload-Oxum: 0.0", "Clerk")
    assert info["External-Identifier"] == made.name
    assert ANNA in info["External-Description"]
    newest = max(line["at"] for path in site.root.glob("runs/*") for line in site.lines(path.name))
    assert (info["Archive-As-Of"], info["Bagging-Date"]) == (newest, newest[:10])
    assert files_of(tmp_path / "bundle")["bagit.txt"] == b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"


def test_case_operator_and_reason_are_settings(site: Site, tmp_path: Path) -> None:
    """Flags set them; the operator is the system's user where nobody says who it is."""
    assert (
        typed(site, tmp_path / "one", "--case", "2026-0042", "--operator", "Ada", "--reason", "Subpoena").returncode
        == 0
    )
    info = info_of(tmp_path / "one")
    assert (info["Case"], info["Operator"], info["Reason"]) == ("2026-0042", "Ada", "Subpoena")
    assert typed(site, tmp_path / "two").returncode == 0
    assert info_of(tmp_path / "two")["Operator"] == system_user()


def test_the_same_selection_of_the_same_archive_is_the_same_byte_for_byte(site: Site, tmp_path: Path) -> None:
    """As a folder and as a zip file, wherever and whenever it is made; another case is another bundle."""
    for name in ("one", "two"):
        exported_to(site, tmp_path / name, OF_ANNA)
        exported_to(site, tmp_path / f"{name}.zip", OF_ANNA, as_zip=True)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert (
        exported_to(site, tmp_path / "three", OF_ANNA, case="Another").name
        != exported_to(site, tmp_path / "4", OF_ANNA).name
    )


def test_a_zip_holds_the_same_bag(site: Site, tmp_path: Path) -> None:
    """Unpacked it is the folder, below one of the bundle's name; a name without `.zip` gets it."""
    exported_to(site, tmp_path / "folder", OF_ANNA)
    made = exported_to(site, tmp_path / "file", OF_ANNA, as_zip=True)
    assert run("unzip", "-q", tmp_path / "file.zip", "-d", tmp_path / "out").returncode == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == [made.name]
    assert files_of(tmp_path / "out" / str(made.name)) == files_of(tmp_path / "folder")
    assert bagit(tmp_path / "out" / str(made.name)) == 0


def test_calls_are_told_for_machines(site: Site, tmp_path: Path) -> None:
    """A line for each call with its particulars, its files and where they lie, and the row as it was sent."""
    exported_to(site, tmp_path / "bundle", Criteria(ids=("2",)))
    told = calls_of(tmp_path / "bundle")["2"]
    assert (told["client_number"], told["assistant"], told["status"]) == (BORIS, "Support", "no-answer")
    assert (told["recording"], told["proof"]) == (f"data/{DAY}/2.mp3", "content-length")
    assert told["row"]["transcript"] == "Ring me back."
    assert (tmp_path / "bundle" / "calls.jsonl").read_bytes().isascii()


def test_each_file_names_the_run_that_archived_it(site: Site, tmp_path: Path) -> None:
    """A later run that meets the call again, and writes a version of it, takes over no older file."""
    exported_to(site, tmp_path / "bundle", Criteria(ids=("1",)))
    first, second = sorted(path.name for path in (site.root / "runs").iterdir())
    archived_by = {file["key"]: file["run"] for file in calls_of(tmp_path / "bundle")["1"]["files"]}
    assert archived_by == {
        f"{DAY}/1.{suffix}": run_id
        for run_id, suffixes in ((first, ("json", "mp3", "txt")), (second, ("v2.json", "v2.txt")))
        for suffix in suffixes
    }


def test_a_selection_that_selects_nothing_ends_with_2_and_writes_nothing(site: Site, tmp_path: Path) -> None:
    """Nobody hands over an empty bundle by mistake."""
    done = typed(site, tmp_path / "bundle", "--phone-number", "+1000")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing is selected by: phone number '+1000'" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls", "state"]


def test_a_target_that_is_not_empty_is_refused(site: Site, tmp_path: Path) -> None:
    """Neither a folder with something in it nor a file is written over, and the sentence names it; an empty folder will do."""
    target = tmp_path / "bundle"
    target.mkdir(mode=0o700)
    (target / "mine").write_text("mine")
    for arguments in ((target,), (target / "mine",), (target / "mine.zip", "--zip")):
        (target / "mine.zip").write_text("mine")
        done = typed(site, *arguments)
        assert done.returncode == 2
        assert "not empty" in done.stderr or "is there already" in done.stderr
    assert sorted(path.name for path in target.iterdir()) == ["mine", "mine.zip"]
    for name in ("mine", "mine.zip"):
        (target / name).unlink()
    exported_to(site, target)
    assert (target / "bagit.txt").exists()
    assert target.stat().st_mode & 0o777 == 0o700, "what only its owner could read stays so"


def test_a_target_in_the_archive_is_refused(site: Site, tmp_path: Path) -> None:
    """The archive holds nothing but what it archives; a link that leads into it does not help."""
    (tmp_path / "link").symlink_to(site.root)
    for target in (site.root / "bundle", tmp_path / "link" / "bundle", site.root):
        before = site.files()
        done = typed(site, target)
        assert (done.returncode, "lies in the archive" in done.stderr) == (2, True)
        assert site.files() == before


def test_a_target_whose_folder_is_missing_is_refused(site: Site, tmp_path: Path) -> None:
    """A slip in the path makes no folders."""
    done = typed(site, tmp_path / "missing" / "bundle")
    assert (done.returncode, "create it first" in done.stderr) == (2, True)
    assert not (tmp_path / "missing").exists()


def test_what_is_no_archive_is_refused(site: Site, tmp_path: Path) -> None:
    """A folder without a mark ends with 6, as everywhere."""
    done = typed(site, tmp_path / "bundle", "--archive", tmp_path / "nothing")
    assert (done.returncode, "there is no archive" in done.stderr) == (6, True)


def test_a_bundle_without_room_is_refused_before_anything_is_copied(site: Site, tmp_path: Path) -> None:
    """A recording of a terabyte on a disk that has less: 6, with how much there is, and where."""
    large_recording(site, 10**12)
    done = typed(site, tmp_path / "bundle")
    assert done.returncode == 6
    assert re.search(
        r"the bundle has 1,000,\d{3},\d{3},\d{3} bytes and more, and only [\d,]+ are free at /.*; make room",
        done.stderr,
    )
    assert not (tmp_path / "bundle.harvester-part").exists()


def damage(site: Site, how: str) -> None:
    """Damage the recording of call 2."""
    path = site.root / DAY / "2.mp3"
    if how == "missing":
        path.unlink()
    elif how == "cut":
        os.truncate(path, 100)
    else:
        flip_bit(path, 100)


@pytest.mark.parametrize("how", ["missing", "cut", "altered"])
def test_damaged_files_are_refused(site: Site, tmp_path: Path, how: str) -> None:
    """Missing, of another size, or of the same size with another byte: 8, the file is named, and nothing is left behind."""
    damage(site, how)
    done = typed(site, tmp_path / "bundle")
    assert done.returncode == 8
    assert f"{DAY}/2.mp3" in done.stderr
    assert "--include-damaged" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls", "state"]
    exported_to(site, tmp_path / "bundle", OF_ANNA)  # another caller's calls are not concerned


@pytest.mark.parametrize("how", ["missing", "cut", "altered"])
def test_damaged_files_are_marked_when_they_are_included(site: Site, tmp_path: Path, how: str) -> None:
    """Every paper says so; what is there is handed over as it is, and the bag itself is valid."""
    damage(site, how)
    bundle = tmp_path / "bundle"
    made = exported_to(site, bundle, include_damaged=True)
    told = calls_of(bundle)["2"]
    assert (made.damaged, info_of(bundle)["Damaged-Calls"]) == (1, "1")
    assert told["damaged"][0].startswith(f"{DAY}/2.mp3: it ")
    assert [call_id for call_id, each in calls_of(bundle).items() if each["damaged"]] == ["2"]
    assert "DAMAGED" in (bundle / "CERTIFICATE.md").read_text()
    assert "DAMAGED" in (bundle / "VERIFY.md").read_text()
    assert (bundle / "data" / DAY / "2.mp3").exists() == (how != "missing")
    assert bagit(bundle) == 0


def test_a_dry_run_shows_what_would_be_exported(site: Site, tmp_path: Path) -> None:
    """Calls and sizes are told, a missing file too, and nothing is written."""
    (site.root / DAY / "1.mp3").unlink()
    done = typed(site, tmp_path / "bundle", "-n", "--phone-number", ANNA, "--include-damaged")
    assert done.returncode == 0
    assert "call '1' (2025/08/04): 1.json, 1.mp3, 1.txt, 1.v2.json, 1.v2.txt" in done.stdout
    assert "would export 2 calls, 8 files" in done.stdout
    assert f"note: {DAY}/1.mp3: it is missing" in done.stdout
    assert not (tmp_path / "bundle").exists()


def test_the_result_is_told_to_machines(site: Site, tmp_path: Path) -> None:
    """`--json` gives place, name, counts, what is not sealed, and the hash that stands for the whole bundle."""
    told = json.loads(typed(site, tmp_path / "bundle", "--json", "--id", "2").stdout)
    sums = run("sha256sum", "tagmanifest-sha256.txt", folder=tmp_path / "bundle").stdout
    assert (told["bundle"], told["calls"], told["files"]) == (str(tmp_path / "bundle"), 1, 3)
    assert told["tagmanifest_sha256"] == sums.split()[0]
    assert (told["unsealed_runs"], len(told["unsigned_runs"])) == ([], 1)


def test_several_accounts_are_not_exported_at_once(site: Site, tmp_path: Path) -> None:
    """A bundle is made of one archive; the sentence tells how to choose."""
    names = ("sales", "support")
    tables = [f'[[account]]\nname = "{name}"\narchive = "{tmp_path / name}"\nkey_file = "{name}"\n' for name in names]
    (tmp_path / "harvester.toml").write_text("".join(tables))
    done = run(sys.executable, "-m", "harvester", "export", "bundle", folder=tmp_path)
    assert (done.returncode, "choose one with --account" in done.stderr) == (2, True)


@pytest.mark.parametrize("as_zip", [False, True])
def test_an_export_that_was_killed_leaves_nothing_that_looks_whole(site: Site, tmp_path: Path, as_zip: bool) -> None:
    """The target is absent; what lies beside it is removed by the next export, but not while the other is at work on it."""
    target = tmp_path / ("bundle.zip" if as_zip else "bundle")
    part = target.with_name(f"{target.name}.harvester-part")
    large_recording(site, 8 * 10**9)
    zipped = ["--zip"] if as_zip else []
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "HARVESTER_ARCHIVE": str(site.root)}
    command = [sys.executable, "-m", "harvester", "export", str(target), "--include-damaged", *zipped]
    with subprocess.Popen(command, env=environment, cwd=tmp_path) as process:
        while not (part / "bundle").exists():
            time.sleep(0.002)
        with pytest.raises(LockedError, match="is at work"):
            exported_to(site, target, as_zip=as_zip, include_damaged=True)
        process.kill()
    assert not target.exists()
    assert part.exists()
    assert not (part / "bundle" / "bagit.txt").exists()
    exported_to(site, target, OF_BORIS, as_zip=as_zip)
    assert target.exists()
    assert not part.exists()


def test_a_target_that_appears_meanwhile_is_not_written_over(site: Site, tmp_path: Path) -> None:
    """What somebody puts there while the bundle is made stays, and the bundle goes."""
    target = Target(tmp_path / "bundle", site.root, as_zip=False)

    def make() -> None:
        with target.being_made() as made:
            made.mkdir()
            (tmp_path / "bundle").mkdir()
            (tmp_path / "bundle" / "mine").write_text("mine")

    with pytest.raises(StorageError):
        make()
    assert [path.name for path in (tmp_path / "bundle").iterdir()] == ["mine"]
    assert not target.part.exists()


def test_an_order_that_cannot_be_fulfilled_is_refused_before_the_archive_is_read(site: Site, tmp_path: Path) -> None:
    """A wrong day costs no walk through a million ledger lines."""
    with pytest.raises(ConfigError, match="holds no digit"):
        exported_to(site, tmp_path / "bundle", Criteria(phone_numbers=("anna",)))
    done = typed(site, tmp_path / "bundle", "--from", "tomorrow")
    assert (done.returncode, "--from: 'tomorrow' is not a day" in done.stderr) == (2, True)


@pytest.mark.parametrize("as_zip", [False, True])
def test_a_disk_that_takes_no_more_ends_with_6_and_leaves_nothing(site: Site, tmp_path: Path, as_zip: bool) -> None:
    """Room that is gone while the bundle is made is told in one sentence; what was written goes again."""
    zipped = ["--zip"] if as_zip else []
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "HARVESTER_ARCHIVE": str(site.root)}
    limited = ["prlimit", "--fsize=3000", sys.executable, "-m", "harvester", "export", "bundle", *zipped]
    done = subprocess.run(limited, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (6, 1)
    assert "the file is too large" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls", "state"]
