"""Which thread of the client runs, and when time passes: one at a time, and only when all of them wait.

The driver of `mock_server.drive` lets threads run side by side, and gives each the chance to be quick. Here one runs
until it sleeps, waits, or reads what has not arrived yet; then the one that has been ready for longest goes on. When
none is ready, the clock goes to the next event. So neither the speed of the machine nor luck has a say.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic

from contract_tests.clients.simulation.timeline import Timeline
from mock_server.drive.turns import Driver, Member, Rest, here, not_driven

_STEAL_SECONDS = 0.5
# Real seconds after which the thread that has the turn is taken to be blocked by what nobody can see, such as a lock
# that is older than the simulation: then another one may run besides it.

_REAP_SECONDS = 2.0
# Real seconds in which threads may end that were told to.

_OUTSIDE_SECONDS = 0.25
# Real seconds in which somebody outside, as a thread that is not driven, may still wake those who wait for ever.


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
    """

    loops = False

    def __init__(self, timeline: Timeline, seconds: float) -> None:
        super().__init__(timeline)
        self.timeline = timeline
        self.ends_at = timeline.now() + seconds
        self.why = ""
        self.luck: random.Random | None = None
        self._running: Member | None = None
        self._turns = 0
        self._threads: dict[threading.Thread, Member] = {}
        self._joining: list[tuple[threading.Thread, Rest]] = []

    def stop(self, why: str) -> None:
        """End the simulation: whoever waits, now or later, is told `Hangs`."""
        with self.changed:
            self.why = self.why or why
            self.over = True
            self.changed.notify_all()

    def wake(self, rest: Rest) -> None:
        """End a wait."""
        with self.changed:
            rest.over = True
            self.changed.notify_all()

    # Threads

    def enrol(self, outer: Member | None = None, thread: threading.Thread | None = None) -> Member:
        """Take in a thread. The first one runs at once, others when their turn has come."""
        member = super().enrol(outer, thread)
        with self.changed:
            if self._running is None and thread is None:
                self._running = member
            else:
                self._rests.append(Rest(member, None, over=True))
            if thread is not None:
                self._threads[thread] = member
        return member

    def live(self, member: Member, run: Callable[[], None]) -> None:
        """Run `run` in this thread, which has just been started, when its turn has come; Hangs ends it quietly."""
        with self.changed:
            rest = next(rest for rest in self._rests if rest.member is member)
        with suppress(Hangs):
            self._await(rest)
            here.member = member
            run()

    def reap(self) -> None:
        """Wait for the threads of a simulation that is over to end, as far as they do."""
        ends = monotonic() + _REAP_SECONDS
        with self.changed:
            left = list(self._threads)
        for thread in left:
            thread.join(max(0.0, ends - monotonic()))

    def dismiss(self, member: Member) -> None:
        """Let a thread go that has ended, and wake those who wait for that."""
        super().dismiss(member)
        with self.changed:
            self._threads = {thread: other for thread, other in self._threads.items() if other is not member}
            for thread, rest in self._joining:
                rest.over = rest.over or thread not in self._threads
            if self._running is member:
                self._running = None
            self.changed.notify_all()

    def join(self, member: Member, thread: threading.Thread, timeout: float | None, join: Callable[..., None]) -> None:
        """Let `member` wait for `thread` to end, with a timeout on the clock if it lives there."""
        rest = Rest(member, None if timeout is None else self.deadline(timeout), notifiable=True)
        with self.changed:
            ours = thread in self._threads
            self._joining.append((thread, rest))
        if ours:
            self.rest(rest)
        with self.changed:
            self._joining = [(other, waits) for other, waits in self._joining if waits is not rest]
            ended = ours and thread not in self._threads
        if ended or not ours:
            with self.parked(member):
                join(thread, None if ended else timeout)

    @contextmanager
    def parked(self, member: Member) -> Iterator[None]:
        """Let others run while `member` waits for what nobody here can bring about."""
        with self.changed:
            self._running = None if self._running is member else self._running
            self.changed.notify_all()
        try:
            with not_driven():
                yield
        finally:
            rest = Rest(member, None, over=True)
            with self.changed:
                self._rests.append(rest)
            self._await(rest)

    # Turns

    def rest(self, rest: Rest) -> None:
        """Return when `rest` is over and its turn has come; raise Hangs when the simulation is."""
        with self.changed:
            self._rests.append(rest)
        self._await(rest)

    def _await(self, rest: Rest) -> None:
        try:
            with not_driven():
                while not self._goes_on(rest):
                    pass
        finally:
            with self.changed:
                self._rests.remove(rest)
        if self.over:
            raise Hangs(self.why)

    def _goes_on(self, rest: Rest) -> bool:
        """Do what is to be done next; return whether that is for the thread of `rest` to go on."""
        with self.changed:
            if self.over:
                return True
            if self._running is not None and self._running is not rest.member:
                turns = self._turns
                if not self.changed.wait(_STEAL_SECONDS) and turns == self._turns:
                    self._running = None
                return False
            ready = self._ready()
            if ready is not None:
                self._running = ready.member
                self._turns += 1
                self.changed.notify_all()
                return ready is rest
            # Nobody else runs meanwhile, and no call of the clock is made under our lock: it has locks, too.
            self._running = rest.member
        self._pass_time()
        return False

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
            with self.changed:
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
