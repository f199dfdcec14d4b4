"""`harvester plan`: what a run with these settings would list, ask for, fetch and write, and whether the disk can take it.

In:   settings and the key.  Out: `Plan`, and the same as text.

It costs a handful of requests: the first page of each listing, the last, a few between, and the headers of about ten recordings,
which are not the API's. It holds no lock and writes nothing, so it may be asked before there is an archive, and while a run is
going on. What moves on the platform meanwhile, failures and later attempts are not foreseen.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from harvester import crew
from harvester.archive import disk
from harvester.archive.checkpoint import Checkpoint
from harvester.archive.local import LocalState
from harvester.archive.mark import Mark, check_owner
from harvester.archive.store import DEFAULT_MIN_FREE_BYTES, SMALL_DISK_SHARE
from harvester.forecast import Size
from harvester.glance import Glance, Held
from harvester.logs import escaped
from harvester.model import Query, Reach
from harvester.opening import check_platform, open_api
from harvester.outset import known_of, scope_for
from harvester.place import local_state
from harvester.platform.api import Api
from harvester.platform.bandwidth import Bandwidth
from harvester.platform.budget import Budget
from harvester.platform.patience import MinRate
from harvester.platform.recordings import Recordings
from harvester.platform.retry import RetryPolicy
from harvester.scope import Scope, is_whole_archive
from harvester.settings import Resolved, Settings
from harvester.wording import counted, duration_text, size_text


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """The disk on which the archive lies or will lie. All in bytes."""

    place: str  # the archive's folder, or the nearest above it that exists
    free_bytes: int
    kept_free_bytes: int  # what a run leaves free (min_free)
    lacking_bytes: int  # 0: it fits


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is expected to take. Counts of `calls` are what the platform claims; all that is derived is an estimate."""

    calls: int
    new_calls: int  # of them not in the archive
    date_from: dt.date | None
    date_to: dt.date | None
    why: str  # it is these days that are listed
    asked_by_id: int  # older calls, still open, that are asked for one by one
    windows: int
    requests: int  # to the API
    requests_per_minute: int
    minutes: float  # that the requests take at this budget
    sampled_calls: int
    recordings: int  # to be downloaded
    recordings_bytes: int | None  # None: no server told a size
    sizes_asked: int
    sizes_told: int
    download_minutes: float | None  # at least, by the `bandwidth` of the settings; None: no limit, or sizes unknown
    files_bytes: int  # rows and transcripts
    needed_bytes: int  # on the disk, in whole blocks; without the recordings where their size is unknown
    disk: Disk | None  # None: no archive was named
    notes: tuple[str, ...]
    cost_requests: int  # that this plan sent to the API

    def as_json(self) -> bytes:
        """Return it as JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)


async def plan(resolved: Resolved, key: str) -> Plan:
    """Look at the platform, the archive and the disk, and say what a run would take. Writes nothing, holds no lock.

    What the archive holds is taken off: without filters all calls that it knows, under filters as large a share as of the sample.
    Raises AuthError, ConfigError, PlatformError; StorageError, MarkError, LedgerError for an archive that cannot be used.
    """
    settings, now = resolved.settings, dt.datetime.now(dt.UTC)
    local = local_state(settings) if settings.archive else None
    mark = local.expected_mark(must_exist=settings.must_exist) if local else None
    async with open_api(settings, key) as api:
        owner = await check_platform(api, settings)
        if mark:
            check_owner(mark, settings.base_url, owner)
        with _opened(local, mark) as checkpoint:
            known = known_of(settings, checkpoint)
            scope = scope_for(resolved, known, now)
            query = msgspec.structs.replace(settings.query(), date_from=scope.date_from)
            held = Held(calls=checkpoint.count_present(), find=checkpoint.find) if checkpoint else Held()
            glance = Glance(api, settings, query, held, now)
            await glance.take()
            returns = scope.reach is Reach.RECENT and is_whole_archive(settings.query(), known)
            asked_by_id = known.open_before(scope.date_from) if returns and scope.date_from else 0
        async with _recordings(api, settings) as recordings:
            sizes, asked = await glance.sizes(recordings)
        return _planned(settings, scope, glance, sizes, asked, asked_by_id, api.gate.budget)


@contextmanager
def _opened(local: LocalState | None, mark: Mark | None) -> Iterator[Checkpoint | None]:
    """Open a copy of the archive's checkpoint for the block; None where there is no archive yet."""
    if local is None or mark is None:
        yield None
        return
    with closing(Checkpoint.copied(local.checkpoint, local.archive, mark.archive_id)) as checkpoint:
        yield checkpoint


