"""The call API's client against the simulated platform: what each answer means, and what never leaves or gets in."""

import contextlib
import datetime as dt
import gzip
import json
import re
from collections.abc import AsyncIterator

import pytest
from yarl import URL

from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault, Kind
from harvester.demo.options import DEFAULTS, Options
from harvester.demo.server import Platform, serve
from harvester.errors import AuthError, ConfigError, HarvestError, NotGivenError, PlatformError, TransientError
from harvester.model import Query, Window
from harvester.platform.api import LARGEST_ANSWER_BYTES, Api
from harvester.platform.budget import Budget, Gate
from harvester.platform.rows import read_call
from tests.platform.opening import EVERYTHING, at_once, open_api
from tests.platform.strange import answering, http

PHONE = "+15550100"


@contextlib.asynccontextmanager
async def platform_and_api(
    *faults: Fault, options: Options = DEFAULTS, attempts: int = 3, key: str | None = None
) -> AsyncIterator[tuple[Platform, Api]]:
    """A platform with these faults, and its API."""
    async with (
        serve(CallBook(count=30), faults=faults, options=options) as platform,
        open_api(platform, attempts=attempts, key=key) as api,
    ):
        yield platform, api


def keyed_api(port: int) -> Api:
    """An API on a port of this machine, for the key `k1`."""
    return Api(f"http://127.0.0.1:{port}/api/", "k1", Gate(Budget()), at_once())


async def failure(fault: Fault, *, attempts: int = 3) -> tuple[HarvestError, int]:
    """What a list page with a filter fails with, and how many requests that took."""
    async with platform_and_api(fault, attempts=attempts) as (platform, api):
        with pytest.raises(HarvestError) as caught:
            await api.page(Window(query=Query(phone_number=PHONE)), 1, 10)
        assert platform.key not in str(caught.value)
        assert PHONE not in str(caught.value)
        assert "?" not in str(caught.value).removesuffix("?")
        return caught.value, platform.count("list")


async def test_a_page_is_read() -> None:
    """Rows byte for byte, and the paginator's numbers."""
    async with platform_and_api() as (platform, api):
        page = await api.page(EVERYTHING, 2, 10)
        newest_first = list(platform.book.ids())[::-1]
        assert page.rows == tuple(platform.row(call_id) for call_id in newest_first[10:20])
        assert (page.number, page.total, page.last_page, page.per_page) == (2, 30, 3, 10)


async def test_a_call_is_read_by_its_id() -> None:
    """The row as the single-call endpoint sends it; None for a call that the platform does not have."""
    async with platform_and_api() as (platform, api):
        call_id = next(platform.book.ids())
        assert await api.call(str(call_id)) == platform.row(call_id)
        assert await api.call("7") is None


async def test_a_call_that_there_is_not_is_none() -> None:
    """404 is the platform's word for *no such call*, and the only answer that is taken for it."""
    async with platform_and_api(Fault(where="call", kind="status", code=404)) as (platform, api):
        assert await api.call(str(next(platform.book.ids()))) is None


@pytest.mark.parametrize("code", [403, 422])
async def test_a_call_that_is_not_given_may_still_exist(code: int) -> None:
    """Withheld, or an id of another form: it is about this one call, says nothing of its existence, and ends no run."""
    async with platform_and_api(Fault(where="call", kind="status", code=code)) as (platform, api):
        with pytest.raises(NotGivenError, match=rf"does not give the call '100001' by its id \({code}\)"):
            await api.call(str(next(platform.book.ids())))


async def test_a_key_that_is_refused_for_a_call_ends_it() -> None:
    """401 is about the key, whatever was asked for."""
    async with platform_and_api(key="wrong-key-123") as (_, api):
        with pytest.raises(AuthError):
            await api.call("1")


@pytest.mark.parametrize("call_id", ["../me", "1/../../me", "1?page=2", "a b#c", "ü/é", "%2e%2e", "1\r\nX: y"])
async def test_no_id_leads_out_of_the_calls(call_id: str) -> None:
    """An id is data: whatever it holds, it is one segment of the path, and no other part of the API is reached."""
    async with answering(http()) as (port, heads), keyed_api(port) as api:
        await api.call(call_id)
    assert re.fullmatch(rb"GET /api/user/calls/[\w%.-]+ HTTP/1\.1", heads[0].split(b"\r\n")[0])


