"""An event loop in virtual time: when nothing is ready, the clock of the simulation goes on."""

from __future__ import annotations

import asyncio
import queue
import selectors
import socket
import threading
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVarTuple

from contract_tests.clients.simulation.sockets import SimulatedScheduler
from mock_server.drive.members import Rest, here
from mock_server.drive.standins import Fixed, Pair

_Ts = TypeVarTuple("_Ts")

_Policy: Any = asyncio.DefaultEventLoopPolicy
_BasePolicy: Any = asyncio.events.BaseDefaultEventLoopPolicy
_factory, _get_event_loop = _Policy._loop_factory, _BasePolicy.get_event_loop
_SimpleQueue = queue.SimpleQueue
_Base = asyncio.BaseEventLoop
_call_later, _call_at = _Base.call_later, _Base.call_at


class SimulatedLoop(asyncio.SelectorEventLoop):
    """A selector loop whose selector waits in virtual time."""

    call_later, call_at = _call_later, _call_at

    def __init__(self, driver: SimulatedScheduler) -> None:
        self._driver = driver
        self._selecting = _Selector(driver)
        super().__init__(self._selecting)

    def time(self) -> float:
        """Return the monotonic time of the simulation, in seconds."""
        member = here.member
        if member is not None and not self._driver.over:
            self._driver.looked(member, own=False)
        return self._driver.monotonic_ns() / 1e9

    def _write_to_self(self) -> None:
        super()._write_to_self()  # type: ignore[misc]
        self._selecting.wake()

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Have a callback called; also from another loop's thread, as when a receiver sets the client's Event."""
        # A receiver that is served in the client's loop would do so there. Here it has a loop of its own.
        handle = super().call_soon(callback, *args, context=context)
        self._selecting.wake()
        return handle

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        """Look a name up, at once."""
        return socket.getaddrinfo(host, port)


class _Selector(selectors.DefaultSelector):
    def __init__(self, driver: SimulatedScheduler) -> None:
        super().__init__()
        self._driver = driver
        self._rest: Rest | None = None

    def wake(self) -> None:
        if self._rest is not None:
            self._driver.wake(self._rest)

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        member = here.member
        if ready or (timeout is not None and timeout <= 0) or member is None:
            return ready
        driver = self._driver
        rest = Rest(member, None if timeout is None else driver.deadline(timeout), notifiable=True)
        self._rest = rest
        driver.network.arrivals.append(self.wake)
        try:
            driver.rest(rest)
        finally:
            self._rest = None
        return super().select(0)


def _loop_of_thread() -> asyncio.AbstractEventLoop:
    member = here.member
    if member is None or not isinstance(member.driver, SimulatedScheduler):
        return _factory()  # type: ignore[no-any-return]
    if member.driver.over:
        member.driver.outlived(member, waits=True)
    return SimulatedLoop(member.driver)


class MainThread(threading.Thread):
    """A thread that stands for the main one of the client, so that `asyncio.get_event_loop()` makes a loop there."""

    def run(self) -> None:
        """Run the target, and close what loop it leaves."""
        try:
            super().run()
        finally:
            loop = asyncio.get_event_loop_policy()._local._loop  # type: ignore[attr-defined]
            if loop is not None:
                loop.close()


def _loop_here(policy: Any) -> Any:
    local = policy._local
    if local._loop is None and not local._set_called and isinstance(threading.current_thread(), MainThread):
        policy.set_event_loop(policy.new_event_loop())
    return _get_event_loop(policy)


def _queue() -> Any:
    # The one in C waits where nobody can see it; the one in Python waits for a semaphore.
    simulated = here.member is not None and isinstance(here.member.driver, SimulatedScheduler)
    return queue._PySimpleQueue() if simulated else _SimpleQueue()  # type: ignore[attr-defined]


FIXED: tuple[Fixed, ...] = (
    (_Policy, "_loop_factory", Pair(_factory, staticmethod(_loop_of_thread))),
    (_BasePolicy, "get_event_loop", Pair(_get_event_loop, _loop_here)),
    (queue, "SimpleQueue", Pair(_SimpleQueue, _queue)),
)
"""To be put in one place each."""
