"""Run one command and say what it and all its children have cost.

In:   a file for the figures, then the command.  Out: JSON: monotonic start, seconds, CPU seconds, bytes; its exit code.

It is a process of its own, and a small one: the kernel counts the memory of whoever starts a process as that process's own
highest, and what it has waited for before as its children's.
"""

import json
import os
import sys
import time

KIB = 1024

if __name__ == "__main__":
    figures, *command = sys.argv[1:]
    started_at = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)  # of the process and of all that it has waited for, and so on down the tree
    wall_seconds = time.monotonic() - started_at
    with open(figures, "w") as file:  # noqa: PTH123 (pathlib would make this process larger)
        json.dump(
            {
                "started_at": started_at,
                "wall_seconds": wall_seconds,
                "user_seconds": usage.ru_utime,
                "system_seconds": usage.ru_stime,
                "peak_bytes": usage.ru_maxrss * KIB,
            },
            file,
        )
    sys.exit(abs(os.waitstatus_to_exitcode(status)))
