"""Archives made by hand: calls, runs one after another, and what a crash leaves of them."""

import datetime as dt
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from harvester.archive.checkpoint import Checkpoint
from harvester.archive.layout import LEDGER, run_key
from harvester.archive.mark import write_mark
from harvester.archive.part import Part
from harvester.archive.proof import Judge
from harvester.archive.stage import Draft, Stager
from harvester.archive.store import Archive, new_run_id
from harvester.crew import Crew
from harvester.demo.audio import recording
from harvester.errors import NotKeptError, RecordingError
from harvester.model import Call, Transfer
from harvester.needs import Rules, Todo, decide
from harvester.platform.rows import read_call
from harvester.settle import Settler

PLATFORM = "https://platform.example/api"
OWNER = "owner@example.com"
SOUND = recording(1, 1)
NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


def call(call_id: object = 123, **members: object) -> Call:
    """Return a call as the platform would send it, long ended, with a transcript and a recording."""
    row = {
        "id": call_id,
        "created_at": "2025-08-04 14:30:00",
        "status": "completed",
        "duration": 60,
        "transcript": "Hello.",
        "recording_url": f"https://recordings.example/calls/{call_id}.mp3",
    }
    return read_call(json.dumps(row | members).encode())


def transfer(link: str, framing: str = "content-length") -> Transfer:
    """Return what the download of a recording told."""
    headers = {"content-length": str(len(SOUND))}
    hosts = ("cdn.example",)
    return Transfer(
        link=link,
        status=200,
        headers=headers,
        redirect_hosts=hosts,
        framing=framing,
        attempts=1,
        started_at=NOON,
        finished_at=NOON,
    )


class Run:
    """One run on an archive."""

    def __init__(self, site: "Site", run_id: str, min_free_bytes: int, read_only: bool) -> None:
        self.id = run_id
        self.checkpoint = site.checkpoint()
        self.archive = Archive(site.root, self.checkpoint, run_id, min_free_bytes=min_free_bytes, read_only=read_only)
        self.stager = Stager(site.root, self.archive.parts, dt.UTC, mode=self.archive.mode)

    async def draft(
        self,
        call: Call,
        sound: bytes | None = SOUND,
        *,
        failure: str | RecordingError = "no such file",
        rules: Rules | None = None,
        headers: dict[str, str] | None = None,
    ) -> Draft:
        """Stage a call. Its recording is `sound`, sent with `headers` too, or cannot be had because of `failure`."""

        async def fetch(call: Call, part: Part, judge: Judge) -> Transfer:
            await part.restart()
            if sound is None:
                raise RecordingError(failure) if isinstance(failure, str) else failure
            await part.write(sound)
            told = transfer((call.recording_url or "").partition("?")[0])
            told = msgspec.structs.replace(told, headers=told.headers | (headers or {}))
            await judge(call, told)
            return told

        entry = self.checkpoint.find([call.id]).get(call.id)
        settler = Settler(self.stager, fetch, Crew(1, fixed=True))
        needs = decide(call, entry, rules or Rules(), dt.datetime.now(dt.UTC))
        (draft,) = await settler.stage([await settler.settle(Todo(call, entry, needs))])
        if isinstance(draft, NotKeptError):
            raise draft
        return draft

    async def save(self, *calls: Call, sound: bytes | None = SOUND) -> None:
        """Stage and commit calls."""
        self.archive.commit([await self.draft(each, sound) for each in calls])

    def close(self) -> None:
        """Close the run."""
        self.archive.close({"verdict": "complete"}, b'{"verdict": "complete"}\n')


class Site:
    """An archive in a folder, and its checkpoint beside it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "calls"
        self.db = folder / "state" / "checkpoint.db"
        self.mark = write_mark(self.root, PLATFORM, OWNER)

    def checkpoint(self) -> Checkpoint:
        """Open the checkpoint, caught up."""
        return Checkpoint.caught_up(self.db, self.root, self.mark.archive_id)

    @contextmanager
    def run(
        self, *, run_id: str | None = None, min_free_bytes: int = 0, begin: bool = True, read_only: bool = False
    ) -> Iterator[Run]:
        """Begin a run. Unless the block closes it, it is left as a crash would leave it."""
        run = Run(self, run_id or new_run_id(self.root, NOON), min_free_bytes, read_only)
        try:
            if begin:
                run.archive.begin({"tool": "test"})
            yield run
        finally:
            run.archive.abandon()
            run.checkpoint.close()

    async def saved(self, *calls: Call, sound: bytes | None = SOUND) -> str:
        """Save calls in one run that closes, and return its id."""
        with self.run() as run:
            await run.save(*calls, sound=sound)
            run.close()
            return run.id

    def files(self, under: str = "") -> dict[str, bytes]:
        """Return every file by its key."""
        paths = sorted(path for path in (self.root / under).rglob("*") if path.is_file())
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in paths}

    def tree(self) -> set[str]:
        """Return the keys of the dated tree."""
        return {key for key in self.files() if not key.startswith(("runs/", "harvester-archive.json"))}

    def lines(self, run_id: str) -> list[dict[str, Any]]:
        """Return the ledger lines of a run."""
        return [json.loads(line) for line in (self.root / run_key(run_id, LEDGER)).read_text().splitlines()]


def copied(site: Site, target: Path) -> Path:
    """Copy an archive, to damage the copy."""
    shutil.copytree(site.root, target, symlinks=True)
    return target


def flip_bit(path: Path, at: int, bit: int = 0) -> None:
    """Flip one bit of a file."""
    with path.open("r+b") as file:
        os.pwrite(file.fileno(), bytes([os.pread(file.fileno(), 1, at)[0] ^ 1 << bit]), at)
