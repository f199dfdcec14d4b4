"""Which calls an export selects, and that it reads the archive alone and leaves it as it is."""

import datetime as dt
import os
import re
from pathlib import Path

import pytest

from harvester.archive.layout import LEDGER, run_key
from harvester.errors import ConfigError, DamagedError, StorageError
from harvester.export.criteria import Criteria, check
from tests.archive.sites import Site, call
from tests.export.bundles import ANNA, BORIS, DAY, calls_of, exported_to, info_of


@pytest.mark.parametrize(
    ("criteria", "ids"),
    [
        (Criteria(), "1 2 3 4"),
        (Criteria(ids=("2", "4")), "2 4"),
        (Criteria(phone_numbers=(BORIS,)), "2"),
        (Criteria(phone_numbers=("0044 20 7946-0202",)), "2"),
        (Criteria(phone_numbers=(ANNA,)), "1 3"),
        (Criteria(phone_numbers=(ANNA, BORIS)), "1 2 3"),
        (Criteria(phone_numbers=(ANNA,), date_from=dt.date(2025, 8, 5)), "3"),
        (Criteria(date_to=dt.date(2025, 8, 4)), "1 2"),
        (Criteria(date_from=dt.date(2025, 8, 5), date_to=dt.date(2025, 9, 1)), "3 4"),
        (Criteria(assistants=("sales", "nobody")), "1"),
        (Criteria(campaigns=("Autumn",)), "1"),
        (Criteria(statuses=("no-answer",)), "2"),
        (Criteria(statuses=("no-answer", "completed")), "1 2 3 4"),
        (Criteria(texts=("cancel my ORDER",)), "3"),
        (Criteria(texts=("hello again", "ring me")), "1 2"),
        (Criteria(texts=("hello",), assistants=("Support",)), ""),
    ],
    ids=str,
)
def test_any_value_of_each_criterion_is_enough_and_all_criteria_must_hold(
    site: Site, tmp_path: Path, criteria: Criteria, ids: str
) -> None:
    """Numbers are compared by their digits, words without regard to capitals and blanks, days by the folder."""
    if not ids:
        with pytest.raises(ConfigError, match="nothing is selected"):
            exported_to(site, tmp_path / "bundle", criteria)
        return
    made = exported_to(site, tmp_path / "bundle", criteria)
    assert sorted(calls_of(tmp_path / "bundle")) == ids.split()
    assert made.calls == len(ids.split())
    assert not os.path.lexists(tmp_path / "bundle.harvester-part")


def test_a_number_is_found_in_what_the_platform_had_sent_before(site: Site, tmp_path: Path) -> None:
    """Call 1 bears Anna's number in its first version alone: it is hers all the same, and shown as it stands now."""
    exported_to(site, tmp_path / "bundle", Criteria(phone_numbers=(ANNA,)))
    told = calls_of(tmp_path / "bundle")["1"]
    assert (told["client_number"], told["version"]) == (None, 2)
    names = [file["path"].rpartition("/")[2] for file in told["files"]]
    assert names == ["1.json", "1.mp3", "1.txt", "1.v2.json", "1.v2.txt"]


async def test_undated_calls_lie_in_no_span_of_days(site: Site, tmp_path: Path) -> None:
    """Where `created_at` cannot be read nobody knows the day; without days such a call is selected like others."""
    await site.saved(call(5, created_at="yesterday"))
    exported_to(site, tmp_path / "days", Criteria(date_from=dt.date(1970, 1, 1)))
    exported_to(site, tmp_path / "all")
    assert "5" not in calls_of(tmp_path / "days")
    assert calls_of(tmp_path / "all")["5"]["place"] == "undated/5"


