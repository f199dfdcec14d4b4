"""`harvester verify` as it is typed: what its flags do, what it prints, how it ends."""

import json
from pathlib import Path

import pytest

from harvester.archive.layout import SEAL, run_key
from tests.harvests import Harvests


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--sample", "0%"), "--sample: '0%' is not a share of the files, above 0 and up to 100 %, such as 5%"),
        (("--sample", "200%"), "--sample: '200%' is not a share of the files"),
        (("--quick", "--sample", "5%"), "--quick reads no file, so --sample has none to choose"),
        (("--from", "2025-08-05", "--to", "2025-08-04"), "--from 2025-08-05 is after --to 2025-08-04"),
        (("--from", "soon"), "--from: 'soon' is not a day such as 2025-08-04, or 30d"),
        (("--allowed-signers", "nowhere"), "--allowed-signers: the file nowhere cannot be read: No such file"),
        (("--allowed-signers", "empty"), "--allowed-signers: empty lists nobody"),
        (("--tsa-ca", "nowhere"), "--tsa-ca: the file of authorities nowhere cannot be read: No such file"),
        (("--seals", "nowhere"), "--seals: there is nothing at nowhere"),
        (("--seals", "empty"), "--seals: no seal lies at empty"),
    ],
)
async def test_what_cannot_be_meant_is_refused(harvests: Harvests, words: tuple[str, ...], said: str) -> None:
    """Exit 2 and one sentence, before anything is looked at."""
    (harvests.folder / "empty").touch()
    done = await harvests.cli("verify", *words)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().startswith(f"harvester: {said}")
    assert done.stderr.count(b"\n") == 1


async def test_what_was_left_out_is_said(harvests: Harvests) -> None:
    """The last line tells of each portion what was shown, and a note what was not."""
    await harvests.run()
    whole, quick, sample, days = [
        (await harvests.cli("verify", *words)).stdout.decode()
        for words in ((), ("--quick",), ("--sample", "50%"), ("--from", "2025-01-01", "--to", "1d"))
    ]
    assert "every file is what its ledger line says, and every ledger line continues the one before it" in whole
    assert "note" not in whole
    assert "1 run (1 sealed, none signed, none stamped)" in whole
    assert "note: quick: sizes were looked at, and no recording, transcript or metadata was read" in quick
    assert "every file has the size that its ledger line says, 3 files (" in quick
    assert "50 % of the files were read, of the others only the size was looked at; each day has another part" in sample
    assert "note: only calls from 2025-01-01 until " in days
    assert "every file is what its ledger line says" in days


async def test_json_tells_all_of_it(harvests: Harvests) -> None:
    """Each finding with its kind, file, what was expected and what was found; and how much was looked at."""
    account = await harvests.run()
    seal = run_key(account.run, SEAL)
    (harvests.archive / seal).unlink()
    done = await harvests.cli("verify", "--quick", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 8
    assert told["findings"] == [
        {
            "kind": "missing",
            "path": seal,
            "expected": "the seal that the run's first line speaks of",
            "found": "no file",
        }
    ]
    assert told["files"] > told["hashed_files"] == 3
    assert {name: told[name] for name in ("runs", "sealed", "signed", "stamped")} == {
        "runs": 1, "sealed": 0, "signed": 0, "stamped": 0,
    }  # fmt: skip


async def test_copies_of_seals_are_brought_by_their_path(harvests: Harvests) -> None:
    """A file of seals that was kept elsewhere fits; when the newest run is gone with all that it named, it does not."""
    account = await harvests.run()
    kept = Path("seals.txt")
    (harvests.folder / kept).write_bytes((harvests.archive / run_key(account.run, SEAL)).read_bytes())
    fits = await harvests.cli("verify", "--seals", str(kept), "-q")
    assert (fits.returncode, fits.stdout) == (0, b"")
    (harvests.archive / run_key(account.run, SEAL)).unlink()
    done = await harvests.cli("verify", "--seals", str(kept))
    assert done.returncode == 8
    assert "expected the same seal as the copy in seals.txt, found no file" in done.stdout.decode()
