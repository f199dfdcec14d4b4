"""Run an asynchronous function from the command line.

In:   a function and its arguments.  Out: what it returns.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def run_async(call: Callable[Parameters, Awaitable[Result]], *args: Parameters.args, **_: Parameters.kwargs) -> Result:
    """Run an asynchronous function in an event loop of its own: uvloop where it exists, and memory is not limited."""
    import anyio  # here, because `--help` has no use for it

    return anyio.run(call, *args, backend_options={"use_uvloop": sys.platform != "win32" and not _is_memory_limited()})


def _is_memory_limited() -> bool:
    """Whether this process may be refused memory (`ulimit -v`). Where libuv gets no thread it aborts without a word."""
    if sys.platform == "win32":
        return False
    import resource

    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
