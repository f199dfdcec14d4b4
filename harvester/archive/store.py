"""The archive while a run is at work on it: begin, commit, close; and mend what a crash left.

In:   drafts.  Out: files under their final names, then ledger lines, then the checkpoint: in this order, always.

Drafts are committed in groups, one at a time. Their files are durable, or become so by one sync for all; besides that a group
costs its renames, one fsync for each folder, one for the ledger, one for its journal where no file waited, and one transaction.
So what the ledger calls saved survives a power cut. Before the renames the files are written down beside the parts: the next
run finds those that a crash left without a line.
"""

from __future__ import annotations

import datetime as dt
import functools
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from harvester.archive import disk, ledger
from harvester.archive.anchor import Anchor
from harvester.archive.checkpoint import Checkpoint
from harvester.archive.closing import close_cut_off, finish_run, is_closed, seal_unsealed
from harvester.archive.durability import Durability, is_local
from harvester.archive.group import GROUP, encoded, sweep_parts, unwritten, write_journal
from harvester.archive.layout import LEDGER, PARTS, RUN_ID, RUN_STAMP, RUNS, run_key
from harvester.archive.ledger import Event, Ledger
from harvester.archive.mark import require_mark
from harvester.archive.modes import mode_of
from harvester.archive.quickness import Quickness
from harvester.archive.seal import FORM
from harvester.archive.stage import Deposit, Draft, Staged
from harvester.archive.torn import torn_bytes
from harvester.errors import HarvestError, MarkError, StorageError
from harvester.model import PAGE, Coverage, Entry, File, Outcome, PastRun

SMALL_DISK_SHARE = 0.01
DEFAULT_MIN_FREE_BYTES = 1024**3


