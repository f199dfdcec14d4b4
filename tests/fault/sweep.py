"""How close the sweeps over the calls of a run stand: at every one, or at every few where time is short.

In:   FAULT_STEP in the environment, a whole number; 1 where it is not set.
Out:  at which calls a fault strikes; which values of a test are left to the long part.
"""

import os
from typing import Any

import pytest

STEP = int(os.environ.get("FAULT_STEP", "1"))


def later(*values: object) -> Any:
    """Return values of a parametrized test that are left to the long part, because a sweep there passes over them anyway."""
    return pytest.param(*values, marks=pytest.mark.fault)


def sweep(most: int, step: int = 1) -> range:
    """Return at which of so many calls a fault strikes, the first is 1: at every `step`-th, or fewer still by FAULT_STEP."""
    return range(1, most + 1, step * STEP)
