"""`asyncio.sleep` on a driven clock: the sleepers of one event loop.

The clock is moved by a thread that is not driven, never by the loop itself: a hook on the way may be meant for a
receiver on this very loop. Only `asyncio.sleep` is virtual. The loop's own timers, and with them `asyncio.timeout`,
`wait_for` and `loop.time`, stay real: clients guard their I/O with these, which would time out whenever another task
sleeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count
from threading import Thread
from typing import Any, NamedTuple, TypeVar

from mock_server.drive import turns
from mock_server.drive.turns import Member, Rest

_T = TypeVar("_T")

PAUSE = 0.003
"""Real seconds for the other tasks of a loop, which may be in the middle of I/O, before the clock moves on."""


_TURNS = 10
# Turns of the loop after that, for what needs no I/O: on a busy machine, 3 ms may be over before the next turn.


class _Sleeper(NamedTuple):
    deadline: float
    number: int
    woken: asyncio.Future[None]
    task: asyncio.Task[Any] | None


def sleep_on(member: Member, seconds: float, result: _T) -> Coroutine[Any, Any, _T]:
    """Return a coroutine that sleeps on the clock of `member`, the thread of the running loop, and returns `result`."""
    loop = asyncio.get_running_loop()
    if not isinstance(member.sleepers, _Sleepers) or member.sleepers.loop is not loop:
        member.sleepers = _Sleepers(member, loop)
    return member.sleepers.sleep(seconds, result)


class _Sleepers:
    def __init__(self, member: Member, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._member = member
        self._driver = member.driver
        self._heap: list[_Sleeper] = []
        self._numbers = count()
        self._alarm: asyncio.Handle | None = None
        self._rest: Rest | None = None

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
        while self._heap and self._heap[0].woken.done():
            heappop(self._heap)
        if self._rest is not None:
            self._driver.change(self._rest, self._heap[0].deadline if self._heap else None)
            self._rest = self._rest if self._heap else None
            return
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._heap:
            asleep = {sleeper.task for sleeper in self._heap if not sleeper.woken.done()}
            pause = PAUSE if asyncio.all_tasks(self.loop) - asleep else 0.0
            self._alarm = self.loop.call_later(pause, self._set_out_after, _TURNS)

    def _set_out_after(self, turns: int) -> None:
        if turns:
            self._alarm = self.loop.call_soon(self._set_out_after, turns - 1)
            return
        self._alarm = None
        self._rest = Rest(self._member, self._heap[0].deadline)
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
        now = self._driver.clock.now()
        early = rest.gave_up or self._driver.over or problem is not None
        while self._heap and (early or self._heap[0].deadline <= now):
            woken = heappop(self._heap).woken
            if woken.done():
                continue
            early = False
            if problem is None:
                woken.set_result(None)
            else:
                woken.set_exception(problem)
        self._look()
