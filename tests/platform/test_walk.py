"""The walk over a window, against the simulated platform: nothing is missed, and what is not proven is said."""

from collections import Counter
from collections.abc import Callable
from typing import Literal

import anyio
import pytest

from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault
from harvester.demo.options import DEFAULTS
from harvester.demo.server import Options, Platform, Seen, serve
from harvester.errors import AuthError, PlatformError, StorageError
from harvester.model import Call, Page, Window, WindowResult
from harvester.platform.rows import read_call
from harvester.platform.walk import FAILED_PAGES_IN_A_ROW, MOST_WALKS, Walker
from tests.platform.opening import CLOSED, EVERYTHING, open_api, walker_of

PAGES = 10
CALLS = 95


class Collected:
    """Takes calls, and counts how often each was given."""

    def __init__(self, wanted: int = 10**9) -> None:
        self.times: Counter[str] = Counter()
        self._wanted = wanted

    async def __call__(self, calls: list[Call]) -> bool:
        self.times.update(call.id for call in calls)
        return len(self.times) < self._wanted


class World:
    """What a walk over the simulated platform brought."""

    def __init__(self, platform: Platform, result: WindowResult, given: Counter[str]) -> None:
        self.platform = platform
        self.result = result
        self.given = given
        self.pages_asked = Counter(int(seen.query["page"]) for seen in platform.requests)

    @property
    def held(self) -> set[str]:
        """The calls that the platform holds now."""
        return {str(call_id) for call_id in self.platform.book.ids()}


async def walked(
    *,
    count: int = CALLS,
    faults: list[Fault] | None = None,
    options: Options = DEFAULTS,
    on_request: Callable[[Platform, Seen], None] | None = None,
    pages_in_flight: int = 4,
    per_page: int = 10,
    window: Window = CLOSED,
) -> World:
    """Walk everything that a platform holds, ten calls a page."""
    given = Collected()
    async with serve(CallBook(count=count), faults=faults or [], options=options, on_request=on_request) as platform:
        async with open_api(platform, attempts=2) as api:
            walker = walker_of(api, given, pages_in_flight=pages_in_flight, per_page=per_page)
            result = await walker.walk(window)
        return World(platform, result, given.times)


def at_page(
    number: int, happens: Callable[[Platform], object], *, every_time: bool = False
) -> Callable[[Platform, Seen], None]:
    """A hook that lets something happen just before page `number` is answered, once or every time."""
    left = [1]

    def hook(platform: Platform, seen: Seen) -> None:
        if seen.query["page"] == str(number) and (every_time or left):
            left.clear()
            happens(platform)

    return hook


@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
@pytest.mark.parametrize("pages_in_flight", [1, 4, 64])
async def test_every_call_is_given_once(order: Literal["newest", "oldest", "shuffled"], pages_in_flight: int) -> None:
    """In whatever order the platform lists, and however many pages are asked for at once."""
    world = await walked(options=Options(order=order), pages_in_flight=pages_in_flight)
    assert world.given == Counter(world.held)
    assert (world.result.proven, world.result.walks, world.result.distinct_ids) == (True, 1, CALLS)


@pytest.mark.parametrize(("count", "pages"), [(0, 1), (1, 1), (10, 2), (11, 2), (CALLS, PAGES)])
async def test_nothing_is_asked_for_twice_when_nothing_moves(count: int, pages: int) -> None:
    """The number of requests is that of the pages, and one more behind a full last page; an empty account is one page."""
    world = await walked(count=count)
    assert world.pages_asked == Counter(range(1, pages + 1))
    assert world.result.proven
    assert (world.result.total_at_start, world.result.total_at_end, len(world.given)) == (count, count, count)


@pytest.mark.parametrize("pages_in_flight", [1, 3])
async def test_no_more_pages_are_asked_for_at_once_than_permitted(pages_in_flight: int) -> None:
    """The platform never has more list requests to answer than `pages_in_flight`; it has as many where there is work."""
    world = await walked(pages_in_flight=pages_in_flight, options=Options(latency_seconds=0.005))
    assert world.platform.in_flight_most["list"] == pages_in_flight


async def test_a_platform_that_serves_fewer_calls_a_page_is_believed() -> None:
    """Asked for 100 it gives 25: the pages are counted by its own words."""
    world = await walked(per_page=100, options=Options(per_page_clamp=25))
    assert world.pages_asked == Counter([1, 2, 3, 4])
    assert world.given == Counter(world.held)


async def test_data_may_be_an_object() -> None:
    """`data` keyed by index is read like an array."""
    world = await walked(options=Options(data_as_object=True))
    assert world.given == Counter(world.held)
    assert world.result.proven


