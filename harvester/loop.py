"""Run an asynchronous function from the command line.

In:   a function and its arguments.  Out: what it returns.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from harvester.exhaustion import is_memory_limited

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

OBJECTS_BETWEEN_COLLECTIONS = 20_000
"""Python looks for cycles among what was made after every 700 objects, a dozen times a call, and finds next to none:
3 % of the time of a run over small recordings."""


def run_async(
    call: Callable[Parameters, Awaitable[Result]], *args: Parameters.args, **named: Parameters.kwargs
) -> Result:
    """Run an asynchronous function in an event loop of its own: uvloop where it exists, and memory is not limited.

    Where libuv gets no thread it aborts the process without a word. Python's search for cycles is told to come seldom.
    """
    import anyio  # here, because `--help` has no use for it

    async def begun() -> Result:
        coming = call(*args, **named)  # which may import what it needs
        gc.freeze()  # what was imported stays to the end
        gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
        return await coming

    return anyio.run(begun, backend_options={"use_uvloop": sys.platform != "win32" and not is_memory_limited()})
