"""The one place that builds the parts from the settings, and runs them.

In:   `Resolved` settings and the key.  Out: the `Account` of the run.

Nothing is written into the archive's folder before the platform has accepted the key. Whatever ends the run after that, its
ledger is closed with its sums, unless the storage itself fails; then the next run mends it.
"""

from __future__ import annotations

import datetime as dt
import functools
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread

from harvester import crew, events, logs
from harvester.archive import disk
from harvester.archive.checkpoint import Checkpoint
from harvester.archive.ledger import now_text
from harvester.archive.local import LocalState
from harvester.archive.mark import Mark, check_owner, hold, write_mark
from harvester.archive.pages import Pages
from harvester.archive.seal import doubt_of_end
from harvester.archive.store import Archive, new_run_id
from harvester.archive.tidings import commit_gone, gone_draft
from harvester.bulletin import CLOSING, WORKING, Board, board_for
from harvester.course import Course
from harvester.crew import Crew
from harvester.descriptors import afforded
from harvester.errors import HarvestError, NotKeptError, StorageError
from harvester.model import Call, Outcome, Query, RawPage
from harvester.needs import Rules, Todo, sift
from harvester.opening import check_platform, open_api, porters_of, recordings_of, warnings_of
from harvester.outset import alarms_after, archive_for, course_of, known_of, shows_erased_of, stager_for
from harvester.pipeline import LARGEST_GROUP, Draft, Pipeline, Settled, Sift
from harvester.place import local_state
from harvester.platform.api import Api, KeepPage
from harvester.progress import Progress
from harvester.provenance import Server, listed_of, provenance_of
from harvester.report import Account, Traffic
from harvester.settings import Resolved
from harvester.settle import Settler
from harvester.signals import Signals
from harvester.source import source_of
from harvester.standby import Standby
from harvester.vouching import require_vouchers, vouch_for
from harvester.wording import counted

log = logging.getLogger(__name__)


async def harvest(resolved: Resolved, key: str, progress: Progress, standby: Standby | None = None) -> Account:
    """Run once, with the process on `standby` for a porter where one is needed; whoever began it ends it.

    Raises HarvestError for what goes wrong before the run has begun; later errors are in the account.
    """
    settings = resolved.settings
    local = local_state(settings)
    place = None if settings.dry_run else local.bulletin
    with local.locked(), board_for(place, local.archive, progress.counts) as board:
        require_vouchers(settings)
        mark = local.expected_mark(must_exist=settings.must_exist)
        async with open_api(settings, key, progress) as api:
            owner = await check_platform(api, settings)
            if mark:
                check_owner(mark, settings.base_url, owner)
            run = _Run(resolved, api, owner, local, progress, board)
            if settings.dry_run:
                return await run.dry(mark)
            mark = mark or write_mark(local.archive, settings.base_url, owner)
            local.remember(mark, owner)
            with hold(local.archive):
                account = await run.real(mark, standby)
                board.conclude(account)
                return account


