"""Luck that repeats: what a simulated client draws at random is the same in every run of the same scenario."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from contract_tests.clients.simulation.scheduler import Scheduler
from mock_server.drive.members import here
from mock_server.drive.standins import Pair
from mock_server.identity import Luck, Source

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


class OtherIds(Source):
    """
    The source of a tenant that lives once more: all is as the first time, but for the ids of its jobs.

    Args:
        seed: of the tenant.
        key: of the tenant when it lived first.
        before: how often it has lived.
        tag: of the names of its images, which its key decides.
    """

    def __init__(self, seed: int, key: str, before: int, tag: bytes) -> None:
        super().__init__(seed, key)
        self.tag = tag
        self._ids = Source(seed, f"{key}, {before}")

    def draw(self, number: int) -> Luck:
        """Return what job `number` of the tenant gets."""
        return replace(super().draw(number), job_id=self._ids.draw(number).job_id)


def _drawn(size: int, /) -> bytes:
    member = here.member
    scheduler = None if member is None else member.driver
    if not isinstance(scheduler, Scheduler) or scheduler.luck is None:
        return _urandom(size)
    return scheduler.luck.randbytes(size)


PAIRS = (Pair(_urandom, _drawn),)
"""To be put wherever a module holds the real thing: uuid4, secrets, and boundaries of forms come from there."""
