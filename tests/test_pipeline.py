"""The way of a call: each one emitted has one outcome, memory stays flat, and a stop loses nothing that is whole."""

import datetime as dt
import json
import math
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import anyio
import anyio.to_thread
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint as turn

from harvester.channel import Channel
from harvester.crew import Crew
from harvester.errors import AuthError, HarvestError, NotKeptError, PlatformError, StorageError
from harvester.model import Call, Outcome, State
from harvester.needs import Rules, Todo, decide
from harvester.pipeline import BATCH, BATCHES_UNDER_WAY, LARGEST_GROUP, Emit, Pipeline
from harvester.platform.rows import read_call

WORKERS = 4


def calls(count: int) -> list[Call]:
    """So many different calls."""
    return [read_call(json.dumps({"id": number}).encode()) for number in range(count)]


def recorded(count: int) -> list[Call]:
    """The same, each with a recording."""
    rows = ({"id": number, "status": "completed", "recording_url": "https://rec.example/1"} for number in range(count))
    return [read_call(json.dumps(row).encode()) for row in rows]


def todo(call: Call) -> Todo:
    """A call of which nothing is held."""
    return Todo(call, None, decide(call, None, Rules(), dt.datetime.now(dt.UTC)))


class Bench:
    """A pipeline whose stages note what they do; a test holds them up with events."""

    def __init__(self, *, workers: int = WORKERS, crew: Crew | None = None, grace_seconds: float = 60) -> None:
        self.taken = self.commits = 0
        self.settled: list[str] = []
        self.groups: list[list[str]] = []
        self.outcomes: Counter[str] = Counter()
        self.may_settle, self.may_commit = anyio.Event(), threading.Event()
        self.may_settle.set()
        self.may_commit.set()
        self.errors: dict[str, Exception] = {}
        self.once: dict[str, Exception] = {}  # the same, and gone when it was raised
        self.again: list[int] = []
        self._at_commit = threading.Lock()
        self.unstaged: dict[str, list[Exception]] = {}  # what staging raises, one after the other
        self.recordings: dict[str, State] = {}  # of those that are not saved
        self.porters: list[Porter] = []  # each is given out once it is asked for
        self.pipeline = Pipeline[int, str](
            sift=self._sift,
            settle=self._settle,
            stage=self._stage,
            commit=self._commit,
            on_outcome=lambda outcome: self.outcomes.update([outcome.id]),
            on_again=lambda _, count: self.again.append(count),
            crew=crew or Crew(workers, fixed=True),
            carrier=self._carrier,
            grace_seconds=grace_seconds,
        )

    def _carrier(self) -> "Porter | None":
        return self.porters.pop() if self.porters else None

    def _sift(self, page: list[Call]) -> tuple[list[Outcome], list[Todo]]:
        known = [call for call in page if int(call.id) % 5 == 4]
        return [outcome(call.id) for call in known], [todo(call) for call in page if call not in known]

    async def _settle(self, todo: Todo) -> int:
        call = todo.call
        self.taken += 1
        await turn()
        if call.id in self.errors:
            raise self.errors[call.id]
        if call.id in self.once:
            raise self.once.pop(call.id)
        await self.may_settle.wait()
        self.settled.append(call.id)
        return int(call.id)

    async def _stage(self, group: Sequence[int]) -> list[str | NotKeptError]:
        return [self._staged(str(each)) for each in group]

    def _staged(self, call_id: str) -> str | NotKeptError:
        if not (errors := self.unstaged.get(call_id)):
            return call_id
        error = errors.pop(0)
        if isinstance(error, NotKeptError):
            return error
        raise error

    async def _commit(self, drafts: Sequence[str]) -> list[Outcome]:
        return await anyio.to_thread.run_sync(self._commit_aside, drafts)

    def _commit_aside(self, drafts: Sequence[str]) -> list[Outcome]:
        assert self._at_commit.acquire(blocking=False), "two commits at once"
        try:
            assert self.may_commit.wait(10)
            self.commits += 1
            if "commit" in self.errors:
                raise self.errors["commit"]
            if "commit" in self.once:
                raise self.once.pop("commit")
            self.groups.append(list(drafts))
            return [outcome(each, self.recordings.get(each, State.SAVED)) for each in drafts]
        finally:
            self._at_commit.release()