async def _nothing_to_commit(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return list(outcomes)


class _Run:
    """One run: what its stages share."""

    def __init__(
        self, resolved: Resolved, api: Api, owner: str | None, local: LocalState, progress: Progress, board: Board
    ) -> None:
        self._resolved = resolved
        self._server = Server(
            account=owner, certificate_sha256=api.last_certificate_sha256, clock=api.last_clock
        )  # as its last answer showed it, before anything else is asked
        self._settings = resolved.settings
        self._api = api
        self._local = local
        self._progress = progress
        self._board = board
        self._started = time.monotonic()
        self._began_at = dt.datetime.now(dt.UTC)
        started_at = now_text()
        self._workers, fewer = afforded(self._settings.workers or crew.MOST, self._settings.pages_in_flight)
        self._account = Account(
            run=new_run_id(local.archive, dt.datetime.now(dt.UTC)),
            archive=disk.path_text(local.archive),
            started_at=started_at,
            dry_run=self._settings.dry_run,
            strict=self._settings.strict,
            filtered=self._settings.query() != Query(),
            warnings=[
                *warnings_of(self._settings),
                *(fewer if self._workers < crew.FIRST or self._settings.workers else []),
            ],
        )
        self._signals = Signals()
        self._stop: Callable[[HarvestError | None], None] = lambda _: None
        self._rules = Rules(recordings=self._settings.recordings, grace_days=self._settings.recording_grace_days)

    async def dry(self, mark: Mark | None) -> Account:
        """List, and count what a run would do."""
        checkpoint = self._open_checkpoint(mark) if mark else None
        unsaved: set[str] = set()
        try:

            async def foresee(todo: Todo) -> Outcome:
                if todo.entry is None:
                    unsaved.add(todo.call.id)
                return todo.needs.outcome(todo.call)

            pipeline = Pipeline[Outcome, Outcome](
                sift=self._sifter(checkpoint),
                settle=foresee,
                stage=_nothing_to_commit,
                commit=_nothing_to_commit,
                on_outcome=self._count,
                crew=Crew(1, fixed=True),
            )
            course = self._course(checkpoint)
            async with self._watched():
                await self._pump(pipeline, course)
            for entry in course.lost:
                self._count(gone_draft(entry).outcome)
            course.conclude(ended_well=self._has_ended_well(pipeline.failure), unsaved=len(unsaved))
        finally:
            if checkpoint:
                checkpoint.close()
        self._conclude(pipeline.failure or logs.failure())
        return self._account

    async def real(self, mark: Mark, standby: Standby | None) -> Account:
        """List, fetch, write, and close the run."""
        settings = self._settings
        checkpoint = self._open_checkpoint(mark)
        archive = archive_for(settings, self._local.archive, checkpoint, self._account.run)
        try:
            course = self._course(checkpoint)
            if doubt := doubt_of_end(archive.root, checkpoint.position):
                self._account.warnings.append(doubt)
            self._account.mended_runs = archive.begin(events.run_started(self._provenance))
            self._board.enter(WORKING, self._account.run)
            async with self._watched():
                failure = await self._fill(archive, checkpoint, course, standby)
                if await anyio.to_thread.run_sync(self._close, archive, course, failure):
                    await vouch_for(self._account, archive.root, settings, lambda: self._signals.received is not None)
        finally:
            archive.abandon()
            checkpoint.close()
        return self._account

    def _open_checkpoint(self, mark: Mark) -> Checkpoint:
        return Checkpoint.caught_up(self._local.checkpoint, self._local.archive, mark.archive_id)

    async def _fill(
        self, archive: Archive, checkpoint: Checkpoint, course: Course, standby: Standby | None
    ) -> HarvestError | None:
        settings = self._settings
        places = Crew(self._workers, fixed=settings.workers is not None)
        async with (
            recordings_of(self._api, settings, self._workers, places.refused) as recordings,
            porters_of(settings, places, archive.mode, self._account.warnings.append, standby) as porters,
        ):
            settler = Settler(stager_for(settings, archive), recordings.fetch, places, porters)
            pipeline = Pipeline(
                sift=self._sifter(checkpoint),
                settle=settler.settle,
                stage=settler.stage,
                commit=archive.commit_from_loop,
                on_outcome=self._count,
                on_again=self._count_again,
                crew=places,
                carrier=settler.carrier,
            )
            await self._pump(pipeline, course, self._keeper(archive, checkpoint))
        if pipeline.failure or self._signals.received is not None:
            return pipeline.failure
        return await commit_gone(
            course.lost,
            LARGEST_GROUP,
            archive.commit_from_loop,
            self._count,
            lambda: self._signals.received is not None,
        )

    def _keeper(self, archive: Archive, checkpoint: Checkpoint) -> KeepPage:
        pages = Pages(archive, every=self._settings.keep_pages, shows_erased=shows_erased_of(checkpoint))

        async def keep(page: RawPage) -> None:
            if key := await pages.keep(page):
                self._account.pages_kept += 1
                self._account.unread_pages += [] if page.readable else [key]

        return keep

    def _sifter(self, checkpoint: Checkpoint | None) -> Sift:
        def sifted(calls: list[Call]) -> tuple[list[Outcome], list[Todo]]:
            known = checkpoint.find(call.id for call in calls) if checkpoint else {}
            return sift(calls, known, self._rules, dt.datetime.now(dt.UTC))

        return sifted

    async def _pump(self, pipeline: Pipeline[Settled, Draft], course: Course, keep: KeepPage | None = None) -> None:
        """Run the pipeline to its end, or until a signal stops it. `keep` is given each list page as it came."""
        today = self._began_at.date()
        source = source_of(self._api, self._settings, course, self._account, self._progress, today, keep)
        self._stop = pipeline.stop
        if self._signals.received is not None:
            pipeline.stop()
        await pipeline.run(functools.partial(course.run, source))

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        """Watch for signals during the block, and keep the bar alive; a second signal ends the process on the spot."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._signals.watch, lambda: self._stop(None), self._progress.say)
            tasks.start_soon(self._tick)
            yield
            tasks.cancel_scope.cancel()

    async def _tick(self) -> None:
        while True:  # by the clock and not by what comes in: a run that waits for the budget is not dead
            await anyio.sleep(1)
            self._progress.beat()
            self._board.beat()

    def _course(self, checkpoint: Checkpoint | None) -> Course:
        self._known = known_of(self._settings, checkpoint)
        account = self._account
        course = course_of(self._resolved, checkpoint, self._known, account, self._count, self._began_at)
        listed = listed_of(self._resolved, account.reach, account.listed_from, account.listed_to)
        self._provenance = account.provenance = provenance_of(self._resolved, self._server, listed)
        return course

    def _count(self, outcome: Outcome) -> None:
        self._account.count(outcome)
        self._progress.counted(outcome)
        if lost := logs.failure():
            self._stop(lost)

    def _count_again(self, error: NotKeptError, calls: int) -> None:
        """Tell that the storage did not keep the files of so many calls, which are settled again."""
        log.info("%s; fetched again, into new files: %s", error, counted(calls, "call"))
        self._account.count_again(error, calls)

    def _has_ended_well(self, failure: HarvestError | None) -> bool:
        settled = self._account.listed + self._account.revisited == sum(self._account.recordings.values())
        return failure is None and self._signals.received is None and settled

    def _conclude(self, failure: HarvestError | None) -> None:
        budget = self._api.gate.budget
        self._account.traffic = Traffic(requests=budget.sent, throttled=budget.throttled)
        self._account.conclude(
            seconds=time.monotonic() - self._started,
            finished_at=now_text(),
            signal=self._signals.received,
            error=failure,
        )

    def _close(self, archive: Archive, course: Course, failure: HarvestError | None) -> bool:
        """Close the run; False: the storage does not take even that, and the next run mends it. Blocks."""
        self._board.enter(CLOSING)
        failure = archive.explained(failure or logs.failure())
        try:
            coverage = course.conclude(ended_well=self._has_ended_well(failure))
            now = self._began_at.astimezone(self._settings.timezone)
            self._account.alarms += alarms_after(course.scope, coverage, self._known, self._settings.query(), now)
            self._conclude(failure)
            for result in course.windows:
                archive.note(events.window_walked(result))
            archive.close(events.sums(self._account), self._account.as_json(), coverage)
        except StorageError as error:
            self._conclude(archive.explained(failure or error))
            return False
        return True
