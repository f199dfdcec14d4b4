"""The pages of the report: what they tell, that nothing in them is markup but ours, and how they are cut."""

import html.parser
import json
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.export.dialogue import LONGEST_TRANSCRIPT
from harvester.export.report import CALLS_A_PAGE
from harvester.model import State
from tests.export.bundled import RUN, SHA256, call_of, file_of, pages_of

ROW = {
    "id": 1,
    "created_at": "2025-08-04 14:30:00",
    "updated_at": "2025-08-04T14:34:05Z",
    "type": "outbound",
    "status": "completed",
    "duration": 245,
    "client_phone_number": "+1987654321",
    "assistant_name": "Sales Assistant",
    "campaign_name": "Q4 Outreach",
    "total_cost": "0.02500000",
    "variables": {"customer_name": "John Smith", "score": 8.5},
    "evaluation": [{"name": "booked", "type": "bool", "value": True, "description": "Whether a date was agreed"}],
    "transcript": [
        {"sender": "bot", "text": "Hello.", "timestamp": 1700000000.0},
        {"sender": "human", "text": "Who is\nthis?", "timestamp": 1700003665.0},
    ],
}
VOID = {"meta", "br"}


class Reader(html.parser.HTMLParser):
    """Reads a page: its elements with their attributes, its text, and whether every element is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Fail where another element is open."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.text += data


def read(row: dict[str, Any] | bytes, **standing: Any) -> Reader:
    """Return the report of one call."""
    (page,) = pages_of([call_of(row, **standing)]).values()
    return Reader(page)


def test_a_call_is_told_in_full() -> None:
    """Particulars, zone, money with all digits, proof, turns with times, what was noted, files with their sums."""
    told = read(ROW)
    for text in (
        "4 August 2025, 14:30:00",
        "which names no time zone",
        "2025-08-04T14:34:05Z as the platform sent it, which names its time zone",
        "Number called+1987654321",
        "4:05 245 seconds",
        "0.02500000",
        "all of it was received",
        "0:00botHello.",
        "1:01:05humanWho is\nthis?",
        "customer_nameJohn Smith",
        "score8.5",
        "bookedtrue Whether a date was agreed",
        f"data/2025/08/04/1.mp3{SHA256}run {RUN}",
        "21,560",
    ):
        assert text in told.text
    (player,) = [attributes for tag, attributes in told.elements if tag == "audio"]
    assert (player["src"], player["preload"]) == ("data/2025/08/04/1.mp3", "none")


def test_damage_erasure_and_change_are_marked() -> None:
    """What is not as it should be stands above the particulars, and beside the file."""
    broken = file_of("2025/08/04/1.mp3", "recording", damage="its SHA-256 is another")
    wiped = file_of("2025/08/04/1.txt", "transcript", erased=True, is_there=False)
    told = read({"id": 1}, files=(broken, wiped), erased=True, gone=True, version=2)
    for text in (
        "Damaged.",
        "Erased on request.",
        "no more",
        "version 2",
        "The transcript was erased",
    ):
        assert text in told.text
    assert told.text.count("its SHA-256 is another") == 2
    assert "What plays here is damaged" in told.text
    links = [attributes["href"] for tag, attributes in told.elements if tag == "a"]
    assert "data/2025/08/04/1.mp3" in links
    assert "data/2025/08/04/1.txt" not in links


@pytest.mark.parametrize("state", [State.ABSENT, State.PENDING, State.FAILED, State.GONE])
def test_a_recording_that_is_not_there_has_no_player(state: State) -> None:
    """The page says why there is nothing to hear, in words of its own and in those of the ledger."""
    told = read({"id": 1}, files=(), recording_state=state, reason="the link is dead")
    assert not [tag for tag, _ in told.elements if tag == "audio"]
    assert re.search(r"Recording\s*\n.*recording.*\n", told.text)
    assert "the link is dead" in told.text or state is State.ABSENT


@pytest.mark.parametrize(
    "field", ["assistant_name", "campaign_name", "status", "client_phone_number", "created_at", "transcript"]
)
def test_no_text_is_markup(field: str) -> None:
    """A script, an attribute's end, a mark of direction in any field stay text that is seen."""
    hostile = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&lt;\u202e"
    told = read({**ROW, field: hostile})
    assert {tag for tag, _ in told.elements} == {tag for tag, _ in read({**ROW, field: "harmless"}).elements} | {"code"}
    assert "<script>alert(1)</script><img src=x onerror=alert(1)>&lt;U+202E" in told.text


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@given(st.binary() | st.dictionaries(st.sampled_from(sorted(ROW)), ANYTHING))
def test_no_row_is_too_odd(row: bytes | dict[str, Any]) -> None:
    """Whatever a row holds, the page is well-formed, holds our elements alone, and can be written to a file."""
    told = read(row)
    assert {tag for tag, _ in told.elements} <= ELEMENTS
    assert {name for _, attributes in told.elements for name in attributes} <= ATTRIBUTES
    told.text.encode()


