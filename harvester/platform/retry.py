"""The one place that tries again.

In:   something that may raise TransientError.  Out: its result, or the last error.

Only `TransientError` is tried again; whoever raises it has decided that another attempt may help. The wait before attempt
n + 1 is what the server asked for, else first_wait x 2^(n-1), capped, of which a random half is taken off, so that
workers that failed together do not come back together.
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

Result = TypeVar("Result")


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often, and how long between. `attempts` counts the first."""

    attempts: int = 5
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 60.0

    def wait_seconds(self, attempt: int, error: TransientError, chance: float) -> float | None:
        """Seconds to wait after failed attempt number `attempt` (the first is 1), or None to give up.

        `chance` is a random number in [0, 1), so that the caller owns the dice.
        """
        if attempt >= self.attempts:
            return None
        if error.retry_after_seconds is not None:
            return min(max(0.0, error.retry_after_seconds), LONGEST_ASKED_WAIT_SECONDS)
        longest = min(self.longest_wait_seconds, self.first_wait_seconds * 2.0 ** (attempt - 1))
        return longest * (1 - chance / 2)


async def retry(policy: RetryPolicy, attempt: Callable[[int], Awaitable[Result]], what: str) -> Result:
    """Call `attempt(1)`, `attempt(2)`, ... until one returns. `what` names it in the log.

    Raises the last TransientError when the policy gives up, and every other error at once.
    """
    number = 1
    while True:
        try:
            return await attempt(number)
        except TransientError as error:
            wait = policy.wait_seconds(number, error, random.random())
            if wait is None:
                raise
            log.info("%s: attempt %d failed (%s); again in %.1f s", what, number, error, wait)
        await anyio.sleep(wait)
        number += 1
