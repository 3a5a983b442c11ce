"""Ways to run a server: in the foreground until a signal comes, or in a thread."""

from __future__ import annotations

import asyncio
import signal
import threading
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Self

from mock_server.http.server import DEFAULT_LIMITS, HttpServer, never

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from wsgiref.types import WSGIApplication, WSGIEnvironment

    from mock_server.http.reader import Limits


def run(
    app: WSGIApplication,
    host: str,
    port: int,
    *,
    inline: Callable[[WSGIEnvironment], bool] = never,
    limits: Limits = DEFAULT_LIMITS,
    workers: int = 4,
    grace: float = 5.0,
    on_ready: Callable[[HttpServer], None] = lambda _server: None,
    install_signals: bool = True,
) -> None:
    """Serve until SIGINT or SIGTERM; a first one lets requests under way finish, a second one does not.

    Args:
        app: the WSGI application; `inline`, `limits` and `workers` are explained at `HttpServer`.
        host: the address to bind.
        port: the port; 0 picks a free one.
        inline: which requests to answer on the event loop.
        limits: what clients may send, and how long they may take.
        workers: number of threads.
        grace: seconds that requests under way may take after the first signal.
        on_ready: called once the server listens.
        install_signals: whether to handle the signals, which only a main thread can do.

    Raises:
        OSError: the address cannot be had.

    """

    async def serve() -> None:
        server = HttpServer(app, inline=inline, limits=limits, workers=workers)
        await server.start(host, port)
        asked = asyncio.Event()

        def on_signal() -> None:
            if asked.is_set():
                server.abort()
            asked.set()

        try:
            if install_signals:
                _handle_signals(on_signal)
            on_ready(server)
            await asked.wait()
        finally:
            await server.stop(grace)

    asyncio.run(serve())


def _handle_signals(on_signal: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, on_signal)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(on_signal))


class BackgroundServer:
    """An `HttpServer` in a thread of its own, from entering the context to leaving it.

    The arguments are those of `HttpServer` and of its `start`.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        inline: Callable[[WSGIEnvironment], bool] = never,
        limits: Limits = DEFAULT_LIMITS,
        workers: int = 4,
    ) -> None:
        self._make = partial(HttpServer, app, inline=inline, limits=limits, workers=workers)
        self._where = (host, port)
        self._grace = 5.0
        self._thread: threading.Thread | None = None

    @property
    def host(self) -> str:
        """The address that it listens on."""
        return self._started().host

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._started().port

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end."""
        return self._started().url

    def _started(self) -> HttpServer:
        if self._thread is None:
            raise RuntimeError("the server is not running; use it in a with statement, or call start() first")
        return self._server

    def start(self) -> None:
        """Start the thread, and return when the server listens.

        Raises:
            OSError: the address cannot be had.

        """
        if self._thread is not None:
            raise RuntimeError("the server is already running; call stop() first")
        self._server = self._make()
        listening: Future[None] = Future()
        thread = threading.Thread(target=lambda: asyncio.run(self._serve(listening)), name="fluxmock", daemon=True)
        thread.start()
        try:
            listening.result()
        except BaseException:
            thread.join()
            raise
        self._thread = thread

    def stop(self, grace: float = 5.0) -> None:
        """Stop as `HttpServer.stop` does, and wait for the thread to end; no harm when it is not running."""
        if self._thread is not None:
            self._grace = grace
            self._loop.call_soon_threadsafe(self._asked.set)
            self._thread.join()
            self._thread = None

    async def _serve(self, listening: Future[None]) -> None:
        server = self._server
        try:
            await server.start(*self._where)
        except BaseException as error:  # noqa: BLE001  raised where it is of use, in the caller of start()
            listening.set_exception(error)
            return
        self._loop, self._asked = asyncio.get_running_loop(), asyncio.Event()
        listening.set_result(None)
        await self._asked.wait()
        await server.stop(self._grace)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
