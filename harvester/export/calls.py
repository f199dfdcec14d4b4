"""`calls.jsonl`: one JSON object a line for each call, for machines.

In:   one exported call after the other.  Out: its particulars, as read, its files, and the row itself where it is JSON.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from harvester.export.exported import Bundle, ExportedCall

PARTICULARS = (
    "id", "place", "version", "created_at", "updated_at", "type", "status", "assistant", "campaign", "client_number",
    "assistant_number", "answered_by", "duration_seconds", "carrier_cost", "total_cost", "recording_state", "transcript_state",
    "proof", "reason", "gone", "erased", "damaged",
)  # fmt: skip


class CallLines:
    """A `Rendering` of the bundle."""

    name = "calls.jsonl"

    def call(self, call: ExportedCall) -> bytes:
        """Return the line of one call. Amounts are texts, so that no reader rounds them; the transcript stands in the row."""
        told: dict[str, Any] = {name: getattr(call, name) for name in PARTICULARS}
        told["recording"] = call.recording.path if call.recording else None
        told["files"] = [
            {
                "path": each.path if each.is_there else None,
                "key": each.key,
                "bytes": each.bytes,
                "sha256": each.sha256,
                "role": each.role,
                "version": each.version,
                "run": each.run,
                **({"erased": True} if each.erased else {}),
                **({"damage": each.damage} if each.damage else {}),
            }
            for each in call.files
        ]
        told["row"] = call.fields or None
        return _ascii(told)

    def head(self, bundle: Bundle) -> bytes:
        """Return nothing: each line is a call."""
        return b""

    def foot(self, bundle: Bundle) -> bytes:
        """Return nothing."""
        return b""


def _ascii(value: object) -> bytes:
    """Return a value as one line of JSON in ASCII: no separator of lines that some readers know stands in it."""
    try:
        return json.dumps(msgspec.to_builtins(value), separators=(",", ":")).encode() + b"\n"
    except RecursionError:
        assert isinstance(value, dict)
        return json.dumps(msgspec.to_builtins(value | {"row": None}), separators=(",", ":")).encode() + b"\n"
