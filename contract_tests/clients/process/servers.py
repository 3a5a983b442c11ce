"""The servers that a client meets in one scenario: the API, and canaries that nobody has any business with."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from contract_tests.clients.directives.base import ORIGINS
from contract_tests.clients.process.capture import Capture
from contract_tests.clients.simulation.network import no_app
from mock_server.app import EmulatorApp
from mock_server.http.server import HttpServer
from mock_server.serving import limits_of

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication, WSGIEnvironment

_T = TypeVar("_T")
_HOST = "127.0.0.1"
_OTHER_HOST = "localhost"


class Loop:
    """An event loop in a thread of its own, for the servers of all scenarios."""

    def __enter__(self) -> Self:
        ready: Future[asyncio.AbstractEventLoop] = Future()

        async def live() -> None:
            self._over = asyncio.Event()
            ready.set_result(asyncio.get_running_loop())
            await self._over.wait()

        self._thread = threading.Thread(target=lambda: asyncio.run(live()), name="fluxmock-clients", daemon=True)
        self._thread.start()
        self._loop = ready.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def run(self, doing: Coroutine[Any, Any, _T]) -> _T:
        """Have a coroutine run there, and return what it returns."""
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result()

    def later(self, seconds: float, happen: Callable[[], object]) -> None:
        """Let `happen` be called there in so many real seconds; it must not wait."""
        self._loop.call_soon_threadsafe(self._loop.call_later, seconds, happen)


class Servers:
    """
    The servers of one scenario, while the `with` block runs.

    Args:
        loop: where they run.
        app: the emulator.
        capture: takes what arrives.

    Attributes:
        urls: base URLs without a slash at the end, by the roles that `ORIGINS` has. The stranger has a host of its
            own, for some clients look only at that; the others, wherever they stand for, are ports of loopback.
    """

    def __init__(self, loop: Loop, app: EmulatorApp, capture: Capture) -> None:
        self._loop = loop
        self._app = app
        self._capture = capture
        self._servers: list[HttpServer] = []
        self.urls: Mapping[str, str] = {}

    def __enter__(self) -> Self:
        self._loop.run(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.run(self._stop())

    async def _start(self) -> None:
        urls: dict[str, str] = {}
        for role in ORIGINS:
            server = self._make(role, urls)
            await server.start(_HOST, 0)
            self._servers.append(server)
            urls[role] = f"http://{_OTHER_HOST}:{server.port}" if role == "elsewhere" else server.url
        self.urls = urls

    def _make(self, role: str, urls: Mapping[str, str]) -> HttpServer:
        capture, app = self._capture, self._app
        emulates = role in {"api", "images"}
        inner: WSGIApplication = app if emulates else no_app
        server = HttpServer(
            capture.app(inner, (lambda: urls["images"]) if role == "api" else None),
            inline=app.lane.takes if emulates else _always,
            limits=limits_of(app.world.settings),
            workers=2 if emulates else 1,
            tap=capture.tap(partial(urls.__getitem__, role)),
        )
        server.numbers = capture.numbers
        return server

    def instead(self, text: str) -> str:
        """Return `text` with these servers in place of those of a simulation."""
        by_url = {url: self.urls[role] for role, url in ORIGINS.items()}
        return re.sub("|".join(map(re.escape, by_url)), lambda found: by_url[found[0]], text)

    async def _stop(self) -> None:
        for server in self._servers:
            await server.stop(grace=0.0)


def _always(_environ: WSGIEnvironment) -> bool:
    return True
