"""Run contestants alternately over one site, and compare them.

In:   contestants, a `Site`, a folder, how many rounds.  Out: `Run`s by contestant; medians and ratios of them.

In each round every contestant runs once; where it comes in the order changes from round to round. A ratio is the median of the
ratios of each round, so that a change in the machine's load that lasts a round weighs on both sides.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from contestants import Contestant
from nginx_site import Site
from outcome import check, expected_of

RUNNER = Path(__file__).with_name("runner.py")
WORK = "work"
"""Where a contestant writes, beside what is measured of it."""

MOST_SECONDS = 1800
"""A run that takes longer hangs, as wget2 1.99 was seen to do when it read its list from a pipe."""

GIGABYTE = 1e9


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One contestant's run. CPU is that of its processes together; memory that of the largest of them."""

    wall_seconds: float
    user_seconds: float
    system_seconds: float
    peak_bytes: int
    nginx_seconds: float = 0.0

    @property
    def cpu_seconds(self) -> float:
        """User and system."""
        return self.user_seconds + self.system_seconds


Runs = dict[str, list[Run]]


def rounds(
    contestants: Sequence[Contestant],
    site: Site,
    folder: Path,
    *,
    times: int,
    pythons: dict[str, str],
    say: Callable[[str], None],
) -> Runs:
    """Run every contestant `times` times in `folder`; `pythons` are their interpreters. Their files stay, without content.

    SystemExit when one fails, or has not written what the site serves.
    """
    expected = expected_of(site)
    runs: Runs = {each.name: [] for each in contestants}
    for nth in range(times):
        for contestant in order(contestants, nth):
            own = folder / f"{nth}-{contestant.name}"
            own.mkdir(parents=True)
            run = run_once(contestant, site, own, pythons[contestant.name])
            check(contestant, own / WORK, expected)
            hollow_out(own)
            runs[contestant.name].append(run)
            say(f"{nth + 1}. {contestant.name}: {run.wall_seconds:.2f} s, {run.cpu_seconds:.2f} s of CPU")
    return runs


def run_once(contestant: Contestant, site: Site, folder: Path, python: str) -> Run:
    """Run one contestant in an empty folder. SystemExit with what it said when it fails."""
    work, figures, said = folder / WORK, folder / "figures.json", folder / "said.txt"
    work.mkdir()
    os.sync()  # nobody is to pay for what another has left to be written to the disk
    nginx_before = site.cpu_seconds()
    command = [sys.executable, "-I", "-S", str(RUNNER), str(figures), *contestant.command(work, python)]
    with said.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=work,
            env=contestant.environment(work, site),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        status = process.wait(MOST_SECONDS)
    except BaseException:  # such as Ctrl-C: all of its processes are to end, not the first alone
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if status:
        raise SystemExit(f"{contestant.name} ended with {status}:\n{said.read_text(errors='replace')[-2000:]}")
    run = msgspec.json.decode(figures.read_bytes(), type=Run)
    return msgspec.structs.replace(run, nginx_seconds=site.cpu_seconds() - nginx_before)


def hollow_out(folder: Path) -> None:
    """Give back the room that files take, and keep the files.

    For five minutes after many files were removed, ext4 takes ten times as long to make one: it passes over each inode that
    was freed lately, so that whoever comes next would pay for what another one has left.
    """
    for path in folder.rglob("*"):
        if path.is_file():
            os.truncate(path, 0)


def order(contestants: Sequence[Contestant], nth: int) -> list[Contestant]:
    """Return who runs after whom in a round: everybody comes early and late, and before and after everybody else."""
    start = nth // 2 % len(contestants)
    turned = [*contestants[start:], *contestants[:start]]
    return turned[::-1] if nth % 2 else turned


def ratio(runs: Runs, of: str, to: str) -> float:
    """Return how many times as long one contestant takes as another: the median of the rounds' ratios."""
    return statistics.median(a.wall_seconds / b.wall_seconds for a, b in zip(runs[of], runs[to], strict=True))


def median(runs: Sequence[Run], figure: Callable[[Run], float]) -> float:
    """Return the median of one figure."""
    return statistics.median(map(figure, runs))


def fastest(runs: Runs, names: Sequence[str]) -> str:
    """Return the name whose median time is the shortest."""
    return min(names, key=lambda name: median(runs[name], lambda run: run.wall_seconds))
