"""How files become durable: alone, or as a group."""

import os
from pathlib import Path

import pytest

from harvester.archive import disk, durability
from harvester.archive.durability import FEWEST_FILES, GROUPS_LEFT_ALONE, SLOW_SECONDS_PER_FILE, Durability
from harvester.archive.mounts import read_mount
from harvester.errors import StorageError
from tests.fault import mounts


def test_files_wait_for_their_group_as_long_as_that_is_quick() -> None:
    """One slow sync is enough: so many groups go file by file, then the next is gathered again."""
    decision = Durability(trusted=True)
    decision.synced(FEWEST_FILES, 0.99 * FEWEST_FILES * SLOW_SECONDS_PER_FILE)
    assert decision.gathers
    decision.synced(FEWEST_FILES, 1.01 * FEWEST_FILES * SLOW_SECONDS_PER_FILE)
    for _ in range(GROUPS_LEFT_ALONE):
        assert not decision.gathers
        decision.synced(0, 0.0)
    assert decision.gathers


def test_a_small_group_is_no_measurement() -> None:
    """The first one has a call or two, and may wait for what others have written."""
    decision = Durability(trusted=True)
    decision.synced(FEWEST_FILES - 1, 3600.0)
    assert decision.gathers


def test_no_file_waits_where_one_sync_cannot_be_trusted() -> None:
    """On a share, or where the kernel tells no errors by it, each file is made durable by itself, however quick a group is."""
    decision = Durability(trusted=False)
    decision.synced(10, 0.0)
    assert not decision.gathers


def test_a_group_without_waiting_files_is_no_measurement(tmp_path: Path) -> None:
    """What took no sync says nothing about how long one takes."""
    decision = Durability(trusted=True)
    decision.synced(0, 3600.0)
    assert decision.gathers


def test_only_file_systems_of_the_kernel_s_own_are_trusted(tmp_path: Path) -> None:
    """Where the mount's type is none that is known to be on this machine, nothing waits for a group."""
    mount = read_mount(tmp_path)
    assert durability.is_local(tmp_path) == (mount is not None and mount.type in durability.TRUSTED)
    assert not durability.is_local(Path("/proc")) or not Path("/proc/self/mountinfo").exists()
    assert not Durability.on(Path("/proc")).gathers


@pytest.mark.skipif(bool(mounts.MISSING), reason=str(mounts.MISSING))
def test_a_mount_that_hides_another_decides(tmp_path: Path) -> None:
    """A folder lies on what was mounted last over any folder above it, though another mount bears its very name."""
    point, other = tmp_path / "point", tmp_path / "other"
    (point / "calls").mkdir(parents=True)
    (other / "calls").mkdir(parents=True)
    with mounts.memory(point / "calls"):
        assert durability.is_local(point / "calls")
        with mounts.bound(other, point):
            found = read_mount(point / "calls")
            assert found is not None
            assert found.point == str(point)
            assert found.type == getattr(read_mount(other), "type", None)


def test_what_others_have_written_is_allowed_for() -> None:
    """A sync waits for all that the machine has still to write to a disk: so much more time it may take before it hangs."""
    text = "MemFree: 900 kB\nDirty:            3000 kB\nWriteback:          72 kB\nWritebackTmp:       50 kB\n"
    assert durability.unwritten_bytes(text) == 3072 * 1024
    assert durability.unwritten_bytes("") == 0
    assert durability.others_bytes() >= 0


def test_what_cannot_be_made_durable_is_an_error_of_the_storage(tmp_path: Path) -> None:
    """A sync that fails names the folder; one that succeeds says nothing."""
    handle = os.open(tmp_path, os.O_RDONLY)
    disk.sync_file_system(tmp_path, handle, 0)
    os.close(handle)
    with pytest.raises(StorageError, match=f"make durable what lies in {tmp_path}"):
        disk.sync_file_system(tmp_path, handle, 0)
