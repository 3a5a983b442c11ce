"""Code under test on the clock of a tenant: `with tenant.clock.drive():`.

In the block the current thread, and every thread that it or such a thread starts there, is *driven*: it lives on the
tenant's clock, and its sleeps and waits move that clock on. Everybody else, other threads in particular, keeps real
time.

What moves the clock:

- `time.sleep` and `asyncio.sleep`;
- waiting for a `threading.Condition`, and so `Event.wait`, `queue.Queue.get`, `Future.result`, `Semaphore.acquire`
  and `Barrier.wait`, up to the timeout or, without one, as long as the tenant has events to come.

What shows it: all of `time` that reads a clock (but for process and thread time), `datetime.now`, `utcnow` and
`today`. The monotonic clocks start from their real value, and go back to it when the block is left.

It does not matter how a module got at these: each attribute of a loaded module that is one of them is replaced, also
in modules that are imported in the block. **Not** found are those kept elsewhere: in the default of an argument, an
attribute of a class, a closure, a container, or a module's name that was bound after the module had been seen in an
earlier block. In the block `datetime` is a stand-in class that makes real objects, so `isinstance` holds, `type(x) is
datetime` not.

How time passes:

- The clock goes event by event, and delivers hooks on the way, as `advance_to` does. A wait returns when it is
  notified, at that very instant; when there were events it gets another 20 ms of real time before it is over in vain.
- Of several driven threads the one with the earliest deadline moves the clock. It first lets every busy one come to
  rest, for 0.1 s of real time at the most: what is busy for longer is taken to be blocked in real I/O. So threads
  that sleep 3 and 5 s at once wake at +3 and +5. (`join` is rest, with its timeout in real time. An idle worker of a
  pool waits where nobody can see it, and is not waited for when it gets new work.)
- Tasks of an event loop likewise: when one of them sleeps, the others get 3 ms before the clock moves on. Tasks that
  were there before the block are driven if the block is on their thread; sleeps that began before it stay real.
- A sleep, or a wait with a timeout, that begins while a hook is on its way, and cannot move the clock for 0.1 s since
  the clock waits for that hook, ends early: its thread may be the one that answers the hook. This holds for hooks
  that a driven sleep or wait has brought about; a driven receiver must not sleep while it answers a hook that came by
  itself, on a clock that runs or is auto, for then the hook times out.

What stays real: timers of event loops (`loop.time`, `call_later`, `asyncio.timeout`, `wait_for`) and timeouts of
sockets, for they guard real I/O, and would fire whenever another task or thread sleeps; `queue.SimpleQueue`,
`Lock.acquire` with a timeout and `select`, which are written in C; the emulator itself, `subprocess`,
`multiprocessing`, pytest and hypothesis. A task that awaits anything but a sleep moves nothing: where it awaits a
hook, let another move the clock, say by `await asyncio.to_thread(tenant.clock.run_until_idle)`.

After the block, threads that are left over are back in real time, with what is left of their sleeps. Blocks in
several threads are independent. A block in a block counts for its own threads; with the same clock it changes
nothing.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType

from mock_server.drive.places import STAND_INS
from mock_server.drive.standins import check_interpreter
from mock_server.drive.turns import DrivenClock, Driver, Member, here

__all__ = ["DrivenClock", "drive"]


def drive(clock: DrivenClock) -> AbstractContextManager[None]:
    """
    Let the code in the `with` block live on `clock`; what that means stands above.

    Raises:
        RuntimeError: on entering: this Python is none that we know how to step into.
    """
    return _Block(clock)


class _Block(AbstractContextManager[None]):
    # Written as a class, for a generator's context manager writes to exceptions on their way through.

    def __init__(self, clock: DrivenClock) -> None:
        self._clock = clock
        self._outer: Member | None = None
        self._driver: Driver | None = None

    def __enter__(self) -> None:
        if self._driver is not None:
            raise RuntimeError("this drive() is in use: call drive() again for another block")
        self._outer = outer = here.member
        if outer is not None and outer.driver.clock is self._clock and not outer.driver.over:
            return
        check_interpreter()
        driver = Driver(self._clock, None if outer is None else outer.driver)
        STAND_INS.put()
        self._driver = driver
        here.member = driver.enrol()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._driver is not None:
            here.member = self._outer
            self._driver.close()
            self._driver = None
            STAND_INS.take_back()
