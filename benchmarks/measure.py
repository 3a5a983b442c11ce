"""Figures: measured in turns with a yardstick, because what a shared machine does to one it does to the other."""

from __future__ import annotations

import cProfile
import os
import platform
import pstats
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from itertools import repeat
from statistics import median
from typing import TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure should be on a quiet machine: at least `limit`, or below it."""

    limit: float
    at_least: bool = False

    def verdict(self, value: float) -> str:
        """Say whether `value` meets it."""
        met = value >= self.limit if self.at_least else value < self.limit
        return f"{'≥' if self.at_least else '<'} {number(self.limit)}: {'met' if met else 'missed'}"


@dataclass(frozen=True, slots=True)
class Figure:
    """
    What came of one benchmark.

    Args:
        name: what was measured.
        unit: of `values` and `yardstick`.
        values: one for each round; their median counts.
        against: what the yardstick is.
        yardstick: its values in the same rounds, in the same unit unless `against` names another.
        target: what the median should be.
    """

    name: str
    unit: str
    values: Sequence[float]
    against: str = ""
    yardstick: Sequence[float] = ()
    target: Target | None = None

    def row(self, command: str) -> str:
        """Return the figure as a row of a Markdown table."""
        value = median(self.values)
        spread = f"{number(min(self.values))} to {number(max(self.values))}" if len(self.values) > 1 else ""
        beside = ratio = ""
        if self.yardstick:
            beside = f"{number(median(self.yardstick))} ({self.against})"
            ratio = f"{median(mine / its for mine, its in zip(self.values, self.yardstick, strict=True)):.2f}"
        verdict = self.target.verdict(value) if self.target else ""
        cells = [self.name, f"{number(value)} {self.unit}", spread, beside, ratio, verdict, f"`{command}`"]
        return f"| {' | '.join(cells)} |"


TABLE_HEAD = (
    "| figure | median | range | yardstick, in turns | ratio | target | command |\n"
    "| --- | --- | --- | --- | --- | --- | --- |"
)


def take_turns(rounds: int, *contenders: Callable[[], _T]) -> list[list[_T]]:
    """Measure every contender once a round, and return the results of each. Every other round goes backwards."""
    results: list[list[_T]] = [[] for _ in contenders]
    for turn in range(rounds):
        order = list(enumerate(contenders))
        for place, contender in reversed(order) if turn % 2 else order:
            results[place].append(contender())
    return results


def timed(work: Callable[[], object], times: int) -> Callable[[], float]:
    """Return what does `work` so many times and returns the microseconds that each took on average."""

    def run() -> float:
        start = time.perf_counter()
        for _ in repeat(None, times):
            work()
        return (time.perf_counter() - start) / times * 1e6

    return run


def hottest(work: Callable[[], object], times: int) -> str:
    """Do `work` so many times, and return the 15 functions that took most of it, as cProfile prints them."""
    profiler, text = cProfile.Profile(), StringIO()
    profiler.runcall(timed(work, times))
    pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("tottime").print_stats(15)
    return text.getvalue()


def number(value: float) -> str:
    """Write a number as a person reads it: three significant digits at least, thousands set apart."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def machine() -> str:
    """Say where and when this is, and how busy the machine is besides."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, {platform.machine()}, "
        f"{platform.python_implementation()} {platform.python_version()}, load {load}"
    )
