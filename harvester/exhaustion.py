"""Tell want of memory from a bug.

In:   an error that nobody expected.  Out: whether it says that there is no memory, and the sentence for it.

Memory that is refused (`ulimit -v`, a machine that promises no more than it has) shows as whatever was to be had just then: an
object, a thread, a library, room for a system call. None of it is a bug, and a traceback would say nothing.
"""

from __future__ import annotations

import errno
import sys

if sys.platform != "win32":
    import resource  # now: later there may be no memory for it

NO_MEMORY = (
    "there is not enough memory; give the process or the machine more (ulimit -v, the limit of the container or service), "
    "or lower --workers, and run again: what is saved stays"
)

PERHAPS_MEMORY = (
    "this was not expected, and may be for want of memory, which is limited for this process (ulimit -v); give it more, and "
    "report it should it come again: what is saved stays"
)

_SIGNS = (
    "can't start new thread",
    "failed to map segment",
    "cannot allocate memory",
    "unable to allocate",
    "out of memory",
)
"""How the interpreter, the dynamic loader and libraries put it (CPython `_thread`, glibc `dl-load.c`), in small letters."""


def is_memory_limited() -> bool:
    """Whether this process may be refused memory (`ulimit -v`)."""
    if sys.platform == "win32":
        return False
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def is_want_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it comes from or consists of, says that memory was refused."""
    if error is None:
        return False
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if isinstance(error, BaseExceptionGroup) and any(map(is_want_of_memory, error.exceptions)):
        return True
    if isinstance(error, SystemError) and is_memory_limited():  # who fails without a word was refused memory then
        return True
    if isinstance(error, RuntimeError | ImportError | OSError) and any(sign in str(error).lower() for sign in _SIGNS):
        return True
    return is_want_of_memory(error.__cause__ or error.__context__)
