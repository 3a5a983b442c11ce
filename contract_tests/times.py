"""How long calls and jobs took, in memory that does not grow with their number."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

from contract_tests.exchanges import Exchange
from mock_server.model import JobState

_SAMPLE = 1_000
# Times of which the median is found: exact up to so many, and near it beyond.


class Spread(NamedTuple):
    """
    How long something took, in seconds.

    Args:
        what: "answer of fetch" and the like; or a part of a job, see `JobTimes`.
        seen: how often.
        least: the shortest.
        median: the one in the middle; of more than a thousand it is that of a sample, the same in every run.
        greatest: the longest.
    """

    what: str
    seen: int
    least: float
    median: float
    greatest: float


class Times:
    """Takes any number of times, and keeps a sample in which each had the same chance."""

    def __init__(self) -> None:
        self._fresh: list[float] = []
        self._kept: list[float] = []
        self._seen = 0
        self._least, self._greatest = math.inf, -math.inf
        # The same recording must give the same report.
        self._luck = random.Random(0).random  # noqa: S311
        self._weight = 1.0
        self._next = _SAMPLE - 1
        self._skip()

    def add(self, seconds: float) -> None:
        """Take one."""
        self._fresh.append(seconds)
        if len(self._fresh) >= _SAMPLE:
            self._settle()

    def _settle(self) -> None:
        """Sort out what is fresh: many at once, for this is on the way of every message."""
        if not self._fresh:
            return
        self._least = min(self._least, *self._fresh)
        self._greatest = max(self._greatest, *self._fresh)
        start, self._seen = self._seen, self._seen + len(self._fresh)
        self._kept += self._fresh[: _SAMPLE - len(self._kept)]
        while self._next < self._seen:
            self._kept[int(self._luck() * _SAMPLE)] = self._fresh[self._next - start]
            self._skip()
        self._fresh.clear()

    def _skip(self) -> None:
        """Draw how many are passed over before one is kept again (algorithm L of Li, 1994)."""
        self._weight *= math.exp(math.log(1 - self._luck()) / _SAMPLE)
        self._next += 1 + int(math.log(1 - self._luck()) / math.log(1 - self._weight))

    def spread(self, what: str) -> Spread | None:
        """Return what came of it; None when nothing came."""
        self._settle()
        return Spread(what, self._seen, self._least, median(self._kept), self._greatest) if self._seen else None


_ORDERED, _RUNNING, _ENDED, _HOOKED = "ordered", "running", "ended", "hooked"
_PARTS = (
    ("order to running", _ORDERED, _RUNNING),
    ("running to end", _RUNNING, _ENDED),
    ("order to end", _ORDERED, _ENDED),
    ("end to webhook", _ENDED, _HOOKED),
)

_STARTED = JobState.RUNNING.value
_FINAL = frozenset(state.value for state in JobState if state.final)

When = dict[str, float]
"""When the stages of a job were first seen, in seconds since the epoch."""


def note_order(when: When, exchange: Exchange) -> None:
    """Note that a job was ordered."""
    _see(when, _ORDERED, exchange.at, exchange.elapsed)


def note_fetch(when: When, status: str, exchange: Exchange) -> None:
    """Note what status of a job a fetch told."""
    if status in _FINAL:
        _see(when, _ENDED, exchange.at, exchange.elapsed)
    elif status == _STARTED and _ENDED not in when:
        _see(when, _RUNNING, exchange.at, exchange.elapsed)


def note_webhook(when: When, exchange: Exchange) -> None:
    """Note that a webhook came; a receiver knows it as soon as it is called."""
    _see(when, _HOOKED, exchange.at, None)


def _see(when: When, stage: str, at: float | None, elapsed: float | None) -> None:
    if at is not None and stage not in when:
        when[stage] = at + (elapsed or 0.0)


class JobTimes:
    """
    How long jobs took, as the client saw it.

    It is measured from answer to answer, so it is longer than the truth by up to the pause between two fetches. The
    parts are "order to running" and "running to end", which mean something only where the contract has a status for
    waiting; "order to end"; and "end to webhook", from the first final fetch on, negative where the webhook came first.
    """

    def __init__(self) -> None:
        self._parts = {part: Times() for part, _, _ in _PARTS}

    def add(self, when: When) -> None:
        """Take a job of which nothing more is told."""
        for part, since, until in _PARTS:
            if since in when and until in when:
                took = when[until] - when[since]
                if math.isfinite(took):
                    self._parts[part].add(took)

    def spreads(self, *, waiting: bool) -> Iterator[Spread]:
        """Return what came of it; `waiting` is whether the contract has a status for it."""
        for part, times in self._parts.items():
            spread = times.spread(part)
            if spread is not None and (waiting or part not in {"order to running", "running to end"}):
                yield spread
