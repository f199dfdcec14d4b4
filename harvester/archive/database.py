"""The border to SQLite for the checkpoint: what it raises is a StorageError, and damage is noted beside the file.

In:   the checkpoint's path.  Out: a StorageError that says what to do; a file that is gone.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harvester.archive.advice import ADVICE, NO_ROOM
from harvester.errors import StorageError

PRIMARY_CODE = 0xFF
"""What of an extended result code of SQLite tells the kind of the error."""

SHARED_BYTES = 32 * 1024
"""How large the file is that SQLite's connections share as memory, at least (walindex)."""

DAMAGED = ".damaged"
"""What the name of the note ends in that a run leaves which meets damage."""


def remove(path: Path) -> None:
    """Remove a checkpoint, and what SQLite has put beside it. Raises StorageError."""
    with storage(path):
        for suffix in ("", "-wal", "-shm", "-journal", DAMAGED):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


@contextmanager
def storage(path: Path) -> Iterator[None]:
    """Raise what SQLite raises in the block as a StorageError, and note damage beside the file."""
    try:
        yield
    except (sqlite3.Error, OSError, ValueError) as error:  # ValueError: what it holds is noise
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            with suppress(OSError):
                path.with_name(path.name + DAMAGED).touch()
        if wants_room(path, error):
            raise StorageError(f"cannot write the checkpoint {path}: {ADVICE[errno.ENOSPC]}") from error
        said = error.strerror if isinstance(error, OSError) else error
        raise StorageError(
            f"cannot use the checkpoint {path}: {said}; it is an index only: the next run rebuilds one that is damaged; else "
            "delete it, or name another local place with --checkpoint"
        ) from error


def wants_room(path: Path, error: Exception) -> bool:
    """Whether an error says nothing of the checkpoint at `path`, and only that its disk is full.

    Where SQLite finds no room for the memory that its connections share it speaks of an I/O error, so the disk is looked at.
    """
    if isinstance(error, OSError):
        return error.errno in NO_ROOM
    code = getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE
    if code != sqlite3.SQLITE_IOERR:
        return code == sqlite3.SQLITE_FULL
    try:
        return shutil.disk_usage(path.parent).free < SHARED_BYTES
    except OSError:
        return False
