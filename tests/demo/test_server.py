"""The simulated platform over HTTP: what the documentation says, and every choice of `Options`."""

import asyncio
import contextlib
import time
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
import anyio
import msgspec
import pytest

from harvester.demo.calls import CallBook
from harvester.demo.server import Options, Platform, Seen, serve

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Got(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as the client sees it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def fields(self) -> dict[str, object]:
        return msgspec.json.decode(self.body, type=dict[str, object])


class ListPage(msgspec.Struct, frozen=True, kw_only=True):
    """What the tests look at in a page of the list."""

    current_page: int
    data: list[dict[str, object]]
    last_page: int
    per_page: int
    total: int
    from_: int | None = msgspec.field(name="from")
    to: int | None
    next_page_url: str | None
    prev_page_url: str | None
    links: list[dict[str, object]]

    @property
    def ids(self) -> list[object]:
        return [row["id"] for row in self.data]


class Client:
    """Asks one platform, with its key unless told otherwise."""

    def __init__(self, platform: Platform, session: aiohttp.ClientSession) -> None:
        self.platform = platform
        self._session = session
        self._key = {"Authorization": f"Bearer {platform.key}", "Accept": "application/json"}

    async def get(self, url: str, method: str = "GET", headers: dict[str, str] | None = None) -> Got:
        """Ask for a path below /api/user or for a whole link; links are asked for without the key."""
        own = url.startswith("http")
        sent = headers if headers is not None else {} if own else self._key
        address = url if own else f"{self.platform.base_url}/user/{url}"
        async with self._session.request(method, address, headers=sent, allow_redirects=False) as response:
            return Got(status=response.status, headers=dict(response.headers), body=await response.read())

    async def page(self, query: str = "") -> ListPage:
        """One page of the list."""
        got = await self.get(f"calls?{query}")
        assert got.status == 200
        return msgspec.json.decode(got.body, type=ListPage)


@contextlib.asynccontextmanager
async def client(book: CallBook | None = None, options: Options | None = None) -> AsyncIterator[Client]:
    """A client of a fresh platform."""
    platform = serve(book or CallBook(now=NOW), options=options or Options())
    async with platform as serving, aiohttp.ClientSession() as session:
        yield Client(serving, session)


def recorded(book: CallBook, suffix: str = ".mp3") -> int:
    """A call whose recording has a plain link that ends so."""
    return next(call_id for call_id in book.ids() if book.row(call_id)["recording_url"] == f"/calls/{call_id}{suffix}")


async def test_a_page_has_every_field_of_the_paginator() -> None:
    """The envelope carries the documented fields in their order, and its links drop filters and per_page."""
    async with client() as ask:
        got = await ask.get("calls?page=2&type=outbound&per_page=10")
        address = f"{ask.platform.base_url}/user/calls"
        assert list(got.fields) == [
            "current_page", "data", "first_page_url", "from", "last_page", "last_page_url", "links", "next_page_url",
            "path", "per_page", "prev_page_url", "to", "total",
        ]  # fmt: skip
        assert got.headers["Content-Type"] == "application/json"
        assert got.fields["path"] == address
        assert got.fields["next_page_url"] == f"{address}?page=3"
        assert got.fields["prev_page_url"] == got.fields["first_page_url"] == f"{address}?page=1"
        assert (got.fields["from"], got.fields["to"], got.fields["per_page"]) == (11, 20, 10)


async def test_json_is_written_as_php_writes_it() -> None:
    r"""The list is ASCII, with `\/` for a slash and `\uXXXX` for the rest, and means what the book holds."""
    async with client() as ask:
        got = await ask.get("calls?per_page=100")
        assert got.body.isascii()
        assert b"http:\\/\\/127.0.0.1" in got.body
        assert b"\\u00fc" in got.body
        page = msgspec.json.decode(got.body, type=ListPage)
        assert all(
            {**row, "recording_url": None} == {**ask.platform.book.row(int(str(row["id"]))), "recording_url": None}
            for row in page.data
        )
        assert got.body.count(ask.platform.row(int(str(page.ids[0])))) == 1


async def test_walking_all_pages_gives_every_call_once() -> None:
    """15 calls on a page by default; the last page is short; past it data is empty and the answer is 200."""
    async with client() as ask:
        pages = [await ask.page(f"page={number}") for number in range(1, 16)]
        assert [len(page.data) for page in pages] == [15] * 13 + [5, 0]
        assert sorted(str(call_id) for page in pages for call_id in page.ids) == [
            str(call_id) for call_id in ask.platform.book.ids()
        ]
        assert (pages[13].from_, pages[13].to, pages[13].next_page_url) == (196, 200, None)
        assert (pages[14].from_, pages[14].to, pages[14].current_page, pages[14].last_page) == (None, None, 15, 14)


async def test_an_empty_list_has_one_empty_page() -> None:
    """With a total of 0 the last page is 1, and from and to are null."""
    async with client() as ask:
        page = await ask.page("status=unanswered")
        assert (page.total, page.last_page, page.data, page.from_, page.to) == (0, 1, [], None, None)


@pytest.mark.parametrize("number", ["0", "-1", "abc", "1.5", "", "9" * 30])
async def test_a_page_that_is_no_integer_becomes_page_1(number: str) -> None:
    """The paginator takes what it cannot read as page 1, silently."""
    async with client() as ask:
        assert (await ask.page(f"page={number}")).current_page == 1


@pytest.mark.parametrize(
    ("page", "labels"),
    [
        (1, "« Previous,1,2,3,4,5,6,7,8,9,10,...,19,20,Next »"),
        (10, "« Previous,1,2,...,7,8,9,10,11,12,13,...,19,20,Next »"),
        (20, "« Previous,1,2,...,11,12,13,14,15,16,17,18,19,20,Next »"),
    ],
)
async def test_the_links_show_a_window_of_pages(page: int, labels: str) -> None:
    """The numbers around the page, both ends, and dots between; the page itself is active."""
    async with client() as ask:
        links = (await ask.page(f"per_page=10&page={page}")).links
        assert ",".join(str(link["label"]) for link in links) == labels
        assert [link["label"] for link in links if link["active"]] == [str(page)]
        assert all(link["url"] is None for link in links if link["label"] == "...")
        assert (links[0]["url"] is None, links[-1]["url"] is None) == (page == 1, page == 20)


@pytest.mark.parametrize(
    "query",
    [
        "status=ended",
        "type=web",
        "assistant_id=303",
        "campaign_id=71",
        "phone_number=%2B12025550143",
        "status=completed&type=inbound",
    ],
)
async def test_every_filter_narrows_the_list(query: str) -> None:
    """Each filter leaves some calls, fewer than all, and all of them match (the book's tests say which)."""
    fields = {"assistant_id": ("assistant_name", "Front Desk Sarah"), "campaign_id": ("campaign_name", None)}
    async with client() as ask:
        page = await ask.page(f"{query}&per_page=100")
        assert 0 < page.total == len(page.data) < 200
        for name, value in (part.split("=") for part in query.split("&")):
            if name == "phone_number":
                found = {"+12025550143"}
                assert all(found & {row["client_phone_number"], row["assistant_phone_number"]} for row in page.data)
            elif name in fields:
                assert len({row[fields[name][0]] for row in page.data}) == 1
            else:
                assert {row[name] for row in page.data} == {value}


async def test_days_are_inclusive_on_both_sides_by_default() -> None:
    """date_from and date_to of one day give that day, and all single days together give the whole list."""
    async with client(CallBook(now=NOW, count=50)) as ask:
        day = await ask.page("date_from=2026-02-10&date_to=2026-02-10")
        assert day.data
        assert {str(row["created_at"])[:10] for row in day.data} == {"2026-02-10"}
        before = await ask.page("date_to=2026-02-09")
        after = await ask.page("date_from=2026-02-11")
        assert before.total + day.total + after.total == 50


async def test_date_to_can_be_exclusive() -> None:
    """With `date_to_inclusive` off the last day is left out."""
    async with client(options=Options(date_to_inclusive=False)) as ask:
        assert (await ask.page("date_from=2026-02-10&date_to=2026-02-10")).total == 0
        days = {str(row["created_at"])[:10] for row in (await ask.page("date_from=2026-02-10&date_to=2026-02-12")).data}
        assert days == {"2026-02-10", "2026-02-11"}


async def test_days_can_be_cut_in_another_zone() -> None:
    """With a zone two hours ahead, a call at 22:30 UTC belongs to the next day."""
    book = CallBook(now=NOW, count=20)
    book.change(100_005, created_at="2026-02-10 22:30:00")
    async with client(book, Options(day_zone_hours=2)) as ask:
        assert 100_005 not in (await ask.page("date_to=2026-02-10")).ids
        assert 100_005 in (await ask.page("date_from=2026-02-11&date_to=2026-02-11")).ids


async def test_dates_can_be_ignored() -> None:
    """With `ignore_dates` a range of dates is checked and then forgotten."""
    async with client(options=Options(ignore_dates=True)) as ask:
        assert (await ask.page("date_from=2020-01-01&date_to=2020-01-02")).total == 200
        assert (await ask.get("calls?date_from=nonsense")).status == 422


@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
async def test_the_order_of_the_list_is_a_choice(order: str) -> None:
    """Newest first, oldest first, or arbitrary but the same at every request."""
    async with client(options=msgspec.convert({"order": order}, Options)) as ask:
        ids = (await ask.page("per_page=100")).ids + (await ask.page("per_page=100&page=2")).ids
        ascending = list(ask.platform.book.ids())
        assert (ids == ascending, ids == ascending[::-1]) == (order == "oldest", order == "newest")
        assert set(ids) == set(ascending)
        assert (await ask.page("per_page=100")).ids == ids[:100]


async def test_per_page_can_be_clamped() -> None:
    """A clamped page says how many calls it really serves, and the last page follows from that."""
    async with client(options=Options(per_page_clamp=50)) as ask:
        page = await ask.page("per_page=100")
        assert (page.per_page, len(page.data), page.last_page) == (50, 50, 4)


async def test_past_the_end_the_first_page_can_come_again() -> None:
    """Some platforms serve page 1 for a page that does not exist."""
    async with client(options=Options(past_the_end="first-page")) as ask:
        assert (await ask.page("page=99")).ids == (await ask.page("page=1")).ids


async def test_the_total_can_be_wrong() -> None:
    """The total, and the last page that follows from it, can disagree with the rows."""
    async with client(options=Options(total_offset=-7)) as ask:
        assert (await ask.page()).total == 193


async def test_data_can_be_an_object_keyed_by_index() -> None:
    """PHP turns an array with holes into an object."""
    async with client(options=Options(data_as_object=True)) as ask:
        data = (await ask.get("calls?per_page=3")).fields["data"]
        assert isinstance(data, dict)
        assert list(data) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("per_page=0", {"per_page"}),
        ("per_page=101", {"per_page"}),
        ("per_page=ten", {"per_page"}),
        ("date_from=2026-2-1", {"date_from"}),
        ("date_to=2026-02-30", {"date_to"}),
        ("type=fax", {"type"}),
        ("assistant_id=x", {"assistant_id"}),
        ("type=fax&per_page=0", {"type", "per_page"}),
    ],
)
async def test_a_bad_parameter_is_a_422(query: str, wrong: set[str]) -> None:
    """The answer names each parameter that is wrong, under `errors`."""
    async with client() as ask:
        got = await ask.get(f"calls?{query}")
        assert got.status == 422
        assert list(got.fields) == ["message", "errors"]
        errors = got.fields["errors"]
        assert isinstance(errors, dict)
        assert set(errors) == wrong