class Porter:
    """Settles batches, but for what it leaves; a test holds it up with an event."""

    def __init__(self, leaves: Callable[[Call], bool] = lambda _: False, most: int = 1000) -> None:
        self.leaves = leaves
        self.most = most  # batches that it takes
        self.batches: list[list[str]] = []
        self.may_bring = anyio.Event()
        self.may_bring.set()

    @property
    def is_open(self) -> bool:
        return len(self.batches) < self.most

    def takes(self, todo: Todo) -> bool:
        return int(todo.call.id) % 7 != 0

    async def settle(self, todos: Sequence[Todo]) -> list[int | None]:
        self.batches.append([todo.call.id for todo in todos])
        await self.may_bring.wait()
        return [None if self.leaves(todo.call) else int(todo.call.id) for todo in todos]


def outcome(call_id: str, recording: State = State.SAVED) -> Outcome:
    """The outcome of a call."""
    return Outcome(id=call_id, recording=recording, transcript=State.SAVED)


def pages_of(listed: list[Call], size: int = 10) -> Callable[[Emit], Awaitable[None]]:
    """Emit calls, a page at a time, for as long as more are wanted."""

    async def produce(emit: Emit) -> None:
        for start in range(0, len(listed), size):
            if not await emit(listed[start : start + size]):
                return

    return produce


async def forever(emit: Emit) -> None:
    """Emit a few calls, then wait for a page that never comes."""
    await emit(calls(WORKERS))
    await anyio.sleep_forever()


@pytest.mark.parametrize("count", [0, 1, 5, 203])
@pytest.mark.parametrize("workers", [1, WORKERS])
async def test_every_call_ends_in_exactly_one_outcome(count: int, workers: int) -> None:
    """What is emitted has one outcome each, whether it was settled at once or by a worker."""
    bench = Bench(workers=workers)
    await bench.pipeline.run(pages_of(calls(count)))
    assert bench.outcomes == Counter(call.id for call in calls(count))
    assert bench.taken == sum(map(len, bench.groups)) == count - count // 5
    assert bench.pipeline.failure is None


async def test_pages_may_come_from_several_walks_at_once() -> None:
    """Pages that are emitted concurrently are all settled."""
    bench = Bench()

    async def produce(emit: Emit) -> None:
        async def walk(start: int) -> None:
            assert await emit(calls(100)[start : start + 10])

        async with anyio.create_task_group() as walks:
            for start in range(0, 100, 10):
                walks.start_soon(walk, start)

    await bench.pipeline.run(produce)
    assert bench.outcomes == Counter(call.id for call in calls(100))


async def test_workers_work_at_the_same_time() -> None:
    """As many calls are in flight as there are workers, and not one more."""
    bench = Bench()
    bench.may_settle = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.pipeline.run, pages_of(calls(100)))
        await wait_all_tasks_blocked()
        assert bench.taken == WORKERS
        bench.may_settle.set()
    assert len(bench.outcomes) == 100


async def test_a_full_queue_holds_the_listing_back() -> None:
    """While nothing is settled, or nothing committed, no more pages are asked for: memory stays flat."""
    for hold in ("settle", "commit"):
        bench = Bench()
        emitted = 0

        async def produce(emit: Emit) -> None:
            nonlocal emitted
            for each in calls(1000):
                await emit([each])
                emitted += 1

        if hold == "settle":
            bench.may_settle = anyio.Event()
        else:
            bench.may_commit.clear()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bench.pipeline.run, produce)
            await wait_all_tasks_blocked()
            assert emitted <= 1.25 * (2 * LARGEST_GROUP + 4 * WORKERS)  # of five calls one needs nothing
            bench.may_settle.set()
            bench.may_commit.set()
        assert len(bench.outcomes) == 1000


async def test_drafts_are_committed_in_groups() -> None:
    """What gets ready while a group is made durable is the next group; a group is never larger than it may be."""
    bench = Bench(workers=2 * LARGEST_GROUP)
    bench.may_commit.clear()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.pipeline.run, pages_of(calls(500), 500))
        await wait_all_tasks_blocked()
        bench.may_commit.set()
    assert len(bench.groups) < 100
    assert max(map(len, bench.groups)) == LARGEST_GROUP


