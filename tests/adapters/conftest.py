"""A server that the tests of a file share, made anew for each, and its application in-process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import responses
from support import KEY

import mock_server
from mock_server.adapters import for_requests
from mock_server.adapters.inprocess import InProcess
from mock_server.control import TenantControl
from mock_server.serving import Server


@pytest.fixture(scope="module")
def _server() -> Iterator[Server]:
    # One for all: to stop it takes until the last answer that is late.
    with mock_server.serve(clock="frozen", progress="immediate", observer=None) as server:
        yield server


@pytest.fixture
def server(_server: Server) -> Server:
    _server.world.forget_all()
    return _server


@pytest.fixture
def tenant(server: Server) -> TenantControl:
    return server.tenant(KEY)


@pytest.fixture
def inprocess(server: Server) -> InProcess:
    return InProcess(server.app, KEY)


@pytest.fixture
def flux(inprocess: InProcess) -> Iterator[responses.RequestsMock]:
    with for_requests.intercept(inprocess) as mock:
        yield mock
