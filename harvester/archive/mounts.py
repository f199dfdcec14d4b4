"""On what kind of file system a folder lies: a local disk, a share, or something that does not last.

In:   a path, and Linux's list of mounts.  Out: `Mount`, or None where the system tells nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePath

import msgspec

MOUNTS = Path("/proc/self/mountinfo")
OPEN_FILES = Path("/proc/self/fdinfo")

SHARES = frozenset(
    [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "smb3",
        "smbfs",
        "vboxsf",
    ]
)
"""Types of file systems that lie on another machine, as mount(8) and the kernel name them."""

MEMORY = frozenset({"tmpfs", "ramfs"})
LAYERS = frozenset({"overlay", "aufs"})
"""What containers have as their root: it goes when the container goes."""


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """One mounted file system."""

    point: str
    type: str  # as the kernel names it
    source: str  # a device, or host:/folder

    @property
    def is_share(self) -> bool:
        """Whether it lies on another machine."""
        return self.type in SHARES

    @property
    def is_program(self) -> bool:
        """Whether a program stands between it and the kernel (FUSE): what that does with fsync and locks is its affair."""
        return self.type.partition(".")[0] == "fuse"

    def __str__(self) -> str:
        """Say it in a few words."""
        return f"{self.type} of {self.source} on {self.point}"


def read_mount(path: Path) -> Mount | None:
    """Return the mount on which an existing path lies; None where the system does not tell (it is not Linux)."""
    try:
        text = MOUNTS.read_bytes().decode("utf-8", "surrogateescape")
        real = path.resolve()
    except OSError:
        return None
    number = _mount_number(real)
    by_number = next((mount for each, mount in _mounts_in(text) if each == number), None)
    return by_number or mount_of(real, text)


def _mount_number(path: Path) -> str | None:
    """Return the number of the mount through which a path is reached: by its name alone one that is hidden looks the same."""
    with suppress(OSError, AttributeError):  # O_PATH is Linux's
        handle = os.open(path, os.O_PATH)
        try:
            found = re.search(r"^mnt_id:\s*(\d+)$", (OPEN_FILES / str(handle)).read_text(), re.MULTILINE)
            return found[1] if found else None
        finally:
            os.close(handle)
    return None


def mount_of(path: PurePath, mountinfo: str) -> Mount | None:
    """Find an absolute path in the text of /proc/self/mountinfo (proc(5)): the nearest point holds it, of two the later one."""
    found = None
    for _, mount in _mounts_in(mountinfo):
        if path.is_relative_to(mount.point) and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def _mounts_in(mountinfo: str) -> Iterator[tuple[str, Mount]]:
    """Yield each mount with its number."""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, behind = left.split(" "), right.split(" ")
        if len(fields) >= 5 and len(behind) >= 2:
            yield fields[0], Mount(point=_plain(fields[4]), type=behind[0], source=_plain(behind[1]))


def _plain(field: str) -> str:
    r"""Undo the kernel's escapes: a space in a name stands as \040."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), field)
