"""The archive's folder, held open while a run is at work on it: a share that vanishes takes no folder of ours to the disk below.

In:   the archive's folder, once.  Out: whether its path still leads there, and new folders in it, wherever the path leads by now.

A share can be unmounted, or another one mounted over it, between any two system calls. What a run writes lies in folders that
only its own archive has, so that all else fails by itself then; folders of dates alone would be made anew on what lies there now.
So they are made relative to the handle that was opened at the start, and each group first looks where the path leads.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from harvester.archive import disk
from harvester.errors import StorageError


class Anchor:
    """The open folder. Where the system knows no such thing (Windows), names have to do."""

    def __init__(self, root: Path) -> None:
        """Open the folder. Raises StorageError."""
        self._root = root
        self._handle: int | None = None
        if os.mkdir in os.supports_dir_fd:
            with disk.guarded("open", root):
                self._handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY)

    def check(self) -> None:
        """Raise StorageError when the path leads no more to the folder that was opened. Costs two looks at it, no reading."""
        if self._handle is None:
            return
        with disk.guarded("look at", self._root):
            held = os.fstat(self._handle)
            try:
                found = self._root.stat()
            except (FileNotFoundError, NotADirectoryError):
                found = None
        if found is None or (found.st_dev, found.st_ino) != (held.st_dev, held.st_ino):
            raise StorageError(
                f"the archive at {self._root} was taken away while the run was at work on it, or something else is mounted in "
                "its place; mount the disk or the share again and run again: what is saved stays"
            )

    def make_folders(self, key: str) -> None:
        """Create the folder `key` in the archive and durable entries for each that is new.

        A symbolic link on the way is refused, as `disk.make_folders` does. Raises StorageError.
        """
        if self._handle is None:
            disk.make_folders(self._root, key)
            return
        path = self._root / key
        with disk.guarded("create the folder", path):
            parent = "."
            for name in key.split("/"):
                folder = f"{parent}/{name}"
                if not self._has(folder):
                    with suppress(FileExistsError):
                        os.mkdir(folder, dir_fd=self._handle)
                    self._sync(parent)
                parent = folder

    def sync_file_system(self, size_bytes: int) -> None:
        """Make durable all that was written to the file system since the folder was opened; `size_bytes` says how much is ours.

        Raises StorageError for whatever could not be written meanwhile. For systems with open folders only, and until `close`.
        """
        assert self._handle is not None
        disk.sync_file_system(self._root, self._handle, size_bytes)

    def close(self) -> None:
        """Let the folder go. Once is enough, twice does no harm."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _has(self, key: str) -> bool:
        try:
            found = os.stat(key, dir_fd=self._handle, follow_symlinks=False)
        except FileNotFoundError:
            return False
        disk.refuse_link(self._root / key, found)
        return True

    def _sync(self, key: str) -> None:
        handle = os.open(key, os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._handle)
        try:
            disk.sync_open_folder(handle)
        finally:
            os.close(handle)
