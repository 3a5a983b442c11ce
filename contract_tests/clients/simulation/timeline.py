"""The one clock of a simulation: events of the emulated tenant, and bytes that are on their way."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

from mock_server.tenant import Tenant


class _Due(NamedTuple):
    at: float
    number: int
    happen: Callable[[], object]


class Timeline:
    """
    A `mock_server.drive.DrivenClock` that walks the tenant's events and those of the network in their order.

    Args:
        tenant: its clock must be frozen, for only this moves it.
    """

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._clock = tenant.clock
        self._due: list[_Due] = []
        self._numbers = count()
        self.start = self._clock.now()

    def now(self) -> float:
        """Return this instant, in seconds since the Unix epoch."""
        return self._clock.now()

    def at(self, instant: float, happen: Callable[[], object]) -> None:
        """Let `happen` be called when the clock has come to `instant`."""
        heappush(self._due, _Due(instant, next(self._numbers), happen))

    def next_event_at(self) -> float | None:
        """Return the instant of the next event; None when nothing more is to come."""
        event = self._tenant.next_event_at()
        if self._due and (event is None or self._due[0].at <= event):
            return self._due[0].at
        return event

    def advance_to(self, instant: float) -> None:
        """Move on to `instant`, event by event."""
        while (due := self.next_event_at()) is not None and due <= instant:
            self._step_to(due)
        self._clock.forward_to(instant)

    def advance_to_next_event(self) -> bool:
        """Move on to the next event; return whether there was one."""
        due = self.next_event_at()
        if due is not None:
            self._step_to(due)
        return due is not None

    def _step_to(self, due: float) -> None:
        self._clock.forward_to(due)
        if self._due and self._due[0].at <= due:
            heappop(self._due).happen()
        else:
            # Not advance_to(): that waits for webhooks, whose receiver lives on this clock, too.
            self._tenant.tick()