async def test_one_call_comes_unwrapped() -> None:
    """GET of one call gives the row as in the list; an unknown one a 404 with the documented message."""
    async with client() as ask:
        row = (await ask.page()).data[0]
        assert (await ask.get(f"calls/{row['id']}")).fields == row
        for unknown in ("99", "abc", "9" * 30, "..%2F1"):
            got = await ask.get(f"calls/{unknown}")
            assert (got.status, got.fields) == (404, {"message": "Call not found"})


async def test_me_tells_whose_key_it_is() -> None:
    """GET of me gives name, email and total_balance."""
    async with client() as ask:
        assert list((await ask.get("me")).fields) == ["name", "email", "total_balance"]


async def test_a_bad_key_is_a_401_or_a_login_page() -> None:
    """Those who accept JSON get a 401; anyone else is led to an HTML login page."""
    async with client() as ask:
        for key in ({}, {"Authorization": "Bearer wrong"}):
            got = await ask.get("me", headers={"Accept": "application/json", **key})
            assert (got.status, got.fields) == (401, {"message": "Unauthenticated."})
            got = await ask.get("me", headers=key)
            assert got.status == 302
            page = await ask.get(got.headers["Location"])
            assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.parametrize("method", ["DELETE", "POST", "PUT", "PATCH", "HEAD"])
