"""Settled means durable: the order of fsync and rename, as the kernel sees it.

A power cut cannot be had in a test of a second, but its question can be asked: what had been made durable when? `strace`
writes down every fsync and rename of a real run, in order, with the paths behind the descriptors.
"""

import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from harvester.archive.durability import Durability
from harvester.demo.calls import CallBook
from harvester.demo.server import Platform, serve
from tests.fault import fuse
from tests.harvests import Harvests, command

CALL = re.compile(r"^\d+ +(?P<name>fsync|syncfs|close|rename\w*)\((?P<arguments>.*?)\) += 0$")
PATH = re.compile(r'<([^<>]*)>|"([^"]*)"')

needs_fuse = pytest.mark.skipif(bool(fuse.MISSING), reason=str(fuse.MISSING))
pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace, which .ci/run installs")


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    """Serve 12 calls, all over, on some days; some of their recordings are too large to stay in memory."""
    async with serve(CallBook(count=12, most_seconds=6000, in_progress=0, late=0)) as platform:
        yield platform


@pytest.fixture(params=["disk", pytest.param("share", marks=needs_fuse)])
def harvests(request: pytest.FixtureRequest, platform: Platform, tmp_path: Path) -> Iterator[Harvests]:
    """Return an archive that is not there yet: on the disk of the tests, and where each file has to have its own fsync."""
    harvests = Harvests(platform, tmp_path)
    if request.param == "disk":
        yield harvests
        return
    with fuse.mounted(tmp_path) as share:
        harvests.archive = share.told / "calls"
        harvests.environment["HARVESTER_ARCHIVE"] = str(harvests.archive)
        yield harvests


async def traced(harvests: Harvests) -> list[tuple[str, str]]:
    """Run under strace; return fsync, syncfs and close as (name, path), and a rename as ("from", path), ("to", path)."""
    lines = await trace_of(harvests, "fsync", "syncfs", "close", "rename", "renameat", "renameat2")
    return [step for line in lines for step in steps_of(line)]


async def trace_of(harvests: Harvests, *calls: str, typed: tuple[str, ...] = ("run", "-q")) -> list[str]:
    """Run under strace; return a line for each of these calls, in the order in which they ended."""
    trace = harvests.folder / "trace"
    done = await anyio.run_process(
        ["strace", "-f", "-y", "-s", "4096", "-o", str(trace), "-e", f"trace={','.join(calls)}", *command(*typed)],
        check=False,
        cwd=harvests.folder,
        env={"PATH": os.environ["PATH"], "HOME": str(harvests.folder), **harvests.environment},
    )
    assert done.returncode == 0, done.stderr.decode()
    return [re.sub(r"\) += ", ") = ", line) for line in whole_lines(trace.read_text())]  # strace aligns them


def whole_lines(trace: str) -> list[str]:
    """Join calls that other threads have interrupted in the trace: what counts is when they had ended."""
    begun: dict[str, str] = {}
    lines = []
    for line in trace.splitlines():
        thread = line.split(" ", 1)[0]
        if line.endswith("<unfinished ...>"):
            begun[thread] = line.removesuffix("<unfinished ...>").rstrip()
        elif " resumed>" in line:
            lines.append(begun.pop(thread) + line.split(" resumed>", 1)[1])
        else:
            lines.append(line)
    return lines


def steps_of(line: str) -> list[tuple[str, str]]:
    """Read one line of the trace."""
    call = CALL.match(line)
    if not call:
        return []
    paths = [one or other for one, other in PATH.findall(call["arguments"])]
    if not call["name"].startswith("rename"):
        return [(call["name"], paths[0])] if paths else []
    source, target = (quoted for _, quoted in PATH.findall(call["arguments"]) if quoted)
    return [("from", source), ("to", target)]


async def test_a_file_gets_its_name_only_when_it_is_durable(harvests: Harvests) -> None:
    """Every file of the dated tree was made durable, whole, by its own fsync or one for all, before it was named."""
    steps = await traced(harvests)
    named = {f"{harvests.archive}/{key}" for key in harvests.files()}
    seen = set()
    for number, (what, path) in enumerate(steps):
        if what == "to" and path in named:
            _, part = steps[number - 1]
            whole = steps.index(("close", part))
            assert ("fsync", part) in steps[:whole] or "syncfs" in (what for what, _ in steps[whole:number]), path
            seen.add(path)
    assert seen == named


async def test_a_sync_for_all_knows_every_error_since_the_first_write(harvests: Harvests) -> None:
    """The kernel tells by a descriptor what failed since that was opened: it is the archive's folder, open from the start."""
    lines = await trace_of(harvests, "openat", "syncfs", "close")
    synced = {found[1] for line in lines if (found := re.search(r" syncfs\((\d+)<", line))}
    assert bool(synced) == Durability.on(harvests.archive).gathers
    first = next(number for number, line in enumerate(lines) if "O_CREAT" in line and "/parts/" in line)
    for handle in synced:
        assert any(re.search(rf" openat\(.* = {handle}<{harvests.archive}>$", line) for line in lines[:first])
        last = max(number for number, line in enumerate(lines) if f" syncfs({handle}<" in line)
        assert not any(f" close({handle}<" in line for line in lines[first:last])


