"""A sliding window over a tenant's clock: so many calls in so many seconds (S2 names the 429, nobody the numbers)."""

from __future__ import annotations

from collections import deque
from math import ceil

from mock_server.errors import ApiError
from mock_server.settings import RateLimit


class Window:
    """Counts the calls of one tenant."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._calls: deque[float] = deque()

    def admit(self, now: float) -> float | None:
        """Count one call at `now` and return None, or do not count it and return when the next will be admitted."""
        while self._calls and self._calls[0] <= now - self._limit.seconds:
            self._calls.popleft()
        if len(self._calls) >= self._limit.calls:
            return self._calls[0] + self._limit.seconds
        self._calls.append(now)
        return None

    def refusal(self, seconds: float, rate: float, *, auto: bool) -> ApiError:
        """
        Word the 429 of a call that came `seconds` of virtual time too early.

        Retry-After is in the client's, that is in real seconds, on a clock that runs.
        """
        wait = max(1, ceil(seconds / rate if rate else seconds))
        advice = f"wait {wait} s"
        if not rate:
            advice = "the clock moves on now" if auto else f"the clock is frozen: advance it by {seconds:g} s"
        limit = self._limit
        text = f"{limit.calls} calls in {limit.seconds:g} s are allowed by --rate-limit and were made: {advice}"
        return ApiError(429, text, (("Retry-After", str(wait)),))
