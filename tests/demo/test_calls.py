"""The calls of one account: what rows look like, in which order they stand, and what changes while they are served."""

import itertools
import re
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.demo.audio import recording
from harvester.demo.calls import CallBook, Query
from harvester.demo.order import Order
from harvester.demo.rows import Row
from harvester.demo.scripts import ASSISTANTS, CAMPAIGNS

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FIELDS = [
    "id", "assistant_name", "campaign_name", "type", "duration", "assistant_phone_number", "client_phone_number",
    "status", "transcript", "variables", "evaluation", "webhook_response", "carrier_cost", "total_cost",
    "answered_by", "recording_url", "created_at", "updated_at",
]  # fmt: skip


def all_rows(book: CallBook) -> list[Row]:
    """Every row, oldest first."""
    return [book.row(call_id) for call_id in book.ids()]


def ids_of(book: CallBook, query: Query | None = None, order: Order = "oldest") -> list[int]:
    """All pages of a query in one."""
    view = book.find(query or Query(), order)
    return view.page(0, len(view))


def shape(value: object) -> str:
    """What kind of value a field holds, coarsely."""
    if value in (None, "", [], 0):
        return repr(value)
    return type(value).__name__


def test_a_row_has_every_documented_field_in_the_documented_order() -> None:
    """Each row, in progress or over, has the fields of the documentation and no other, in that order."""
    assert all(list(row) == FIELDS for row in all_rows(CallBook(now=NOW)))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_default_book_shows_all_the_variety(seed: int) -> None:
    """The default 200 calls of any seed hold all ten statuses, all types, and each shape that fields are seen in."""
    rows = all_rows(CallBook(seed=seed, now=NOW))
    shapes = {name: {shape(row[name]) for row in rows} for name in FIELDS}
    assert {row["status"] for row in rows} == {
        "initiated", "ringing", "busy", "in-progress", "ended", "completed", "ended_by_customer",
        "ended_by_assistant", "no-answer", "failed",
    }  # fmt: skip
    assert {row["type"] for row in rows} == {"inbound", "outbound", "web"}
    assert {row["answered_by"] for row in rows} == {"human", "machine", "unknown", None}
    assert shapes["transcript"] == {"str", "list", "None", "''", "[]"}
    assert shapes["variables"] == {"dict", "[]", "None"}
    assert shapes["evaluation"] == {"dict", "list", "[]", "None"}
    assert shapes["carrier_cost"] >= {"float", "str", "None"}
    assert shapes["duration"] == {"int", "None", "0"}
    assert shapes["recording_url"] == {"str", "None", "''"}
    for name in ("campaign_name", "webhook_response", "client_phone_number", "assistant_phone_number"):
        assert "None" in shapes[name]
        assert len(shapes[name]) > 1


def test_links_dates_and_texts_come_in_every_form() -> None:
    """Recordings are .mp3, .mp4 and with a phone number; instants with and without a zone; texts beyond ASCII."""
    rows = all_rows(CallBook(now=NOW))
    paths = {re.sub(r"\d{6,}", "1", str(row["recording_url"])) for row in rows if row["recording_url"]}
    assert paths == {"/calls/1.mp3", "/calls/1.mp4", "/calls/+1_1.mp3"}
    assert {re.sub(r"\d", "9", str(row["created_at"])) for row in rows} == {
        "9999-99-99 99:99:99",
        "9999-99-99T99:99:99Z",
    }
    said = "".join(str(row["transcript"]) for row in rows)
    assert "ü" in said
    assert "🍕" in said


def test_a_turn_has_four_fields_and_lies_within_the_call() -> None:
    """A transcript in turns has text, type, sender and a timestamp in Unix seconds between start and end."""
    for row in all_rows(CallBook(now=NOW)):
        if isinstance(row["transcript"], list):
            start = datetime.fromisoformat(str(row["created_at"])).replace(tzinfo=UTC).timestamp()
            for turn in row["transcript"]:
                assert list(turn) == ["text", "type", "sender", "timestamp"]
                assert turn["sender"] in ("bot", "human")
                assert start <= turn["timestamp"] <= start + int(str(row["duration"]))


