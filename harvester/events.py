"""What a run says of itself in the ledger: its first line, one for each window, its last.

In:   settings, window results, the account.  Out: ledger events, without key, phone number, name or transcript.
"""

from __future__ import annotations

import getpass
import os
import platform as machine

import harvester
from harvester.archive.ledger import Event
from harvester.mask import masked
from harvester.model import WindowResult
from harvester.report import Account
from harvester.settings import Resolved

KEPT_BACK = frozenset({"phone_number", "key_command"})
"""Settings that may hold a phone number or a secret."""


def run_started(resolved: Resolved) -> Event:
    """Say who runs what, where, with which settings other than the defaults."""
    shown = {name for name, source in resolved.sources.items() if source != "default"} - KEPT_BACK
    return {
        "tool": f"harvester {harvester.__version__}",
        "python": machine.python_version(),
        "host": machine.node(),
        "operator": _operator(),
        "platform": resolved.settings.base_url,
        "settings": {name: masked(resolved.text_of(name)) for name in resolved.sources if name in shown},
    }


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
        "recordings": dict(account.recordings),
        "transcripts": dict(account.transcripts),
        "windows_proven": account.windows_proven,
        "windows_unproven": len(account.windows_unproven),
        "requests": account.traffic.requests,
        "throttled": account.traffic.throttled,
        "written_bytes": account.written_bytes,
        "unproven": len(account.unproven),
    }


def _operator() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no name for this user id, as in containers
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"
