"""The mark: a folder is an archive, is empty, or is not touched."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE

import pytest

from harvester.archive.layout import MARK
from harvester.archive.mark import NOT_CONTENT, check_owner, hold, read_mark, write_mark
from harvester.errors import ConfigError, LockedError, MarkError, StorageError
from tests.archive.sites import OWNER, PLATFORM


def test_the_mark_tells_which_archive_it_is(tmp_path: Path) -> None:
    """The mark holds id, format, instant, platform and account, and is read back as it was written."""
    written = write_mark(tmp_path / "new" / "calls", PLATFORM, OWNER)
    assert read_mark(tmp_path / "new" / "calls") == written
    assert (written.platform, written.account, written.format) == (PLATFORM, OWNER, 1)
    assert json.loads((tmp_path / "new" / "calls" / MARK).read_text()).keys() == {
        "archive_id",
        "format",
        "created_at",
        "platform",
        "account",
    }


def test_no_two_archives_have_one_id(tmp_path: Path) -> None:
    """Archives of the same account are told apart."""
    marks = [write_mark(tmp_path / name, PLATFORM, OWNER) for name in ("a", "b")]
    assert marks[0].archive_id != marks[1].archive_id


def test_an_absent_folder_may_become_an_archive(tmp_path: Path) -> None:
    """Where nothing lies there is no mark, and reading makes nothing."""
    assert read_mark(tmp_path / "calls") is None
    assert not (tmp_path / "calls").exists()


@pytest.mark.parametrize("left", [*sorted(NOT_CONTENT), f"{MARK}.part"])
def test_what_lies_in_an_empty_share_is_no_content(tmp_path: Path, left: str) -> None:
    """What file systems and NAS boxes put there, and a mark that a crash left half written, keep no archive out."""
    (tmp_path / left).touch()
    assert read_mark(tmp_path) is None
    assert read_mark(tmp_path) is None or write_mark(tmp_path, PLATFORM, None)


@pytest.mark.parametrize("left", ["notes.txt", ".hidden", "2025", "runs"])
def test_a_folder_that_holds_other_things_is_refused_and_untouched(tmp_path: Path, left: str) -> None:
    """A folder that is not empty and bears no mark is somebody's: it is named with what lies there, and left alone."""
    (tmp_path / left).write_text("mine")
    with pytest.raises(MarkError, match=f"not empty.*{left}"):
        read_mark(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {left: "mine"}


def test_a_file_is_no_archive(tmp_path: Path) -> None:
    """The archive is a folder."""
    (tmp_path / "calls").touch()
    with pytest.raises(MarkError, match="not a folder"):
        read_mark(tmp_path / "calls")


def test_a_folder_that_cannot_be_looked_at_is_not_taken_for_absent(tmp_path: Path) -> None:
    """Where the file system gives an error, here a circle of links, no new archive may be made: a StorageError."""
    (tmp_path / "calls").symlink_to("calls")
    with pytest.raises(StorageError, match="cannot read"):
        read_mark(tmp_path / "calls")


HOLD = """
import pathlib, sys
from harvester.archive.mark import hold
with hold(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("killed", [False, True])
def test_an_archive_is_held_by_one_run(tmp_path: Path, killed: bool) -> None:
    """While another process holds the archive it is a LockedError (exit 7); the mark can be read; a dead one holds nothing."""
    mark = write_mark(tmp_path, PLATFORM, OWNER)
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdin=PIPE, stdout=PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LockedError, match=r"another run.*is at work") as caught, hold(tmp_path):
            pass
        assert (caught.value.exit_code, read_mark(tmp_path)) == (7, mark)
        if killed:
            holder.kill()
    with hold(tmp_path):
        pass


def test_an_archive_is_let_go_after_an_error(tmp_path: Path) -> None:
    """However a run ends, the next one gets the archive; what cannot be opened is a StorageError."""
    with pytest.raises(MarkError), hold(tmp_path):
        raise MarkError
    with hold(tmp_path):
        pass
    with pytest.raises(StorageError, match="cannot lock"), hold(tmp_path / "missing"):
        pass


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"archive_id":"x"}', b"\0" * 300])
def test_a_broken_mark_is_refused(tmp_path: Path, content: bytes) -> None:
    """A mark that cannot be read is a MarkError (exit 6) that says so, not a new archive."""
    (tmp_path / MARK).write_bytes(content)
    with pytest.raises(MarkError, match="cannot be read") as caught:
        read_mark(tmp_path)
    assert caught.value.exit_code == 6
    assert (tmp_path / MARK).read_bytes() == content


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_a_mark_that_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """A pipe would be waited for: it is no mark, and no command hangs on it."""
    write_mark(tmp_path / "calls", PLATFORM, OWNER)
    mark = tmp_path / "calls" / MARK
    mark.unlink()
    make(mark)
    with pytest.raises(MarkError, match=f"{MARK} is no file"):
        read_mark(tmp_path / "calls")


def test_a_mark_behind_a_link_is_read(tmp_path: Path) -> None:
    """`verify` tells of the link; all other commands work as before, and a link that leads to a pipe is refused."""
    made = write_mark(tmp_path / "calls", PLATFORM, OWNER)
    mark = tmp_path / "calls" / MARK
    mark.rename(tmp_path / "away")
    mark.symlink_to(tmp_path / "away")
    assert read_mark(tmp_path / "calls") == made
    (tmp_path / "away").unlink()
    os.mkfifo(tmp_path / "away")
    with pytest.raises(MarkError, match="is no file"):
        read_mark(tmp_path / "calls")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    """An archive that a newer harvester has made is not written to by an older one."""
    write_mark(tmp_path, PLATFORM, OWNER)
    mark = json.loads((tmp_path / MARK).read_text())
    (tmp_path / MARK).write_text(json.dumps(mark | {"format": 2}))
    with pytest.raises(MarkError, match="use a newer harvester"):
        read_mark(tmp_path)


@pytest.mark.parametrize(
    ("platform", "account", "refused"),
    [
        (PLATFORM, OWNER, None),
        (PLATFORM, OWNER.upper(), None),
        (PLATFORM, None, None),
        ("https://other.example/api", OWNER, "of https://other.example/api"),
        (PLATFORM, "somebody.else@example.com", "another account"),
    ],
)
def test_two_accounts_are_never_mixed(tmp_path: Path, platform: str, account: str | None, refused: str | None) -> None:
    """Another platform or account than the archive's is refused (exit 2); one that is not told is not held against it."""
    mark = write_mark(tmp_path, PLATFORM, OWNER)
    if refused is None:
        check_owner(mark, platform, account)
        return
    with pytest.raises(ConfigError, match=refused) as caught:
        check_owner(mark, platform, account)
    assert caught.value.exit_code == 2
