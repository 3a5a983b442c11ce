"""What of the surroundings is not there in a simulation: certificates of authorities, and proxies.

A client that makes a context for TLS with every call, as httpx does, spends 20 ms on reading certificates: more than on
all else. One that looks for proxies in the environment with every call, as requests does, spends a fifth of its time on
that, and would find some that cannot be reached from here.
"""

from __future__ import annotations

import ssl
import urllib.request
from typing import Any

from contract_tests.clients.simulation.scheduler import Scheduler
from mock_server.drive.members import here
from mock_server.drive.standins import Pair

_create_default_context = ssl.create_default_context
_getproxies, _getproxies_environment = urllib.request.getproxies, urllib.request.getproxies_environment


def _is_simulated() -> bool:
    return here.member is not None and isinstance(here.member.driver, Scheduler)


def _without_certificates(purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH, **kwargs: Any) -> ssl.SSLContext:
    if not _is_simulated() or purpose is not ssl.Purpose.SERVER_AUTH:
        return _create_default_context(purpose, **kwargs)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _no_proxies() -> dict[str, str]:
    return {} if _is_simulated() else _getproxies()


def _no_proxies_environment() -> dict[str, str]:
    return {} if _is_simulated() else _getproxies_environment()


_PROXIES = (Pair(_getproxies, _no_proxies), Pair(_getproxies_environment, _no_proxies_environment))
PAIRS = (Pair(_create_default_context, _without_certificates), *(_PROXIES[_getproxies is _getproxies_environment :]))
"""To be put wherever a module holds the real thing."""
