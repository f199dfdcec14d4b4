"""The seal of a run: what it says, that nobody can change it unseen, and that every run gets one, whatever happens."""

import hashlib
import json
import re
from pathlib import Path

import anyio
import msgspec
import pytest

from harvester.archive import seal as seal_module
from harvester.archive.layout import LEDGER, MANIFEST, MARK, SEAL, SEAL_PART, run_key
from harvester.archive.ledger import GENESIS
from harvester.archive.merkle import Tree
from harvester.archive.modes import READ_ONLY, release
from harvester.archive.seal import differences, load_seal, make_seal, read_seal, seal_text, write_seal
from harvester.errors import HarvestError, LedgerError, SealError
from harvester.verify.archive import verify
from tests.archive.sites import Site, call, flip_bit


def root_over(data: bytes) -> str:
    """Return the Merkle root over the lines of a file."""
    tree = Tree()
    for line in data.splitlines():
        tree.add(line)
    return tree.root().hex()


def fields(data: bytes) -> dict[str, str]:
    """Read a seal as a stranger would, by its colons."""
    return dict(line.split(": ", 1) for line in data.decode("ascii").splitlines()[1:])


async def test_a_seal_stands_for_its_ledger_and_its_manifest(site: Site) -> None:
    """Lines, hashes and roots are those of the files beside it; the last line's hash is what the next run continues."""
    first = await site.saved(call(1))
    second = await site.saved(call(2), call(3))
    files = site.files()
    ledger, manifest = files[run_key(second, LEDGER)], files[run_key(second, MANIFEST)]
    told = fields(files[run_key(second, SEAL)])
    assert files[run_key(second, SEAL)].startswith(b"harvester seal 1\narchive: ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told.pop("sealed-at"))
    assert len(told.pop("seal-sha256")) == 64
    assert told == {
        "archive": json.loads(files[MARK])["archive_id"],
        "run": second,
        "ledger-lines": "4",
        "ledger-last-seq": "7",
        "ledger-last-line-sha256": hashlib.sha256(ledger.splitlines(keepends=True)[-1]).hexdigest(),
        "ledger-merkle-root": root_over(ledger),
        "manifest-sha256": hashlib.sha256(manifest).hexdigest(),
        "manifest-lines": "8",
        "manifest-merkle-root": root_over(manifest),
    }
    assert site.lines(first)[0]["prev"] == GENESIS
    assert site.lines(second)[0]["prev"] == fields(files[run_key(first, SEAL)])["ledger-last-line-sha256"]


async def test_the_first_line_of_a_run_promises_its_seal(site: Site) -> None:
    """A seal that somebody took away is missed, also the first one; a run of a time before there were seals has none to miss."""
    run_id = await site.saved(call(1))
    assert site.lines(run_id)[0]["seal"] == 1
    (site.root / run_key(run_id, SEAL)).unlink()
    assert [(each.kind, each.path) for each in verify(site.root).findings] == [("missing", run_key(run_id, SEAL))]
    await site.saved(call(2))
    assert not (site.root / run_key(run_id, SEAL)).exists()


async def test_a_run_cut_off_between_manifest_and_seal_is_sealed_by_the_next(site: Site) -> None:
    """Such a run has closed, so the next says nothing of it, and puts the seal in place; until then `verify` tells of it."""
    run_id = await site.saved(call(1))
    sealed = read_seal((site.root / run_key(run_id, SEAL)).read_bytes())
    for left in (b"", b"harvester se"):
        (site.root / run_key(run_id, SEAL)).unlink()
        (site.root / run_key(run_id, SEAL_PART)).write_bytes(left)
        result = verify(site.root)
        assert (result.findings, len(result.notes)) == ([], 1)
        assert "the next run seals it" in result.notes[0]
        with site.run() as run:
            run.close()
        again = read_seal((site.root / run_key(run_id, SEAL)).read_bytes())
        assert msgspec.structs.replace(again, sealed_at=sealed.sealed_at) == sealed
        assert [line["event"] for line in site.lines(run.id)] == ["run-started", "run-closed"]
        assert (verify(site.root).findings, verify(site.root).notes) == ([], [])


async def test_a_run_cut_off_before_its_manifest_is_sealed_with_it(site: Site) -> None:
    """A crash after the seal was announced and before the manifest has its name: the next run makes both."""
    run_id = await site.saved(call(1))
    folder = site.root / "runs" / run_id
    (folder / SEAL).unlink()
    (folder / SEAL_PART).write_bytes(b"")
    (folder / MANIFEST).rename(folder / f"{MANIFEST}.part")
    assert verify(site.root).findings == []
    with site.run() as run:
        run.close()
    assert {path.name for path in folder.iterdir()} == {LEDGER, "run.json", MANIFEST, SEAL}
    assert (verify(site.root).findings, verify(site.root).notes) == ([], [])


async def test_a_seal_that_was_made_read_only_and_not_named_is_made_anew(site: Site) -> None:
    """With `read_only` a crash can leave a part that nobody may write: the next run opens it, and the seal is read-only again."""
    run_id = await site.saved(call(1))
    part = site.root / run_key(run_id, SEAL_PART)
    (site.root / run_key(run_id, SEAL)).rename(part)
    part.chmod(0o444)
    release(part)
    assert part.stat().st_mode & 0o777 == 0o644
    part.chmod(0o444)
    write_seal(site.root, run_id, READ_ONLY)
    assert (site.root / run_key(run_id, SEAL)).stat().st_mode & 0o777 == 0o444
    assert verify(site.root).findings == []


async def test_a_run_from_before_seals_stays_without(site: Site) -> None:
    """It was closed without one, and nobody can say now what was there then: the chain under a later seal covers it."""
    run_id = await site.saved(call(1))
    (site.root / run_key(run_id, SEAL)).unlink()
    await site.saved(call(2))
    assert not any(path.name.startswith("seal") for path in (site.root / "runs" / run_id).iterdir())


@pytest.mark.parametrize("name", [LEDGER, MANIFEST])
async def test_a_run_that_was_altered_does_not_fit_its_seal(site: Site, name: str) -> None:
    """Whoever alters ledger or manifest must make another seal: what the seal says, and what is there, are told apart."""
    run_id = await site.saved(call(1))
    flip_bit(site.root / run_key(run_id, name), 40)
    told = list(differences(site.root, run_id))
    assert {expected.split(":")[0] for expected, _ in told} >= {f"{name.split('-')[0].split('.')[0]}-merkle-root"}
    assert all(found.split(":")[0] == expected.split(":")[0] for expected, found in told)


async def test_a_cut_off_ledger_is_found_by_its_seal(site: Site) -> None:
    """The end of the newest ledger can be cut off without a break in the chain; the seal tells how many lines there were."""
    run_id = await site.saved(call(1), call(2))
    path = site.root / run_key(run_id, LEDGER)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert ("ledger-lines: 3", "ledger-lines: 4") in list(differences(site.root, run_id))
    path.write_bytes(b"")
    assert [expected for expected, _ in differences(site.root, run_id)] == ["a seal that fits its run"]


async def test_a_seal_can_be_read_and_written_again(site: Site) -> None:
    """Reading a seal and writing what was read gives the same bytes."""
    run_id = await site.saved(call(1))
    seal, data = load_seal(site.root, run_id) or (None, b"")
    assert seal is not None
    assert seal == make_seal(site.root, run_id, sealed_at=seal.sealed_at)
    assert seal_text(seal) == data
    assert load_seal(site.root, "20991231T235959Z-00000000") is None


async def damaged(site: Site, old: str, new: str) -> bytes:
    """Return the bytes of a seal in which something is replaced, and its sum made to fit."""
    run_id = await site.saved(call(1))
    data = (site.root / run_key(run_id, SEAL)).read_bytes()
    assert old.encode() in data
    data = data.replace(old.encode(), new.encode(), 1)
    body = data[: data.rfind(b"seal-sha256")]
    return body + b"seal-sha256: " + hashlib.sha256(body).hexdigest().encode() + b"\n"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("harvester seal 1", "harvester seal 2", "begins with 'harvester seal 2'"),
        ("ledger-lines: 3", "ledger-lines: -3", "line 5 is 'ledger-lines: -3', and is to be `ledger-lines: ...`"),
        ("ledger-lines: 3", "ledger-lines: 03", "line 5 is"),
        ("ledger-lines: 3", "ledger-lines:  3", "line 5 is"),
        ("ledger-lines: 3", "ledger-lines: ٣", "line 5 is"),
        ("ledger-lines: 3\n", "", "line 5 is 'ledger-last-seq: 3'"),
        ("run: 2026", "run: ../..", "line 3 is 'run: ../.."),
        ("T", "t", "line 3 is 'run: "),
        ("\n", "\r\n", "begins with 'harvester seal 1\\r'"),
        ("manifest-sha256: ", "manifest-sha256: \x1b[2J", "line 9 is 'manifest-sha256: \\x1b[2J"),
        ("seal-sha256", "more: lines\nseal-sha256", "its last one"),
    ],
)
async def test_a_seal_that_is_none_is_told_in_one_sentence(site: Site, old: str, new: str, said: str) -> None:
    """Another version, a line that is missing, added or of another form: the error names the line and what it is to be."""
    data = await damaged(site, old, new)
    with pytest.raises(SealError) as error:
        read_seal(data)
    assert said in str(error.value)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 100, b"\xff\xfe", b"harvester seal 1", b"harvester seal 1\n", b"x" * 5000]
)
def test_nonsense_is_no_seal(data: bytes) -> None:
    """Whatever lies under the name: it is a SealError, and never a traceback or another error."""
    with pytest.raises(SealError):
        read_seal(data)


