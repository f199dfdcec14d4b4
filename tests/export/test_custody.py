"""What was erased is not handed over, and the bundle tells what the ledger says of it; no hold is."""

import json
import zipfile
from pathlib import Path

import pytest

from harvester.archive.choice import Choice
from harvester.archive.layout import LEDGER
from harvester.custody.erasing import erase
from harvester.custody.holding import add_hold
from harvester.errors import ConfigError, DamagedError
from harvester.export.criteria import Criteria
from tests.archive.sites import Site
from tests.custody.conftest import because
from tests.export.bundles import ANNA, BORIS, blocks, calls_of, checked, exported_to, files_of, info_of, pasted


def erased(site: Site, *ids: str) -> None:
    """Erase calls."""
    erase(because(site), Choice(ids=ids), execute=True)


def test_an_erased_call_is_exported_as_what_the_ledger_says_of_it(site: Site, tmp_path: Path) -> None:
    """Its lines and its tombstone are there, proven; no file of it is, nothing is damaged, and the bag tells of it."""
    erased(site, "2")
    bundle = tmp_path / "bundle"
    made = exported_to(site, bundle, Criteria(ids=("1", "2")))
    told = calls_of(bundle)["2"]
    assert (made.damaged, info_of(bundle)["Erased-Calls"]) == (0, "1")
    assert (told["erased"], told["row"], told["recording"], told["damaged"]) == (True, None, None, [])
    assert [file["path"] for file in told["files"]] == [None] * 3
    assert not [path for path in files_of(bundle) if path.startswith("data/2025/08/04/2.")]
    lines = [json.loads(line) for line in (bundle / "evidence" / LEDGER).read_text().splitlines()]
    assert [line["event"] for line in lines if line["id"] == "2"] == ["saved", "erased"]
    assert checked(bundle).returncode == 0
    assert "ERASED: of 1 call" in (bundle / "CERTIFICATE.md").read_text()


def test_only_erased_calls_are_a_bundle_too(site: Site, tmp_path: Path) -> None:
    """That nothing is left of a call, and why, is what may have to be shown; the bag is valid without any payload."""
    erased(site, "2")
    exported_to(site, tmp_path / "bundle", Criteria(ids=("2",)))
    assert info_of(tmp_path / "bundle")["Payload-Oxum"] == "0.0"
    assert checked(tmp_path / "bundle").stdout == "all 0 files and 2 ledger lines belong to sealed runs\n"
    done = [pasted(tmp_path / "bundle", block) for block in blocks(tmp_path / "bundle")]
    assert [each.returncode for each in done] == [0] * 4, done
    exported_to(site, tmp_path / "bundle.zip", Criteria(ids=("2",)), as_zip=True)
    with zipfile.ZipFile(tmp_path / "bundle.zip") as zipped:
        assert zipped.namelist()[0].endswith("/data/")
        zipped.extractall(tmp_path / "out")
    (unpacked,) = (tmp_path / "out").iterdir()
    assert pasted(unpacked, "bagit.py --validate --quiet .").returncode == 0


def test_an_erased_call_cannot_be_looked_at(site: Site, tmp_path: Path) -> None:
    """Nobody can say whether it had the number that is asked for: the bundle notes how many such calls there are."""
    erased(site, "2")
    made = exported_to(site, tmp_path / "bundle", Criteria(phone_numbers=(ANNA,)))
    assert made.notes == ("1 call could not be looked at, because rows were erased on request",)
    with pytest.raises(ConfigError, match="1 call cannot be looked at: erased on request"):
        exported_to(site, tmp_path / "none", Criteria(phone_numbers=(BORIS,)))


def test_what_was_erased_and_lies_there_again_is_not_handed_over(site: Site, tmp_path: Path) -> None:
    """Somebody may have restored it from a copy: it was to be erased all the same."""
    key = "2025/08/04/2.mp3"
    sound = (site.root / key).read_bytes()
    erased(site, "2")
    (site.root / key).write_bytes(sound)
    exported_to(site, tmp_path / "bundle", Criteria(ids=("2",)))
    assert not list((tmp_path / "bundle").rglob("2.mp3"))


def test_a_tombstone_with_another_hash_explains_nothing(site: Site, tmp_path: Path) -> None:
    """Whoever wants a recording out of a bundle cannot write a tombstone for another file under its name: it is missing."""
    key = "2025/08/04/2.mp3"
    erased(site, "2")
    ledger = max((site.root / "runs").glob("*/ledger.jsonl"))
    digest = next(
        file["sha256"] for file in json.loads(ledger.read_bytes().splitlines()[1])["erased"] if file["path"] == key
    )
    ledger.write_bytes(ledger.read_bytes().replace(digest.encode(), b"0" * 64))
    with pytest.raises(DamagedError, match=rf"{key}: it is missing"):
        exported_to(site, tmp_path / "bundle", Criteria(ids=("2",)))


@pytest.mark.parametrize("choice", [Choice(ids=("1", "4")), Choice(number=ANNA)])
def test_a_bundle_does_not_tell_which_calls_are_on_hold(site: Site, tmp_path: Path, choice: Choice) -> None:
    """That is between the owner of the archive and their lawyer: whoever is handed the bundle finds the same bytes."""
    exported_to(site, tmp_path / "before")
    add_hold(because(site), choice)
    exported_to(site, tmp_path / "after")
    for name in ("calls.jsonl", "index.csv", "evidence/ledger.jsonl"):
        assert (tmp_path / "before" / name).read_bytes() == (tmp_path / "after" / name).read_bytes()
    assert "hold" not in (tmp_path / "after" / "report.html").read_text().lower().replace("holds", "")
