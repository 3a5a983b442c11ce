"""What stands in for the functions and classes of the standard library that know the time.

A stand-in asks who calls: a driven thread, on behalf of code under test, gets the driven clock; everybody else gets the
real thing. So a stand-in that is left behind somewhere does no harm.
"""

from __future__ import annotations

import asyncio
import asyncio.base_events
import datetime as dt
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from time import struct_time
from types import FrameType
from typing import Any, NamedTuple

from mock_server.drive.loops import call_later_on, sleep_on
from mock_server.drive.members import Member, Rest, here, not_driven
from mock_server.drive.ownership import is_own
from mock_server.drive.turns import Driver
from mock_server.drive.waiter import Waiter

_REAL_TIME = frozenset(
    {
        "mock_server", "subprocess", "multiprocessing", "selectors", "socket", "socketserver", "ssl", "asyncio",
        "pytest", "_pytest", "pluggy", "xdist", "execnet", "pytest_asyncio", "hypothesis",
    }
)  # fmt: skip
"""Packages whose own use of time stays real, in driven threads too: what they time is real I/O, or the test run."""

_PLUMBING = frozenset(
    {
        "threading",
        "queue",
        "concurrent.futures._base",
        "concurrent.futures.thread",
        "concurrent.futures.process",
        "mock_server.drive.turns",
        "mock_server.drive.waiter",
        __name__,
    }
)
# Modules that wait for somebody else; who that is stands further up the stack.

_REAL_DEADLINES = _REAL_TIME | {
    "aiohttp", "aiosignal", "anyio", "async_timeout", "asyncpg", "h11", "h2", "httpcore", "httpx", "hypercorn", "redis",
    "requests", "sniffio", "trio", "urllib3", "uvicorn", "uvloop", "websockets",
}  # fmt: skip
"""Packages whose timers on an event loop stay real, too: they guard real I/O."""

_DEADLINE_PLUMBING = frozenset({"asyncio.timeouts", "asyncio.tasks", __name__})
_sleep, _time, _time_ns = time.sleep, time.time, time.time_ns
_monotonic, _monotonic_ns = time.monotonic, time.monotonic_ns
_perf_counter, _perf_counter_ns = time.perf_counter, time.perf_counter_ns
_gmtime, _localtime, _ctime, _asctime, _strftime = time.gmtime, time.localtime, time.ctime, time.asctime, time.strftime
_asyncio_sleep, _wait_for = asyncio.sleep, asyncio.wait_for
_Loop = asyncio.base_events.BaseEventLoop
_loop_time, _call_at, _call_later = _Loop.time, _Loop.call_at, _Loop.call_later
_start, _join = threading.Thread.start, threading.Thread.join
_allocate_lock = threading._allocate_lock  # type: ignore[attr-defined]
_Datetime = dt.datetime
_Date = dt.date


def check_interpreter() -> None:
    """Raise RuntimeError unless this Python's `Condition.wait` makes its lock in the way that we can step in."""
    code = threading.Condition.wait.__code__
    if not hasattr(threading, "_allocate_lock") or "_allocate_lock" not in code.co_names:
        raise RuntimeError(
            "drive() expected a threading.Condition.wait that makes its lock by threading._allocate_lock, as in "
            f"CPython 3.11 to 3.13; in {sys.version.split()[0]} (or after a patch by another tool) it does not: "
            "move the clock with advance() instead"
        )


# Who calls


def _member(depth: int = 2, *, waits: bool = False) -> Member | None:
    """
    Return the membership of the current thread if it is driven and runs code under test, else None.

    Args:
        depth: of the frame that calls, counted from here.
        waits: whether it would wait, and not only look.
    """
    member = here.member
    if member is None or _beyond_plumbing(sys._getframe(depth)) in _REAL_TIME:
        return None
    if member.driver.over:
        member.driver.outlived(member, waits=waits)
        return None
    return member


def _reader() -> Member | None:
    """Return what `_member` returns, for the caller of a stand-in that tells how time passes."""
    member = _member(3)
    if member is not None:
        member.driver.looked(member, own=is_own(sys._getframe(2).f_code.co_filename))
    return member


def _timer() -> Member | None:
    """Return what `_member` returns, for the caller of a stand-in by which code measures how long something took."""
    member = _member(3)
    if member is not None:
        member.driver.looked(member, own=False)
    return member


def _keeper() -> Member | None:
    """Return the membership of the current thread if a timer of its loop is asked for by code under test, else None."""
    member = here.member
    if member is None or member.driver.over or not member.driver.loops:
        return None
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code is not _driven_wait.__code__:
        name = str(frame.f_globals.get("__name__") or "")
        if name not in _DEADLINE_PLUMBING:
            return None if name.partition(".")[0] in _REAL_DEADLINES else member
        frame = frame.f_back
    return member


