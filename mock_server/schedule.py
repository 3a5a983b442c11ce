"""What is to come for one tenant, and the ways in which time gets there: by hand, by itself, by a fetch."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from threading import RLock

from mock_server.clock import Clock, check_forward
from mock_server.hooks.deliverer import Deliverer
from mock_server.journal import Journal
from mock_server.model import Delivery, Receipt, Timer, later
from mock_server.postman import Postman
from mock_server.store import MemoryStore

_log = logging.getLogger("fluxmock.schedule")

AUTO_IDLE = 0.03
"""Real seconds without a request after which an auto clock moves on by itself while a hook is expected."""

_PATIENCE = 1.0
# Real seconds that a walk waits for a hook which it has not sent itself.

_HOOK_PAUSE = 0.002
# Real seconds that a hook waits at least, so that the answer to the request that caused it leaves first.


class Schedule(ABC):
    """
    The timers of a tenant, walked in order; each happens at its own instant, however late somebody looks.

    Requests only `_drain`, so that answering never waits for a webhook. `tick` (real time has come) and those who move
    the clock send webhooks, too.

    Args:
        clock: the tenant's clock.
        store: holds the timers.
        journal: where moves of the clock by hand are noted.
        deliverer: sends the webhooks.
    """

    def __init__(
        self,
        clock: Clock,
        store: MemoryStore,
        journal: Journal,
        deliverer: Deliverer,
    ) -> None:
        self.clock = clock
        self.store = store
        self.journal = journal
        self.lock = RLock()
        self.postman = Postman(self.lock, deliverer, self._land)
        self._walkers = 0
        self._written_at_tick = -1

    @abstractmethod
    def _fire(self, timer: Timer) -> None:
        """Let happen what `timer` stands for."""

    @abstractmethod
    def _land(self, sent: Delivery, due: float, receipt: Receipt) -> Callable[[], None]:
        """Note, under the lock, what came of an attempt; return what is to be done without it."""

    @abstractmethod
    def _wake(self) -> None:
        """See to it that somebody calls `tick` in time, for webhooks are expected. Under the lock."""

    # What the person at the controls does

    def settle(self) -> None:
        """Let happen what is due by now, except sending hooks."""
        with self.lock:
            self._drain()

    def next_event_at(self) -> float | None:
        """Return the instant of the next event, of a job or a hook; None when nothing more is to come."""
        with self.lock:
            return self.store.next_due(hooks=True)

    def advance(self, seconds: float) -> None:
        """Move the clock on by `seconds`, as `advance_to` does; ValueError if they are negative."""
        self._walk(lambda now: later(now, seconds), f"advance {seconds:g} s")

    def advance_to(self, instant: float) -> None:
        """
        Move the clock to `instant`, event by event.

        What falls due on the way happens at its own time. Each hook is delivered, and its retry set, before the clock
        goes on.

        Raises:
            ValueError: `instant` lies in the past.
        """
        self._walk(lambda _: instant, "advance to")

    def advance_to_next_event(self) -> bool:
        """Move the clock to the next event and let it happen; return whether there was one."""
        due = self.next_event_at()
        if due is None:
            return False
        self._walk(lambda now: max(due, now), "next event")
        return True

    def run_until_idle(self) -> None:
        """Move the clock on until nothing more is to come."""
        self._walk(None, "run until idle")

    def set_pace(self, rate: float, *, auto: bool = False) -> None:
        """Let the clock go on at another rate."""
        with self.lock:
            now = self._drain()
            self.clock.run(rate, auto=auto)
            self._expect_hooks()
        self.journal.note_clock(now, now, "auto" if auto else f"run x{rate:g}" if rate else "freeze")

    def check_free(self) -> None:
        """Raise RuntimeError if the clock waits for a hook: what that hook causes cannot move it."""
        if self.postman.is_handing_over or (self._walkers and self.postman.on_the_way):
            raise RuntimeError("the clock is being moved, and waits for a hook: what a hook causes cannot move it")

    def _walk(self, target: Callable[[float], float] | None, move: str) -> None:
        """Move the clock to where `target` says from this instant; without one, until nothing more is to come."""
        with self.lock:
            self.check_free()
            now = self.clock.now()
            instant = None if target is None else target(now)
            if instant is not None:
                check_forward(now, instant)
                instant = later(instant, 0.0)
            self._walkers += 1
        self.journal.note_clock(now, now if instant is None else instant, move)
        try:
            while self._step_to(instant):
                self.postman.post(here=True)
        finally:
            with self.lock:
                self._walkers -= 1
        if instant is not None:
            self.clock.forward_to(instant)

    def _step_to(self, instant: float | None) -> bool:
        """Once no hook is on its way, go to the next event that is due by `instant`; return whether there was one."""
        with self.lock:
            # A hook that a walk has sent is waited for. One that came by itself may have brought us here: then it
            # waits for us, and nobody could tell.
            if not self.postman.wait(None if self.postman.walked else _PATIENCE):
                _log.warning("the clock moves on, although a hook is on its way and not answered")
            due = self.store.next_due(hooks=True)
            if due is None or (instant is not None and due > instant):
                return False
            self.clock.forward_to(due)
            timer = self.store.pop_due(due, hooks=True)
            if timer is not None:
                self.postman.walking = True
                try:
                    self._fire(timer)
                finally:
                    self.postman.walking = False
            return True

    # What time does

    def tick(self) -> None:
        """Do what is due by now and send the hooks that are, without waiting for them."""
        with self.lock:
            self._fire_due(self.clock.now(), hooks=True)
            if self.clock.auto:
                self._run_while_idle()
        self.postman.post(here=False)

    def next_tick_in(self) -> float | None:
        """Return the real seconds until `tick` should be called; None when time alone will bring no hook."""
        with self.lock:
            if not self.store.hooks_expected:
                return None
            due = self.store.next_due(hooks=True)
            left = None if due is None else self.clock.real_seconds_until(due)
            if self.clock.auto and left != 0.0:
                return AUTO_IDLE
            return None if left is None else max(left, _HOOK_PAUSE)

    def _expect_hooks(self) -> None:
        if self.store.hooks_expected:
            self._wake()

    def _drain(self) -> float:
        now = self.clock.now()
        self._fire_due(now, hooks=False)
        return now

    def _fire_due(self, now: float, *, hooks: bool) -> None:
        while (timer := self.store.pop_due(now, hooks=hooks)) is not None:
            self._fire(timer)

    def _to_next_event(self, *, hooks: bool) -> bool:
        due = self.store.next_due(hooks=hooks)
        if due is None:
            return False
        self._fire_due(self.clock.forward_to(due), hooks=hooks)
        return True

    def _run_while_idle(self) -> None:
        idle = self.journal.written == self._written_at_tick
        self._written_at_tick = self.journal.written
        while idle and self.store.hooks_expected and not self.postman.on_the_way and self._to_next_event(hooks=True):
            pass
