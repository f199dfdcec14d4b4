"""What is written is durable or a StorageError that says what to do."""

import errno
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harvester.archive import disk, steps
from harvester.archive.advice import ADVICE
from harvester.errors import NotKeptError, StorageError


def test_a_file_is_never_written_over(tmp_path: Path) -> None:
    """A file that lies there is not ours to write: a StorageError, and its bytes stay."""
    path = tmp_path / "123.json"
    disk.write_durable(path, b"first")
    with pytest.raises(StorageError, match=r"cannot write .*123\.json"):
        disk.write_durable(path, b"second")
    assert path.read_bytes() == b"first"


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """A symbolic link in the archive cannot lead what we write to somewhere else."""
    (tmp_path / "123.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError):
        disk.write_durable(tmp_path / "123.json", b"row")
    assert not (tmp_path / "elsewhere").exists()


def test_a_replaced_file_is_whole(tmp_path: Path) -> None:
    """A file is put in place whole, also when a crash left half of one beside it, and nothing else is left."""
    path = tmp_path / "run.json"
    (tmp_path / "run.json.part").write_bytes(b"half of")
    disk.replace_durable(path, b"one")
    disk.replace_durable(path, b"two")
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"run.json": b"two"}


def test_a_name_is_given_once(tmp_path: Path) -> None:
    """A file gets a name that is free; a file, a folder or a dangling link that has it keeps it."""
    (tmp_path / "file").write_bytes(b"theirs")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    part = tmp_path / "1.part"
    part.write_bytes(b"ours")
    for name in ("file", "folder", "link"):
        with pytest.raises(StorageError, match=f"{name} appeared meanwhile"):
            disk.give_name(part, tmp_path / name)
    disk.give_name(part, tmp_path / "free")
    assert ((tmp_path / "file").read_bytes(), (tmp_path / "free").read_bytes()) == (b"theirs", b"ours")


def test_names_are_given_up_to_the_first_that_is_taken(tmp_path: Path) -> None:
    """The error tells which of several names could not be given; those before it are, those behind it are not."""
    (tmp_path / "taken").mkdir()
    parts = [tmp_path / f"{number}.part" for number in range(3)]
    for part in parts:
        part.write_bytes(part.name.encode())
    with pytest.raises(StorageError, match=r"/taken appeared meanwhile"):
        disk.give_names(zip(parts, [tmp_path / "free", tmp_path / "taken", tmp_path / "last"], strict=True))
    with pytest.raises(StorageError, match=r"cannot rename to .*/nowhere/last: "):
        disk.give_names(zip(parts[1:], [tmp_path / "second", tmp_path / "nowhere" / "last"], strict=True))
    assert {path.name for path in tmp_path.iterdir()} == {"taken", "free", "second", "2.part"}
    assert (tmp_path / "second").read_bytes() == b"1.part"


def test_each_name_is_a_sign_of_progress(tmp_path: Path) -> None:
    """A group's names are one step of the storage, which hangs only where none is given for long."""
    seen = list[int]()

    def named() -> Iterator[tuple[Path, Path]]:
        for number in range(3):
            seen.extend(each.moves for each in steps.under_way())
            (tmp_path / f"{number}.part").touch()
            yield tmp_path / f"{number}.part", tmp_path / str(number)

    disk.give_names(named())
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("before", [b"", b"a longer group than the next one"])
def test_what_is_written_over_leaves_nothing_behind(tmp_path: Path, before: bytes) -> None:
    """The file holds the new bytes only, and one that is not there is not made."""
    with pytest.raises(StorageError):
        disk.overwrite(tmp_path / "group.json", b"[]", durably=True)
    (tmp_path / "group.json").write_bytes(before)
    disk.overwrite(tmp_path / "group.json", b"[]", durably=True)
    assert (tmp_path / "group.json").read_bytes() == b"[]"


def test_what_exists_is_told_by_the_name_alone(tmp_path: Path) -> None:
    """A file, a folder and a dangling link exist; a name that is free, or below a file, does not. Only a file has a size."""
    (tmp_path / "file").write_bytes(b"1234")
    (tmp_path / "link").symlink_to("nowhere")
    assert [disk.exists(tmp_path / name) for name in (".", "file", "link", "free", "file/x")] == [True] * 3 + [
        False
    ] * 2
    assert [disk.file_bytes(tmp_path / name) for name in (".", "file", "link", "free")] == [None, 4, None, None]
    assert sorted(disk.names(tmp_path)) == ["file", "link"]
    assert disk.names(tmp_path / "free") == []


@pytest.mark.parametrize(
    "look", [disk.exists, disk.file_bytes, disk.names, lambda p: disk.make_folders(p.parent, p.name)]
)
def test_what_cannot_be_told_is_not_taken_for_free(tmp_path: Path, look: Callable[[Path], object]) -> None:
    """An error of the file system, here over a name, is a StorageError and never the answer that nothing is there."""
    with pytest.raises(StorageError, match="xxx: the path is too long"):
        look(tmp_path / ("x" * 300))


def test_folders_are_made_below_the_root_only(tmp_path: Path) -> None:
    """All folders of a key are made, once or twice makes no difference; a root that vanished is not made anew."""
    disk.make_folders(tmp_path, "2025/08/04")
    disk.make_folders(tmp_path, "2025/08/04")
    assert (tmp_path / "2025/08/04").is_dir()
    with pytest.raises(StorageError):
        disk.make_folders(tmp_path / "unmounted", "2025/08/04")
    assert not (tmp_path / "unmounted").exists()


@pytest.mark.parametrize("size_bytes", [0, 1, disk.READ_BLOCK_BYTES, disk.READ_BLOCK_BYTES + 1])
def test_a_file_is_hashed_in_blocks(tmp_path: Path, size_bytes: int) -> None:
    """Digest and size are those of the whole file, wherever the blocks end."""
    data = bytes(range(256)) * (size_bytes // 256) + bytes(size_bytes % 256)
    (tmp_path / "a").write_bytes(data)
    assert disk.sha256_of(tmp_path / "a") == (hashlib.sha256(data).hexdigest(), size_bytes)


@pytest.mark.parametrize("number", [*ADVICE, errno.EMFILE])
def test_every_error_says_where_and_what_to_do(number: int) -> None:
    """An error of the disk becomes a StorageError with what was being done, the path, and advice."""
    with (
        pytest.raises(StorageError, match=r"cannot write /mnt/calls/a: .+"),
        disk.guarded("write", Path("/mnt/calls/a")),
    ):
        raise OSError(number, "reason")


@pytest.mark.parametrize(
    ("number", "kept_by_another"),
    [(errno.EIO, True), (errno.ESTALE, True), (errno.ENOSPC, False), (errno.EDQUOT, False), (errno.EFBIG, False)],
)
def test_what_a_new_file_would_meet_as_well_is_not_tried_again(number: int, kept_by_another: bool) -> None:
    """Bytes that one file did not keep another may keep; where there is no room somebody must make some first."""
    with pytest.raises(StorageError) as raised, disk.guarded("write", Path("/mnt/calls/a"), renewable=True):
        raise OSError(number, "reason")
    assert isinstance(raised.value, NotKeptError) == kept_by_another


def test_a_missing_path_is_a_storage_error(tmp_path: Path) -> None:
    """Reading, making durable and asking for space are all held to the same border."""
    missing = tmp_path / "missing"
    for action in (disk.sha256_of, disk.sync_file, disk.sync_folder, disk.space_bytes):
        with pytest.raises(StorageError, match="missing"):
            action(missing)
    disk.remove_tree(missing)
