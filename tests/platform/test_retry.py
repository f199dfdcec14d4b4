"""The one retry: how long it waits, and when it gives up."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.errors import AuthError, HarvestError, LinkError, PlatformError, TransientError
from harvester.platform.retry import LONGEST_ASKED_WAIT_SECONDS, RetryPolicy, retry

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


@pytest.mark.parametrize(("asked", "wait"), [(2.5, 2.5), (900.0, 900.0), (1e12, LONGEST_ASKED_WAIT_SECONDS)])
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
