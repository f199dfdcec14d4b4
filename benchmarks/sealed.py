"""Close the folder of a run as a run does: manifest, then seal. Prints the seconds of each and the memory at its highest.

In:   an archive whose last run has a whole ledger and an account, and the run's id.  Out: one JSON object.

A process of its own, so that the memory is that of the sealing alone.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from harvester.archive.manifest import write_manifest
from harvester.archive.seal import announce_seal, write_seal


def main(archive: Path, run_id: str) -> None:
    """Close the run."""
    announce_seal(archive, run_id)
    began = time.perf_counter()
    write_manifest(archive, run_id)
    listed = time.perf_counter()
    listed_bytes = _peak_bytes()
    write_seal(archive, run_id)
    figures = {
        "manifest_seconds": listed - began,
        "seal_seconds": time.perf_counter() - listed,
        "manifest_peak_bytes": listed_bytes,
        "peak_bytes": _peak_bytes(),
    }
    print(json.dumps(figures))


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
