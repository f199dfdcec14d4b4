"""Verify finds whatever is not as the ledgers say, names it, and writes nothing."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.archive.layout import ACCOUNT, LEDGER, MANIFEST, MARK, SEAL, SIGNATURE, STAMP, STAMP_CHAIN, run_key
from harvester.archive.ledger import LONGEST_LINE_BYTES
from harvester.demo.audio import recording
from harvester.errors import MarkError
from harvester.verify.archive import verify
from harvester.verify.findings import Verification
from harvester.verify.reading import BLOCK_BYTES
from tests.archive.sites import Site, call, flip_bit
from tests.verify.damage import edit_ledger, found, runs


def test_an_intact_archive_has_no_findings(intact: Site) -> None:
    """Every file is read and equals what the ledgers say; the numbers are those of runs, lines, files and bytes."""
    told: list[tuple[int, int]] = []
    result = verify(intact.root, lambda files, size_bytes: told.append((files, size_bytes)))
    named = {key: data for key, data in intact.files().items() if not key.endswith((MANIFEST, SEAL))}
    assert (result.findings, result.notes) == ([], [])
    assert (result.runs, result.lines) == (2, sum(len(intact.lines(run_id)) for run_id in runs(intact.root)))
    assert (result.files, result.bytes) == (len(named), sum(map(len, named.values())))
    assert (sum(files for files, _ in told), sum(size for _, size in told)) == (result.files, result.bytes)


def is_told(key: str, result: Verification) -> bool:
    """Whether a finding names the file, or is about a hash that only a manifest states, if the file is one."""
    by_manifest = any("manifest says" in finding.expected for finding in result.findings)
    return key in {path for _, path in found(result)} or (key.endswith(MANIFEST) and by_manifest)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_flipped_bit_is_found(intact: Site, data: st.DataObject) -> None:
    """One bit, anywhere in any file: recording, row, text, ledger, account, manifest or mark. The finding names the file."""
    key = data.draw(st.sampled_from(sorted(intact.files())))
    path = intact.root / key
    at, bit = data.draw(st.integers(0, path.stat().st_size - 1)), data.draw(st.integers(0, 7))
    flip_bit(path, at, bit)
    try:
        assert is_told(key, verify(intact.root))
    finally:
        flip_bit(path, at, bit)


def test_no_byte_of_a_manifest_seal_or_mark_is_idle(intact: Site) -> None:
    """The same for a bit of their bytes from end to end, one in eleven."""
    for key in (MARK, *(run_key(runs(intact.root)[0], name) for name in (MANIFEST, SEAL))):
        for at in range(0, (intact.root / key).stat().st_size, 11):
            flip_bit(intact.root / key, at, at % 8)
            try:
                assert is_told(key, verify(intact.root)), (key, at)
            finally:
                flip_bit(intact.root / key, at, at % 8)


def test_any_missing_file_is_found(intact: Site, tmp_path: Path) -> None:
    """Without any one of its files the archive is not intact, and the finding names it."""
    for key in intact.files():
        (intact.root / key).rename(tmp_path / "away")
        try:
            result = verify(intact.root)
            assert key in {path for _, path in found(result)}, key
        finally:
            (tmp_path / "away").rename(intact.root / key)


@pytest.mark.parametrize(
    "key",
    [
        "2025/08/04/4.json",
        "notes.txt",
        "undated/x",
        "runs/notes.txt",
        "runs/{run}/notes.txt",
        "runs/{run}/parts/1.part",
        "runs/{run}/manifest-sha256.txt.part",
        "runs/20990101T000000Z-00000000/manifest-sha256.txt",
        "runs/other/parts/1.part",
        "runs/other/ledger.jsonl",
    ],
)
def test_any_extra_file_is_found(root: Path, key: str) -> None:
    """A file that stands in no ledger and no manifest is unexpected, wherever it lies."""
    key = key.format(run=runs(root)[0])
    (root / key).parent.mkdir(parents=True, exist_ok=True)
    (root / key).write_bytes(b"extra")
    assert ("unexpected", key) in found(verify(root))


@pytest.mark.parametrize("run", [0, 1])
@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda lines: lines[:-1], id="cut"),
        pytest.param(lambda lines: [*lines[:-1], lines[-1][:-1]], id="torn"),
        pytest.param(lambda lines: [lines[0], *lines[2:]], id="dropped"),
        pytest.param(lambda lines: lines[1:], id="beheaded"),
        pytest.param(lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], id="reordered"),
        pytest.param(lambda lines: [*lines, lines[-1]], id="doubled"),
        pytest.param(lambda lines: [b"\0\n", *lines[1:]], id="noise first"),
        pytest.param(lambda lines: [b"\0" * 100], id="noise only"),
        pytest.param(lambda lines: [], id="empty"),
    ],
)
def test_any_change_of_a_ledger_is_found(root: Path, run: int, edit: Callable[[list[bytes]], list[bytes]]) -> None:
    """Lines that were cut off, dropped, doubled, reordered or made noise: the finding names that ledger."""
    assert edit_ledger(root, run, edit) in {path for _, path in found(verify(root))}


def test_one_dropped_line_is_not_a_thousand_findings(root: Path) -> None:
    """Reading goes on behind a break in the chain: what follows it unbroken is not called broken."""
    key = edit_ledger(root, 0, lambda lines: [lines[0], *lines[2:]])
    assert [finding.path for finding in verify(root).findings if finding.kind == "ledger"] == [key]


@pytest.mark.parametrize("run", [0, 1])
def test_a_dropped_run_is_found(root: Path, run: int) -> None:
    """Without one of its runs the archive is not intact: the chain breaks, or its files stand in no ledger."""
    shutil.rmtree(root / "runs" / runs(root)[run])
    kinds = {kind for kind, _ in found(verify(root))}
    assert "unexpected" in kinds
    assert run == 1 or "ledger" in kinds


def test_a_ledger_that_was_written_anew_does_not_fit_its_manifest(root: Path) -> None:
    """Whoever alters a file and its line, and the chain behind it, must alter the manifest too; else both are found."""
    run_id = runs(root)[1]
    manifest = root / run_key(run_id, MANIFEST)
    manifest.write_bytes(manifest.read_bytes().replace(b"2.v2.txt", b"2.v3.txt"))
    shutil.copy(root / "2025/08/04/2.v2.txt", root / "2025/08/04/2.v3.txt")
    result = verify(root)
    assert ("manifest", run_key(run_id, MANIFEST)) in found(result)
    assert ("unexpected", "2025/08/04/2.v3.txt") in found(result)


@pytest.mark.parametrize("which", range(8))
def test_a_manifest_names_every_file_of_its_run(root: Path, which: int) -> None:
    """A manifest from which one line was taken, whichever, says less than the ledger: it is found."""
    key = run_key(runs(root)[0], MANIFEST)
    lines = (root / key).read_bytes().splitlines(keepends=True)
    (root / key).write_bytes(b"".join(lines[:which] + lines[which + 1 :]))
    assert ("manifest", key) in found(verify(root)) or which >= len(lines)


def test_the_manifest_of_the_first_run_vouches_for_the_mark(root: Path) -> None:
    """A mark that was altered is found though it can still be read, also by one who took its line out of the manifest."""
    mark = json.loads((root / MARK).read_text())
    (root / MARK).write_text(json.dumps(mark | {"account": "thief@example.com"}))
    assert found(verify(root)) == {("altered", MARK)}


@pytest.mark.parametrize("key", ["2025/08/04/1.json", MARK, f"runs/{{run}}/{ACCOUNT}", f"runs/{{run}}/{MANIFEST}"])
def test_a_symbolic_link_in_the_place_of_a_file_is_found(root: Path, key: str) -> None:
    """A link is no file of the archive, though what it leads to may be equal: that can be changed from outside."""
    path = root / key.format(run=runs(root)[0])
    path.rename(root.parent / "outside")
    path.symlink_to(root.parent / "outside")
    assert key.format(run=runs(root)[0]) in {path for _, path in found(verify(root))}


@pytest.mark.parametrize("key", ["2025", "2025/08/04", "runs"])
def test_a_symbolic_link_in_the_place_of_a_folder_is_found(root: Path, key: str) -> None:
    """A folder that lies elsewhere is not in the archive."""
    (root / key).rename(root.parent / "outside")
    (root / key).symlink_to(root.parent / "outside")
    result = verify(root)
    assert ("unexpected", key) in found(result)
    assert "a symbolic link" in [each.found for each in result.findings if each.path == key]


def rename_in_ledger(root: Path, key: str) -> None:
    """Let the ledger say that the first row lies elsewhere."""
    old, new = json.dumps("2025/08/04/1.json").encode(), json.dumps(key).encode()
    edit_ledger(root, 0, lambda lines: [line.replace(old, new) for line in lines])


@pytest.mark.parametrize("key", ["../outside.json", "2025/../../outside.json", "{root}/../outside.json", "a\0b"])
def test_a_path_that_leads_out_of_the_archive_is_never_read(root: Path, key: str) -> None:
    """A ledger that names a file outside is damaged, though that file has the size and hash that the line states."""
    key = key.format(root=root)
    shutil.copy(root / "2025/08/04/1.json", root.parent / "outside.json")
    rename_in_ledger(root, key)
    assert ("ledger", key) in found(verify(root))


@pytest.mark.parametrize("key", ["", ".", "2025", pytest.param("x" * 9999, id="long")])
def test_a_path_that_cannot_be_a_file_is_found(root: Path, key: str) -> None:
    """A ledger that names a folder, or what no file system takes, is a finding and no error."""
    rename_in_ledger(root, key)
    assert found(verify(root)) & {("altered", key), ("missing", key)}


def test_a_cut_file_is_told_by_its_size(root: Path) -> None:
    """A file that was cut is told with both sizes, which say more than two hashes."""
    size_bytes = (root / "2025/08/04/1.mp3").stat().st_size
    os.truncate(root / "2025/08/04/1.mp3", size_bytes - 1)
    (finding,) = verify(root).findings
    assert str(finding) == (f"altered: '2025/08/04/1.mp3': expected {size_bytes} bytes, found {size_bytes - 1} bytes")


def test_what_is_no_regular_file_is_found(root: Path) -> None:
    """A pipe or a folder in the place of a file is told, and waited for by nobody."""
    for key in ("2025/08/04/1.json", "2025/08/04/1.mp3"):
        (root / key).unlink()
    os.mkfifo(root / "2025/08/04/1.json")
    (root / "2025/08/04/1.mp3").mkdir()
    assert {("altered", "2025/08/04/1.json"), ("altered", "2025/08/04/1.mp3")} <= found(verify(root))


@pytest.mark.parametrize("name", [SEAL, SIGNATURE, STAMP, STAMP_CHAIN, MANIFEST, ACCOUNT, LEDGER])
@pytest.mark.parametrize("kind", ["pipe", "endless", "folder"])
def test_what_vouches_is_a_file_or_a_finding(root: Path, name: str, kind: str) -> None:
    """A pipe, a link to what never ends, or a folder in the place of what vouches for others: told, and waited for by nobody."""
    run_id = runs(root)[-1]
    for each in {name} | ({STAMP} if name == STAMP_CHAIN else set()):
        (root / run_key(run_id, each)).unlink(missing_ok=True)
        if kind == "pipe":
            os.mkfifo(root / run_key(run_id, each))
        elif kind == "endless":
            (root / run_key(run_id, each)).symlink_to("/dev/zero")
        else:
            (root / run_key(run_id, each)).mkdir()
    assert run_key(run_id, STAMP if name == STAMP_CHAIN else name) in {path for _, path in found(verify(root))}


def test_a_line_that_no_reader_takes_is_found(root: Path) -> None:
    """Nobody reads a line of more than 16 MiB, so that none fills the memory; who has one in a ledger is told so."""
    key = run_key(runs(root)[0], LEDGER)
    with (root / key).open("ab") as file:
        file.truncate(file.tell() + LONGEST_LINE_BYTES + 1)
    findings = {str(finding) for finding in verify(root).findings if finding.path == key}
    assert f"ledger: {key!a}: expected lines of less than 16,777,216 bytes, found a longer one" in findings


def test_noise_in_a_run_that_is_going_on_hides_no_finding(root: Path) -> None:
    """A line that nobody can read, in a ledger that has not closed, is a finding beside all others."""
    run_id = runs(root)[-1]
    for name in (MANIFEST, SEAL):
        (root / run_key(run_id, name)).unlink()
    with (root / run_key(run_id, LEDGER)).open("ab") as file:
        file.write(b"noise\n")
    (root / "stranger").write_text("")
    assert {("ledger", run_key(run_id, LEDGER)), ("unexpected", "stranger")} <= found(verify(root))


async def test_a_file_of_many_blocks_is_read_to_its_end(site: Site) -> None:
    """A recording that is larger than a block is what it is, and its last bit counts."""
    sound = recording(1, 240)
    assert len(sound) > 3 * BLOCK_BYTES
    await site.saved(call(1, duration=240), sound=sound)
    assert verify(site.root).findings == []
    flip_bit(site.root / "2025/08/04/1.mp3", len(sound) - 1)
    assert found(verify(site.root)) == {("altered", "2025/08/04/1.mp3")}


async def test_a_run_that_has_not_closed_is_a_note(site: Site) -> None:
    """A run that is going on, or was cut off, is no damage: verify says so, and checks the files that it has settled."""
    await site.saved(call(1))
    with site.run() as run:
        await run.save(call(2))
        await run.draft(call(3))
        result = verify(site.root)
        assert (result.findings, len(result.notes)) == ([], 1)
        assert run.id in result.notes[0]
        flip_bit(site.root / "2025/08/04/2.mp3", 100)
        assert found(verify(site.root)) == {("altered", "2025/08/04/2.mp3")}


async def test_a_first_run_that_is_going_on_is_a_note(site: Site) -> None:
    """No manifest names the mark yet; that is no damage either."""
    with site.run() as run:
        await run.save(call(1))
        assert verify(site.root).findings == []


def test_nothing_is_written(intact: Site) -> None:
    """Verify works on a tree that nobody may write to, and leaves names, bytes and times as they are."""

    def state() -> dict[Path, tuple[int, int]]:
        paths = [intact.root, *intact.root.rglob("*")]
        return {path: (path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in paths}

    for path in intact.root.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = state()
    try:
        assert verify(intact.root).findings == []
        assert state() == before
    finally:
        for path in intact.root.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_an_archive_can_lie_anywhere(root: Path, tmp_path: Path) -> None:
    """A copy in another place verifies the same: nothing in it speaks of where it lay."""
    (tmp_path / "Other place").mkdir()
    assert verify(root.rename(tmp_path / "Other place" / "Ärchive\n")).findings == []


@pytest.mark.parametrize("kind", ["absent", "empty", "other", "file", "newer"])
def test_what_is_no_archive_is_told_as_that(root: Path, tmp_path: Path, kind: str) -> None:
    """Nothing there, an empty folder, somebody's folder, a file, an archive of a newer format: MarkError, no findings."""
    folder = tmp_path / "elsewhere"
    if kind in ("empty", "other"):
        folder.mkdir()
    if kind == "other":
        (folder / "notes.txt").touch()
    if kind == "file":
        folder.touch()
    if kind == "newer":
        shutil.copytree(root, folder, ignore=lambda path, names: ["runs"] if Path(path) == root else [])
        (folder / MARK).write_text((root / MARK).read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(MarkError):
        verify(folder)
