"""Phone numbers are kept out of what is handed to strangers, and nothing else is."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.mask import masked, query_values, secretless

OURS = "+49 30 1234567"


@pytest.mark.parametrize(
    "spelt",
    [
        "+49301234567",
        "49301234567",
        "0049301234567",
        "%2B49301234567",
        "%2b49301234567",
        "+49 30 1234567",
        "+49-30-123 45 67",
        "+49(30)1234567",
        "49%20301234567",
        "49.30.1234567",
        "49_30_1234567",
    ],
)
def test_a_calls_number_is_masked_however_it_is_spelt(spelt: str) -> None:
    """With plus, encoded plus, zeros or nothing before it, and with what people put between the digits."""
    assert masked(f"https://r.example/a/{spelt}.mp3", [OURS]) == "https://r.example/a/(number).mp3"


@pytest.mark.parametrize("number", ["+15551234567", "%2B15551234567", "+1234567", "+123456789012345"])
def test_an_international_number_is_masked_whosever_it_is(number: str) -> None:
    """A plus and 7 to 15 digits is a number, also one that the row does not name."""
    assert masked(f"to {number}.") == "to (number)."


def test_all_numbers_of_a_call_are_masked() -> None:
    """Both sides, each as often as it occurs, also where one begins like the other."""
    text = "4930123456789 called 493012345 and 4930123456789"
    assert masked(text, ["493012345", "+4930123456789"]) == "(number) called (number) and (number)"


@pytest.mark.parametrize(
    "text",
    [
        "https://recordings.example/calls/123.mp3",
        "https://recordings.example/2025/08/04/0a1b2c3d-4e5f-6789-abcd-ef0123456789.mp3",
        "answered 404",
        "+12345",
        "",
        "caf\udce9 \ud83d",
    ],
)
def test_what_is_no_number_stays(text: str) -> None:
    """Ids, dates, statuses and short extensions are not blotted out."""
    assert masked(text, [OURS, "12", "404", "", "anonymous", "+"]) == text


@settings(max_examples=100, deadline=None)
@given(st.text(), st.lists(st.one_of(st.text(), st.from_regex(r"\+?[0-9 ()-]{3,20}", fullmatch=True)), max_size=3))
def test_any_text_and_any_numbers(text: str, numbers: list[str]) -> None:
    """Whatever is put in, nothing is raised, no given number is left, and masking again changes nothing."""
    once = masked(f"{text} {' '.join(numbers)} {text}", numbers)
    for number in numbers:
        digits = re.sub("[^0-9]", "", number).lstrip("0")
        assert len(digits) < 6 or digits not in once
    assert masked(once, numbers) == once


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Bearer 12|ab/c'd was refused", "Bearer (secret) was refused"),
        ("token=12%7Cab%2Fc%27d", "token=(secret)"),
        ("<b>12|ab/c&#x27;d</b>", "<b>(secret)</b>"),
        ('{"token":"12|ab\\/c\'d"}', '{"token":"(secret)"}'),
        ("GET /1.mp3?sig=a&amp;x=b HTTP/1.1", "GET /1.mp3?(query) HTTP/1.1"),
        (
            "<a href='https://r.example/?a=b#c'>Where to? There.</a>",
            "<a href='https://r.example/?(query)'>Where to? There.</a>",
        ),
        ("", ""),
    ],
)
def test_secrets_are_left_out_however_they_are_spelt(text: str, left: str) -> None:
    """As they are, in URLs and in HTML; the query of every URL goes too, and a question in a sentence stays."""
    assert secretless(text, ("12|ab/c'd", "")) == left


def test_the_secrets_of_a_link_are_the_long_values_of_its_query() -> None:
    """As they stand there and as they are meant; a page number is none."""
    assert query_values("https://r.example/1?sig=abcdefg%2B1&n=7&flag#x=abcdefghi") == ["abcdefg%2B1", "abcdefg+1"]
    assert query_values("https://r.example/1") == []


@pytest.mark.parametrize("separator", list(" ._()/-"))
def test_no_separator_hides_a_number(separator: str) -> None:
    """Not a single one of those that people put between digits."""
    assert masked(f"x{separator.join('498912345')}x", ["+498912345"]) == "x(number)x"
