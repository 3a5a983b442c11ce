"""The threads that live on a driven clock, and their sleeps and waits."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mock_server.drive.turns import Driver

STILL_SECONDS = 10.0
"""Real seconds in which code under test may look at a clock that stands still, before we take it to be stuck."""

STILL_READS = 5
"""How often it must have looked in that time: one look may lie before, another behind what simply takes long."""


@dataclass(eq=False, slots=True)
class Member:
    """
    A driven thread.

    Args:
        driver: moves its clock.
        busy_since: the real instant since which it does something that we cannot see; None while it is at rest.
        outer: what this thread was in the block around this one, if any.
        timers: what asyncio's part keeps for the event loop of this thread.
    """

    driver: Driver
    busy_since: float | None
    outer: Member | None = None
    timers: object = None
    _still_at: float = math.nan
    _still_since: float = 0.0
    _reads: int = 0

    def reads(self) -> None:
        """Note that code under test looks at the clock; RuntimeError if it does nothing else and time stands still."""
        now = self.driver.clock.now()
        if now != self._still_at:
            self._still_at, self._still_since, self._reads = now, monotonic(), 0
        self._reads += 1
        if self._reads > STILL_READS and monotonic() - self._still_since > STILL_SECONDS:
            self.moves_on()
            raise RuntimeError(
                f"under drive() the clock was read again and again for {STILL_SECONDS:g} s of real time, and did not "
                "move: expected a sleep or a wait that moves it. Either the code sleeps by a time.sleep that was taken "
                "before the block and is kept where drive() does not look (an attribute of an object, a container, a "
                "local name): make the object, or take the function, inside the block. Or it does not sleep at all: "
                "let it sleep between its calls, or move the clock with advance()"
            )

    def moves_on(self) -> None:
        """Note that it does something else than to look at the clock."""
        self._still_at = math.nan


class _Here(threading.local):
    member: Member | None = None


here = _Here()
"""The current thread's membership; None in a thread that is not driven, and while a driven one works for us."""


def living(member: Member | None) -> Member | None:
    """Return `member`, or if its block has been left the nearest around it that has not; None if there is none."""
    while member is not None and member.driver.over:
        member = member.outer
    return member


@contextmanager
def not_driven() -> Iterator[None]:
    """Give the current thread real time within the block."""
    member, here.member = here.member, None
    try:
        yield
    finally:
        here.member = member


@dataclass(eq=False, slots=True)
class Rest:
    """
    One sleep, or one wait, of a thread.

    Args:
        member: the thread.
        deadline: the instant at which it ends; None when only a notification ends it.
        notifiable: whether it can end before its deadline.
        over: whether it has ended.
        gave_up: whether it has ended early, for a hook that would not let the clock go on.
    """

    member: Member
    deadline: float | None
    notifiable: bool = False
    over: bool = False
    gave_up: bool = False
    begun: float = field(default_factory=monotonic)
    begun_in_move: int | None = None
    refused_since: float | None = None
    ends: float | None = None
    saw_events: bool = False

    @property
    def order(self) -> float:
        """The deadline, or infinity."""
        return math.inf if self.deadline is None else self.deadline
