"""Code under test on the clock of a tenant: `with tenant.clock.drive():`.

In the block the current thread, and every thread that it or such a thread starts there, is *driven*: it lives on the
tenant's clock, and its sleeps and waits move that clock on. Everybody else, other threads in particular, keeps real
time.

What moves the clock:

- `time.sleep` and `asyncio.sleep`;
- waiting for a `threading.Condition`, and so `Event.wait`, `queue.Queue.get`, `Future.result`, `Semaphore.acquire`
  and `Barrier.wait`, up to the timeout or, without one, as long as the tenant has events to come.

What shows it: all of `time` that reads a clock (but for process and thread time), `datetime.now`, `utcnow` and
`today`, and the `time()` of an event loop. The monotonic clocks start from their real value, and go back to it when the
block is left.

What sees it pass, and moves nothing: deadlines that code under test sets on an event loop, by `asyncio.timeout`,
`timeout_at`, `wait_for` and `wait`, or by the loop's `call_later` and `call_at`. They are due when the clock has
reached them, whoever moved it; driven sleeps and waits stop there on their way. They are also due after as many seconds
of real time, since what they guard may never come.

It does not matter how a module got at the functions: each attribute of a loaded module that is one of them is replaced,
also in modules that are imported in the block. In modules of the user's own (neither the standard library nor
installed), so are defaults of arguments, attributes of classes and the names that a decorator or another closure keeps,
if the function or class can be reached by way of a module's name or a class there.

**Not** found is what was taken before the block and is kept elsewhere: in an attribute of an object, a container, a
`partial`, a local name of a function that runs, a function or class that is made in a function, or a module's name, or
anything else in a module, that was bound after the module had been seen in an earlier block. A `time.sleep` from there
sleeps really, and a loop around it would wait for its deadline for ever. So when code of the user's own has looked at a
clock (`perf_counter` apart) more than 5 times over more than 10 s of real time, and neither has the clock moved nor the
thread slept or waited, the look raises a RuntimeError that says this.

In the block `datetime` is a stand-in class that makes real objects, so `isinstance` holds, `type(x) is datetime` not.

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

What stays real: timeouts of sockets, and the timers that libraries for I/O and servers (aiohttp, anyio, httpx, redis,
uvicorn, websockets and their like) set on event loops, for they guard real I/O, and would fire whenever another task or
thread sleeps: so `anyio.fail_after` is real, `asyncio.timeout` is not; the timers of loops that are not asyncio's own,
as uvloop's; `queue.SimpleQueue`, `Lock.acquire` with a timeout and `select`, which are written in C; the emulator
itself, `subprocess`, `multiprocessing`, pytest and hypothesis. A task that awaits anything but a sleep moves nothing:
where it awaits a hook, let another move the clock, say by `await asyncio.to_thread(tenant.clock.run_until_idle)`.

After the block, threads that are left over are back in real time, with what is left of their sleeps. Blocks in
several threads are independent. A block in a block counts for its own threads; with the same clock it changes
nothing.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType

from mock_server.drive.members import Member, here, living
from mock_server.drive.places import STAND_INS
from mock_server.drive.standins import check_interpreter
from mock_server.drive.turns import DrivenClock, Driver

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
        self._member: Member | None = None

    def __enter__(self) -> None:
        if self._member is not None:
            raise RuntimeError("this drive() is in use: call drive() again for another block")
        outer = living(here.member)
        if outer is not None and outer.driver.clock is self._clock:
            return
        check_interpreter()
        driver = Driver(self._clock, None if outer is None else outer.driver)
        STAND_INS.put()
        self._member = here.member = driver.enrol(outer)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        member, self._member = self._member, None
        if member is not None:
            member.driver.close()
            # Blocks may be left in any order, and by any thread: then another one is current here, and stays.
            if here.member is member:
                here.member = living(member)
            STAND_INS.take_back()
