"""The whole listing against the simulated platform: nothing is missed, however it lists, cuts its days and moves."""

import datetime as dt
import random
from collections import Counter
from collections.abc import Callable
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault
from harvester.demo.options import DEFAULTS
from harvester.demo.server import Options, Platform, Seen, serve
from harvester.errors import PlatformError
from harvester.model import Call, Query, WindowResult
from harvester.platform.listing import Listing
from harvester.platform.rows import read_call
from tests.platform.opening import open_api

Order = Literal["newest", "oldest", "shuffled"]
ORDERS: tuple[Order, ...] = ("newest", "oldest", "shuffled")


class Listed:
    """What listing a platform brought. `alive` are the calls that were there before and after."""

    def __init__(self, platform: Platform, given: Counter[str], results: list[WindowResult], before: set[str]) -> None:
        self.given = given
        self.results = results
        self.requests = platform.count("list")
        self.alive = before & {str(call_id) for call_id in platform.book.ids()}

    @property
    def proven(self) -> bool:
        """Whether every window is proven whole."""
        return all(result.proven for result in self.results)

    @property
    def missed(self) -> set[str]:
        """Calls that were there throughout, and were not given."""
        return self.alive - set(self.given)


async def listed(
    book: CallBook,
    *,
    options: Options = DEFAULTS,
    hook: Callable[[Platform, Seen], None] | None = None,
    faults: list[Fault] | None = None,
    query: Query | None = None,
    pages_in_flight: int = 4,
    per_page: int = 20,
) -> Listed:
    """List all that a platform holds."""
    given, results = Counter[str](), list[WindowResult]()

    async def emit(calls: list[Call]) -> bool:
        given.update(call.id for call in calls)
        return True

    before = {str(call_id) for call_id in book.ids()}
    async with serve(book, options=options, faults=faults or [], on_request=hook) as platform:
        async with open_api(platform, attempts=1) as api:
            listing = Listing(
                api.page,
                read_call,
                emit,
                per_page=per_page,
                pages_in_flight=pages_in_flight,
                on_total=lambda _: None,
                on_window=results.append,
            )
            await listing.list_calls(query or Query(), dt.datetime.now(dt.UTC).date())
        return Listed(platform, given, results, before)


def moving(*, insert_every: int = 0, delete_every: int = 0, seed: int = 1) -> Callable[[Platform, Seen], None]:
    """A hook that inserts a call at every nth list request, and deletes any at every mth."""
    dice, requests = random.Random(seed), Counter[str]()
    alive: list[int] = []

    def hook(platform: Platform, _: Seen) -> None:
        requests["all"] += 1
        if not alive:
            alive.extend(platform.book.ids())
        if insert_every and requests["all"] % insert_every == 0:
            platform.book.insert()
        if delete_every and requests["all"] % delete_every == 0 and alive:
            platform.book.delete(alive.pop(dice.randrange(len(alive))))

    return hook


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("zone_hours", [0, 9, -11])
async def test_nothing_depends_on_order_days_or_zone(order: Order, inclusive: bool, zone_hours: int) -> None:
    """In any order, with `date_to` inside or not, and days cut in any zone: each call once, proven, at the price of the list."""
    options = Options(order=order, date_to_inclusive=inclusive, day_zone_hours=zone_hours)
    world = await listed(CallBook(count=1500), options=options)
    assert (world.missed, set(world.given.values()), world.proven) == (set(), {1}, True)
    assert world.requests <= 75 * 1.1 + 20


@pytest.mark.parametrize("pages", [1, 2, 10, 11, 15, 30, 150])
async def test_a_listing_costs_little_more_than_its_pages(pages: int) -> None:
    """For N pages at most N x 1.1 + 20 requests when nothing moves."""
    world = await listed(CallBook(count=pages * 20 - 3))
    assert world.proven
    assert world.requests <= pages * 1.1 + 20


async def test_a_page_of_an_account_is_one_request() -> None:
    """An account that fits on a page is listed, and proven, by one request."""
    assert (await listed(CallBook(count=19))).requests == 1


async def test_a_large_listing_is_cut_into_small_windows() -> None:
    """No window is larger than forty pages, none that may receive calls than ten, and only these are walked twice."""
    world = await listed(CallBook(count=3000))
    assert max(result.distinct_ids for result in world.results if result.window.closed) <= 40 * 20
    assert max(result.distinct_ids for result in world.results if not result.window.closed) <= 10 * 20
    assert [result.walks for result in world.results].count(2) <= 2


@pytest.mark.parametrize("calls_a_day", [82, 102, 205, 410])
async def test_days_that_fill_their_pages_badly_cost_little_more(calls_a_day: int) -> None:
    """Days of 4.1, 5.1, 10.25, 20.5 pages: the half-empty last pages of the windows cost at most a tenth of all requests."""
    now = dt.datetime.now(dt.UTC)
    count = 90 * calls_a_day
    book = CallBook(count=count, first_at=now - dt.timedelta(days=90), last_at=now, in_progress=0, late=0)
    world = await listed(book)
    assert (world.missed, world.proven) == (set(), True)
    assert world.requests <= count / 20 * 1.1 + 20