async def test_the_account_of_a_key_is_its_email() -> None:
    """`GET /user/me` tells whose key it is."""
    async with platform_and_api() as (_, api):
        assert await api.account() == "demo@example.com"


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"email":7}', b'{"email":""}', b"<html>", b"\xff", b"[" * 100_000])
async def test_a_platform_that_does_not_tell_the_account_is_no_error(body: bytes) -> None:
    """None for every answer without an e-mail address."""
    async with platform_and_api(Fault(where="me", kind="json_body", body=body)) as (_, api):
        assert await api.account() is None


async def test_a_wrong_key_is_refused_in_one_sentence() -> None:
    """401 is an AuthError, at once; the sentence has the platform's words and says what to check."""
    async with platform_and_api(key="wrong-key-123") as (platform, api):
        with pytest.raises(AuthError) as caught:
            await api.page(EVERYTHING, 1, 10)
        assert str(caught.value) == (
            f"{platform.base_url}/user/calls refuses the API key (401: Unauthenticated.); "
            "check that it is the key of this platform"
        )
        assert len(platform.requests) == 1


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault(where="list", kind="status", code=403), AuthError, r"refuses the API key \(403"),
        (Fault(where="list", kind="status", code=404), PlatformError, r"answered 404: is this the call API's base URL\?"),
        (Fault(where="list", kind="status", code=400, body=b'{"message":"Bad"}'), PlatformError, "answered 400: Bad$"),
        (Fault(where="list", kind="redirect"), PlatformError, r"redirects to http://127.0.0.1:\d+/api/user/calls instead"),
        (Fault(where="list", kind="redirect", location="/login?next=x"), PlatformError, "redirects to /login instead"),
        (Fault(where="list", kind="redirect", location="http://[?a"), PlatformError, "redirects to an unreadable address"),
        (Fault(where="list", kind="html"), PlatformError, "answered something that is not JSON"),
        (Fault(where="list", kind="empty"), PlatformError, "answered something that is not JSON"),
        (Fault(where="list", kind="not_json"), PlatformError, "answered something that is not JSON"),
        (Fault(where="list", kind="not_paginator"), PlatformError, r"not a page of calls .*base URL\?$"),
    ],
)  # fmt: skip
async def test_an_answer_that_no_retry_can_mend_ends_it_at_once(
    fault: Fault, kind: type[HarvestError], words: str
) -> None:
    """A refused key, a wrong base URL, a page that was never the API: one request, one sentence without a query."""
    error, requests = await failure(fault)
    assert type(error) is kind
    with pytest.raises(kind, match=words):
        raise error
    assert requests == 1


async def test_refused_filters_are_the_users_to_mend() -> None:
    """422 is a ConfigError with the platform's words about each field."""
    async with platform_and_api() as (_, api):
        with pytest.raises(ConfigError) as caught:
            await api.page(Window(query=Query(type="carrier pigeon")), 1, 10)
    assert str(caught.value) == (
        "the platform refuses the filters (422: The selected type is invalid.; type: The selected type is invalid.)"
    )


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504])
async def test_passing_failures_are_tried_again(code: int) -> None:
    """Two failures are forgiven within three attempts, a third is not."""
    headers = {"Retry-After": "0"}
    async with platform_and_api(Fault(where="list", kind="status", code=code, times=2, headers=headers)) as (
        platform,
        api,
    ):
        assert (await api.page(EVERYTHING, 1, 10)).total == 30
        assert platform.count("list") == 3
    error, requests = await failure(Fault(where="list", kind="status", code=code, headers=headers))
    assert isinstance(error, TransientError)
    assert f"/user/calls answered {code}" in str(error)
    assert requests == 3


@pytest.mark.parametrize("kind", ["cut", "cut_chunked", "reset"])
async def test_a_cut_answer_is_tried_again(kind: Kind) -> None:
    """A page that came in part is no page."""
    async with platform_and_api(Fault(where="list", kind=kind, times=1)) as (platform, api):
        assert len((await api.page(EVERYTHING, 1, 10)).rows) == 10
        assert platform.count("list") == 2


