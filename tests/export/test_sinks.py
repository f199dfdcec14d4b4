"""A zip file is read by others' tools, is the same byte for byte when made twice, and grows beyond the old format's limits."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from harvester.errors import StorageError
from harvester.export.sinks import FolderSink, Sink, ZipSink

FILES = {"data/2025/08/04/1.mp3": b"sound" * 1000, "bagit.txt": b"", "data/2025/08/05/2.json": b"{}"}


def fill(sink: Sink, files: dict[str, bytes]) -> None:
    """Write files, each in two blocks."""
    for path, data in files.items():
        sink.begin(path, len(data))
        sink.write(data[:3])
        sink.write(memoryview(data)[3:])
        sink.end()
    sink.finish()


def test_a_zip_is_what_others_read(tmp_path: Path) -> None:
    """Python's reader and Info-ZIP's find every file whole, below one folder, with rights to read it."""
    path = tmp_path / "bundle.zip"
    fill(ZipSink(path, "top"), FILES)
    with zipfile.ZipFile(path) as found:
        assert found.testzip() is None
        assert {name: found.read(name) for name in found.namelist()} == {
            f"top/{key}": data for key, data in FILES.items()
        }
        assert {each.external_attr >> 16 for each in found.infolist()} == {0o100644}
        assert {each.date_time for each in found.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert "No errors" in subprocess.run(["unzip", "-t", path], capture_output=True, text=True, check=True).stdout


def test_a_zip_is_the_same_byte_for_byte_when_made_twice(tmp_path: Path) -> None:
    """Neither clock nor path nor blocks leave a trace."""
    for name in ("one.zip", "two.zip"):
        fill(ZipSink(tmp_path / name, "top"), FILES)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_a_zip_of_many_files_has_the_records_of_zip64(tmp_path: Path) -> None:
    """65,535 files are the most that the old record can count."""
    path = tmp_path / "bundle.zip"
    fill(ZipSink(path, "top"), {f"{number}": b"" for number in range(65_536)})
    with zipfile.ZipFile(path) as found:
        assert len(found.namelist()) == 65_536


def test_a_zip_of_large_files_has_the_records_of_zip64(tmp_path: Path) -> None:
    """Sizes and places from 4 GiB on stand in fields of their own; here from 1,000 on: readers take them anywhere."""
    path = tmp_path / "bundle.zip"
    fill(ZipSink(path, "top", large_bytes=1000), FILES)
    with zipfile.ZipFile(path) as found:
        assert found.testzip() is None
        assert {name: found.read(name) for name in found.namelist()} == {
            f"top/{key}": data for key, data in FILES.items()
        }
    assert "No errors" in subprocess.run(["unzip", "-t", path], capture_output=True, text=True, check=True).stdout


def test_what_lies_there_is_never_written_over(tmp_path: Path) -> None:
    """Neither a zip nor a folder nor a file in it."""
    (tmp_path / "there").write_bytes(b"mine")
    with pytest.raises(StorageError):
        ZipSink(tmp_path / "there", "top")
    with pytest.raises(StorageError):
        FolderSink(tmp_path / "there")
    assert (tmp_path / "there").read_bytes() == b"mine"
