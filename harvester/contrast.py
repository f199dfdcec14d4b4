"""Show what changed so that a reader sees where old and new differ. Pure.

In:   `Changes`.  Out: lines for the screen.

A value takes one line, cut where it is longer than that. Two long texts, such as a transcript that was made anew, are not printed
as two walls: both are shown from a little before the first character in which they differ, one below the other.
"""

from __future__ import annotations

import json

from msgspec import Raw, UnsetType

from harvester.changes import Change, Changes, Recording
from harvester.difference import Difference
from harvester.logs import escaped
from harvester.report import SHOWN
from harvester.wording import counted, size_text

SHOWN_FIELDS = 10
"""How many fields of one call the screen names; JSON names all."""

WIDTH = 70
"""Characters of a value in one line: with its indentation it fits into the 80 columns of a terminal, or nearly."""

SHORT = 10
"""An old value of so many characters, such as `null`, stands in one line with any new one."""

CONTEXT = 20
"""Characters shown before the place from which two texts differ."""

LONGEST_PATH = 120
LONGEST_REASON = 200


def changes_text(changes: Changes) -> str:
    """Return what changed, for people: at most 20 calls, and 10 fields of each."""
    lines = [f"archive {changes.archive}", *_head(changes)]
    if changes.changed:
        lines.append(f"{counted(changes.changed, 'call')} changed")
        shown = changes.calls[:SHOWN]
        for change in shown:
            lines += [f"  {line}" for line in _change_lines(change)]
        if changes.changed > len(shown):
            lines.append(f"  and {changes.changed - len(shown):,} more; --json names all")
    if changes.gone:
        lines.append(f"{len(changes.gone):,} gone")
        lines += [
            f"  call {each.id!a} ({each.place}): {each.reason or 'no reason noted'}" for each in changes.gone[:SHOWN]
        ]
        if len(changes.gone) > SHOWN:
            lines.append(f"  and {len(changes.gone) - SHOWN:,} more; --json names all")
    return "\n".join(map(escaped, lines))  # a reason that holds a line break must not forge a line


def _head(changes: Changes) -> list[str]:
    if changes.run is None:
        return ["no run has written anything yet"]
    if changes.closed_at:
        lines = [f"last run {changes.run}, closed {changes.closed_at}"]
    else:
        lines = [
            f"last run {changes.run} has not closed: it is going on, or was cut off; what follows is as far as it has got"
        ]
    if changes.is_first:
        lines.append("it is the archive's first: nothing was archived before that could have changed")
    elif not changes.changed:
        earlier = (
            f"the newest run that found one is {changes.earlier_run}" if changes.earlier_run else "nor did any before"
        )
        lines.append(f"it found no row changed of the calls that were archived before; {earlier}")
    return lines


def _change_lines(change: Change) -> list[str]:
    before = f", before it version {change.version_before}" if change.version_before else ""
    lines = [f"call {change.id!a} ({change.place}): version {change.version}{before}"]
    for difference in change.differences[:SHOWN_FIELDS]:
        lines += [f"  {line}" for line in difference_lines(difference)]
    if len(change.differences) > SHOWN_FIELDS:
        lines.append(f"  and {counted(len(change.differences) - SHOWN_FIELDS, 'field')} more; --json names all")
    if change.recording:
        lines.append(f"  recording: {_recording_text(change.recording)}")
    lines += [f"  note: {note}" for note in change.notes]
    return lines


def _recording_text(recording: Recording) -> str:
    if recording.bytes is None:
        return f"{recording.state}: {cut(recording.reason or 'no reason noted', LONGEST_REASON)}"
    if recording.bytes_before is None:
        return f"fetched, {size_text(recording.bytes)}; there was none before"
    return f"fetched anew, {size_text(recording.bytes_before)} before, {size_text(recording.bytes)} now"


def difference_lines(difference: Difference) -> list[str]:
    """Return the lines that show one field that differs."""
    path = cut(difference.path or "the row", LONGEST_PATH)
    old, new = difference.old, difference.new
    if isinstance(old, UnsetType) or isinstance(new, UnsetType):
        word, raw = ("added", new) if isinstance(old, UnsetType) else ("removed", old)
        return [f"{path}: {word}: {_value_text(_decoded(raw))}"]
    before, now = _decoded(old), _decoded(new)
    if before == now:
        return [f"{path}: differs in the query string of a link alone, which is never shown"]
    if len(before) + len(now) <= WIDTH or len(before) <= SHORT:
        return [f"{path}: {escaped(before)} -> {_value_text(now)}"]
    if before.startswith('"') and now.startswith('"') and max(len(before), len(now)) > WIDTH:
        return _texts(path, json.loads(before), json.loads(now))
    return [f"{path}:", f"  old: {_value_text(before)}", f"  new: {_value_text(now)}"]


def cut(text: str, most: int = WIDTH) -> str:
    """Return text in one line, with control characters escaped, cut where it is longer than `most` characters."""
    shown = escaped(text[: most + 1])
    return shown if len(shown) <= most else f"{shown[:most]}..."


def _texts(path: str, old: str, new: str) -> list[str]:
    """Show two texts from where they differ."""
    pairs = enumerate(zip(old, new, strict=False))
    at = next((index for index, (before, now) in pairs if before != now), min(len(old), len(new)))
    start = max(0, at - CONTEXT)
    dots = "..." if start else ""
    return [
        f"{path}: differs from character {at + 1:,} on; {len(old):,} characters before, {len(new):,} now",
        f"  old: {dots}{cut(old[start:])}",
        f"  new: {dots}{cut(new[start:])}",
    ]


def _value_text(value: str) -> str:
    """Show one value that is JSON; where it does not fit, with its size."""
    shown = cut(value)
    if len(value) <= WIDTH:
        return shown
    decoded = json.loads(value, parse_int=str, parse_float=str)  # Python refuses integers of more than 4,300 digits
    if value.startswith('"'):
        return f"{shown} ({len(decoded):,} characters)"
    if isinstance(decoded, list | dict):
        return f"{shown} ({len(decoded):,} {'items' if isinstance(decoded, list) else 'members'})"
    return shown


def _decoded(raw: Raw | UnsetType) -> str:
    return "" if isinstance(raw, UnsetType) else bytes(raw).decode()