class Archive:
    """One archive, opened for one run."""

    def __init__(
        self,
        root: Path,
        checkpoint: Checkpoint,
        run_id: str,
        *,
        min_free_bytes: int | None = None,
        read_only: bool = False,
    ) -> None:
        """`min_free_bytes` is what must stay free on the disk; None: 1 GiB, or 1 % of a disk smaller than 100 GiB.

        `read_only` tells whether nobody may write a file once it is settled.
        """
        self.mode = mode_of(read_only=read_only)
        self.root = root
        self.run_id = run_id
        self.parts = root / run_key(run_id, PARTS)
        self._anchor = Anchor(root)  # first: what is found out about the folder below is about the one that is held
        self.durability = Durability.on(root)
        self.quickness = Quickness(local=is_local(root) and is_local(checkpoint.path.parent))
        self._checkpoint = checkpoint
        self._min_free_bytes = min_free_bytes
        self._ledger: Ledger | None = None
        self._turn = anyio.Lock(fast_acquire=True)  # groups of calls and pages come from different tasks

    def begin(self, about: Event) -> list[str]:
        """Mend what earlier runs left, then start this one's ledger with `about`. Return the ids of the runs mended.

        Where `about` names another `command` than a harvest, this run is none of those that list and prove.

        Raises StorageError, LedgerError.
        """
        self._check_place()
        mended = self._mend()
        self._ledger = Ledger(self.root / run_key(self.run_id, LEDGER), self._checkpoint.position)
        lines: list[Event] = [{"event": ledger.RUN_STARTED, "run": self.run_id, "seal": FORM, **about}]
        harvests = about.get("command", ledger.HARVEST) == ledger.HARVEST
        self._append([*lines, *({"event": "recovered", **each} for each in mended)], begun=harvests)
        return [str(each["run"]) for each in mended]

    def commit(self, drafts: Sequence[Deposit]) -> list[Outcome]:
        """Settle a group of calls. When it returns, their outcomes survive a power cut.

        Raises StorageError; NotKeptError before anything has a name: the calls may be settled again, into new files.
        """
        with closing(self._steps(drafts)) as steps:
            for step in steps:
                try:
                    step()
                except StorageError as error:
                    steps.throw(error)
        return _outcomes(drafts)

    async def commit_from_loop(self, drafts: Sequence[Deposit]) -> list[Outcome]:
        """Settle a group of calls as `commit` does, from the event loop; a second group waits for its turn.

        On a quick disk only the steps that wait for it are made by a thread, else all. A thread that names a thousand files
        while the loop is busy would fight with it over the interpreter at each of them.
        """
        async with self._turn:
            if not self.quickness.permits(0):
                return await anyio.to_thread.run_sync(self.commit, drafts)
            # Shielded: all of it or nothing, as in `commit`. Files with names want their lines.
            with anyio.CancelScope(shield=True), closing(self._steps(drafts)) as steps:
                for step in steps:
                    try:
                        await anyio.to_thread.run_sync(step)
                    except StorageError as error:
                        steps.throw(error)
        return _outcomes(drafts)

    def _steps(self, drafts: Sequence[Deposit]) -> Generator[Callable[[], None], None, None]:
        """Settle a group of calls; yield each step that waits for the disk, to be made before the next is asked for.

        Whoever makes them throws in what they raise.
        """
        self._opened()
        self._anchor.check()
        self.check_room()
        staged = [each for draft in drafts for each in draft.staged]
        folders = {each.file.path.rpartition("/")[0] for each in staged}
        yield functools.partial(self._ready, folders, staged)
        with self._ended_by_failure():
            began, root = time.perf_counter(), str(self.root)
            disk.give_names((each.part, f"{root}/{each.file.path}") for each in staged if each.part)
            self.quickness.named(time.perf_counter() - began, len(drafts))
            yield functools.partial(self._tell, folders, [draft.event for draft in drafts])
            entries = [draft.entry for draft in drafts if isinstance(draft, Draft)]
            self._checkpoint.learn(entries, self._opened().position)

    def _ready(self, folders: set[str], staged: Sequence[Staged]) -> None:
        """Make everything durable that a group needs before it gets its names: folders, journal, the files themselves."""
        for folder in folders:
            self._anchor.make_folders(folder)
        waiting = [each.file.bytes for each in staged if not each.durable]
        if new := [each.file for each in staged if each.part]:
            write_journal(self.root, self.run_id, new, durably=not waiting, anew=self.durability.failure is not None)
        self.durability.gather(waiting, self._anchor.sync_file_system)

    def _tell(self, folders: set[str], events: list[Event]) -> None:
        """Make a group's names durable, then its ledger lines."""
        for folder in folders:
            disk.sync_folder(self.root / folder)
        self._opened().append(events)

    def note(self, event: Event) -> None:
        """Put an event that is about no call into the ledger. Raises StorageError."""
        self._append([event])

    def close(self, sums: Event, account: bytes, coverage: Coverage | None = None) -> None:
        """Close the run: last ledger line with its `sums` and `coverage`, account, manifest, seal. Raises StorageError."""
        event: Event = {"event": "run-closed", **sums}
        runs = []
        if coverage:
            event["coverage"] = msgspec.to_builtins(coverage, str_keys=True)
            verdict = str(sums.get("verdict", ""))
            runs = [PastRun(run=self.run_id, closed_at=dt.datetime.now(dt.UTC), verdict=verdict, coverage=coverage)]
        self._anchor.check()
        self._append([event], runs=runs)
        self.abandon()
        finish_run(self.root, self.run_id, account, self.mode)

    def abandon(self) -> None:
        """Let go of the files without closing the run; the next run mends it."""
        self._close_ledger()
        self._anchor.close()

    def explained(self, failure: HarvestError | None) -> HarvestError | None:
        """Return why a run has failed: where its archive is no more what its path leads to, that, and else the `failure`."""
        try:
            if isinstance(failure, StorageError):
                self._anchor.check()
        except StorageError as error:
            return error
        return failure

    def check_room(self) -> None:
        """Raise StorageError when less is free than must stay free."""
        total, free = disk.space_bytes(self.root)
        least = self._min_free_bytes
        if least is None:
            least = min(DEFAULT_MIN_FREE_BYTES, int(total * SMALL_DISK_SHARE))
        if free < least:
            raise StorageError(
                f"only {free:,} bytes are free at {self.root}, and {least:,} are to stay free (min_free); "
                "make room and run again: what is saved stays"
            )

    def _append(
        self, events: list[Event], entries: Sequence[Entry] = (), runs: Sequence[PastRun] = (), *, begun: int = 0
    ) -> None:
        opened = self._opened()
        with self._ended_by_failure():
            opened.append(events)
            self._checkpoint.learn(entries, opened.position, runs, begun=begun)

    def _opened(self) -> Ledger:
        if self._ledger is None:
            raise StorageError(f"the run {self.run_id} is closed, or an error of the storage has ended it")
        return self._ledger

    @contextmanager
    def _ended_by_failure(self) -> Iterator[None]:
        """Write nothing behind a block that was left early: names without a line, or half a line, are the next run's to mend."""
        try:
            yield
        except BaseException:
            self._close_ledger()
            raise

    def _close_ledger(self) -> None:
        if self._ledger:
            self._ledger.close()
            self._ledger = None

    def _check_place(self) -> None:
        """Make sure that the folder held open is the archive that is meant: a share may have come or gone since it was found."""
        if require_mark(self.root).archive_id != self._checkpoint.archive_id:
            raise MarkError(f"another archive lies at {self.root} by now: is the right disk or share mounted?")
        self._anchor.check()

    def _mend(self) -> list[Event]:
        """Make this run's folder, and close every run that could not close itself; return what the ledger is to say of each.

        Room is looked for once their parts are gone, which may be what has filled the disk.

        What those have named without a line becomes this run's group before theirs go: a crash here loses sight of no file.
        """
        unbegun = ledger.unbegun_ids(self.root)
        begun = ledger.run_ids(self.root)
        closed = [run_id for run_id in begun if is_closed(self.root, run_id)]
        cut_off = sorted(set(begun) - set(closed), key=begun.index)
        for run_id in (*unbegun, *cut_off):
            sweep_parts(self.root, run_id)
        self.check_room()
        orphans = {run_id: list(self._orphans(run_id)) for run_id in (*unbegun, *cut_off)}
        self._anchor.make_folders(run_key(self.run_id, PARTS))
        group = self.root / run_key(self.run_id, GROUP)
        disk.write_durable(group, encoded(file for files in orphans.values() for file in files))
        disk.sync_folder(group.parent)
        torn_bytes = {run_id: self._sweep_unbegun(run_id) for run_id in unbegun}
        torn_bytes |= {run_id: close_cut_off(self.root, run_id, self.mode) for run_id in cut_off}
        seal_unsealed(self.root, closed, self.mode)
        return [
            {"run": run_id, "torn_bytes": torn_bytes[run_id], "files": [msgspec.structs.asdict(file) for file in files]}
            for run_id, files in orphans.items()
        ]

    def _orphans(self, run_id: str) -> Iterator[File]:
        """Yield the files, durable now, that a run had named when it was cut off, and that no line of it tells of."""
        for file in unwritten(self.root, run_id):
            key = file.path
            path = self.root / key
            if disk.file_bytes(path) == file.bytes and disk.sha256_of(path)[0] == file.sha256:
                disk.sync_folder(path.parent)
                yield file if file.role == PAGE else msgspec.structs.replace(file, role="adopted")

    def _sweep_unbegun(self, run_id: str) -> int:
        """Remove the folder of a run without a whole line; its torn one would break the chain for who reads it by `cat`."""
        path = self.root / run_key(run_id, LEDGER)
        torn = torn_bytes(self.root, run_id) if disk.exists(path) else 0
        disk.remove_tree(path.parent)
        disk.sync_folder(path.parent.parent)
        return torn


