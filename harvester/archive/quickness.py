"""Whether the disk is quick enough that the event loop itself may write small files.

In:   on what the archive lies, and how long writing has taken.  Out: whether the next small files are written at once.

A hop to a thread costs some 70 us, and more while both sides want the interpreter; creating a call's three files on a local disk
without waiting for it costs about as much. So they are written at once where that is quick: on a file system of
this machine's own, and as long as the clock agrees. A share may hang, and then must hang a thread and never the loop.
"""

from __future__ import annotations

USUAL_SECONDS = 0.001
"""What writing one call's files may take on average: ten times what it does on a disk without other work."""

USUAL_SECONDS_PER_BYTE = 1e-8
"""What it may take besides for its recording: 10 ms a MiB, ten times what hashing and writing it into memory does."""

LONGEST_SECONDS = 0.1
"""What it may take beyond that, once or added up: a busy machine lets a process wait some milliseconds now and then."""

CALLS_BY_THREAD = 500
"""Calls after a slow one that are written by threads; then the loop tries again."""

SMALL_BYTES = 256 * 1024
"""Larger recordings are hashed and written by a thread: both let the interpreter go meanwhile."""

HELPED_BYTES = 2 * 1024 * 1024
"""The same where other processes fetch besides. They keep the other processors busy, and a thread would only contend with the
loop over the interpreter."""


class Quickness:
    """Decides for one run. Called from several threads; a decision that is one call late does no harm."""

    def __init__(self, *, local: bool) -> None:
        self._local = local
        self._by_thread = 0
        self._left_seconds = LONGEST_SECONDS

    def permits(self, size_bytes: int, *, helped: bool = False) -> bool:
        """Whether the loop may write a call whose recording has so many bytes; `helped`: other processes fetch besides."""
        return self._local and not self._by_thread and size_bytes <= (HELPED_BYTES if helped else SMALL_BYTES)

    def took(self, seconds: float, size_bytes: int = 0) -> None:
        """Count the time that one call's files took, whose recording has so many bytes."""
        if self._by_thread:
            self._by_thread -= 1
        else:
            self._count(USUAL_SECONDS + size_bytes * USUAL_SECONDS_PER_BYTE - seconds)

    def named(self, seconds: float, calls: int) -> None:
        """Count the time that naming the files of so many calls took, which the loop does as well."""
        if not self._by_thread:
            self._count(calls * USUAL_SECONDS - seconds)

    def _count(self, saved_seconds: float) -> None:
        self._left_seconds = min(LONGEST_SECONDS, self._left_seconds + saved_seconds)
        if self._left_seconds < 0:
            self._by_thread, self._left_seconds = CALLS_BY_THREAD, LONGEST_SECONDS
