"""A sliding window over a tenant's clock: so many calls in so many seconds (S2 names the 429, nobody the numbers)."""

from __future__ import annotations

from collections import deque
from math import ceil

from mock_server.errors import ApiError
from mock_server.settings import RateLimit


class Window:
    """Counts calls; without a limit it admits all."""

    def __init__(self, limit: RateLimit | None) -> None:
        self._limit = limit
        self._calls: deque[float] = deque()

    def admit(self, now: float) -> None:
        """
        Count one call at `now`.

        Raises:
            ApiError: 429 with Retry-After, when the window is full. A refused call does not count.
        """
        if self._limit is None:
            return
        while self._calls and self._calls[0] <= now - self._limit.seconds:
            self._calls.popleft()
        if len(self._calls) >= self._limit.calls:
            wait = max(1, ceil(self._calls[0] + self._limit.seconds - now))
            raise ApiError(
                429,
                f"{self._limit.calls} calls in {self._limit.seconds:g} s are allowed by --rate-limit and were made: "
                f"wait {wait} s",
                (("Retry-After", str(wait)),),
            )
        self._calls.append(now)