def _beyond_plumbing(frame: FrameType | None, *more: str) -> str:
    """Return the package that a call comes from in the end; "" when it is plumbing all the way."""
    while frame is not None:
        name = frame.f_globals.get("__name__") or ""
        package = str(name).partition(".")[0]
        if name not in _PLUMBING and package not in more:
            return package
        frame = frame.f_back
    return ""


# time


class _Time:
    # Functions in C do not become methods as attributes of a class, nor do methods: so these stand in for them.

    def sleep(self, seconds: float, /) -> None:
        member = _member(waits=True)
        if member is None or not seconds > 0:  # the real one refuses what is negative or no number
            _sleep(seconds)
            if member is not None:
                member.driver.looked(member, own=False)
        else:
            member.driver.rest(Rest(member, member.driver.deadline(seconds)))

    def time(self) -> float:
        member = _reader()
        return _time() if member is None else member.driver.clock.now()

    def time_ns(self) -> int:
        member = _reader()
        return _time_ns() if member is None else member.driver.time_ns()

    def monotonic(self) -> float:
        member = _reader()
        return _monotonic() if member is None else member.driver.monotonic_ns() / 1e9

    def monotonic_ns(self) -> int:
        member = _reader()
        return _monotonic_ns() if member is None else member.driver.monotonic_ns()

    def perf_counter(self) -> float:
        member = _timer()
        return _perf_counter() if member is None else member.driver.perf_counter_ns() / 1e9

    def perf_counter_ns(self) -> int:
        member = _timer()
        return _perf_counter_ns() if member is None else member.driver.perf_counter_ns()

    def gmtime(self, seconds: float | None = None, /) -> struct_time:
        member = _member() if seconds is None else None
        return _gmtime(seconds if member is None else member.driver.clock.now())

    def localtime(self, seconds: float | None = None, /) -> struct_time:
        member = _member() if seconds is None else None
        return _localtime(seconds if member is None else member.driver.clock.now())

    def ctime(self, seconds: float | None = None, /) -> str:
        member = _member() if seconds is None else None
        return _ctime(seconds if member is None else member.driver.clock.now())

    def asctime(self, *moment: Any) -> str:
        member = None if moment else _member()
        return _asctime(*moment) if member is None else _asctime(_localtime(member.driver.clock.now()))

    def strftime(self, form: str, /, *moment: Any) -> str:
        member = None if moment else _member()
        return _strftime(form, *moment) if member is None else _strftime(form, _localtime(member.driver.clock.now()))


_driven = _Time()


def _driven_asyncio_sleep(delay: float, result: Any = None) -> Coroutine[Any, Any, Any]:
    member = _member()
    if member is None or not member.driver.loops or not delay > 0:
        return _asyncio_sleep(delay, result)
    return sleep_on(member, delay, result)


# Deadlines on a loop


def _driven_loop_time(loop: asyncio.BaseEventLoop) -> float:
    member = _keeper()
    if member is None:
        return _loop_time(loop)
    member.driver.looked(member, own=is_own(sys._getframe(1).f_code.co_filename))
    return member.driver.monotonic_ns() / 1e9


def _driven_call_at(
    loop: asyncio.BaseEventLoop, when: float, callback: Any, *args: Any, context: Context | None = None
) -> asyncio.TimerHandle:
    member = None if when is None else _keeper()
    if member is None:
        return _call_at(loop, when, callback, *args, context=context)
    return call_later_on(member, loop, when - member.driver.monotonic_ns() / 1e9, callback, args, context)


def _driven_call_later(
    loop: asyncio.BaseEventLoop, delay: float, callback: Any, *args: Any, context: Context | None = None
) -> asyncio.TimerHandle:
    member = None if delay is None else _keeper()
    if member is None:
        return _call_later(loop, delay, callback, *args, context=context)
    return call_later_on(member, loop, delay, callback, args, context)


def _driven_wait_for(fut: Any, timeout: float | None) -> Coroutine[Any, Any, Any]:
    # Who asks is seen now, and no longer when the coroutine runs as a task.
    return _wait_for(fut, timeout) if _keeper() is None else _driven_wait(fut, timeout)


async def _driven_wait(fut: Any, timeout: float | None) -> Any:
    return await _wait_for(fut, timeout)


# datetime: made by a stand-in or not, every object is a real one


class _StandInType(type):
    def __instancecheck__(cls, instance: object) -> bool:
        real = _REAL_CLASSES.get(cls)
        return type.__instancecheck__(cls, instance) if real is None else isinstance(instance, real)

    def __subclasscheck__(cls, subclass: type) -> bool:
        real = _REAL_CLASSES.get(cls)
        return type.__subclasscheck__(cls, subclass) if real is None else issubclass(subclass, real)


