"""Measure how long the closing run of a large archive takes to seal it, and how much memory.

In:   a folder, how many calls.  Out: a `Section`.

The ledger is made up, with lines of the form and length that runs write, three files a call; the files themselves are not there,
since a seal is over their names and hashes in ledger and manifest.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from results import Figure, Section, megabytes

from harvester.archive.layout import ACCOUNT, LEDGER, MANIFEST, SEAL, run_key
from harvester.archive.ledger import GENESIS, encode
from harvester.archive.mark import write_mark
from harvester.archive.seal import read_seal

MOST_SECONDS = 30.0
MOST_BYTES = 300_000_000
RUN_ID = "20261126T020000Z-00000001"
AT = "2026-11-26T02:00:00.000Z"


def seal(folder: Path, calls: int) -> Section:
    """Close a run of `calls` calls that is made up, and hold what that takes against its targets."""
    archive = folder / "sealed"
    shutil.rmtree(archive, ignore_errors=True)
    write_mark(archive, "https://platform.example/api", None)
    (archive / "runs" / RUN_ID).mkdir(parents=True)
    _write_ledger(archive / run_key(RUN_ID, LEDGER), calls)
    (archive / run_key(RUN_ID, ACCOUNT)).write_bytes(b"{}\n")
    told = _sealed(archive)
    sizes = {name: (archive / run_key(RUN_ID, name)).stat().st_size for name in (LEDGER, MANIFEST, SEAL)}
    made = read_seal((archive / run_key(RUN_ID, SEAL)).read_bytes())
    shutil.rmtree(archive)
    if (made.ledger_lines, made.manifest_lines) != (calls + 2, 3 * calls + 3):
        raise SystemExit(
            f"the seal is over {made.ledger_lines:,} and {made.manifest_lines:,} lines, not over those written"
        )
    seconds, peak_bytes = told["seal_seconds"], int(told["peak_bytes"])
    return Section(
        title="Sealing a run of a million calls",
        figures=[
            Figure(
                name=f"time on the clock of the seal, {calls:,} calls",
                target=f"below {MOST_SECONDS:.0f} s",
                measured=f"{seconds:.1f} s",
                met=seconds < MOST_SECONDS,
            ),
            Figure(
                name="memory of the process at its highest, the manifest's making included",
                target=f"below {megabytes(MOST_BYTES)}",
                measured=megabytes(peak_bytes),
                met=peak_bytes < MOST_BYTES,
            ),
            Figure(name="the same, once the manifest was there", measured=megabytes(int(told["manifest_peak_bytes"]))),
            Figure(name="time on the clock of the manifest before it", measured=f"{told['manifest_seconds']:.1f} s"),
            Figure(
                name="what the seal is over",
                measured=f"{made.ledger_lines:,} lines of the ledger ({megabytes(sizes[LEDGER])}) and "
                f"{made.manifest_lines:,} of the manifest ({megabytes(sizes[MANIFEST])})",
            ),
        ],
        how="A process of its own writes manifest and seal of a ledger that is made up (lines of the length that runs write, "
        "three files a call), by the functions that close every run, their fsyncs included. Memory is the kernel's "
        "high-water mark.",
    )


def _write_ledger(path: Path, calls: int) -> None:
    prev = GENESIS
    with path.open("wb") as file:
        for seq, event in enumerate(_events(calls), start=1):
            raw = encode({"seq": seq, "prev": prev, "at": AT, **event})
            prev = hashlib.sha256(raw).hexdigest()
            file.write(raw)


def _events(calls: int) -> Iterator[dict[str, object]]:
    yield {"event": "run-started", "run": RUN_ID, "seal": 1, "tool": "benchmark"}
    for number in range(calls):
        place = f"{2024 + number % 2}/{1 + number % 12:02}/{1 + number % 28:02}/{number}"
        digest = hashlib.sha256(place.encode()).hexdigest()
        roles = (("json", "metadata"), ("txt", "transcript"), ("mp3", "recording"))
        files = [
            {"path": f"{place}.{suffix}", "bytes": 100_000, "sha256": digest, "role": role} for suffix, role in roles
        ]
        link = f"https://recordings.example.com/calls/{digest}.mp3"
        recording = {"state": "saved", "offered": True, "link": link, "proof": "content-length", "status": 200}
        yield {
            "event": "saved",
            "id": str(number),
            "digest": digest,
            "place": place,
            "version": 1,
            "recording": recording | {"headers": {"content-length": "100000"}, "attempts": 1, "started_at": AT},
            "transcript": {"state": "saved"},
            "files": files,
        }
    yield {"event": "run-closed", "verdict": "complete"}


def _sealed(archive: Path) -> dict[str, float]:
    line = [sys.executable, str(Path(__file__).with_name("sealed.py")), str(archive), RUN_ID]
    done = subprocess.run(line, check=True, capture_output=True)
    told: dict[str, float] = json.loads(done.stdout)
    return told