@pytest.mark.parametrize("kind", ["html", "empty", "not_json", "not_paginator", "cut_close"])
async def test_a_page_that_is_none_is_tried_again_once_the_api_has_spoken(kind: Kind) -> None:
    """After a good page a proxy's error page, or a body that was cut unnoticed, is a passing failure."""
    async with platform_and_api(Fault(where="list", kind=kind, after=1, times=2)) as (platform, api):
        await api.page(EVERYTHING, 1, 10)
        assert len((await api.page(EVERYTHING, 2, 10)).rows) == 10
        assert platform.count("list") == 4


@pytest.mark.parametrize("form", ["seconds", "date", "body", "reset", "none"])
async def test_a_429_tells_its_wait_in_any_form_and_halves_the_budget(form: str) -> None:
    """The error carries the seconds asked for, and the budget holds that long."""
    options = Options(limit_per_minute=1, limit_window_seconds=30, retry_after_form=form)  # type: ignore[arg-type]
    async with platform_and_api(options=options, attempts=1) as (_, api):
        await api.account()
        assert api.gate.budget.per_minute == 1
        api.gate = Gate(Budget(40))
        with pytest.raises(TransientError, match=r"answered 429: Too Many Attempts\.") as caught:
            await api.account()
        assert caught.value.throttled
        asked = caught.value.retry_after_seconds
        assert asked is None if form == "none" else asked is not None and 28 <= asked <= 32
        assert api.gate.budget.throttled == 1


async def test_the_budget_follows_the_answers() -> None:
    """X-RateLimit-Limit of an answer becomes the budget; every request is counted, failed ones too."""
    async with serve(CallBook(count=30), options=Options(limit_per_minute=45)) as platform:
        gate = Gate(Budget())
        async with Api(platform.base_url, platform.key, gate, at_once()) as api:
            platform.faults.add(Fault(where="list", kind="reset", times=1))
            await api.page(EVERYTHING, 1, 10)
        assert (gate.budget.per_minute, gate.budget.sent) == (45, 2)


async def test_every_filter_reaches_the_platform() -> None:
    """Each documented parameter arrives under its name, a literal plus included, and nothing that was not asked for."""
    query = Query(
        type="outbound",
        phone_number="+1987654321",
        assistant_id=7,
        campaign_id=8,
    )
    first, last = dt.date(2025, 8, 4), dt.date(2025, 9, 1)
    async with platform_and_api() as (platform, api):
        await api.page(Window(query=query, status="completed", date_from=first, date_to=last), 3, 50)
        await api.page(EVERYTHING, 1, 100)
        assert platform.requests[0].query == {
            "status": "completed",
            "type": "outbound",
            "phone_number": "+1987654321",
            "assistant_id": "7",
            "campaign_id": "8",
            "date_from": "2025-08-04",
            "date_to": "2025-09-01",
            "per_page": "50",
            "page": "3",
        }
        assert platform.requests[1].query == {"per_page": "100", "page": "1"}


async def test_only_get_is_ever_sent_always_with_the_key_and_the_wish_for_json() -> None:
    """A DELETE would take a call's audio with it; without `Accept` a bad key would be sent to a login page."""
    empty = http(b'{"data":[],"current_page":1,"last_page":1,"per_page":1,"total":0}')
    async with answering(empty) as (port, heads), keyed_api(port) as api:
        await api.account()
        await api.call("1")
        await api.page(EVERYTHING, 1, 1)
    paths = ["/api/user/me", "/api/user/calls/1", "/api/user/calls?per_page=1&page=1"]
    assert [head.split(b"\r\n")[0].decode() for head in heads] == [f"GET {path} HTTP/1.1" for path in paths]
    for head in heads:
        lines = head.lower().split(b"\r\n")
        assert b"authorization: bearer k1" in lines
        assert b"accept: application/json" in lines
        assert b"accept-encoding: gzip" in lines
        assert any(line.startswith(b"user-agent: harvester/") for line in lines)


