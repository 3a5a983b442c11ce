"""Which thread of the client runs, and when time passes: one at a time, and only when all of them wait.

The driver of `mock_server.drive` lets threads run side by side, and gives each the chance to be quick. Here one runs
until it sleeps, waits, or reads what has not arrived yet; then the one that has been ready for longest goes on. When
none is ready, the clock goes to the next event. So neither the speed of the machine nor luck has a say.
"""

from __future__ import annotations

import ctypes
import random
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures.thread import _threads_queues
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, NoReturn

from contract_tests.clients.simulation.timeline import Timeline
from mock_server.drive.members import Member, Rest, here, not_driven
from mock_server.drive.turns import Driver

_STEAL_SECONDS = 0.5
# Real seconds after which the thread that has the turn is taken to be blocked by what nobody can see, such as a lock
# that is older than the simulation: then another one may run besides it.

_REAP_SECONDS = 2.0
# Real seconds in which threads may end that were told to.

_OUTSIDE_SECONDS = 0.25
# Real seconds in which somebody outside, as a thread that is not driven, may still wake those who wait for ever.


_MOST_TOLD = 50
# How often a thread is told that it is over, before it is left where it is: a bare `except` hears nothing.

_MANY_LOOKS, _MORE_LOOKS = 1000, 20
# How often the clock may be looked at while it stands still before it is taken for a busy wait, and how often then
# until the clock goes on by another nap.

_SHORTEST_NAP, _LONGEST_NAP, _NAP_SHARE = 0.001, 1.0, 0.05
# Virtual seconds by which the clock goes on for who waits busily: a share of what that has taken already.


_pools: Any = _threads_queues
# The threads of all pools, by which Python waits for them when it ends.


class Hangs(SystemExit):
    """Thrown into a client that waits for what will never come, or does not end. `except Exception` lets it pass."""


