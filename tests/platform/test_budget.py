"""The budget, on a clock that is only a number, against a server that counts as the platform does."""

import itertools
import math
from collections import deque

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.platform.budget import DEFAULT_PER_MINUTE, Budget, Gate
from tests.platform.simulated import MINUTE, Client, Server

NO_LATENCY = [(0.0, 0.0)]
LATENCIES = st.lists(st.tuples(st.floats(0, 90), st.floats(0, 90)), min_size=1, max_size=40)
ARRIVALS = st.lists(st.floats(0, 50), min_size=1, max_size=60).map(lambda gaps: list(itertools.accumulate(gaps)))
TEN_MINUTES = 600.0


def most_in_a_minute(counted_at: list[float]) -> int:
    """The greatest number of requests that any span of a minute holds."""
    in_order = sorted(counted_at)
    return max(sum(at <= other < at + MINUTE - 1e-6 for other in in_order) for at in in_order)


def after_a_429(retry_after_seconds: float | None = 5.0, per_minute: int = 60) -> Budget:
    """A budget whose first request was refused at second 0."""
    budget = Budget(per_minute)
    number = budget.started()
    budget.answered(number, 0.0)
    budget.refused(number, 0.0, retry_after_seconds)
    return budget


@given(limit=st.integers(1, 8), arrivals=ARRIVALS, latencies=LATENCIES)
@settings(max_examples=60, deadline=None)
def test_no_minute_ever_holds_more_than_the_budget(
    limit: int, arrivals: list[float], latencies: list[tuple[float, float]]
) -> None:
    """Whatever arrives when, and however long an answer takes: no minute on the server's clock holds more than the limit."""
    server = Server()
    Client(Budget(limit), server).run(arrivals, latencies)
    assert len(server.counted_at) == len(arrivals)
    assert most_in_a_minute(server.counted_at) <= limit


@given(limit=st.integers(1, 8), arrivals=ARRIVALS, latencies=LATENCIES)
@settings(max_examples=60, deadline=None)
def test_a_server_that_tells_its_limit_never_refuses(
    limit: int, arrivals: list[float], latencies: list[tuple[float, float]]
) -> None:
    """Alone on the account, and told the limit by the first answer, we never meet a 429, and every request gets through."""
    server = Server(limit)
    budget = Budget()
    Client(budget, server).run([0.0], NO_LATENCY)
    Client(budget, server).run([1.0 + at for at in arrivals], latencies)
    assert (len(server.counted_at), server.refused_at) == (1 + len(arrivals), [])


