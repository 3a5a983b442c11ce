"""What a client cannot do to the process that it shares with the kit: copy it, or end it."""

from __future__ import annotations

import os
from typing import Any

from contract_tests.clients.simulation.scheduler import Scheduler
from mock_server.drive.members import here
from mock_server.drive.standins import Pair

_fork, _exit = getattr(os, "fork", None), os._exit


def _refused() -> Any:
    """Refuse to fork: the copy would have neither the clock nor the servers."""
    member = here.member
    if _fork is None or member is None or not isinstance(member.driver, Scheduler):
        return _fork and _fork()
    member.driver.unusable = (
        "expected a client that lives in one process, got one that forks, as multiprocessing and ProcessPoolExecutor "
        "do: test it as a command, behind --"
    )
    member.driver.stop(member.driver.unusable)
    return member.driver.tell(member)


def _raised(status: int) -> None:
    """End the client by SystemExit, and not the kit with it: nobody would be told anything."""
    member = here.member
    if member is None or not isinstance(member.driver, Scheduler):
        _exit(status)
    raise SystemExit(status)


PAIRS = (*(() if _fork is None else (Pair(_fork, _refused),)), Pair(_exit, _raised))
"""To be put wherever a module holds the real thing."""
