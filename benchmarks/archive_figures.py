"""Measure a first run over a large account, and nightly runs on its archive.

In:   how many calls, a folder.  Out: a `Section` each.

The first run leaves its archive and the `Spec` of its platform in the folder. A nightly run needs both: the calls, their times
and their links must be the same again, or they would be news.
"""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import msgspec
from harvested import ARCHIVE, STATE, Harvest, harvest
from listing_figures import SPAN, cost_figure
from pace import call_times, cpu_call_seconds, resident_bytes, tenths
from platform_server import Request, Spec
from results import Figure, Section, megabytes
from served import Served, served

SPEC = "platform.json"

UNLIMITED_PER_MINUTE = "1000000"
MOST_BYTES = 200_000_000
MOST_NIGHTLY_BYTES = 150_000_000
MOST_SLOWDOWN = 1.3
MOST_OWN_SECONDS = 2.0
NIGHTS = 3


def million(folder: Path, calls: int) -> Section:
    """Harvest `calls` calls into `folder`, which must hold no archive yet."""
    if (folder / ARCHIVE).exists():
        raise SystemExit(f"{folder} holds an archive already; remove it, or name another folder")
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    spec = Spec(calls=calls, first_at=now - SPAN, last_at=now)
    with served(spec) as platform:
        address = platform.address
        run = _harvest(folder, platform)
        requests = platform.seen().requests
    spec = msgspec.structs.replace(spec, port=address.port, recordings_port=address.recordings_port)
    (folder / SPEC).write_bytes(msgspec.json.encode(spec))
    if run.account["listed"] != calls:
        raise SystemExit(f"{run.account['listed']:,} calls were listed, and the platform holds {calls:,}")
    return Section(
        title="A first run over a million calls, without recordings",
        figures=[*_first_run_figures(folder, run), cost_figure(requests, calls)],
        how="`harvester run --no-recordings` with a budget of a million requests a minute, against the demo platform in a "
        "process of its own, which holds the calls of two years. Memory is the kernel's high-water mark of the resident memory; "
        "on the way it was sampled ten times a second. The time per call comes from the ledger, whose lines bear their time, "
        "so that measuring costs the run nothing.",
    )


def _first_run_figures(folder: Path, run: Harvest) -> list[Figure]:
    (ledger,) = (folder / ARCHIVE).glob("runs/*/ledger.jsonl")
    with ledger.open("rb") as lines:
        times = call_times(lines)
    first, last = tenths(times)
    slowdown = last.call_seconds / first.call_seconds
    first_cpu, last_cpu = cpu_call_seconds(run.samples, first), cpu_call_seconds(run.samples, last)
    on_the_way = [resident_bytes(run.samples, times[len(times) * tenth // 10 - 1]) for tenth in (1, 5, 10)]
    closing_seconds = run.samples[-1].at - times[-1]
    traffic = run.account["traffic"]
    return [
        Figure(
            name="memory of the process at its highest",
            target="below 200 MB",
            measured=megabytes(run.peak_bytes),
            met=run.peak_bytes < MOST_BYTES,
        ),
        Figure(
            name="memory after a tenth, after half, after all of the calls",
            measured=", ".join(map(megabytes, on_the_way)),
        ),
        Figure(
            name="time per call, last tenth against first",
            target="at most 1.3 times",
            measured=f"{slowdown:.2f} times ({first.call_seconds * 1e3:.2f} ms, then {last.call_seconds * 1e3:.2f} ms)",
            met=slowdown <= MOST_SLOWDOWN,
        ),
        Figure(
            name="CPU time per call, last tenth against first",
            measured=f"{last_cpu / first_cpu if first_cpu else 0:.2f} times "
            f"({first_cpu * 1e3:.2f} ms, then {last_cpu * 1e3:.2f} ms)",
        ),
        Figure(
            name="the whole run",
            measured=f"{run.account['listed']:,} calls in {run.wall_seconds:,.1f} s and {traffic['requests']:,} requests; "
            f"{run.cpu_seconds:,.1f} s of CPU time; {closing_seconds:,.1f} s after the last call, to close the run",
        ),
    ]


def nightly(folder: Path) -> Section:
    """Run again, with nothing new, on the archive that `million` has left in `folder`."""
    if not (folder / SPEC).exists():
        raise SystemExit(f"{folder} holds no archive of a first run; measure `million` there before")
    spec = msgspec.json.decode((folder / SPEC).read_bytes(), type=Spec)
    nights = []
    with served(spec) as platform:
        for _ in range(NIGHTS):
            forget(folder / STATE, folder / ARCHIVE / "runs")
            run = _harvest(folder, platform)
            nights.append((run, _seconds_outside_listing(run, platform.seen().requests)))
    runs = [run for run, _ in nights]
    cpu_seconds = max(run.cpu_seconds for run in runs)
    own_seconds = max(seconds for _, seconds in nights)
    peak_bytes = max(run.peak_bytes for run in runs)
    last = runs[-1].account
    return Section(
        title="A nightly run with nothing new, on that archive",
        figures=[
            Figure(
                name="CPU time of the process, what it spent on the requests included",
                target="below 2 s",
                measured=f"{cpu_seconds:.2f} s",
                met=cpu_seconds < MOST_OWN_SECONDS,
            ),
            Figure(
                name="time on the clock before the first request of the list and after the last",
                target="below 2 s",
                measured=f"{own_seconds:.2f} s",
                met=own_seconds < MOST_OWN_SECONDS,
            ),
            Figure(
                name="memory of the process at its highest",
                target="below 150 MB",
                measured=megabytes(peak_bytes),
                met=peak_bytes < MOST_NIGHTLY_BYTES,
            ),
            Figure(
                name="the whole run",
                measured=f"{max(run.wall_seconds for run in runs):.2f} s and {last['traffic']['requests']:,} requests; "
                f"{last['listed']:,} of {spec.calls:,} calls listed",
            ),
        ],
        how=f"`harvester run --no-recordings`, {NIGHTS} times one after the other; the worst of each figure counts. Before each, "
        "checkpoint and ledgers are taken out of the page cache: between two nights other things have been in memory. *Its own "
        "time besides the requests* is given in two ways: as the CPU time of the whole process, which holds start-up and also "
        "what it spent on asking and on reading the answers; and as the time on the clock from its start to the first "
        "request of the list and from the last one to its end, which holds its waits for the disk.",
    )


def forget(*folders: Path) -> None:
    """Take the files in some folders out of the page cache, so that whoever reads them next waits for the disk."""
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _seconds_outside_listing(run: Harvest, requests: list[Request]) -> float:
    listed_at = [request.at for request in requests if request.where == "list"]
    return min(listed_at) - run.started_at + run.ended_at - max(listed_at)


def _harvest(folder: Path, platform: Served) -> Harvest:
    address = platform.address
    return harvest(folder, address.base_url, address.key, "--no-recordings", requests_per_minute=UNLIMITED_PER_MINUTE)
