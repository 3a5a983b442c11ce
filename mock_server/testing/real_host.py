"""Keeps a test run from the real API, whose calls cost money: nobody finds its address, or greets it over TLS.

Two gates, because either alone has holes. Looking the name up is refused, which is early and clear. What looks names up
by other means (a proxy, c-ares, uvloop) still has to name the host when it begins TLS, and is refused there.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from mock_server.errors import FluxmockError

DOMAIN = "ttapi.io"
"""What is blocked: this host, and every one below it, such as api.ttapi.io and the hosts of images."""

_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy"})
_NO_PROXY = ("NO_PROXY", "no_proxy")
_BYPASS = (DOMAIN, f".{DOMAIN}")
_LOOKUPS = ("getaddrinfo", "gethostbyname", "gethostbyname_ex")
_GREETINGS = ("wrap_socket", "wrap_bio")

_P = ParamSpec("_P")
_R = TypeVar("_R")

# Runs of pytest may be nested in one process: the verdict of the innermost counts.
_verdicts: list[bool] = []
_guarded: dict[tuple[Any, str], tuple[Any, Any]] = {}


class RealHostBlocked(FluxmockError):
    """
    Code under test wanted to reach the real API.

    It is no OSError, so that a client does not take it for trouble of the network, and try again.
    """


@contextmanager
def real_host(*, blocked: bool) -> Iterator[None]:
    """
    Block the real host in the whole process, or allow it, until the `with` block is left. It nests.

    Within, whoever wants to reach it gets RealHostBlocked. Proxies are told to be passed by, for a client that uses
    one never looks a name up.
    """
    _verdicts.append(blocked)
    _guard(socket, _LOOKUPS)
    guard_tls()
    before = {name: os.environ.get(name) for name in _NO_PROXY}
    _bypass_proxies(bypass=blocked)
    try:
        yield
    finally:
        for name, value in before.items():
            _set(name, value)
        _verdicts.pop()
        if not _verdicts:
            _unguard()


def guard_tls() -> None:
    """Close the second gate as soon as there is one: importing `ssl` takes too long to do it for nothing."""
    tls = sys.modules.get("ssl")
    if tls is not None and _verdicts:
        _guard(tls.SSLContext, _GREETINGS)


def is_real(host: object) -> bool:
    """Whether `host`, a text or bytes, is the name of a host that is blocked."""
    if isinstance(host, (bytes, bytearray)):
        host = bytes(host).decode("ascii", "replace")
    if not isinstance(host, str):
        return False
    name = host.removesuffix(".").lower()
    return name == DOMAIN or name.endswith(f".{DOMAIN}")


def _guard(owner: Any, names: tuple[str, ...]) -> None:
    for name in names:
        if (owner, name) not in _guarded:
            original = getattr(owner, name)
            guarding = _refusing(original)
            _guarded[owner, name] = (original, guarding)
            setattr(owner, name, guarding)


def _unguard() -> None:
    for (owner, name), (original, guarding) in _guarded.items():
        # Whoever put something over ours still calls ours, which then lets everything pass.
        if getattr(owner, name) is guarding:
            setattr(owner, name, original)
    _guarded.clear()


def _refusing(function: Callable[_P, _R]) -> Callable[_P, _R]:
    @wraps(function)
    def guarding(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        if _verdicts and _verdicts[-1]:
            for value in (*args, *kwargs.values()):
                if is_real(value):
                    raise RealHostBlocked(_words(value))
        return function(*args, **kwargs)

    return guarding


def _words(host: object) -> str:
    name = host if isinstance(host, str) else bytes(host).decode("ascii", "replace")  # type: ignore[call-overload]
    return (
        f"fluxmock blocked a call to {name}, the real API, which spends quota. In a test, use flux.url as base URL, "
        f"or the fixture flux_requests or flux_httpx where the address is written into the code. To let it pass, mark "
        f"the test @pytest.mark.fluxmock(allow_real_host=True), or run pytest with --fluxmock-allow-real-host"
    )


def _bypass_proxies(*, bypass: bool) -> None:
    if not any(name.lower() in _PROXIES and value for name, value in os.environ.items()):
        return
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in known.split(",") if host.strip() and host.strip() not in _BYPASS]
    for name in _NO_PROXY:
        _set(name, ",".join([*hosts, *_BYPASS] if bypass else hosts) or None)


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
