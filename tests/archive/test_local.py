"""The local state: one run at a time, and the memory that an archive was here."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from harvester.archive import disk
from harvester.archive.layout import MARK
from harvester.archive.local import LocalState
from harvester.archive.mark import check_owner, hold, read_mark, write_mark
from harvester.errors import ConfigError, LockedError, MarkError, StorageError
from tests.archive.sites import OWNER, PLATFORM

HOLD = """
import pathlib, sys
from harvester.archive.local import LocalState
with LocalState(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    """The local state of an archive that is not there yet; a run has held its lock before."""
    state = LocalState(tmp_path / "state", tmp_path / "calls")
    with state.locked():
        return state


@contextmanager
def held_elsewhere(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the lock until its input ends."""
    arguments = [sys.executable, "-c", HOLD, str(tmp_path / "state"), str(tmp_path / "calls")]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        yield holder


def test_a_second_run_is_refused_while_the_first_one_lives(state: LocalState, tmp_path: Path) -> None:
    """A lock held by another process is a LockedError (exit 7); once that has ended, the lock is free."""
    with held_elsewhere(tmp_path), pytest.raises(LockedError, match="another run is at work") as caught, state.locked():
        pass
    assert caught.value.exit_code == 7
    with state.locked():
        pass


def test_the_lock_of_a_killed_run_is_taken_over(state: LocalState, tmp_path: Path) -> None:
    """A lock left behind by a process that is dead is none."""
    with held_elsewhere(tmp_path) as holder:
        holder.kill()
        holder.wait()
        with state.locked():
            pass


@pytest.mark.parametrize("which", ["local", "folder"])
def test_a_run_is_not_refused_because_somebody_looks_whether_there_is_one(
    state: LocalState, tmp_path: Path, which: str
) -> None:
    """`status` holds a lock for an instant, to see whether a run does: one that begins just then waits for it."""
    folder = tmp_path / "calls"
    folder.mkdir()
    looking, never = threading.Event(), threading.Event()

    def look() -> None:
        with state.locked(wait_seconds=0) if which == "local" else disk.locked(folder):
            looking.set()
            never.wait(0.05)

    with ThreadPoolExecutor() as pool:
        looked = pool.submit(look)
        assert looking.wait(10)
        with state.locked() if which == "local" else hold(folder):
            looked.result()


def test_whether_a_run_is_going_on_can_be_asked(state: LocalState, tmp_path: Path) -> None:
    """It is as long as the lock is held; who asks neither keeps the lock nor makes a folder."""
    with held_elsewhere(tmp_path):
        assert state.is_locked()
    assert not state.is_locked()
    with held_elsewhere(tmp_path):
        pass
    assert not LocalState(tmp_path / "never", tmp_path / "calls").is_locked()
    assert not (tmp_path / "never").exists()


def test_the_lock_is_let_go_after_an_error(state: LocalState) -> None:
    """However a run ends, the next one gets the lock."""
    with pytest.raises(MarkError), state.locked():
        raise MarkError
    with state.locked():
        pass


def test_archives_do_not_share_their_state(tmp_path: Path) -> None:
    """Two archives of one name in different places have their own lock and checkpoint; one path has always the same."""
    one, other, again = (LocalState(tmp_path, tmp_path / place / "calls") for place in ("a", "b", "x/../a"))
    assert one.checkpoint != other.checkpoint
    assert one.checkpoint == again.checkpoint
    with one.locked(), other.locked():
        pass


def test_a_new_archive_may_be_made(state: LocalState) -> None:
    """Nothing there, nothing known, nothing expected: the first run makes the archive."""
    assert state.expected_mark(must_exist=False) is None


def test_an_archive_that_must_exist_and_does_not(state: LocalState) -> None:
    """must_exist without an archive is a MarkError (exit 6): the share is not mounted. Nothing is made."""
    with pytest.raises(MarkError, match=r"must_exist.*mounted") as caught:
        state.expected_mark(must_exist=True)
    assert caught.value.exit_code == 6
    assert not state.archive.exists()


def test_an_archive_that_is_known_and_missing(state: LocalState) -> None:
    """An archive that this machine has seen here is expected for ever after, without any setting."""
    state.remember(write_mark(state.archive, PLATFORM, OWNER))
    assert state.expected_mark(must_exist=False)
    shutil.rmtree(state.archive)
    with pytest.raises(MarkError, match="mounted"):
        state.expected_mark(must_exist=False)
    state.archive.mkdir()  # the empty mount point
    with pytest.raises(MarkError, match="mounted"):
        state.expected_mark(must_exist=False)
    assert not list(state.archive.iterdir())


def test_another_archive_in_its_place(state: LocalState) -> None:
    """Another archive than the one that is known here is refused: the wrong share is mounted."""
    state.remember(write_mark(state.archive, PLATFORM, OWNER))
    (state.archive / MARK).unlink()
    write_mark(state.archive, PLATFORM, OWNER)
    with pytest.raises(MarkError, match="another archive lies at"):
        state.expected_mark(must_exist=False)


def test_the_message_names_what_to_remove(state: LocalState) -> None:
    """Who gave an archive up on purpose is told which file to remove, and then a new one may be made."""
    state.remember(write_mark(state.archive, PLATFORM, OWNER))
    shutil.rmtree(state.archive)
    with pytest.raises(MarkError) as caught:
        state.expected_mark(must_exist=False)
    Path(str(caught.value).rpartition("remove ")[2]).unlink()
    assert state.expected_mark(must_exist=False) is None


def test_the_first_account_that_is_learnt_is_held_against_later_ones(state: LocalState) -> None:
    """An archive made without a key belongs to the account of the first run, also after runs that were told none: exit 2."""
    mark = write_mark(state.archive, PLATFORM, None)
    state.remember(mark)
    for account in (None, OWNER, None):
        expected = state.expected_mark(must_exist=True)
        assert expected
        check_owner(expected, PLATFORM, account)
        state.remember(expected, account)
    state.remember(mark, "somebody.else@example.com")  # the first one stays
    expected = state.expected_mark(must_exist=True)
    assert expected
    assert (expected.account, read_mark(state.archive)) == (OWNER, mark)
    with pytest.raises(ConfigError, match="another account") as caught:
        check_owner(expected, PLATFORM, "somebody.else@example.com")
    assert caught.value.exit_code == 2


def test_the_account_of_the_mark_comes_first(state: LocalState) -> None:
    """What the mark tells is never replaced by what this machine has learnt."""
    state.remember(write_mark(state.archive, PLATFORM, OWNER), "somebody.else@example.com")
    expected = state.expected_mark(must_exist=True)
    assert expected
    assert expected.account == OWNER


def test_a_memory_without_an_account_is_read(state: LocalState) -> None:
    """What an earlier harvester has remembered still tells that an archive is expected here."""
    state.remember(write_mark(state.archive, PLATFORM, None))
    known = state.folder / "archive.json"
    known.write_text(json.dumps({k: v for k, v in json.loads(known.read_text()).items() if k != "account"}))
    shutil.rmtree(state.archive)
    with pytest.raises(MarkError, match="mounted"):
        state.expected_mark(must_exist=False)


def test_a_memory_that_cannot_be_read_is_not_taken_for_none(state: LocalState) -> None:
    """An error of the disk must not found a new archive where one is expected: a StorageError."""
    (state.folder / "archive.json").mkdir()
    with pytest.raises(StorageError, match=r"cannot read .*archive\.json"):
        state.expected_mark(must_exist=False)


@pytest.mark.parametrize("noise", [b"", b"\xff", b"[]"])
def test_a_damaged_memory_is_none(state: LocalState, noise: bytes) -> None:
    """What this machine remembers is a safeguard only: noise in it never keeps a run from an archive that is there."""
    mark = write_mark(state.archive, PLATFORM, OWNER)
    state.remember(mark)
    (state.folder / "archive.json").write_bytes(noise)
    assert state.expected_mark(must_exist=True) == mark