async def test_the_first_call_waits_for_no_group_and_later_ones_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes first is on the disk at once; after it calls gather while there is more to do."""
    monkeypatch.setattr("harvester.pipeline.GATHERING_SECONDS", 0.2)
    bench = Bench(workers=1)
    await bench.pipeline.run(pages_of(calls(3000)))
    assert len(bench.groups[0]) <= 2
    assert len(bench.groups) <= 3 + 2400 // LARGEST_GROUP  # one after each commit would be hundreds


async def test_the_listing_goes_on_once_a_recording_is_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not sooner, though helpers have emptied the queue: the first one that is saved counts, whatever comes before it."""
    monkeypatch.setattr("harvester.pipeline.HELD_SECONDS", math.inf)
    bench = Bench(workers=1)
    bench.recordings = {"0": State.ABSENT, "1": State.FAILED}
    at_second_page = Counter[str]()

    async def produce(emit: Emit) -> None:
        await emit(recorded(4))
        at_second_page.update(bench.outcomes)
        await emit(recorded(60)[4:])

    with anyio.fail_after(10):
        await bench.pipeline.run(produce)
    assert at_second_page["2"] == 1
    assert bench.outcomes.total() == 60


async def test_a_slow_disk_does_not_hold_the_listing_back() -> None:
    """It waits for the first recording for a moment, and then for none."""
    bench = Bench()
    bench.may_commit.clear()

    async def produce(emit: Emit) -> None:
        await emit(recorded(4))
        assert not bench.outcomes
        bench.may_commit.set()
        await emit(recorded(60)[4:])

    await bench.pipeline.run(produce)
    assert bench.outcomes.total() == 60


async def test_the_listing_waits_for_no_recording_where_none_is_to_come() -> None:
    """Rows and transcripts are on the disk in no time, and nobody looks for them first."""
    bench = Bench()
    bench.may_commit.clear()

    async def produce(emit: Emit) -> None:
        with anyio.fail_after(0):  # it may turn to others, and not wait for them
            await emit(calls(3))
        bench.may_commit.set()

    await bench.pipeline.run(produce)
    assert bench.outcomes.total() == 3


async def test_a_storage_error_ends_everything() -> None:
    """When a group cannot be committed, no later one is, nothing more is taken, and the error is in `failure`."""
    bench = Bench()
    error = StorageError("the disk is full")
    bench.errors["commit"] = error
    bench.may_commit.clear()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.pipeline.run, pages_of(calls(1000)))
        await wait_all_tasks_blocked()
        taken = bench.taken
        bench.may_commit.set()
    assert bench.pipeline.failure is error
    assert (bench.commits, bench.taken) == (1, taken)
    assert all(int(call_id) % 5 == 4 for call_id in bench.outcomes)


async def test_what_one_call_did_not_keep_is_settled_once_more() -> None:
    """Its worker settles it again from the start, and it has one outcome as all others have."""
    bench = Bench()
    bench.once["2"] = NotKeptError("device")
    await bench.pipeline.run(pages_of(calls(50)))
    assert bench.outcomes == Counter(call.id for call in calls(50))
    assert (bench.taken, bench.again) == (41, [1])
    assert bench.pipeline.failure is None


async def test_what_one_call_of_a_group_did_not_keep_is_settled_once_more() -> None:
    """It alone is settled again; the others of its group wait for nothing and have one outcome each."""
    bench = Bench()
    bench.unstaged["2"] = [NotKeptError("device")]
    await bench.pipeline.run(pages_of(calls(50)))
    assert bench.outcomes == Counter(call.id for call in calls(50))
    assert (bench.taken, bench.again) == (41, [1])
    assert bench.pipeline.failure is None


async def test_a_call_and_then_its_group_not_kept_are_settled_once_more() -> None:
    """One that was not kept while its group was staged is settled again with the group, and only once."""
    bench = Bench()
    bench.unstaged["0"] = [NotKeptError("device")]
    bench.once["commit"] = NotKeptError("device")
    bench.may_settle = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.pipeline.run, pages_of(calls(4), 4))
        await wait_all_tasks_blocked()
        bench.may_settle.set()  # all four at once: one group
    assert bench.outcomes == Counter(call.id for call in calls(4))
    assert bench.pipeline.failure is None
    assert bench.again[0] == 1
    assert bench.taken == 4 + sum(bench.again)