@pytest.mark.parametrize(
    ("url", "given"),
    [
        ("https://api.example/r/1.mp3?a=1", True),
        ("https://API.example:443/", True),
        ("https://api.example:8443/api", False),
        ("http://api.example/api", False),
        ("https://api.example.evil.example/api", False),
        ("https://sub.api.example/api", False),
        ("https://api.example@evil.example/api", False),
        ("https://user:secret@api.example/api", False),
    ],
)
def test_the_key_is_for_the_apis_own_origin(url: str, given: bool) -> None:
    """Scheme, host and port must all be the API's; a URL that brings its own password gets none."""
    api = Api("https://api.example/api", "k1", Gate(Budget()), at_once())
    assert api.authorization_for(URL(url, encoded=True)) == ({"Authorization": "Bearer k1"} if given else {})


async def test_the_key_stays_out_of_messages_that_repeat_it() -> None:
    """A platform that quotes the key it refuses, in its words or its redirect, does not bring it into our log."""
    async with serve(CallBook(count=30)) as platform, open_api(platform) as api:
        said = json.dumps({"message": f"no such token {platform.key}", "errors": {"key": [platform.key]}}).encode()
        for fault in (
            Fault(where="me", kind="status", code=401, body=said, times=1),
            Fault(where="me", kind="status", code=400, body=said, times=1),
            Fault(where="me", kind="redirect", location=f"/login?token={platform.key}", times=1),
        ):
            platform.faults.clear()
            platform.faults.add(fault)
            with pytest.raises(HarvestError) as caught:
                await api.account()
            assert platform.key not in str(caught.value)
            assert platform.key not in repr(caught.value)
        assert platform.key not in repr(api)


@pytest.mark.parametrize("said", [rb'{"message":"no: a\/b\\c\u0027d"}', rb'{"message":{"token":"a\/b\\c\u0027d"}}'])
async def test_the_key_is_in_no_message_however_it_is_escaped(said: bytes) -> None:
    """JSON may write `/` as `\\/`, and any character by its number: the key is left out of what is meant."""
    key = "a/b\\c'd"
    refused = http(said).replace(b"200 OK", b"400 Bad Request")
    async with (
        answering(refused) as (port, _),
        Api(f"http://127.0.0.1:{port}/api", key, Gate(Budget()), at_once()) as api,
    ):
        with pytest.raises(PlatformError, match=r"answered 400: .*\(secret\)") as caught:
            await api.account()
    assert "a/b" not in str(caught.value)


async def test_the_platforms_words_are_quoted_briefly_and_in_ascii() -> None:
    """A message may hold anything: control characters are escaped, and it is cut."""
    said = json.dumps({"message": "\x1b[31mü" + "x" * 5000}).encode()
    error, _ = await failure(Fault(where="list", kind="status", code=400, body=said))
    assert str(error).isascii()
    assert str(error).isprintable()
    assert len(str(error)) < 300


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"message":' + b"9" * 5000 + b"}", b"\xff\xfe", b'{"message":["a"]}', b'{"errors":[1]}']
)
@pytest.mark.parametrize("code", [400, 401, 422, 500])
async def test_an_error_page_of_any_kind_leads_to_the_error_of_its_status(code: int, body: bytes) -> None:
    """What an error's body holds may be unreadable; what the status says counts."""
    error, _ = await failure(Fault(where="list", kind="status", code=code, body=body), attempts=1)
    assert type(error) is {400: PlatformError, 401: AuthError, 422: ConfigError, 500: TransientError}[code]


async def test_an_answer_without_end_is_refused() -> None:
    """More than 32 MiB, unpacked, is no page: it is neither kept nor asked for again."""
    bomb = gzip.compress(bytes(LARGEST_ANSWER_BYTES + 1), compresslevel=1)
    async with answering(http(bomb, headers="Content-Encoding: gzip\r\n")) as (port, heads), keyed_api(port) as api:
        with pytest.raises(PlatformError, match=r"/user/calls answered more than 33,554,432 bytes$"):
            await api.page(EVERYTHING, 1, 10)
    assert len(heads) == 1


async def test_a_row_fetched_alone_is_the_row_of_the_list() -> None:
    """Both endpoints bring the same bytes, so their digests can be compared."""
    async with platform_and_api() as (_, api):
        listed = read_call((await api.page(EVERYTHING, 1, 10)).rows[3])
        assert await api.call(listed.id) == listed.raw