async def test_every_bit_of_a_seal_counts(site: Site) -> None:
    """A seal of which one bit is another is no seal: decay is found without signature and stamp."""
    run_id = await site.saved(call(1))
    data = (site.root / run_key(run_id, SEAL)).read_bytes()
    for at in range(len(data)):
        with pytest.raises(SealError):
            read_seal(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])


async def test_an_endless_seal_is_not_read_to_its_end(site: Site) -> None:
    """A seal of a gigabyte costs no memory: what is longer than a seal is none."""
    run_id = await site.saved(call(1))
    with (site.root / run_key(run_id, SEAL)).open("ab") as file:
        file.truncate(1 << 30)
    with pytest.raises(SealError, match="at most 4,096"):
        load_seal(site.root, run_id)


async def test_a_link_under_the_name_of_a_seal_leads_nowhere(site: Site, tmp_path: Path) -> None:
    """A link that lies where the seal is to be written is removed, and what it leads to stays as it is."""
    letter = tmp_path / "letter.txt"
    letter.write_text("nobody's business")
    with site.run() as run:
        await run.save(call(1))
        (site.root / run_key(run.id, SEAL_PART)).symlink_to(letter)
        run.close()
    assert letter.read_text() == "nobody's business"
    assert read_seal((site.root / run_key(run.id, SEAL)).read_bytes()).run == run.id
    (site.root / run_key(run.id, SEAL_PART)).symlink_to(letter)
    with pytest.raises(HarvestError, match=SEAL_PART):
        write_seal(site.root, run.id)
    assert letter.read_text() == "nobody's business"


