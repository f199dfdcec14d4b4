"""A whole run against list pages that nobody should send: nothing crashes, nothing is lost, and what is not proven is said."""

from collections.abc import Callable

import aiohttp
import pytest

from harvester.demo.faults import Fault
from harvester.demo.server import Platform
from tests.harvests import Harvests

PAGE_OF_ALL = {"per_page": "100", "page": "1"}


async def page_of(platform: Platform) -> bytes:
    """The page that holds all calls, as the platform would send it."""
    headers = {"Authorization": f"Bearer {platform.key}", "Accept": "application/json"}
    url = f"{platform.base_url}/user/calls"
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url, params=PAGE_OF_ALL) as response:
        return await response.read()


def sends(platform: Platform, body: bytes, match: int | None = None) -> None:
    """From now on the platform's list is this, whatever is asked for; or only this page of it."""
    platform.faults.add(Fault(where="list", kind="altered", body=body, match=match))


READABLE = {
    "NaN": b"NaN",
    "infinity": b"-Infinity",
    "1e999": b"1e999",
    "5,000 digits": b"9" * 5000,
    "invalid UTF-8": b'"\xff\xfe"',
    "half an emoji": rb'"\ud83d"',
    "control characters": b'"\x00\x1b[31m"',
    "duplicate keys": b'1,"type":"web","odd":2,"odd":3',
}


@pytest.mark.parametrize("odd", READABLE.values(), ids=READABLE)
@pytest.mark.parametrize("per_page", [10, 100])
async def test_an_odd_value_costs_a_run_nothing(
    platform: Platform, harvests: Harvests, odd: bytes, per_page: int
) -> None:
    """Its row is archived byte for byte, and every other call of its page and of the pages around it; exit 0."""
    call_id = next(i for i in platform.book.ids() if platform.book.row(i)["transcript"])
    row = platform.row(call_id)[:-1] + b',"odd":' + odd + b"}"
    platform.book.replace_row(call_id, row)
    account = await harvests.run(per_page=per_page)
    assert (account.exit_code, account.listed, account.failures) == (0, 65, [])
    assert harvests.path(call_id, "json").read_bytes() == row
    assert harvests.path(call_id, "txt").exists()
    assert not harvests.verify().findings


@pytest.mark.parametrize("closed", [True, False])
async def test_a_row_of_100_000_levels_is_kept_and_counts_as_failed(
    platform: Platform, harvests: Harvests, closed: bool
) -> None:
    """Whether it closes them again or not: nobody reads it, no other call is missed, and the exit code tells somebody."""
    call_id = next(platform.book.ids())
    row = b'{"id":1,"odd":' + b"[" * 100_000 + (b"]" * 100_000 if closed else b"") + b"}"
    platform.book.replace_row(call_id, row)
    account = await harvests.run()
    assert (account.exit_code, account.listed, len(account.failures)) == (3, 65, 1)
    assert row in harvests.files().values()
    assert not harvests.verify().findings


@pytest.mark.parametrize(
    "alter",
    [
        lambda body: b"\xef\xbb\xbf" + body,
        lambda body: b" \r\n\t" + body + b"\n\n",
        lambda body: body.replace(b'"data":[', b'"data":[],"data":['),
        lambda body: body.replace(b'"total":65', b'"total":"65"'),
    ],
    ids=["BOM", "white space", "data twice", "total as text"],
)
async def test_an_odd_page_is_read(platform: Platform, harvests: Harvests, alter: Callable[[bytes], bytes]) -> None:
    """All of its calls are there, and the listing is proven."""
    body = await page_of(platform)
    assert alter(body) != body
    sends(platform, alter(body))
    account = await harvests.run()
    assert (account.exit_code, account.listed) == (0, 65)


async def test_an_id_that_comes_twice_with_different_rows_is_one_call(platform: Platform, harvests: Harvests) -> None:
    """The first row of it is archived; where the platform counts them as two, the listing is not proven, which is said."""
    twice, kept = list(platform.book.ids())[10:12]
    other = platform.row(kept).replace(str(kept).encode(), str(twice).encode(), 1)
    platform.book.replace_row(kept, other)
    account = await harvests.run()
    assert (account.exit_code, account.listed) == (3, 64)
    assert account.windows_unproven == ["the platform claims 65 calls and its pages held 64 different ones"]
    assert harvests.path(twice, "json").read_bytes() in (platform.row(twice), other)
    again = await harvests.run()
    assert (again.exit_code, again.listed, again.recordings["saved"]) == (3, 64, 0)


@pytest.mark.parametrize("times", [1, None])
async def test_an_empty_page_in_the_middle_hides_no_call(
    platform: Platform, harvests: Harvests, times: int | None
) -> None:
    """Once: the next walk finds what it hid. Always: the calls of the other pages are there, and the listing is unproven."""
    body = b'{"current_page":3,"data":[],"last_page":7,"per_page":10,"total":65}'
    platform.faults.add(Fault(where="list", kind="altered", match=3, times=times, body=body))
    account = await harvests.run(per_page=10, pages_in_flight=1)
    if times:
        assert (account.exit_code, account.listed) == (0, 65)
    else:
        assert (account.exit_code, account.listed) == (3, 55)
        assert "the platform claims 65 calls and its pages held 55 different ones" in account.windows_unproven


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000, b'{"data":' * 20_000, b"\xff\xfe{\x00}\x00",
        b'{"data":[{"id":1}],"total":NaN}', b'{"data":7,"total":1e999}',
    ],
    ids=["deep array", "deep object", "UTF-16", "NaN for a count", "1e999 for a count"],
)  # fmt: skip
async def test_a_page_that_cannot_be_read_leaves_its_window_unproven(
    platform: Platform, harvests: Harvests, body: bytes
) -> None:
    """The other pages are read, the run ends with exit 3, and the next one, on a platform that has recovered, with 0."""
    sends(platform, body, match=3)
    account = await harvests.run(per_page=10, attempts=1)
    assert (account.exit_code, account.listed) == (3, 55)
    assert "could not be read" in account.windows_unproven[0]
    platform.faults.clear()
    assert (await harvests.run(per_page=10)).exit_code == 0