async def test_anything_but_get_is_refused_and_noted(method: str) -> None:
    """A client that does more than read gets a 405, and the test can see it; the call is still there."""
    async with client() as ask:
        assert (await ask.get("calls/100001", method)).status == 405
        seen = ask.platform.requests[-1]
        assert (seen.method, seen.status, seen.path) == (method, 405, "/api/user/calls/100001")
        assert len(ask.platform.book) == 200


async def test_an_unknown_route_is_a_404() -> None:
    """What the API does not have is a 404 in JSON."""
    async with client() as ask:
        assert (await ask.get("assistants")).status == 404


async def test_a_replaced_row_is_served_byte_for_byte() -> None:
    """A row without id, or one that is no object, appears in list and single call exactly as given."""
    book = CallBook(now=NOW)
    book.replace_row(100_200, b'{ "no" : "id" }')
    async with client(book) as ask:
        assert b'"data":[{ "no" : "id" },{"id":100199,' in (await ask.get("calls")).body
        assert (await ask.get("calls/100200")).body == b'{ "no" : "id" }'


async def test_requests_are_noted_as_they_arrived() -> None:
    """Each request is noted with origin, path, query, status and whether it brought a key."""
    async with client() as ask:
        page = await ask.page("per_page=100&page=2")
        await ask.get("me", headers={})
        await ask.get(next(str(row["recording_url"]) for row in page.data if row["recording_url"]))
        first, second, third = ask.platform.requests
        assert (first.origin, first.path, first.query, first.status) == (
            "api", "/api/user/calls", {"per_page": "100", "page": "2"}, 200,
        )  # fmt: skip
        assert [seen.had_authorization for seen in (first, second, third)] == [True, False, False]
        assert (third.origin, third.where) == ("recordings", "recording")
        assert first.at <= second.at <= third.at
        assert [ask.platform.count(where) for where in ("list", "me", "recording", "call")] == [1, 1, 1, 0]


