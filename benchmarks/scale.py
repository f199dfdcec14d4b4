"""Measure whether harvester keeps its promises about large accounts, and write the figures down.

In:   which measurement, how many calls, a folder for the archives.  Out: figures on stdout; benchmarks/RESULTS.md.

    python benchmarks/scale.py                          everything; a million calls take a quarter of an hour or more
    python benchmarks/scale.py budget overlap           only these
    python benchmarks/scale.py million nightly --calls 20000      a smaller size: printed, not written down

The archive of a million calls is nearly two million small files, about 8 GB; --folder says where. Without it all goes into a
temporary folder that is removed at the end. A folder that was named also keeps the folders of latency, memory, verify,
proportion and export, with emptied files; `memory` takes up to 11 GB while it runs. Nothing leaves this machine: the platform is
the simulated one, or nginx.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from archive_figures import million, nightly
from export_figures import export
from limit_figures import LATENCY_CALLS, latency, memory
from listing_figures import budget, overlap
from nginx_site import nginx_path
from proportion_figures import proportion, verify
from results import Machine, Section, put, text_of
from seal_figures import seal

RESULTS = Path(__file__).with_name("RESULTS.md")

CALLS = {
    "budget": 300_000,
    "overlap": 2_000,
    "million": 1_000_000,
    "nightly": 1_000_000,
    "latency": LATENCY_CALLS,
    "memory": 100_000,
    "verify": 2_000,
    "proportion": 100_000,
    "seal": 1_000_000,
    "export": 10_000,
}
"""What the targets are stated for, in the order in which they are measured; `nightly` uses the archive that `million` leaves."""

MEASUREMENTS: dict[str, Callable[[Path, int], Section]] = {
    "budget": budget,
    "overlap": overlap,
    "million": million,
    "nightly": lambda folder, _: nightly(folder),
    "latency": latency,
    "memory": memory,
    "verify": verify,
    "proportion": proportion,
    "seal": seal,
    "export": export,
}

BY_NGINX = frozenset({"latency", "memory", "verify", "proportion", "export"})
"""Measurements whose platform is nginx, with a certificate made by openssl."""


def main(arguments: list[str]) -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("measurements", nargs="*", metavar="|".join([*CALLS, "all"]), help="default: all")
    parser.add_argument("--calls", type=int, help="how many calls the platform holds, instead of what the targets say")
    parser.add_argument("--folder", type=Path, help="where the archives go, and stay; default: a temporary folder")
    parser.add_argument("--results", type=Path, help=f"where the figures go; default: {RESULTS.name} beside this file")
    asked = parser.parse_args(arguments)
    unknown = set(asked.measurements) - {*CALLS, "all"}
    if unknown:
        parser.error(f"there is no measurement called {', '.join(sorted(unknown))}; there are {', '.join(CALLS)}, all")
    if asked.calls is not None and asked.calls < 2:
        parser.error("--calls must be 2 or more")
    if not sys.platform.startswith("linux"):
        parser.error("what is measured is read from /proc, so this needs Linux")
    wanted = set(asked.measurements) - {"all"} or set(CALLS)
    if wanted & BY_NGINX and not (nginx_path() and shutil.which("openssl")):
        parser.error(f"{', '.join(sorted(wanted & BY_NGINX))} need nginx and openssl; install them, then try again")
    results = asked.results or (RESULTS if asked.calls is None else None)
    with tempfile.TemporaryDirectory(prefix="harvester-benchmarks-") as temporary:
        folder = (asked.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        for name in CALLS:
            if name in wanted:
                measure(name, folder, asked.calls or CALLS[name], results)


def measure(name: str, folder: Path, calls: int, results: Path | None) -> None:
    """Take one measurement; print it and, where `results` are kept, put it there."""
    machine = Machine.here(folder)
    text = text_of(MEASUREMENTS[name](folder, calls), machine)
    print(text, flush=True)
    if results:
        put(results, text)


if __name__ == "__main__":
    main(sys.argv[1:])