def test_the_recordings_of_the_default_book_come_to_some_megabytes() -> None:
    """About 200 calls make 5 to 15 MB of recordings, each with the duration that its row says."""
    book = CallBook(now=NOW)
    recorded = [row for row in all_rows(book) if row["recording_url"]]
    sizes = [len(book.recording(int(str(row["id"])))) for row in recorded]
    assert 5e6 < sum(sizes) < 15e6
    row = next(row for row in recorded if str(row["recording_url"]).endswith(".mp3"))
    call_id, seconds = int(str(row["id"])), int(str(row["duration"]))
    assert len(book.recording(call_id)) == len(recording(0, seconds))


def test_the_container_follows_the_link_and_no_two_recordings_are_alike() -> None:
    """A .mp4 link holds an MPEG-4 file, any other an MP3; every call sounds different."""
    book = CallBook(now=NOW)
    recorded = {call_id: str(book.row(call_id)["recording_url"]) for call_id in book.ids()}
    bodies = {call_id: book.recording(call_id) for call_id, path in recorded.items() if path.startswith("/")}
    assert all((body[4:8] == b"ftyp") == recorded[call_id].endswith(".mp4") for call_id, body in bodies.items())
    assert len(set(bodies.values())) == len(bodies)


def test_the_same_parameters_give_the_same_book_and_another_seed_another_one() -> None:
    """A book is a function of its parameters."""
    assert all_rows(CallBook(seed=7, now=NOW)) == all_rows(CallBook(seed=7, now=NOW))
    assert all_rows(CallBook(seed=7, now=NOW)) != all_rows(CallBook(seed=8, now=NOW))


def test_the_default_span_is_the_last_ninety_days_and_the_newest_calls_still_go_on() -> None:
    """Calls lie in the 90 days before now; the last three are in progress, two before them wait for their recording."""
    book = CallBook(now=NOW)
    created = [datetime.fromisoformat(str(row["created_at"])).replace(tzinfo=UTC) for row in all_rows(book)]
    assert NOW - timedelta(days=90) <= created[0] < NOW - timedelta(days=88)
    assert created == sorted(created)
    assert created[-1] <= NOW
    unsettled = [book.row(call_id) for call_id in book.unsettled()]
    assert [row["status"] for row in unsettled] == ["completed", "completed", "in-progress", "ringing", "initiated"]
    assert all(row["transcript"] is None and row["recording_url"] is None for row in unsettled)
    assert created[-5] > NOW - timedelta(minutes=31)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_book_may_be_tiny(count: int) -> None:
    """A book of no calls or of fewer than usually go on is a book, too."""
    book = CallBook(count=count, now=NOW)
    assert len(book) == len(all_rows(book)) == count


def test_ids_can_be_strings() -> None:
    """With text ids only the id in the rows differs."""
    plain, text = (all_rows(CallBook(now=NOW, text_ids=text_ids)) for text_ids in (False, True))
    assert [{**row, "id": str(row["id"])} for row in plain] == text


def test_an_inverted_span_is_refused() -> None:
    """The first instant must lie before the last one."""
    with pytest.raises(ValueError, match="first_at"):
        CallBook(first_at=NOW, last_at=NOW)


def test_a_call_in_progress_can_be_finished() -> None:
    """A finished call is completed and has a transcript and a recording; its id and created_at stay."""
    book = CallBook(now=NOW)
    for call_id in book.unsettled():
        before = book.row(call_id)
        book.finish(call_id)
        after = book.row(call_id)
        assert after["status"] == "completed"
        assert after["transcript"]
        assert book.recording(call_id)
        assert (after["id"], after["created_at"]) == (before["id"], before["created_at"])
    assert book.unsettled() == []


