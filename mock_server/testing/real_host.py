"""Keeps a test run from the real API, whose calls cost money: nobody finds its address, or greets it over TLS.

Several gates, because each alone has holes. Looking the name up is refused, which is early and clear, and so is a
connection by name. What looks names up by other means (a proxy, c-ares, uvloop) still has to name the host when it
begins TLS, and is refused there. A proxy that is asked in plain HTTP gets the whole URL from `http.client`, on which
requests, urllib3 and urllib are built, and is refused that.

What stays open: plain HTTP by way of a proxy that is named in the code, for clients with an HTTP of their own (httpx,
aiohttp); and a connection to the real host that was made while it was allowed, and is kept alive.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from mock_server.errors import FluxmockError

DOMAIN = "ttapi.io"
"""What is blocked: this host, and every one below it, such as api.ttapi.io and the hosts of images."""

_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy"})
_NO_PROXY = ("NO_PROXY", "no_proxy")
_BYPASS = (DOMAIN, f".{DOMAIN}")
_LOOKUPS = ("getaddrinfo", "gethostbyname", "gethostbyname_ex")
_CONNECTS = ("connect", "connect_ex")
_GREETINGS = ("wrap_socket", "wrap_bio")
_SYSTEMS_WITH_PROXIES = ("darwin", "win32")
_LIBRARIES = ("stdlib", "platstdlib", "purelib", "platlib")

_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(slots=True, eq=False)
class BlockedCalls:
    """
    The calls to the real host that were blocked while somebody watched.

    Args:
        hosts: how many, by host.
        last: file and line of the code that made the last, as in "client.py:12"; "" where only libraries are known.
    """

    hosts: Counter[str] = field(default_factory=Counter)
    last: str = ""

    def __str__(self) -> str:
        calls = [f"{count} call{'s' if count > 1 else ''} to {host}" for host, count in self.hosts.items()]
        last = "the last from" if self.hosts.total() > 1 else "from"
        return " and ".join(calls) + (f", {last} {self.last}" if self.last else "")


# Runs of pytest may be nested in one process: the verdict of the innermost counts, and it is told what was blocked.
_verdicts: list[bool] = []
_guarded: dict[tuple[Any, str], tuple[Any, Any]] = {}
_watchers: list[BlockedCalls] = []


class RealHostBlocked(FluxmockError):
    """
    Code under test wanted to reach the real API.

    It is no OSError, so that a client does not take it for trouble of the network, and try again.
    """


class FluxmockWarning(UserWarning):
    """Something in a test went well only because nobody looked at it."""


@contextmanager
def blocked_calls() -> Iterator[BlockedCalls]:
    """Note the calls that are blocked, by whatever thread, until the `with` block is left."""
    watcher = BlockedCalls()
    _watchers.append(watcher)
    try:
        yield watcher
    finally:
        _watchers.pop()


@contextmanager
def real_host(*, blocked: bool) -> Iterator[None]:
    """
    Block the real host in the whole process, or allow it, until the `with` block is left. It nests.

    Within, whoever wants to reach it gets RealHostBlocked. Proxies are told to be passed by, for a client that uses
    one never looks a name up.
    """
    _verdicts.append(blocked)
    _guard(socket, _LOOKUPS)
    _guard(socket.socket, _CONNECTS)
    guard_late()
    before = {name: os.environ.get(name) for name in _NO_PROXY}
    if any(_verdicts):
        _bypass_proxies(bypass=blocked)
    try:
        yield
    finally:
        for name, value in before.items():
            _set(name, value)
        _verdicts.pop()
        if not _verdicts:
            _unguard()


def guard_late() -> None:
    """Close the gates that others build: importing `ssl` and `http.client` takes too long to do it for nothing."""
    tls, http = sys.modules.get("ssl"), sys.modules.get("http.client")
    if tls is not None and _verdicts:
        _guard(tls.SSLContext, _GREETINGS)
    if http is not None and _verdicts:
        _guard(http.HTTPConnection, ("putrequest",))


def is_real(host: object) -> bool:
    """Whether `host`, a text or bytes, is the name of a host that is blocked."""
    if isinstance(host, (bytes, bytearray)):
        host = bytes(host).decode("ascii", "replace")
    if not isinstance(host, str):
        return False
    name = host.removesuffix(".").lower()
    return name == DOMAIN or name.endswith(f".{DOMAIN}")


def shorten(trace: TracebackType | None) -> None:
    """Leave only the user's code in a traceback: how a library came to look a name up is long, and no help."""
    theirs = [entry for entry in _entries(trace) if _is_theirs(entry.tb_frame.f_code.co_filename)]
    for entry, after in zip_longest(theirs, theirs[1:]):
        entry.tb_next = after


