"""Pages and rows that are broken in one place: everything around that place is read."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.errors import PlatformError
from harvester.platform.rows import read_call, read_page

WHERE = "https://platform.example/api/user/calls"
LINK = "https://r.example/%d.mp3"
READABLE = [
    rb'"\ud83d"', rb'"\udca9 \ud83d\ude00"', b'"\x01\n\x00"', b"NaN", b"-Infinity", b'"\xff\xfe"', b'"\xed\xa0\xbd"',
    b"1e400", b"9" * 5000,
]  # fmt: skip
"""Values that no strict reader takes, although the row around them can be read."""

UNREADABLE = [rb'"\x"', rb'"\u12"', b"01", b"nil", b"\xff", b"[1 2]", b"{1}", b"[" * 100_000 + b"]" * 100_000]
"""Values that make their row unreadable, although its end is plain."""

UNBALANCED = [b'"', b'"a', b"[", b"{", b"}", b"]", b'[}],"b":1', b'NaN},"b":{"c":1', b'{"a":1},{', b'"},{"']
"""Values that hide where their row ends."""


def row(number: int, odd: bytes = b"1") -> bytes:
    """A row with an odd value between its id and its link, and things in it that look like the edges of rows."""
    turns = json.dumps([{"text": 'so "{é}'}, {"text": "}],{ \\"}, {"id": 7}, {"id": 8}], ensure_ascii=False).encode()
    return b'{"id":%d,"turns":%b, "odd": %b,"recording_url":"%b"}' % (number, turns, odd, LINK.encode() % number)


def page(*rows: bytes, keyed: bool = False) -> bytes:
    """A page with these rows; the paginator puts some of its members behind them."""
    named = [b'"%d": %b' % each if keyed else each[1] for each in enumerate(rows)]
    data = (b"{%b}" if keyed else b"[%b]") % b" ,".join(named)
    return (
        b'{"current_page":1,"data":%b,"last_page":2,"links":[{"url":null},{"url":"x"}],"per_page":9,"total":"11"}\n'
        % data
    )


@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("odd", READABLE + UNREADABLE + UNBALANCED)
def test_a_row_that_breaks_its_page_breaks_no_other(odd: bytes, keyed: bool) -> None:
    """The rows before and behind it are read byte for byte, its own bytes are kept, and the counts stand."""
    rows = (row(1), row(2), row(3, odd), row(4), row(5))
    read = read_page(page(*rows, keyed=keyed), WHERE)
    assert (read.rows[:2], read.rows[-2:]) == (rows[:2], rows[-2:])
    assert odd.replace(b",", b"") in b"".join(read.rows).replace(b",", b"")
    assert read.rows == rows or b"},{" in odd  # who forges an edge gets one
    assert (read.number, read.last_page, read.per_page, read.total) == (1, 2, 9, 11)


@pytest.mark.parametrize("odd", READABLE)
def test_an_odd_value_costs_a_row_neither_id_nor_link(odd: bytes) -> None:
    """Half an emoji, control characters, NaN and numbers beyond measure are no reason to miss a recording."""
    call = read_call(row(3, odd))
    assert (call.id, call.recording_url, call.flaw, call.raw) == ("3", LINK % 3, None, row(3, odd))


@pytest.mark.parametrize("odd", UNREADABLE)
def test_what_is_no_json_at_all_is_an_unreadable_row(odd: bytes) -> None:
    """It is kept and counts as failed, so that somebody looks at it."""
    assert read_call(row(3, odd)).unreadable


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (rb"a\ud83d", r"a\ud83d"), (rb"\\ud83d\ud83d", r"\ud83d\ud83d"), (rb"\ude00\ud83d", r"\ude00\ud83d"),
        (rb"\ud83d\ude00\udc00", "😀\\udc00"),
        (b"\xc3\xa9\xff", r"é\udcff"), (b"\xf0\x9f\x98\x80\n", "😀\n"), (rb"\u00e9\/\"" + b"\x01", 'é/"\x01'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("field", ["id", "status", "created_at", "transcript", "recording_url"])
def test_text_can_be_written_whatever_was_sent(field: str, sent: bytes, read: str) -> None:
    """What is no character stays visible, and different texts stay different; the rest is as it was sent."""
    call = read_call(b'{"id":1,"odd":NaN,"%b":"%b"}' % (field.encode(), sent))
    text = getattr(call, field)
    assert text.rstrip("\n") == read.rstrip("\n")
    assert msgspec.json.decode(msgspec.json.encode(text)) == text


@pytest.mark.parametrize(
    "transcript", [rb'[{"text":"\ud83d","sender":"bot"},"\udc00"]', rb'{"\ud83d":["\udc00"],"n":%d}' % 10**30, b"1e400"]
)
def test_a_transcript_of_odd_shape_can_be_written_too(transcript: bytes) -> None:
    """Turns, and shapes that nobody documented, hold no halves of characters either."""
    text = read_call(b'{"id":1,"odd":NaN,"transcript":%b}' % transcript).transcript
    assert text
    assert text.encode()


def test_a_byte_order_mark_is_no_part_of_a_page_or_row() -> None:
    """Some proxies and editors put one in front."""
    assert read_page(b"\xef\xbb\xbf" + page(row(1)), WHERE).rows == (row(1),)
    assert read_call(b"\xef\xbb\xbf" + row(1)).id == "1"


def test_of_two_equal_members_the_last_counts() -> None:
    """As with every common JSON reader, also when one row makes the page none."""
    twice = page(row(1, b"NaN")).rstrip()[:-1] + b',"total":12,"data":[%b,7]}' % row(2, b"NaN")
    read = read_page(twice, WHERE)
    assert (read.total, read.rows) == (12, (row(2, b"NaN"), b"7"))


WHOLE = page(row(1, b"NaN")).rstrip()


@pytest.mark.parametrize(
    "body",
    [
        WHOLE.replace(b'"11"', b"NaN"), WHOLE.replace(b',"total":"11"', b""), WHOLE.replace(b'"data"', b'"rows"'), WHOLE[1:],
        WHOLE[:-1], WHOLE + b"}", WHOLE[: len(WHOLE) // 2], page(row(1, b'"')).rstrip()[:-1], b"[%b]" % WHOLE,
    ],
)  # fmt: skip
def test_a_page_without_a_readable_envelope_is_refused(body: bytes) -> None:
    """Without the counts, or when the page ends too early, rows alone say nothing about what the account holds."""
    with pytest.raises(PlatformError, match=WHERE):
        read_page(body, WHERE)


@pytest.mark.parametrize(
    "data", [b"[" * 200_000, b'[{"a":[' * 50_000, b'{"a":"}' * 50_000, b"},{" * 50_000, b'{},"' * 50_000, b'"data":[],' * 50_000]
)  # fmt: skip
def test_a_page_that_is_made_to_mislead_is_refused(data: bytes) -> None:
    """However often it seems to begin anew, it is read a few times at most, and nothing but a PlatformError comes of it."""
    with pytest.raises(PlatformError, match=WHERE):
        read_page(b'{"data":[],' + data, WHERE)
    with pytest.raises(PlatformError, match=WHERE):
        read_page(b'{"data":[' + data, WHERE)


@given(data=st.data(), damaged=st.integers(0, 3), keyed=st.booleans())
@settings(max_examples=150, deadline=None)
def test_damage_in_one_row_never_costs_the_rows_before_it(data: st.DataObject, damaged: int, keyed: bool) -> None:
    """Whatever bytes stand inside of a row: no error but PlatformError, all rows before it as sent, every row a call."""
    rows = [row(number) for number in range(4)]
    start = data.draw(st.integers(1, len(rows[damaged]) - 1))
    end = data.draw(st.integers(start, min(start + 30, len(rows[damaged]) - 1)))
    junk = data.draw(st.binary(max_size=8) | st.lists(st.sampled_from(b'"{}[],:\\x'), max_size=6).map(bytes))
    rows[damaged] = rows[damaged][:start] + junk + rows[damaged][end:]
    read = read_page(page(*rows, keyed=keyed), WHERE)
    assert read.rows[:damaged] == tuple(rows[:damaged])
    for each in read.rows:
        call = read_call(each)
        assert " ".join((call.id, call.recording_url or "", call.transcript or "")).encode()
