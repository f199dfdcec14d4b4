"""The one retry: how long it waits, and when it gives up."""

import datetime as dt
import email.utils

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault
from harvester.demo.server import serve
from harvester.errors import AuthError, HarvestError, LinkError, PlatformError, TransientError
from harvester.platform.bandwidth import Bandwidth
from harvester.platform.recordings import Recordings
from harvester.platform.retry import LONGEST_ASKED_WAIT_SECONDS, RetryPolicy, retry
from harvester.platform.rows import read_call
from tests.platform.opening import EVERYTHING, at_once, open_api
from tests.platform.visiting import Judge, Sink

AT_ONCE = RetryPolicy(attempts=5, throttled_attempts=20, first_wait_seconds=0)
BROKEN = TransientError("broken")
THROTTLED = TransientError("throttled", throttled=True)


class Failing:
    """An attempt that raises these errors, one after the other, and then succeeds."""

    def __init__(self, *errors: HarvestError) -> None:
        self._errors = list(errors)
        self.numbers: list[int] = []

    async def __call__(self, number: int) -> str:
        self.numbers.append(number)
        if self._errors:
            raise self._errors.pop(0)
        return "done"


@pytest.mark.parametrize(("failure", "longest"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (7, 60.0), (5000, 60.0)])
@pytest.mark.parametrize("throttled", [False, True])
def test_waits_double_up_to_a_minute(failure: int, longest: float, throttled: bool) -> None:
    """Without a word from the server the waits are 1, 2, 4, 8 ... seconds, at most 60, less a random part up to a half."""
    policy = RetryPolicy(attempts=10_000, throttled_attempts=10_000)
    error = TransientError("", throttled=throttled)
    assert policy.wait_seconds(failure, error, 0.0) == longest
    assert policy.wait_seconds(failure, error, 0.5) == longest * 0.75


@pytest.mark.parametrize(("asked", "wait"), [(2.5, 2.5), (900.0, 900.0), (1e12, 900.0)])
def test_what_the_server_asks_is_obeyed_up_to_a_quarter_of_an_hour(asked: float, wait: float) -> None:
    """The wait asked for is kept, longer than our own longest one too; absurd ones are cut."""
    assert RetryPolicy().wait_seconds(1, TransientError("", retry_after_seconds=asked), 0.0) == wait


def test_a_wait_of_nothing_does_not_switch_our_own_off() -> None:
    """A server that asks for no wait and fails again is not hammered."""
    assert RetryPolicy().wait_seconds(3, TransientError("", retry_after_seconds=0.0), 0.0) == 4.0


@given(
    failure=st.integers(1, 10**6),
    asked=st.none() | st.floats(0, 1e300),
    chance=st.floats(0, 1, exclude_max=True),
    throttled=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_every_wait_is_within_its_bounds(failure: int, asked: float | None, chance: float, throttled: bool) -> None:
    """No wait is negative or longer than a quarter of an hour, and it is given up when the attempts are used up."""
    wait = RetryPolicy().wait_seconds(
        failure, TransientError("", retry_after_seconds=asked, throttled=throttled), chance
    )
    if wait is None:
        assert failure >= (20 if throttled else 5)
    else:
        assert 0 <= wait <= LONGEST_ASKED_WAIT_SECONDS


async def test_attempts_are_numbered_and_end_with_the_first_success() -> None:
    """The first attempt is number 1; its successors are told theirs."""
    attempt = Failing(BROKEN, BROKEN)
    assert await retry(AT_ONCE, attempt, "it") == "done"
    assert attempt.numbers == [1, 2, 3]


@pytest.mark.parametrize(("error", "attempts"), [(BROKEN, 5), (THROTTLED, 20)])
async def test_the_last_error_is_raised_when_the_attempts_are_used_up(error: TransientError, attempts: int) -> None:
    """`attempts` counts the first one; 429s have more of them."""
    attempt = Failing(*[error] * 100)
    with pytest.raises(TransientError, match=str(error)):
        await retry(AT_ONCE, attempt, "it")
    assert len(attempt.numbers) == attempts


async def test_429s_use_up_none_of_the_attempts_that_failures_have() -> None:
    """A "later" is no failure: four failures among many 429s are still forgiven."""
    attempt = Failing(*[THROTTLED, THROTTLED, THROTTLED, BROKEN] * 4)
    assert await retry(AT_ONCE, attempt, "it") == "done"
    assert attempt.numbers == list(range(1, 18))


@pytest.mark.parametrize("error", [AuthError("no"), PlatformError("no"), LinkError("no", 404)])
async def test_every_other_error_is_raised_at_once(error: HarvestError) -> None:
    """Only what somebody has called transient is tried again."""
    attempt = Failing(error)
    with pytest.raises(type(error)):
        await retry(AT_ONCE, attempt, "it")
    assert attempt.numbers == [1]


YEAR = dt.timedelta(days=365)
NOW = dt.datetime.now(dt.UTC)


def date(at: dt.datetime) -> str:
    """An instant as HTTP headers write it."""
    return email.utils.format_datetime(at, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "longest"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": f"{YEAR.total_seconds():.0f}"}, LONGEST_ASKED_WAIT_SECONDS),
        ({"Retry-After": "9" * 30}, LONGEST_ASKED_WAIT_SECONDS),
        ({"Retry-After": date(NOW + YEAR)}, LONGEST_ASKED_WAIT_SECONDS),
        ({"Retry-After": date(NOW - YEAR)}, 0),
        ({"Retry-After": date(NOW + YEAR + dt.timedelta(seconds=30)), "Date": date(NOW + YEAR)}, 30),
        ({"Retry-After": date(NOW), "Date": date(NOW - dt.timedelta(seconds=30))}, 30),
        ({"Retry-After": date(NOW + YEAR), "Date": "Thursday"}, LONGEST_ASKED_WAIT_SECONDS),
        ({"X-RateLimit-Reset": f"{(NOW + YEAR).timestamp():.0f}"}, LONGEST_ASKED_WAIT_SECONDS),
    ],
    ids=[
        "seconds",
        "a year",
        "ages",
        "date in a year",
        "date that has passed",
        "fast clock",
        "slow clock",
        "no clock",
        "reset",
    ],
)
@pytest.mark.parametrize("code", [429, 503])
async def test_what_a_real_server_asks_is_what_is_waited(code: int, headers: dict[str, str], longest: float) -> None:
    """Reckoned with the server's own `Date` and cut at a quarter of an hour, for pages and for recordings, 429 and 503."""
    busy = {where: Fault(where=where, kind="status", code=code, headers=headers) for where in ("list", "recording")}
    async with serve(CallBook(count=30), faults=busy.values()) as platform, open_api(platform, attempts=1) as api:
        recordings = Recordings(api, at_once(1), workers=1, bandwidth=Bandwidth(None), allow_private_hosts=True)
        call_id = next(i for i in platform.book.ids() if platform.book.row(i)["recording_url"])
        caught = list[TransientError]()
        for ask in (
            api.page(EVERYTHING, 1, 10),
            recordings.fetch(read_call(platform.row(call_id)), Sink(), Judge()),
        ):
            async with recordings:
                with pytest.raises(TransientError, match=f"answered {code}") as error:
                    await ask
                caught.append(error.value)
        now = anyio.current_time()
        held = api.gate.budget.wait_seconds(now)
    waits = [RetryPolicy(first_wait_seconds=0).wait_seconds(1, error, 0.0) for error in caught]
    assert waits == [longest, longest]
    assert held == (pytest.approx(longest, abs=5) if code == 429 else 0)
