"""A transcript as readable text, whatever shape the platform sends.

In:   the `transcript` field of a row, decoded.  Out: text that ends in a newline, or None where there is no transcript.

Text stays as it is. Turns become one line each, `[mm:ss] bot: ...`, counted from the first turn: the timestamps are
Unix seconds (docs/api.md), and a reader wants to know when in the recording, not when in history. The row itself is kept byte for
byte beside it, so nothing is lost by what is left out here.
"""

from __future__ import annotations

import msgspec


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What one side said before the other spoke."""

    sender: str | None  # as the platform calls it, "bot" or "human"; None: it sent a text alone
    text: str  # without blanks at its ends; may hold line breaks
    at_seconds: float | None  # since the first turn that bears a time; None where that is not known


def transcript_text(value: object) -> str | None:
    """Return the transcript as text, or None for null, empty and blank ones. Never raises: odd shapes become their JSON."""
    if isinstance(value, str):
        return f"{value.rstrip()}\n" if value.strip() else None
    if isinstance(value, list):
        return "".join(_indented(_line(turn)) for turn in turns_of(value)) or None
    if not value:
        return None
    return f"{_as_json(value)}\n"


def turns_of(value: object) -> tuple[Turn, ...]:
    """Return the turns of a transcript that the platform sends as such; none of any other. Never raises."""
    if not isinstance(value, list):
        return ()
    start = next((at for turn in value if (at := _timestamp_seconds(turn)) is not None), None)
    return tuple(_turn(turn, start) for turn in value)


def _timestamp_seconds(turn: object) -> float | None:
    at = turn.get("timestamp") if isinstance(turn, dict) else None
    return float(at) if isinstance(at, int | float) and not isinstance(at, bool) and abs(at) < 1e12 else None


def _turn(turn: object, start_seconds: float | None) -> Turn:
    if not isinstance(turn, dict):
        return Turn(sender=None, text=turn if isinstance(turn, str) else _as_json(turn), at_seconds=None)
    sender = turn.get("sender") or turn.get("type") or "unknown"
    text = turn.get("text")
    spoken = text if isinstance(text, str) else _as_json(text)
    at = _timestamp_seconds(turn)
    since = None if at is None or start_seconds is None else max(0.0, at - start_seconds)
    return Turn(sender=str(sender), text=spoken.strip(), at_seconds=since)


def _line(turn: Turn) -> str:
    """Write one turn as a line."""
    if turn.sender is None:
        return turn.text
    stamp = ""
    if turn.at_seconds is not None:
        minutes, seconds = divmod(round(turn.at_seconds), 60)
        stamp = f"[{minutes:02}:{seconds:02}] "
    return f"{stamp}{turn.sender}: {turn.text}"


def _indented(line: str) -> str:
    """End the line of one turn. A line break inside of it would look like another turn, so what follows is indented."""
    return line.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\n    ") + "\n"


def _as_json(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:  # what could just be decoded may be too deep to be encoded
        return "(nested too deeply to be shown; the row beside this file has it)"
