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
from typing import NamedTuple

from harvested import ARCHIVE, STATE, environment
from limit_figures import account, harvested_from, lacks_room, scratch
from results import Figure, Section

ROUNDS = 5
LEAST_SPEED = 0.9
VERIFIED_BYTES = 2**20
MIDDLING_BYTES = 64 * 1024
HASHED_AT_ONCE = 50
"""Files for each sha256sum: enough that starting it costs nothing, few enough that both processes end together."""

SMALL_BYTES = 4 * 1024
MOST_GROWTH = 1.2
STEPS = (100, 10, 1)
"""Parts of the calls that are measured beside all of them."""


def verify(folder: Path, calls: int) -> Section:
    """Verify archives of recordings of 1 MiB and of 64 KiB, and hash their files by sha256sum and by OpenSSL, in turn."""
    figures = []
    for size_bytes, count in ((VERIFIED_BYTES, calls), (MIDDLING_BYTES, calls * 5 // 2)):
        figures += _verify_figures(folder, count, size_bytes)
    told = subprocess.run(["sha256sum", "--version"], capture_output=True, text=True, check=True).stdout
    version = told.partition("\n")[0]
    return Section(
        title="Verifying, beside `xargs -P2 sha256sum`",
        figures=figures,
        how="`harvester verify` and "
        f"`find -type f -print0 | xargs -0 -P2 -n{HASHED_AT_ONCE} sha256sum` ({version}) over all files "
        "of one archive, metadata, transcripts, ledger and manifest among them, in turn; all had read them once before, so that "
        f"they came from the page cache. Rounds: {ROUNDS}, the order changing; medians, and the median of the rounds' ratios. "
        "Start-up is in it. CPU time is user and system together, of all processes. Where sha256sum is built without OpenSSL it "
        "does not use the processor's instructions for SHA-256; so `openssl dgst -sha256` stands beside it.",
    )


def _verify_figures(folder: Path, calls: int, size_bytes: int) -> list[Figure]:
    what = f"{calls:,} recordings of {size_bytes >> 10:,} KiB"
    name, target = f"speed of `harvester verify`, against sha256sum, {what}", f"at least {LEAST_SPEED} times"
    if problem := lacks_room(folder, calls, size_bytes):
        return [Figure(name=name, target=target, measured=f"not measured: {problem}")]
    with scratch(folder) as own:
        with account(own, calls, size_bytes) as site:
            harvested_from(site, own / "run")
        os.sync()
        ours, theirs, openssl = _in_turn(own / "run")
    speed = _times(theirs.wall_seconds, ours.wall_seconds)
    return [
        Figure(
            name=name, target=target, measured=f"{speed:.2f} times ({_beside(ours, theirs)})", met=speed >= LEAST_SPEED
        ),
        Figure(
            name=f"the same against `openssl dgst`, {what}",
            measured=f"{_times(openssl.wall_seconds, ours.wall_seconds):.2f} times (openssl {_seconds(openssl.wall_seconds)})",
        ),
        Figure(
            name=f"CPU time of `harvester verify`, against sha256sum, {what}",
            measured=f"{_times(ours.cpu_seconds, theirs.cpu_seconds):.2f} times ({_seconds(ours.cpu_seconds)}, sha256sum "
            f"{_seconds(theirs.cpu_seconds)}, openssl {_seconds(openssl.cpu_seconds)})",
        ),
    ]


class Rounds(NamedTuple):
    """What the rounds of one command took, in their order."""

    wall_seconds: list[float]
    cpu_seconds: list[float]


def _in_turn(run: Path) -> tuple[Rounds, Rounds, Rounds]:
    """Return the rounds of verify, of sha256sum and of openssl; a first round of all is not counted."""
    variables = environment(archive=str(run / ARCHIVE), state_folder=str(run / STATE)) | {"HOME": str(run)}
    hashes = f'find "$0" -type f -print0 | xargs -0 -P2 -n{HASHED_AT_ONCE}'
    commands = (
        [sys.executable, "-m", "harvester", "verify", "--quiet", "--no-progress"],
        ["sh", "-c", f"{hashes} sha256sum", str(run / ARCHIVE)],
        ["sh", "-c", f"{hashes} openssl dgst -sha256 -r", str(run / ARCHIVE)],
    )
    rounds = (Rounds([], []), Rounds([], []), Rounds([], []))
    for nth in range(ROUNDS + 1):
        for turn in range(len(commands)):
            which = (nth + turn) % len(commands)
            started_at, before = time.monotonic(), os.times()
            subprocess.run(commands[which], check=True, env=variables, cwd=run, stdout=subprocess.DEVNULL)
            after = os.times()
            if nth:
                rounds[which].wall_seconds.append(time.monotonic() - started_at)
                spent = after.children_user - before.children_user + after.children_system - before.children_system
                rounds[which].cpu_seconds.append(spent)
    return rounds


def _times(theirs: list[float], ours: list[float]) -> float:
    """Return the median of the rounds' ratios; the clock of CPU time ticks every 10 ms."""
    return statistics.median(their / max(our, 0.01) for our, their in zip(ours, theirs, strict=True))


def _beside(ours: Rounds, theirs: Rounds) -> str:
    return f"{_seconds(ours.wall_seconds)}, sha256sum {_seconds(theirs.wall_seconds)}"


def _seconds(rounds: list[float]) -> str:
    return f"{statistics.median(rounds):.2f} s"


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
