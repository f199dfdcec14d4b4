"""A transcript as readable text, whatever shape the platform sends.

In:   the `transcript` field of a row, decoded.  Out: text that ends in a newline, or None where there is no transcript.

Text stays as it is. Turns become one line each, `[mm:ss] bot: ...`, counted from the first turn: the timestamps are
Unix seconds (docs/api.md), and a reader wants to know when in the recording, not when in history. The row itself is kept byte for
byte beside it, so nothing is lost by what is left out here.
"""

from __future__ import annotations

import msgspec


def transcript_text(value: object) -> str | None:
    """Return the transcript as text, or None for null, empty and blank ones. Never raises: odd shapes become their JSON."""
    if isinstance(value, str):
        return f"{value.rstrip()}\n" if value.strip() else None
    if isinstance(value, list):
        start = next((at for turn in value if (at := _timestamp_seconds(turn)) is not None), None)
        return "".join(_indented(_line(turn, start)) for turn in value) or None
    if not value:
        return None
    return f"{_as_json(value)}\n"


def _timestamp_seconds(turn: object) -> float | None:
    at = turn.get("timestamp") if isinstance(turn, dict) else None
    return float(at) if isinstance(at, int | float) and not isinstance(at, bool) and abs(at) < 1e12 else None


def _line(turn: object, start_seconds: float | None) -> str:
    """Write one turn as a line."""
    if not isinstance(turn, dict):
        return turn if isinstance(turn, str) else _as_json(turn)
    sender = turn.get("sender") or turn.get("type") or "unknown"
    text = turn.get("text")
    spoken = text if isinstance(text, str) else _as_json(text)
    at = _timestamp_seconds(turn)
    stamp = ""
    if at is not None and start_seconds is not None:
        minutes, seconds = divmod(max(0, round(at - start_seconds)), 60)
        stamp = f"[{minutes:02}:{seconds:02}] "
    return f"{stamp}{sender}: {spoken.strip()}"


def _indented(line: str) -> str:
    """End the line of one turn. A line break inside of it would look like another turn, so what follows is indented."""
    return line.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\n    ") + "\n"


def _as_json(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:  # what could just be decoded may be too deep to be encoded
        return "(nested too deeply to be shown; the row beside this file has it)"
