"""One client's connection: its requests are answered one at a time and in order."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import functools
import struct
from socket import SO_LINGER, SOL_SOCKET
from typing import TYPE_CHECKING, cast

from mock_server.http.reader import CLOSE, REFUSAL, RequestReader, connection_environ
from mock_server.http.wire import WIRE, End, Step, Wire, steps
from mock_server.http.wsgi import Response, call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from wsgiref.types import WSGIEnvironment

    from mock_server.http.server import HttpServer

_AT_ONCE = 16  # steps of an answer that are written before others have their turn
_PIECE = 16 * 1024  # bytes parsed in one go; bounds how many pipelined requests are ever held parsed


class Connection(asyncio.Protocol):
    """One client of a server.

    `busy` says that an answer is being made; `playing`, that it is on its way in steps; `blocked`, that the
    client does not read what was written. In all these cases nothing is parsed: input waits in `backlog`, and
    requests that came in one piece with the current one in `waiting`. `expected` says that the client is owed
    a `100 Continue`; `timed`, that the deadline is that of the request under way.
    """

    __slots__ = (
        "backlog", "blocked", "busy", "deadline", "eof", "expected", "playing", "reader", "server", "timed",
        "transport", "unsent", "waiting",
    )  # fmt: skip

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.waiting: collections.deque[tuple[WSGIEnvironment, bytes]] = collections.deque()
        self.backlog: collections.deque[bytes] = collections.deque()
        self.busy = self.blocked = self.eof = self.expected = self.playing = self.timed = False
        self.unsent = 0
        self.deadline = server.tick + server.idle_ticks

    # From the transport, which sets TCP_NODELAY by itself.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with a client."""
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
        """Forget the client."""
        self.waiting.clear()
        self.backlog.clear()
        self.reader.close()
        server = self.server
        server.connections.discard(self)
        if server.stopping and not server.connections:
            server.emptied.set()

    def data_received(self, data: bytes) -> None:
        """Read what the client sent, or keep it for later."""
        if self.reader.sealed:
            return
        if self.busy or self.blocked or len(data) > _PIECE:
            self.backlog.extend(data[i : i + _PIECE] for i in range(0, len(data), _PIECE))
            self._proceed()
        else:
            self._read(data)

    def eof_received(self) -> bool:
        """Note that the client sends no more."""
        self.eof = True
        if self.server.stopping:
            self.close_if_idle()
        self._proceed()
        return True

    def pause_writing(self) -> None:
        """Note that the client does not read."""
        self.blocked = True

    def resume_writing(self) -> None:
        """Go on: the client reads again."""
        self.blocked = False
        self._proceed()

    # From the server.

    def complete(self, answer: Response, ending: bytes, wire: Wire | None) -> None:
        """Send an answer that was made elsewhere, and go on."""
        self._send(answer, ending, wire)
        self._proceed()

    def expire(self) -> None:
        """Act on a deadline that has passed."""
        if self.busy:  # the application takes as long as it takes
            return
        unsent = self.transport.get_write_buffer_size()
        if unsent and unsent != self.unsent:  # slow, but it reads
            self.unsent = unsent
            self.deadline = self.server.tick + self.server.linger_ticks
            return
        if self.reader.receiving:
            self.reader.refuse(
                f"expected the whole request within {self.server.limits.slow_seconds:g} seconds, "
                f"got {self.reader.progress()}; send it faster, and all that Content-Length announces"
            )
        elif unsent:
            self.transport.abort()  # close() would wait for a client that does not read
        else:
            self.transport.close()

    def close_if_idle(self) -> None:
        """Close the connection unless a request is under way, and somebody there for its answer."""
        if self.playing and self.eof:
            # Late answers can be minutes late. A client that has given up waits for none of them.
            self.transport.abort()
        elif not (self.busy or self.blocked or self.reader.receiving):
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
            self._send(call(server.app, environ), ending, environ.get(WIRE))
        else:
            self.busy = True
            server.submit(self, environ, ending)

    def _send(self, answer: Response, ending: bytes, wire: Wire | None) -> None:
        """Put one answer onto the wire, at once or as `wire` says."""
        if self.transport.is_closing():
            self.busy = False
            return
        if answer.close or self.server.stopping:
            ending = CLOSE
        if wire is not None:
            self.busy = self.playing = True
            if self.server.stopping:
                self.close_if_idle()
            script = steps(wire, answer, ending)
            loop = asyncio.get_running_loop()
            if wire.until is None:
                self._play(loop.time(), script, wire, ending)
            else:
                begin = functools.partial(self._begin, script, wire, ending)
                wire.until.add_done_callback(functools.partial(_soon, loop, begin))
            return
        self.busy = False
        self.transport.write(b"".join((answer.head, ending, answer.body)))
        self._sent(ending)

    def _sent(self, ending: bytes) -> None:
        self.unsent = self.transport.get_write_buffer_size()
        if ending is CLOSE:
            self._finish()
        else:
            self.deadline = self.server.tick + (self.server.slow_ticks if self.timed else self.server.idle_ticks)

    def _begin(self, script: Iterator[Step], wire: Wire, ending: bytes) -> None:
        """Write an answer that something else was waited for."""
        if not self.transport.is_closing():
            self._play(asyncio.get_running_loop().time(), script, wire, ending)
            self._proceed()

    def _play(self, due: float, script: Iterator[Step], wire: Wire, ending: bytes) -> None:
        """Write the steps of an answer, each at its time; `busy` holds back what comes after it."""
        loop = asyncio.get_running_loop()
        for number, step in enumerate(script):
            if self.transport.is_closing():
                return
            if step.wait > 0:
                due += step.wait  # of the time that the last one was due, lest a busy machine make many steps later yet
                if number >= _AT_ONCE or due > loop.time():
                    loop.call_at(due, self._play_on, step, due, script, wire, ending)
                    return
            self.transport.write(step.data)
        self.busy = self.playing = False
        self._end(wire, ending)

    def _play_on(self, step: Step, due: float, script: Iterator[Step], wire: Wire, ending: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(step.data)
            self._play(due, script, wire, ending)
            self._proceed()

    def _end(self, wire: Wire, ending: bytes) -> None:
        transport = self.transport
        if wire.end is End.RESET:
            # To linger for no time is what makes closing a reset.
            socket = transport.get_extra_info("socket")
            socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            self.reader.seal()
            transport.abort()
        elif wire.end is End.CLOSE:
            self.reader.seal()
            transport.close()
        elif wire.end is End.HALF_CLOSE:
            self._finish()
        else:
            self._sent(ending)
            if wire.idle is not None and ending is not CLOSE:
                asyncio.get_running_loop().call_later(wire.idle, self.close_if_idle)

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
            with contextlib.suppress(OSError):  # the client may just have reset the connection
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


def _soon(loop: asyncio.AbstractEventLoop, begin: Callable[[], None], _done: object) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended, and with it the connection
        loop.call_soon_threadsafe(begin)