async def test_what_a_group_has_committed_counts_though_one_of_it_fails_twice() -> None:
    """The others of its group stand in the ledger by then: each has its outcome, and then the run ends."""
    bench = Bench()
    bench.unstaged["2"] = [NotKeptError("device"), error := NotKeptError("device again")]
    await bench.pipeline.run(pages_of(calls(4), 4))
    assert bench.pipeline.failure is error
    assert bench.outcomes == Counter(each for group in bench.groups for each in group)
    assert "2" not in bench.outcomes
    assert bench.groups


async def test_what_the_storage_refuses_while_a_group_is_staged_ends_the_run() -> None:
    """No room, for example: fetching again would change nothing, and the group gets no names."""
    bench = Bench()
    error = StorageError("the disk is full")
    bench.unstaged["2"] = [error]
    await bench.pipeline.run(pages_of(calls(4), 4))
    assert bench.pipeline.failure is error
    assert "2" not in bench.outcomes


async def test_what_a_group_did_not_keep_is_settled_once_more() -> None:
    """Every call of the group is settled again before the group is committed; no other call is."""
    bench = Bench(workers=1)
    bench.once["commit"] = NotKeptError("device")
    bench.may_commit.clear()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.pipeline.run, pages_of(calls(50)))
        await wait_all_tasks_blocked()
        bench.may_commit.set()
    assert bench.outcomes == Counter(call.id for call in calls(50))
    (again,) = bench.again  # the first group, however many drafts it has gathered
    assert bench.taken == 40 + again
    assert bench.pipeline.failure is None


@pytest.mark.parametrize("where", ["0", "commit"])
async def test_what_is_not_kept_twice_ends_the_run(where: str) -> None:
    """A call is settled twice at most: then the storage has failed, whichever of its files it was."""
    bench = Bench(workers=1)
    bench.errors[where] = error = NotKeptError("device")
    await bench.pipeline.run(pages_of(calls(1)))
    assert bench.pipeline.failure is error
    assert (bench.taken, bench.again, bench.outcomes) == (2, [1], Counter())


@pytest.mark.parametrize("where", ["once", "unstaged"])
async def test_a_call_settled_again_is_not_settled_a_third_time(where: str) -> None:
    """One that its worker has settled again ends the run when it is not staged, or its group not kept, either."""
    bench = Bench(workers=1)
    bench.once["0"] = NotKeptError("device")
    error = NotKeptError("device")
    if where == "once":
        bench.once["commit"] = error
    else:
        bench.unstaged["0"] = [error]
    await bench.pipeline.run(pages_of(calls(1)))
    assert bench.pipeline.failure is error
    assert bench.taken == 2


async def test_a_refused_key_ends_the_settling_of_a_group_again() -> None:
    """What ends a run ends it there as well; what was settled again by then is committed."""
    bench = Bench(workers=2)
    bench.may_commit.clear()
    bench.once["commit"] = NotKeptError("device")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.pipeline.run, pages_of(calls(2)))
        await wait_all_tasks_blocked()
        bench.errors["0"] = error = AuthError("key")
        bench.may_commit.set()
    assert bench.pipeline.failure is error
    assert "0" not in bench.outcomes


async def test_a_stop_ends_the_settling_of_a_group_again() -> None:
    """It has the grace time as all that is in flight has, and then it is dropped: the next run fetches it."""
    bench = Bench(workers=1, grace_seconds=0)
    bench.once["commit"] = NotKeptError("device")
    bench.may_commit.clear()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.pipeline.run, pages_of(calls(1)))
        await wait_all_tasks_blocked()
        bench.may_settle = anyio.Event()
        bench.may_commit.set()
        while not bench.again:
            await turn()
        await wait_all_tasks_blocked()
        bench.pipeline.stop()
    assert (bench.taken, bench.groups, bench.outcomes) == (2, [], Counter())
    assert bench.pipeline.failure is None


