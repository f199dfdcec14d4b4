"""The checkpoint: an index that is always what the ledger says, and thrown away when it is not."""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.archive.checkpoint import MEMORY, Checkpoint
from harvester.archive.layout import LEDGER, run_key
from harvester.archive.ledger import Ledger, Position
from harvester.archive.store import new_run_id
from harvester.errors import LedgerError, StorageError
from harvester.model import Entry, State
from tests.archive.sites import NOON, Site, call, flip_bit


def entries(checkpoint: Checkpoint) -> dict[str, Entry]:
    """All that the checkpoint knows of the calls of these tests."""
    return checkpoint.find(str(number) for number in range(10))


def known(site: Site) -> tuple[dict[str, Entry], int]:
    """What a checkpoint that is caught up knows, and the number of lines that it has read."""
    with closing(site.checkpoint()) as checkpoint:
        return entries(checkpoint), checkpoint.position.seq


async def fill(site: Site) -> None:
    """Two runs: a call saved, one that failed, one that is pending, and one that changed."""
    with site.run() as run:
        await run.save(call(1), call(2, recording_url=None, status="in-progress", updated_at="2099-01-01"), call(4))
        run.archive.commit([await run.draft(call(3), None)])
        run.close()
    await site.saved(call(4, transcript="Other."))


@pytest.fixture
def filled(site: Site) -> Site:
    """Fill an archive."""
    anyio.run(fill, site)
    return site


def test_it_knows_what_the_ledger_says(filled: Site) -> None:
    """For each call the last line of the ledger is what the checkpoint says of it."""
    found, seq = known(filled)
    assert {entry.id: (entry.version, entry.recording) for entry in found.values()} == {
        "1": (1, State.SAVED),
        "2": (1, State.PENDING),
        "3": (1, State.FAILED),
        "4": (2, State.SAVED),
    }
    assert found["3"].reason == "no such file"
    assert seq == len([1 for run in (filled.root / "runs").iterdir() for _ in filled.lines(run.name)])


def test_what_is_unsettled_can_be_asked_for(filled: Site) -> None:
    """Pending and failed calls are found without reading all others; the number of calls is known."""
    with closing(filled.checkpoint()) as checkpoint:
        assert {entry.id for entry in checkpoint.unsettled()} == {"2", "3"}
        assert checkpoint.count() == 4


def new_ledger(site: Site) -> Path:
    """Return where a new run's ledger is to lie; its folder is there."""
    path = site.root / run_key(new_run_id(site.root, NOON), LEDGER)
    path.parent.mkdir(parents=True)
    return path


def delete(db: Path, root: Path) -> None:
    """Delete it."""
    db.unlink()


def empty(db: Path, root: Path) -> None:
    """Leave no byte of it."""
    os.truncate(db, 0)


