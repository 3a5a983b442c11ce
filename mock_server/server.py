"""The HTTP/1.1 server: an asyncio protocol on a C parser that calls a WSGI application.

The loop parses, writes and keeps the time; the application runs on it only for requests that `inline` vouches
for, all others run in worker threads. No `Date` or `Server` header is added, so that answers can be repeated
byte for byte.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import math
import queue
import signal
import threading
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Self, cast

from mock_server.wsgi import (
    CLOSE,
    REFUSAL,
    Answer,
    Limits,
    RequestReader,
    call,
    connection_environ,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from wsgiref.types import WSGIApplication, WSGIEnvironment

__all__ = ["BackgroundServer", "HttpServer", "Limits", "never", "run"]

_DEFAULT_LIMITS = Limits()
_PIECE = 16 * 1024  # bytes parsed in one go; bounds how many pipelined requests are ever held parsed


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

    Raises:
        ValueError: there are no workers, or a time limit is not positive.

    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        inline: Callable[[WSGIEnvironment], bool] = never,
        limits: Limits = _DEFAULT_LIMITS,
        workers: int = 4,
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
        self.connections: set[_Connection] = set()
        self.emptied = asyncio.Event()
        self._workers = workers
        self._jobs: queue.SimpleQueue[tuple[_Connection, WSGIEnvironment, bytes] | None] = queue.SimpleQueue()
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
        self._listener = await self._loop.create_server(lambda: _Connection(self), host, port, backlog=1024)
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
        self._listener.close()
        self.stopping = True
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

    def submit(self, connection: _Connection, environ: WSGIEnvironment, ending: bytes) -> None:
        """Have a worker call the application, and pass the answer to `connection.complete` on the loop."""
        self._jobs.put((connection, environ, ending))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None and self._listener is not None:
            connection, environ, ending = job
            answer = call(self.app, environ)
            with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
                self._loop.call_soon_threadsafe(connection.complete, answer, ending)

    def _sweep(self) -> None:
        self.tick += 1
        for connection in tuple(self.connections):
            if connection.deadline <= self.tick:
                connection.expire()
        self._timer = self._loop.call_later(self._tick_seconds, self._sweep)


class _Connection(asyncio.Protocol):
    """One client: has its requests answered one at a time and in order.

    `busy` says that an answer is being made; `blocked`, that the client does not read what was written. In
    both cases nothing is parsed: input waits in `backlog`, and requests that came in one piece with the
    current one in `waiting`. `expected` says that the client is owed a `100 Continue`; `timed`, that the
    deadline is that of the request under way.
    """

    __slots__ = (
        "backlog", "blocked", "busy", "deadline", "eof", "expected", "reader", "server", "timed", "transport",
        "waiting",
    )  # fmt: skip

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.waiting: collections.deque[tuple[WSGIEnvironment, bytes]] = collections.deque()
        self.backlog: collections.deque[bytes] = collections.deque()
        self.busy = self.blocked = self.eof = self.expected = self.timed = False
        self.deadline = server.tick + server.idle_ticks

    # From the transport, which sets TCP_NODELAY by itself.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        here = transport.get_extra_info("sockname")
        there = transport.get_extra_info("peername") or ("", 0)  # the client may be gone already
        server = self.server
        base = connection_environ(here[:2], there[:2], next(server.numbers))
        self.reader = RequestReader(base, server.limits, self._take, self._expect)
        server.connections.add(self)
        if server.stopping:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  a client may go as it likes
        self.waiting.clear()
        self.backlog.clear()
        del self.reader.take, self.reader.expect, self.reader.parser  # they refer back
        server = self.server
        server.connections.discard(self)
        if server.stopping and not server.connections:
            server.emptied.set()

    def data_received(self, data: bytes) -> None:
        if self.reader.sealed:
            return
        if self.busy or self.blocked or len(data) > _PIECE:
            self.backlog.extend(data[i : i + _PIECE] for i in range(0, len(data), _PIECE))
            self._proceed()
        else:
            self._read(data)

    def eof_received(self) -> bool:
        self.eof = True
        self._proceed()
        return True

    def pause_writing(self) -> None:
        self.blocked = True

    def resume_writing(self) -> None:
        self.blocked = False
        self._proceed()

    # From the server.

    def complete(self, answer: Answer, ending: bytes) -> None:
        """Send an answer that was made elsewhere, and go on."""
        self._send(answer, ending)
        self._proceed()

    def expire(self) -> None:
        """Act on a deadline that has passed."""
        if self.busy:  # the application takes as long as it takes
            return
        if self.reader.receiving:
            self.reader.refuse(
                f"expected the whole request within {self.server.limits.slow_seconds:g} seconds, "
                f"got {self.reader.progress()}; send it faster, and all that Content-Length announces"
            )
        elif self.transport.get_write_buffer_size():
            self.transport.abort()  # close() would wait for a client that does not read
        else:
            self.transport.close()

    def close_if_idle(self) -> None:
        """Close the connection unless a request is under way."""
        if not (self.busy or self.blocked or self.reader.receiving):
            self.transport.close()

    def abort(self) -> None:
        """Cut the connection: what is not sent by now never will be."""
        self.transport.abort()

    # From input to requests to answers.

    def _read(self, data: bytes) -> None:
        self.reader.feed(data)
        if self.reader.receiving and not self.timed:
            self.timed = True
            self.deadline = self.server.tick + self.server.slow_ticks

    def _expect(self) -> None:
        self.expected = True
        if not (self.busy or self.blocked):
            self._send_continue()

    def _take(self, environ: WSGIEnvironment, ending: bytes) -> None:
        self.timed = self.expected = False
        if self.busy or self.blocked:
            self.waiting.append((environ, ending))
        else:
            self._handle(environ, ending)

    def _handle(self, environ: WSGIEnvironment, ending: bytes) -> None:
        server = self.server
        if REFUSAL in environ or server.inline(environ):
            self._send(call(server.app, environ), ending)
        else:
            self.busy = True
            server.submit(self, environ, ending)

    def _send(self, answer: Answer, ending: bytes) -> None:
        """Put one answer onto the wire. The only place that does, so the place to vary how it is done.

        An answer that takes its time would leave `busy` set, and call `_proceed` when all is written.
        """
        self.busy = False
        transport = self.transport
        if transport.is_closing():
            return
        server = self.server
        if answer.close or server.stopping:
            ending = CLOSE
        transport.write(b"".join((answer.head, ending, answer.body)))
        if ending is CLOSE:
            self._finish()
        else:
            self.deadline = server.tick + (server.slow_ticks if self.timed else server.idle_ticks)

    def _send_continue(self) -> None:
        self.expected = False
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _finish(self) -> None:
        """Say goodbye after the last answer, and wait for the client to do so."""
        self.reader.seal()
        self.expected = False
        self.waiting.clear()
        self.backlog.clear()
        if self.eof or self.server.stopping:
            self.transport.close()
        else:
            self.transport.write_eof()
            self.deadline = self.server.tick + self.server.linger_ticks

    def _proceed(self) -> None:
        """Go on with what has been waiting, as far as possible."""
        while not (self.busy or self.blocked or self.transport.is_closing()):
            if self.waiting:
                self._handle(*self.waiting.popleft())
            elif self.backlog:
                self._read(self.backlog.popleft())
            else:
                self._await_input()
                return
        if self.backlog:
            self.transport.pause_reading()

    def _await_input(self) -> None:
        if self.expected:
            self._send_continue()
        if not self.eof:
            self.transport.resume_reading()
        elif self.reader.receiving:
            self.reader.refuse(
                f"expected a whole request, got {self.reader.progress()} before the end of the connection; "
                "send all that Content-Length or the chunks announce"
            )
        else:
            self.transport.close()


def run(
    app: WSGIApplication,
    host: str,
    port: int,
    *,
    inline: Callable[[WSGIEnvironment], bool] = never,
    limits: Limits = _DEFAULT_LIMITS,
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
        limits: Limits = _DEFAULT_LIMITS,
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
        thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(listening)), name="fluxmock", daemon=True
        )
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
