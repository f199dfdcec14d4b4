"""Fuzz one target until libFuzzer's own flags (-max_total_time, -runs, a corpus folder) say that it is enough."""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["harvester"]):
    from fuzz.made import seeds
    from fuzz.targets import TARGETS


def main() -> None:
    """Run the target that is named first; the other arguments are libFuzzer's."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"name a target: {', '.join(TARGETS)}")
    name = sys.argv.pop(1)
    corpus = Path(tempfile.mkdtemp(prefix="corpus-"))
    for number, seed in enumerate(seeds()[name]):
        (corpus / str(number)).write_bytes(seed)
    atheris.Setup([*sys.argv, str(corpus)], TARGETS[name])
    atheris.Fuzz()


main()
