"""One call as a part of `report.html`: particulars, recording, transcript, what the platform noted besides, files. Pure.

In:   an `ExportedCall`, its number in the report.  Out: an `<article>`, and its line in the contents.

Every text came from outside and is written by `visible_html` alone, inside an element that keeps its direction of writing to
itself (`<bdi>`, `dir=auto`): neither markup nor direction in one value reaches the next. Links lead to files of the bundle.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from decimal import Decimal

import msgspec

from harvester.export.dialogue import transcript
from harvester.export.exported import ExportedCall, ExportedFile
from harvester.export.markup import Pair, address, clock, isolated, link, pairs
from harvester.export.particulars import day_and_time, duration_of, plain_number, zone_note
from harvester.export.visible import visible_html
from harvester.model import State
from harvester.wording import size_text

PROOFS = {
    "digest": "its server named a hash of it, and what was received has that hash",
    "content-length": "its server named its length, and all of it was received",
    "chunked-end": "its transfer bears a mark of its end, and that was reached",
    "structure": "the lengths that the recording itself names agree with what was received",
    "duration": "it is as long as the call",
    "two-downloads": "it was received twice, both times the same",
    "unproven": "nothing proves that it is whole, and nothing shows that it was cut",
}
"""What shows that a recording is whole, by the ledger's word for it (docs/archive-format.md)."""

WITHOUT_RECORDING = {
    State.ABSENT: "The platform names no recording of this call.",
    State.PENDING: "The recording was not there yet when the archive was last brought up to date, or was left out.",
    State.FAILED: "The recording could not be had so far.",
    State.GONE: "The platform named a recording and has it no more; the archive does not hold it.",
}

DAMAGED = "Files of this call are not what the ledger says:"
ERASED = "Files of this call were erased. The ledger tells which, when and why."
GONE = "The platform has this call no more. This is what the archive received before."

CLIENT = {"inbound": "Caller\u2019s number", "outbound": "Number called"}
"""What the client's number is, by the call's type."""


def article(call: ExportedCall, number: int) -> str:
    """Return one call as HTML; `number` is its place in the report, from 1."""
    anchor = html.escape(anchor_of(call))
    when = f'<p class="when">{isolated(day_and_time(call.created_at))}</p>' if call.created_at else ""
    return "\n".join(
        [
            f'<article id="{anchor}" aria-labelledby="{anchor}-title">',
            f'<p class="kicker">No. {number:,}</p>',
            f'<h2 id="{anchor}-title">Call {isolated(call.id)}</h2>',
            when,
            *_warnings(call),
            "<h3>Particulars</h3>",
            pairs(_particulars(call)),
            f'<h3 id="{anchor}-recording">Recording</h3>',
            *_recording(call, anchor),
            "<h3>Transcript</h3>",
            *transcript(call),
            *_noted(call),
            *_files(call),
            "</article>\n",
        ]
    )


def contents_row(call: ExportedCall, number: int) -> str:
    """Return the line of the contents that leads to a call."""
    marks = [*(["damaged"] if call.damaged else []), *(["erased"] if call.erased else [])]
    marked = f' <b class="bad">{", ".join(marks)}</b>' if marks else ""
    return (
        f'<tr><td class="number">{number:,}</td>'
        f'<th scope="row"><a href="#{html.escape(anchor_of(call))}">{isolated(call.id)}</a>{marked}</th>'
        f"<td>{isolated(call.created_at or '')}</td><td>{isolated(call.client_number or '')}</td>"
        f'<td class="wide">{isolated(call.assistant or "")}</td>'
        f'<td class="number wide">{_seconds(call)}</td></tr>\n'
    )


CONTENTS_HEAD = (
    '<tr><th scope="col" class="number">No.</th><th scope="col">Call</th><th scope="col">Created</th>'
    '<th scope="col">Number</th><th scope="col" class="wide">Assistant</th>'
    '<th scope="col" class="number wide">Seconds</th></tr>'
)


def anchor_of(call: ExportedCall) -> str:
    """Return by what a link leads to a call on its page: `call-` and its files' name, which no other call has."""
    return f"call-{call.place.rpartition('/')[2]}"


def _seconds(call: ExportedCall) -> str:
    duration = duration_of(call)
    return "" if duration is None else html.escape(plain_number(duration) or str(duration))


def _warnings(call: ExportedCall) -> Iterator[str]:
    """Yield what must be known before the rest is read."""
    if call.damaged:
        found = "".join(f"<li>{isolated(each)}</li>" for each in call.damaged)
        yield f'<div class="alarm"><p><b>Damaged.</b> {DAMAGED}</p><ul>{found}</ul></div>'
    if call.erased:
        yield f'<p class="note"><b>Erased on request.</b> {ERASED}</p>'
    if call.gone:
        yield f'<p class="note">{GONE}</p>'
    if call.version > 1:
        yield f'<p class="note">Changed by the platform after it was first archived: this is version {call.version}.</p>'


