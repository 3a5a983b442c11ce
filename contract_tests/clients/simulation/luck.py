"""Luck that repeats: what a simulated client draws at random is the same in every run of the same scenario."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

from contract_tests.clients.simulation.scheduler import Scheduler
from mock_server.drive.standins import Pair
from mock_server.drive.turns import here

_urandom = os.urandom


@contextmanager
def repeated(scheduler: Scheduler, seed: str) -> Iterator[None]:
    """Let `random`, and all that comes from the system's randomness in threads of `scheduler`, depend on `seed`."""
    scheduler.luck = random.Random(f"system {seed}")  # noqa: S311 - what is drawn must repeat
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


def _drawn(size: int, /) -> bytes:
    member = here.member
    scheduler = None if member is None else member.driver
    if not isinstance(scheduler, Scheduler) or scheduler.luck is None:
        return _urandom(size)
    return scheduler.luck.randbytes(size)


PAIRS = (Pair(_urandom, _drawn),)
"""To be put wherever a module holds the real thing: uuid4, secrets, and boundaries of forms come from there."""
