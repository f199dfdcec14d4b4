"""Verify writes nothing: on a mount that takes no byte, with no folder for temporary files, and with nobody to ask."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harvester.verify.archive import verify
from harvester.verify.catalog import IN_MEMORY, ON_DISK
from harvester.verify.catalog import place as catalog_place
from tests.archive.sites import Site
from tests.verify.damage import found


@pytest.fixture
def read_only(root: Path, tmp_path: Path) -> Iterator[Path]:
    """A mount of the archive that cannot be written to."""
    mount = tmp_path / "read-only"
    mount.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("needs root and mount")
    bound = subprocess.run(["mount", "--bind", root, mount], capture_output=True, check=False, text=True)
    if bound.returncode:
        pytest.skip(f"nothing can be mounted here ({bound.stderr.strip()})")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", mount], check=True, capture_output=True)
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)


def command(archive: Path, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `harvester verify` in a folder, with a home of its own."""
    words = [sys.executable, "-m", "harvester", "verify", "--archive", str(archive)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)} | variables
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, check=False, text=True)


def test_a_read_only_mount_will_do(read_only: Path, tmp_path: Path) -> None:
    """The kernel would refuse every byte; damage is found as anywhere else."""
    with pytest.raises(OSError, match="Read-only"):
        (read_only / "try").touch()
    assert verify(read_only).findings == []
    done = command(read_only, read_only, HOME=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "copy/2025/08/04/1.mp3").unlink()
    assert found(verify(read_only)) == {("missing", "2025/08/04/1.mp3")}


def test_nothing_is_opened_for_writing_in_the_archive(root: Path, tmp_path: Path) -> None:
    """As the kernel sees it: no file of the archive, nor beside it, is created or opened for writing, also from within it."""
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    log = tmp_path / "strace.log"
    words = [
        "strace",
        "-f",
        "-o",
        str(log),
        "-e",
        "trace=openat,open,creat,mkdir,mkdirat,rename,renameat2,unlink,unlinkat",
    ]
    words += [sys.executable, "-B", "-m", "harvester", "verify", "--archive", str(root)]
    done = subprocess.run(
        words, cwd=root, capture_output=True, check=False, text=True, env=os.environ | {"HOME": str(tmp_path)}
    )
    if "ptrace" in done.stderr:
        pytest.skip("nothing can be traced here")
    assert done.returncode == 0, done.stderr
    calls = [line for line in log.read_text().splitlines() if str(root) in line or '"./' in line]
    assert len(calls) > 10
    assert [
        line for line in calls if "openat" not in line or "O_WRONLY" in line or "O_RDWR" in line or "O_CREAT" in line
    ] == []


def test_no_folder_for_temporary_files_is_needed(root: Path, tmp_path: Path) -> None:
    """Where none can be written to, the list of files is kept in memory, and not in the folder one happens to stand in."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root and unshare")
    folders = "/tmp /var/tmp"
    script = f"mount --bind {root} /mnt && for each in {folders}; do "
    script += "mount --bind $each $each && mount -o remount,bind,ro $each; done && cd /mnt && "
    script += f"{sys.executable} -B -c 'import os; from harvester.verify import catalog; print(catalog.place(os.environ))' && "
    script += f"exec {sys.executable} -B -m harvester verify --archive /mnt"
    environment = os.environ | {"HOME": "/root", "HARVESTER_STATE_FOLDER": "/nowhere"}
    before = sorted(root.rglob("*"))
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, check=False, text=True, env=environment
    )
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(f"nothing can be mounted here ({done.stderr.strip()})")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == IN_MEMORY
    assert catalog_place(os.environ) == ON_DISK
    assert sorted(root.rglob("*")) == before


def test_a_full_folder_for_temporary_files_is_told(intact: Site, tmp_path: Path) -> None:
    """Exit 6, and what to do; no traceback."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root and unshare")
    script = "import sys, sqlite3\nfrom pathlib import Path\nfrom harvester.verify import catalog\n"
    script += "catalog.SCHEMA = catalog.SCHEMA.replace('-16000', '1')\n"
    script += "from harvester.errors import StorageError\n"
    script += "try:\n with catalog.Catalog.opened() as table:\n"
    script += "  for n in range(200): table.take([catalog.Named(f'{n}/{i}' * 20, '0' * 64, '1', 'run', n) for i in range(100)])\n"
    script += "except StorageError as error: print(error)\n"
    line = f'mount -t tmpfs -o size=64k none /mnt && exec {sys.executable} -c "$0"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", line, script],
        capture_output=True,
        check=False,
        text=True,
        env=os.environ | {"SQLITE_TMPDIR": "/mnt"},
    )
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(f"nothing can be mounted here ({done.stderr.strip()})")
    assert "has no room in the folder for temporary files" in done.stdout, done.stderr
