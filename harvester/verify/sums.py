"""Do the sums of a run add up, and do its ledger and its account say the same?

In:   the last line of a run's ledger, and its `run.json`.  Out: a finding for each sum that does not hold.

Hashes show that nobody has altered what was written; the sums show that what was written agrees with itself: every call listed
has ended in one state, for its recording and for its transcript, and a run that calls itself complete has settled all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from harvester.archive import disk
from harvester.archive.layout import ACCOUNT, LEDGER, run_key
from harvester.verify.findings import Verification

LARGEST_ACCOUNT_BYTES = 256 * 1024 * 1024
"""An account names each failed call; so much has one with a million of them."""

RUN_CLOSED = "run-closed"
BOTH = ("verdict", "exit_code", "listed", "revisited", "windows_proven", "windows_unproven")
"""What the last line and the account both tell."""

SIDES = ("recordings", "transcripts")

Counts = dict[str, int]


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """What a run says of itself in numbers. None: it does not say. Holds and erasures list nothing, and have no counts."""

    event: str = ""
    verdict: str | None = None
    exit_code: int | None = None
    listed: int | None = None
    revisited: int | None = None
    recordings: Counts | None = None
    transcripts: Counts | None = None
    windows_proven: int | None = None
    windows_unproven: int | list[Any] | None = None  # the account names them


def check_sums(archive: Path, run_id: str, last_line: bytes, result: Verification) -> None:
    """Check what a run that has closed tells in numbers. Raises StorageError."""
    closing = _read(last_line)
    if closing is None or closing.event != RUN_CLOSED:
        return  # it was cut off, and has no sums; or is no line, which was told
    for expected, found in contradictions(closing):
        result.find("account", run_key(run_id, LEDGER), expected, f"{found} in its last line")
    data = disk.beginning_of(archive / run_key(run_id, ACCOUNT), LARGEST_ACCOUNT_BYTES)
    if data is None:
        return  # missing, and told as that
    account = _read(data)
    if account is None:
        result.find("account", run_key(run_id, ACCOUNT), "the account of a run", "no JSON, or other members")
        return
    if account.exit_code is None:
        return  # it was written by the next run, from the ledger's lines, because the crash came before it
    for expected, found in differences(closing, account):
        result.find("account", run_key(run_id, ACCOUNT), f"{expected}, as the last line of its ledger says", found)


def contradictions(sums: Sums) -> Iterator[tuple[str, str]]:
    """Yield what sums should be and are, where they do not add up. Those that were not told contradict nothing."""
    if sums.recordings is None or sums.transcripts is None or sums.listed is None:
        return
    reached = sum(sums.recordings.values())
    if sum(sums.transcripts.values()) != reached:
        yield f"{reached:,} transcripts in all, as there are recordings", f"{sum(sums.transcripts.values()):,}"
    asked = sums.listed + (sums.revisited or 0)
    if reached > asked:
        yield f"at most {asked:,} calls settled, as were listed or asked for", f"{reached:,}"
    if sums.verdict != "complete":
        return
    if reached < asked:
        yield f"{asked:,} calls settled, as the run is complete", f"{reached:,}"
    if failed := sums.recordings.get("failed", 0):
        yield "no failed call, as the run is complete", f"{failed:,}"
    if unproven := _count(sums.windows_unproven):
        yield "no unproven window, as the run is complete", f"{unproven:,}"


def differences(closing: Sums, account: Sums) -> Iterator[tuple[str, str]]:
    """Yield what ledger and account say where they do not say the same."""
    for name in BOTH:
        one, other = _count(getattr(closing, name)), _count(getattr(account, name))
        if one is not None and one != other:
            yield f"{name} {one}", f"{other}"
    for name in SIDES:
        counts, others = _told(getattr(closing, name)), _told(getattr(account, name))
        if counts and counts != others:
            yield f"{name} {counts}", f"{others}"


def _count(told: Any) -> Any:
    return len(told) if isinstance(told, list) else told


def _told(counts: Mapping[str, int] | None) -> str:
    """Return counts as text; those that are 0 may be told or not."""
    return ", ".join(f"{state} {count}" for state, count in sorted((counts or {}).items()) if count)


def _read(data: bytes) -> Sums | None:
    """Read what is told; None where it is told in another form."""
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.json.decode(data, type=Sums)
    try:  # half a surrogate pair, from a path of any bytes, is no text for msgspec
        return msgspec.convert(json.loads(data), Sums)
    except (ValueError, RecursionError):
        return None
