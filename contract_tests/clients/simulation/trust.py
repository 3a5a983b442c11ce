"""The certificates of authorities are not read in a simulation: it has no https, and reading them takes longest.

A client that makes a context for TLS with every call, as httpx does, spends 20 ms on it: more than on all else.
"""

from __future__ import annotations

import ssl
from typing import Any

from contract_tests.clients.simulation.scheduler import Scheduler
from mock_server.drive.standins import Pair
from mock_server.drive.turns import here

_create_default_context = ssl.create_default_context


def _without_certificates(purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH, **kwargs: Any) -> ssl.SSLContext:
    simulated = here.member is not None and isinstance(here.member.driver, Scheduler)
    if not simulated or purpose is not ssl.Purpose.SERVER_AUTH:
        return _create_default_context(purpose, **kwargs)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


PAIRS = (Pair(_create_default_context, _without_certificates),)
"""To be put wherever a module holds the real thing."""
