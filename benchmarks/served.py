"""The demo platform as the benchmarks see it: started, asked what it has seen, ended.

In:   a `Spec`.  Out: its address, and the log of its requests.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from harvested import environment
from platform_server import Address, Seen, Spec

SERVER = Path(__file__).with_name("platform_server.py")


class Served:
    """A platform that is being served."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.address = msgspec.json.decode(self._line(), type=Address)

    def seen(self) -> Seen:
        """Return what it has seen since the last time it was asked."""
        if self._process.stdin:
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()
        return msgspec.json.decode(self._line(), type=Seen)

    def _line(self) -> bytes:
        line = self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            raise SystemExit(f"the platform ended with {self._process.wait()}; its lines above tell why")
        return line


@contextmanager
def served(spec: Spec) -> Iterator[Served]:
    """Serve the demo platform in a process of its own for as long as the block lasts."""
    command = [sys.executable, str(SERVER), msgspec.json.encode(spec).decode()]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
    with process:  # leaving it closes stdin, which ends the server, and waits
        yield Served(process)
