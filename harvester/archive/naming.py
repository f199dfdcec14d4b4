"""Give a file a name that nothing has yet.

In:   the path of the file, and the one that it is to have.  Out: the file there, or FileExistsError.

Linux does it in one step (renameat2(2) with RENAME_NOREPLACE, since 3.15): of two who give the same name at the same time, one
is refused, and nothing is ever written over. Where the file system does not know that (many shares), or the system has no such
call, it is looked first and then renamed.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import sys
from pathlib import Path

AT_FDCWD = -100
"""In place of an open folder: paths are those of the process (openat(2))."""

RENAME_NOREPLACE = 1

UNKNOWN = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
"""What is answered where the flag, or the call, is not known."""


def name_new(path: Path | str, name: Path | str) -> None:
    """Give the file at `path` its `name`, a path on the same file system. Raises FileExistsError, OSError."""
    rename = _renameat2()
    if rename is not None:
        if not rename(AT_FDCWD, os.fsencode(path), AT_FDCWD, os.fsencode(name), RENAME_NOREPLACE):
            return
        code = ctypes.get_errno()
        if code not in UNKNOWN:
            raise OSError(code, os.strerror(code), str(name))
    try:
        os.lstat(name)
    except FileNotFoundError:
        os.rename(path, name)  # noqa: PTH104 - a Path for each file of an archive is a tenth of its time
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(name))


@functools.cache
def _renameat2() -> ctypes._NamedFuncPointer | None:
    if not sys.platform.startswith("linux"):
        return None
    function: ctypes._NamedFuncPointer | None = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return function