@pytest.mark.parametrize("error", [AuthError("key"), StorageError("disk"), PlatformError("url")])
async def test_what_would_happen_to_every_call_ends_the_run(error: HarvestError) -> None:
    """An error out of settling is in `failure`; the calls in flight are dropped, and the listing is stopped."""
    bench = Bench()
    bench.may_settle = anyio.Event()
    bench.errors["2"] = error
    await bench.pipeline.run(forever)
    assert bench.pipeline.failure is error
    assert (bench.settled, bench.groups) == ([], [])


async def test_a_listing_that_fails_ends_the_run() -> None:
    """An error out of the listing is in `failure`, and nothing is raised."""
    error = PlatformError("no list")

    async def produce(emit: Emit) -> None:
        await emit(calls(3))
        raise error

    bench = Bench()
    await bench.pipeline.run(produce)
    assert bench.pipeline.failure is error
    assert max(bench.outcomes.values(), default=1) == 1


async def test_the_first_failure_counts() -> None:
    """What goes wrong because of a failure does not hide it."""
    bench = Bench()
    first = StorageError("first")
    bench.pipeline.stop(first)
    bench.pipeline.stop(AuthError("second"))
    await bench.pipeline.run(forever)
    assert bench.pipeline.failure is first


async def test_a_stop_lets_what_is_in_flight_end() -> None:
    """After a stop no call is taken any more, the listing ends at once, and what was in flight is settled in the grace."""
    bench = Bench()
    bench.may_settle = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.pipeline.run, pages_of(calls(1000)))
        await wait_all_tasks_blocked()
        bench.pipeline.stop()
        await wait_all_tasks_blocked()
        bench.may_settle.set()
    assert len(bench.settled) == WORKERS
    assert sorted(each for group in bench.groups for each in group) == sorted(bench.settled)
    assert bench.pipeline.failure is None


async def test_what_does_not_end_within_the_grace_is_dropped() -> None:
    """A recording that never comes does not keep a stopped run: it is dropped, and has no outcome."""
    bench = Bench(grace_seconds=0)
    bench.may_settle = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.pipeline.run, forever)
        await wait_all_tasks_blocked()
        bench.pipeline.stop()
    assert (bench.taken, bench.settled, bench.groups) == (WORKERS, [], [])


async def test_a_stop_loses_nothing_that_is_whole() -> None:
    """Drafts that wait for a commit are committed, also when the stop leaves no time for anything else."""
    bench = Bench(grace_seconds=0)
    bench.may_commit.clear()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.pipeline.run, pages_of(calls(1000)))
        await wait_all_tasks_blocked()
        bench.pipeline.stop()
        await wait_all_tasks_blocked()
        bench.may_commit.set()
    assert len(bench.settled) > WORKERS
    assert sorted(each for group in bench.groups for each in group) == sorted(bench.settled)
    assert all(bench.outcomes[call_id] == 1 for call_id in bench.settled)


async def test_after_a_stop_emit_says_so() -> None:
    """A listing that goes on by itself is told that nothing more is wanted."""
    bench = Bench()
    told: list[bool] = []

    async def produce(emit: Emit) -> None:
        told.append(await emit(calls(1)))
        with anyio.CancelScope(shield=True):
            bench.pipeline.stop()
            told.append(await emit([]))

    await bench.pipeline.run(produce)
    assert told == [True, False]


async def test_a_bug_is_not_swallowed() -> None:
    """What is none of our errors ends the run with its traceback, and leaves no task behind."""
    bench = Bench()
    bench.errors["1"] = ZeroDivisionError("bug")
    with pytest.raises(ExceptionGroup) as caught:
        await bench.pipeline.run(forever)
    assert caught.group_contains(ZeroDivisionError)


async def test_a_crew_that_shrinks_lets_fewer_work() -> None:
    """Who is one too many gives its place back after its call; nothing that was begun is dropped for it."""
    crew = Crew(8, fixed=False)
    bench = Bench(crew=crew)
    bench.may_settle = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.pipeline.run, pages_of(calls(100)))
        await wait_all_tasks_blocked()
        assert bench.taken == 8
        crew.refused()
        first, bench.may_settle = bench.may_settle, anyio.Event()
        first.set()
        await wait_all_tasks_blocked()
        assert bench.taken == 8 + 4
        bench.may_settle.set()
    assert len(bench.outcomes) == 100


