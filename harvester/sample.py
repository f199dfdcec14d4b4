"""A sample of a listing: which of its pages, which of its recordings, and what a run would do for each of its calls. Pure.

In:   how long listings are; rows, and what the archive holds of them.  Out: `Sample`s.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from harvester.model import Call, Entry
from harvester.needs import Rules, decide

Thing = TypeVar("Thing")


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What a run does for one call."""

    files: tuple[int, ...] = ()  # the bytes of each file written, the recording's left out
    link: str | None = None  # of the recording that is fetched
    seconds: float | None = None  # how long the call was


class Sampled(msgspec.Struct, frozen=True, kw_only=True):
    """One call of the sample."""

    position: int  # in the list; the first is 0
    created_at: dt.datetime | None  # aware
    as_new: Work  # what a run would do for it if the archive did not know it
    as_held: Work | None  # what it will do, since the archive knows it; None: it does not


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one listing: one query with at most one status."""

    total: int  # calls that the platform claims
    calls: tuple[Sampled, ...]


def work_for(call: Call, entry: Entry | None, rules: Rules, now: dt.datetime) -> Work:
    """Return what a run does for a call of which the archive holds `entry`. `now` is aware."""
    needs = decide(call, entry, rules, now)
    files = []
    if needs.new_version:
        files.append(len(call.raw))
        if call.transcript is not None:
            files.append(len(call.transcript.encode("utf-8", "backslashreplace")))
    return Work(
        files=tuple(files), link=call.recording_url if needs.fetch else None, seconds=call.duration_seconds or None
    )


def pages_to_sample(last_pages: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Return which pages to look at besides page 1 of each listing, at most `most`: (listing, page) for each.

    The last page of each, longest first, tells how far it reaches; the others lie evenly over all that is between.
    """
    most = max(0, most)
    by_length = sorted(range(len(last_pages)), key=lambda listing: -last_pages[listing])
    chosen = [(listing, last_pages[listing]) for listing in by_length if last_pages[listing] > 1][:most]
    between = [(listing, number) for listing, last in enumerate(last_pages) for number in range(2, last)]
    return sorted({*chosen, *spread_out(between, most - len(chosen))})


def spread_out(things: Sequence[Thing], most: int) -> list[Thing]:
    """Return at most so many of the things, evenly spread over all of them."""
    count = min(most, len(things))
    return [things[(2 * number + 1) * len(things) // (2 * count)] for number in range(count)]


def links_to_ask(samples: Iterable[Sample], most: int) -> list[Work]:
    """Return at most so many of the recordings that the sample says are to be fetched, evenly spread over it.

    Where none of those is in the sample, the ones that the archive holds already tell as much.
    """
    calls = [call for sample in samples for call in sample.calls]
    todo = [work for call in calls if (work := call.as_held or call.as_new).link]
    return spread_out(todo or [call.as_new for call in calls if call.as_new.link], most)
