"""Turn what came in for one call into files that lie in the archive but have no final name yet.

In:   a call, its entry, what it needs, its recording if there is one.  Out: a `Draft`: files, ledger event, outcome.

The files are staged in the run's own `parts` folder, not beside their targets: what a crash leaves lies in one place and is swept
by removing that folder, and nobody who browses the dated tree, or copies it, ever meets half a file.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from harvester.archive import disk
from harvester.archive.layout import call_place, versioned
from harvester.archive.ledger import Event
from harvester.archive.modes import WRITABLE
from harvester.archive.part import CheckRoom, Part
from harvester.archive.proof import UNPROVEN, Judge
from harvester.archive.quickness import Quickness
from harvester.archive.told import event_of
from harvester.container.sniff import Container
from harvester.errors import NotKeptError
from harvester.mask import masked
from harvester.model import Call, Entry, File, Outcome, State, Transfer
from harvester.needs import Needs

SUFFIXES = ("json", "txt", *Container)
"""Of all files that one version of a call may have."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a recording that was to be fetched is not there: FAILED, or GONE when it will never be."""

    state: State
    reason: str
    quote: str = ""  # what came instead of the recording; goes to the screen, never into the ledger


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A recording that came in and was accepted."""

    part: Part
    judge: Judge
    transfer: Transfer


class Intake(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a call once nothing is missing but its files.

    `failure` says why a recording that was to be fetched is not in `received`.
    """

    call: Call
    entry: Entry | None
    needs: Needs
    received: Received | None = None
    failure: Failure | None = None

    @property
    def unwritten_bytes(self) -> int:
        """How much of the recording that came in is still to be written."""
        return self.received.part.unwritten_bytes if self.received else 0


class Staged(msgspec.Struct, frozen=True, kw_only=True):
    """A file and where it lies until it gets its name; `part` None: it lies under its name already."""

    file: File
    part: str | None  # a path
    durable: bool = True  # False: its bytes are to be made durable before it gets its name


class Loose(msgspec.Struct, frozen=True):
    """A new file that has no key yet."""

    suffix: str
    role: str
    bytes: int
    sha256: str
    part: str  # the path where it lies
    durable: bool

    def file(self, key: str) -> File:
        """Return the file that it is to be."""
        return File(path=key, bytes=self.bytes, sha256=self.sha256, role=self.role)


class Written(NamedTuple):
    """A call whose new files are written, and have no names yet."""

    intake: Intake
    loose: list[Loose]


class Deposit(msgspec.Struct, frozen=True, kw_only=True):
    """Files that are to be committed, and the ledger line that tells of them."""

    event: Event
    staged: tuple[Staged, ...] = ()


class Draft(Deposit, frozen=True, kw_only=True):
    """All that is to be committed about one call."""

    outcome: Outcome
    entry: Entry


