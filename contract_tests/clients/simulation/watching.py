"""Gives up on a client that is busy for ever with what nobody can see. All else that hangs, hangs in virtual time."""

from __future__ import annotations

import sys
import traceback
from time import monotonic

from contract_tests.clients.given import UnusableClient
from contract_tests.clients.simulation.scheduler import Scheduler, interrupt
from mock_server.drive.ownership import is_own

STUCK_SECONDS = 30.0
"""Real seconds in which a client may do nothing that can be seen: no call, no pause, no look at the clock."""

_LOOK_SECONDS = 0.5
# Real seconds between two looks at what it does.


def watch(scheduler: Scheduler, seconds: float) -> None:
    """
    Wait until the first thread of a simulation has ended, or can be left behind.

    Args:
        scheduler: the simulation's.
        seconds: real ones in which it may do nothing that can be seen.

    Raises:
        UnusableClient: it did nothing that can be seen for that long, or what cannot be simulated.
    """
    beats, since = -1, monotonic()
    while not scheduler.released.wait(min(_LOOK_SECONDS, seconds)):
        if scheduler.beats != beats:
            beats, since = scheduler.beats, monotonic()
        elif monotonic() - since >= seconds:
            busy = scheduler.where()
            place = _place_of(busy)
            scheduler.stop("it was given up")
            interrupt(busy)
            raise UnusableClient(
                f"expected a client that calls, pauses or ends, got one that has done none of these for {seconds:g} s "
                f"of real time: it is {place}. Let it pause where it waits; if it is a long computation or a lock that "
                "nobody gives back, test it as a command, behind --"
            )
    if scheduler.trouble is not None:
        raise scheduler.trouble
    if scheduler.unusable:
        raise UnusableClient(scheduler.unusable)


def _place_of(ident: int | None) -> str:
    """Return where a thread is: in the client's own code, if it is there at all."""
    frame = None if ident is None else sys._current_frames().get(ident)
    frames = [] if frame is None else [one for one, _ in traceback.walk_stack(frame)]
    own = [one for one in frames if is_own(one.f_code.co_filename)]
    for one in (*own, *frames):
        return f"at {one.f_code.co_filename}:{one.f_lineno}, in {one.f_code.co_name}"
    return "in no code of Python"
