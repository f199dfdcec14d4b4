"""How the process begins, called as `harvester` or as `python -m harvester`.

In:   arguments.  Out: what harvester/cli.py makes of them.
"""

from __future__ import annotations

import gc
import signal
import sys

OBJECTS_OF_MODULES = 200_000
"""More than all that a command imports, some 80,000. Python would look for cycles among them fifty times, for 14 ms of a run
that takes a quarter of a second; they all stay to the end."""


def main() -> None:
    """Run the command line."""
    gc.set_threshold(OBJECTS_OF_MODULES)
    try:
        from harvester import cli  # here, because nearly all that a command imports begins with it
    except KeyboardInterrupt:
        print("harvester: interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    cli.main()


if __name__ == "__main__":
    main()
