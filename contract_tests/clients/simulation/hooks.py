"""The sender of webhooks in a simulation: it calls the client's receiver, which lives on the client's clock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from contract_tests.clients.simulation.forging import Forger
from contract_tests.clients.simulation.scheduler import Scheduler
from mock_server.drive.standins import start_driven
from mock_server.hooks.apps import App, AppDeliverer
from mock_server.model import Delivery, Receipt
from mock_server.tenant import Tenant

_PATIENCE = 60.0
# Virtual seconds that a receiver has to answer. Whether that was soon enough is for a property to say.


@dataclass(slots=True)
class Call:
    """A webhook that was sent: `at` and `answered_at` are instants of the clock."""

    delivery: Delivery
    at: float
    answered_at: float | None = None
    receipt: Receipt | None = None
    forged: str = ""


class _Receiver(AppDeliverer):
    def attempt(self, delivery: Delivery) -> Receipt:
        """Call the application in this thread."""
        future: Future[Receipt] = Future()
        self._attempt(delivery, future)
        return future.result(timeout=0)


class HookSender:
    """
    A deliverer that calls an application, each time in a thread of its own on the clock of the simulation.

    Args:
        receiver: the application; None answers for it, and nothing happens.
    """

    def __init__(self, receiver: App | None) -> None:
        self._receiver = None if receiver is None else _Receiver(receiver, _PATIENCE)
        self._scheduler: Scheduler | None = None
        self._forger: Forger | None = None
        self.calls: list[Call] = []

    def attend(
        self, scheduler: Scheduler, tenant: Tenant, *, forged: Sequence[str] = (), url: str | None = None
    ) -> None:
        """
        Begin anew: webhooks belong to the simulation of `scheduler` from now on.

        Args:
            scheduler: of the simulation.
            tenant: whose jobs the webhooks are about.
            forged: names of what others send.
            url: where they send it to; None for where the client wants webhooks.
        """
        self._scheduler = scheduler
        self.calls = []
        self._forger = None
        if forged and self._receiver is not None:
            self._forger = Forger(forged, url, scheduler.timeline, tenant, self._send)

    def deliver(self, delivery: Delivery) -> Future[Receipt]:
        """Call the receiver when it is its turn."""
        future = self._send(delivery, "")
        if self._forger is not None:
            self._forger.follow(delivery)
        return future

    def _send(self, delivery: Delivery, forged: str) -> Future[Receipt]:
        future: Future[Receipt] = Future()
        future.set_running_or_notify_cancel()
        scheduler = self._scheduler
        if scheduler is None or scheduler.over:
            future.set_result(Receipt(None, "the simulation is over"))
            return future
        call = Call(delivery, scheduler.clock.now(), forged=forged)
        self.calls.append(call)
        if self._receiver is None:
            self._answered(call, Receipt(200), future.set_result)
        else:
            target = self._attempt
            thread = threading.Thread(
                target=target, args=(scheduler, self._receiver, call, future), name="hook", daemon=True
            )
            start_driven(thread, scheduler)
        return future

    def _attempt(self, scheduler: Scheduler, receiver: _Receiver, call: Call, future: Future[Receipt]) -> None:
        receipt = Receipt(None, "the simulation ended before it answered")
        try:
            receipt = receiver.attempt(call.delivery)
            call.answered_at = scheduler.clock.now()
        finally:
            self._answered(call, receipt, future.set_result)

    @staticmethod
    def _answered(call: Call, receipt: Receipt, then: Callable[[Receipt], None]) -> None:
        call.receipt = receipt
        then(receipt)

    def close(self) -> None:
        """Send nothing any more."""
        self._scheduler = None
