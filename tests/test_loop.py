"""Running an asynchronous function from the command line."""

import subprocess
import sys
from pathlib import Path

ASKED = """
import gc, harvester.loop
def call():
    call.made = [[] for _ in range(100_000)]
    return found()
async def found(): return gc.get_threshold()[0], gc.get_freeze_count() > 100_000
print(*harvester.loop.run_async(call))
"""


def test_python_seldom_looks_for_cycles() -> None:
    """What was imported, also as the function was called, is left out; what a run makes is looked through now and then."""
    done = subprocess.run([sys.executable, "-c", ASKED], check=True, capture_output=True)
    assert done.stdout.split() == [b"20000", b"True"]


LOADED = """
import gc
from harvester.__main__ import main
gc.callbacks.append(lambda *_: print("looked"))
main()
"""


def test_python_looks_for_no_cycles_while_a_command_is_loaded(tmp_path: Path) -> None:
    """All that is imported stays; a run without a key ends just before it would be at work."""
    command = [sys.executable, "-c", LOADED, "run", "--archive", str(tmp_path / "calls")]
    done = subprocess.run(command, cwd=tmp_path, env={"HOME": str(tmp_path)}, check=False, capture_output=True)
    assert b"no API key" in done.stderr
    assert done.stdout == b""
