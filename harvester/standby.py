"""A process that can become a porter: how it begins, and how it ends.

In:   the interpreter, and where it finds modules.  Out: a process with a socket to it, on which it waits for its terms.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class Standby:
    """A process on standby: it has loaded what a porter needs, or soon will, and ends when `socket` does."""

    def __init__(self) -> None:
        """Begin it. Raises OSError."""
        self.socket, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "harvester.porter"],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.DEVNULL,
                    env=_environment(),
                    start_new_session=True,  # a Ctrl-C is for the run
                )
            except BaseException:
                self.socket.close()
                raise

    def kill(self) -> None:
        """End it; it may take a moment, and more where it writes to a storage that hangs."""
        self._process.kill()

    def gone(self) -> None:
        """Wait until it has ended. Blocks."""
        self._process.wait()

    def close(self) -> None:
        """Give up the socket to it. An event loop never wakes who waits at one that is closed meanwhile."""
        self.socket.close()


@contextmanager
def on_standby(*, is_wanted: bool) -> Iterator[Standby | None]:
    """Yield one that has begun, if it is wanted; it ends with the block, whether it was called or not.

    It takes a tenth of a second to load what it needs. So long a run itself loads what it needs, on one processor: whoever
    begins before is there when it is called.
    """
    try:
        standby = Standby() if is_wanted else None
    except OSError:  # whoever needs one tries again, and tells what came of it
        standby = None
    try:
        yield standby
    finally:
        if standby:
            standby.kill()
            standby.gone()
            standby.close()


def _environment() -> dict[str, str]:
    """Return what a porter inherits: everything but our own settings, the key among them, and where modules are found."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HARVESTER_")}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
