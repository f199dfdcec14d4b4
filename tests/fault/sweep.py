"""How close the sweeps over the calls of a run stand: at every one, or at every few where time is short.

In:   FAULT_STEP in the environment, a whole number; 1 where it is not set.  Out: at which calls a fault strikes.
"""

import os

STEP = int(os.environ.get("FAULT_STEP", "1"))


def sweep(most: int, step: int = 1) -> range:
    """Return at which of so many calls a fault strikes, the first is 1: at every `step`-th, or fewer still by FAULT_STEP."""
    return range(1, most + 1, step * STEP)