async def test_the_greatest_number_of_simultaneous_requests_is_noted() -> None:
    """Requests that overlap are counted by kind; the latency option makes them overlap."""
    async with client(options=Options(latency_seconds=0.02)) as ask:
        await asyncio.gather(*(ask.page(f"page={number}") for number in range(1, 6)), ask.get("me"))
        assert ask.platform.in_flight_most["list"] == 5
        assert ask.platform.in_flight_most["me"] == 1
        assert ask.platform.in_flight_most["recording"] == 0


async def test_requests_one_after_the_other_are_never_simultaneous() -> None:
    """A request that has been answered is in flight no more."""
    async with client() as ask:
        for _ in range(3):
            await ask.page()
        assert ask.platform.in_flight_most["list"] == 1


async def test_a_hook_can_move_the_list_between_two_pages() -> None:
    """The hook runs before each answer of the list: a call deleted there makes another one vanish from the walk."""
    book = CallBook(count=40, now=NOW, in_progress=0)

    def delete_newest(platform: Platform, seen: Seen) -> None:
        if seen.query["page"] == "2":
            platform.book.delete(100_040)

    async with serve(book, on_request=delete_newest) as platform, aiohttp.ClientSession() as session:
        ask = Client(platform, session)
        ids = [call_id for page in (1, 2) for call_id in (await ask.page(f"per_page=20&page={page}")).ids]
        assert set(range(100_001, 100_041)) - set(ids) == {100_020}


async def test_without_a_limit_there_are_no_rate_headers() -> None:
    """By default nothing is throttled."""
    async with client() as ask:
        assert not [name for name in (await ask.get("me")).headers if name.startswith("X-RateLimit")]


async def test_the_limit_is_one_bucket_for_all_api_requests() -> None:
    """Every answer tells limit and rest; beyond it comes a 429; recordings are not counted."""
    async with client(options=Options(limit_per_minute=3)) as ask:
        link = f"{ask.platform.recordings_url}/calls/{recorded(ask.platform.book)}.mp3"
        answers = [await ask.get(url) for url in ("me", "calls", "calls/1", "me", "calls")]
        assert [got.status for got in answers] == [200, 200, 404, 429, 429]
        assert [got.headers["X-RateLimit-Remaining"] for got in answers] == ["2", "1", "0", "0", "0"]
        assert {got.headers["X-RateLimit-Limit"] for got in answers} == {"3"}
        assert answers[3].fields == {"message": "Too Many Attempts."}
        assert (await ask.get(link)).status == 200


async def test_a_new_window_opens_at_a_fixed_time() -> None:
    """The window ends a fixed time after its first request, and the next request is served again."""
    async with client(options=Options(limit_per_minute=1, limit_window_seconds=0.03)) as ask:
        statuses = [(await ask.get("me")).status]
        while 200 not in statuses[1:]:
            statuses.append((await ask.get("me")).status)
        assert set(statuses[1:-1]) == {429}


