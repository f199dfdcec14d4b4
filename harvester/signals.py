"""Signals that end a run: the first lets it end in order, the second ends the process on the spot.

In:   SIGINT, SIGTERM, SIGHUP.  Out: the number of the first one, and a call of `stop`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import anyio


class Signals:
    """Watches for signals; `received` is the number of the first one, None as long as there was none."""

    def __init__(self) -> None:
        self.received: int | None = None

    async def watch(self, stop: Callable[[], None], say: Callable[[str], None]) -> None:
        """Call `stop` at the first signal, and tell a person by `say`. Returns at once on Windows."""
        if os.name == "nt":
            return
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async for number in signals:
                if self.received is not None:
                    say("stopped; the next run mends what is open")
                    os._exit(128 + number)
                self.received = number
                say(f"{signal.Signals(number).name}: finishing what is in flight; once more stops at once")
                stop()