class _DrivenDate(_Date, metaclass=_StandInType):
    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return _Date(*args, **kwargs) if cls is _DrivenDate else super().__new__(cls, *args, **kwargs)

    @classmethod
    def today(cls) -> Any:
        member = _member()
        return cls.fromtimestamp(_time() if member is None else member.driver.clock.now())


class _DrivenDatetime(_Datetime, metaclass=_StandInType):
    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return _Datetime(*args, **kwargs) if cls is _DrivenDatetime else super().__new__(cls, *args, **kwargs)

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:
        member = _reader()
        return super().now(tz) if member is None else cls.fromtimestamp(member.driver.clock.now(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        member = _reader()
        if member is None:
            return super().utcnow()
        return cls.fromtimestamp(member.driver.clock.now(), dt.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> Any:
        member = _reader()
        return super().today() if member is None else cls.fromtimestamp(member.driver.clock.now())


_REAL_CLASSES: dict[type, type] = {_DrivenDate: _Date, _DrivenDatetime: _Datetime}
for _stand_in, _real in _REAL_CLASSES.items():
    # Pickles name a class, and are read when there may be no stand-in.
    _stand_in.__module__, _stand_in.__name__, _stand_in.__qualname__ = "datetime", _real.__name__, _real.__name__


def _reduced(moment: Any) -> tuple[Any, ...]:
    # By way of what `datetime` holds just now: pickle insists that the name of a class leads to that class.
    kind, *rest = moment.__reduce_ex__(2)
    return (getattr(dt, kind.__name__), *rest)


# threading


def _driven_allocate_lock() -> Any:
    frame = sys._getframe(1)
    member = _member(waits=True) if frame.f_code is threading.Condition.wait.__code__ else None
    return _allocate_lock() if member is None else Waiter(member)


def _driven_start(thread: threading.Thread) -> None:
    member = here.member
    # A loop starts its workers for code under test, so asyncio does not decide here.
    if member is None or _beyond_plumbing(sys._getframe(1), "asyncio") == "mock_server":
        _start(thread)
    elif member.driver.over:
        member.driver.outlived(member, waits=True)
        _start(thread)
    else:
        start_driven(thread, member.driver)


def start_driven(thread: threading.Thread, driver: Driver) -> None:
    """Start a thread that lives on the clock of `driver`."""
    member = driver.enrol(thread=thread)
    thread.run = partial(_run, member, thread.run)  # type: ignore[method-assign]
    try:
        with not_driven():
            _start(thread)
    except BaseException:
        driver.dismiss(member)
        raise


def _run(member: Member, run: Callable[[], None]) -> None:
    try:
        member.driver.live(member, run)
    finally:
        here.member = None
        member.driver.dismiss(member)


def _driven_join(thread: threading.Thread, timeout: float | None = None) -> None:
    member = here.member
    if member is None:
        _join(thread, timeout)
    elif member.driver.over:
        member.driver.outlived(member, waits=True)
        _join(thread, timeout)
    else:
        member.driver.join(member, thread, timeout, _join)


class Pair(NamedTuple):
    """A real thing and its stand-in."""

    real: Any
    stand_in: Any


PAIRS = (
    Pair(_sleep, _driven.sleep),
    Pair(_time, _driven.time),
    Pair(_time_ns, _driven.time_ns),
    Pair(_monotonic, _driven.monotonic),
    Pair(_monotonic_ns, _driven.monotonic_ns),
    Pair(_perf_counter, _driven.perf_counter),
    Pair(_perf_counter_ns, _driven.perf_counter_ns),
    Pair(_gmtime, _driven.gmtime),
    Pair(_localtime, _driven.localtime),
    Pair(_ctime, _driven.ctime),
    Pair(_asctime, _driven.asctime),
    Pair(_strftime, _driven.strftime),
    Pair(_asyncio_sleep, _driven_asyncio_sleep),
    Pair(_wait_for, _driven_wait_for),
    Pair(_Datetime, _DrivenDatetime),
    Pair(_Date, _DrivenDate),
)
"""To be put wherever a module holds the real thing."""

Fixed = tuple[Any, str, Pair]
"""Owner, name there, and what is there."""

FIXED: tuple[Fixed, ...] = (
    (threading, "_allocate_lock", Pair(_allocate_lock, _driven_allocate_lock)),
    (threading.Thread, "start", Pair(_start, _driven_start)),
    (threading.Thread, "join", Pair(_join, _driven_join)),
    (_Loop, "time", Pair(_loop_time, _driven_loop_time)),
    (_Loop, "call_at", Pair(_call_at, _driven_call_at)),
    (_Loop, "call_later", Pair(_call_later, _driven_call_later)),
)
"""To be put in one place each: owner and name. What is real there stands in for other things elsewhere."""

PICKLED: dict[type, Any] = {_Datetime: _reduced, _Date: _reduced}
"""How to pickle what is real while there are stand-ins, as in `copyreg.dispatch_table`."""
