"""Run `harvester run` as a user would, and watch its memory and its CPU time from outside.

In:   the platform's address, a folder, flags.  Out: a `Harvest`: how it ended, and samples of its process.

What is read of the process lies in /proc, so this is for Linux. A sample costs the harvester nothing: the kernel keeps these
figures anyway.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[1]
RUNNER = Path(__file__).with_name("runner.py")
"""Stands between: started by this process itself, the harvester would be told this one's highest memory as its own."""

STATE = "state"
ARCHIVE = "archive"

SAMPLES_PER_SECOND = 10
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """The process at one instant. `at` is in seconds of the day's clock, as the ledger's lines are."""

    at: float
    resident_bytes: int
    cpu_seconds: float


class Harvest(msgspec.Struct, frozen=True, kw_only=True):
    """One run, from the start of its process to its end. `started_at` and `ended_at` are in monotonic seconds."""

    account: dict[str, Any]
    started_at: float
    ended_at: float
    cpu_seconds: float  # user and system, start-up of the interpreter included
    peak_bytes: int  # the kernel's own high-water mark of the resident memory
    samples: list[Sample]

    @property
    def wall_seconds(self) -> float:
        """How long it took on the clock."""
        return self.ended_at - self.started_at


def environment(**settings: str) -> dict[str, str]:
    """Return the environment for a process that runs the code beside this folder; `settings` are harvester's, in lower case."""
    named = {f"HARVESTER_{name.upper()}": value for name, value in settings.items()}
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **named}


def harvest(
    folder: Path, base_url: str, key: str, *flags: str, ca_file: Path | None = None, **settings: str
) -> Harvest:
    """Run once, into `folder`/archive; `ca_file` is what trusts the platform's certificate.

    SystemExit with the last lines that it said unless it ends with 0.
    """
    report, log, figures = folder / "report.json", folder / "said.txt", folder / "figures.json"
    command = [sys.executable, "-m", "harvester", "run", "--report-json", str(report), *flags]
    variables = environment(
        base_url=base_url,
        api_key=key,
        archive=str(folder / ARCHIVE),
        state_folder=str(folder / STATE),
        allow_private_hosts="yes",
        **settings,
    ) | ({"SSL_CERT_FILE": str(ca_file)} if ca_file else {})
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(RUNNER), str(figures), *command],
            stdout=said,
            stderr=said,
            env=variables | {"HOME": str(folder)},
            cwd=folder,
            start_new_session=True,
        )
        watch = Watch(process.pid)
        watch.start()
        try:
            process.wait()
        except BaseException:  # such as Ctrl-C: a run over a million calls would go on alone
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        watch.stop()
    if process.returncode:
        raise SystemExit(f"harvester run ended with {process.returncode}:\n{log.read_text()[-2000:]}")
    cost = json.loads(figures.read_bytes())
    return Harvest(
        account=json.loads(report.read_bytes()),
        started_at=cost["started_at"],
        ended_at=cost["started_at"] + cost["wall_seconds"],
        cpu_seconds=cost["user_seconds"] + cost["system_seconds"],
        peak_bytes=cost["peak_bytes"],
        samples=watch.samples,
    )


class Watch(threading.Thread):
    """Samples the only child of a process, until it is told to stop."""

    def __init__(self, runner: int) -> None:
        """`runner` is the id of the process; it may not have begun its child yet."""
        super().__init__(daemon=True)
        self.samples: list[Sample] = []
        self._children = Path(f"/proc/{runner}/task/{runner}/children")
        self._stopped = threading.Event()

    def run(self) -> None:
        """Take samples."""
        while not self._stopped.wait(1 / SAMPLES_PER_SECOND):
            try:
                if child := self._children.read_text().split():
                    self.samples.append(_sample(Path("/proc") / child[0]))
            except (OSError, ValueError, IndexError):  # it has ended
                return

    def stop(self) -> None:
        """End the watch."""
        self._stopped.set()
        self.join()


def _sample(process: Path) -> Sample:
    resident_pages = int((process / "statm").read_text().split()[1])
    behind_name = (process / "stat").read_text().rpartition(")")[2].split()
    ticks = int(behind_name[11]) + int(behind_name[12])  # utime and stime: proc(5), fields 14 and 15
    return Sample(
        at=time.time(),
        resident_bytes=resident_pages * os.sysconf("SC_PAGE_SIZE"),
        cpu_seconds=ticks / TICKS_PER_SECOND,
    )