ELEMENTS = frozenset(
    {
        "a",
        "article",
        "audio",
        "b",
        "bdi",
        "body",
        "code",
        "dd",
        "div",
        "dl",
        "dt",
        "footer",
        "h1",
        "h2",
        "h3",
        "head",
        "header",
        "html",
        "li",
        "main",
        "meta",
        "nav",
        "ol",
        "p",
        "q",
        "section",
        "small",
        "span",
        "style",
        "table",
        "tbody",
        "td",
        "th",
        "thead",
        "time",
        "title",
        "tr",
        "ul",
    }
)
ATTRIBUTES = frozenset(
    {
        "aria-label",
        "aria-labelledby",
        "charset",
        "class",
        "content",
        "controls",
        "dir",
        "href",
        "http-equiv",
        "id",
        "lang",
        "name",
        "preload",
        "scope",
        "src",
    }
)


def test_the_policy_allows_no_script_and_only_the_one_style() -> None:
    """Nothing may be loaded but recordings beside the page; the style is allowed by its hash."""
    told = read(ROW)
    (policy,) = [a["content"] for tag, a in told.elements if tag == "meta" and a.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none'; media-src 'self'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not [tag for tag, attributes in told.elements if tag == "script" or "style" in attributes]


def test_a_number_no_double_holds_is_shown_as_it_was_sent() -> None:
    """An amount with an absurd exponent does not become a page of zeros."""
    told = read(json.dumps({**ROW, "total_cost": "1E+999999"}).encode())
    assert Decimal("1E+999999") == Decimal(re.search(r"Total cost(\S+)", told.text)[1])  # type: ignore[index]


@pytest.mark.parametrize(
    "transcript",
    ["long " * LONGEST_TRANSCRIPT, [{"sender": "bot", "text": "a", "timestamp": n} for n in range(20_000)]],
)
def test_a_transcript_without_end_is_cut_and_said_to_be(transcript: object) -> None:
    """A browser must be able to open the page; the rest is named, and stands in the bundle."""
    (page,) = pages_of([call_of({"id": 1, "transcript": transcript})]).values()
    assert len(page) < 1.2 * LONGEST_TRANSCRIPT
    assert "the rest is too long for this page" in Reader(page).text


def test_many_calls_make_several_pages_that_lead_to_each_other() -> None:
    """A page is ready as soon as it is full; the first comes last and names them all; numbers go on."""
    pages = pages_of(
        call_of({"id": n, "created_at": f"2025-08-04 00:00:{n % 60:02}"}, number=n)
        for n in range(1, 2 * CALLS_A_PAGE + 2)
    )
    assert list(pages) == ["report-0002.html", "report-0003.html", "report.html"]
    first, second, third = (Reader(pages[name]) for name in ("report.html", "report-0002.html", "report-0003.html"))
    assert "report-0003.html501 to 501" in first.text
    assert hrefs(first) >= {"report-0002.html", "report-0003.html", "index.csv"}
    assert hrefs(second) >= {"report.html", "report-0003.html"}
    assert hrefs(third) & {"report.html", "report-0002.html", "report-0004.html"} == {"report.html", "report-0002.html"}
    assert "No. 251" in second.text
    for page in (first, second, third):
        ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
        assert {href[1:] for href in hrefs(page) if href.startswith("#")} <= ids


def hrefs(page: Reader) -> set[str]:
    """Return where the links of a page lead to."""
    return {attributes["href"] or "" for tag, attributes in page.elements if tag == "a"}


def test_one_call_has_no_contents() -> None:
    """There is nothing to choose from."""
    assert "Calls on this page" not in read(ROW).text


def test_the_same_calls_make_the_same_bytes() -> None:
    """Nothing depends on a clock or on chance."""
    calls = [call_of(ROW, number=n) for n in range(5)]
    assert pages_of(calls) == pages_of(calls)


def test_what_is_true_of_the_bundle_stands_on_the_first_page() -> None:
    """Case, operator, selection, account, archive, state, damage, seals."""
    (page,) = pages_of(
        [call_of(ROW)], case="Smith v. Northwind <1>", reason="A claim", damaged=1, erased=2, unsealed_runs=("x",)
    ).values()
    told = Reader(page).text
    for text in (
        "Smith v. Northwind <1>",
        "Exported byA. Person",
        "ReasonA claim",
        "Selected byall calls",
        "https://platform.example/api",
        "As of2026-11-26T02:00:00.000Z",
        "1 call with damaged files",
        "2 calls of which files were erased",
        "none of the runs that archived these calls (1)",
    ):
        assert text in told
