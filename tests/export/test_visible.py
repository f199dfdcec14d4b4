"""What cannot be seen in a text is shown, and nothing in a text is markup."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.export.visible import visible_html, visible_text


@pytest.mark.parametrize(
    ("text", "shown", "marked"),
    [
        ("a\x00b", "a\\x00b", "U+0000"),
        ("a\x1b[31m", "a\\x1b[31m", "U+001B"),
        ("\u202egnp.exe", "\\u202egnp.exe", "U+202E"),
        ("pay\u200bpal", "pay\\u200bpal", "U+200B"),
        ("\ufeffa", "\\ufeffa", "U+FEFF"),
        ("half \ud83d", "half \\ud83d", "U+D83D"),
        ("tag \U000e0041", "tag \\U000e0041", "U+E0041"),
        ("two\nlines", "two\\nlines", "U+000A"),
    ],
)
def test_what_is_hidden_is_written_out(text: str, shown: str, marked: str) -> None:
    """Controls, marks of direction, what has no width, halves of characters: a reader sees that they are there."""
    assert visible_text(text) == shown
    assert f'<code class="hidden">{marked}</code>' in visible_html(text)


@pytest.mark.parametrize(
    "text", ["fünf\u00a0Euro\u202f!", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "क्\u200dष", "שלום", "❤\ufe0f"]
)
def test_what_writing_needs_stays(text: str) -> None:
    """No-break spaces, joiners and variation selectors belong to words and emoji; writing from right to left needs no mark."""
    assert visible_text(text) == text
    assert visible_html(text) == text


def test_lines_stay_lines_where_there_is_room_for_them() -> None:
    """A transcript keeps its line breaks, whichever way they were written."""
    assert visible_html("a\r\nb\rc\n\td", lines=True) == "a\nb\nc\n\td"


@given(st.text(st.characters()))
def test_no_text_is_markup(text: str) -> None:
    """Whatever a text holds, without our marks it has no bracket and no quote, and it can be written to a file."""
    written = visible_html(text)
    written.encode()
    visible_text(text).encode()
    ours = re.sub(r'<code class="hidden">U\+[0-9A-F]{4,6}</code>', "", written)
    assert not set(ours) & set("<>\"'")
    assert "&" not in re.sub(r"&(?:amp|lt|gt|quot|#x27);", "", ours)
