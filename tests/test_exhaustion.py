"""Want of memory is told from a bug: one sentence and exit 1, no traceback."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from harvester.exhaustion import NO_MEMORY, PERHAPS_MEMORY, is_want_of_memory

WANTS = {
    "an object": "bytearray(300_000_000)",
    "a thread": "import threading; threading.stack_size(256 * 1024 * 1024); threading.Thread(target=print).start()",
    "a mapping": "import mmap; mmap.mmap(-1, 300_000_000)",
    "in a task": "import anyio; anyio.run(in_task)",
    "what the interpreter lost count of": "raise SystemError('returned NULL without setting an exception')",
    "while something else is dealt with": "wrapped()",
}

PROGRAM = """
import resource, sys
import anyio
from harvester.ending import end_by

async def in_task():
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take)

async def take():
    bytearray(300_000_000)

def wrapped():
    try:
        bytearray(300_000_000)
    except MemoryError:
        raise ValueError("and then")

def command():
    pages = int(open("/proc/self/statm").read().split()[0])
    most = pages * resource.getpagesize() + 100_000_000
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    exec(sys.argv[1])

end_by(command)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads how much memory it has from /proc")
@pytest.mark.parametrize("want", WANTS)
def test_want_of_memory_is_one_sentence(want: str) -> None:
    """Whatever could not be had: the sentence says what to do, and is all that is said."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, WANTS[want]], capture_output=True, check=False)
    assert done.stderr.decode() == f"harvester: {NO_MEMORY}\n"
    assert done.returncode == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads how much memory it has from /proc")
def test_what_may_be_want_of_memory_is_said_to_be_so() -> None:
    """Where memory is limited an error that nobody expected is named, with the limit as what may be behind it."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, "raise ValueError('odd')"], capture_output=True, check=False)
    assert done.stderr.decode() == f"harvester: ValueError: odd; {PERHAPS_MEMORY}\n"
    assert done.returncode == 1


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        ImportError("libcrypto.so.3: failed to map segment from shared object"),
        ExceptionGroup("several", [ValueError("bug"), ExceptionGroup("inner", [MemoryError()])]),
    ],
)
def test_what_says_so_is_want_of_memory(error: BaseException) -> None:
    """A system call, the dynamic loader, one task of many."""
    assert is_want_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        None,
        ValueError("out of memory"),
        OSError(errno.EIO, "I/O"),
        ImportError("no module"),
        RuntimeError("bug"),
        SystemError("bug"),
    ],
)
def test_what_does_not_say_so_is_none(error: BaseException | None) -> None:
    """A bug stays a bug, whatever a row has put into its words."""
    assert not is_want_of_memory(error)


SILENT = """
import resource
from pathlib import Path
from harvester.exhaustion import is_want_of_memory

print(is_want_of_memory(SystemError("error return without exception set")))
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 1_000_000, -1))
print(is_want_of_memory(SystemError("error return without exception set")))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux, which tells how much is taken")
def test_a_failure_without_a_word_is_want_of_memory_where_there_is_none() -> None:
    """A library that was refused memory and does not say so fails with a SystemError: a bug where there is enough."""
    done = subprocess.run([sys.executable, "-c", SILENT], capture_output=True, text=True, check=True)
    assert done.stdout == "False\nTrue\n"
