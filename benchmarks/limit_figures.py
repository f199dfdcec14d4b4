"""Measure what a run may cost at its limits: a distant server, large recordings, many calls.

In:   a folder, how many calls.  Out: a `Section` each.

The platform is nginx, with recordings that all calls share. What was written is emptied, not removed: see `hollow_out`.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compare import hollow_out
from harvested import Harvest, harvest
from late_server import Late, served_late
from nginx_site import KEY, Site
from results import Figure, Section, megabytes

UNLIMITED_PER_MINUTE = "1000000"
RECORDING_BYTES = 64 * 1024
DISTINCT = 64
"""Recordings that are made; ext4 permits 65,000 links to a file."""

DELAY_SECONDS = 0.05
WORKERS = (8, 32, None)  # None: as many as the run chooses
LATENCY_CALLS = 2_000
LATENCY_ROUNDS = 5
MOST_OF_LATENCY = 1.15

LARGE_RECORDINGS = 8
LARGE_BYTES = 200_000_000
MOST_LARGE_BYTES = 120_000_000
MANY_CALLS = 100_000
MOST_MANY_BYTES = 150_000_000

PAGES_BYTES = 20_000
"""What a call takes of the site's list, which has a copy for each pair of days."""

FILES_BYTES = 16_000
"""What a call takes of an archive beside its recording, in whole blocks."""


def latency(folder: Path, calls: int) -> Section:
    """Harvest `calls` calls whose recordings come from a server that takes 50 ms to answer; fewer calls than usual: once."""
    rounds = LATENCY_ROUNDS if calls >= LATENCY_CALLS else 1
    took: dict[int | None, list[float]] = {workers: [] for workers in WORKERS}
    with scratch(folder) as own, account(own, calls, RECORDING_BYTES, serves_recordings=False) as site:
        late = Late(
            port=site.recordings_port,
            delay_seconds=DELAY_SECONDS,
            recording=str(site.recording_of(site.ids[0])),
            certificate=str(site.ca_file),
            key=str(site.key_file),
        )
        with served_late(late) as served:
            for number in range(rounds):
                for workers, seconds in took.items():
                    settings = {} if workers is None else {"workers": str(workers)}
                    run = harvested_from(site, own / f"{workers or 'chosen'}-workers-{number}", **settings)
                    seconds.append(run.wall_seconds)
    chosen = took.pop(None)
    return Section(
        title="A server of recordings that takes 50 ms to answer",
        figures=[
            *(_latency_figure(seconds, calls, workers) for workers, seconds in took.items() if workers),
            Figure(name="the whole run without `--workers`", measured=_seconds_text(chosen)),
            Figure(
                name="what the server took",
                measured=f"{served.mean_seconds * 1000:.1f} ms on average "
                f"({served.least_seconds * 1000:.1f} to {served.most_seconds * 1000:.1f} ms)",
            ),
        ],
        how=f"`harvester run` over {calls:,} calls with recordings of 64 KiB. Each answer of their server begins 50 ms after its "
        "request; the list comes from nginx without delay. Held against calls x 0.05 s / workers, which is what the waits "
        "alone take, is the time from the start of the process to its end: start-up, listing and closing are in it. "
        f"Rounds: {rounds}, by turns; medians.",
    )


def _latency_figure(seconds: list[float], calls: int, workers: int) -> Figure:
    waits_seconds = calls * DELAY_SECONDS / workers
    times = statistics.median(seconds) / waits_seconds
    return Figure(
        name=f"the whole run with `--workers {workers}`, against calls x latency / workers",
        target=f"at most {MOST_OF_LATENCY}",
        measured=f"{times:.3f} ({_seconds_text(seconds)}, of which the waits take {waits_seconds:.2f} s)",
        met=times <= MOST_OF_LATENCY,
    )


def _seconds_text(seconds: list[float]) -> str:
    """Return the median, and between what it lies."""
    return f"{statistics.median(seconds):.2f} s, {min(seconds):.2f} to {max(seconds):.2f} s"


