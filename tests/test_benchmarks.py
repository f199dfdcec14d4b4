"""The benchmarks: each measurement is taken at a size that takes seconds, and what it found is written down."""

import datetime as dt
import hashlib
import importlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SCALE = BENCHMARKS / "scale.py"
PEERS = BENCHMARKS / "peers.py"

TOOLS = ("nginx", "wget2", "aria2c", "jq", "curl", "openssl", "awk", "find", "sha256sum")
MISSING = [tool for tool in TOOLS if not shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin")]
with_tools = pytest.mark.skipif(
    bool(MISSING), reason=f"peers are run for real, and these are missing: {', '.join(MISSING)}"
)

SITE_TOOLS = {"nginx", "openssl", "find", "sha256sum"}
with_site = pytest.mark.skipif(
    bool(SITE_TOOLS & {*MISSING}), reason=f"nginx serves for real, and these are missing: {', '.join(MISSING)}"
)

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what is measured is read from /proc")


def measured(program: Path, folder: Path, *arguments: str) -> dict[str, list[str]]:
    """Run measurements in a folder; return the rows of its RESULTS.md by their first cell: target, measured, verdict."""
    results = folder / "RESULTS.md"
    command = [sys.executable, str(program), *arguments, "--folder", str(folder), "--results", str(results)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    rows = (line.strip("|").split("|") for line in results.read_text().splitlines() if line.startswith("| "))
    return {name.strip(): [cell.strip() for cell in rest] for name, *rest in rows if name != " figure "}


def scale(folder: Path, *arguments: str) -> dict[str, list[str]]:
    """Run measurements of scale.py."""
    return measured(SCALE, folder, *arguments)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Import a module of the benchmarks, which find each other beside themselves."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def test_each_target_has_its_figure_beside_it(tmp_path: Path) -> None:
    """Memory, pace, nightly run, budget and overlap are measured, and held against their targets."""
    rows = scale(tmp_path, "budget", "overlap", "million", "nightly", "--calls", "300")
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


@with_site
def test_the_limits_have_their_figures_too(tmp_path: Path) -> None:
    """Memory, verifying, proportion and exporting are measured and held against their targets, and their files are emptied."""
    rows = scale(tmp_path, "memory", "verify", "proportion", "export", "--calls", "80")
    for name, target in {
        "memory of the process at its highest, 8 recordings of 0.16 MB": "below 120 MB",
        "memory of the process at its highest, 80 recordings of 64 KiB": "below 150 MB",
        "speed of `harvester verify`, against sha256sum, 80 recordings of 1,024 KiB": "at least 0.9 times",
        "speed of `harvester verify`, against sha256sum, 200 recordings of 64 KiB": "at least 0.9 times",
        "time per call, 80 calls against 1": "at most 1.2 times",
        "`harvester export` to a folder, less the time of `cp`": "below 60 s",
        "`harvester export` to a zip file, less the time of `cp`": "below 60 s",
    }.items():
        assert rows[name][0] == target
        assert rows[name][2] in ("met", "**not met**")
    assert not [path for path in tmp_path.glob("limits-*/**/*") if path.is_file() and path.stat().st_size]


@with_site
def test_no_run_is_faster_than_its_waits(tmp_path: Path) -> None:
    """Every recording comes as late as the measurement of latency says, so that no run beats workers that only wait."""
    rows = scale(tmp_path, "latency", "--calls", "200")
    for workers in (8, 32):
        target, measured, _ = rows[f"the whole run with `--workers {workers}`, against calls x latency / workers"]
        assert target == "at most 1.15"
        assert float(measured.split()[0]) >= 1


def test_sealing_has_its_figures(tmp_path: Path) -> None:
    """A made-up run is closed by a process of its own; time and memory are held against their targets, and nothing stays."""
    rows = scale(tmp_path, "seal", "--calls", "200")
    assert rows["time on the clock of the seal, 200 calls"][0] == "below 30 s"
    assert rows["memory of the process at its highest, the manifest's making included"][0] == "below 300 MB"
    assert rows["what the seal is over"][1].startswith("202 lines of the ledger (0 MB) and 603 of the manifest")
    assert not (tmp_path / "sealed").exists()


def test_what_has_no_room_is_not_measured(module: Callable[[str], Any], tmp_path: Path) -> None:
    """Where the disk cannot take an archive nothing is written, and the figure says so instead of a verdict."""
    figures = module("proportion_figures")
    for measurement in (figures.verify, figures.proportion):
        for figure in measurement(tmp_path, 10**12).figures:
            assert figure.measured.startswith("not measured: no room for ")
            assert figure.met is None
    assert not [*tmp_path.iterdir()]


def test_memory_is_that_of_the_harvester_alone(module: Callable[[str], Any], tmp_path: Path) -> None:
    """What the measuring process itself has held before is not counted as the harvester's."""
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    held = b"x" * 300_000_000
    with module("served").served(module("platform_server").Spec(calls=5, first_at=now - DAY, last_at=now)) as platform:
        run = module("harvested").harvest(tmp_path, platform.address.base_url, platform.address.key, "--dry-run")
    assert 0 < run.peak_bytes < len(held)


def test_a_measurement_taken_again_replaces_its_own_section_only(tmp_path: Path) -> None:
    """Whoever measures one thing again loses none of the other figures, and finds no figure twice."""
    results = tmp_path / "RESULTS.md"
    results.write_text("# Results\n\n## Another measurement\n\n| kept | | 1 | |\n")
    scale(tmp_path, "budget", "--calls", "2")
    rows = scale(tmp_path, "budget", "--calls", "200")
    assert rows["the whole listing"][1].startswith("2 pages in ")
    assert results.read_text().count("## ") == 2
    assert "| kept | | 1 | |" in results.read_text()


@with_tools
def test_everybody_does_the_same_whole_job(tmp_path: Path) -> None:
    """Harvester, the pipelines of the shell and the script write the same files of every call, and stand in one table."""
    rows = measured(PEERS, tmp_path, "--smoke", "--size", "120x4K", "--on", str(tmp_path))
    for name in (
        "harvester, durable",
        "wget2, curl, jq, awk, sha256sum",
        "curl --parallel, jq, awk, sha256sum",
        "aria2c, curl, jq, awk, sha256sum",
        "wget2, curl, jq, awk, openssl dgst",
        "a script of aiohttp and aiofiles, no hashes",
    ):
        assert float(rows[name][0].split()[0]) > 0
    target, _, verdict = rows["time on the clock, against the script"]
    assert target == "at most 0.5"
    assert verdict in ("met", "**not met**")
    assert not [path for path in tmp_path.iterdir() if path.name != "RESULTS.md"]


DAY = dt.timedelta(days=1)
CALL = {"id": 7, "transcript": "Hello.\nYes?", "recording_url": "https://127.0.0.1/7.mp3", "total_cost": 0.02}
RECORDING = b"a recording"
DIGEST = hashlib.sha256(RECORDING).hexdigest()


def left_by_a_contestant(folder: Path) -> Path:
    """Leave a call's files, as a pipeline does that has done its job; return where they lie."""
    calls = folder / "calls"
    calls.mkdir()
    (calls / "7.json").write_text(json.dumps(dict(reversed(CALL.items())), indent=1))
    (calls / "7.txt").write_text("Hello.\nYes?\n")
    (calls / "7.mp3").write_bytes(RECORDING)
    (folder / "manifest-sha256.txt").write_text(f"{DIGEST}  7.mp3\n")
    return calls


def checked(module: Callable[[str], Any], folder: Path) -> None:
    """Check a folder as that of the pipeline of curl."""
    expected = {7: module("outcome").Expected(recording=DIGEST, metadata=CALL)}
    (curl,) = (each for each in module("contestants").CONTESTANTS if each.name == "curl")
    module("outcome").check(curl, folder, expected)


def test_the_same_work_in_another_dress_is_the_same(module: Callable[[str], Any], tmp_path: Path) -> None:
    """The order of keys, white space in JSON and a transcript's last newline make no difference."""
    left_by_a_contestant(tmp_path)
    checked(module, tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("7.mp3", b"a recordinG", "its recording is missing, or another one"),
        ("7.mp3", None, "its recording is missing, or another one"),
        ("7.json", b'{"id": 7}', "its metadata is missing, or another one"),
        ("7.json", None, "its metadata is missing, or another one"),
        ("7.txt", b"Hello. Yes?", "its transcript is missing, or another one"),
        ("7.txt", None, "its transcript is missing, or another one"),
        ("8.txt", b"", "is one too many"),
        ("again/7.mp3", RECORDING, "is one too many"),
        ("../manifest-sha256.txt", f"{DIGEST}  8.mp3\n".encode(), "the manifest has no SHA-256"),
    ],
)
def test_who_has_not_done_the_job_ends_the_comparison(
    module: Callable[[str], Any], tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    """A file that is missing, different or one too many is found, and no figure is shown of such a run."""
    path = left_by_a_contestant(tmp_path) / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SystemExit, match=said):
        checked(module, tmp_path)


def test_nobody_always_comes_first(module: Callable[[str], Any]) -> None:
    """Over all rounds each comes first as often as the others, and before each of the others in half of the rounds."""
    orders = ["".join(module("compare").order("abc", nth)) for nth in range(6)]
    assert sorted(order[0] for order in orders) == ["a", "a", "b", "b", "c", "c"]
    for one, other in itertools.permutations("abc", 2):
        assert sum(order.index(one) < order.index(other) for order in orders) == 3


def test_a_ratio_is_taken_round_by_round(module: Callable[[str], Any]) -> None:
    """A round in which the machine was slow for everybody leaves the ratio as it was."""
    compare = module("compare")

    def runs(*seconds: float) -> list[Any]:
        """Return runs of so many seconds."""
        return [compare.Run(wall_seconds=each, user_seconds=0, system_seconds=0, peak_bytes=0) for each in seconds]

    measured = {"ours": runs(1.0, 30.0, 1.1), "theirs": runs(2.0, 60.0, 2.0)}
    assert compare.ratio(measured, "ours", "theirs") == 0.5
    assert compare.fastest(measured, ["theirs", "ours"]) == "ours"
