"""Receivers and deliverers that are closed after the test, in an order that suits both."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hook_receivers import PATIENCE, RULES, Behaviour, Receiver

from mock_server.hooks.deliverer import HttpDeliverer, Resolve
from mock_server.hooks.rules import HookRules


@pytest.fixture
def receive() -> Iterator[Callable[..., Receiver]]:
    receivers: list[Receiver] = []

    def start(behaviour: Behaviour, host: str = "127.0.0.1") -> Receiver:
        receivers.append(Receiver(behaviour, host))
        return receivers[-1]

    yield start
    for receiver in receivers:
        receiver.close()


@pytest.fixture
def make() -> Iterator[Callable[..., HttpDeliverer]]:
    """Make deliverers that are closed before the receivers are, so that none of these waits for a client."""
    deliverers: list[HttpDeliverer] = []

    def start(
        rules: HookRules = RULES,
        timeout: float = PATIENCE,
        *,
        max_concurrent: int = 100,
        resolve: Resolve | None = None,
    ) -> HttpDeliverer:
        deliverers.append(HttpDeliverer(rules, timeout, max_concurrent=max_concurrent, resolve=resolve))
        return deliverers[-1]

    yield start
    for deliverer in deliverers:
        deliverer.close()
