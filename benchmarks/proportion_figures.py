"""Measure whether cost stays in proportion: verifying beside hashing, many calls beside few.

In:   a folder, how many calls.  Out: a `Section` each.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from harvested import ARCHIVE, STATE, environment
from limit_figures import account, harvested_from, lacks_room, scratch
from results import Figure, Section

ROUNDS = 5
LEAST_SPEED = 0.9
VERIFIED_BYTES = 2**20
HASHED_AT_ONCE = 50
"""Files for each sha256sum: enough that starting it costs nothing, few enough that both processes end together."""

SMALL_BYTES = 4 * 1024
MOST_GROWTH = 1.2
STEPS = (100, 10, 1)
"""Parts of the calls that are measured beside all of them."""


def verify(folder: Path, calls: int) -> Section:
    """Verify an archive of `calls` recordings of 1 MiB, and hash its files by sha256sum, in turn."""
    title = "Verifying, beside `xargs -P2 sha256sum`"
    how = (
        f"`harvester verify` and `find -type f -print0 | xargs -0 -P2 -n{HASHED_AT_ONCE} sha256sum` over all files of one "
        f"archive, {calls:,} recordings of 1 MiB among them, in turn; both had read them once before, so that they came from the "
        f"page cache. Rounds: {ROUNDS}, the order changing; medians, and the median of the rounds' ratios. Start-up is in it."
    )
    name, target = "speed of `harvester verify`, against sha256sum", f"at least {LEAST_SPEED} times"
    if problem := lacks_room(folder, calls, VERIFIED_BYTES):
        return Section(
            title=title, figures=[Figure(name=name, target=target, measured=f"not measured: {problem}")], how=how
        )
    with scratch(folder) as own:
        with account(own, calls, VERIFIED_BYTES) as site:
            harvested_from(site, own / "run")
        os.sync()
        ours, theirs = _in_turn(own / "run")
    speed = statistics.median(their / our for our, their in zip(ours, theirs, strict=True))
    seconds = f"{statistics.median(ours):.2f} s, sha256sum {statistics.median(theirs):.2f} s"
    figure = Figure(name=name, target=target, measured=f"{speed:.2f} times ({seconds})", met=speed >= LEAST_SPEED)
    return Section(title=title, figures=[figure], how=how)


def _in_turn(run: Path) -> tuple[list[float], list[float]]:
    """Return the seconds of each round, of verify and of sha256sum; a first round of both is not counted."""
    variables = environment(archive=str(run / ARCHIVE), state_folder=str(run / STATE)) | {"HOME": str(run)}
    verifies = [sys.executable, "-m", "harvester.cli", "verify", "--quiet", "--no-progress"]
    hashes = ["sh", "-c", f'find "$0" -type f -print0 | xargs -0 -P2 -n{HASHED_AT_ONCE} sha256sum', str(run / ARCHIVE)]
    commands = (verifies, hashes)
    seconds: tuple[list[float], list[float]] = ([], [])
    for nth in range(ROUNDS + 1):
        for which in (0, 1) if nth % 2 else (1, 0):
            started_at = time.monotonic()
            subprocess.run(commands[which], check=True, env=variables, cwd=run, stdout=subprocess.DEVNULL)
            if nth:
                seconds[which].append(time.monotonic() - started_at)
    return seconds


def proportion(folder: Path, calls: int) -> Section:
    """Harvest a hundredth of `calls`, a tenth and all of them, each as an account of its own."""
    sizes = sorted({max(1, calls // step) for step in STEPS})
    name = f"time per call, {sizes[-1]:,} calls against {sizes[0]:,}"
    target = f"at most {MOST_GROWTH} times"
    title = "Many calls cost what few do, each"
    how = (
        "`harvester run` over HTTPS from nginx, recordings of 4 KiB, each account harvested once into a folder of its own, the "
        "small ones five times (median). The time is that from the start of the process to its end. Start-up is what a run "
        "over one call takes; it weighs on few calls more than on many, so the time per call is also given without it."
    )
    if problem := lacks_room(folder, sum(sizes) + ROUNDS * sizes[0], SMALL_BYTES):
        return Section(
            title=title, figures=[Figure(name=name, target=target, measured=f"not measured: {problem}")], how=how
        )
    with scratch(folder) as own:
        start_seconds = _run_seconds(own, 1, ROUNDS)
        seconds = [_run_seconds(own, size, ROUNDS if size == sizes[0] else 1) for size in sizes]
    whole = [each / size for each, size in zip(seconds, sizes, strict=True)]
    beyond = [(each - start_seconds) / size for each, size in zip(seconds, sizes, strict=True)]
    growth = whole[-1] / whole[0]
    told = ", ".join(f"{size:,} calls {each:.2f} s" for size, each in zip(sizes, seconds, strict=True))
    return Section(
        title=title,
        figures=[
            Figure(
                name=name,
                target=target,
                measured=f"{growth:.2f} times ({_milliseconds(whole)} a call)",
                met=growth <= MOST_GROWTH,
            ),
            Figure(
                name="the same without start-up",
                measured=f"{beyond[-1] / beyond[0]:.2f} times ({_milliseconds(beyond)} a call)"
                if beyond[0] > 0
                else "not measurable: the fewest calls take no longer than one",
            ),
            Figure(name="the whole runs", measured=f"one call {start_seconds:.2f} s, {told}"),
        ],
        how=how,
    )


def _run_seconds(own: Path, calls: int, rounds: int) -> float:
    """Return the median seconds of harvesting one account so many times, each into a folder of its own."""
    with account(own, calls, SMALL_BYTES) as site:
        runs = [harvested_from(site, site.folder / f"run-{nth}") for nth in range(rounds)]
    return statistics.median(run.wall_seconds for run in runs)


def _milliseconds(seconds: list[float]) -> str:
    return ", ".join(f"{each * 1e3:.2f} ms" for each in seconds)