@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
@pytest.mark.parametrize("pages_in_flight", [1, 4])
async def test_a_deleted_call_hides_no_other_call(
    order: Literal["newest", "oldest", "shuffled"], pages_in_flight: int
) -> None:
    """When a call vanishes between two pages, the row that slid over the edge is found in another walk."""

    def delete_from_page_one(platform: Platform) -> None:
        first_page = platform.book.ids() if order == "oldest" else reversed(list(platform.book.ids()))
        platform.book.delete(next(iter(first_page)))

    world = await walked(
        options=Options(order=order), on_request=at_page(3, delete_from_page_one), pages_in_flight=pages_in_flight
    )
    assert world.held <= set(world.given)
    assert max(world.given.values()) == 1
    assert (world.result.proven, world.result.walks, world.result.distinct_ids) == (True, 2, CALLS - 1)


@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_calls_that_arrive_meanwhile_are_given_too(order: Literal["newest", "oldest"]) -> None:
    """An arrival repeats a row on the next page; each call is given once all the same, the new one included."""
    world = await walked(options=Options(order=order), on_request=at_page(4, lambda platform: platform.book.insert()))
    assert world.given == Counter(world.held)
    assert (world.result.proven, world.result.total_at_end) == (True, CALLS + 1)


async def test_a_window_that_never_rests_is_unproven() -> None:
    """When every walk sees the total move it is given up, and the reason says between what it moved."""
    world = await walked(on_request=at_page(4, lambda platform: platform.book.insert(), every_time=True))
    assert world.result.walks == MOST_WALKS
    assert world.result.reason == "the platform's total moved from 98 to 99 during the walk"


@pytest.mark.parametrize(("offset", "claimed"), [(3, 98), (-3, 92), (20, 115)])
@pytest.mark.parametrize("past_the_end", ["empty", "first-page"])
async def test_a_total_that_its_pages_do_not_bear_out_is_unproven(
    offset: int, claimed: int, past_the_end: Literal["empty", "first-page"]
) -> None:
    """A platform that claims another number than it shows is walked twice, not more, and the reason names both numbers."""
    world = await walked(options=Options(total_offset=offset, past_the_end=past_the_end))
    assert world.result.walks == 2
    assert world.result.reason == f"the platform claims {claimed} calls and its pages held {CALLS} different ones"
    assert world.given == Counter(world.held)


async def test_a_page_that_stays_unreadable_is_said_and_the_others_are_read() -> None:
    """One page fails in every attempt of every walk: its window is unproven, the calls of all other pages are there."""
    world = await walked(faults=[Fault(where="list", kind="status", match=5, code=500)])
    assert len(world.given) == CALLS - 10
    assert world.pages_asked == Counter(
        {number: MOST_WALKS * (2 if number == 5 else 1) for number in range(1, PAGES + 1)}
    )
    assert world.result.reason is not None
    assert "list pages could not be read" in world.result.reason
    assert "answered 500" in world.result.reason


async def test_a_page_that_recovers_is_made_good() -> None:
    """What one walk could not read another one does."""
    world = await walked(faults=[Fault(where="list", kind="cut", match=5, times=2)])
    assert world.given == Counter(world.held)
    assert (world.result.proven, world.result.walks) == (True, 2)


async def test_a_platform_that_goes_down_is_not_asked_for_every_page() -> None:
    """After three unreadable pages in a row a walk ends; the numbers of the last walk that saw any stay in the result."""
    down = Fault(where="list", kind="status", code=503, after=1)
    world = await walked(count=1000, faults=[down], pages_in_flight=1)
    assert len(world.pages_asked) == 1 + FAILED_PAGES_IN_A_ROW
    assert sum(world.pages_asked.values()) == 1 + 2 * FAILED_PAGES_IN_A_ROW + 2 * (MOST_WALKS - 1)
    assert not world.result.proven
    assert (world.result.total_at_start, world.result.total_at_end, world.result.distinct_ids) == (1000, 1000, 10)


async def test_the_last_doubt_is_the_one_that_is_told() -> None:
    """A total that moved, then a platform that is down: the reason is what stands in the way now."""

    def arrive_and_break(platform: Platform) -> None:
        platform.book.insert()
        platform.faults.add(Fault(where="list", kind="status", match=1, code=503))

    world = await walked(on_request=at_page(3, arrive_and_break))
    assert (world.result.walks, world.result.total_at_end) == (MOST_WALKS, CALLS + 1)
    assert world.result.reason is not None
    assert "answered 503" in world.result.reason


