"""Whether the disk is quick enough that the event loop itself may write small files.

In:   on what the archive lies, and how long writing has taken.  Out: whether the next small files are written at once.

A hop to a thread costs some 70 us, and more while both sides want the interpreter; creating a call's three files on a local disk
without waiting for it costs about as much. So they are written at once where that is quick: on a file system of
this machine's own, and as long as the clock agrees. A share may hang, and then must hang a thread and never the loop.
"""

from __future__ import annotations

SLOW_SECONDS = 0.02
"""What writing one call's files may take: a hundred times the usual; beyond it the disk has other work to do."""

CALLS_BY_THREAD = 500
"""Calls after a slow one that are written by threads; then the loop tries again."""

SMALL_BYTES = 256 * 1024
"""Larger recordings are hashed and written by a thread in any case: both let the interpreter go meanwhile."""


class Quickness:
    """Decides for one run. Called from several threads; a decision that is one call late does no harm."""

    def __init__(self, *, local: bool) -> None:
        self._local = local
        self._by_thread = 0

    def permits(self, size_bytes: int) -> bool:
        """Whether the loop may write a call whose recording has so many bytes."""
        return self._local and not self._by_thread and size_bytes <= SMALL_BYTES

    def took(self, seconds: float) -> None:
        """Count the time that one call's files took."""
        if seconds > SLOW_SECONDS:
            self._by_thread = CALLS_BY_THREAD
        elif self._by_thread:
            self._by_thread -= 1
