"""One event loop on a driven clock: those who sleep there, and the deadlines that code under test has set.

A sleep moves the clock; a deadline only sees it pass. Else a request in flight would be out of time at once, since
nobody but its deadline waits for anything. That is why a deadline is due after as many seconds of real time, too: what
it guards may never come.

The clock is moved by a thread that is not driven, never by the loop itself: a hook on the way may be meant for a
receiver on this very loop.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from heapq import heappop, heappush
from itertools import count
from threading import Thread
from typing import Any, NamedTuple, TypeVar

from mock_server.drive import turns
from mock_server.drive.members import Member, Rest

_T = TypeVar("_T")

PAUSE = 0.003
"""Real seconds for the other tasks of a loop, which may be in the middle of I/O, before the clock moves on."""


_TURNS = 10
# Turns of the loop after that, for what needs no I/O: on a busy machine, 3 ms may be over before the next turn.

_WATCH = 0.02
# Real seconds after which deadlines are looked at again, for the clock is moved by others, too, who do not tell.


def sleep_on(member: Member, seconds: float, result: _T) -> Coroutine[Any, Any, _T]:
    """Return a coroutine that sleeps on the clock of `member`, the thread of the running loop, and returns `result`."""
    return _timers(member, asyncio.get_running_loop()).sleep(seconds, result)


def call_later_on(
    member: Member,
    loop: asyncio.AbstractEventLoop,
    seconds: float,
    callback: Callable[..., object],
    args: tuple[Any, ...],
    context: Context | None,
) -> asyncio.TimerHandle:
    """Have `loop` call back when `seconds` have passed on the clock of `member`, its thread, or in real time."""
    if not 0 < seconds < math.inf:
        return loop.call_later(seconds, callback, *args, context=context)
    timers = _timers(member, loop)
    deadline = _Deadline(timers, member, seconds, callback, args, context)
    timers.add(deadline)
    return deadline


def _timers(member: Member, loop: asyncio.AbstractEventLoop) -> _Timers:
    if not isinstance(member.timers, _Timers) or member.timers.loop is not loop:
        member.timers = _Timers(member, loop)
    return member.timers


class _Sleeper(NamedTuple):
    deadline: float
    number: int
    woken: asyncio.Future[None]
    task: asyncio.Task[Any] | None


class _Deadline(asyncio.TimerHandle):
    def __init__(
        self,
        timers: _Timers,
        member: Member,
        seconds: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context | None,
    ) -> None:
        when = member.driver.monotonic_ns() / 1e9 + seconds
        super().__init__(when, callback, args, timers.loop, context)
        self.instant = member.driver.deadline(seconds)
        self._timers = timers
        self._real = timers.loop.call_later(seconds, self.ring)

    def cancel(self) -> None:
        """Forget it."""
        super().cancel()
        self._leave()

    def ring(self) -> None:
        """Call back, now."""
        self._leave()
        self._run()

    def _leave(self) -> None:
        self._real.cancel()
        self._timers.drop(self)


class _Timers:
    def __init__(self, member: Member, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._member = member
        self._driver = member.driver
        self._heap: list[_Sleeper] = []
        self._numbers = count()
        self._alarm: asyncio.Handle | None = None
        self._rest: Rest | None = None
        self._deadlines: list[_Deadline] = []
        self._watch: asyncio.Handle | None = None

    # Sleeps

    async def sleep(self, seconds: float, result: _T) -> _T:
        woken: asyncio.Future[None] = self.loop.create_future()
        deadline = self._driver.deadline(seconds)
        heappush(self._heap, _Sleeper(deadline, next(self._numbers), woken, asyncio.current_task()))
        if self._driver.moving:
            # The clock may be waiting for the very hook that this task answers.
            self.loop.call_later(turns.GRACE, self._give_up, woken, self._driver.moves)
        self._look()
        try:
            await woken
        finally:
            if woken.cancelled():
                self._look()
        return result

    def _give_up(self, woken: asyncio.Future[None], move: int) -> None:
        if self._driver.moving and self._driver.moves == move and not woken.done():
            woken.set_result(None)

    def _look(self) -> None:
        """Have the clock moved to the earliest deadline, as soon as the other tasks have had their chance."""
        target = self._target()
        if self._rest is not None:
            self._driver.change(self._rest, target)
            self._rest = None if target is None else self._rest
            return
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if target is not None:
            asleep = {sleeper.task for sleeper in self._heap if not sleeper.woken.done()}
            pause = PAUSE if asyncio.all_tasks(self.loop) - asleep else 0.0
            self._alarm = self.loop.call_later(pause, self._set_out_after, _TURNS)

    def _target(self) -> float | None:
        """Return where the sleepers move the clock next; None when nobody sleeps."""
        while self._heap and self._heap[0].woken.done():
            heappop(self._heap)
        if not self._heap:
            return None
        return min([self._heap[0].deadline, *(deadline.instant for deadline in self._deadlines)])

    def _set_out_after(self, turns: int) -> None:
        if turns:
            self._alarm = self.loop.call_soon(self._set_out_after, turns - 1)
            return
        self._alarm = None
        target = self._target()
        if target is not None:
            self._rest = Rest(self._member, target)
            Thread(target=self._walk, args=(self._rest,), name="fluxmock-drive", daemon=True).start()

    def _walk(self, rest: Rest) -> None:
        problem: Exception | None = None
        try:
            self._driver.rest(rest)
        except Exception as error:  # noqa: BLE001 - raised where it is of use, in the sleeping task
            problem = error
        with suppress(RuntimeError):  # the loop may be closed by now
            self.loop.call_soon_threadsafe(self._arrive, rest, problem)

    def _arrive(self, rest: Rest, problem: Exception | None) -> None:
        if rest is not self._rest:  # all who slept then were cancelled
            return
        self._rest = None
        early = rest.gave_up or self._driver.over or problem is not None
        # Who is awake gets the chance to act on a deadline before others wake: it may be they who are out of time.
        if early or not self._ring_due():
            self._wake(early, problem)
        self._look()

    def _wake(self, early: bool, problem: Exception | None) -> None:
        now = self._driver.clock.now()
        while self._heap and (early or self._heap[0].deadline <= now):
            woken = heappop(self._heap).woken
            if woken.done():
                continue
            early = False
            if problem is None:
                woken.set_result(None)
            else:
                woken.set_exception(problem)

    # Deadlines

    def add(self, deadline: _Deadline) -> None:
        self._deadlines.append(deadline)
        self._aim()

    def drop(self, deadline: _Deadline) -> None:
        # Not by remove(): handles are equal when they call the same at the same time.
        others = [other for other in self._deadlines if other is not deadline]
        if len(others) < len(self._deadlines):
            self._deadlines = others
            self._aim()

    def _aim(self) -> None:
        """Let the clock not be moved past the next deadline, and look out for it."""
        first = min((deadline.instant for deadline in self._deadlines), default=None)
        self._driver.set_alarm(self._alarmed, first)
        if self._rest is not None and (target := self._target()) is not None:
            self._driver.change(self._rest, target)
        if first is None and self._watch is not None:
            self._watch.cancel()
            self._watch = None
        elif first is not None and self._watch is None:
            self._watch = self.loop.call_later(_WATCH, self._look_out)

    def _look_out(self) -> None:
        self._watch = None
        self._passed()
        if not self._driver.over:
            self._aim()

    def _alarmed(self) -> None:
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._passed)

    def _passed(self) -> None:
        if self._rest is None:  # else it ends there, too, and sees to the order of deadlines and sleeps
            self._ring_due()

    def _ring_due(self) -> bool:
        """Ring what the clock has reached, unless somebody's sleep was over before; return whether anything rang."""
        if self._driver.over:
            return False
        self._target()
        end = min([self._driver.clock.now(), *(sleeper.deadline for sleeper in self._heap[:1])])
        due = sorted((deadline for deadline in self._deadlines if deadline.instant <= end), key=lambda due: due.instant)
        for deadline in due:
            if not deadline.cancelled():
                deadline.ring()
        return bool(due)
