"""Measure what a bundle costs besides copying its files.

In:   a folder, how many calls.  Out: a `Section`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from harvested import ARCHIVE, RUNNER, STATE, environment
from limit_figures import RECORDING_BYTES, account, harvested_from, lacks_room, scratch
from results import Figure, Section, megabytes

MOST_SECONDS = 60.0
FORMS = {"a folder": (), "a zip file": ("--zip",)}


def export(folder: Path, calls: int) -> Section:
    """Export all of an archive of `calls` recordings of 64 KiB, as a folder and as a zip file, and copy its files by `cp`."""
    title = "Exporting all calls, besides copying"
    name, target = "`harvester export` to %s, less the time of `cp`", f"below {MOST_SECONDS:.0f} s"
    how = (
        f"`harvester export` of an archive of {calls:,} calls with recordings of 64 KiB, each with a transcript, in one sealed "
        "run: every file copied and hashed by SHA-256 and SHA-512, every file and ledger line proven, table, report and lines "
        "for machines written, all durable. `cp -r` of the same files and `sync` is what is taken off. All had been read once "
        "before, so that it came from the page cache. Start-up is in it; memory is the kernel's high-water mark."
    )
    if problem := lacks_room(folder, 4 * calls, RECORDING_BYTES):
        return Section(title=title, figures=[Figure(name=name % "a folder", target=target, measured=problem)], how=how)
    with scratch(folder) as own:
        with account(own, calls, RECORDING_BYTES) as site:
            harvested_from(site, own / "run")
        archive = own / "run" / ARCHIVE
        files = [path for path in archive.iterdir() if path.name[:1].isdigit()]
        (own / "copy").mkdir()
        _seconds(["sh", "-c", 'find "$0" -type f -exec cat {} + > /dev/null', str(archive)])
        copy_seconds = _seconds(["sh", "-c", 'cp -r "$@" && sync', "sh", *map(str, files), str(own / "copy")])
        made = {
            form: _exported(own, archive, own / f"bundle{nth}", *flags)
            for nth, (form, flags) in enumerate(FORMS.items())
        }
    figures = []
    for form, (seconds, peak_bytes) in made.items():
        beyond = seconds - copy_seconds
        measured = f"{beyond:.1f} s ({seconds:.1f} s; `cp` {copy_seconds:.1f} s), {beyond / calls * 1e3:.2f} ms a call"
        figures.append(Figure(name=name % form, target=target, measured=measured, met=beyond < MOST_SECONDS))
        figures.append(Figure(name=f"memory of the process at its highest, {form}", measured=megabytes(peak_bytes)))
    return Section(title=title, figures=figures, how=how)


def _exported(own: Path, archive: Path, target: Path, *flags: str) -> tuple[float, int]:
    """Export all of an archive; return the seconds that it took, and the bytes of memory at the highest."""
    os.sync()
    told = own / "told.json"
    variables = environment(archive=str(archive), state_folder=str(own / STATE)) | {"HOME": str(own)}
    command = [sys.executable, "-m", "harvester", "export", "--quiet", "--no-progress", *flags, str(target)]
    subprocess.run([sys.executable, str(RUNNER), str(told), *command], check=True, env=variables, cwd=own)
    figures = json.loads(told.read_bytes())
    return figures["wall_seconds"], figures["peak_bytes"]


def _seconds(command: list[str]) -> float:
    """Run a command; return how long it took."""
    started_at = time.monotonic()
    subprocess.run(command, check=True)
    return time.monotonic() - started_at