def _particulars(call: ExportedCall) -> Iterator[Pair]:
    """Yield what the platform says of the call; what it does not say is left out."""
    yield "Call id", isolated(call.id)
    for name, instant in (("Created", call.created_at), ("Last changed", call.updated_at)):
        if instant:
            yield name, f"{isolated(instant)} <small>{zone_note(instant)}</small>"
    for name, text in (
        ("Type", call.type),
        ("Status", call.status),
        (CLIENT.get(call.type or "", "Client\u2019s number"), call.client_number),
        ("Assistant", call.assistant),
        ("Assistant\u2019s number", call.assistant_number),
        ("Campaign", call.campaign),
        ("Answered by", call.answered_by),
    ):
        if text:
            yield name, isolated(text)
    if call.duration_seconds is not None:
        yield (
            "Duration",
            f"{clock(call.duration_seconds)} <small>{_seconds(call)} seconds, as the platform says</small>",
        )
    for name, amount in (("Carrier\u2019s cost", call.carrier_cost), ("Total cost", call.total_cost)):
        if amount is not None:
            yield name, f"{html.escape(_amount(amount))} <small>in the account\u2019s currency</small>"


def _amount(amount: Decimal) -> str:
    return plain_number(amount) or str(amount)


def _recording(call: ExportedCall, anchor: str) -> Iterator[str]:
    """Yield the player, where there is something to play, and what is known of the recording."""
    recording = call.recording
    if recording is None:
        erased = any(each.erased for each in call.files if each.role == "recording")
        state = None if call.recording_state is None else WITHOUT_RECORDING.get(call.recording_state)
        yield f"<p>{'The recording was erased.' if erased else state or 'There is no recording in this bundle.'}</p>"
    else:
        yield (
            f'<audio class="screen" controls preload="none" src="{address(recording.path)}" '
            f'aria-labelledby="{anchor}-recording {anchor}-title"></audio>'
        )
        yield f'<p class="hint">{link(recording.path)}, {size_text(recording.bytes)}</p>'
        if recording.damage:
            yield '<p class="alarm">What plays here is damaged, as is said above.</p>'
    known: list[Pair] = []
    if call.proof and recording:
        known.append(("Proof that it came whole", isolated(PROOFS.get(call.proof, call.proof))))
    if call.reason:
        known.append(("Remark", isolated(call.reason)))
    if known:
        yield pairs(known)


def _noted(call: ExportedCall) -> Iterator[str]:
    """Yield what the platform noted about the call: its variables and its evaluation, whatever they are."""
    for title, field in (("Variables", "variables"), ("The platform\u2019s evaluation", "evaluation")):
        value = call.fields.get(field)
        if not value:
            continue
        known = list(_named(value))
        yield f"<section>\n<h3>{title}</h3>"
        yield pairs(known) if known else f"<p>{_value(value)}</p>"
        yield "</section>"


def _named(value: object) -> Iterator[Pair]:
    """Yield names and values of an object, or of a list of `{"name", "value", "description"}`; nothing of any other shape."""
    if isinstance(value, dict):
        yield from ((isolated(str(name)), _value(inner)) for name, inner in value.items())
    elif isinstance(value, list) and all(
        isinstance(each, dict) and "name" in each and "value" in each for each in value
    ):
        for each in value:
            told = each.get("description")
            note = f" <small>{isolated(told)}</small>" if isinstance(told, str) and told.strip() else ""
            yield isolated(str(each["name"])), f"{_value(each['value'])}{note}"


def _value(value: object) -> str:
    """Return any value of a row as HTML: texts as they are, all else as JSON."""
    if isinstance(value, str):
        return f'<span dir="auto">{visible_html(value)}</span>'
    try:
        written = _encoder.encode(value).decode()
    except (RecursionError, UnicodeEncodeError):
        written = "(cannot be shown; the metadata among the files below has it)"
    return f"<code>{visible_html(written)}</code>" if isinstance(value, dict | list) else visible_html(written)


_encoder = msgspec.json.Encoder(decimal_format="number")


def _files(call: ExportedCall) -> Iterator[str]:
    """Yield the table of all files of the call, with what makes each recognisable."""
    yield "<h3>Files</h3>"
    yield (
        '<table class="files"><thead><tr><th scope="col">File, SHA-256, run</th><th scope="col">What it is</th>'
        '<th scope="col" class="number">Bytes</th></tr></thead><tbody>'
    )
    yield from map(_file, call.files)
    yield "</tbody></table>"


def _file(file: ExportedFile) -> str:
    name = link(file.path) if file.is_there else visible_html(file.path)
    mark = f'<b class="bad">{isolated(file.damage)}</b>' if file.damage else ""
    if file.erased:
        mark += '<b class="bad">erased on request</b>'
    return (
        f'<tr><th scope="row">{name}<code class="sum">{visible_html(file.sha256)}</code>'
        f'<code class="sum">run {visible_html(file.run)}</code>{mark}</th>'
        f'<td>{visible_html(file.role)}, version {file.version}</td><td class="number">{file.bytes:,}</td></tr>'
    )
