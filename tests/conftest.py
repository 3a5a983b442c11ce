"""Fixtures: an application or a server, watched so that every byte it sends fits the contract."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from hypothesis import settings as hypothesis_settings
from support import Caller, ContractWatch

import mock_server
from mock_server.app import create_app
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.serving import Server
from mock_server.settings import Settings
from mock_server.world import World

hypothesis_settings.register_profile("fluxmock", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis_settings.load_profile("fluxmock")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("FLUXMOCK_"):
            monkeypatch.delenv(name)


@pytest.fixture
def emulate() -> Iterator[Callable[..., Caller]]:
    """Build an application with these settings, hooks recorded, and return a caller of it."""
    with ExitStack() as stack:

        def build(
            *,
            key: str = "test-key",
            fast_lane: bool = True,
            deliverer: RecordingDeliverer | None = None,
            **settings: object,
        ) -> Caller:
            chosen = Settings.of(**{"clock": "frozen", **settings})
            watch = ContractWatch(chosen.contract)
            world = World(chosen, deliverer=deliverer or RecordingDeliverer(), observer=watch)
            stack.callback(_assert_clean, watch)
            stack.callback(world.close)
            return Caller(create_app(world=world, fast_lane=fast_lane), key)

        yield build


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start a server with these settings on a free port, and stop it after the test."""
    with ExitStack() as stack:

        def start(**settings: object) -> Server:
            watch = ContractWatch(str(settings.get("contract", "2024-09")))
            stack.callback(_assert_clean, watch)
            return stack.enter_context(mock_server.serve(port=0, observer=watch, **settings))

        yield start


def _assert_clean(watch: ContractWatch) -> None:
    assert watch.violations == []
