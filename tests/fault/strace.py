"""Let system calls of a run fail, or kill it at one of them: strace does it, in the kernel's own place.

In:   which call, which of them, what happens.  Out: how the run ended, and whether it came to that.

strace counts the calls of each thread by itself. So "the Nth" is that of whichever thread first comes so far, and of every other
one that comes so far later.
"""

import re
import shutil
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from harvester.archive.durability import Durability
from tests.fault.scene import Ended, Scene

MISSING = None if shutil.which("strace") else "needs strace, which .ci/run installs"
"""Why tests with it cannot run here, or None."""

CALL = re.compile(r"^(\d+) +(\w+)\(")


class Traced(msgspec.Struct, frozen=True, kw_only=True):
    """A run under strace. `lines` are those of the trace that tell of calls."""

    ended: Ended
    lines: list[str]

    @property
    def struck(self) -> bool:
        """Whether the fault was met."""
        return any("(INJECTED)" in line or "+++ killed by SIGKILL" in line for line in self.lines)

    def most(self, call: str = "") -> int:
        """Return how many calls of one name, or of this one, the busiest thread made."""
        found = (CALL.match(line) for line in self.lines)
        counts = Counter(each.groups() for each in found if each and each[2].startswith(call))
        return max(counts.values(), default=0)


def skip_unless_called(call: str, folder: Path) -> None:
    """Skip the test where a run on a folder never makes a call: `syncfs` is for disks of this machine."""
    if call == "syncfs" and not Durability.on(folder).gathers:
        pytest.skip("needs a folder on a disk of this machine, and Linux 5.17")


async def traced(
    scene: Scene,
    calls: str,
    inject: str | None = None,
    paths: tuple[Path, ...] = (),
    arguments: tuple[str, ...] = (),
    only: str | None = None,
) -> Traced:
    """Run under strace. `calls` are names or, behind a slash, a pattern of names; `inject` is strace's own form, such as
    `error=EIO:when=3`; `paths` limit all to calls on these files, and `only` what is injected to some of the calls.
    """
    trace = scene.folder / "trace"
    line = before(trace, calls, inject, paths, only)
    ended = await scene.ends(*arguments, before=line)
    return Traced(ended=ended, lines=trace.read_text().splitlines())


def before(
    trace: Path, calls: str, inject: str | None, paths: tuple[Path, ...] = (), only: str | None = None
) -> tuple[str, ...]:
    """Return what stands before a command line that strace is to run."""
    line: tuple[str, ...] = ("strace", "-f", "-y", "-qq", "-o", str(trace), "-e", f"trace={calls}")
    if inject:
        line += ("-e", f"inject={only or calls}:{inject}")
    return (*line, *(part for path in paths for part in ("-P", str(path))))