def memory(folder: Path, calls: int) -> Section:
    """Harvest eight large recordings at once, and `calls` small ones; fewer calls than a full run has: smaller large ones."""
    large_bytes = max(RECORDING_BYTES, LARGE_BYTES * min(calls, MANY_CALLS) // MANY_CALLS)
    return Section(
        title="Memory: large recordings at once, and many calls",
        figures=[
            *_memory_figures(folder, LARGE_RECORDINGS, large_bytes, MOST_LARGE_BYTES),
            *_memory_figures(folder, calls, RECORDING_BYTES, MOST_MANY_BYTES),
        ],
        how="`harvester run` over HTTPS from nginx, which sends as fast as it can; the large recordings with `--workers 8`, so "
        "that all are under way at once, the others without. Memory is the kernel's high-water mark of the resident memory "
        "of the process. The calls share a few recordings on the server; the archive holds each of them whole.",
    )


def _memory_figures(folder: Path, calls: int, recording_bytes: int, most_bytes: int) -> list[Figure]:
    what = f"{calls:,} recordings of {_size_text(recording_bytes)}"
    name, target = f"memory of the process at its highest, {what}", f"below {megabytes(most_bytes)}"
    if problem := lacks_room(folder, calls, recording_bytes):
        return [Figure(name=name, target=target, measured=f"not measured: {problem}")]
    with scratch(folder) as own, account(own, calls, recording_bytes) as site:
        workers = {"workers": str(calls)} if calls <= LARGE_RECORDINGS else {}
        run = harvested_from(site, own / "run", **workers)
    return [
        Figure(name=name, target=target, measured=megabytes(run.peak_bytes), met=run.peak_bytes < most_bytes),
        Figure(
            name=f"the whole run, {what}",
            measured=f"{run.wall_seconds:,.1f} s; {run.cpu_seconds:,.1f} s of CPU time",
        ),
    ]


def _size_text(size_bytes: int) -> str:
    return f"{size_bytes >> 10} KiB" if size_bytes <= RECORDING_BYTES else f"{size_bytes / 1e6:g} MB"


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Give a new folder in `folder`, whose files are emptied when the block ends."""
    own = Path(tempfile.mkdtemp(prefix="limits-", dir=folder))
    try:
        yield own
    finally:
        hollow_out(own)


@contextmanager
def account(own: Path, calls: int, recording_bytes: int, *, serves_recordings: bool = True) -> Iterator[Site]:
    """Serve an account of so many calls, which share at most `DISTINCT` recordings, as long as the block lasts."""
    site = Site(
        Path(tempfile.mkdtemp(prefix="site-", dir=own)),
        calls=calls,
        recording_bytes=recording_bytes,
        distinct=distinct_of(calls, recording_bytes),
        serves_recordings=serves_recordings,
    )
    site.make()
    with site:
        yield site


def distinct_of(calls: int, recording_bytes: int) -> int:
    """Return how many recordings are made for an account: one of the large ones."""
    return 1 if recording_bytes >= LARGE_BYTES // 100 else min(calls, DISTINCT)


def harvested_from(site: Site, folder: Path, **settings: str) -> Harvest:
    """Run once into a new folder. SystemExit unless every recording of the site was saved."""
    folder.mkdir()
    os.sync()  # nobody is to pay for what another has left to be written to the disk
    limit = {"requests_per_minute": UNLIMITED_PER_MINUTE}
    run = harvest(folder, site.base_url, KEY, ca_file=site.ca_file, **limit, **settings)
    if run.account["recordings"]["saved"] != site.calls:
        raise SystemExit(
            f"{site.calls:,} recordings were served, and what became of them is {run.account['recordings']}"
        )
    return run


def lacks_room(folder: Path, calls: int, recording_bytes: int) -> str | None:
    """Return what is missing in `folder` for an account and the archive of it, or None."""
    made_bytes = distinct_of(calls, recording_bytes) * recording_bytes
    needed_bytes = calls * (recording_bytes + FILES_BYTES + PAGES_BYTES) + made_bytes
    if shutil.disk_usage(folder).free >= needed_bytes:
        return None
    return f"no room for {needed_bytes / 1e9:.1f} GB; name another folder with --folder"