@pytest.mark.parametrize("leaves", [lambda _: False, lambda call: int(call.id) % 3 == 0, lambda _: True])
async def test_what_a_carrier_leaves_the_workers_settle(leaves: Callable[[Call], bool]) -> None:
    """Every call has one outcome, whoever has settled it."""
    bench = Bench()
    bench.porters = [Porter(leaves), Porter(leaves)]
    carriers = list(bench.porters)
    await bench.pipeline.run(pages_of(calls(1003), 100))
    assert bench.outcomes == Counter(call.id for call in calls(1003))
    carried = Counter(each for porter in carriers for batch in porter.batches for each in batch)
    assert max(carried.values()) == 1
    assert all(porter.batches for porter in carriers)
    assert {each for each in bench.settled if each in carried} == {
        str(n) for n in map(int, carried) if leaves(calls(1003)[n])
    }


async def test_while_there_is_a_carrier_workers_settle_what_it_leaves_alone() -> None:
    """It needs less time for a call than they do."""
    bench = Bench()
    bench.porters = [porter := Porter(leaves=lambda call: int(call.id) % 10 == 1)]
    await bench.pipeline.run(pages_of(calls(1000), 50))
    assert BATCH // 2 < max(map(len, porter.batches)) <= BATCH
    taken = [each for each in bench.settled if int(each) % 7 and int(each) % 10 != 1]
    assert len(taken) <= 2 * WORKERS  # before it began


async def test_calls_that_no_carrier_takes_hold_the_listing_back() -> None:
    """Memory stays flat, though nobody settles them for a while."""
    bench = Bench()
    bench.porters = [Porter()]
    listed = [call for call in calls(7000) if int(call.id) % 7 == 0]
    emitted = 0

    async def produce(emit: Emit) -> None:
        nonlocal emitted
        for start in range(0, len(listed), 50):
            if start == 100:
                bench.may_settle = anyio.Event()
            await emit(listed[start : start + 50])
            emitted += 50

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.pipeline.run, produce)
        await wait_all_tasks_blocked()
        assert emitted <= 300
        bench.may_settle.set()
    assert bench.outcomes.total() == len(listed)


async def test_what_a_carrier_leaves_at_the_very_end_is_settled_by_all() -> None:
    """Workers wait for it, so that the last ones are not settled one after the other."""
    bench = Bench(workers=4)
    bench.porters = [porter := Porter(leaves=lambda _: True)]
    porter.may_bring = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.pipeline.run, pages_of(calls(40), 40))
        await wait_all_tasks_blocked()
        assert porter.batches
        assert not bench.pipeline.stopping
        bench.may_settle, before = anyio.Event(), bench.taken
        porter.may_bring.set()
        await wait_all_tasks_blocked()
        assert bench.taken - before == 4
        bench.may_settle.set()
    assert bench.outcomes.total() == 40


async def test_a_worker_that_waits_gives_its_place_to_who_comes_to_help() -> None:
    """It is taken by nobody else meanwhile: of a fixed number none more are at work than there are to be."""
    crew = Crew(4, fixed=True)
    bench = Bench(crew=crew)
    bench.porters = [porter := Porter(leaves=lambda _: True)]
    porter.may_bring = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.pipeline.run, pages_of(calls(40), 40))
        await wait_all_tasks_blocked()
        crew.helped()
        assert (crew.places, crew.share) == (1, 3)
        bench.may_settle, before = anyio.Event(), bench.taken
        porter.may_bring.set()
        await wait_all_tasks_blocked()
        assert bench.taken - before == 1
        crew.left_alone()
        await wait_all_tasks_blocked()
        assert bench.taken - before == 4
        bench.may_settle.set()
    assert bench.outcomes.total() == 40


