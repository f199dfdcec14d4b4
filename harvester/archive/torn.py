"""What a crash leaves in a run's ledger: half a line at its end, and whole ones that may lie in the kernel's memory alone.

In:   a run that was cut off.  Out: its ledger, durable, without the torn line; how many bytes that had.
"""

from __future__ import annotations

import os
from pathlib import Path

from harvester.archive import disk
from harvester.archive.layout import LEDGER, RUNS


def torn_bytes(archive: Path, run_id: str) -> int:
    """Return how many bytes behind the last newline a crash left in a run's ledger."""
    path = archive / RUNS / run_id / LEDGER
    with disk.guarded("read", path), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        keep = size
        while keep > 0:
            start = max(0, keep - disk.READ_BLOCK_BYTES)
            file.seek(start)
            newline = file.read(keep - start).rfind(b"\n")
            if newline >= 0:
                return size - (start + newline + 1)
            keep = start
        return size


def mend_ledger(archive: Path, run_id: str) -> int:
    """Put a run's ledger in place anew, durable, without what a crash left behind the last newline; return how many bytes.

    Its whole lines may lie in the kernel's memory alone, where the run was killed before their fsync or that has failed: they are
    read and believed, and lost with the power. Another fsync of the same file would find nothing to do after one that failed.
    """
    torn = torn_bytes(archive, run_id)
    path = archive / RUNS / run_id / LEDGER
    part = path.with_name(f"{LEDGER}.part")
    with disk.guarded("write", part) as step, path.open("rb") as file:
        left = file.seek(0, os.SEEK_END) - torn
        file.seek(0)
        part.unlink(missing_ok=True)
        with part.open("xb", buffering=0) as copy:
            while block := file.read(min(left, disk.READ_BLOCK_BYTES)):
                view = memoryview(block)
                while view:
                    view = view[copy.write(view) :]
                left -= len(block)
                step.moves += 1
            os.fsync(copy.fileno())
    with disk.guarded("rename to", path):
        part.replace(path)
    disk.sync_folder(path.parent)
    return torn
