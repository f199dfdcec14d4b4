"""What a run says of itself in the ledger: its first line, one for each window, its last.

In:   the provenance, window results, the account.  Out: ledger events, without key, phone number, name or transcript.
"""

from __future__ import annotations

import msgspec

from harvester.archive.ledger import Event
from harvester.model import WindowResult
from harvester.provenance import Provenance
from harvester.report import Account


def run_started(provenance: Provenance) -> Event:
    """Say who runs what, where, why, against whose platform and by which clock."""
    return {name: value for name, value in msgspec.to_builtins(provenance).items() if value is not None}


def window_walked(result: WindowResult) -> Event:
    """Say how the walk of one window ended."""
    return {
        "event": "window",
        **result.window.named(),
        "total_at_start": result.total_at_start,
        "total_at_end": result.total_at_end,
        "distinct_ids": result.distinct_ids,
        "walks": result.walks,
        "proven": result.proven,
        "reason": result.reason,
    }


def sums(account: Account) -> Event:
    """Say how the calls of the run ended, as counts."""
    return {
        "verdict": account.verdict,
        "exit_code": account.exit_code,
        "listed": account.listed,
        "revisited": account.revisited,
        "erased_calls": account.erased,
        "recordings": dict(account.recordings),
        "transcripts": dict(account.transcripts),
        "windows_proven": account.windows_proven,
        "windows_unproven": len(account.windows_unproven),
        "requests": account.traffic.requests,
        "throttled": account.traffic.throttled,
        "written_bytes": account.written_bytes,
        "unproven": len(account.unproven),
    }
