"""Where everybody stands after a comparison: the table, and harvester's ratios beside their targets.

In:   `Run`s by contestant.  Out: a `Section`.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from compare import GIGABYTE, Run, Runs, fastest, median, ratio
from contestants import HARVESTER, SHA256SUM, Contestant
from results import Figure, Section, Table, file_system, megabytes

MOST_TO_SHELL = 1.0
MOST_TO_SCRIPT = 0.5
MOST_TO_SCRAPY = 0.2

COLUMNS = [
    "contestant", "seconds (least to most)", "harvester takes", "CPU s, user", "CPU s, system", "CPU s a 1,000 calls",
    "CPU s a GB", "nginx's CPU s", "largest process",
]  # fmt: skip


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How large an account is."""

    calls: int
    recording_bytes: int

    def __str__(self) -> str:
        """Return it as a title has it."""
        whole, unit = (
            (self.recording_bytes >> 20, "MiB")
            if self.recording_bytes >= 2**20
            else (self.recording_bytes >> 10, "KiB")
        )
        return f"{self.calls:,} recordings of {whole} {unit}"


def section_of(contestants: list[Contestant], runs: Runs, size: Size, place: Path) -> Section:
    """Return the figures of one comparison; `place` is where everybody wrote."""
    kind = file_system(place)
    where = "in memory (tmpfs)" if kind == "tmpfs" else f"on {kind}"
    peers = [each for each in contestants if each.name != HARVESTER]
    return Section(
        title=f"Beside what a user would run instead: {size}, {where}",
        table=Table(columns=COLUMNS, rows=[_row(each, runs, size) for each in contestants]),
        figures=_targets(peers, runs),
        how="The whole job over HTTPS from nginx on the same machine: list, download, transcript and metadata of each call, and "
        "the SHA-256 of each recording, which the script and Scrapy leave out. Only harvester's files are durable when it ends. "
        f"Rounds: {len(runs[HARVESTER])}, the order changing; medians, and the median of the rounds' ratios. After each run the "
        f"files were compared with those that nginx serves. Downloads at once: {_parallel(peers)}; harvester with its defaults.",
    )


def _row(contestant: Contestant, runs: Runs, size: Size) -> list[str]:
    own = runs[contestant.name]
    walls = [run.wall_seconds for run in own]
    cpu_seconds = median(own, lambda run: run.cpu_seconds)
    times = "" if contestant.name == HARVESTER else f"{ratio(runs, HARVESTER, contestant.name):.2f} times as long"
    return [
        contestant.title,
        f"{median(own, _wall):.2f} ({min(walls):.2f} to {max(walls):.2f})",
        times,
        f"{median(own, lambda run: run.user_seconds):.2f}",
        f"{median(own, lambda run: run.system_seconds):.2f}",
        f"{cpu_seconds / size.calls * 1000:.2f}",
        f"{cpu_seconds / (size.calls * size.recording_bytes) * GIGABYTE:.2f}",
        f"{median(own, lambda run: run.nginx_seconds):.2f}",
        megabytes(int(median(own, lambda run: run.peak_bytes))),
    ]


def _targets(peers: list[Contestant], runs: Runs) -> list[Figure]:
    figures = []
    if shells := [each.name for each in peers if each.digest == SHA256SUM]:
        best = fastest(runs, shells)
        figures.append(_target(runs, best, f"the fastest pipeline with sha256sum ({best})", MOST_TO_SHELL))
    if others := [each.name for each in peers if each.digest not in ("", SHA256SUM)]:
        best = fastest(runs, others)
        figures.append(_target(runs, best, f"a pipeline with a faster digest ({best})"))
    for name, title, most in (("script", "the script", MOST_TO_SCRIPT), ("scrapy", "Scrapy", MOST_TO_SCRAPY)):
        if name in runs:
            figures.append(_target(runs, name, title, most))
    return figures


def _target(runs: Runs, name: str, title: str, most: float | None = None) -> Figure:
    times = ratio(runs, HARVESTER, name)
    return Figure(
        name=f"time on the clock, against {title}",
        target="" if most is None else f"at most {most}",
        measured=f"{times:.2f}",
        met=None if most is None else times <= most,
    )


def _wall(run: Run) -> float:
    return run.wall_seconds


def _parallel(peers: list[Contestant]) -> str:
    return ", ".join(f"{each.name} {each.parallel}" for each in peers)
