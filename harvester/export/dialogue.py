"""The transcript of one call, as a part of `report.html`: what was said, by whom, when. Pure.

In:   an `ExportedCall`.  Out: pieces of HTML.
"""

from __future__ import annotations

from collections.abc import Iterator

from harvester.export.exported import ExportedCall
from harvester.export.markup import clock, isolated, link
from harvester.export.particulars import latest
from harvester.export.visible import visible_html
from harvester.transcript import Turn

LONGEST_TRANSCRIPT = 500_000
"""In characters of HTML: some eight hours of talk. A browser must be able to open the page whatever somebody has sent."""

SPOKEN = (
    "Written by the platform, not by a person: what was said is in the recording. Times count from the first turn. "
    "<q>bot</q> is what the platform calls its assistant, <q>human</q> whom it spoke with."
)
WRITTEN = "Written by the platform, not by a person: what was said is in the recording."


def transcript(call: ExportedCall) -> Iterator[str]:
    """Yield the conversation: as turns, where the platform sent turns, else as the text that it sent."""
    if not call.turns and not call.transcript:
        erased = any(each.erased for each in call.files if each.role == "transcript")
        yield f"<p>{'The transcript was erased.' if erased else 'There is no transcript of this call.'}</p>"
        return
    whole = latest(call, "transcript")
    rest = f", in {link(whole.path)}" if whole else ""
    cut = f'<p class="note">It goes on: the rest is too long for this page, and stands in the bundle{rest}.</p>'
    if not call.turns:
        text = call.transcript or ""
        yield f'<p class="hint">{WRITTEN}</p>'
        yield f'<p class="text" dir="auto">{visible_html(text[:LONGEST_TRANSCRIPT].rstrip(), lines=True)}</p>'
        if len(text) > LONGEST_TRANSCRIPT:
            yield cut
        return
    yield f'<p class="hint">{SPOKEN}</p>'
    yield '<ol class="turns">'
    written = 0
    for turn in call.turns:
        line = _turn(turn)
        written += len(line)
        if written > LONGEST_TRANSCRIPT:
            break
        yield line
    yield "</ol>"
    if written > LONGEST_TRANSCRIPT:
        yield cut


def _turn(turn: Turn) -> str:
    """Return what one side said, with when and who."""
    side = f' class="{turn.sender}"' if turn.sender in ("bot", "human") else ""
    at = "" if turn.at_seconds is None else clock(round(turn.at_seconds))
    sender = "" if turn.sender is None else isolated(turn.sender)
    text = visible_html(turn.text[:LONGEST_TRANSCRIPT], lines=True)
    return f'<li{side}><time>{at}</time><b>{sender}</b><p dir="auto">{text}</p></li>'