def test_nothing_is_written_into_the_archive(site: Site, tmp_path: Path) -> None:
    """Who exports leaves no trace: every file as it was, none new; a folder that may not be written will do."""
    before = {path: path.lstat().st_mtime_ns for path in site.root.rglob("*")}
    folders = [site.root, *(path for path in site.root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    exported_to(site, tmp_path / "bundle", Criteria(texts=("hello",)))
    assert {path: path.lstat().st_mtime_ns for path in site.root.rglob("*")} == before
    for folder in folders:
        folder.chmod(0o755)


@pytest.mark.parametrize("name", ["1.json", "1.mp3"])
def test_a_link_in_place_of_a_file_is_not_followed(site: Site, tmp_path: Path, name: str) -> None:
    """A file of this machine, put into a share by a link, is not handed over, not even as a damaged one."""
    secret = tmp_path / "secret"
    secret.write_bytes((site.root / DAY / name).read_bytes())
    (site.root / DAY / name).unlink()
    (site.root / DAY / name).symlink_to(secret)
    with pytest.raises(DamagedError, match="symbolic link"):
        exported_to(site, tmp_path / "bundle")
    exported_to(site, tmp_path / "bundle", include_damaged=True)
    assert not (tmp_path / "bundle" / "data" / DAY / name).exists()


def test_a_linked_folder_is_not_followed(site: Site, tmp_path: Path) -> None:
    """Neither one of a day nor one of a run; nobody waits for a pipe that lies where a file should."""
    (site.root / DAY).rename(tmp_path / "elsewhere")
    (site.root / DAY).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DamagedError, match="symbolic link"):
        exported_to(site, tmp_path / "bundle")
    (site.root / DAY).unlink()
    (tmp_path / "elsewhere").rename(site.root / DAY)
    (site.root / DAY / "2.mp3").unlink()
    os.mkfifo(site.root / DAY / "2.mp3")
    with pytest.raises(DamagedError, match="something else than a file"):
        exported_to(site, tmp_path / "bundle")
    run = next((site.root / "runs").iterdir())
    run.rename(tmp_path / "run")
    run.symlink_to(tmp_path / "run")
    with pytest.raises(StorageError, match="symbolic link"):
        exported_to(site, tmp_path / "bundle")


async def test_a_ledger_that_leads_out_of_the_archive_leads_nowhere(site: Site, tmp_path: Path) -> None:
    """A line that names a file of another call, or none of the archive's form, is damage; the file stays where it is."""
    (tmp_path / "secret.json").write_text("{}")
    run_id = sorted(path.name for path in (site.root / "runs").iterdir())[-1]
    ledger = site.root / run_key(run_id, LEDGER)
    for nth, path in enumerate(
        (f"{DAY}/../../../../secret.json", f"{DAY}/1./../../../../../secret.json", f"{DAY}/2.json")
    ):
        original = ledger.read_bytes()
        ledger.write_bytes(original.replace(f'"{DAY}/1.v2.json"'.encode(), f'"{path}"'.encode()))
        with pytest.raises(DamagedError, match="names a file that is none of its call"):
            exported_to(site, tmp_path / "bundle", Criteria(ids=("1",)))
        exported_to(site, tmp_path / f"damaged{nth}", Criteria(ids=("1",)), include_damaged=True)
        assert not list((tmp_path / f"damaged{nth}").rglob("secret.json"))
        assert not list((tmp_path / f"damaged{nth}").rglob("2.json"))
        ledger.write_bytes(original)


@pytest.mark.parametrize("forged", [b'"version":1' + b"0" * 30, b'"bytes":1' + b"0" * 25, b'"bytes":-5'])
def test_a_number_that_no_database_takes_is_damage(site: Site, tmp_path: Path, forged: bytes) -> None:
    """Whoever can write to a share can write any number into a line: it is damage that names the ledger, and no crash."""
    key = run_key(min(path.name for path in (site.root / "runs").iterdir()), LEDGER)
    name = forged.partition(b":")[0]
    (site.root / key).write_bytes(re.sub(name + rb":\d+", forged, (site.root / key).read_bytes()))
    with pytest.raises(DamagedError, match=f"{key}: the line cannot be read"):
        exported_to(site, tmp_path / "bundle")
    made = exported_to(site, tmp_path / "bundle", include_damaged=True)
    assert any(f"{key}: the line cannot be read" in note for note in made.notes)


async def test_a_run_that_is_going_on_is_exported_as_far_as_it_is_written(site: Site, tmp_path: Path) -> None:
    """Its calls are there, half a line at its end is none, and that it has no seal is said."""
    with site.run() as run:
        await run.save(call(5))
        with (site.root / run_key(run.id, LEDGER)).open("ab") as ledger:
            ledger.write(b'{"seq":')
        made = exported_to(site, tmp_path / "bundle", Criteria(ids=("5",)))
    assert made.unsealed_runs == (run.id,)
    assert info_of(tmp_path / "bundle")["Seals"].startswith("NOT SEALED")


def test_a_call_that_cannot_be_looked_at_may_be_meant(site: Site, tmp_path: Path) -> None:
    """Who asks for a number must learn that a row is missing: it may be his. The bundle tells how many, and not which."""
    (site.root / DAY / "2.json").unlink()
    with pytest.raises(DamagedError, match="1 call may be meant"):
        exported_to(site, tmp_path / "bundle", Criteria(phone_numbers=(ANNA,)))
    made = exported_to(site, tmp_path / "bundle", Criteria(phone_numbers=(ANNA,)), include_damaged=True)
    assert made.notes == ("1 call could not be looked at, because rows are missing or damaged",)
    assert info_of(tmp_path / "bundle")["Note"] == made.notes[0]


def test_an_id_that_the_archive_does_not_know_is_refused(site: Site, tmp_path: Path) -> None:
    """A slip in one of several ids must not make a bundle that lacks a call; days that a known call does not have may."""
    with pytest.raises(ConfigError, match="--id: the archive knows no call '77'"):
        exported_to(site, tmp_path / "bundle", Criteria(ids=("2", "77"), statuses=("no-answer",)))
    assert not (tmp_path / "bundle").exists()
    exported_to(site, tmp_path / "bundle", Criteria(ids=("2", "4"), date_to=dt.date(2025, 8, 31)))
    assert list(calls_of(tmp_path / "bundle")) == ["2"]


def test_an_id_whose_line_is_damaged_is_not_called_unknown(site: Site, tmp_path: Path) -> None:
    """The ledger may have told of it: the sentence names the ledger."""
    ledger = max((site.root / "runs").glob("*/ledger.jsonl"))
    ledger.write_bytes(ledger.read_bytes().replace(b'"id":"4"', b'"id":4,'))
    with pytest.raises(DamagedError, match=r"ledger.jsonl: "):
        exported_to(site, tmp_path / "bundle", Criteria(ids=("4",)))
    with pytest.raises(ConfigError, match=r"by: id '4' \(ledgers are damaged: runs/.*/ledger.jsonl: "):
        exported_to(site, tmp_path / "bundle", Criteria(ids=("4",)), include_damaged=True)


@pytest.mark.parametrize(
    ("criteria", "said"),
    [
        (Criteria(phone_numbers=("anna",)), "holds no digit"),
        (Criteria(texts=(" ",)), "empty text"),
        (Criteria(date_from=dt.date(2025, 2, 1), date_to=dt.date(2025, 1, 1)), "exchange them"),
    ],
)
def test_what_can_mean_no_call_is_refused(criteria: Criteria, said: str) -> None:
    """A slip of the finger must not look like an archive without such calls."""
    with pytest.raises(ConfigError, match=said):
        check(criteria)
