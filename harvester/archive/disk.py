"""The border to the file system: what is written is durable when the function returns, what fails is a StorageError.

In:   paths and bytes.  Out: durable files, or a StorageError that names the path and what to do.

What only POSIX has (fsync and lock of a folder; in `anchor.py` a folder held open) stands here alone, with the plain way beside
it for other systems. An fsync that fails is never tried again on the same file: the kernel may have dropped the dirty pages and
would report success (fsyncgate, 2018).
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from harvester.archive import durability, steps
from harvester.archive.advice import ADVICE, NO_ROOM
from harvester.archive.naming import name_new
from harvester.archive.pieces import write_all
from harvester.errors import NotKeptError, StorageError

if sys.platform != "win32":
    import fcntl

UNLOCKABLE = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF, errno.EINVAL, errno.ENOSYS})
"""What file systems that know no such lock answer."""

LOOK_AGAIN_SECONDS = 0.02
GLANCE_SECONDS = 0.5
"""How long a run waits for a lock: `status` and `doctor` hold it for an instant, to see whether a run does."""

READ_BLOCK_BYTES = 1024 * 1024
WRITING = os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)


class Guarded(steps.Step):
    """A storage step that raises an OSError of its block as a StorageError; `renewable` may be set within."""

    __slots__ = ("renewable",)

    def __init__(self, doing: str, path: Path | str, size_bytes: int, *, renewable: bool) -> None:
        """All as `guarded` says."""
        super().__init__(doing, path, size_bytes)
        self.renewable = renewable

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the step. Raises NotKeptError, StorageError."""
        super().__exit__(kind, error, trace)
        if isinstance(error, OSError):
            advice = ADVICE.get(error.errno or 0, error.strerror or str(error))
            ours = NotKeptError if self.renewable and error.errno not in NO_ROOM else StorageError
            raise ours(f"cannot {self.doing} {self.path}: {advice}") from error


def guarded(doing: str, path: Path | str, size_bytes: int = 0, *, renewable: bool = False) -> Guarded:
    """Raise an OSError of the block as a StorageError: what was being done, to which path, and what to do.

    `renewable`: the block fills a new file that another one can stand in for, or makes such files durable; where the error is
    not want of room it is a NotKeptError. The block is a storage step, over which vigil is kept: a long one says that it moves
    on (`moves`), and one that makes much durable at once says how much (`size_bytes`).
    """
    return Guarded(doing, path, size_bytes, renewable=renewable)


def path_text(path: Path) -> str:
    """Return a path as text that UTF-8 can hold: bytes of a name that are none of it stand as escapes."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def write_new(path: Path | str, *data: bytes | bytearray, durably: bool, mode: int = 0o666) -> None:
    """Create a file that must not exist yet and write `data`; fsync it if `durably`, else somebody must before it is named.

    Raises NotKeptError when the file is there and does not keep its bytes, StorageError when it cannot be made.
    """
    _write(path, os.O_CREAT | os.O_EXCL, *data, durably=durably, renewable=True, mode=mode)


def write_durable(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Create a file that must not exist yet, write `data`, and fsync it."""
    _write(path, os.O_CREAT | os.O_EXCL, data, durably=True, mode=mode)


def overwrite(path: Path, data: bytes, *, durably: bool) -> None:
    """Write `data` over what a file holds; fsync it if `durably`. A crash meanwhile may leave anything in it."""
    _write(path, os.O_TRUNC, data, durably=durably)


