"""The HTTP/1.1 server: an asyncio protocol on a C parser that calls a WSGI application.

The loop parses, writes and keeps the time; the application runs on it only for requests that `inline` vouches
for, all others run in worker threads. No `Date` or `Server` header is added, so that answers can be repeated
byte for byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import queue
import threading
from functools import partial
from typing import TYPE_CHECKING

from mock_server.http.connection import Connection
from mock_server.http.reader import Limits
from mock_server.http.tapped import Tap, TappedConnection
from mock_server.http.wire import WIRE
from mock_server.http.wsgi import call

if TYPE_CHECKING:
    from collections.abc import Callable
    from wsgiref.types import WSGIApplication, WSGIEnvironment

DEFAULT_LIMITS = Limits()
_ROUNDS = 20
# Rounds of the event loop: more than it takes from accepting a connection until it is known here, or closed again.


def never(_environ: WSGIEnvironment) -> bool:
    """Say that no request may run on the event loop: the default of `inline`."""
    return False


class HttpServer:
    """Serves a WSGI application on one address, inside a running event loop.

    Args:
        app: the application. It sees some environ keys of ours: `fluxmock.body`, `fluxmock.connection`, and
            `fluxmock.refusal` on requests that the server refuses and the application words the answer to.
        inline: whether a request may be answered on the event loop itself. That is fastest, but nothing else
            is served meanwhile: say yes only to what takes microseconds. It must not raise.
        limits: what clients may send, and how long they may take.
        workers: number of threads for all requests that are not inline.
        tap: told what happens on the connections.

    Raises:
        ValueError: there are no workers, or a time limit is not positive.

    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        inline: Callable[[WSGIEnvironment], bool] = never,
        limits: Limits = DEFAULT_LIMITS,
        workers: int = 4,
        tap: Tap | None = None,
    ) -> None:
        if workers < 1:
            raise ValueError(f"expected at least 1 worker, got {workers}")
        shortest = min(limits.slow_seconds, limits.idle_seconds, limits.linger_seconds)
        if shortest <= 0:
            raise ValueError(f"expected time limits above 0 seconds, got {shortest:g}")
        self.app = app
        self.inline = inline
        self.limits = limits
        self.stopping = False
        # Time is counted in ticks, so that setting a deadline is an addition: no clock read, no timer made.
        self.tick = 0
        self._tick_seconds = min(max(shortest / 4, 0.005), 1.0)
        self.slow_ticks, self.idle_ticks, self.linger_ticks = (
            math.ceil(seconds / self._tick_seconds) + 1
            for seconds in (limits.slow_seconds, limits.idle_seconds, limits.linger_seconds)
        )
        self.numbers = itertools.count(1)
        self.connections: set[Connection] = set()
        self.emptied = asyncio.Event()
        self._workers = workers
        self._connect = partial(Connection, self) if tap is None else partial(TappedConnection, self, tap)
        self._jobs: queue.SimpleQueue[tuple[Connection, WSGIEnvironment, bytes] | None] = queue.SimpleQueue()
        self._listener: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._address: tuple[str, int] | None = None

    @property
    def host(self) -> str:
        """The address that it listens on."""
        return self._bound()[0]

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._bound()[1]

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end."""
        host, port = self._bound()
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def _bound(self) -> tuple[str, int]:
        if self._address is None:
            raise RuntimeError("a server has no address before it listens; call start() first")
        return self._address

    async def start(self, host: str, port: int) -> None:
        """Listen.

        Args:
            host: the address or name to bind.
            port: the port; 0 picks a free one.

        Raises:
            OSError: the address cannot be had; as a rule the port is taken.

        """
        self._loop = asyncio.get_running_loop()
        self._listener = await self._loop.create_server(self._connect, host, port, backlog=1024)
        self._address = self._listener.sockets[0].getsockname()[:2]
        self._timer = self._loop.call_later(self._tick_seconds, self._sweep)
        for _ in range(self._workers):
            # Daemons, unlike an executor's: an application that hangs must not keep the process from ending.
            threading.Thread(target=self._work, name="fluxmock-worker", daemon=True).start()

    async def stop(self, grace: float = 5.0) -> None:
        """Stop accepting, close idle connections, and finish the requests under way.

        Args:
            grace: seconds that those may still take; then their connections are cut.

        """
        if self._listener is None or self._timer is None:
            return
        # asyncio drops, unclosed, what it has accepted and not yet made a transport of when the listener is closed.
        for listening in self._listener.sockets:
            with contextlib.suppress(NotImplementedError):  # Windows
                self._loop.remove_reader(listening.fileno())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self._listener.close()
        self.stopping = True
        for _ in range(_ROUNDS):  # a connection that was just accepted gets known, and with it one to be closed
            await asyncio.sleep(0)
        for connection in tuple(self.connections):
            connection.close_if_idle()
        if self.connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.emptied.wait(), grace)
        self.abort()
        if self.connections:
            await self.emptied.wait()
        self._timer.cancel()
        self._listener = None
        for _ in range(self._workers):
            self._jobs.put(None)

    def abort(self) -> None:
        """Cut all connections, answered or not; a `stop` that waits for them returns."""
        for connection in tuple(self.connections):
            connection.abort()

    def submit(self, connection: Connection, environ: WSGIEnvironment, ending: bytes) -> None:
        """Have a worker call the application, and pass the answer to `connection.complete` on the loop."""
        self._jobs.put((connection, environ, ending))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None and self._listener is not None:
            connection, environ, ending = job
            answer = call(self.app, environ)
            with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
                self._loop.call_soon_threadsafe(connection.complete, answer, ending, environ.get(WIRE))

    def _sweep(self) -> None:
        self.tick += 1
        for connection in tuple(self.connections):
            if connection.deadline <= self.tick:
                connection.expire()
        self._timer = self._loop.call_later(self._tick_seconds, self._sweep)