def _planned(
    settings: Settings,
    scope: Scope,
    glance: Glance,
    sizes: list[Size],
    asked: int,
    asked_by_id: int,
    budget: Budget,
) -> Plan:
    """Put together what the glance has shown."""
    effort, expected = glance.effort(), glance.expected(sizes)
    counts_all = scope.reach is Reach.RECENT and glance.query == Query(date_from=scope.date_from)
    requests = effort.requests + counts_all + asked_by_id
    recordings_bytes = None if expected.recordings_bytes is None else round(expected.recordings_bytes)
    seconds = recordings_bytes / settings.bandwidth if recordings_bytes and settings.bandwidth else None
    return Plan(
        calls=glance.calls,
        new_calls=round(expected.new),
        date_from=scope.date_from,
        date_to=scope.date_to,
        why=scope.why,
        asked_by_id=asked_by_id,
        windows=effort.windows,
        requests=requests,
        requests_per_minute=budget.per_minute,
        minutes=round(requests / budget.per_minute, 2),
        sampled_calls=glance.sampled_calls,
        recordings=round(expected.recordings),
        recordings_bytes=recordings_bytes,
        sizes_asked=asked,
        sizes_told=len(sizes),
        download_minutes=None if seconds is None else round(seconds / 60, 2),
        files_bytes=round(expected.files_bytes),
        needed_bytes=round(expected.disk_bytes),
        disk=_disk(settings.archive, settings.min_free, round(expected.disk_bytes)) if settings.archive else None,
        notes=_notes(settings, scope, glance, asked_by_id),
        cost_requests=budget.sent,
    )


def _recordings(api: Api, settings: Settings) -> Recordings:
    return Recordings(
        api,
        RetryPolicy(attempts=1),
        workers=settings.workers or crew.FIRST,
        bandwidth=Bandwidth(None),
        min_rate=MinRate(bytes_per_second=settings.min_rate, over_seconds=settings.patience_seconds),
        max_file_bytes=settings.max_file_size,
        hosts=settings.recording_host,
        allow_private_hosts=settings.allow_private_hosts,
    )


def _notes(settings: Settings, scope: Scope, glance: Glance, asked_by_id: int) -> tuple[str, ...]:
    notes = []
    if scope.reach is Reach.RECENT:
        notes.append(f"{scope.why}; --full lists everything again")
    if asked_by_id:
        notes.append(
            f"{counted(asked_by_id, 'older call')} still open: asked for by id; what they bring is not foreseen"
        )
    if not glance.heeds_dates:
        notes.append("the platform ignores dates: its list is walked in one piece, and once more to prove it")
    if not settings.recordings:
        notes.append("recordings are switched off (--no-recordings)")
    if settings.limit is not None and settings.limit < glance.calls:
        notes.append(f"the run will stop after {settings.limit:,} calls (--limit); the figures are for all")
    return tuple(notes)


def _disk(archive: Path, min_free: int | None, needed_bytes: int) -> Disk:
    """Return what the disk has for the archive, which need not be there yet. Raises StorageError."""
    place = archive.absolute()
    while not disk.exists(place) and place != place.parent:
        place = place.parent
    total, free = disk.space_bytes(place)
    kept = min(DEFAULT_MIN_FREE_BYTES, int(total * SMALL_DISK_SHARE)) if min_free is None else min_free
    return Disk(
        place=disk.path_text(place),
        free_bytes=free,
        kept_free_bytes=kept,
        lacking_bytes=max(0, needed_bytes + kept - free),
    )


