r"""`index.csv`: a row for each call, safe to open in a spreadsheet. A `Rendering` of the bundle.

In:   one exported call after the other.  Out: RFC 4180 with a header, CRLF, UTF-8 with a byte order mark.

**Formulas.** A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@`, tab, CR or LF for a formula, quoted or not, and may
read so what follows a separator that it takes for its own (OWASP, *CSV Injection*; LibreOffice 7.4 evaluates `"=1+2"`).
Such a text gets an apostrophe in front, as OWASP says, and inside behind `,` `;` `|`. Control characters are written out.

**Numbers that are none.** The same apostrophe keeps whole what would be read as a number or a date: `+1987654321` would become
1987654321 or 1.98765E+09, `0049...` lose its zeros, an id of 20 digits its last five (a double has 15), `1-2` become a day. An
integer of at most 11 digits comes back as it was, and has none. Why an apostrophe: `="+1987654321"` is a formula itself, which
LibreOffice evaluates and every other reader takes literally; a tab is on OWASP's list of what is dangerous. In a cell that came
from CSV the apostrophe is part of the text and is seen, which is honest, and it stays when the sheet is saved and opened again. A
text that begins with one gets another, so that one is always to be taken away. The exact values stand in `calls.jsonl`.

**Numbers** (durations, amounts, sizes) are bare, digit for digit as they were sent, and never pass through a float; beyond 15
digits they are texts. All texts are quoted: who tells LibreOffice that quoted fields are text gets them as such.

**The byte order mark** is there because Excel takes a file without one for the system's old code page. Python reads it as
`utf-8-sig`.
"""

from __future__ import annotations

import re
from decimal import Decimal

from harvester.archive.layout import RUN_ID
from harvester.export.exported import Bundle, ExportedCall, ExportedFile
from harvester.export.particulars import duration_of, latest, plain_number
from harvester.export.report import page_of
from harvester.export.visible import visible_text

NAME = "index.csv"
BOM = b"\xef\xbb\xbf"

COLUMNS = (
    "call_id",
    "created_at",
    "updated_at",
    "type",
    "status",
    "answered_by",
    "client_number",
    "assistant",
    "assistant_number",
    "campaign",
    "duration_seconds",
    "carrier_cost",
    "total_cost",
    "versions",
    "recording",
    "recording_bytes",
    "recording_sha256",
    "recording_state",
    "proof",
    "transcript",
    "transcript_state",
    "metadata",
    "run",
    "reason",
    "gone",
    "erased",
    "damage",
    "report",
)
"""`recording`, `transcript` and `metadata` are paths in the bundle, of the latest version that is there; `run` archived
that version, `report` is where in the report the call stands."""

START = "=+\\-@\uff1d\uff0b\uff0d\uff20"
"""What begins a formula; the wide forms too, which some versions of Excel take for the narrow ones."""

FORMULA = re.compile(rf"[\s\"']*[{START}]")
INSIDE = re.compile(rf"([,;|][\s\"']*)(?=[{START}])")
"""Behind what some reader takes for the end of a cell."""

LONGEST = 32_000
"""Of a cell in characters. Excel takes 32,767, and puts what is beyond into a cell of its own, which no apostrophe guards."""

WHOLE = re.compile(r"0|[1-9][0-9]{0,10}")
"""An integer that a spreadsheet shows and saves as it is: with 12 digits it would become 1.23457E+11."""

INSTANT = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
"""A day, and maybe a time, in the only order that every spreadsheet reads alike."""

WORD = r"[^\W\d_]{1,10}"
MONTH = (
    "jan|ene|gen|feb|f\xe9v|mar|m\xe4r|maa|mrt|apr|abr|avr|ma[yijg]|mei|jun|jui|giu|jul|lug|aug|ao\xfb|ago|"
    "sep|set|o[ckt]t|out|nov|de[csz]|d\xe9c|dic"
)
NUMBER_OR_DATE = re.compile(
    rf"[\W_]*\d[\W\d_]*(?:{WORD}[\W\d_]*){{0,2}}"  # 0049, 1,5, 1E5, 3:00 PM, 12 March 2025
    rf"|(?:{MONTH})\w*\W{{0,2}}\d{{1,4}}"  # MARCH1, Sep. 2
    r"|true|false",
    re.IGNORECASE,
)
"""What a spreadsheet may read as something else than text. Too much is an apostrophe too many; too little is a changed name."""


class Index:
    """The rows of `index.csv`."""

    name = NAME

    def __init__(self) -> None:
        self._calls = 0

    def head(self, bundle: Bundle) -> bytes:
        """Return the byte order mark and the row with the columns' names."""
        return BOM + _row(list(map(text_cell, COLUMNS)))

    def call(self, call: ExportedCall) -> bytes:
        """Return the row of one call."""
        self._calls += 1
        recording, metadata = call.recording, latest(call, "metadata")
        return _row(
            [
                text_cell(call.id),
                *map(_sorted_cell, (call.created_at, call.updated_at)),
                *map(text_cell, (call.type, call.status, call.answered_by, call.client_number)),
                *map(text_cell, (call.assistant, call.assistant_number, call.campaign)),
                *map(number_cell, (duration_of(call), call.carrier_cost, call.total_cost, call.version)),
                text_cell(_path(recording)),
                number_cell(recording.bytes if recording else None),
                text_cell(recording.sha256 if recording else None),
                *map(text_cell, (call.recording_state, call.proof)),
                text_cell(_path(latest(call, "transcript"))),
                text_cell(call.transcript_state),
                text_cell(_path(metadata)),
                _sorted_cell(metadata.run if metadata else None),
                text_cell(call.reason),
                *map(_yes, (call.gone, call.erased)),
                text_cell("; ".join(call.damaged)),
                text_cell(page_of(call, self._calls)),
            ]
        )

    def foot(self, bundle: Bundle) -> bytes:
        """Return nothing: a table has no foot."""
        return b""


def text_cell(text: str | None) -> str:
    """Return a text as a quoted cell that no spreadsheet takes for a formula, a number or a date; nothing for None."""
    if not text:
        return ""
    safe = INSIDE.sub(r"\1'", visible_text(text))
    if len(safe) > LONGEST:
        safe = f"{safe[:LONGEST]} (cut here; calls.jsonl has all of it)"
    changed = NUMBER_OR_DATE.fullmatch(safe.strip()) and not WHOLE.fullmatch(safe)
    if changed or safe.startswith("'") or FORMULA.match(safe):
        safe = f"'{safe}"
    return '"{}"'.format(safe.replace('"', '""'))


def number_cell(number: Decimal | int | None) -> str:
    """Return a number with all its digits, as a number where a spreadsheet can hold it, else as text; nothing for None."""
    if number is None:
        return ""
    plain = plain_number(number)
    return text_cell(str(number)) if plain is None else plain


def _sorted_cell(text: str | None) -> str:
    """Return a day, an instant or a run so that it can be sorted by; in any other form it is a text like others."""
    return f'"{text}"' if text and (INSTANT.fullmatch(text) or RUN_ID.fullmatch(text)) else text_cell(text)


def _path(file: ExportedFile | None) -> str | None:
    return file.path if file else None


def _yes(flag: bool) -> str:
    return text_cell("yes") if flag else ""


def _row(cells: list[str]) -> bytes:
    return f"{','.join(cells)}\r\n".encode()
