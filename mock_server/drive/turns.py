"""Whose turn it is to move a clock on, among the threads that live on it.

A thread that sleeps or waits is at rest, until a deadline on the clock or until it is notified. Of all threads at rest
the one with the earliest deadline moves the clock, event by event, once the others have had their chance: no thread is
to find the time gone because another was quicker. A thread may be in the middle of real I/O, which nobody can see, so a
chance has an end: `GRACE`.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, monotonic_ns, perf_counter_ns
from typing import Protocol

from mock_server.drive.members import Member, Rest, here, not_driven

GRACE = 0.1
"""Real seconds that a thread may be busy before the clock moves on without it, or a hook may hold the clock up."""

CHANCE = 0.001
"""Real seconds in which a waiting thread may be notified after an event, and before a wait is over in vain."""

LAST_CHANCE = 0.02
"""The same before a wait is over in vain in which there were events: a receiver may notify after it has answered."""

_LOOK = 0.02
# Real seconds after which a thread at rest looks again, for threads that are not driven bring events, too.


class DrivenClock(Protocol):
    """A clock whose instants are seconds since the Unix epoch, in whole milliseconds."""

    def now(self) -> float:
        """Return this instant."""

    def advance_to(self, instant: float, /) -> None:
        """Move on to `instant`; ValueError if it is past, RuntimeError while a hook that is waited for forbids it."""

    def next_event_at(self) -> float | None:
        """Return the instant of the next event; None when nothing more is to come."""

    def advance_to_next_event(self) -> bool:
        """Move on to the next event; return whether there was one."""


class Driver:
    """
    The clock of one `drive` block, as all its threads share it.

    Args:
        clock: the clock.
        outer: the driver of the block around this one, if any; the monotonic clocks go on from there.

    Attributes:
        loops: whether it drives event loops, too; a subclass may have loops of its own kind.
        over: whether the block has been left. Its threads are back in real time then.
        moves: how often the clock was moved.
        moving: whether it is being moved now.
    """

    loops = True

    def __init__(self, clock: DrivenClock, outer: Driver | None = None) -> None:
        self.clock = clock
        self.over = False
        self.moves = 0
        self.moving = False
        # Reentrant, for a signal handler may notify. No call of the clock is made under it: the clock has locks, too.
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self._members: set[Member] = set()
        self._rests: list[Rest] = []
        self._alarms: dict[Callable[[], None], float] = {}
        self._quiet_until = 0.0
        self._reading = threading.Lock()
        self._last = clock.now()
        self._passed = 0
        bases = (outer.monotonic_ns(), outer.perf_counter_ns()) if outer else (monotonic_ns(), perf_counter_ns())
        # From a whole second on, sums of whole seconds are exact as floats, and deadlines are met to the point.
        self._bases = tuple(-(-base // 10**9) * 10**9 for base in bases)

    # What time it is

    def time_ns(self) -> int:
        """Return the clock's instant in nanoseconds since the Unix epoch."""
        return round(self.clock.now() * 1e6) * 1000

    def monotonic_ns(self) -> int:
        """Return what `time.monotonic_ns` said on entering, in whole seconds, plus what has passed since."""
        return self._bases[0] + self._elapsed_ns()

    def perf_counter_ns(self) -> int:
        """Return what `time.perf_counter_ns` said on entering, in whole seconds, plus what has passed since."""
        return self._bases[1] + self._elapsed_ns()

    def _elapsed_ns(self) -> int:
        # Differences are summed, for a tenant that is reset begins at its first instant again.
        with self._reading:
            now = self.clock.now()
            self._passed += max(0, round((now - self._last) * 1e6)) * 1000
            self._last = now
            return self._passed

    def deadline(self, seconds: float) -> float:
        """Return the instant in `seconds`, in whole milliseconds, and later than now, so that no loop stands still."""
        milliseconds = max(1, math.ceil(round(seconds * 1000, 2)))
        return (round(self.clock.now() * 1000) + milliseconds) / 1000

    def looked(self, member: Member, *, own: bool) -> None:
        """
        Note that a thread looks at the clock, or yields to others without a pause.

        Args:
            member: the thread.
            own: whether it is the user's own code that does.
        """
        if own:
            member.reads()

    def outlived(self, member: Member, *, waits: bool) -> None:
        """
        Note that a thread which is still driven asks for time after the end: here it just gets the real one.

        Args:
            member: the thread.
            waits: whether it would wait, and not only look.
        """

    # Who lives on it

    def enrol(self, outer: Member | None = None, thread: threading.Thread | None = None) -> Member:  # noqa: ARG002
        """
        Take in a thread, which counts as busy from now on.

        Args:
            outer: what it was in the block around this one.
            thread: which one, if it is yet to be started.
        """
        member = Member(self, monotonic(), outer)
        with self.changed:
            self._members.add(member)
        return member

    def live(self, member: Member, run: Callable[[], None]) -> None:
        """Run `run` in this thread, which has just been started, on the clock."""
        here.member = member
        run()

    def join(self, member: Member, thread: threading.Thread, timeout: float | None, join: Callable[..., None]) -> None:
        """Let `member` wait for `thread` by the real `join`."""
        with self.parked(member):
            join(thread, timeout)

    def dismiss(self, member: Member) -> None:
        """Let a thread go that has ended."""
        with self.changed:
            self._members.discard(member)
            self.changed.notify_all()

    def close(self) -> None:
        """Let all threads go back to real time, with what is left of their sleeps."""
        with self.changed:
            self.over = True
            self.changed.notify_all()

    @contextmanager
    def parked(self, member: Member) -> Iterator[None]:
        """Do not count a thread as busy within the block, and give it real time."""
        self._note(member, None)
        try:
            with not_driven():
                yield
        finally:
            member.moves_on()
            self._note(member, monotonic())

    def _note(self, member: Member, busy_since: float | None) -> None:
        with self.changed:
            member.busy_since = busy_since
            self.changed.notify_all()

    # Who moves it

    def rest(self, rest: Rest) -> None:
        """Return when `rest` is over; move the clock when it is our turn."""
        with self.changed:
            rest.begun_in_move = self.moves if self.moving else None
            self._rests.append(rest)
        try:
            with self.parked(rest.member):
                while not (rest.over or self.over):
                    if self._has_turn(rest, self.clock.now(), self.clock.next_event_at()):
                        self._move(rest)
                if not rest.over:
                    self._rest_really(rest)
        finally:
            with self.changed:
                self._rests.remove(rest)

    def change(self, rest: Rest, deadline: float | None) -> None:
        """Give `rest` another deadline, or end it if that is None."""
        with self.changed:
            rest.deadline, rest.over = (rest.deadline, True) if deadline is None else (deadline, rest.over)
            self.changed.notify_all()

    def set_alarm(self, ring: Callable[[], None], instant: float | None) -> None:
        """Stop at `instant` on the way to a later one, and call `ring`; do so no longer if it is None."""
        with self.changed:
            if instant is None:
                self._alarms.pop(ring, None)
            else:
                self._alarms[ring] = instant

    def _ring(self) -> None:
        now = self.clock.now()
        with self.changed:
            due = [ring for ring, instant in self._alarms.items() if instant <= now]
            for ring in due:
                del self._alarms[ring]
            if due:
                self._quiet_until = monotonic() + LAST_CHANCE  # to act on it, before time goes on
        for ring in due:
            ring()

    def _rest_really(self, rest: Rest) -> None:
        left = None if rest.deadline is None else max(0.0, rest.deadline - self.clock.now())
        with self.changed:
            self.changed.wait_for(lambda: rest.over, left)

    def _has_turn(self, rest: Rest, now: float, event: float | None) -> bool:
        """Return whether `rest` shall move the clock now; if not, wait until something has changed."""
        with self.changed:
            if rest.over:
                return False  # it was notified since we looked
            pause = self._pause(rest, now, event)
            if rest.over or self.over:
                return False
            if pause <= 0.0:
                self.moving = True
                self.moves += 1
                return True
            self.changed.wait(min(pause, _LOOK))
            return False

    def _pause(self, rest: Rest, now: float, event: float | None) -> float:
        """Return the real seconds until `rest` may move the clock, as far as can be said; end it if it is to end."""
        real = monotonic()
        if self.moving:
            # The move may be waiting for the very hook that this thread answers, so it must not wait for the move.
            if rest.deadline is not None and rest.begun_in_move == self.moves:
                rest.over = rest.gave_up = real >= rest.begun + GRACE
            return _LOOK
        if rest.order <= now:
            if rest.ends is None:
                rest.ends = real
                if rest.notifiable:
                    rest.ends += LAST_CHANCE if rest.saw_events else CHANCE
            rest.over = real >= rest.ends
            return rest.ends - real
        first = min((other for other in self._rests if not other.over), key=lambda other: other.order)
        if rest is not first or (rest.deadline is None and event is None):
            return _LOOK
        busy = max((member.busy_since for member in self._members if member.busy_since is not None), default=-math.inf)
        return max(busy + GRACE, self._quiet_until) - real

    def _move(self, rest: Rest) -> None:
        walked = False
        try:
            walked = self._move_towards(rest.deadline)
            self._ring()
            rest.refused_since = None
        except RuntimeError:
            # Somebody outside moves the clock and waits for a hook, perhaps for the one that this thread answers.
            rest.refused_since = rest.refused_since or monotonic()
            rest.over = rest.gave_up = rest.deadline is not None and monotonic() >= rest.refused_since + GRACE
        finally:
            with self.changed:
                self.moving = False
                notifiable = [other for other in self._rests if other.notifiable]
                for other in notifiable:
                    other.saw_events |= walked
                if (walked and notifiable) or rest.refused_since is not None:
                    self._quiet_until = max(self._quiet_until, monotonic() + CHANCE)
                self.changed.notify_all()

    def _move_towards(self, deadline: float | None) -> bool:
        """Move the clock to the next event, alarm or `deadline`, the earliest; return whether there was an event."""
        event, now = self.clock.next_event_at(), self.clock.now()
        if deadline is None and (event is None or event <= now):
            return self.clock.advance_to_next_event()
        with self.changed:
            stops = [instant for instant in self._alarms.values() if instant > now]
        ends = min([math.inf if deadline is None else deadline, *stops])
        target = event if event is not None and now < event < ends else ends
        try:
            self.clock.advance_to(target)
        except ValueError:
            if self.clock.now() < target:  # else it runs by itself, and was quicker
                raise
        return event is not None and event <= target
