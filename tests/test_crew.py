"""How many workers there are: more while that makes the run faster, fewer where it does not."""

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from harvester.crew import FIRST, LARGE_BYTES, MOST, MOST_OF_LARGE, PATIENCE_SECONDS, Crew, Size
from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault
from harvester.demo.server import serve
from tests.harvests import Harvests

Rate = Callable[[int], float]
"""Calls per second that so many workers settle."""


def waiting(workers: int) -> float:
    """A server that takes 50 ms for each answer, however many are asked for."""
    return workers / 0.05


def busy(workers: int) -> float:
    """A machine that is at its limit."""
    return 200.0


def worked(size: Size, rate: Rate, seconds: float, *, start: float = 0.0, each_bytes: int = 65_536) -> list[int]:
    """Let a crew work; return how many workers there were, each time that changed."""
    now, found = start, [size.workers]
    while now < start + seconds:
        now += 1 / rate(size.workers)
        size.settled(each_bytes, now)
        if size.workers != found[-1]:
            found.append(size.workers)
    return found


def test_workers_grow_while_they_make_it_faster() -> None:
    """Where each answer is waited for, three seconds are enough to get from the first number to the most."""
    assert worked(Size(), waiting, 3.5) == [FIRST, 16, 32, MOST]


@pytest.mark.parametrize(("most", "found"), [(10, [FIRST, 10]), (20, [FIRST, 16, 20])])
def test_the_last_step_need_not_bring_more_than_it_can(most: int, found: list[int]) -> None:
    """Where open files permit a few more and not twice as many, they are kept for what a few more can bring."""
    assert worked(Size(most), waiting, 10) == found


def test_workers_that_bring_nothing_go_back() -> None:
    """Twice as many that do no more work are given up after a stretch, half as many more too, and these are tried again.

    That is after half a minute, not before.
    """
    size = Size()
    assert worked(size, busy, 6) == [FIRST, 16, FIRST, 12, FIRST]
    assert worked(size, busy, PATIENCE_SECONDS - 6, start=6) == [FIRST]
    assert worked(size, busy, 10, start=PATIENCE_SECONDS) == [FIRST, 12, FIRST]


def test_growth_ends_where_it_stops_paying() -> None:
    """A server that answers so many at a time and no more gets hardly more than these: doubled they are given up again."""
    size = Size()
    assert worked(size, lambda workers: min(workers, 20) / 0.05, 20) == [FIRST, 16, 32, 16, 24, 36, 24]


def test_a_server_that_asks_for_patience_halves_them() -> None:
    """Refusals that come together halve them once, later ones again, down to a single worker; growth waits."""
    size = Size()
    for _ in range(10):
        size.refused(1.0)
    assert size.workers == FIRST // 2
    for second in range(3, 20, 2):
        size.refused(float(second))
    assert size.workers == 1
    assert worked(size, waiting, PATIENCE_SECONDS - 2, start=19.0) == [1]
    assert worked(size, waiting, 10, start=19.0 + PATIENCE_SECONDS)[:3] == [1, 2, 3]


def test_large_recordings_have_few_workers() -> None:
    """Memory stays flat where each connection holds much."""
    size = Size()
    worked(size, lambda workers: workers / 2, 120, each_bytes=2 * LARGE_BYTES)
    assert size.workers == MOST_OF_LARGE


@pytest.mark.parametrize("most", [1, 3, FIRST, 20])
def test_open_files_bound_them(most: int) -> None:
    """There are never more than there can be."""
    assert max(worked(Size(most), waiting, 20)) == most


async def test_a_fixed_number_stays() -> None:
    """What the settings say is not changed by what is measured."""
    crew = Crew(2, fixed=True)
    for _ in range(1000):
        crew.refused()
        crew.settled(0)
    inside = most = 0
    leave = anyio.Event()

    async def work() -> None:
        nonlocal inside, most
        async with crew:
            inside += 1
            most = max(most, inside)
            await leave.wait()
            inside -= 1

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(work)
        await wait_all_tasks_blocked()
        leave.set()
    assert most == 2


async def test_a_place_that_comes_back_is_taken_by_who_waits() -> None:
    """Somebody else had it, and works for the run no more."""
    crew = Crew(2, fixed=True)
    crew.helped()
    inside, leave = 0, anyio.Event()

    async def work() -> None:
        nonlocal inside
        async with crew:
            inside += 1
            await leave.wait()

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(work)
        await wait_all_tasks_blocked()
        assert inside == 1
        crew.left_alone()
        await wait_all_tasks_blocked()
        assert inside == 2
        leave.set()


@pytest.mark.parametrize("most", [2, 3, 4, 8, 16, 60])
@pytest.mark.parametrize("helpers", [1, 2, 3])
def test_helpers_and_workers_are_no_more_than_they_are_to_be(most: int, helpers: int) -> None:
    """Each helper has the same share, and about a quarter stays for what they leave."""
    crew = Crew(most, fixed=True)
    for _ in range(min(helpers, most - 1)):
        crew.helped()
    assert crew.places + min(helpers, most - 1) * crew.share <= most
    assert crew.places >= max(1, most // 4)
    assert crew.share >= 1


async def test_a_run_with_fewer_workers_loses_nothing(tmp_path: Path) -> None:
    """While the recordings' server answers 503, fewer are asked for at the same time, and all are fetched in the end."""
    busy = Fault(where="recording", kind="status", code=503, headers={"Retry-After": "0"}, after=20, times=20)
    book = CallBook(count=200, most_seconds=5, in_progress=0, late=0)
    async with serve(book, faults=[busy]) as platform:
        account = await Harvests(platform, tmp_path).run(retry_wait_seconds=0, attempts=20)
        assert (account.verdict, account.exit_code) == ("complete", 0)
        assert platform.count("recording") == account.recordings["saved"] + 20
