"""The benchmarks: each measurement is taken at a size that takes seconds, and what it found is written down."""

import subprocess
import sys
from pathlib import Path

import pytest

SCALE = Path(__file__).parents[1] / "benchmarks" / "scale.py"

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what is measured is read from /proc")


def scale(folder: Path, *arguments: str) -> dict[str, list[str]]:
    """Run measurements in a folder; return the rows of its RESULTS.md by their first cell: target, measured, verdict."""
    results = folder / "RESULTS.md"
    command = [sys.executable, str(SCALE), *arguments, "--folder", str(folder), "--results", str(results)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    rows = (line.strip("|").split("|") for line in results.read_text().splitlines() if line.startswith("| "))
    return {name.strip(): [cell.strip() for cell in rest] for name, *rest in rows if name != " figure "}


def test_each_target_has_its_figure_beside_it(tmp_path: Path) -> None:
    """Memory, pace, nightly run, budget and overlap are measured, and held against their targets."""
    rows = scale(tmp_path, "all", "--calls", "300")
    for name, target in {
        "time per call, last tenth against first": "at most 1.3 times",
        "CPU time of the process, what it spent on the requests included": "below 2 s",
        "time on the clock before the first request of the list and after the last": "below 2 s",
        "answers with status 429": "at most 1 %",
        "recordings on the disk when the third page of calls was asked for": "at least 1",
    }.items():
        assert rows[name][0] == target
        assert rows[name][2] in ("met", "**not met**")
    assert rows["share of the limit kept busy"][1:] == ["not measurable: no minute was over", ""]
    assert rows["the whole run"][1].endswith("of 300 calls listed")


def test_a_measurement_taken_again_replaces_its_own_section_only(tmp_path: Path) -> None:
    """Whoever measures one thing again loses none of the other figures, and finds no figure twice."""
    results = tmp_path / "RESULTS.md"
    results.write_text("# Results\n\n## Another measurement\n\n| kept | | 1 | |\n")
    scale(tmp_path, "budget", "--calls", "2")
    rows = scale(tmp_path, "budget", "--calls", "200")
    assert rows["the whole listing"][1].startswith("2 pages in ")
    assert results.read_text().count("## ") == 2
    assert "| kept | | 1 | |" in results.read_text()
