"""Two rows of one call: what differs, with nothing lost and no signed link shown."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw, UnsetType

from harvester.difference import WRITTEN_DIFFERENTLY, compare, without_queries

Found = list[tuple[str, str | None, str | None]]

SECRET = "s3cret"


def text_of(value: Raw | UnsetType) -> str | None:
    """Return a value as JSON text; None where there is none."""
    return None if isinstance(value, UnsetType) else bytes(value).decode()


def found(old: bytes, new: bytes) -> Found:
    """Return path, old and new of each difference as JSON text; None: the row has no such field."""
    return [(each.path, text_of(each.old), text_of(each.new)) for each in compare(old, new).differences]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b'{"a":1}', b'{"a":1.0}', [("a", "1", "1.0")]),
        (b'{"a":0.02}', b'{"a":"0.02"}', [("a", "0.02", '"0.02"')]),
        (b'{"a":0.10000000000000000000001}', b'{"a":1e999}', [("a", "0.10000000000000000000001", "1e999")]),
        (b'{"a":%s}' % (b"9" * 5000), b'{"a":-0}', [("a", "9" * 5000, "-0")]),
        (b'{"a":null}', b'{"a":false}', [("a", "null", "false")]),
        (b'{"a":null,"b":1}', b'{"b":1}', [("a", "null", None)]),
        (b'{"b":1}', b'{"a":[{}],"b":1}', [("a", None, "[{}]")]),
        (b'{"e":{"score":8.5,"x":1}}', b'{"e":{"score":9.0,"x":1}}', [("e.score", "8.5", "9.0")]),
        (b'{"t":[{"text":"a"},{"text":"b"}]}', b'{"t":[{"text":"a"},{"text":"c"}]}', [("t[1].text", '"b"', '"c"')]),
        (b'{"t":[1,2]}', b'{"t":[1]}', [("t[1]", "2", None)]),
        (b'{"t":[1]}', b'{"t":[1,{"a":2}]}', [("t[1]", None, '{"a": 2}')]),
        (b'{"e":[]}', b'{"e":{"a":1}}', [("e", "[]", '{"a": 1}')]),
        (b'{"v":{"a.b":1,"":2}}', b'{"v":{"a.b":3,"":4}}', [('v["a.b"]', "1", "3"), ('v[""]', "2", "4")]),
        ('{"größe":1}'.encode(), '{"größe":2}'.encode(), [("größe", "1", "2")]),
        (b'{"a":"\x01\t"}', b'{"a":"\\ud83d"}', [("a", r'"\u0001\t"', r'"\\ud83d"')]),
        (b'{"a":"\xff"}', b'\xef\xbb\xbf{"a":""}', [("a", r'"\\udcff"', '""')]),
        (b'{"x":1,"c":1,"a":1}', b'{"a":2,"b":2,"c":2}', [("a", "1", "2"), ("b", None, "2"), ("c", "1", "2"), ("x", "1", None)]),
    ],
)  # fmt: skip
def test_each_field_that_differs_is_told_as_it_was_sent(old: bytes, new: bytes, expected: Found) -> None:
    """In the order of the newer row, by dotted path, digit for digit; a field that is new or no more has one side only."""
    assert found(old, new) == expected


@pytest.mark.parametrize("other", [b'{"b":[2],"a":"x/"}', b'{ "a":"x/", "b":[2]}', b'{"a":"x\\/","b":[2]}'])
def test_a_row_that_is_only_written_differently_has_no_difference(other: bytes) -> None:
    """Order, spaces and escapes change the bytes and no field: that is said, and not passed over."""
    comparison = compare(b'{"a":"x/","b":[2]}', other)
    assert (comparison.differences, comparison.note) == ((), WRITTEN_DIFFERENTLY)


def test_a_link_that_is_signed_anew_is_no_difference() -> None:
    """The query string of recording_url differs at every listing; another path is a difference."""
    row = b'{"a":%d,"recording_url":"https://h.example/%d.mp3?sig=%d","n":{"recording_url":"/7.mp3?%d"}}'
    assert found(row % (1, 7, 1, 1), row % (2, 7, 2, 2)) == [("a", "1", "2")]
    moved = ("recording_url", '"https://h.example/7.mp3"', '"https://h.example/8.mp3"')
    assert found(row % (1, 7, 1, 1), row % (1, 8, 1, 1)) == [moved]


@pytest.mark.parametrize(
    "value",
    [
        "https://h.example/a?s3cret",
        "https://s3cret:s3cret@h.example/a#s3cret",
        "see https://h.example/a?x=1&y=s3cret.",
        "/a/b.mp3?token=s3cret",
        r'{"link":"https:\/\/h.example\/a?s3cret","n":1}',
        r'{"link":"https:\/\/h.example\/a\u003fs3cret","n":1}',
        "postgres://s3cret@h.example/a https://h.example?s3cret",
    ],
)
def test_no_query_string_of_any_url_is_shown(value: str) -> None:
    """Neither in a field, nor in a member's name, nor in a row that is compared as one text: a signed link is a key."""
    assert SECRET not in without_queries(value)
    for old in (b"{}", b"[]"):
        for new in ({"w": {"u": value}}, {value: 1}, {value: {"u": 1}}, [value], {"recording_url": value}):
            shown = found(old, json.dumps(new).encode())
            assert shown
            assert SECRET not in repr(shown)


