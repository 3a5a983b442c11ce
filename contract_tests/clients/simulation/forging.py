"""Somebody who posts webhooks to a client's receiver without being the API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from contract_tests.clients.directives.forgeries import AGAIN, FORGERIES
from mock_server.model import Delivery, Job
from mock_server.tenant import Tenant

_LOOK = 0.5
_MOST_LOOKS = 600
# Seconds of the tenant's between two looks for a job, and how many there are.

_GAP = 0.1
_AFTER = 1.0
_AGAIN_AFTER = 30.0
# Seconds of the tenant's between two webhooks, from the API's own to forged ones, and to the same one again.

Send = Callable[[Delivery, str], object]
"""Sends a webhook, which is forged in the way of that name, or "" for a true one."""


class Calendar(Protocol):
    """When things happen, on the clock of a tenant: that of a simulation, or one that goes by real time."""

    def now(self) -> float:
        """Return this instant, in seconds since the Unix epoch."""

    def at(self, instant: float, happen: Callable[[], object]) -> None:
        """Let `happen` be called when the clock has come to `instant`."""


class Forger:
    """
    Sends what `directives.forgeries` names: while the first job of a tenant is under way, and when it has ended.

    It goes to the URL that the client was given: what the client added to that, as a token, nobody else knows. The
    ids of jobs may be known, for they stand in logs.

    Args:
        names: of what is sent.
        url: where to; None for the hookUrl of the job.
        calendar: when.
        tenant: whose jobs it is about.
        send: sends it.
    """

    def __init__(self, names: Sequence[str], url: str | None, calendar: Calendar, tenant: Tenant, send: Send) -> None:
        self._forged = [name for name in names if name != AGAIN]
        self._again = AGAIN in names
        self._url = url
        self._calendar = calendar
        self._tenant = tenant
        self._send = send
        self._told: set[str] = set()
        self._looks = 0
        if self._forged:
            self._look()

    def follow(self, delivery: Delivery) -> None:
        """Note that the API has sent a webhook."""
        first = not self._told
        if delivery.id in self._told:
            return
        self._told.add(delivery.id)
        if self._again:
            self._in(_AGAIN_AFTER, partial(self._send, delivery, ""))
        if first:
            self._forge(self._tenant.store.jobs[delivery.job_id], _AFTER)

    def _look(self) -> None:
        job = next(iter(tuple(self._tenant.store.jobs.values())), None)  # a copy, for others may be adding to them
        self._looks += 1
        if job is not None:
            self._forge(job, 0.0)
        elif self._looks <= _MOST_LOOKS:
            self._in(_LOOK, self._look)

    def _forge(self, job: Job, wait: float) -> None:
        url = self._url or job.order.hook_url
        if url is None:
            return
        for number, name in enumerate(self._forged):
            body, content_type = FORGERIES[name](job.id)
            delivery = Delivery(f"forged-{number}", "", url, body, content_type)
            self._in(wait + number * _GAP, partial(self._send, delivery, name))

    def _in(self, seconds: float, happen: Callable[[], object]) -> None:
        self._calendar.at(self._calendar.now() + seconds, happen)
