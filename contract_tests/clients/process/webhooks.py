"""Webhooks on their way to a receiver that the client has somewhere, and what it answered."""

from __future__ import annotations

import time
from collections.abc import Set
from concurrent.futures import Future
from dataclasses import dataclass

from contract_tests.clients.process.capture import Capture
from contract_tests.clients.story import HookCall
from mock_server.hooks.deliverer import HttpDeliverer
from mock_server.hooks.rules import HookRules
from mock_server.model import Delivery, Receipt

_SECONDS = 10.0


@dataclass(slots=True)
class _Call:
    delivery: Delivery
    sent_at: float
    answered_at: float | None = None
    receipt: Receipt | None = None


class Messenger:
    """
    A deliverer that remembers.

    Args:
        hook_url: where the client's receiver listens; with "" it has none, and nothing is sent.
    """

    def __init__(self, hook_url: str) -> None:
        self._deliverer = HttpDeliverer(HookRules(()), _SECONDS) if hook_url else None
        self._calls: list[_Call] = []

    def deliver(self, delivery: Delivery) -> Future[Receipt]:
        """Send a webhook, if somebody listens."""
        if self._deliverer is None:
            done: Future[Receipt] = Future()
            done.set_result(Receipt(200))
            return done
        call = _Call(delivery, time.monotonic())
        self._calls.append(call)

        def note(answered: Future[Receipt]) -> None:
            call.receipt, call.answered_at = answered.result(), time.monotonic()

        future = self._deliverer.deliver(delivery)
        future.add_done_callback(note)
        return future

    def calls_of(self, job_ids: Set[str], capture: Capture) -> tuple[HookCall, ...]:
        """Return the webhooks about some jobs, on the clock of their story."""
        calls = [call for call in tuple(self._calls) if call.delivery.job_id in job_ids]
        return tuple(
            HookCall(
                number,
                call.delivery.job_id,
                call.delivery.body,
                call.delivery.content_type,
                capture.at(call.sent_at),
                None if call.answered_at is None else capture.at(call.answered_at),
                None if call.receipt is None else call.receipt.status,
                None if call.receipt is None else call.receipt.error,
            )
            for number, call in enumerate(calls, start=1)
        )

    def close(self) -> None:
        """Send no more."""
        if self._deliverer is not None:
            self._deliverer.close()
