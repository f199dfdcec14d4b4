"""Count the requests of one account in fixed windows, as Laravel's `throttle` middleware does.

In:   one `hit` per request.  Out: the headers of its answer or, when there were too many, a 429.

A window opens with its first request and ends a fixed time later, no matter how the requests lie in it.
"""

import math
import time
from email.utils import formatdate

from harvester.demo.answers import Answer, json_answer
from harvester.demo.options import Options


class Throttle:
    """The limit of one account. Without `limit_per_minute` it lets everything through and adds no header."""

    def __init__(self, options: Options) -> None:
        self._limit = options.limit_per_minute
        self._window_seconds = options.limit_window_seconds
        self._form = options.retry_after_form
        self._used = 0
        self._ends_at_s = -math.inf

    def hit(self, now_s: float) -> tuple[dict[str, str], Answer | None]:
        """Count a request at `now_s`, in seconds of a monotonic clock. Refused requests do not count."""
        if self._limit is None:
            return {}, None
        if now_s >= self._ends_at_s:
            self._used = 0
            self._ends_at_s = now_s + self._window_seconds
        if self._used >= self._limit:
            return {}, self._refusal(math.ceil(self._ends_at_s - now_s))
        self._used += 1
        return {"X-RateLimit-Limit": str(self._limit), "X-RateLimit-Remaining": str(self._limit - self._used)}, None

    def _refusal(self, wait_seconds: int) -> Answer:
        headers = {"X-RateLimit-Limit": str(self._limit), "X-RateLimit-Remaining": "0"}
        body: dict[str, object] = {"message": "Too Many Attempts."}
        ends_at = math.ceil(time.time()) + wait_seconds
        if self._form == "seconds":
            headers["Retry-After"] = str(wait_seconds)
        if self._form == "date":
            headers["Retry-After"] = formatdate(ends_at, usegmt=True)
        if self._form == "body":
            body["retry_after"] = wait_seconds
        if self._form in ("seconds", "date", "reset"):
            headers["X-RateLimit-Reset"] = str(ends_at)
        return json_answer(429, body, headers)
