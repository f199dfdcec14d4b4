"""Mount a file system that fails on order, and give it orders.

In:   what is to go wrong.  Out: the same folder twice: as harvester is told of it, and as it really is.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fault.orders import WRITING

ROOT = Path(__file__).parents[2]
MISSING = (
    None
    if shutil.which("fusermount3") and Path("/dev/fuse").exists() and os.geteuid() == 0
    else "needs root, /dev/fuse and fuse3, which .ci/run installs"
)
"""Why tests with it cannot run here, or None."""


class Fuse:
    """The file system while it is mounted: `told` is the folder that fails, `plain` the one below, which never does."""

    def __init__(self, folder: Path, traits: tuple[str, ...]) -> None:
        self.told, self.plain, self.notes = (folder / name for name in ("share", "below", "notes"))
        self._traits = traits
        for each in (self.told, self.plain, self.notes):
            each.mkdir()

    def order(
        self,
        do: str | int,
        *requests: str,
        path: str = "",
        when: int = 1,
        times: int | None = None,
    ) -> None:
        """From now on do so to the request number `when` of those whose path the pattern is found in, and `times` in all."""
        order = {"do": do, "requests": requests or WRITING, "path": path, "when": when, "times": times}
        part = self.notes / "orders.part"
        part.write_text(json.dumps(order))
        part.rename(self.notes / "orders.json")

    def calm(self) -> None:
        """From now on nothing goes wrong."""
        (self.notes / "orders.json").unlink(missing_ok=True)

    def asked(self, *requests: str) -> int:
        """Return how many of these requests there have been."""
        return sum(request in (requests or WRITING) for request, _ in self.requests())

    def requests(self) -> list[tuple[str, str]]:
        """Return every request that there has been, with its path."""
        return [
            (line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in (self.notes / "asked").read_text().splitlines()
        ]

    def serve(self) -> None:
        """Mount it, and wait until it is there."""
        command = [sys.executable, "-m", "tests.fault.passthrough", self.plain, self.told, self.notes, *self._traits]
        self._serving = subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE)
        assert self._serving.stdout
        assert self._serving.stdout.readline() == b"ready\n"

    def end(self) -> None:
        """Unmount it."""
        subprocess.run(["umount", "-l", str(self.told)], check=True)
        with self._serving:
            self._serving.wait()


@contextmanager
def mounted(folder: Path, *traits: str) -> Iterator[Fuse]:
    """Mount it below a folder for the block."""
    fuse = Fuse(folder, traits)
    fuse.serve()
    try:
        yield fuse
    finally:
        fuse.end()