def test_what_differs_in_a_query_string_alone_is_told_without_it() -> None:
    """Another link in another field than recording_url is a difference; both sides look the same."""
    one, other = b'{"u":"https://h.example/a?sig=1"}', b'{"u":"https://h.example/a?sig=2"}'
    assert found(one, other) == [("u", '"https://h.example/a?..."', '"https://h.example/a?..."')]


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        (b"", "is not JSON"),
        (b"\xff\x00", "is not JSON"),
        (b'{"id":1', "is not JSON"),
        (b'{"a":NaN}', "holds NaN"),
        (b"[1]", "is not a JSON object"),
        (b'"text"', "is not a JSON object"),
        (b'{"a":{"b":1,"b":2}}', "names a member twice"),
        (b'{"a":%s%s}' % (b"[" * 100_000, b"]" * 100_000), "nested too deeply"),
        (b'{"a":%s%s}' % (b"[" * 900, b"]" * 900), "nested too deeply"),
    ],
)
def test_a_row_whose_fields_cannot_be_told_is_compared_as_one_text(odd: bytes, why: str) -> None:
    """Whatever a platform sends, there is an answer: both rows as texts, and why."""
    for old, new in ((odd, b'{"id":1}'), (b'{"id":1}', odd)):
        comparison = compare(old, new)
        (whole,) = comparison.differences
        assert whole.path == ""
        assert UNSET not in (whole.old, whole.new)
        assert why in (comparison.note or "")


def test_rows_that_are_no_json_hide_the_signature_of_their_link() -> None:
    """A broken row differs in what differs, its link's signature left out, whether or not that looks like a query."""
    (told,) = found(b'{"recording_url":"\\/7.mp3?one","a":}', b'{"recording_url":"\\/7.mp3?two","a":}')
    assert told[1] == told[2]
    assert "one" not in repr(told)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(old=st.dictionaries(st.text(), VALUES, max_size=4), new=st.dictionaries(st.text(), VALUES, max_size=4))
def test_rows_differ_where_their_values_do(old: dict[str, object], new: dict[str, object]) -> None:
    """No difference is missed and none is made up, in whatever shapes; every value handed out is JSON."""
    differences = found(json.dumps(old).encode(), json.dumps(new, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    assert bool(differences) == (json.dumps(old, sort_keys=True) != json.dumps(new, sort_keys=True))
    for _, *sides in differences:
        assert [json.loads(side) for side in sides if side is not None]


@given(old=st.binary(max_size=40), new=st.binary(max_size=40))
def test_any_bytes_can_be_compared(old: bytes, new: bytes) -> None:
    """Nothing that lies in an archive makes the comparison fail."""
    for each in compare(old, new).differences:
        assert None not in (text_of(each.old), text_of(each.new))