def truncate(db: Path, root: Path) -> None:
    """Cut it in half."""
    os.truncate(db, db.stat().st_size // 2)


def noise(db: Path, root: Path) -> None:
    """Write something else in its place."""
    db.write_bytes(bytes(range(256)) * 64)


def noise_inside(db: Path, root: Path) -> None:
    """Leave its head, and noise behind it."""
    db.write_bytes(db.read_bytes()[:4096] + b"\xa5" * 40_000)


def odd_position(db: Path, root: Path) -> None:
    """Spoil what it says about how far it has read."""
    with closing(sqlite3.connect(db, isolation_level=None)) as connection:
        connection.execute("UPDATE about SET value = '{\"seq\": \"?\"}' WHERE name = 'position'")


def of_another(db: Path, root: Path) -> None:
    """Put another archive's in its place."""
    db.unlink()
    with closing(Checkpoint(db, "another")) as other:
        other.learn(
            [Entry(id="9", digest="", place="", version=1, recording=State.SAVED, transcript=State.SAVED)], Position()
        )


def of_a_newer_version(db: Path, root: Path) -> None:
    """Say that a newer harvester has made it, in a form of its own."""
    with closing(sqlite3.connect(db, isolation_level=None)) as connection:
        connection.execute("UPDATE about SET value = '99' || substr(value, instr(value, ' ')) WHERE name = 'archive'")


def another_table(db: Path, root: Path) -> None:
    """Put a database of something else in its place."""
    db.unlink()
    with closing(sqlite3.connect(db)) as connection:
        connection.execute("CREATE TABLE entry (name TEXT)")


def of_a_lost_run(db: Path, root: Path) -> None:
    """Take away the newest run, as a restored older copy of the archive would."""
    shutil.rmtree(max((root / "runs").iterdir()))


def of_a_longer_ledger(db: Path, root: Path) -> None:
    """Take away the last line that it has read."""
    path = max((root / "runs").iterdir()) / LEDGER
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


DAMAGES = [
    delete,
    empty,
    truncate,
    noise,
    noise_inside,
    odd_position,
    of_another,
    of_a_newer_version,
    another_table,
    of_a_lost_run,
    of_a_longer_ledger,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_checkpoint_that_does_not_fit_is_rebuilt(filled: Site, damage: Callable[[Path, Path], None]) -> None:
    """Lost, cut, noise, another archive's, or ahead of the ledger: afterwards it equals one made anew."""
    known(filled)
    damage(filled.db, filled.root)
    found = known(filled)
    with closing(Checkpoint.caught_up(filled.db.with_name("new.db"), filled.root, "new")) as anew:
        assert found == (entries(anew), anew.position.seq)
    assert "1" in found[0]


@pytest.mark.parametrize("damage", [bytes(4096), b"\xa5" * 4096])
@pytest.mark.parametrize("place", [0.3, 0.5, 0.9])
def test_a_damaged_page_in_the_middle_is_found_at_once(site: Site, damage: bytes, place: float) -> None:
    """Damage that is not in the way of opening it has it rebuilt, too: every question is answered as before."""
    states = [State.FAILED if number % 100 == 0 else State.SAVED for number in range(3000)]
    side = {"state": State.SAVED}
    writer = Ledger(new_ledger(site), Position())
    writer.append(
        [{"event": "saved", "id": str(i), "recording": {"state": s}, "transcript": side} for i, s in enumerate(states)]
    )
    writer.close()
    site.checkpoint().close()
    with site.db.open("r+b") as file:
        file.seek(int(site.db.stat().st_size // 4096 * place) * 4096)
        file.write(damage)
    with closing(site.checkpoint()) as checkpoint:
        found = checkpoint.find(map(str, range(3000)))
        assert [found[str(i)].recording for i in range(3000)] == states
        assert len(list(checkpoint.unsettled())) == 30
        assert checkpoint.count() == 3000


@pytest.mark.parametrize("damage", [None, *DAMAGES])
def test_who_only_asks_writes_nothing(filled: Site, damage: Callable[[Path, Path], None] | None) -> None:
    """A copy knows what a checkpoint made anew would, and leaves the file as it is: sound, damaged or missing."""
    known(filled)
    if damage:
        damage(filled.db, filled.root)
    before = filled.db.read_bytes() if filled.db.exists() else None
    with closing(Checkpoint.copied(filled.db, filled.root, filled.mark.archive_id)) as copy:
        found = entries(copy), copy.position.seq
    assert (filled.db.read_bytes() if filled.db.exists() else None) == before
    filled.db.unlink(missing_ok=True)
    assert found == known(filled)


async def test_who_asks_while_a_run_is_at_work_gets_what_is_settled(site: Site) -> None:
    """A copy has what the run has committed, not the line that it is writing, and the run goes on unhindered."""
    with site.run() as run:
        await run.save(call(1))
        with closing(Checkpoint.copied(site.db, site.root, site.mark.archive_id)) as copy:
            await run.save(call(2))
            assert entries(copy).keys() == {"1"}
        with (site.root / run_key(run.id, LEDGER)).open("ab") as file:
            file.write(b'{"seq":')
        with closing(Checkpoint.copied(site.db, site.root, site.mark.archive_id)) as copy:
            assert entries(copy).keys() == {"1", "2"}


def test_another_ledger_of_the_same_length_is_noticed(filled: Site) -> None:
    """A ledger that was replaced by another one is read anew, though the point that was read up to lies in it."""
    with closing(filled.checkpoint()) as checkpoint:
        before = checkpoint.position
    path = filled.root / run_key(before.run_id, LEDGER)
    path.write_bytes(path.read_bytes().replace(b'"verdict":"complete"', b'"verdict":"COMPLETE"'))
    with closing(filled.checkpoint()) as checkpoint:
        assert checkpoint.position.seq == before.seq
        assert checkpoint.position.prev == hashlib.sha256(path.read_bytes().splitlines(keepends=True)[-1]).hexdigest()


async def test_only_what_is_new_is_read(filled: Site) -> None:
    """A checkpoint that fits is read on from where it stood, so a nightly run need not read years of ledgers."""
    known(filled)
    first = min((filled.root / "runs").iterdir())
    flip_bit(first / LEDGER, 200)  # only whoever reads this run again would see it
    await filled.saved(call(5))
    with closing(Checkpoint.copied(filled.db, filled.root, filled.mark.archive_id)) as copy:
        assert entries(copy) == known(filled)[0]
        assert entries(copy).keys() == {"1", "2", "3", "4", "5"}


async def test_it_is_never_ahead_of_the_ledger(site: Site) -> None:
    """What a run has staged and not committed is unknown to the checkpoint; what it knows is in the ledger."""
    with site.run() as run:
        draft = await run.draft(call(1))
        assert entries(run.checkpoint) == {}
        run.archive.commit([draft])
        assert entries(run.checkpoint).keys() == {"1"}
        assert run.checkpoint.position.seq == len(site.lines(run.id))


def test_a_broken_ledger_is_no_fault_of_the_checkpoint(filled: Site) -> None:
    """A ledger that does not hold together is told as that, after one rebuild and not another."""
    path = filled.root / run_key(min(path.name for path in (filled.root / "runs").iterdir()), LEDGER)
    path.write_bytes(path.read_bytes().replace(b'"seq":2', b'"seq":9'))
    filled.db.unlink()
    with pytest.raises(LedgerError, match="does not continue"):
        filled.checkpoint()


@pytest.mark.parametrize("place", ["file/checkpoint.db", "folder"])
def test_a_place_that_cannot_be_used_is_a_storage_error(filled: Site, tmp_path: Path, place: str) -> None:
    """A checkpoint below a file, or in the place of a folder: a StorageError that names it and what to do."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="--checkpoint"):
        Checkpoint.caught_up(tmp_path / place, filled.root, "x")


def test_noise_in_an_entry_is_a_storage_error(filled: Site) -> None:
    """A state that is none, in a file that looks sound otherwise, is told with what to do about it."""
    known(filled)
    with closing(sqlite3.connect(filled.db, isolation_level=None)) as connection:
        connection.execute("UPDATE entry SET recording = 'savad' WHERE id = '1'")
    with closing(filled.checkpoint()) as checkpoint, pytest.raises(StorageError, match="delete it"):
        checkpoint.find(["1"])


@settings(max_examples=100, deadline=None)
@given(st.sets(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1, max_size=5))
def test_every_call_is_found_under_its_own_id(ids: set[str]) -> None:
    """Whatever an id consists of, its entry is found again, and no other one."""
    learnt = {
        each: Entry(id=each, digest=each, place="p", version=1, recording=State.SAVED, transcript=State.ABSENT)
        for each in ids
    }
    with closing(Checkpoint(MEMORY, "x")) as checkpoint:
        checkpoint.learn(learnt.values(), Position())
        assert checkpoint.find([*ids, "another id"]) == learnt


def test_damage_that_a_run_meets_is_mended_by_the_next(site: Site) -> None:
    """A large checkpoint is not looked through at the start: who meets the damage ends, and leaves a note to rebuild it."""
    side = {"state": State.SAVED}
    ids = [str(number) for number in range(60_000)]  # more than SQLite keeps in memory
    writer = Ledger(new_ledger(site), Position())
    writer.append([{"event": "saved", "id": i, "recording": side, "transcript": side} for i in ids])
    writer.close()
    site.checkpoint().close()
    with closing(site.checkpoint()) as checkpoint:
        size = site.db.stat().st_size
        with site.db.open("r+b") as file:
            file.seek(size // 8)
            file.write(b"\xa5" * (size // 2))
        with pytest.raises(StorageError, match="the next run rebuilds one that is damaged"):
            checkpoint.find(ids)
    note = site.db.with_name("checkpoint.db.damaged")
    assert note.exists()
    with closing(site.checkpoint()) as checkpoint:
        assert len(checkpoint.find(ids)) == len(ids)
    assert not note.exists()


def test_the_tally_is_what_counting_says(site: Site) -> None:
    """Calls that are new, told again, gone, gone again, and back: each counts once, as it stands."""

    def entry(call_id: str, *, gone: bool = False) -> Entry:
        return Entry(
            id=call_id, digest="", place="", version=1, recording=State.SAVED, transcript=State.SAVED, gone=gone
        )

    with closing(Checkpoint(site.db, "any")) as checkpoint:
        counts = []
        for learnt in (
            [entry("1"), entry("2"), entry("3")],
            [entry("1"), entry("4", gone=True)],
            [entry("2", gone=True), entry("2", gone=True)],
            [entry("4"), entry("2")],
            [],
        ):
            checkpoint.learn(learnt, Position())
            counts.append((checkpoint.count(), checkpoint.count_present()))
            assert checkpoint.count_present() == len(list(checkpoint.present_ids()))
    assert counts == [(3, 3), (4, 3), (4, 2), (4, 4), (4, 4)]
