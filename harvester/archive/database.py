"""The border to SQLite for the checkpoint: what it raises is a StorageError, and damage is noted beside the file.

In:   the checkpoint's path.  Out: a StorageError that says what to do; a file that is gone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harvester.errors import StorageError

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
        raise StorageError(
            f"cannot use the checkpoint {path}: {error}; it is an index only: the next run rebuilds one that is damaged; else "
            "delete it, or name another local place with --checkpoint"
        ) from error
