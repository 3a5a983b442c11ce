"""Webhooks on their way to a receiver that the client has somewhere, true ones and forged, and what it answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace

from contract_tests.clients.process.capture import Capture
from contract_tests.clients.simulation.forging import Forger
from contract_tests.clients.story import HookCall
from mock_server.hooks.deliverer import HttpDeliverer
from mock_server.hooks.rules import HookRules
from mock_server.model import Delivery, Receipt
from mock_server.tenant import Tenant

_SECONDS = 10.0
_REFUSED = "connection refused"

Later = Callable[[float, Callable[[], object]], None]
"""Lets something be called in so many real seconds."""


class Alarms:
    """
    A `simulation.forging.Calendar` that goes by real time.

    Args:
        tenant: whose clock it is.
        later: waits, in real time.
    """

    def __init__(self, tenant: Tenant, later: Later) -> None:
        self._clock = tenant.clock
        self._later = later
        self._set: set[object] = set()
        self._over = False

    @property
    def pending(self) -> bool:
        """Whether something is still to happen."""
        return bool(self._set)

    def now(self) -> float:
        """Return this instant of the tenant's clock."""
        return self._clock.now()

    def at(self, instant: float, happen: Callable[[], object]) -> None:
        """Let `happen` be called when that clock has come to `instant`."""
        token = object()
        self._set.add(token)

        def ring() -> None:
            if not self._over:
                happen()
            self._set.discard(token)

        self._later(self._clock.real_seconds_until(instant) or 0.0, ring)

    def cancel(self) -> None:
        """Let nothing happen any more."""
        self._over = True


@dataclass(slots=True)
class _Call:
    delivery: Delivery
    sent_at: float
    forged: str
    answered_at: float | None = None
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """
    Where the webhooks of a scenario may go.

    Args:
        canary: base URL of the server that stands in for a receiver; nothing is sent there.
        given: the URL of the client's receiver, if somebody said it: forged ones go there. With "" they go to the
            hookUrl of the job.
        instead: puts the URLs of the scenario's servers in place of those of a simulation.
    """

    canary: str
    given: str
    instead: Callable[[str], str]


class Mail:
    """
    The webhooks of one scenario.

    Args:
        deliverer: sends them.
        tenant: whose jobs they are about.
        capture: has the client's clock.
        address: where they go.
        alarms: on the tenant's clock.
        forged: names of what others send, see `directives.forgeries`.
    """

    def __init__(
        self,
        deliverer: HttpDeliverer,
        tenant: Tenant,
        capture: Capture,
        address: Address,
        alarms: Alarms,
        forged: Sequence[str],
    ) -> None:
        self._deliverer = deliverer
        self._tenant = tenant
        self._capture = capture
        self._address = address
        self._alarms = alarms
        self._calls: list[_Call] = []
        self._forger = Forger(forged, address.given or None, alarms, tenant, self._send) if forged else None

    def is_about(self, job_id: str) -> bool:
        """Whether a job is one of this scenario."""
        return job_id in self._tenant.store.jobs

    def deliver(self, delivery: Delivery) -> Future[Receipt]:
        """Send a webhook of the API's."""
        future = self._send(delivery, "")
        if self._forger is not None:
            self._forger.follow(delivery)
        return future

    def _send(self, delivery: Delivery, forged: str) -> Future[Receipt]:
        if delivery.url.startswith(f"{self._address.canary}/"):
            done: Future[Receipt] = Future()
            done.set_result(Receipt(200))
            return done
        if forged:  # it names the hosts of a simulation; latin-1, for some are no text at all
            body = self._address.instead(delivery.body.decode("latin-1")).encode("latin-1")
            delivery = replace(delivery, body=body)
        call = _Call(delivery, time.monotonic(), forged)
        self._calls.append(call)

        def note(answered: Future[Receipt]) -> None:
            call.answered_at, call.receipt = time.monotonic(), answered.result()

        future = self._deliverer.deliver(delivery)
        future.add_done_callback(note)
        return future

    def more_to_come(self, seconds: float) -> bool:
        """Whether a receiver is still to get something, or has had one for less than so many real seconds."""
        jobs = tuple(self._tenant.store.jobs.values())
        if not any(job.order.hook_url and not job.order.hook_url.startswith(self._address.canary) for job in jobs):
            return False
        now = time.monotonic()
        fresh = any(call.receipt is None and now - call.sent_at <= seconds for call in tuple(self._calls))
        return fresh or self._alarms.pending or self._tenant.next_tick_in() is not None

    def calls(self, *, alive_at: float, ended_at: float, hook_seconds: float) -> tuple[HookCall, ...]:
        """
        Return the webhooks, on the clock of their story.

        Those that a receiver never got, because it had ended along with the client, are left out: nobody has refused
        them.

        Args:
            alive_at: when the client gave its last sign of life, in its seconds since the start.
            ended_at: when it was seen that it has ended; some time later.
            hook_seconds: how long a receiver may take to answer, in the client's seconds.
        """

        def had_gone(hook: HookCall) -> bool:
            if hook.status is not None or hook.answered_at is None or hook.answered_at < alive_at:
                return False
            if hook.at >= ended_at:  # a receiver that is still there may fail
                return (hook.error or "").startswith(_REFUSED)
            return hook.answered_at - hook.at <= hook_seconds

        told = [_told(call, self._capture) for call in tuple(self._calls)]
        in_order = sorted((hook for hook in told if not had_gone(hook)), key=lambda hook: hook.at)
        return tuple(replace(hook, number=number) for number, hook in enumerate(in_order, start=1))


def _told(call: _Call, capture: Capture) -> HookCall:
    return HookCall(
        0,
        call.delivery.job_id,
        call.delivery.body,
        call.delivery.content_type,
        capture.at(call.sent_at),
        None if call.receipt is None or call.answered_at is None else capture.at(call.answered_at),
        None if call.receipt is None else call.receipt.status,
        None if call.receipt is None else call.receipt.error,
        call.forged,
    )


class Messenger:
    """
    A deliverer that remembers, for each scenario that is played.

    Args:
        later: waits, in real time.
    """

    def __init__(self, later: Later) -> None:
        self._deliverer = HttpDeliverer(HookRules(()), _SECONDS)
        self._later = later
        self._mails: list[Mail] = []

    @contextmanager
    def attending(self, tenant: Tenant, capture: Capture, address: Address, forged: Sequence[str]) -> Iterator[Mail]:
        """Take the webhooks of a scenario while the block runs; the arguments are those of `Mail`."""
        alarms = Alarms(tenant, self._later)
        mail = Mail(self._deliverer, tenant, capture, address, alarms, forged)
        self._mails.append(mail)
        try:
            yield mail
        finally:
            alarms.cancel()
            self._mails.remove(mail)

    def deliver(self, delivery: Delivery) -> Future[Receipt]:
        """Send a webhook, if somebody listens."""
        mail = next((mail for mail in tuple(self._mails) if mail.is_about(delivery.job_id)), None)
        if mail is not None:
            return mail.deliver(delivery)
        done: Future[Receipt] = Future()
        done.set_result(Receipt(None, "the scenario is over"))
        return done

    def close(self) -> None:
        """Send no more."""
        self._deliverer.close()
