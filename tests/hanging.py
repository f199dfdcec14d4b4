"""A file system that hangs on order: a folder under another name, whose operations wait as a share does whose server is gone.

In:   a folder, a mount point, a file that names the operations to hang, a FIFO that lets them go.  Out: the mount.

A thread that waits in the kernel for an answer of FUSE cannot be ended, no more than on NFS: what a test sees is the real thing.
It runs as a process of its own: `python -m tests.hanging FOLDER MOUNT ORDERS RELEASE`.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mfusepy


class Hanging(mfusepy.Operations):  # type: ignore[misc]
    """The folder `root`; operations that stand in the file `orders` wait until somebody opens the FIFO `release` to write."""

    use_ns = True

    def __init__(self, root: str, orders: str, release: str) -> None:
        self._root = root
        self._orders = Path(orders)
        self._release = release

    def _on(self, operation: str, path: str) -> str:
        """Return the path below; wait first where this operation is to hang."""
        try:
            ordered = self._orders.read_text().split()
        except FileNotFoundError:
            ordered = []
        if operation in ordered:
            os.close(os.open(self._release, os.O_RDONLY))
        return self._root + path

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        """See stat(2)."""
        found = os.lstat(self._on("getattr", path))
        names = ("mode", "nlink", "size", "uid", "gid")
        times = {f"st_{name}": getattr(found, f"st_{name}_ns") for name in ("atime", "mtime", "ctime")}
        return {f"st_{name}": getattr(found, f"st_{name}") for name in names} | times

    def readdir(self, path: str, fh: int) -> Iterator[str]:
        """See readdir(3)."""
        yield from (".", "..", *os.listdir(self._on("readdir", path)))  # noqa: PTH208

    def open(self, path: str, flags: int) -> int:
        """See open(2)."""
        return os.open(self._on("open", path), flags)

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        """See open(2)."""
        return os.open(self._on("create", path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """See pread(2)."""
        self._on("read", path)
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """See pwrite(2)."""
        self._on("write", path)
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        """See truncate(2)."""
        os.truncate(self._on("truncate", path), length)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        """See fsync(2)."""
        self._on("fsync", path)
        os.fsync(fh)
        return 0

    def release(self, path: str, fh: int) -> int:
        """See close(2)."""
        os.close(fh)
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        """See mkdir(2)."""
        os.mkdir(self._on("mkdir", path), mode)  # noqa: PTH102
        return 0

    def rmdir(self, path: str) -> int:
        """See rmdir(2)."""
        os.rmdir(self._on("rmdir", path))  # noqa: PTH106
        return 0

    def unlink(self, path: str) -> int:
        """See unlink(2)."""
        os.unlink(self._on("unlink", path))  # noqa: PTH108
        return 0

    def rename(self, old: str, new: str, flags: int = 0) -> int:
        """See rename(2)."""
        os.rename(self._on("rename", old), self._root + new)  # noqa: PTH104
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        """See statvfs(3)."""
        found = os.statvfs(self._on("statfs", path))
        return {name: getattr(found, name) for name in dir(found) if name.startswith("f_") and name != "f_fsid"}


if __name__ == "__main__":
    root, mount, orders, release = sys.argv[1:]
    mfusepy.FUSE(
        Hanging(root, orders, release), mount, foreground=True, fsname="share", attr_timeout=0, entry_timeout=0
    )
