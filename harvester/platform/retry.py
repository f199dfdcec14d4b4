"""The one place that tries again.

In:   something that may raise TransientError.  Out: its result, or the last error.

Only `TransientError` is tried again; whoever raises it has decided that another attempt may help. The wait after failure n
is first_wait x 2^(n-1), capped, of which a random part, up to a half, is taken off, so that workers that failed together do
not come back together; or what the server asked for, where that is longer.

A 429 is no failure but a "later": it says that the request would have succeeded, and another process of the account may bring
it about again and again. So 429s are counted apart from failures, and have more attempts. So are connections that this process
cannot open because it has as many open files as it may.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import msgspec

from harvester.errors import TransientError

log = logging.getLogger(__name__)

LONGEST_ASKED_WAIT_SECONDS = 15 * 60
"""What a server may make us wait at most: a Retry-After of a year is a mistake, a quarter of an hour is maintenance."""

MOST_DOUBLINGS = 30
"""Beyond these any first wait is longer than any longest one, and a float would overflow some day."""

Result = TypeVar("Result")


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often, and how long between.

    It is given up when `attempts` of them, the first included, have failed, or `throttled_attempts` met a 429.
    """

    attempts: int = 5
    throttled_attempts: int = 20
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 60.0

    def wait_seconds(self, failure: int, error: TransientError, chance: float) -> float | None:
        """Seconds to wait after failure number `failure` of this kind (the first is 1), or None to give up.

        `chance` is a random number in [0, 1), so that the caller owns the dice.
        """
        if failure >= (self.throttled_attempts if error.throttled else self.attempts):
            return None
        doublings = min(failure - 1, MOST_DOUBLINGS)
        longest = min(self.longest_wait_seconds, self.first_wait_seconds * 2.0**doublings)
        asked = min(error.retry_after_seconds or 0.0, LONGEST_ASKED_WAIT_SECONDS)
        return max(asked, longest * (1 - chance / 2))


async def retry(policy: RetryPolicy, attempt: Callable[[int], Awaitable[Result]], what: str) -> Result:
    """Call `attempt(1)`, `attempt(2)`, ... until one returns. `what` names it in the log.

    Raises the last TransientError when the policy gives up, and every other error at once.
    """
    failures = {False: 0, True: 0}  # by whether they were 429s
    while True:
        number = sum(failures.values()) + 1
        try:
            return await attempt(number)
        except TransientError as error:
            failures[error.throttled] += 1
            wait = policy.wait_seconds(failures[error.throttled], error, random.random())
            if wait is None:
                raise
            log.info("%s: attempt %d failed (%s); again in %.1f s", what, number, error, wait)
        await anyio.sleep(wait)