async def test_three_pages_that_fail_here_and_there_do_not_end_the_walk() -> None:
    """Only failures in a row mean that the platform is down."""
    faults = [Fault(where="list", kind="status", match=number) for number in (2, 4, 6, 8)]
    world = await walked(faults=faults, pages_in_flight=1)
    assert len(world.given) == CALLS - 40


@pytest.mark.parametrize("pages_in_flight", [1, 4])
async def test_a_key_that_is_revoked_meanwhile_ends_the_walk_as_itself(pages_in_flight: int) -> None:
    """A refusal on a later page is raised as the AuthError that it is, not wrapped in a group."""
    with pytest.raises(AuthError):
        await walked(faults=[Fault(where="list", kind="status", code=401, after=2)], pages_in_flight=pages_in_flight)


async def test_a_first_page_that_cannot_be_read_is_an_error() -> None:
    """Then nothing is known about the window at all."""
    with pytest.raises(PlatformError, match="answered 500"):
        await walked(faults=[Fault(where="list", kind="status")])


@pytest.mark.parametrize("on_page", [1, 2])
async def test_a_failure_of_whoever_takes_the_calls_is_raised_as_itself(on_page: int) -> None:
    """A full disk behind `emit` ends the walk with its own error, on every page."""
    pages_left = [1] * (on_page - 1)

    async def emit(_: list[Call]) -> bool:
        if not pages_left:
            raise StorageError("the disk is full")
        pages_left.pop()
        return True

    async with serve(CallBook(count=CALLS)) as platform, open_api(platform) as api:
        with pytest.raises(StorageError):
            await walker_of(api, emit).walk(CLOSED)


async def test_a_walk_ends_when_no_more_calls_are_wanted() -> None:
    """When `emit` says so, no further page is asked for, nothing further is given, and the window is unproven."""
    given = Collected(wanted=20)
    async with serve(CallBook(count=CALLS)) as platform, open_api(platform) as api:
        result = await walker_of(api, given, pages_in_flight=1).walk(CLOSED)
        assert platform.count("list") == 2
    assert (len(given.times), result.walks) == (20, 1)
    assert result.reason == "the listing was stopped before its end"


async def test_a_slow_consumer_holds_the_listing_back() -> None:
    """While nobody takes calls, no more pages lie in memory than may be in flight."""
    asked: list[int] = []
    send, receive = anyio.create_memory_object_stream[Call](0)

    async def fetch(_: Window, number: int) -> Page:
        asked.append(number)
        return Page(number=number, total=100, last_page=100, per_page=1, rows=(b'{"id":%d}' % number,))

    async def emit(calls: list[Call]) -> bool:
        for call in calls:
            await send.send(call)
        return True

    walker = Walker(fetch, read_call, emit, pages_in_flight=3)
    async with anyio.create_task_group() as tasks, send, receive:
        tasks.start_soon(walker.walk, CLOSED)
        for most_asked in (1, 4, 5):
            await anyio.wait_all_tasks_blocked()
            assert len(asked) == most_asked
            await receive.receive()
        tasks.cancel_scope.cancel()


async def test_a_call_that_several_windows_show_is_given_once() -> None:
    """Windows overlap; one listing remembers what it has given."""
    given = Collected()
    async with serve(CallBook(count=CALLS)) as platform, open_api(platform) as api:
        walker = walker_of(api, given)
        results = [await walker.walk(CLOSED) for _ in range(2)]
    assert set(given.times.values()) == {1}
    assert [result.distinct_ids for result in results] == [CALLS, CALLS]


async def test_an_open_window_needs_a_second_walk() -> None:
    """Where calls may still arrive, one walk proves nothing: a second one must show what was there when it began."""
    world = await walked(window=EVERYTHING)
    assert (world.result.proven, world.result.walks) == (True, 2)
    assert world.given == Counter(world.held)


async def test_a_page_that_is_not_full_is_all_there_is() -> None:
    """One page with room left, and as many calls as are claimed, was all of it at one instant: one request."""
    world = await walked(count=9, window=EVERYTHING)
    assert (world.result.proven, world.pages_asked) == (True, Counter([1]))


async def test_a_deletion_and_an_arrival_that_cancel_out_hide_no_call() -> None:
    """The total stands still and the ids add up, and yet a call slipped through: the second walk finds it."""

    def delete_oldest_and_insert(platform: Platform) -> None:
        platform.book.delete(next(platform.book.ids()))
        platform.book.insert()

    world = await walked(
        options=Options(order="oldest"),
        pages_in_flight=1,
        on_request=at_page(3, delete_oldest_and_insert),
        window=EVERYTHING,
    )
    assert world.held <= set(world.given)
    assert world.result.proven
    assert world.result.walks > 1