async def test_a_line_is_written_only_when_its_names_are_durable(harvests: Harvests) -> None:
    """Between the rename of a file and the next fsync of the ledger lies the fsync of its folder; and that fsync comes."""
    steps = await traced(harvests)
    (ledger,) = map(str, harvests.archive.glob("runs/*/ledger.jsonl"))
    for number, (what, path) in enumerate(steps):
        if (
            what == "to"
            and not path.startswith(f"{harvests.archive}/runs/")
            and path.startswith(f"{harvests.archive}/20")
        ):
            after = steps[number:]
            assert ("fsync", str(Path(path).parent)) in after[: after.index(("fsync", ledger))], path


async def test_a_group_is_written_down_before_it_is_named(harvests: Harvests) -> None:
    """The journal of a group is durable before the first of its renames, so that a crash leaves no file unknown."""
    steps = await traced(harvests)
    (run,) = (path.name for path in harvests.archive.glob("runs/*"))
    first = next(
        n for n, (what, path) in enumerate(steps) if what == "to" and path.startswith(f"{harvests.archive}/20")
    )
    journal = f"{harvests.archive}/runs/{run}/parts/group.json"
    whole = max(n for n, step in enumerate(steps[:first]) if step == ("close", journal))
    last = [what for what, path in steps[:whole] if path == journal][
        -1:
    ]  # an fsync before its last writing is none of it
    assert last == ["fsync"] or "syncfs" in (what for what, _ in steps[whole:first])


async def test_folders_of_dates_are_made_in_the_folder_held_open(harvests: Harvests) -> None:
    """They are made relative to it, so that none comes to the disk below a share, and each is durable before the line."""
    calls = await trace_of(harvests, "mkdir", "mkdirat", "fsync")
    made = set()
    for number, line in enumerate(calls):
        if found := re.search(r' mkdir(?:at)?\(.*"(?:[^"]*/)?(20[0-9/]+)", 0777\) = 0$', line):
            assert re.search(rf' mkdirat\(\d+<{harvests.archive}>, "\./20', line), line
            parent = str(Path(harvests.archive, found[1]).parent)
            after = [each for each in calls[number:] if " fsync(" in each]
            ledger = next(n for n, each in enumerate(after) if each.endswith("/ledger.jsonl>) = 0"))
            assert any(each.endswith(f"<{parent}>) = 0") for each in after[:ledger]), line
            made.add(found[1])
    days = {Path(key).parent for key in harvests.files()}
    assert made == {each.as_posix() for day in days for each in (day, *day.parents[:-1])}


async def test_the_ledger_of_a_run_that_was_cut_off_is_made_durable(harvests: Harvests) -> None:
    """It is put in place anew: its copy is durable before it has the name, and the name before the run has a manifest."""
    await traced(harvests)
    (manifest,) = harvests.archive.glob("runs/*/manifest-sha256.txt")
    manifest.unlink()
    steps = await traced(harvests)
    folder = manifest.parent
    named = steps.index(("to", f"{folder}/ledger.jsonl"))
    assert steps[named - 1] == ("from", f"{folder}/ledger.jsonl.part")
    assert ("fsync", f"{folder}/ledger.jsonl.part") in steps[:named]
    assert ("fsync", str(folder)) in steps[named : steps.index(("to", str(manifest)))]


async def test_what_is_erased_is_durably_gone(harvests: Harvests) -> None:
    """The tombstone is durable before the first file goes; that they are gone is, before the run has its manifest."""
    await traced(harvests)
    key = next(key for key in sorted(harvests.files()) if key.endswith(".txt"))
    typed = ("erase", "--id", Path(key).stem, "--reason", "a request", "--execute")
    lines = await trace_of(harvests, "fsync", "unlink", "unlinkat", "rename", "renameat", "renameat2", typed=typed)
    gone = [n for n, line in enumerate(lines) if f"/{Path(key).stem}." in line and " unlink" in line]
    assert len(gone) == 3
    assert any(re.search(r" fsync\(.*/ledger\.jsonl>\) = 0$", line) for line in lines[: gone[0]])
    manifest = next(n for n, line in enumerate(lines) if '/manifest-sha256.txt")' in line)
    folder = f"<{(harvests.archive / key).parent}>) = 0"
    assert any(" fsync(" in line and line.endswith(folder) for line in lines[gone[-1] : manifest])


async def test_the_checkpoint_learns_last(harvests: Harvests) -> None:
    """The ledger is fsynced after the last file has its name: the index never knows what the ledger does not."""
    steps = await traced(harvests)
    (ledger,) = map(str, harvests.archive.glob("runs/*/ledger.jsonl"))
    last = max(n for n, (what, path) in enumerate(steps) if what == "to" and path.startswith(f"{harvests.archive}/20"))
    assert ("fsync", ledger) in steps[last:]