class Stager:
    """Stages calls for one run. Its methods may be called from several threads at once."""

    def __init__(
        self,
        archive: Path,
        parts: Path,
        zone: dt.tzinfo,
        *,
        gathers: Callable[[], bool] = lambda: False,
        quickness: Quickness | None = None,
        mode: int = WRITABLE,
        check_room: CheckRoom = lambda: None,
    ) -> None:
        """`gathers` says whether files wait for their group to become durable, `quickness` who may stage: without it, threads.

        `mode` is that with which files are made; `check_room` is asked before each block of a large recording.
        """
        self._mode = mode
        self._check_room = check_room
        self._archive = archive
        self._parts = str(parts)  # a Path for each file would be a tenth of the time
        self._zone = zone
        self._gathers = gathers
        self._quickness = quickness or Quickness(local=False)
        self._number = itertools.count(1)
        self._new_folders: dict[str, bool] = {}

    def part(self) -> Part:
        """Return a new part for a recording."""
        return Part(self._next(), self._mode, self._check_room)

    def is_quick(self, unwritten_bytes: int, *, helped: bool = False) -> bool:
        """Whether the event loop itself may stage a call of whose recording so many bytes are to be written.

        `helped` tells whether other processes fetch besides.
        """
        return self.gathers and self._quickness.permits(unwritten_bytes, helped=helped)

    @property
    def gathers(self) -> bool:
        """Whether files wait for the sync of their group now; else each is made durable by itself."""
        return self._gathers()

    def stage(self, intake: Intake) -> Draft:
        """Write the call's new files, and say what the ledger is to say of them: `write`, then `draft`. Raises as they do."""
        return self.draft(self.write(intake))

    def write(self, intake: Intake) -> Written:
        """Write the call's new files, durably or for their group to make durable.

        Raises StorageError; NotKeptError where new ones may be tried.
        """
        durably, unwritten_bytes = not self._gathers(), intake.unwritten_bytes
        began = time.perf_counter()
        try:
            loose = self._new_files(intake.call, intake.needs, intake.received, durably=durably)
        except NotKeptError:
            if intake.received:
                intake.received.part.leave()  # it may be another file of the call that was not kept
            raise
        self._quickness.took(time.perf_counter() - began, unwritten_bytes)
        return Written(intake, loose)

    def draft(self, written: Written) -> Draft:
        """Say what is to be committed about a call, its ledger line among it. Raises StorageError."""
        intake, loose = written
        call, entry, needs = intake.call, intake.entry, intake.needs
        received, failure = intake.received, intake.failure
        place = entry.place if entry else call_place(call, self._zone)
        version = (entry.version if entry else 0) + needs.new_version
        version, staged = self._placed(place, version, loose, whole=needs.new_version)
        recording = State.SAVED if received else failure.state if failure else needs.recording
        reason = failure.reason if failure else needs.reason
        reason = masked(reason, call.phone_numbers) if reason else None
        outcome = Outcome(
            id=call.id,
            recording=recording,
            transcript=needs.transcript,
            bytes=sum(each.file.bytes for each in staged if each.part),
            reason=reason,
            unproven=received is not None and received.judge.proof == UNPROVEN,
            quote=failure.quote if failure else "",
        )
        held = recording in (State.SAVED, State.UNCHANGED)
        new_entry = Entry(
            id=call.id,
            digest=call.digest,
            place=place,
            version=version,
            recording=State.SAVED if held else recording,
            transcript=State.SAVED if call.transcript is not None else needs.transcript,
            offered=call.recording_url is not None or (entry is not None and entry.offered),
            link=call.link if received else entry.link if entry else None,
            left=needs.left,
            reason=reason or call.flaw,
        )
        files = [each.file for each in staged]
        download = (received.judge.proof, received.transfer) if received else None
        event = event_of(call, entry, new_entry, outcome, download, files)
        return Draft(outcome=outcome, entry=new_entry, event=event, staged=tuple(staged))

    def _placed(self, place: str, version: int, loose: list[Loose], *, whole: bool) -> tuple[int, list[Staged]]:
        """Give new files their keys; return the version that they are, and all that is to be committed."""
        staged: list[Staged] = []
        if not self._is_new(place.rpartition("/")[0]):
            while clash := self._adopt(place, version, loose, staged, whole=whole):
                version += clash
        return version, staged + [
            Staged(file=new.file(versioned(place, version, new.suffix)), part=new.part, durable=new.durable)
            for new in loose
        ]

    def _new_files(self, call: Call, needs: Needs, received: Received | None, *, durably: bool) -> list[Loose]:
        """Write what is new; return it with its files still without their keys."""
        new = []
        if needs.new_version:
            new.append(self._write("json", "metadata", call.raw, durably=durably))
            if call.transcript is not None:
                text = call.transcript.encode("utf-8", "backslashreplace")
                new.append(self._write("txt", "transcript", text, durably=durably))
        if received:
            part = received.part
            digest, size_bytes, durable = part.stage(durably=durably)
            suffix = received.judge.container.value
            new.append(Loose(suffix, "recording", size_bytes, digest, part.place, durable))
        return new

    def _is_new(self, folder: str) -> bool:
        """Whether this run is the first that puts anything into a folder: nothing of an earlier one can lie there."""
        if folder not in self._new_folders:
            self._new_folders[folder] = not disk.exists(self._archive / folder)
        return self._new_folders[folder]

    def _adopt(self, place: str, version: int, loose: list[Loose], staged: list[Staged], *, whole: bool) -> int:
        """Take in files that lie under our names without a ledger line: a crash came between rename and ledger.

        One with the bytes that we were about to write takes the place of ours. Any other stays as what it is, is put into
        the ledger as adopted, and ours become the next version: 1 is returned, else 0. Where the `whole` version is new, the
        others that lie there beside one of these, such as a recording that is not fetched this time, are adopted too.
        """
        clash = 0
        before = len(staged)
        ours = {new.suffix for new in loose}
        for new in tuple(loose):
            key = versioned(place, version, new.suffix)
            if not disk.exists(self._archive / key):
                continue
            found = self._found(key)
            if found.sha256 == new.sha256:
                loose.remove(new)
                staged.append(Staged(file=new.file(key), part=None))
                with disk.guarded("remove", new.part):
                    Path(new.part).unlink()
            else:
                clash = 1
                staged.append(Staged(file=found, part=None))
        if whole and len(staged) > before:
            others = (versioned(place, version, suffix) for suffix in SUFFIXES if suffix not in ours)
            staged += [Staged(file=self._found(key), part=None) for key in others if disk.exists(self._archive / key)]
        return clash

    def _found(self, key: str) -> File:
        """Return what lies under a name without a ledger line; its bytes are durable from now on."""
        path = self._archive / key
        digest, size_bytes = disk.sha256_of(path)
        disk.sync_file(path)
        return File(path=key, bytes=size_bytes, sha256=digest, role="adopted")

    def _write(self, suffix: str, role: str, data: bytes, *, durably: bool) -> Loose:
        path = self._next()
        disk.write_new(path, data, durably=durably, mode=self._mode)
        return Loose(suffix, role, len(data), hashlib.sha256(data).hexdigest(), path, durably)

    def _next(self) -> str:
        return f"{self._parts}/{next(self._number)}.part"