@pytest.mark.parametrize("form", ["seconds", "date", "body", "reset", "none"])
async def test_a_429_tells_the_wait_in_the_chosen_form(form: str) -> None:
    """Retry-After in seconds or as a date, retry_after in the body, X-RateLimit-Reset alone, or nothing."""
    options = msgspec.convert({"limit_per_minute": 1, "retry_after_form": form}, Options)
    async with client(options=options) as ask:
        await ask.get("me")
        got = await ask.get("me")
        assert ("Retry-After" in got.headers) == (form in ("seconds", "date"))
        assert ("X-RateLimit-Reset" in got.headers) == (form in ("seconds", "date", "reset"))
        assert got.fields.get("retry_after") == (60 if form == "body" else None)
        if form == "seconds":
            assert got.headers["Retry-After"] == "60"
        if form == "date":
            assert 55 < parsedate_to_datetime(got.headers["Retry-After"]).timestamp() - time.time() < 65
        if "X-RateLimit-Reset" in got.headers:
            assert 55 < int(got.headers["X-RateLimit-Reset"]) - time.time() < 65


@pytest.mark.parametrize(("suffix", "content_type"), [(".mp3", "audio/mpeg"), (".mp4", "video/mp4")])
async def test_a_recording_is_served_by_its_link(suffix: str, content_type: str) -> None:
    """The link in the row leads to the bytes of the book, with length, type and a strong ETag."""
    async with client() as ask:
        call_id = recorded(ask.platform.book, suffix)
        got = await ask.get(str((await ask.get(f"calls/{call_id}")).fields["recording_url"]))
        assert got.body == ask.platform.book.recording(call_id)
        assert got.headers["Content-Type"] == content_type
        assert got.headers["Content-Length"] == str(len(got.body))
        assert got.headers["Etag"].startswith('"')


async def test_a_link_with_a_plus_and_a_phone_number_works() -> None:
    """A literal + in the path of a link is a plus, not a blank."""
    async with client() as ask:
        rows = [row for page in (1, 2) for row in (await ask.page(f"per_page=100&page={page}")).data]
        row = next(row for row in rows if "/+" in str(row["recording_url"]))
        got = await ask.get(str(row["recording_url"]))
        assert got.body == ask.platform.book.recording(int(str(row["id"])))


async def test_ranges_are_honoured() -> None:
    """A range gives 206 and its bytes, from either end; one beyond the end 416; If-Range guards against change."""
    async with client() as ask:
        call_id = recorded(ask.platform.book)
        link, body = f"{ask.platform.recordings_url}/calls/{call_id}.mp3", ask.platform.book.recording(call_id)
        size = len(body)
        for asked, start, stop in (("10-19", 10, 20), ("10-", 10, size), ("-7", size - 7, size), ("5-999999", 5, size)):
            got = await ask.get(link, headers={"Range": f"bytes={asked}"})
            assert (got.status, got.body) == (206, body[start:stop])
            assert got.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
        got = await ask.get(link, headers={"Range": f"bytes={size}-"})
        assert (got.status, got.headers["Content-Range"]) == (416, f"bytes */{size}")
        for ignored in ({"Range": "chars=1-2"}, {"Range": "bytes=10-", "If-Range": '"another"'}):
            assert (await ask.get(link, headers=ignored)).body == body


async def test_an_etag_spares_the_download() -> None:
    """If-None-Match with the current ETag is answered 304 without a body."""
    async with client() as ask:
        link = f"{ask.platform.recordings_url}/calls/{recorded(ask.platform.book)}.mp3"
        tag = (await ask.get(link)).headers["Etag"]
        got = await ask.get(link, headers={"If-None-Match": f'"other", {tag}'})
        assert (got.status, got.body, got.headers["Etag"]) == (304, b"", tag)


async def test_ranges_and_etags_can_be_missing() -> None:
    """Without these options the headers are absent and the client's are ignored."""
    async with client(options=Options(with_range=False, with_etag=False)) as ask:
        call_id = recorded(ask.platform.book)
        got = await ask.get(f"{ask.platform.recordings_url}/calls/{call_id}.mp3", headers={"Range": "bytes=1-2"})
        assert (got.status, got.body) == (200, ask.platform.book.recording(call_id))
        assert not {"Etag", "Accept-Ranges"} & set(got.headers)


@pytest.mark.parametrize("path", ["/calls/1.mp3", "/calls/x.mp3", "/", "/calls/100200.mp3"])
async def test_a_recording_that_is_not_there_is_a_404(path: str) -> None:
    """No such call, no such path, or a call whose recording is still to come."""
    async with client() as ask:
        assert (await ask.get(ask.platform.recordings_url + path)).status == 404


