"""What a run sets out to list, from its settings and from what the archive knows; and the archive, opened as they say.

In:   settings, the checkpoint (None: there is no archive yet).  Out: `Scope`, the `Course` of the run; `Archive`, `Stager`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

from harvester.alarms import alarms_of
from harvester.archive.checkpoint import Checkpoint
from harvester.archive.erasure import shown_of
from harvester.archive.stage import Stager
from harvester.archive.store import Archive
from harvester.course import Books, Course
from harvester.model import Coverage, Outcome, Query, Reach
from harvester.report import Account
from harvester.revisit import created_on_place
from harvester.scope import (
    MARGIN_DAYS,
    Known,
    Scope,
    is_whole_archive,
    lookback_doubt,
    refuse_lookback,
    scope_of,
    under,
)
from harvester.settings import Resolved, Settings, flag_of


def archive_for(settings: Settings, root: Path, checkpoint: Checkpoint, run_id: str) -> Archive:
    """Open the archive for a run. Raises StorageError."""
    return Archive(root, checkpoint, run_id, min_free_bytes=settings.min_free, read_only=settings.read_only)


def stager_for(settings: Settings, archive: Archive) -> Stager:
    """Return what stages calls for the run that the archive is open for."""
    return Stager(
        archive.root,
        archive.parts,
        settings.timezone,
        gathers=lambda: archive.durability.gathers,
        quickness=archive.quickness,
        mode=archive.mode,
        check_room=archive.check_room,
    )


def shows_erased_of(checkpoint: Checkpoint) -> Callable[[bytes], bool]:
    """Return what tells whether a list page shows a call that was erased. Raises StorageError."""
    erased = frozenset(checkpoint.erased_ids())
    return lambda body: bool(erased and shown_of(body, erased))


def known_of(settings: Settings, checkpoint: Checkpoint | None) -> Known:
    """Return what the archive knows. Raises StorageError."""
    if checkpoint is None:
        return Known()
    return Known(
        past=checkpoint.past_runs(),
        runs_begun=checkpoint.runs_begun,
        count_calls=checkpoint.count,
        open_before=lambda day: checkpoint.count_unsettled(day, left_out=settings.recordings),
    )


def scope_for(resolved: Resolved, known: Known, now: dt.datetime) -> Scope:
    """Decide what a run lists. `now` is aware."""
    settings = resolved.settings
    return scope_of(
        settings.query(),
        known,
        full=settings.full,
        full_every=settings.full_every,
        lookback_days=settings.lookback_days,
        per_page=settings.per_page,
        now=now.astimezone(settings.timezone),
    )


def check_lookback(resolved: Resolved, scope: Scope, checkpoint: Checkpoint | None) -> str | None:
    """Return a warning about a look-back longer than the archive, or None. Raises ConfigError where it was typed.

    One that stands in a settings file is no error: the archive is still to grow older than it.
    """
    source = resolved.sources["lookback_days"]
    if checkpoint is None or source == "default":
        return None
    place = checkpoint.oldest_place()
    doubt = lookback_doubt(scope, created_on_place(place) if place else None, resolved.settings.lookback_days)
    if doubt and source == flag_of("lookback_days"):
        raise refuse_lookback(doubt)
    return f"{doubt}: nothing is missed, and it passes as the archive grows older" if doubt else None


def alarms_after(scope: Scope, coverage: Coverage, known: Known, query: Query, now: dt.datetime) -> list[str]:
    """Return how the figures of a proven run leave the archive's history. `now` is aware, in the zone in which days are told."""
    if scope.reach is Reach.DATES or not coverage.proven:
        return []
    day = dt.timedelta(days=1)
    past = [run for run in under(query, known.past) if run.coverage.proven]
    looked_at = [  # a run of the future had a wrong clock, and would silence all that is told until then
        run.closed_at.astimezone(now.tzinfo).date() - day for run in past if run.closed_at <= now
    ]
    first = scope.date_from + MARGIN_DAYS * day if scope.date_from else min(coverage.days, default=None)
    if first is None:
        return []
    return alarms_of(
        coverage.days,
        [run.coverage for run in past],
        covered=(first, now.date() - day),
        checked_through=max(looked_at, default=None),
    )


def course_of(
    resolved: Resolved,
    checkpoint: Checkpoint | None,
    known: Known,
    account: Account,
    keep: Callable[[Outcome], None],
    now: dt.datetime,
) -> Course:
    """Return the course of a run that begins at `now` (aware). Raises ConfigError, StorageError."""
    settings = resolved.settings
    scope = scope_for(resolved, known, now)
    if warning := check_lookback(resolved, scope, checkpoint):
        account.warnings.append(warning)
    account.reach, account.why = scope.reach, scope.why
    account.listed_from, account.listed_to = scope.date_from, scope.date_to
    return Course(
        query=settings.query(),
        scope=scope,
        whole_archive=is_whole_archive(settings.query(), known),
        books=_books(checkpoint, left_out=settings.recordings) if checkpoint else Books(),
        account=account,
        keep=keep,
        limit=settings.limit,
        in_flight=settings.pages_in_flight,
        today=now.astimezone(dt.UTC).date(),
    )


def _books(checkpoint: Checkpoint, *, left_out: bool) -> Books:
    return Books(
        unsettled=lambda: checkpoint.unsettled(left_out=left_out),
        present_ids=checkpoint.present_ids,
        count_present=checkpoint.count_present,
        find=checkpoint.find,
    )