async def test_a_run_without_a_whole_line_has_no_seal(site: Site) -> None:
    """There is nothing to seal: an error that names the ledger, and no seal over half a line."""
    run_id = await site.saved(call(1))
    path = site.root / run_key(run_id, LEDGER)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LedgerError, match="does not end with a whole line"):
        make_seal(site.root, run_id)


@pytest.mark.parametrize("damaged", [None, SEAL, MANIFEST, LEDGER, "cut off"])
async def test_a_shell_can_check_the_seals(site: Site, damaged: str | None) -> None:
    """The few lines of shell in the documentation find whether seal, manifest and ledger are those that belong together."""
    await site.saved(call(1))
    run_id = await site.saved(call(2))
    if damaged == "cut off":
        lines = (site.root / run_key(run_id, LEDGER)).read_bytes().splitlines(keepends=True)
        (site.root / run_key(run_id, LEDGER)).write_bytes(b"".join(lines[:-1]))
    elif damaged:
        path = site.root / run_key(run_id, damaged)
        flip_bit(path, path.stat().st_size - 20)
    page = (Path(__file__).parents[2] / "docs" / "archive-format.md").read_text()
    (script,) = re.findall(r"Seals against manifests.*?```sh\n(.*?)```", page, re.DOTALL)
    done = await anyio.run_process(["bash", "-c", script], cwd=site.root, check=False)
    said = f"does not fit: {run_key(run_id, SEAL)}" if damaged else "sealed"
    assert (done.stdout.decode().strip(), done.returncode) == (said, 1 if damaged else 0)


def test_the_names_of_a_seal_are_those_of_its_fields() -> None:
    """One name each, so that who reads the format's page finds the field."""
    assert list(seal_module.NAMES.values()) == [
        "archive",
        "run",
        "sealed-at",
        "ledger-lines",
        "ledger-last-seq",
        "ledger-last-line-sha256",
        "ledger-merkle-root",
        "manifest-sha256",
        "manifest-lines",
        "manifest-merkle-root",
    ]
