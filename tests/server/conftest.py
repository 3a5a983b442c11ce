"""Servers that all tests of a file share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from server_clients import always, report

from mock_server.http.runner import BackgroundServer


@pytest.fixture(scope="module")
def server() -> Iterator[BackgroundServer]:
    """Serve `report` in worker threads."""
    with BackgroundServer(report) as running:
        yield running


@pytest.fixture(scope="module")
def inline_server() -> Iterator[BackgroundServer]:
    """Serve `report` on the loop."""
    with BackgroundServer(report, inline=always) as running:
        yield running