def new_run_id(root: Path, now: dt.datetime) -> str:
    """Return the id of a run that starts at `now` (aware): its instant in UTC and eight hex digits.

    It sorts behind every run that lies in the archive, so that `cat runs/*/ledger.jsonl` is the chain. Where the clock was set
    back, or the second is the same, it bears the second after the newest run's; the ledger's lines tell the time as it was.
    Raises StorageError when there is none behind it.
    """
    newest = max((name for name in disk.names(root / RUNS) if RUN_ID.fullmatch(name)), default="")
    stamp = now.astimezone(dt.UTC).strftime(RUN_STAMP)
    if newest and newest[: len(stamp)] >= stamp:
        try:
            after = dt.datetime.strptime(newest[: len(stamp)], RUN_STAMP) + dt.timedelta(seconds=1)
        except (ValueError, OverflowError):
            raise StorageError(
                f"the name of {root / RUNS / newest} is no instant behind which another can come; "
                "harvester has not made that folder: take it out of the archive"
            ) from None
        stamp = after.strftime(RUN_STAMP)
    return f"{stamp}-{secrets.token_hex(4)}"


def _outcomes(drafts: Sequence[Deposit]) -> list[Outcome]:
    return [draft.outcome for draft in drafts if isinstance(draft, Draft)]
