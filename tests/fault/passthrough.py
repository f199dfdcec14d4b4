"""A file system that passes all on to a folder, and fails on order.

In:   the folder, where to mount it, a folder for notes, and traits: `python -m tests.fault.passthrough FOLDER MOUNT NOTES TRAIT`;
      orders in notes/orders.json, read again whenever they change.
Out:  what was asked of it, a line each, in notes/asked.

An order counts the requests that it fits, of all threads together, and strikes the Nth and as many behind it as it says: with an
error, by writing only half, by killing who asks before anything is done, or by ending altogether. Traits make it the share that
some people have: no fsync of folders, no chmod, no replacing of open files, no telling of capital letters, times to two seconds.
"""

import errno
import json
import os
import re
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import mfusepy

from tests.fault.orders import DIE, HALF, KILL


class Orders:
    """What is to go wrong, and how often it was met."""

    def __init__(self, notes: Path) -> None:
        self._path = notes / "orders.json"
        self._asked = (notes / "asked").open("a", buffering=1)
        self._stamp: object = None
        self._order: dict[str, Any] = {}
        self._met = 0

    def strike(self, request: str, path: str, *, on: bool) -> str | int | None:
        """Note a request; return what is to happen to it instead. `on` is false for what is not noted."""
        if not on:
            return None
        self._asked.write(f"{request} {path}\n")
        self._read()
        order = self._order
        if not order or request not in order["requests"] or not re.search(order["path"], path):
            return None
        self._met += 1
        behind = self._met - int(order["when"])
        struck = behind >= 0 and (order["times"] is None or behind < order["times"])
        return order["do"] if struck else None

    def _read(self) -> None:
        found = self._path.stat() if self._path.exists() else None
        stamp = found and (found.st_mtime_ns, found.st_ino)
        if stamp != self._stamp:
            self._stamp, self._met = stamp, 0
            self._order = json.loads(self._path.read_text()) if found else {}


class PassThrough:
    """Passes every request on to a folder. Each request has the name that libfuse gives it."""

    use_ns = True

    def __init__(self, source: Path, orders: Orders, traits: set[str]) -> None:
        self._source = source
        self._orders = orders
        self._traits = traits
        self._open: Counter[Path] = Counter()
        self._paths: dict[int, Path] = {}

    def init(self, path: str) -> None:
        """Tell who waits for it that the file system is there."""
        print("ready", flush=True)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        """Look at a name."""
        found = os.fstat(fh) if fh else os.lstat(self._real(path))
        return {name: getattr(found, name) for name in STAT} | {f"st_{of}time": self._time(found, of) for of in "amc"}

    def readdir(self, path: str, fh: int) -> list[str]:
        """List a folder."""
        return [".", "..", *(each.name for each in self._real(path).iterdir())]

    def statfs(self, path: str) -> dict[str, int]:
        """Tell how much room there is."""
        found = os.statvfs(self._real(path))
        return {name: getattr(found, name) for name in dir(found) if name.startswith("f_") and name != "f_fsid"}

    def create(self, path: str, mode: int, flags: int = os.O_RDWR) -> int:
        """Make a file and open it."""
        self._asked("create", path)
        return self._opened(path, os.open(self._real(path), os.O_CREAT | os.O_EXCL | os.O_RDWR, mode))

    def open(self, path: str, flags: int) -> int:
        """Open a file."""
        if flags & (os.O_WRONLY | os.O_RDWR):
            self._asked("open", path)
        return self._opened(path, os.open(self._real(path), flags & ~os.O_CREAT))

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """Read."""
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """Write, or half of it."""
        if self._asked("write", path) == HALF:
            data = data[: max(1, len(data) // 2)]
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        """Cut a file."""
        self._asked("truncate", path)
        os.truncate(self._real(path), length)
        return 0

    def flush(self, path: str, fh: int) -> int:
        """Take note that somebody closes a file."""
        self._asked("flush", path)
        return 0

    def release(self, path: str, fh: int) -> int:
        """Close a file."""
        self._open[self._paths.pop(fh)] -= 1
        os.close(fh)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        """Make a file durable."""
        self._asked("fsync", path)
        os.fsync(fh)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        """Make a folder durable, where this file system can."""
        self._asked("fsyncdir", path)
        if "no-fsync-of-folders" in self._traits:
            raise OSError(errno.EINVAL, "fsync of a folder")
        handle = os.open(self._real(path), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        return 0

    def rename(self, old: str, new: str) -> int:
        """Give another name."""
        self._asked("rename", new)
        real = self._real(new)
        if "no-replacing" in self._traits and (self._open[self._real(old)] or self._open[real]):
            raise OSError(errno.EACCES, "the file is open")
        self._real(old).rename(real)
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        """Make a folder."""
        self._asked("mkdir", path)
        self._real(path).mkdir(mode)
        return 0

    def unlink(self, path: str) -> int:
        """Remove a file."""
        self._asked("unlink", path)
        self._real(path).unlink()
        return 0

    def rmdir(self, path: str) -> int:
        """Remove a folder."""
        self._asked("rmdir", path)
        self._real(path).rmdir()
        return 0

    def chmod(self, path: str, mode: int) -> int:
        """Set permissions, where this file system can."""
        if "no-chmod" in self._traits:
            raise OSError(errno.EPERM, "chmod")
        self._real(path).chmod(mode)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        """Set times."""
        os.utime(self._real(path), ns=times) if times else os.utime(self._real(path))
        return 0

    def _asked(self, request: str, path: str) -> str | int | None:
        """Do to a request what was ordered. Raises OSError."""
        _, _, pid = mfusepy.fuse_get_context()
        found = self._orders.strike(request, path, on=pid > 0)
        if found == KILL:
            os.kill(pid, signal.SIGKILL)
            raise OSError(errno.EINTR, "killed")
        if found == DIE:
            os._exit(1)
        if isinstance(found, int):
            raise OSError(found, os.strerror(found))
        return found

    def _real(self, path: str) -> Path:
        """Return where a path lies in the folder; without telling capital letters, where this file system cannot."""
        if "one-case" not in self._traits:
            return self._source / path[1:]
        real = self._source
        for name in filter(None, path.split("/")):
            there = [each.name for each in real.iterdir()] if real.is_dir() else []
            real /= next((each for each in there if each.lower() == name.lower()), name)
        return real

    def _opened(self, path: str, fh: int) -> int:
        self._paths[fh] = real = self._real(path)
        self._open[real] += 1
        return fh

    def _time(self, found: os.stat_result, of: str) -> int:
        at: int = getattr(found, f"st_{of}time_ns")
        return at - at % (2 * 10**9) if "coarse-times" in self._traits else at


STAT = ("st_mode", "st_nlink", "st_size", "st_uid", "st_gid", "st_ino", "st_blocks")


def main(source: str, mount: str, notes: str, *traits: str) -> None:
    """Serve until it is unmounted."""
    mfusepy.FUSE(
        PassThrough(Path(source), Orders(Path(notes)), set(traits)),
        mount,
        foreground=True,
        nothreads=True,
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
        default_permissions=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