class Scheduler(Driver):
    """
    The driver of one simulation.

    Args:
        timeline: the clock.
        seconds: how long the client may live, in virtual seconds; then it is told `Hangs`.

    Attributes:
        why: why it was stopped; empty when it was not.
        luck: where its threads' randomness comes from; None is the system.
        unusable: why no client that does so can be simulated; empty when it can.
        trouble: what went wrong in the first thread outside of the client.
        beats: goes up with all that the threads do which can be seen.
        released: set when nobody needs to wait for the first thread any more: it has ended, or was left behind.
    """

    loops = False

    def __init__(self, timeline: Timeline, seconds: float) -> None:
        super().__init__(timeline)
        self.timeline = timeline
        self.ends_at = timeline.now() + seconds
        self.why = ""
        self.luck: random.Random | None = None
        self.unusable = ""
        self.trouble: BaseException | None = None
        self.beats = 0
        self.released = threading.Event()
        self._idents: dict[Member, int] = {}
        self._first: Member | None = None
        self._told: Counter[Member] = Counter()
        self._left: set[Member] = set()
        self._looks = 0
        self._waited_busily = 0.0
        self._running: Member | None = None
        self._turns = 0
        self._queue: dict[Rest, threading.Condition] = {}  # who waits for its turn; each has a bell of its own
        self._threads: dict[threading.Thread, Member] = {}
        self._joining: list[tuple[threading.Thread, Rest]] = []

    def stop(self, why: str) -> None:
        """End the simulation: whoever waits, now or later, is told `Hangs`."""
        with self.lock:
            self.why = self.why or why
            self.over = True
            self.changed.notify_all()
            for bell in self._queue.values():
                bell.notify()

    def tell(self, member: Member) -> NoReturn:
        """Raise Hangs in the thread of `member`; one that has been told too often goes no further, for ever."""
        with self.lock:
            self.beats += 1
            self._told[member] += 1
            deaf = self._told[member] > _MOST_TOLD
            if deaf:
                self._left.add(member)
                self.changed.notify_all()
                if member is self._first:
                    self.released.set()
        while deaf:
            _pools.pop(threading.current_thread(), None)  # else its pool waits for it when Python ends
            with not_driven():
                threading.Event().wait()
        raise Hangs(self.why)

    def outlived(self, member: Member, *, waits: bool) -> None:
        """Tell a thread that it is over; one that only looks at the clock may do so for a while, to clean up."""
        self._looks += 1
        if waits or self._looks > _MANY_LOOKS:
            self.tell(member)

    def looked(self, member: Member, *, own: bool) -> None:  # noqa: ARG002
        """Let time pass for a thread that waits busily: it looks at the clock, and does nothing else."""
        self._looks += 1
        if self._looks < (_MORE_LOOKS if self._waited_busily else _MANY_LOOKS):
            return
        nap = min(max(_SHORTEST_NAP, self._waited_busily * _NAP_SHARE), _LONGEST_NAP)
        waited = self._waited_busily + nap
        self.rest(Rest(member, self.deadline(nap)))
        self._waited_busily = waited

    def where(self) -> int | None:
        """Return the identifier of the thread that has the turn, or else of the first one."""
        with self.lock:
            member = self._running or self._first
            return None if member is None else self._idents.get(member)

    def wake(self, rest: Rest) -> None:
        """End a wait."""
        with self.lock:
            rest.over = True
            self.changed.notify_all()

    # Threads

    def enrol(self, outer: Member | None = None, thread: threading.Thread | None = None) -> Member:
        """Take in a thread. The first one runs at once, others when their turn has come."""
        member = super().enrol(outer, thread)
        with self.lock:
            if self._running is None and thread is None:
                self._running = self._first = member
                self._idents[member] = threading.get_ident()
            else:
                self._rests.append(Rest(member, None, over=True))
            if thread is not None:
                thread.daemon = True  # one that is left behind must not keep Python from ending
                self._threads[thread] = member
        return member

    def live(self, member: Member, run: Callable[[], None]) -> None:
        """Run `run` in this thread, which has just been started, when its turn has come; Hangs ends it quietly."""
        with self.lock:
            rest = next(rest for rest in self._rests if rest.member is member)
            self._idents[member] = threading.get_ident()
        with suppress(Hangs):
            self._await(rest)
            here.member = member
            run()

    def reap(self, threads: Collection[threading.Thread] | None = None) -> None:
        """
        Wait for threads to end that were told to, as far as they do, and interrupt the others.

        Args:
            threads: which; None is all.
        """
        ends = monotonic() + _REAP_SECONDS
        with self.lock:
            waited = {one: self._threads.get(one) for one in (self._threads if threads is None else threads)}
            self.changed.wait_for(
                lambda: all(member in self._left or one not in self._threads for one, member in waited.items()),
                _REAP_SECONDS,
            )
            ending = [one for one, member in waited.items() if member not in self._left and one.ident is not None]
        for thread in ending:
            thread.join(max(0.0, ends - monotonic()))
            if thread.is_alive():
                interrupt(thread.ident)

    def dismiss(self, member: Member) -> None:
        """Let a thread go that has ended, and wake those who wait for that."""
        super().dismiss(member)
        with self.lock:
            self._threads = {thread: other for thread, other in self._threads.items() if other is not member}
            for thread, rest in self._joining:
                rest.over = rest.over or thread not in self._threads
            if self._running is member:
                self._give_back()
            self.changed.notify_all()

    def join(self, member: Member, thread: threading.Thread, timeout: float | None, join: Callable[..., None]) -> None:
        """Let `member` wait for `thread` to end, with a timeout on the clock if it lives there."""
        rest = Rest(member, None if timeout is None else self.deadline(timeout), notifiable=True)
        with self.lock:
            ours = thread in self._threads
            self._joining.append((thread, rest))
        if ours:
            self.rest(rest)
        with self.lock:
            self._joining = [(other, waits) for other, waits in self._joining if waits is not rest]
            ended = ours and thread not in self._threads
        if ended or not ours:
            with self.parked(member):
                join(thread, None if ended else timeout)

    @contextmanager
    def parked(self, member: Member) -> Iterator[None]:
        """Let others run while `member` waits for what nobody here can bring about."""
        with self.lock:
            if self._running is member:
                self._give_back()
        try:
            with not_driven():
                yield
        finally:
            rest = Rest(member, None, over=True)
            with self.lock:
                self._rests.append(rest)
            self._await(rest)

    # Turns

    def rest(self, rest: Rest) -> None:
        """Return when `rest` is over and its turn has come; raise Hangs when the simulation is."""
        with self.lock:
            self.beats += 1
            self._looks, self._waited_busily = 0, 0.0
            self._rests.append(rest)
        self._await(rest)

    def _await(self, rest: Rest) -> None:
        try:
            with not_driven():
                while not self._goes_on(rest):
                    pass
        finally:
            with self.lock:
                self._rests.remove(rest)
                self._queue.pop(rest, None)
        if self.over:
            self.tell(rest.member)

    def _goes_on(self, rest: Rest) -> bool:
        """Do what is to be done next; return whether that is for the thread of `rest` to go on."""
        with self.lock:
            if self.over:
                return True
            if self._running is not None and self._running is not rest.member:
                self._queue_up(rest)
                return False
            ready = self._ready()
            if ready is not None:
                self._running = ready.member
                self._turns += 1
                if ready in self._queue:
                    self._queue[ready].notify()
                return ready is rest
            # Nobody else runs meanwhile, and no call of the clock is made under our lock: it has locks, too.
            self._running = rest.member
        self._pass_time()
        return False

    def _queue_up(self, rest: Rest) -> None:
        """Wait for a turn; take it from a thread that does nothing for long."""
        turns, bell = self._turns, self._queue.setdefault(rest, threading.Condition(self.lock))
        if not bell.wait(_STEAL_SECONDS) and turns == self._turns:
            self._running = None

    def _give_back(self) -> None:
        """Let somebody who waits find out whose turn it is."""
        self._running = None
        bell = next(iter(self._queue.values()), None)
        if bell is not None:
            bell.notify()

    def _ready(self) -> Rest | None:
        now = self.clock.now()
        for rest in self._rests:
            rest.over = rest.over or rest.order <= now
            if rest.over:
                return rest
        return None

    def _pass_time(self) -> None:
        stops = [rest.deadline for rest in self._rests if rest.deadline is not None]
        event = self.clock.next_event_at()
        target = min([*stops, event]) if event is not None else min(stops, default=None)
        if target is None:
            with self.lock:
                self.changed.wait_for(lambda: self.over or self._ready() is not None, _OUTSIDE_SECONDS)
                hopeless = self._ready() is None
            if hopeless:
                self.stop("it waits for what will never come")
        elif target > self.ends_at:
            self.stop("it had not ended when its time was up")
        elif event is not None and event <= target:
            self.clock.advance_to_next_event()
        else:
            self.clock.advance_to(target)


def interrupt(ident: int | None) -> None:
    """Throw Hangs into a thread that runs code of Python and does nothing that can be seen, so that it ends."""
    if ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(Hangs))
