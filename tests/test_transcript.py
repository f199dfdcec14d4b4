"""A transcript becomes text that people can read, whatever shape it comes in."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.transcript import transcript_text

TURN = {"text": "Hello.", "type": "speech", "sender": "bot", "timestamp": 1_700_000_000.25}
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["text", "sender", "type", "timestamp"]), inner, max_size=4),
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Hello, this is Sarah.", "Hello, this is Sarah.\n"),
        ("bot: Hi\nhuman: Hello \n\n", "bot: Hi\nhuman: Hello\n"),
        ("  indented", "  indented\n"),
        ([TURN], "[00:00] bot: Hello.\n"),
        (
            [TURN, TURN | {"sender": "human", "text": " Hi! ", "timestamp": 1_700_000_065.0}],
            "[00:00] bot: Hello.\n[01:05] human: Hi!\n",
        ),
        ([TURN, TURN | {"timestamp": 1_700_006_005}], "[00:00] bot: Hello.\n[100:05] bot: Hello.\n"),
        ([TURN, TURN | {"timestamp": 1_600_000_000}], "[00:00] bot: Hello.\n[00:00] bot: Hello.\n"),
        ([TURN | {"timestamp": None}, TURN], "bot: Hello.\n[00:00] bot: Hello.\n"),
        ([{"sender": "bot", "text": "Hi"}], "bot: Hi\n"),
        ([{"type": "note", "text": "Hi"}], "note: Hi\n"),
        ([{"text": "Hi"}], "unknown: Hi\n"),
        (["Hi", "Hello"], "Hi\nHello\n"),
        ([TURN | {"timestamp": "soon"}, TURN | {"timestamp": True}], "bot: Hello.\nbot: Hello.\n"),
        ({"text": "Hi"}, '{"text":"Hi"}\n'),
        (42, "42\n"),
    ],
)
def test_every_seen_shape_becomes_text(value: object, text: str) -> None:
    """Text stays as it is; turns become `[mm:ss] sender: text`, counted from the first; odd shapes become their JSON."""
    assert transcript_text(value) == text


@pytest.mark.parametrize("value", [None, "", " \n\t ", [], {}])
def test_no_transcript_is_none(value: object) -> None:
    """null, empty and blank ones, and PHP's empty array, are no transcript."""
    assert transcript_text(value) is None


@pytest.mark.parametrize("broken", ["Yes.\nNo.", "Yes.\r\nNo.", "Yes.\rNo."])
@pytest.mark.parametrize("turn", [lambda text: {"sender": "bot", "text": text}, lambda text: f"bot: {text}"])
def test_a_turn_is_one_line(turn: object, broken: str) -> None:
    """A line break inside of a turn does not make it two turns: what follows is indented."""
    assert callable(turn)
    assert transcript_text([turn(broken), turn("Bye.")]) == "bot: Yes.\n    No.\nbot: Bye.\n"


@settings(max_examples=100, deadline=None)
@given(JSON)
def test_any_value_is_text_or_none(value: object) -> None:
    """Whatever a row holds, nothing is raised, and text ends in one newline."""
    text = transcript_text(value)
    assert text is None or text.endswith("\n")
    assert (text is None) is (value in (None, 0, False, [], {}) or (isinstance(value, str) and not value.strip()))


def test_a_nesting_that_can_just_be_read_is_no_error() -> None:
    """However deep a transcript is nested: if the row could be read, so can be its text."""
    for depth in range(10, 1200):
        try:
            value = msgspec.json.decode(b"[" * depth + b"]" * depth)
        except RecursionError:
            break
        assert transcript_text({"x": value})
    assert depth > 500


def test_the_order_of_turns_is_the_platforms() -> None:
    """Turns are not sorted: the platform knows better than their clocks."""
    turns = [TURN | {"timestamp": at, "text": text} for at, text in ((20, "a"), (10, "b"), (30, "c"))]
    assert [line[-1] for line in str(transcript_text(json.loads(json.dumps(turns)))).splitlines()] == ["a", "b", "c"]
