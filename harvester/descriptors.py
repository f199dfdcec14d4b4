"""How many calls can be settled at the same time within the limit on open files (`ulimit -n`).

In:   how many were asked for.  Out: how many there will be, with a warning where these are fewer; or ConfigError.

Connections count as open files. A system may allow 256 of them where 256 workers want three each; who runs into the limit
can open neither a connection nor a file any more. So the limit is raised as far as the system lets us, and no further than
is needed; where that is not enough there are fewer workers, and the account says so. Where not even one would have its files
the run does not begin: it would end with *too many open files* somewhere in the middle. Windows has no such limit.
"""

from __future__ import annotations

import contextlib
import sys

from harvester.errors import ConfigError

EACH_WORKER = 3
"""Its connection to a recording's server, the file that takes a large recording, and its own connection to the API when it asks
for a fresh link."""

RESERVED = 64
"""Everything else: streams, log, locks, checkpoint, ledger, folders, the event loop, names being looked up, several addresses of
a name that are tried at once, and as much again. Measured: a run with one worker and one page in flight held 24."""


def afforded(workers: int, pages_in_flight: int) -> tuple[int, list[str]]:
    """Return how many of so many workers there can be, with a warning where these are fewer. May lift the process's limit.

    Raises ConfigError where there is not room for a single one.
    """
    return workers_within(_limit_for(needed(workers, pages_in_flight)), workers, pages_in_flight)


def needed(workers: int, pages_in_flight: int) -> int:
    """Return how many open files a run may need."""
    return RESERVED + pages_in_flight + EACH_WORKER * workers


def workers_within(limit: int | None, workers: int, pages_in_flight: int) -> tuple[int, list[str]]:
    """Return how many workers a limit leaves, at least one, with a warning. `limit`: a count of open files, None for none.

    Raises ConfigError where there is not room for a single one.
    """
    if limit is None or needed(workers, pages_in_flight) <= limit:
        return workers, []
    fewer = (limit - RESERVED - pages_in_flight) // EACH_WORKER
    if fewer < 1:
        raise ConfigError(
            f"this process may open {limit:,} files; with {pages_in_flight} pages in flight at least "
            f"{needed(1, pages_in_flight):,} are needed (ulimit -n)"
        )
    return fewer, [
        f"this process may open {limit:,} files, so that {fewer} instead of {workers} calls are settled at the same time; "
        f"allow it {needed(workers, pages_in_flight):,} (ulimit -n) to settle so many"
    ]


def _limit_for(most: int) -> int | None:
    """Return the limit on open files, raised to `most` where it is lower and may be; None: there is none."""
    if sys.platform == "win32":
        return None
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    if soft < most:
        wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS: more than the kernel's own limit for a process
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return soft