def _entries(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _is_theirs(file: str) -> bool:
    """Whether code in `file` is the user's: no part of Python, nor installed."""
    paths = sysconfig.get_paths()
    libraries = (*(f"{paths[name]}{os.sep}" for name in _LIBRARIES), f"{Path(__file__).parents[1]}{os.sep}", "<")
    return not file.startswith(libraries)


def _guard(owner: Any, names: tuple[str, ...]) -> None:
    for name in names:
        if (owner, name) not in _guarded:
            original = getattr(owner, name)
            guarding = _refusing(original)
            _guarded[owner, name] = (original if name in vars(owner) else None, guarding)
            setattr(owner, name, guarding)


def _unguard() -> None:
    for (owner, name), (original, guarding) in _guarded.items():
        # Whoever put something over ours still calls ours, which then lets everything pass.
        if vars(owner).get(name) is not guarding:
            continue
        if original is None:
            delattr(owner, name)
        else:
            setattr(owner, name, original)
    _guarded.clear()


def _refusing(function: Callable[_P, _R]) -> Callable[_P, _R]:
    @wraps(function)
    def guarding(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        __tracebackhide__ = True
        if _verdicts and _verdicts[-1]:
            for value in (*args, *kwargs.values()):
                host = _host_in(value)
                if is_real(host):
                    raise RealHostBlocked(_noted(host))
        return function(*args, **kwargs)

    return guarding


def _host_in(value: object) -> object:
    """Return the host that an argument names: in an address, in an absolute URL, or by itself."""
    if isinstance(value, tuple):
        return value[0] if value else None
    if isinstance(value, str):
        if "://" in value:
            authority = re.split(r"[/?#]", value.partition("://")[2], maxsplit=1)[0]
            value = re.sub(r":\d*$", "", authority)
        return value.rpartition("@")[2]
    return value


def _noted(host: object) -> str:
    """Note that a call to `host` was blocked, and return the words for it."""
    name = host if isinstance(host, str) else bytes(host).decode("ascii", "replace")  # type: ignore[call-overload]
    if _watchers:
        _watchers[-1].hosts[name] += 1
        _watchers[-1].last = _caller()
    return (
        f"fluxmock blocked a call to {name}, the real API, which spends quota. In a test, use flux.url as base URL, "
        f"or the fixture flux_requests or flux_httpx where the address is written into the code. To let it pass, mark "
        f"the test @pytest.mark.fluxmock(allow_real_host=True), or run pytest with --fluxmock-allow-real-host"
    )


def _caller() -> str:
    """Return where in the user's code a call began; "" if nowhere."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if _is_theirs(frame.f_code.co_filename):
            return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
    return ""


def _bypass_proxies(*, bypass: bool) -> None:
    named = any(name.lower() in _PROXIES and value for name, value in os.environ.items())
    if not named and sys.platform in _SYSTEMS_WITH_PROXIES:
        return  # Any variable of this kind would hide the proxies of the system, by which other hosts are reached.
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if known.strip() == "*":
        return  # No proxy at all; and it counts only where nothing else is said.
    hosts = [host.strip() for host in known.split(",") if host.strip() and host.strip() not in _BYPASS]
    for name in _NO_PROXY:
        _set(name, ",".join([*hosts, *_BYPASS] if bypass else hosts) or None)


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
