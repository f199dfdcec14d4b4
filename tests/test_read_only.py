"""With `read_only` nobody may write a settled file, and all that a run has to do is done all the same."""

import os
import stat
from pathlib import Path

import pytest

from harvester.archive.choice import Choice
from harvester.archive.pieces import SPOOL_BYTES
from harvester.archive.trial import try_folder
from harvester.custody.erasing import erase
from harvester.demo.calls import CallBook
from harvester.demo.server import serve
from harvester.layers import resolve
from tests.archive.sites import Site, call
from tests.harvests import Harvests

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX modes")


def modes(archive: Path) -> dict[str, int]:
    """The mode of every file, by its key."""
    return {
        path.relative_to(archive).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in archive.rglob("*")
        if path.is_file()
    }


async def test_settled_files_are_read_only(harvests: Harvests) -> None:
    """Calls, pages, mark and the files of each run: 0444 once it has closed; a later run adds to them and changes none."""
    await harvests.run(read_only=True, keep_pages=True)
    first = modes(harvests.archive)
    assert set(first.values()) == {0o444}
    assert any("/pages/" in key for key in first)
    assert {"seal.txt", "run.json", "ledger.jsonl", "manifest-sha256.txt"} <= {key.rpartition("/")[2] for key in first}
    before = {key: (harvests.archive / key).read_bytes() for key in first}
    for each in harvests.platform.book.unsettled():
        harvests.platform.book.finish(each)
    harvests.platform.book.change(100003, transcript="Other words.")
    account = await harvests.run(read_only=True, full=True)
    assert (account.exit_code, account.recordings["saved"]) == (0, 5)
    assert set(modes(harvests.archive).values()) == {0o444}
    assert {key: (harvests.archive / key).read_bytes() for key in first} == before
    assert harvests.verify().findings == []


async def test_without_it_files_can_be_written(harvests: Harvests) -> None:
    """As before: what the umask leaves."""
    await harvests.run()
    umask = os.umask(0)
    os.umask(umask)
    assert set(modes(harvests.archive).values()) == {0o666 & ~umask}


async def test_a_large_recording_is_read_only_too(tmp_path: Path) -> None:
    """One that grows beyond memory, and goes to its file block by block."""
    async with serve(CallBook(count=1, in_progress=0, late=0, most_seconds=20)) as platform:
        platform.book.change(100001, duration=3000, status="completed", recording_url="/calls/100001.mp3")
        harvests = Harvests(platform, tmp_path)
        assert (await harvests.run(read_only=True)).exit_code == 0
        assert harvests.path(100001, "mp3").stat().st_size > SPOOL_BYTES
        assert set(modes(harvests.archive).values()) == {0o444}


async def test_erasing_removes_read_only_files(harvests: Harvests) -> None:
    """The folder can be written, so a file can be removed; the run that erases is read-only as well."""
    await harvests.run(read_only=True)
    resolved = resolve({"read_only": True, "reason": "a request"}, harvests.environment, None)
    erase(resolved, Choice(ids=("100003",)), execute=True)
    assert not list(harvests.archive.glob("*/*/*/100003.*"))
    assert set(modes(harvests.archive).values()) == {0o444}
    assert harvests.verify().findings == []


async def test_mending_makes_read_only(site: Site) -> None:
    """What a run that was cut off left is mended, closed and sealed, be its files read-only or not."""
    for read_only in (False, True):
        with site.run(read_only=read_only) as run:
            await run.save(call(1 + read_only))
    with site.run(read_only=True) as run:
        run.close()
    found = modes(site.root)
    assert {mode for key, mode in found.items() if key.startswith("runs/")} == {0o444}
    assert {key.rpartition(".")[0]: mode for key, mode in found.items() if key.startswith("2025/")} == {
        "2025/08/04/1": 0o666 & found["2025/08/04/1.json"],
        "2025/08/04/2": 0o444,
    }


async def test_the_umask_takes_its_part(harvests: Harvests) -> None:
    """Where the process lets nobody else read its files, neither may they read these."""
    before = os.umask(0o077)
    try:
        await harvests.run(read_only=True)
    finally:
        os.umask(before)
    assert set(modes(harvests.archive).values()) == {0o400}


def test_the_doctor_tries_it_when_asked(tmp_path: Path) -> None:
    """A folder of this machine keeps files read-only; nothing is left behind, and without the setting it is not tried."""
    assert try_folder(tmp_path, read_only=True) == try_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Make a new archive."""
    return Site(tmp_path)
