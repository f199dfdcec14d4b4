"""Real file systems for a test: folders bound to another place, small ones in memory, and one whose power can be cut.

In:   a folder to mount on.  Out: the file system, until the block ends.
"""

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MISSING = (
    None if os.geteuid() == 0 and shutil.which("mount") and os.uname().sysname == "Linux" else "needs root, on Linux"
)
"""Why tests with mounts cannot run here, or None."""


def mount(*arguments: object) -> None:
    """Mount something."""
    subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True)


def unmount(point: Path, *flags: str) -> None:
    """Unmount the topmost thing that is mounted on a folder."""
    subprocess.run(["umount", *flags, str(point)], check=True, capture_output=True)


def unmount_all(point: Path) -> None:
    """Unmount all that is mounted on a folder. The kernel is asked: a folder bound from the same disk does not look like one."""
    points = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for _ in range(points.count(str(point))):
        unmount(point, "-l")


@contextmanager
def memory(point: Path, *options: str) -> Iterator[None]:
    """Mount a file system in memory for the block, with options such as `size=300k`, `nr_inodes=40`."""
    point.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "-o", ",".join(("mode=755", *options)), "tmpfs", point)
    try:
        yield
    finally:
        unmount_all(point)


EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
"""Without writing the journal out first: what was not made durable is gone, as when the power fails (fs/ext4/ext4.h)."""

POWERLESS = MISSING or (None if shutil.which("mkfs.ext4") else "needs e2fsprogs, which .ci/run installs")
"""Why the power cannot be cut here, or None."""


class Powered:
    """An ext4 file system in an image. It writes by itself only every ten minutes: what is durable was asked to be."""

    def __init__(self, image: Path, point: Path) -> None:
        self._image = image
        self.point = point
        with image.open("xb") as file:
            file.truncate(32 * 1024 * 1024)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True, capture_output=True)
        point.mkdir()
        self.switch_on()

    def switch_on(self) -> None:
        """Mount it; the journal is played back."""
        mount("-o", "loop,commit=600", self._image, self.point)

    def cut(self) -> None:
        """Cut the power and give it back. Nothing may be at work on it any more."""
        self.fail()
        self.restore()

    def fail(self) -> None:
        """Let the disk answer every write and every sync with EIO from now on, whoever is at work on it."""
        handle = os.open(self.point, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(handle)

    def restore(self) -> None:
        """Give back what was durable, and let it work again."""
        unmount(self.point)
        self.switch_on()


@contextmanager
def powered(folder: Path) -> Iterator[Powered]:
    """Make such a file system below a folder, for the block."""
    point = folder / "disk"
    try:
        yield Powered(folder / "image", point)
    finally:
        unmount_all(point)
        (folder / "image").unlink(missing_ok=True)


@contextmanager
def roomy(folder: Path, point: Path, size_bytes: int) -> Iterator[None]:
    """Mount a disk of any size for the block: an ext4 file system in a file that takes no room, besides what is written to it."""
    image = folder / "image"
    with image.open("xb") as file:
        file.truncate(size_bytes)
    plain = ("-m", "0", "-O", "^has_journal,^resize_inode", "-E", "lazy_itable_init=1,nodiscard", "-N", "1024")
    subprocess.run(["mkfs.ext4", "-q", "-F", *plain, str(image)], check=True, capture_output=True)
    point.mkdir()
    mount("-o", "loop", image, point)
    try:
        yield
    finally:
        unmount_all(point)
        image.unlink()


@contextmanager
def bound(source: Path, point: Path) -> Iterator[None]:
    """Let a folder appear on another one, as a share would, for the block; it may be taken away within."""
    for each in (source, point):
        each.mkdir(exist_ok=True)
    mount("--bind", source, point)
    try:
        yield
    finally:
        unmount_all(point)
