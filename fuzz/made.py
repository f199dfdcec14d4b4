"""JSON made from fuzzed bytes: known members with odd values, so that what lies behind the parser is reached too.

In:   bytes.  Out: an object as JSON, and the seeds from which a fuzzer sets out.
"""

import json

from harvester.demo.audio import recording
from harvester.demo.calls import CallBook
from harvester.example import settings_file

ODD = (
    *(b"null", b"true", b"0", b"1", b"2", b"-1", b"0.1", b"1e999", b"NaN", b"9" * 5000),
    *(b'""', b'" "', b"[]", b"{}", b"[[1]]", b'{"a":{"b":[1]}}', b"[" * 3000 + b"]" * 3000),
    *(b'"\\ud83d"', b'"\\u0000\\u001b[31m\\u202e"', b'"\xff"', b'"../../etc/x"', b'"CON"', b'"' + b"a" * 400 + b'"'),
    *(b'"2025-08-04 14:30:00"', b'"2025-08-04T14:30:00+14:00"', b'"2025/08/04/1"', b'"+15551234567"'),
    *(b'"0001-01-01T00:00:00+14:00"', b'"9999-12-31T23:59:59-12:00"', b'"https://user:pw@host/a?b#c"'),
    b'[{"text":"a","sender":"bot","timestamp":1e308},{"text":null,"timestamp":"x"},7]',
    *(b'"saved"', b'{"state":"saved","offered":true,"link":"https://h/x"}'),
    b'[{"path":"../x","bytes":1,"sha256":"0","role":"r"}]',
    b'{"reach":"full","filters":{},"proven":true,"days":{"2025-08-04":{"calls":1}},"proven_through":"9999-12-31"}',
)

ROW = (
    "id", "created_at", "updated_at", "duration", "status", "recording_url", "transcript", "client_phone_number", "variables",
)  # fmt: skip
LINE = (
    "seq", "prev", "event", "at", "id", "digest", "place", "version", "recording", "transcript", "files", "reason", "coverage",
)  # fmt: skip
PAGE = ("data", "current_page", "last_page", "per_page", "total")


def made(names: tuple[str, ...], data: bytes) -> bytes:
    """Return an object in which each pair of bytes chose a member and its value; bytes that are left over stand as text."""
    members = []
    for at in range(0, min(len(data), 2 * len(names)) - 1, 2):
        name, value = names[data[at] % len(names)], ODD[data[at + 1] % len(ODD)]
        members.append(b'"%b":%b' % (name.encode(), value))
    left = json.dumps(data[2 * len(names) :].decode("utf-8", "replace"))
    return b"{%b}" % b",".join([*members, b'"left":%b' % left.encode()])


def seeds() -> dict[str, list[bytes]]:
    """Return for each target some bytes that are as they should be."""
    book = CallBook(count=8, most_seconds=3)
    rows = [json.dumps(book.row(call_id), default=str).encode() for call_id in book.ids()]
    page = b'{"data":[%b],"current_page":1,"last_page":1,"per_page":15,"total":8}' % b",".join(rows)
    line = (
        b'{"seq":1,"prev":"0","at":"2025-08-04T14:30:00.000Z","event":"saved","id":"1","place":"2025/08/04/1","version":1,'
        b'"recording":{"state":"saved"},"transcript":{"state":"saved"},"files":[]}\n'
    )
    tables = b"[[account]]\nname = 'a'\narchive = 'x'\nkey_file = 'y'\n"
    return {
        "rows": rows,
        "pages": [page],
        "headers": [b"120\nWed, 21 Oct 2026 07:28:00 GMT\n9\nbytes 0-0/12", b"https://a.example/x\nsha-256=:AAAA:\n/y"],
        "ledger": [line, b'[{"path":"2025/08/04/1.json","bytes":1,"sha256":"0","role":"metadata"}]'],
        "settings": [settings_file({}).encode().replace(b"\n# ", b"\n")[:4000], tables, b"per_page = 50\n" + tables],
        "names": [b"Abc\n2025-08-04T23:30:00-05:00", b"20261125020000\n2025-13-01"],
        "recordings": [
            recording(1, 1, "mp3")[:2000],
            recording(1, 1, "m4a")[:3000],
            b"RIFF$\0\0\0WAVEfmt \x10\0\0\0",
            b"OggS",
        ],
    }
