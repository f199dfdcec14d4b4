"""Rows 14 and 15: the storage answers with an error, at any call. Exit 6 with the path and what to do, and nothing lost.

What did not become durable is fetched again, once, into a new file; then it is exit 6 too.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault
from harvester.demo.server import Platform, serve
from tests.fault import strace
from tests.fault.conftest import CALLS as LISTED
from tests.fault.invariants import (
    assert_converges,
    assert_holds,
    assert_keyless,
    assert_storage_error,
    assert_verifies,
)
from tests.fault.scene import Scene, Tree, new_scene
from tests.fault.strace import Traced, skip_unless_called, traced
from tests.fault.sweep import later, sweep

pytestmark = pytest.mark.skipif(bool(strace.MISSING), reason=str(strace.MISSING))

ERRORS = ("ENOSPC", "EDQUOT", "EIO", "EROFS", "EACCES", "ESTALE", "EHOSTDOWN", "EFBIG")
CALLS = "fsync", "syncfs", "/^rename", "/^mkdir"
"""What only harvester's own writing does in a run: everything else would strike the interpreter too."""


AGAIN = "was fetched again, into new files"


async def struck(scene: Scene, undisturbed: Tree, call: str, error: str, when: int) -> Traced:
    """Let one call fail for each thread that comes so far, and assert all that holds."""
    done = await traced(scene, call, f"error={error}:when={when}")
    assert_holds(scene, done.ended, undisturbed)
    if done.ended.exit_code == 0:
        assert not done.struck or any(words in done.ended.said for words in (AGAIN, "status.json is not kept"))
    else:
        assert_storage_error(done.ended, str(scene.folder))
    await assert_converges(scene, undisturbed)
    return done


def fsynced(lines: list[str]) -> Iterator[tuple[str, bool]]:
    """Yield the path of each fsync in the trace, and whether it failed."""
    for line in lines:
        if "fsync(" in line:
            yield line.partition("<")[2].partition(">")[0], "(INJECTED)" in line


@pytest.mark.parametrize(
    ("call", "error", "when"),
    [
        later("fsync", "ENOSPC", 1),
        ("fsync", "EIO", 4),
        ("syncfs", "ENOSPC", 1),
        ("/^rename", "EDQUOT", 3),
        later("/^mkdir", "EROFS", 3),
    ],
)
async def test_an_error_of_the_storage_ends_the_run(
    scene: Scene, undisturbed: Tree, call: str, error: str, when: int
) -> None:
    """Whatever fails, at whichever call: exit 6, a path and an advice, and the next run makes it good."""
    skip_unless_called(call, scene.folder)
    assert (await struck(scene, undisturbed, call, error, when)).struck


def assert_never_synced_again(lines: list[str]) -> None:
    """Assert that some fsync failed, and that none of these files was fsynced a second time."""
    failed = set()
    for path, injected in fsynced(lines):
        assert path not in failed
        failed |= {path} if injected else set()
    assert failed


async def test_a_file_that_failed_to_become_durable_is_never_tried_again(scene: Scene, undisturbed: Tree) -> None:
    """After EIO at an fsync the kernel may have dropped the bytes: no second fsync of that file is believed, or tried."""
    assert_never_synced_again((await struck(scene, undisturbed, "fsync", "EIO", 5)).lines)


async def test_a_group_that_failed_to_become_durable_is_fetched_again(scene: Scene, undisturbed: Tree) -> None:
    """What had been written when a sync failed may be lost: all of it is fetched again, into new files.

    The sync is held back, so that the calls behind its group are there by then, and wait in memory. Afterwards nothing has a
    name but what was made durable by itself: a second sync would not tell of what the first one has told.
    """
    skip_unless_called("syncfs", scene.folder)
    asked = scene.platform.count("recording")
    one_by_one = ("--workers", "1")  # so that the first group waits for the next calls, of which some have a recording
    inject = "error=EIO:delay_enter=700000:when=1"
    done = await traced(scene, "syncfs,fsync,/^rename", inject, arguments=one_by_one, only="syncfs")
    assert done.ended.exit_code == 0, done.ended.said
    assert done.ended.said.count(AGAIN) == 1
    assert done.ended.account
    saved = done.ended.account["recordings"]["saved"]
    assert 0 < done.ended.account["settled_again"] <= LISTED
    assert saved < scene.platform.count("recording") - asked <= 2 * saved
    durable = {path for path, failed in fsynced(done.lines) if not failed}
    parts = {re.findall(r'"([^"]+\.part)"', line)[0] for line in done.lines if "rename" in line and "/parts/" in line}
    assert len(parts) > len(scene.tree())  # the journal is one of them
    assert parts <= durable
    assert sum("syncfs(" in line for line in done.lines) == 1
    assert_holds(scene, done.ended, undisturbed)
    await assert_converges(scene, undisturbed)


