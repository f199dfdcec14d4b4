"""The bandwidth limit, on a clock that is only a number."""

import heapq

from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.platform.bandwidth import Bandwidth

CHUNKS = st.lists(st.integers(1, 5000), min_size=1, max_size=60)


def test_without_a_limit_nobody_waits() -> None:
    """None is no limit."""
    assert Bandwidth(None).pause_seconds(10**12, 0.0) == 0


def test_a_second_s_worth_may_come_at_once() -> None:
    """Small recordings are not slowed down; what goes beyond is waited for."""
    bandwidth = Bandwidth(1000)
    assert bandwidth.pause_seconds(1000, 50.0) == 0
    assert bandwidth.pause_seconds(500, 50.0) == 0.5


def test_an_idle_hour_saves_nothing_up() -> None:
    """After a pause there is one second's worth again, not an hour's."""
    bandwidth = Bandwidth(1000)
    bandwidth.pause_seconds(1000, 0.0)
    assert bandwidth.pause_seconds(3000, 3600.0) == 2.0


@given(rate=st.integers(1, 3000), chunks=CHUNKS, readers=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_all_readers_together_keep_to_the_limit(rate: int, chunks: list[int], readers: int) -> None:
    """At every moment: no more than the rate allows, a second's worth, and one chunk for each reader."""
    bandwidth = Bandwidth(rate)
    at_work = [(0.0, reader) for reader in range(readers)]
    received = 0
    for chunk in chunks:
        now, reader = heapq.heappop(at_work)
        received += chunk
        assert received <= rate * (now + 1) + readers * max(chunks) + 1e-6 * rate
        heapq.heappush(at_work, (now + bandwidth.pause_seconds(chunk, now), reader))


@given(rate=st.integers(1, 3000), chunks=CHUNKS)
@settings(max_examples=60, deadline=None)
def test_the_limit_is_used(rate: int, chunks: list[int]) -> None:
    """A reader that never rests receives at the rate, not below it."""
    bandwidth, now = Bandwidth(rate), 0.0
    for chunk in chunks:
        now += bandwidth.pause_seconds(chunk, now)
    assert now <= sum(chunks) / rate + 1e-6


async def test_spending_within_the_limit_goes_on_at_once() -> None:
    """`spend` waits only as long as it must."""
    bandwidth = Bandwidth(10**9)
    for _ in range(3):
        await bandwidth.spend(1000)
    await Bandwidth(None).spend(10**12)
