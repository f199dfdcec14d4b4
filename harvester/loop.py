"""Run an asynchronous function from the command line.

In:   a function and its arguments.  Out: what it returns.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from harvester.exhaustion import is_memory_limited

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def run_async(call: Callable[Parameters, Awaitable[Result]], *args: Parameters.args, **_: Parameters.kwargs) -> Result:
    """Run an asynchronous function in an event loop of its own: uvloop where it exists, and memory is not limited.

    Where libuv gets no thread it aborts the process without a word.
    """
    import anyio  # here, because `--help` has no use for it

    return anyio.run(call, *args, backend_options={"use_uvloop": sys.platform != "win32" and not is_memory_limited()})
