"""Over how many processes a run may be spread, and whether it is likely to need more than one.

In:   settings, the processors that this process may use, what is installed.  Out: a number, this process counted; yes or no.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from harvester.exhaustion import is_memory_limited
from harvester.platform.smooth import origin_of
from harvester.settings import Settings

MOST_PROCESSES = 4
"""Where the settings do not say: one process lists, names and keeps the ledger, and no more than three can keep it busy."""

CPU_SHARE = Path("/sys/fs/cgroup/cpu.max")
"""How much of the processors a container may use: microseconds, or `max`, of how many (cgroups v2)."""


def has_libcurl() -> bool:
    """Whether the extra is installed without which one process fetches everything."""
    return importlib.util.find_spec("pycurl") is not None


def most_processes(settings: Settings) -> int:
    """Return how many processes may work for a run.

    It is one where the bandwidth is shared out or memory is limited, which would have to be divided among them.
    """
    usable = (
        has_libcurl()
        and origin_of(f"{settings.base_url}/") is not None
        and settings.bandwidth is None
        and sys.platform != "win32"
        and not is_memory_limited()
    )
    return settings.processes or usual_processes() if usable else 1


def is_likely(settings: Settings, *, is_first: bool) -> bool:
    """Whether a run will most likely have so much to fetch that one process is not enough: the first of an archive, as a rule."""
    fetches = settings.recordings and not settings.dry_run and settings.limit is None and settings.workers != 1
    return is_first and fetches and most_processes(settings) > 1


def usual_processes(cpu_share: Path = CPU_SHARE) -> int:
    """Return how many processes a run may be spread over, by the processors that this one may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        share = cpu_share.read_text()
    except OSError:
        share = ""
    permitted = permitted_cores(share)
    return max(1, min(cores if permitted is None else permitted, cores, MOST_PROCESSES))


def permitted_cores(share: str) -> int | None:
    """Read `cpu.max`; return how many whole processors it permits, None where it sets no limit or cannot be read."""
    most, _, of = share.partition(" ")
    return int(most) // int(of) if most.isdecimal() and of.strip().isdecimal() and int(of) else None