@pytest.mark.parametrize(("call", "error"), [("pwrite64", "ENOSPC"), ("fdatasync", "EIO")])
async def test_a_checkpoint_that_takes_no_more_ends_the_run(
    scene: Scene, undisturbed: Tree, call: str, error: str
) -> None:
    """What the ledger says is never lost by it: exit 6 that names the checkpoint, and the next run catches up."""
    await scene.ends("--limit", "1")
    (checkpoint,) = scene.state.glob("*/checkpoint.db")
    paths = tuple(checkpoint.with_name(checkpoint.name + suffix) for suffix in ("", "-wal", "-shm"))
    done = await traced(scene, call, f"error={error}", paths)
    assert_holds(scene, done.ended, undisturbed)
    assert_storage_error(done.ended, str(checkpoint))
    await assert_converges(scene, undisturbed)


@pytest.mark.parametrize("error", ["ENOSPC", later("EIO")])
async def test_a_log_that_takes_no_more_ends_the_run(tmp_path: Path, error: str) -> None:
    """It stops taking calls: exit 6 with the path and what to do, said once; the next run goes on."""
    book = CallBook(count=60, most_seconds=2, in_progress=0, late=0)
    something_to_tell = Fault(where="recording", kind="reset", after=2, times=1)
    async with serve(book, faults=[something_to_tell]) as platform:
        scene = Scene(platform, tmp_path)
        await scene.ends("--limit", "1")
        (log,) = scene.state.glob("*/harvester.log")
        done = await traced(scene, "write", f"error={error}", (log,), arguments=("--workers", "1"))
        assert done.struck
        assert_storage_error(done.ended, f"cannot write {log}: ")
        assert done.ended.said.count(str(log)) == 1
        assert done.ended.account
        assert done.ended.account["unreached"] > 0
        assert_keyless(scene, done.ended)
        assert (await scene.ends()).exit_code == 0
        assert_verifies(scene.archive, seed=1)


async def test_a_log_that_takes_no_more_is_told_of_beside_what_ended_the_run(scene: Scene) -> None:
    """A run that ends for another reason says both."""
    await scene.ends("--limit", "1")
    (log,) = scene.state.glob("*/harvester.log")
    log.unlink()
    log.symlink_to("/dev/full")
    ended = await scene.ends("--attempts", "2", "--base-url", "http://127.0.0.1:9/api")
    assert ended.exit_code == 5
    assert ended.said.count(f"cannot write {log}: ") == 1
    assert "Connection refused" in ended.said


async def test_a_log_that_cannot_be_opened_keeps_a_run_from_beginning(scene: Scene, undisturbed: Tree) -> None:
    """Exit 6 with its path before the platform is asked; `harvester status` tells of it."""
    await scene.ends("--limit", "1")
    (log,) = scene.state.glob("*/harvester.log")
    log.unlink()
    log.mkdir()
    asked = len(scene.platform.requests)
    ended = await scene.ends()
    assert_storage_error(ended, f"cannot write {log}: ")
    assert len(scene.platform.requests) == asked
    told = await scene.cli("status")
    assert f"cannot write {log}" in (told.stdout + told.stderr).decode()
    log.rmdir()
    assert_holds(scene, ended, undisturbed)
    await assert_converges(scene, undisturbed)


@pytest.mark.fault
@pytest.mark.parametrize("call", CALLS)
async def test_an_error_at_every_call(platform: Platform, undisturbed: Tree, tmp_path: Path, call: str) -> None:
    """Every fsync, rename and mkdir of a run fails once, with each of the errors in turn: nothing is lost, ever."""
    dry = await traced(new_scene(platform, tmp_path), call)
    runs = [
        await struck(new_scene(platform, tmp_path), undisturbed, call, ERRORS[when % len(ERRORS)], when)
        for when in sweep(dry.most())
    ]
    print(f"\n{sum(run.struck for run in runs)} runs met an error at a call of {call}")