def replace_durable(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Put a file in place whole: readers see the old one or the new one, never a mixture."""
    part = path.with_name(f"{path.name}.part")
    with guarded("write", part):
        part.unlink(missing_ok=True)
    write_durable(part, data, mode=mode)
    with guarded("rename to", path):
        part.replace(path)
    sync_folder(path.parent)


def give_name(part: Path | str, target: Path | str) -> None:
    """Give a durable file its final name. What lies under that name is never written over: it is a StorageError."""
    give_names([(part, target)])


def give_names(named: Iterable[tuple[Path | str, Path | str]]) -> None:
    """Give durable files their names, one after the other, as `give_name` does. A step for each would take a sixth more time."""
    with guarded("rename to", "") as step:
        for part, target in named:
            step.path, step.moves = target, step.moves + 1
            try:
                name_new(part, target)
            except FileExistsError:
                raise StorageError(f"{target} appeared meanwhile: another harvester writes into this archive") from None


def sync_folder(folder: Path) -> bool:
    """Make the names in a folder durable. Where folders cannot be fsynced (Windows, some shares) the rename has to do: False."""
    if os.name == "nt":
        return False
    with guarded("make durable", folder):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return sync_open_folder(handle)
        finally:
            os.close(handle)


def sync_open_folder(handle: int) -> bool:
    """Make the names in an open folder durable; False where this cannot be asked for. Raises OSError."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
        return False
    return True


def sync_file_system(folder: Path, handle: int, size_bytes: int) -> None:
    """Make everything durable that was written to the file system of an open folder; `size_bytes` says how much is ours.

    What could not be written since the folder was opened is a NotKeptError, so it must be open since before the first write:
    who opens it now is not told of an error that another process has been told of meanwhile.
    """
    with guarded("make durable what lies in", folder, size_bytes + durability.others_bytes(), renewable=True):
        durability.sync_file_system(handle)


def sync_file(path: Path) -> None:
    """Make a file durable that something else has written. POSIX needs no right to write for that, and WORM shares give none."""
    with guarded("make durable", path), path.open("rb+" if os.name == "nt" else "rb") as file:
        os.fsync(file.fileno())


def make_folders(root: Path, key: str) -> None:
    """Create the folder `key` below `root` and durable entries for each that is new. `root` itself must exist.

    A symbolic link on the way is a StorageError: whoever can write to a share could lead us out of it by one.
    """
    missing = []
    folder = root / key
    while folder != root:
        found = _look_at(folder)
        if found is None:
            missing.append(folder)
        else:
            refuse_link(folder, found)
        folder = folder.parent
    for new in reversed(missing):
        with guarded("create the folder", new), suppress(FileExistsError):
            new.mkdir()
        sync_folder(new.parent)


def refuse_link(path: Path, found: os.stat_result) -> None:
    """Raise StorageError when what was found at a path, not followed, is a symbolic link."""
    if stat.S_ISLNK(found.st_mode):
        raise StorageError(f"{path} is a symbolic link, which may lead out of the archive; put a folder there")


def exists(path: Path) -> bool:
    """Whether anything lies under a name, be it a dangling link. What cannot be told is a StorageError, never a no."""
    return _look_at(path) is not None


def file_bytes(path: Path) -> int | None:
    """Return the size in bytes of a file; None where there is none, or a link or folder instead."""
    found = _look_at(path)
    return found.st_size if found and stat.S_ISREG(found.st_mode) else None


def beginning_of(path: Path, size_bytes: int) -> bytes | None:
    """Return so many bytes of a file at most; None where nothing lies under its name, none where that is no file.

    A link would lead elsewhere, and a pipe would be waited for: whoever can write to a share can put both there.
    """
    found = _look_at(path)
    if found is None or not stat.S_ISREG(found.st_mode):
        return None if found is None else b""
    with guarded("read", path), path.open("rb") as file:
        return file.read(size_bytes)


def names(folder: Path) -> list[str]:
    """Return the names in a folder, in no order; none where there is no folder."""
    with guarded("read", folder):
        try:
            return [path.name for path in folder.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []


@contextmanager
def locked(folder: Path, wait_seconds: float = 0.0) -> Iterator[bool]:
    """Hold the kernel's lock on a folder for the block; give False when another process holds it for all of `wait_seconds`.

    Where the file system or the system knows no such lock, it is as if it were held.
    """
    if sys.platform == "win32":
        yield True
        return
    with guarded("lock", folder):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with guarded("lock", folder):
            until = time.monotonic() + wait_seconds
            while not (held := _lock(handle)) and time.monotonic() < until:
                time.sleep(LOOK_AGAIN_SECONDS)
        yield held
    finally:
        os.close(handle)


def sha256_of(path: Path) -> tuple[str, int]:
    """Return the SHA-256 in hex and the size in bytes of a file."""
    with guarded("read", path) as step, path.open("rb", buffering=0) as file:
        digest = hashlib.sha256()
        size_bytes = 0
        block = memoryview(bytearray(READ_BLOCK_BYTES))
        while got := file.readinto(block):
            digest.update(block[:got])
            size_bytes += got
            step.moves += 1
        return digest.hexdigest(), size_bytes


def space_bytes(path: Path) -> tuple[int, int]:
    """Return the size of the file system of `path` and what a user without privileges may still write to it."""
    with guarded("look at", path):
        usage = shutil.disk_usage(path)
        return usage.total, usage.free


def remove_tree(folder: Path) -> None:
    """Remove a folder of ours that holds nothing settled, and all in it."""
    with guarded("remove", folder), suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _write(
    path: Path | str, flags: int, *data: bytes | bytearray, durably: bool, renewable: bool = False, mode: int = 0o666
) -> None:
    with guarded("write", path) as step:
        file = os.open(path, WRITING | flags, mode)
        step.renewable = renewable
        try:
            write_all(file, data)
            if durably:
                os.fsync(file)
        finally:
            os.close(file)


def _look_at(path: Path) -> os.stat_result | None:
    with guarded("look at", path):
        try:
            return path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in UNLOCKABLE:
            raise
    return True
