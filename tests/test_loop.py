"""Running an asynchronous function from the command line."""

import subprocess
import sys

ASKED = """
import gc, harvester.loop
async def found(): return gc.get_threshold()[0], gc.get_freeze_count() > 1000
print(*harvester.loop.run_async(found))
"""


def test_python_seldom_looks_for_cycles() -> None:
    """What was imported is left out, and what a run makes is looked through once in some hundred calls."""
    done = subprocess.run([sys.executable, "-c", ASKED], check=True, capture_output=True)
    assert done.stdout.split() == [b"20000", b"True"]
