"""Real file systems for a test: folders bound to another place, small ones in memory, and one whose power can be cut.

In:   a folder to mount on.  Out: the file system, until the block ends.
"""

import os
import shutil
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
