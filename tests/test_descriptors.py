"""The limit on open files: more workers than it allows are fewer workers, and who meets it waits instead of failing."""

import os
import sys
from collections.abc import AsyncIterator

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.demo.calls import CallBook
from harvester.demo.options import Options
from harvester.demo.server import Platform, serve
from harvester.descriptors import needed, workers_within
from harvester.errors import ConfigError
from tests.harvests import Harvests, command
from tests.platform.many import many_servers
from tests.platform.strange import answering, http

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    """Serve 300 calls, slowly enough that as many workers as there are have something to do."""
    book = CallBook(count=300, most_seconds=20, in_progress=0, late=0)
    async with serve(book, options=Options(latency_seconds=0.05)) as platform:
        yield platform


@given(limit=st.integers(1, 5000) | st.none(), workers=st.integers(1, 256), pages=st.integers(1, 64))
def test_so_many_workers_as_fit_and_no_fewer(limit: int | None, workers: int, pages: int) -> None:
    """As many as asked for where the limit allows them, else the most that fit, which is said; an error where none would."""
    if limit is not None and limit < needed(1, pages):
        with pytest.raises(
            ConfigError, match=rf"may open {limit:,} files; .* {needed(1, pages):,} are needed \(ulimit -n\)$"
        ):
            workers_within(limit, workers, pages)
        return
    found, warnings = workers_within(limit, workers, pages)
    assert 1 <= found <= workers
    assert bool(warnings) == (found < workers)
    assert limit is None or needed(found, pages) <= limit
    assert limit is None or found == workers or needed(found + 1, pages) > limit


async def limited(harvests: Harvests, limit: str, *more: str) -> tuple[int, str, int]:
    """Run with 200 workers and 16 pages in flight under a limit; return exit code, what was said, and the most files open."""
    shell = ["sh", "-c", f'ulimit {limit}; exec "$@"', "sh"]
    flags = ["--workers", "200", "--pages-in-flight", "16", "--per-page", "20", "--attempts", "1", *more]
    environment = {**harvests.environment, "PATH": os.environ["PATH"], "HOME": str(harvests.folder)}
    most, said = 0, b""
    async with await anyio.open_process(
        [*shell, *command("run", *flags)], env=environment, cwd=harvests.folder
    ) as process:
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                nonlocal most
                while True:
                    if os.path.isdir(f"/proc/{process.pid}/fd"):  # noqa: PTH112, ASYNC240 - it vanishes with its process
                        most = max(most, len(os.listdir(f"/proc/{process.pid}/fd")))  # noqa: PTH208
                    await anyio.sleep(0.005)

            tasks.start_soon(watch)
            assert process.stderr
            async for chunk in process.stderr:
                said += chunk
            tasks.cancel_scope.cancel()
        return await process.wait(), said.decode(), most


async def test_more_workers_than_the_limit_allows_are_fewer(harvests: Harvests) -> None:
    """200 workers where 256 files may be open: 58 of them, which is said; no call fails, though each has one attempt."""
    code, said, most = await limited(harvests, "-n 256")
    assert code == 0
    assert (
        "warning: this process may open 256 files, so that 58 instead of 200 calls are settled at the same time" in said
    )
    assert harvests.platform.in_flight_most["recording"] <= 58
    assert most < 256


@pytest.mark.parametrize("processes", [1, 2])
async def test_recordings_on_many_hosts_stay_within_the_limit(harvests: Harvests, processes: int) -> None:
    """Each recording on a host of its own, which keeps its connection open: 256 open files are enough for 300 of them.

    Another process has files of its own, and keeps connections of its own open.
    """
    book = harvests.platform.book
    recorded = [call for call in book.ids() if book.row(call)["recording_url"]]
    async with many_servers(len(recorded)) as many:
        for call, port in zip(recorded, many.ports, strict=True):
            path = f"/{call}.mp3"
            many.bodies[path] = book.recording(call)
            book.change(call, recording_url=f"http://127.0.0.1:{port}{path}")
        code, said, most = await limited(harvests, "-n 256", "--processes", str(processes))
    assert len(recorded) > 150
    assert code == 0, said
    assert "too many open files" not in said
    assert most < 256
    assert many.most <= (58 + 10) * processes
    assert many.made == len(recorded)


async def test_a_limit_that_may_be_raised_is_raised(harvests: Harvests) -> None:
    """Where only the soft limit is low nobody is bothered with it: no worker fewer, and no warning."""
    code, said, _ = await limited(harvests, "-Sn 256")
    assert code == 0
    assert "ulimit" not in said
    shell = ["sh", "-c", 'ulimit -Sn 256; exec "$@"', "sh"]
    asked = "from harvester.descriptors import *; afforded(200, 16); from resource import *; print(getrlimit(RLIMIT_NOFILE)[0])"
    raised = await anyio.run_process([*shell, sys.executable, "-c", asked])
    assert int(raised.stdout) == needed(200, 16) > 256


async def test_the_lowest_limit_is_enough_for_one_worker(harvests: Harvests) -> None:
    """16 pages in flight and one worker: the run is complete."""
    for call_id in list(harvests.platform.book.ids())[40:]:
        harvests.platform.book.delete(call_id)
    code, said, most = await limited(harvests, f"-n {needed(1, 16)}")
    assert code == 0, said
    assert "so that 1 instead of 200 calls are settled" in said
    assert most < needed(1, 16)


async def test_a_limit_that_is_too_low_is_said_before_the_run_begins(harvests: Harvests) -> None:
    """Exit 2 and one sentence, and nothing is written; not an error in the middle."""
    code, said, _ = await limited(harvests, f"-n {needed(1, 16) - 1}")
    assert code == 2
    assert (
        said
        == "harvester: this process may open 82 files; with 16 pages in flight at least 83 are needed (ulimit -n)\n"
    )
    assert not harvests.archive.exists()


PROGRAM = """
import asyncio, os, resource, sys
from harvester.platform.retry import RetryPolicy, retry
from tests.platform.test_wire import get

async def main(url):
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    held = []
    with __import__("contextlib").suppress(OSError):
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))

    async def attempt(number):
        try:
            return await get(url)
        except Exception as error:
            print(type(error).__name__, error.throttled, error.retry_after_seconds, error)
            os.close(held.pop())
            os.close(held.pop())
            raise

    print(await retry(RetryPolicy(attempts=1, first_wait_seconds=0), attempt, "it"))

asyncio.run(main(sys.argv[1]))
"""


async def test_a_connection_that_cannot_be_opened_for_want_of_files_is_waited_for() -> None:
    """It is no failure but a "later", as a 429 is: with a single attempt it succeeds once a file has been closed."""
    async with answering(http(b"at last")) as (port, heads):
        ended = await anyio.run_process([sys.executable, "-c", PROGRAM, f"http://127.0.0.1:{port}/x?a=b"], check=False)
    assert ended.stdout.decode().splitlines() == [
        f"TransientError True 1.0 http://127.0.0.1:{port}/x: no further connection can be opened: "
        "too many open files (ulimit -n)",
        "b'at last'",
    ], ended.stderr.decode()
    assert len(heads) == 1
