"""The clock of a tenant; the only module that reads the machine's time for the emulated world.

A clock shows `base + rate * real seconds since base`: rate 1 is real, 60 is an hour a minute, 0 is frozen. Changing the
rate re-bases, so that time never leaps. It only goes forward.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock

from mock_server.model import later

EPOCH = datetime(2024, 9, 10, tzinfo=UTC).timestamp()
"""Where clocks that do not follow real time begin, so that every run sees the same dates (the day of S1's example)."""


_LAST = datetime(9000, 1, 1, tzinfo=UTC).timestamp()
_FASTEST = 1e6


@dataclass(frozen=True, slots=True)
class ClockSpec:
    """
    How a tenant's clock starts and runs.

    Args:
        rate: virtual seconds a real second.
        auto: the clock moves by itself to the next due event when it is looked at.
        start: first instant, in seconds since the Unix epoch; None is the machine's own time.
    """

    rate: float
    auto: bool
    start: float | None


def parse_clock(text: str) -> ClockSpec:
    """
    Read `real`, `x60`, `frozen` or `auto`, each with an optional start: `frozen@2026-01-01T00:00:00Z`.

    Raises:
        ValueError: it is none of these.
    """
    kind, _, start_text = text.strip().partition("@")
    start = _parse_instant(start_text) if start_text else None
    if kind == "real":
        return ClockSpec(1.0, False, start)
    if kind in {"frozen", "auto"}:
        return ClockSpec(0.0, kind == "auto", EPOCH if start is None else start)
    scaled = re.fullmatch(r"x([0-9]{1,9}(?:\.[0-9]{1,9})?)", kind)
    if scaled and 0 < float(scaled[1]) <= _FASTEST:
        return ClockSpec(float(scaled[1]), False, start)
    raise ValueError(
        f"expected real, frozen, auto or a factor such as x60 (at most x1000000), optionally with a start as in "
        f"frozen@2026-01-01T00:00:00Z, got {text!r}"
    )


def _parse_instant(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"expected a start like 2026-01-01T00:00:00Z, got {text!r}") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if not 1970 <= moment.year < 9000:
        raise ValueError(f"expected a start in the years 1970 to 8999, got {text!r}")
    return moment.timestamp()


class Clock:
    """
    A tenant's clock. It knows nothing of events; the tenant walks them while it moves this.

    Every instant that it shows is a whole number of milliseconds, so that sums of times are exact.
    """

    def __init__(self, spec: ClockSpec, *, real: Callable[[], float] = time.monotonic) -> None:
        self._real = real
        base = time.time() if spec.start is None else spec.start
        # Base, real time at base, and rate are replaced together: readers need no lock.
        self._state = (later(base, 0.0), real(), spec.rate)
        self._writing = Lock()
        self.auto = spec.auto

    @property
    def rate(self) -> float:
        """Virtual seconds a real second; 0 when frozen."""
        return self._state[2]

    @property
    def pace(self) -> str:
        """How it goes, in the words of the setting: real, xN, auto or frozen."""
        if self.auto:
            return "auto"
        return "frozen" if self.rate == 0.0 else "real" if self.rate == 1.0 else f"x{self.rate:g}"

    def now(self) -> float:
        """Return this instant, in seconds since the Unix epoch."""
        base, since, rate = self._state
        return base if rate == 0.0 else later(base, rate * (self._real() - since))

    def run(self, rate: float, *, auto: bool = False) -> None:
        """Go on from this instant at another rate; ValueError if that is negative or absurd."""
        if not 0 <= rate <= _FASTEST:
            raise ValueError(f"expected a rate from 0 to {_FASTEST:g}, got {rate}: time can't go backwards")
        with self._writing:
            base, since, old = self._state
            real = self._real()
            self._state = (later(base, old * (real - since)), real, rate)
            self.auto = auto

    def forward_to(self, instant: float) -> float:
        """Go to `instant` at once, or stay if it is past already; return the instant that it is then."""
        with self._writing:
            base, since, rate = self._state
            real = self._real()
            there = max(later(base, rate * (real - since)), later(instant, 0.0))
            self._state = (there, real, rate)
        return there

    def real_seconds_until(self, instant: float) -> float | None:
        """Return the real seconds until `instant`, 0 when it has come, None when it never will by itself."""
        rate, left = self.rate, instant - self.now()
        if left <= 0:
            return 0.0
        return left / rate if rate else None


def check_forward(now: float, instant: float) -> None:
    """Raise ValueError unless `instant` is a date, and not before `now`."""
    if not abs(instant) <= _LAST:
        raise ValueError(f"expected an instant, or seconds, that end before the year 9000, got {instant}")
    if later(instant, 0.0) < now:
        raise ValueError(f"time can't go backwards: it is {now:.3f}, asked for {instant:.3f}")