def plan_text(plan: Plan) -> str:
    """Return the plan as a table; the lines below say whether the disk can take it, and what the plan has cost."""
    at_least = "> " if plan.recordings_bytes is None else ""
    pace = f"{duration_text(plan.minutes * 60)} at {plan.requests_per_minute:,} a minute"
    rows = [
        ("calls to list", f"{plan.calls:,}", "; ".join(filter(None, (_days(plan), _new(plan))))),
        ("windows", f"{plan.windows:,}", ""),
        ("API requests", f"{plan.requests:,}", pace),
        ("recordings to fetch", f"{plan.recordings:,}", ""),
        ("their size", _size(plan.recordings_bytes), _told(plan)),
        ("rows, transcripts", size_text(plan.files_bytes), f"going by {counted(plan.sampled_calls, 'call')}"),
        ("disk needed", f"{at_least}{size_text(plan.needed_bytes)}", "in whole blocks, with ledger and manifest"),
    ]
    if plan.disk:
        kept = f"{size_text(plan.disk.kept_free_bytes)} of it stay free (min_free)"
        rows.append(("disk free", size_text(plan.disk.free_bytes), kept if plan.disk.kept_free_bytes else ""))
    names, figures = max(len(name) for name, _, _ in rows), max(len(figure) for _, figure, _ in rows)
    lines = [f"{name:{names}}  {figure:>{figures}}  {remark}".rstrip() for name, figure, remark in rows]
    lines += [f"note: {note}" for note in plan.notes]
    lines.append(_verdict(plan))
    lines.append(f"an estimate, made with {counted(plan.cost_requests, 'API request')}; nothing was written")
    return "\n".join(map(escaped, lines))


def _new(plan: Plan) -> str:
    if plan.new_calls >= plan.calls:
        return "all of them new" if plan.calls > 1 else ""
    return f"about {plan.new_calls:,} of them new" if plan.new_calls else "none of them new"


def _days(plan: Plan) -> str:
    """Return between which days the calls were created; empty where every day is meant."""
    return " ".join(f"{word} {day}" for word, day in (("from", plan.date_from), ("to", plan.date_to)) if day)


def _size(size_bytes: int | None) -> str:
    return "unknown" if size_bytes is None else size_text(size_bytes)


def _told(plan: Plan) -> str:
    """Return what the size of the recordings goes by, and how long they take at the permitted bandwidth."""
    if not plan.sizes_asked:
        return ""
    if not plan.sizes_told:
        return f"no server told one; {plan.sizes_asked} were asked for"
    asked = f" ({plan.sizes_asked} were asked for)" if plan.sizes_asked > plan.sizes_told else ""
    remark = f"going by {counted(plan.sizes_told, 'size')}{asked}"
    if plan.download_minutes is None:
        return remark
    return f"{remark}; at least {duration_text(plan.download_minutes * 60)} at the permitted bandwidth"


def _verdict(plan: Plan) -> str:
    """Return whether the disk can take it, as one line."""
    at_least = "at least " if plan.recordings_bytes is None else ""
    needed = f"{at_least}{size_text(plan.needed_bytes)}"
    if plan.disk is None:
        return f"no archive is named, so no disk was looked at; it needs {needed}"
    if plan.disk.lacking_bytes:
        return (
            f"the disk lacks about {size_text(plan.disk.lacking_bytes)}: {needed} are needed and "
            f"{size_text(plan.disk.free_bytes)} free at {plan.disk.place}, of which {size_text(plan.disk.kept_free_bytes)} "
            "must stay free; make room, or name another archive"
        )
    if plan.recordings_bytes is None:
        return (
            f"whether the disk at {plan.disk.place} can take it is unknown: no server told how large its recordings are"
        )
    return f"the disk at {plan.disk.place} can take it"
