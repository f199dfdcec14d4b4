"""Where a bundle is to lie, and the folder beside it in which it is made.

In:   what was typed.  Out: a place that is free and lies outside the archive; whole, or untouched.

The folder beside it is locked while an export is at work on it. One that an export which was killed has left is removed by the
next export to the same target; nobody takes it for a bundle.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harvester.archive import disk, steps
from harvester.errors import ConfigError, LockedError, StorageError

PART = ".harvester-part"
ZIP = ".zip"


class Target:
    """A place for a bundle."""

    def __init__(self, typed: Path, archive: Path, *, as_zip: bool) -> None:
        """Look whether the place will do. Raises ConfigError that says why not, StorageError."""
        named = typed.with_name(typed.name + ZIP) if as_zip and typed.suffix.lower() != ZIP else typed
        with steps.step("look at", named), disk.guarded("look at", named):
            self.path = named.resolve()
            inside = self.path.is_relative_to(archive.resolve())
        if inside:
            raise ConfigError(
                f"{named} lies in the archive, which holds nothing but what it archives; name another place"
            )
        with disk.guarded("look at", self.path):
            if not self.path.parent.is_dir():
                raise ConfigError(f"there is no folder {self.path.parent} to put the bundle into; create it first")
            if self.path.exists() and (as_zip or not self.path.is_dir()):
                raise ConfigError(f"{named} is there already, and is never written over; name a place that is free")
            if self.path.exists() and any(self.path.iterdir()):
                raise ConfigError(f"the folder {named} is not empty; name one that is, or one that does not exist yet")
        self.part = self.path.with_name(self.path.name + PART)

    def check_room(self, size_bytes: int) -> None:
        """Raise StorageError when a bundle of so many bytes has no room there."""
        free = disk.space_bytes(self.path.parent)[1]
        if free < size_bytes:
            raise StorageError(
                f"the bundle has {size_bytes:,} bytes and more, and only {free:,} are free at {self.path.parent}; "
                "make room, or name a place on another disk"
            )

    @contextmanager
    def being_made(self) -> Iterator[Path]:
        """Give a path for the bundle while it is made; when the block has ended well it has its name, durably, else it is gone.

        Raises LockedError when another export is at work on the same target, StorageError.
        """
        if disk.exists(self.part):
            with disk.locked(self.part) as free:
                if not free:
                    raise LockedError(f"another export to {self.path} is at work; wait for it to end, or stop it first")
                disk.remove_tree(self.part)
        with disk.guarded("create the folder", self.part):
            self.part.mkdir(mode=0o700)
        try:
            with disk.locked(self.part):
                made = self.part / "bundle"
                yield made
                self._give_name(made)
        finally:
            disk.remove_tree(self.part)
        disk.sync_folder(self.path.parent)

    def _give_name(self, made: Path) -> None:
        """Put the bundle in place. What has come there meanwhile is not written over; an empty folder lends it its rights."""
        if made.is_dir() and self.path.is_dir():
            with disk.guarded("rename to", self.path):
                made.chmod(self.path.stat().st_mode & 0o7777)
                os.replace(made, self.path)  # noqa: PTH105 - a folder that is not empty is an error of the system
            return
        disk.give_name(made, self.path)