@given(
    limit=st.integers(1, 8),
    cap=st.none() | st.integers(1, 12),
    arrivals=ARRIVALS,
    latencies=LATENCIES,
    foreign_at=ARRIVALS,
    tells=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_the_budget_neither_hangs_nor_spins_whatever_else_the_account_does(
    limit: int,
    cap: int | None,
    arrivals: list[float],
    latencies: list[tuple[float, float]],
    foreign_at: list[float],
    tells: bool,
) -> None:
    """With another process on the same limit every request is sent at last, and waiting costs few questions."""
    server = Server(limit, tells, deque(foreign_at))
    client = Client(Budget(cap), server)
    client.run(arrivals, latencies)
    sent = len(server.counted_at) + len(server.refused_at)
    assert sent == len(arrivals)
    most_rechecks_each = 180 / 0.05  # the longest latency, looked at every twentieth of a second
    assert client.asked <= sent * (most_rechecks_each + limit + DEFAULT_PER_MINUTE)


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize(
    ("latencies", "in_flight_most"),
    [([(0.025, 0.025)], 4), ([(0.5, 0.5)], 4), ([(0.1, 0.7), (0.4, 0.0), (0.9, 0.2)], 16), ([(0.0, 1.5)], 64)],
)
def test_a_steady_limit_is_used_to_the_full(
    tells: bool, latencies: list[tuple[float, float]], in_flight_most: int
) -> None:
    """Over ten minutes at least 97 % of the limit are spent, with and without the server's headers."""
    server = Server(60, tells)
    client = Client(Budget(), server, in_flight_most=in_flight_most)
    client.run(itertools.repeat(0.0), latencies, until=TEN_MINUTES)
    assert len([at for at in server.counted_at if at < TEN_MINUTES]) >= 0.97 * 600
    assert server.refused_at == []


def test_an_account_shared_with_another_process_is_neither_stormed_nor_left_unused() -> None:
    """While another process spends half of the limit, we spend most of the other half and meet hardly a 429."""
    server = Server(60, foreign_at=deque(2.0 * n for n in range(300)))
    Client(Budget(), server, in_flight_most=4).run(itertools.repeat(0.0), [(0.1, 0.3), (0.4, 0.1)], until=TEN_MINUTES)
    assert len(server.counted_at) >= 0.8 * 300
    assert len(server.refused_at) <= 6


@pytest.mark.parametrize(("cap", "told", "expected"), [(None, 100, 100), (None, 20, 20), (50, 100, 50), (50, 20, 20)])
def test_the_servers_limit_is_followed_up_to_the_users_cap(cap: int | None, told: int, expected: int) -> None:
    """X-RateLimit-Limit raises and lowers the budget; what the user set is never exceeded."""
    budget = Budget(cap)
    budget.answered(budget.started(), 0.0, limit=told)
    assert budget.per_minute == expected


def test_a_limit_that_was_lowered_and_raised_again_is_followed_both_ways() -> None:
    """The last limit told counts; a limit of 0 is no limit that anyone could mean."""
    budget = Budget()
    for told, expected in [(10, 10), (120, 120), (0, 120)]:
        budget.answered(budget.started(), 0.0, limit=told)
        assert budget.per_minute == expected


def test_nothing_is_sent_when_nothing_remains() -> None:
    """With X-RateLimit-Remaining 0 the next request waits until a place of our own is free again, a minute later."""
    budget = Budget()
    budget.answered(budget.started(), 10.0, limit=60, remaining=0)
    assert budget.wait_seconds(10.0) == MINUTE
    assert budget.wait_seconds(10.0 + MINUTE) == 0


def test_what_is_in_flight_counts_against_what_remains() -> None:
    """Three remain and two are on their way: one more may be sent, and not two."""
    budget = Budget()
    numbers = [budget.started() for _ in range(3)]
    budget.answered(numbers[2], 1.0, remaining=3)
    assert budget.wait_seconds(1.0) == 0
    budget.started()
    assert budget.wait_seconds(1.0) > 0


def test_answers_that_overtake_each_other_bring_no_room_that_is_not_there() -> None:
    """An earlier request's answer that comes later, with more remaining, does not open the budget again."""
    budget = Budget()
    first, second = budget.started(), budget.started()
    budget.answered(second, 1.0, remaining=0)
    budget.answered(first, 1.1, remaining=1)
    assert budget.wait_seconds(1.1) > 1


def test_what_was_kept_for_requests_in_flight_is_given_back() -> None:
    """Once the earlier ones are answered too, they are known to be counted: what remains may be spent to the last."""
    budget = Budget()
    first, second, third = (budget.started() for _ in range(3))
    budget.answered(third, 1.0, remaining=2)
    assert budget.wait_seconds(1.0) > 0
    budget.answered(first, 1.1, remaining=4)
    budget.answered(second, 1.2, remaining=3)
    for _ in range(2):
        assert budget.wait_seconds(1.2) == 0
        budget.started()
    assert budget.wait_seconds(1.2) > 0


def test_while_answers_are_on_their_way_it_is_asked_again_soon() -> None:
    """An answer may raise the limit: nobody sleeps a minute over it."""
    budget = Budget()
    budget.answered(budget.started(), 0.0, limit=2)
    number = budget.started()
    assert budget.wait_seconds(0.1) <= 0.1
    budget.answered(number, 0.2, limit=100)
    assert budget.wait_seconds(0.2) == 0


def test_a_server_that_stops_telling_what_remains_is_forgotten_after_a_minute() -> None:
    """News of the server's window are worth nothing once it must be over: the whole budget is free again."""
    budget = Budget(3)
    budget.answered(budget.started(), 0.0, remaining=0)
    for _ in range(3):
        assert budget.wait_seconds(MINUTE) == 0
        budget.answered(budget.started(), MINUTE)


@pytest.mark.parametrize(("asked", "held"), [(7.5, 7.5), (None, MINUTE), (1e12, 900.0)])
def test_a_429_holds_everything_as_long_as_the_server_asks(asked: float | None, held: float) -> None:
    """Nothing is sent for the time asked, a minute when it does not say, a quarter of an hour at most."""
    budget = after_a_429(asked)
    assert budget.wait_seconds(0.0) == held
    assert budget.wait_seconds(held) == 0


@pytest.mark.parametrize("asked", [0.0, 0.2, 30.0])
def test_a_burst_of_429s_halves_the_budget_once(asked: float) -> None:
    """Requests in flight together meet the same closed window, however short the wait asked; a later one is news."""
    budget = Budget(60)
    numbers = [budget.started() for _ in range(8)]
    for seconds, number in enumerate(numbers):
        budget.answered(number, float(seconds))
        budget.refused(number, float(seconds), asked)
    assert (budget.per_minute, budget.throttled) == (30, 8)
    later = budget.started()
    budget.answered(later, 100.0)
    budget.refused(later, 100.0, asked)
    assert budget.per_minute == 15


def test_an_answer_that_comes_after_a_429_does_not_lengthen_the_hold() -> None:
    """What remained when the window was closed says nothing about the next one, which the server has promised."""
    budget = Budget(60)
    refused, later = budget.started(), budget.started()
    budget.answered(refused, 1.0, remaining=0)
    budget.refused(refused, 1.0, 5.0)
    budget.answered(later, 2.0, remaining=0)
    assert budget.wait_seconds(6.0) == 0


def test_the_budget_comes_back_by_a_tenth_for_each_quiet_minute() -> None:
    """After a 429 it grows by a tenth of the limit a minute, and stops at the limit."""
    budget = after_a_429(5.0)
    seen = []
    for minute in range(8):
        budget.wait_seconds(5.0 + minute * MINUTE)
        seen.append(budget.per_minute)
    assert seen == [30, 36, 42, 48, 54, 60, 60, 60]


def test_an_hour_of_silence_does_not_undo_a_429_at_once() -> None:
    """Nobody learns from a minute in which nothing was sent: a pause wins back two tenths at most."""
    budget = after_a_429(5.0)
    budget.wait_seconds(3600.0)
    assert budget.per_minute <= 42


def test_the_budget_never_falls_to_nothing() -> None:
    """After any number of 429s one request a minute is still permitted."""
    budget = Budget(2)
    for hour in range(5):
        number = budget.started()
        budget.answered(number, hour * 1.0)
        budget.refused(number, hour * 1.0, 0.0)
    assert budget.per_minute == 1
    assert budget.wait_seconds(100.0) == 0


@given(spent_at=st.floats(0, 1e9), asked_at=st.floats(0, 1e9))
@settings(max_examples=200, deadline=None)
def test_a_full_budget_never_opens_through_rounding(spent_at: float, asked_at: float) -> None:
    """A wait of 0 is only returned when a request may be sent, whatever the clock shows."""
    budget = Budget(1)
    budget.answered(budget.started(), spent_at)
    is_free = math.fsum([spent_at, MINUTE]) <= asked_at
    assert (budget.wait_seconds(asked_at) == 0) == is_free


async def test_the_gate_lets_callers_through_within_the_budget_and_says_that_it_waits() -> None:
    """Callers beyond the budget stand in line, and whoever watches is told for how long."""
    waits: list[float] = []
    budget = Budget(2)
    gate = Gate(budget, on_wait=waits.append)

    async def request() -> None:
        async with gate.request() as number:
            budget.answered(number, anyio.current_time())

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(request)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    assert budget.sent == 2
    assert [math.ceil(wait) for wait in waits] == [60]
