"""An archive that somebody else has written into: what lies there leads nowhere else, and is refused in words."""

import datetime as dt
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from harvester.archive import ledger
from harvester.archive.checkpoint import Checkpoint
from harvester.archive.group import GROUP, unwritten
from harvester.archive.layout import LEDGER, MANIFEST, MARK, RUNS, run_key
from harvester.archive.local import LocalState
from harvester.archive.mark import read_mark
from harvester.archive.store import new_run_id
from harvester.container.sniff import Container
from harvester.errors import LedgerError, MarkError, StorageError
from harvester.model import File
from harvester.verify.archive import verify
from tests.archive.sites import Site, call

NOW = dt.datetime(2026, 11, 25, 2, tzinfo=dt.UTC)
DEEP = b"[" * 100_000 + b"]" * 100_000
RUN = "20261125T020000Z-00000000"


async def fill(site: Site) -> None:
    """One run with one call."""
    with site.run() as run:
        await run.save(call(1))
        run.close()


def forged(site: Site, **changed: Any) -> None:
    """Alter a line of the ledger, and mend the chain behind it, as somebody can who may write there."""
    (path,) = site.root.glob(f"{RUNS}/*/ledger.jsonl")
    prev, lines = ledger.GENESIS, b""
    for text in path.read_text().splitlines():
        line = json.loads(text) | {"prev": prev}
        if line["event"] == "saved":
            line |= changed
        raw = ledger.encode(line)
        prev, lines = hashlib.sha256(raw).hexdigest(), lines + raw
    path.write_bytes(lines)


@pytest.mark.parametrize(
    "place", ["../../etc/1", "/etc/1", "2025/08/04/../../../1", "2025/08/04/1/2", "2025/08/04/", "CON", "x\n"]
)
def test_a_forged_place_leads_nowhere_else(tmp_path: Path, place: str) -> None:
    """A ledger that puts a call anywhere but into the dated tree is refused: the call's next version would be written there."""
    site = Site(tmp_path)
    anyio.run(fill, site)
    site.db.unlink()
    forged(site, place=place)
    with pytest.raises(LedgerError, match="place"):
        Checkpoint.caught_up(site.db, site.root, read_mark(site.root).archive_id)  # type: ignore[union-attr]


@pytest.mark.parametrize("suffix", ["json", "txt", *Container])
def test_what_is_written_may_be_read(tmp_path: Path, suffix: str) -> None:
    """The names that a run itself writes are none of those that are refused, of any version and kind."""
    names = ["2025/08/04/1", "undated/abc-x0123456789", "2025/08/04/" + "a" * 80]
    keys = [f"{name}{version}.{suffix}" for name in names for version in ("", ".v2", ".v10")]
    write_group(tmp_path, keys)
    assert [file.path for file in unwritten(tmp_path, RUN)] == keys


@pytest.mark.parametrize(
    "key", ["../secret", "/etc/hostname", "2025/08/04/../../../../x.json", "runs/x/run.json", ".json"]
)
def test_a_forged_journal_leads_nowhere_else(tmp_path: Path, key: str) -> None:
    """A group's journal that names files outside the dated tree adopts none of them: not even their hashes are looked at."""
    write_group(tmp_path, [key])
    assert unwritten(tmp_path, RUN) == []


def write_group(root: Path, keys: list[str]) -> None:
    """Write the journal of a group that names these files."""
    path = root / run_key(RUN, GROUP)
    path.parent.mkdir(parents=True)
    path.write_bytes(msgspec.json.encode([File(path=key, bytes=1, sha256="0", role="metadata") for key in keys]))


@pytest.mark.parametrize("name", ["99999999T999999Z", "20261399T000000Z", "99991231T235959Z"])
def test_a_folder_that_is_no_run_is_named(tmp_path: Path, name: str) -> None:
    """A folder among the runs behind which no other can sort is a StorageError that names it, not a bug."""
    (tmp_path / RUNS / f"{name}-00000000").mkdir(parents=True)
    with pytest.raises(StorageError, match=f"{name}-00000000 is no instant"):
        new_run_id(tmp_path, NOW)


@pytest.mark.parametrize("link", ["2025", "2025/08", "2025/08/04", "runs"])
def test_a_link_leads_nowhere_else(tmp_path: Path, link: str) -> None:
    """A symbolic link in the place of a folder is refused before anything is written behind it."""
    site = Site(tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    (site.root / link).parent.mkdir(parents=True, exist_ok=True)
    (site.root / link).symlink_to(outside)
    with pytest.raises(StorageError, match="is a symbolic link"):
        anyio.run(fill, site)
    assert not list(outside.iterdir())


def test_depth_is_refused_in_words(tmp_path: Path) -> None:
    """JSON that is nested without end, where we expect our own files, is refused or taken for nothing, and is no bug."""
    deep = b'{"x":' + DEEP + b"}"
    (tmp_path / MARK).write_bytes(deep)
    with pytest.raises(MarkError, match="cannot be read"):
        read_mark(tmp_path)
    write_group(tmp_path, [])
    (tmp_path / run_key(RUN, GROUP)).write_bytes(b"[" + deep + b"]")
    assert unwritten(tmp_path, RUN) == []
    local = LocalState(tmp_path / "state", tmp_path / "calls")
    local.folder.mkdir(parents=True)
    (local.folder / "archive.json").write_bytes(deep)
    assert local.expected_mark(must_exist=False) is None


async def test_a_link_beside_a_file_that_is_put_in_place_leads_nowhere_else(site: Site) -> None:
    """A link under the name that a manifest or mended ledger has before its own is removed, and what it leads to stays."""
    letter = site.root.parent / "letter.txt"
    letter.write_text("nobody's business")
    with site.run() as run:
        await run.save(call(1))
    (site.root / run_key(run.id, f"{LEDGER}.part")).symlink_to(letter)
    (site.root / run_key(run.id, f"{MANIFEST}.part")).symlink_to(letter)
    await site.saved(call(2))
    assert letter.read_text() == "nobody's business"
    assert verify(site.root).findings == []


async def test_a_link_in_the_place_of_parts_leads_nowhere_else(site: Site, tmp_path: Path) -> None:
    """What a killed run has left is swept in its own folder alone: nothing is removed behind a link."""
    with site.run() as run:
        await run.save(call(1))
    mine = tmp_path / "mine" / "1.part"
    mine.parent.mkdir()
    mine.write_text("mine")
    shutil.rmtree(run.archive.parts)
    run.archive.parts.symlink_to(mine.parent)
    with pytest.raises(StorageError, match="parts"), site.run():
        pass
    assert mine.read_text() == "mine"