async def test_a_platform_that_ignores_dates_is_noticed() -> None:
    """Then the whole is one window, walked until two walks agree."""
    world = await listed(CallBook(count=600), options=Options(ignore_dates=True))
    assert (world.missed, world.proven, len(world.results)) == (set(), True, 1)
    assert world.requests <= 2 * 30 + 10


@pytest.mark.parametrize(
    "options", [Options(per_page_clamp=7), Options(past_the_end="first-page"), Options(data_as_object=True)]
)
async def test_odd_paginators_are_coped_with(options: Options) -> None:
    """Fewer calls a page than asked for, page 1 for one past the end, an object for an array: all calls, proven."""
    world = await listed(CallBook(count=400), options=options)
    assert (world.missed, set(world.given.values()), world.proven) == (set(), {1}, True)


@pytest.mark.parametrize("offset", [3, -3])
async def test_a_total_that_no_page_bears_out_is_never_proven(offset: int) -> None:
    """A platform that claims another number than it shows is listed whole, and the listing is unproven."""
    world = await listed(CallBook(count=400), options=Options(total_offset=offset))
    assert (world.missed, world.proven) == (set(), False)


async def test_calls_that_no_date_finds_are_caught() -> None:
    """A call whose date the filter misses is in no window of dates; the whole is walked for it."""
    book = CallBook(count=400)
    lost = next(iter(book.ids()))
    book.change(lost, created_at=None)
    world = await listed(book)
    assert (world.missed, world.proven) == (set(), True)
    assert str(lost) in world.given


async def test_the_user_s_dates_are_kept() -> None:
    """With --from and --to only their calls are listed, cut or not."""
    book = CallBook(count=2000)
    today = dt.datetime.now(dt.UTC).date()
    first, last = today - dt.timedelta(days=60), today - dt.timedelta(days=10)
    world = await listed(book, query=Query(date_from=first, date_to=last))
    inside = {str(i) for i in book.ids() if str(first) <= str(book.row(i)["created_at"])[:10] <= str(last)}
    assert set(world.given) == inside
    assert world.proven


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("insert_every", "delete_every"), [(2, 0), (0, 3), (2, 3)])
@pytest.mark.parametrize("pages_in_flight", [1, 4, 16])
async def test_nothing_is_missed_while_the_list_moves(
    order: Order, insert_every: int, delete_every: int, pages_in_flight: int
) -> None:
    """Arrivals at every second request, deletions at every third, both: every call that was there throughout is given."""
    world = await listed(
        CallBook(count=700),
        options=Options(order=order),
        hook=moving(insert_every=insert_every, delete_every=delete_every),
        pages_in_flight=pages_in_flight,
    )
    assert not world.missed
    assert max(world.given.values()) == 1


async def test_a_window_that_cannot_be_begun_is_unproven_and_the_others_are_read() -> None:
    """A first page that stays unreadable costs its window, not the run."""
    world = await listed(CallBook(count=1500), faults=[Fault(where="list", kind="status", match=1, after=9, times=1)])
    assert not world.proven
    assert len(world.given) > 1200


async def test_a_platform_that_is_down_is_not_asked_for_every_window() -> None:
    """When several windows in a row cannot be begun, the listing ends with the platform's error."""
    with pytest.raises(PlatformError):
        await listed(CallBook(count=3000), faults=[Fault(where="list", kind="status", after=20)])


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    count=st.integers(0, 420),
    per_page=st.integers(5, 30),
    order=st.sampled_from(ORDERS),
    inclusive=st.booleans(),
    zone_hours=st.integers(-11, 13),
    pages_in_flight=st.integers(1, 16),
    insert_every=st.sampled_from([0, 1, 2, 5, 17]),
    delete_every=st.sampled_from([0, 1, 3, 7, 23]),
    seed=st.integers(0, 1000),
)
async def test_present_throughout_implies_given_or_unproven(
    count: int,
    per_page: int,
    order: Order,
    inclusive: bool,
    zone_hours: int,
    pages_in_flight: int,
    insert_every: int,
    delete_every: int,
    seed: int,
) -> None:
    """The law of the listing, under random inserts, deletes, orders, page sizes and ways with dates."""
    world = await listed(
        CallBook(count=count, seed=seed, in_progress=0, late=0),
        options=Options(order=order, date_to_inclusive=inclusive, day_zone_hours=zone_hours),
        hook=moving(insert_every=insert_every, delete_every=delete_every, seed=seed),
        pages_in_flight=pages_in_flight,
        per_page=per_page,
    )
    assert not world.missed or not world.proven
