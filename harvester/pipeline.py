"""The way of a call through the run: listing, queue, workers, committer. Builds nothing; it is given functions.

In:   `produce` (emits calls a page at a time), `sift`, `settle`, `stage`, `commit`.  Out: one outcome for each call emitted.

    produce --emit--> sift --(bounded queue)--> workers: settle --(bounded queue)--> committer: stage, commit

`sift` ends at once what needs nothing. A full queue holds the listing back, so memory stays flat. Calls that are settled at
the same time are staged one after the other and committed as one group: under load a group fills while the one before it is being
made durable. A failed call is an outcome; only what makes every later call fail ends the run.

What the storage did not keep (NotKeptError, before anything has a name) is settled again from the start, into new files: once,
by the worker or by the committer, by whichever of them it was noticed. The second time it ends the run.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

import anyio
from anyio.abc import TaskGroup

from harvester.channel import Channel
from harvester.crew import Crew
from harvester.errors import HarvestError, NotKeptError, StorageError
from harvester.model import Call, Outcome, State
from harvester.needs import Todo

log = logging.getLogger(__name__)

LARGEST_GROUP = 256
"""Drafts committed together: enough that fsyncs cost little per call, few enough that a crash repeats little."""

MOST_WAITING = 60
"""Calls that wait for a worker before the listing is held back: less than a page of a hundred, so that the first recordings are
on the disk before a long listing goes on, and enough to keep all workers busy while the next page is on its way."""

GATHERING_SECONDS = 0.02
"""How long a group waits for more drafts while there is more to do: each costs some waits for the disk, however small it is."""

HELD_SECONDS = 0.1
"""How long the listing waits, once, for the first recording to be on the disk: carriers empty the queue before it is."""

BATCH = 24
BATCHES_UNDER_WAY = 8
"""Of a carrier, and the calls in each: enough that it has work while this process is at other things, which takes tens of
milliseconds, and few enough that at the end of a run nobody waits for it."""

GRACE_SECONDS = 5.0
"""How long a stopped run waits for the recordings that are coming in."""

Settled = TypeVar("Settled")
Settled_co = TypeVar("Settled_co", covariant=True)
Draft = TypeVar("Draft")
Emit = Callable[[list[Call]], Awaitable[bool]]
Sift = Callable[[list[Call]], tuple[list[Outcome], list[Todo]]]


class Carrier(Protocol[Settled_co]):
    """Settles batches of calls besides the workers."""

    @property
    def is_open(self) -> bool:
        """Whether it takes further batches."""

    def takes(self, todo: Todo) -> bool:
        """Whether a call may be in a batch."""

    async def settle(self, todos: Sequence[Todo]) -> Sequence[Settled_co | None]:
        """Settle each, or leave it undone: None."""


class Done(NamedTuple, Generic[Settled]):
    """What has become of a call; `again`: it was settled for the second time."""

    todo: Todo
    settled: Settled
    again: bool


class Pipeline(Generic[Settled, Draft]):
    """One run's pipeline. `run` returns when everything emitted is settled, or `stop` was asked for."""

    def __init__(
        self,
        *,
        sift: Sift,
        settle: Callable[[Todo], Awaitable[Settled]],
        stage: Callable[[Sequence[Settled]], Awaitable[Sequence[Draft | NotKeptError]]],
        commit: Callable[[Sequence[Draft]], Awaitable[list[Outcome]]],
        on_outcome: Callable[[Outcome], None],
        crew: Crew,
        carrier: Callable[[], Carrier[Settled] | None] = lambda: None,
        on_again: Callable[[NotKeptError, int], None] = lambda _, __: None,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        """`crew` says how many calls are settled at the same time; `stage` and `commit` are never called twice at once.

        `carrier` is asked after each call for somebody who settles batches of them besides.
        `on_again` is told why so many calls are settled once more.
        """
        self._sift = sift
        self._settle = settle
        self._stage = stage
        self._commit = commit
        self._on_outcome = on_outcome
        self._on_again = on_again
        self._crew = crew
        self._carrier = carrier
        self._todo = Channel[Todo](min(2 * crew.most, MOST_WAITING))
        self._done = Channel[Done[Settled]](2 * LARGEST_GROUP)
        self._is_first = True  # whether no group has been gathered yet
        self._shown = anyio.Event()  # set once a recording is on the disk, or was waited for long enough
        self._carrying = 0  # batches that may be under way
        self._grace_seconds = grace_seconds
        self._working = anyio.CancelScope()
        self._producing = anyio.CancelScope()
        self._repeating = anyio.CancelScope()
        self.stopping = False
        self.failure: HarvestError | None = None

    async def run(self, produce: Callable[[Emit], Awaitable[None]]) -> None:
        """Run to the end. An error that ends the run is in `failure` afterwards, never raised."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._commit_groups)
            try:
                with self._working:
                    async with anyio.create_task_group() as workers:
                        workers.start_soon(self._produce, produce)
                        for _ in range(self._crew.most):
                            workers.start_soon(self._work, workers)
            finally:
                self._done.close()

    def stop(self, failure: HarvestError | None = None) -> None:
        """Take no more calls. What is in flight may end within the grace time; after a `failure` it is dropped at once."""
        self.stopping = True
        self._producing.cancel()
        grace_seconds = 0 if failure else self._grace_seconds
        self._working.deadline = min(self._working.deadline, anyio.current_time() + grace_seconds)
        self._repeating.deadline = self._working.deadline
        if failure and not self.failure:
            self.failure = failure

    async def _produce(self, produce: Callable[[Emit], Awaitable[None]]) -> None:
        async def emit(calls: list[Call]) -> bool:
            outcomes, todo = self._sift(calls)
            for outcome in outcomes:
                self._on_outcome(outcome)
            if todo:
                await self._todo.put(todo)
                if not self._shown.is_set() and any(each.needs.fetch for each in todo):
                    with anyio.move_on_after(HELD_SECONDS):
                        await self._shown.wait()
                    self._shown.set()
            return not self.stopping

        try:
            with self._producing:
                try:
                    await produce(emit)
                except HarvestError as error:
                    self.stop(error)
        finally:
            self._todo.close()

    async def _work(self, workers: TaskGroup) -> None:
        """Settle call after call. A place in the crew is kept between them: to hand it on costs a turn of the loop."""
        while not self.stopping:
            async with self._crew:
                while not self._crew.is_overfull:
                    each = await self._todo.get()
                    if each is None or self.stopping:
                        return
                    if self._crew.is_overfull:  # somebody has come to help meanwhile
                        self._todo.put_first([each])
                        break
                    try:
                        settled = await self._settled(each)
                    except HarvestError as error:
                        self.stop(error)
                        return
                    await self._done.put([settled])
                    self._look_for_carrier(workers)

    def _look_for_carrier(self, workers: TaskGroup) -> None:
        """Where there is one it settles what can be in batches, in less time than workers, who have what it leaves."""
        if carrier := self._carrier():
            self._carrying += BATCHES_UNDER_WAY
            self._todo.keep(True)
            for _ in range(BATCHES_UNDER_WAY):
                workers.start_soon(self._carry, carrier, workers)

    async def _carry(self, carrier: Carrier[Settled], workers: TaskGroup) -> None:
        """Settle batch after batch. What the carrier leaves undone goes to the workers; in the end this becomes one of them."""
        while carrier.is_open and not self.stopping and (some := await self._todo.get_some(BATCH)):
            taken = [carrier.takes(each) for each in some]
            todos = list(itertools.compress(some, taken))
            self._todo.put_first(each for each, is_taken in zip(some, taken, strict=True) if not is_taken)
            if todos:
                try:
                    settled = list(zip(todos, await carrier.settle(todos), strict=True))
                except HarvestError as error:
                    self.stop(error)
                    break
                self._todo.put_first(todo for todo, each in settled if each is None)
                await self._done.put(Done(todo, each, again=False) for todo, each in settled if each is not None)
                self._look_for_carrier(workers)
        self._carrying -= 1
        if not self._carrying:
            self._todo.keep(False)
        await self._work(workers)

    async def _settled(self, todo: Todo) -> Done[Settled]:
        try:
            return Done(todo, await self._settle(todo), again=False)
        except NotKeptError as error:
            self._on_again(error, 1)
            return Done(todo, await self._settle(todo), again=True)

    async def _commit_groups(self) -> None:
        while group := await self._gathered():
            if isinstance(self.failure, StorageError):
                continue
            try:
                await self._commit_group(group)
            except HarvestError as error:
                self.stop(error)

    async def _gathered(self) -> list[Done[Settled]]:
        """Return the next group; nothing at the end."""
        first = await self._done.get()
        if first is None:
            return []
        if not self._is_first and len(self._todo) and len(self._done) < LARGEST_GROUP - 1:  # more will be ready soon
            await anyio.sleep(GATHERING_SECONDS)
        self._is_first = False
        return [first, *self._done.take(LARGEST_GROUP - 1)]

    async def _commit_group(self, group: list[Done[Settled]]) -> None:
        drafts, unkept = await self._staged(group)
        try:
            await self._commit_drafts(drafts)
        except NotKeptError as error:
            if any(each.again for each in group):
                raise
            self._on_again(error, len(drafts))
            unkept = group
        if unkept:
            await self._commit_drafts(await self._settled_again(unkept))

    async def _commit_drafts(self, drafts: list[Draft]) -> None:
        """Commit what there is. Whatever fails later, these calls have their outcomes."""
        for outcome in await self._commit(drafts) if drafts else ():
            self._on_outcome(outcome)
            if outcome.recording is State.SAVED:
                self._shown.set()

    async def _staged(self, group: list[Done[Settled]]) -> tuple[list[Draft], list[Done[Settled]]]:
        """Stage a group; return the drafts, and whose files the storage did not keep."""
        drafts, unkept = list[Draft](), list[Done[Settled]]()
        for each, staged in zip(group, await self._stage([each.settled for each in group]), strict=True):
            if not isinstance(staged, NotKeptError):
                drafts.append(staged)
            elif each.again:
                raise staged
            else:
                self._on_again(staged, 1)
                unkept.append(each)
        return drafts, unkept

    async def _settled_again(self, group: list[Done[Settled]]) -> list[Draft]:
        """Settle the calls of a group once more; return what is whole within the grace time, where one runs, or else all."""
        settled: list[Done[Settled]] = []

        # Apart from the crew: its workers may hold all of its places and wait for the committer, which waits here.
        places = anyio.CapacityLimiter(self._crew.places)

        async def settle(todo: Todo) -> None:
            try:
                async with places:
                    settled.append(Done(todo, await self._settle(todo), again=True))
            except HarvestError as error:
                self.stop(error)

        with anyio.CancelScope(deadline=self._working.deadline) as self._repeating:
            async with anyio.create_task_group() as tasks:
                for each in group:
                    tasks.start_soon(settle, each.todo)
        if isinstance(self.failure, StorageError):
            return []
        drafts, _ = await self._staged(settled)
        return drafts
