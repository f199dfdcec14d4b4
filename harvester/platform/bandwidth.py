"""How fast recordings may come in, all workers together.

In:   bytes received.  Out: seconds to pause before reading on.

A bucket that fills at the permitted rate and holds one second's worth; reading may overdraw it by one chunk and then waits until
it is level again. Not reading fills the socket's buffers, and TCP slows the sender down.
"""

from __future__ import annotations

import anyio


class Bandwidth:
    """A limit in bytes per second that is shared by everything that spends from it; None is no limit."""

    def __init__(self, bytes_per_second: int | None) -> None:
        self._rate = bytes_per_second
        self._level_bytes = float(bytes_per_second or 0)
        self._at: float | None = None

    def pause_seconds(self, received_bytes: int, now: float) -> float:
        """Spend `received_bytes` at `now` (monotonic seconds); return how long to wait before the next read."""
        if self._rate is None:
            return 0.0
        if self._at is not None:
            self._level_bytes = min(float(self._rate), self._level_bytes + (now - self._at) * self._rate)
        self._at = now
        self._level_bytes -= received_bytes
        return max(0.0, -self._level_bytes / self._rate)

    async def spend(self, received_bytes: int) -> None:
        """Spend and wait."""
        if self._rate is not None and (pause := self.pause_seconds(received_bytes, anyio.current_time())) > 0:
            await anyio.sleep(pause)