def test_a_new_call_stands_at_the_end_with_a_recording() -> None:
    """An inserted call is the newest, has a new id, and takes the fields that were asked for."""
    book = CallBook(count=20, now=NOW)
    call_id = book.insert({"status": "ended"})
    assert ids_of(book)[-1] == ids_of(book, order="newest")[0] == call_id
    assert len(book) == 21
    assert book.row(call_id)["status"] == "ended"
    assert book.recording(call_id)


def test_a_deleted_call_is_gone_with_its_recording() -> None:
    """After deletion there is neither row nor recording, and nothing can be done to the call any more."""
    book = CallBook(count=20, now=NOW)
    book.delete(100_005)
    assert 100_005 not in ids_of(book)
    for action in (book.row, book.recording, book.delete, book.change, book.finish):
        with pytest.raises(KeyError):
            action(100_005)


def test_a_change_shows_in_the_row_and_in_updated_at_but_not_in_the_order() -> None:
    """A changed call keeps its place in every order."""
    book = CallBook(count=20, now=NOW)
    orders: tuple[Order, ...] = ("oldest", "newest", "shuffled")
    before = [ids_of(book, order=order) for order in orders]
    book.change(100_005, transcript="made anew")
    assert book.row(100_005)["transcript"] == "made anew"
    assert book.row(100_005)["updated_at"] == "2026-03-01 12:00:00"
    assert [ids_of(book, order=order) for order in orders] == before


def test_a_call_without_a_readable_date_is_in_no_range_of_dates() -> None:
    """A call whose created_at is null is listed without a date filter only, as older than all others."""
    book = CallBook(count=20, now=NOW)
    book.change(100_005, created_at=None)
    assert ids_of(book)[0] == 100_005
    assert 100_005 not in ids_of(book, Query(until_s=NOW.timestamp() + 1))
    assert 100_005 not in ids_of(book, Query(from_s=0))


def test_a_row_can_be_replaced_by_any_bytes() -> None:
    """The bytes stand in for the row, and the call stays where it is in the list."""
    book = CallBook(count=20, now=NOW)
    before = ids_of(book)
    book.replace_row(100_005, b'"not even an object"')
    assert book.raw(100_005) == b'"not even an object"'
    assert book.raw(100_006) is None
    assert ids_of(book) == before


def matches(row: Row, query: Query) -> bool:
    """The filters, said in the simplest way."""
    created_s = datetime.fromisoformat(str(row["created_at"])).replace(tzinfo=UTC).timestamp()
    return (
        query.status in (None, row["status"])
        and query.type in (None, row["type"])
        and query.phone_number in (None, row["client_phone_number"], row["assistant_phone_number"])
        and (query.assistant_id is None or row["assistant_name"] == ASSISTANTS[query.assistant_id].name)
        and (query.campaign_id is None or row["campaign_name"] == CAMPAIGNS[query.campaign_id])
        and (query.from_s is None or created_s >= query.from_s)
        and (query.until_s is None or created_s < query.until_s)
    )


QUERIES = [
    Query(),
    Query(status="completed"),
    Query(status="initiated"),
    Query(type="web"),
    Query(assistant_id=301),
    Query(campaign_id=72, status="ended"),
    Query(phone_number=ASSISTANTS[302].phone_number),
    Query(from_s=NOW.timestamp() - 40 * 86_400, until_s=NOW.timestamp() - 20 * 86_400),
    Query(type="outbound", from_s=NOW.timestamp() - 10 * 86_400),
    Query(from_s=NOW.timestamp(), until_s=0),
]


@pytest.mark.parametrize("query", QUERIES)
def test_filters_find_exactly_the_rows_that_match(query: Query) -> None:
    """A query finds what a look at every row finds, also among calls that were inserted or changed."""
    book = CallBook(now=NOW)
    book.change(100_003, status="initiated", type="web", assistant_name=ASSISTANTS[301].name)
    book.change(100_004, created_at="2026-02-01 00:00:00")
    book.insert({"client_phone_number": ASSISTANTS[302].phone_number})
    book.delete(100_050)
    assert set(ids_of(book, query)) == {row["id"] for row in all_rows(book) if matches(row, query)}


