"""On what kind of file system a folder lies: a local disk, a share, or something that does not last.

In:   a path, and Linux's list of mounts.  Out: `Mount`, or None where the system tells nothing.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePath

import msgspec

MOUNTS = Path("/proc/self/mountinfo")

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
        return mount_of(path.resolve(), text)
    except OSError:
        return None


def mount_of(path: PurePath, mountinfo: str) -> Mount | None:
    """Find an absolute path in the text of /proc/self/mountinfo (proc(5)): the nearest point holds it, of two the later one."""
    found = None
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, behind = left.split(" "), right.split(" ")
        if len(fields) < 5 or len(behind) < 2:
            continue
        point = _plain(fields[4])
        if path.is_relative_to(point) and (found is None or len(point) >= len(found.point)):
            found = Mount(point=point, type=behind[0], source=_plain(behind[1]))
    return found


def _plain(field: str) -> str:
    r"""Undo the kernel's escapes: a space in a name stands as \040."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), field)