async def test_a_recording_has_one_path() -> None:
    """The number of a call in another path than its row names leads nowhere."""
    async with client() as ask:
        call_id = recorded(ask.platform.book)
        for path in (f"/calls/{call_id}.mp4", f"/calls/+1_{call_id}.mp3"):
            assert (await ask.get(ask.platform.recordings_url + path)).status == 404


async def test_a_recording_appears_when_its_call_is_finished() -> None:
    """A call in progress has no link; once finished it has one that works."""
    async with client() as ask:
        assert (await ask.get("calls/100200")).fields["recording_url"] is None
        ask.platform.book.finish(100_200)
        got = await ask.get(str((await ask.get("calls/100200")).fields["recording_url"]))
        assert got.body == ask.platform.book.recording(100_200)


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_a_recording_comes_in_the_chosen_framing(framing: str) -> None:
    """With a length, in chunks, or ended by the end of the connection: the bytes are the same."""
    async with client(options=msgspec.convert({"recordings_body": framing}, Options)) as ask:
        call_id = recorded(ask.platform.book)
        got = await ask.get(f"{ask.platform.recordings_url}/calls/{call_id}.mp3")
        assert got.body == ask.platform.book.recording(call_id)
        assert ("Content-Length" in got.headers) == (framing == "length")
        assert (got.headers.get("Transfer-Encoding") == "chunked") == (framing == "chunked")
        assert (got.headers.get("Connection") == "close") == (framing == "close")


async def test_signed_links_differ_every_time_and_expire() -> None:
    """Each answer has another link; all work until they expire, and none works without its signature."""
    async with client(options=Options(signed_links=True)) as ask:
        call_id = recorded(ask.platform.book)
        links = [str((await ask.get(f"calls/{call_id}")).fields["recording_url"]) for _ in range(2)]
        assert links[0] != links[1]
        assert [(await ask.get(link)).status for link in links] == [200, 200]
        assert (await ask.get(links[0].partition("?")[0])).status == 403
        assert (await ask.get(links[0][:-1] + "x")).status == 403
        ask.platform.expire_links()
        assert (await ask.get(links[1])).status == 403
        fresh = str((await ask.get(f"calls/{call_id}")).fields["recording_url"])
        assert (await ask.get(fresh)).status == 200


async def test_a_million_calls_are_served_as_quickly_as_a_few() -> None:
    """A page in the middle and a window of dates of a million calls allocate no more than pages do."""
    async with client(CallBook(count=1_000_000, now=NOW)) as ask:
        tracemalloc.start()
        middle = await ask.page("per_page=100&page=5000")
        window = await ask.page("per_page=100&date_from=2026-01-10&date_to=2026-01-10&page=50")
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (middle.total, len(middle.data), middle.from_) == (1_000_000, 100, 499_901)
        assert 10_000 < window.total < 12_000
        assert {str(row["created_at"])[:10] for row in window.data} == {"2026-01-10"}
        assert peak_bytes < 5_000_000


async def test_an_error_in_the_simulation_is_raised_when_serving_ends() -> None:
    """A bug of the stand-in, or of a hook, must not pass for a failure that it plays."""

    def broken_hook(platform: Platform, seen: Seen) -> None:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ExceptionGroup) as caught:
        async with serve(CallBook(now=NOW), on_request=broken_hook) as platform, aiohttp.ClientSession() as session:
            assert (await Client(platform, session).get("calls")).status == 500
    assert caught.group_contains(ZeroDivisionError)


async def test_a_cancelled_platform_closes_its_connections() -> None:
    """When the task that serves is cancelled, open connections end and the port is closed."""
    started: asyncio.Future[Platform] = asyncio.get_running_loop().create_future()

    async def run() -> None:
        async with serve(CallBook(now=NOW)) as platform:
            started.set_result(platform)
            await anyio.sleep_forever()

    async with aiohttp.ClientSession() as session:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            ask = Client(await started, session)
            assert (await ask.get("me")).status == 200
            tasks.cancel_scope.cancel()
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask.get("me")


async def test_the_ports_can_be_chosen() -> None:
    """A fixed port is used; one that is taken is an OSError."""
    async with serve(CallBook(now=NOW)) as platform:
        taken = int(platform.base_url.split(":")[2].split("/")[0])
        with pytest.raises(OSError):
            async with serve(CallBook(now=NOW), port=taken):
                pass