async def test_a_further_carrier_is_looked_for_while_all_is_carried() -> None:
    """No worker settles a call by then; and until the last carrier has gone they have what is left alone."""
    bench = Bench()
    bench.porters = [first := Porter()]
    second = Porter()
    second_comes = iter([False] * (2 * WORKERS) + [True])

    def carrier() -> Porter | None:
        if bench.porters:
            return bench.porters.pop()
        return second if next(second_comes, False) else None

    bench.pipeline._carrier = carrier
    carried = [call for call in calls(2000) if int(call.id) % 7]
    await bench.pipeline.run(pages_of(carried, 100))
    assert first.batches
    assert len(second.batches) >= 10
    assert bench.outcomes.total() == len(carried)


async def test_an_error_of_a_carrier_ends_the_run() -> None:
    """As that of a worker does: it is told, and not raised."""
    bench = Bench()
    bench.porters = [porter := Porter()]

    async def fail(todos: Sequence[Todo]) -> list[int | None]:
        raise StorageError(f"the disk is gone with {len(todos)}")

    porter.settle = fail  # type: ignore[method-assign]
    await bench.pipeline.run(pages_of(calls(300), 50))
    assert isinstance(bench.pipeline.failure, StorageError)


async def test_a_carrier_that_has_closed_takes_nothing_more() -> None:
    """The workers settle the rest."""
    bench = Bench()
    bench.porters = [porter := Porter(most=2)]
    await bench.pipeline.run(pages_of(calls(500), 50))
    assert len(porter.batches) <= 2 + BATCHES_UNDER_WAY
    assert bench.outcomes.total() == 500


async def test_a_stop_waits_for_a_carrier_no_longer_than_its_grace() -> None:
    """What it was about to bring is left for the next run."""
    bench = Bench(grace_seconds=0)
    bench.porters = [porter := Porter()]
    porter.may_bring = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.pipeline.run, pages_of(calls(500), 50))
        while not porter.batches:
            await turn()
        bench.pipeline.stop()
    assert not {each for batch in porter.batches for each in batch} & set(bench.outcomes)
    assert bench.pipeline.failure is None


async def test_a_call_that_is_left_holds_no_batch_back() -> None:
    """It goes to the next worker; the carrier goes on with other calls meanwhile, though one of each batch is left."""
    bench = Bench()
    bench.porters = [porter := Porter(leaves=lambda call: int(call.id) % 10 == 1)]
    await bench.pipeline.run(pages_of(calls(2000), 100))
    assert len(porter.batches) > 3 * BATCHES_UNDER_WAY
    assert bench.outcomes.total() == 2000


async def test_what_was_put_in_first_counts_against_the_room() -> None:
    """Whoever puts in more waits until half of it is free, whichever of both is taken; and it comes before all else."""
    channel, put = Channel[int](4), list[int]()

    async def fill() -> None:
        await channel.put([5])
        put.append(5)

    channel.put_first([1, 2, 3, 4])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fill)
        await wait_all_tasks_blocked()
        assert [await channel.get(), await channel.get()] == [1, 2]
        await wait_all_tasks_blocked()
        assert put == []
        assert await channel.get() == 3
        await wait_all_tasks_blocked()
        assert put == [5]
    assert [await channel.get(), await channel.get()] == [4, 5]


async def test_what_is_kept_for_batches_nobody_takes_alone() -> None:
    """But for what was put in first, until it is kept no more. There is no end before that: some may be given back."""
    channel, got = Channel[int](1000), list[int | None]()

    async def take() -> None:
        got.append(await channel.get())

    await channel.put(range(10))
    channel.keep(True)
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(take)
        await wait_all_tasks_blocked()
        assert got == []
        channel.put_first([99])
        await wait_all_tasks_blocked()
        assert got == [99]
        assert await channel.get_some(7) == [0, 1, 2, 3, 4, 5, 6]
        channel.keep(False)
        await wait_all_tasks_blocked()
        assert got == [99, 7, 8, 9]
    channel.keep(True)
    await channel.put([10])
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(take)
        channel.close()
        assert await channel.get_some(24) == [10]
        assert await channel.get_some(24) == []
        await wait_all_tasks_blocked()
        assert len(got) == 4
        channel.put_first([100])
        await wait_all_tasks_blocked()
        assert got[4:] == [100]
        channel.keep(False)
    assert got[5:] == [None]
    channel.put_first([101])
    assert [await channel.get(), await channel.get()] == [101, None]