@pytest.mark.parametrize(("field", "value"), [("assistant_id", 999), ("campaign_id", 999), ("status", "unanswered")])
def test_an_unknown_value_finds_nothing(field: str, value: object) -> None:
    """An assistant, a campaign or a status that no call has gives an empty list, touched calls included."""
    book = CallBook(now=NOW)
    book.insert({"campaign_name": None})
    assert ids_of(book, Query(**{field: value})) == []  # type: ignore[arg-type]


actions = st.lists(
    st.tuples(st.sampled_from(["insert", "insert old", "delete", "change", "move"]), st.integers(0, 1000)), max_size=12
)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), actions, st.booleans())
def test_the_order_is_that_of_a_sorted_list_whatever_happened(
    count: int, history: list[tuple[str, int]], filtered: bool
) -> None:
    """However calls come, go and move, oldest is by date and id, newest its reverse, shuffled the same calls."""
    book = CallBook(count=count, now=NOW, in_progress=0, late=0)
    for action, number in history:
        alive = list(book.ids())
        moment = f"{NOW - timedelta(days=number % 80, seconds=number):%Y-%m-%d %H:%M:%S}"
        if action.startswith("insert"):
            book.insert({"created_at": moment} if action == "insert old" else {})
        elif alive and action == "delete":
            book.delete(alive[number % len(alive)])
        elif alive:
            book.change(alive[number % len(alive)], **({"created_at": moment} if action == "move" else {}))
    query = Query(status="completed") if filtered else Query()
    rows = [book.row(call_id) for call_id in book.ids()]
    expected = sorted(
        (datetime.fromisoformat(str(row["created_at"])).replace(tzinfo=UTC), int(str(row["id"])))
        for row in rows
        if matches(row, query)
    )
    oldest = [call_id for _, call_id in expected]
    assert ids_of(book, query) == oldest
    assert ids_of(book, query, "newest") == oldest[::-1]
    assert sorted(ids_of(book, query, "shuffled")) == sorted(oldest)


def test_a_shuffled_list_is_neither_by_date_nor_different_each_time() -> None:
    """The shuffled order is arbitrary, and remains so for the calls that are left when one goes."""
    book = CallBook(now=NOW)
    shuffled = ids_of(book, order="shuffled")
    assert shuffled not in (sorted(shuffled), sorted(shuffled, reverse=True))
    book.delete(shuffled[50])
    assert ids_of(book, order="shuffled") == shuffled[:50] + shuffled[51:]


def test_the_pages_of_a_view_make_up_the_whole() -> None:
    """Cutting a view at any page length loses and repeats nothing; past its end there is nothing."""
    book = CallBook(now=NOW)
    view = book.find(Query(), "newest")
    pages = [view.page(start, start + 7) for start in range(0, 210, 7)]
    assert list(itertools.chain(*pages)) == ids_of(book, order="newest")
    assert view.page(200, 300) == []


def test_a_million_calls_cost_no_memory() -> None:
    """A page in the middle and a window of dates of a million calls take less than half a megabyte, rows included."""
    tracemalloc.start()
    book = CallBook(count=1_000_000, now=NOW)
    middle = book.find(Query(), "newest").page(500_000, 500_100)
    window = book.find(Query(from_s=NOW.timestamp() - 86_400 * 45, until_s=NOW.timestamp() - 86_400 * 44), "oldest")
    rows = [book.row(call_id) for call_id in [*middle, *window.page(0, 10)]]
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(rows) == 110
    assert 10_000 < len(window) < 12_000
    assert peak_bytes < 500_000


def test_a_filter_over_many_calls_keeps_four_bytes_for_each_match() -> None:
    """The calls that match an attribute are kept as numbers, not as rows."""
    book = CallBook(count=50_000, now=NOW)
    tracemalloc.start()
    view = book.find(Query(type="web"), "newest")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 6_000 < len(view) < 9_000
    assert peak_bytes < 200_000
