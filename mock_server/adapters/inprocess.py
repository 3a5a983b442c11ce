"""The emulator as the other end of a connection that is none: bytes in, bytes out, in one process and without waiting.

It is the HTTP server without its sockets: the same parser, application and way onto the wire. So a client's own stack,
whatever it is, gets what a socket would give it, and words its own errors.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from concurrent.futures import Future, wait
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mock_server.admin import OUT_OF_REACH
from mock_server.app import EmulatorApp
from mock_server.exchange import ORIGIN
from mock_server.http.reader import CLOSE, RequestReader, connection_environ
from mock_server.http.wire import WIRE, End, Step, Wire, steps
from mock_server.http.wsgi import call
from mock_server.serving import limits_of

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

_QUICK = frozenset({"/flux/generate", "/flux/fetch"})
_KEY = "HTTP_TT_API_KEY"


class InProcess:
    """
    The emulator in place of the real API, for code that sends some key of its own.

    Args:
        app: the emulator; it may be served over sockets at the same time.
        api_key: the tenant whose world that code is to reach, whatever key it sends.

    Attributes:
        origins: the real origins that it stands for, of the API and of the images.
    """

    def __init__(self, app: EmulatorApp, api_key: str) -> None:
        self.app = app
        self.api_key = api_key
        self.origins = app.world.product.origins
        self._limits = limits_of(app.world.settings)
        self._hosts = frozenset(urlsplit(origin).hostname for origin in (self.origins.api, self.origins.images))
        self._numbers = count(1)

    def serves(self, host: str | None) -> bool:
        """Whether `host`, without its port, is one of the real API: on no port may a test reach that."""
        return host is not None and host.lower().rstrip(".") in self._hosts

    def connect(self) -> Line:
        """Return a new connection."""
        base = connection_environ(("localhost", 80), ("127.0.0.1", 0), next(self._numbers))
        base[ORIGIN] = self.origins.images
        base[OUT_OF_REACH] = True
        return Line(self, base, self._limits.idle_seconds)

    def reader(self, line: Line, base: WSGIEnvironment) -> RequestReader:
        """Return what parses the requests of `line`."""
        return RequestReader(base, self._limits, line.take, line.expect)

    def sign(self, environ: WSGIEnvironment) -> None:
        """Put the tenant's key in place of the client's own, if it sent one."""
        if environ.get(_KEY, "").strip():
            environ[_KEY] = self.api_key


class Line:
    """
    A client's connection to the emulator, used by one thread at a time.

    No time passes on it: what would come later than the client waits is a TimeoutError at once, all else is there. Only
    where a webhook comes first it waits, for the receiver of that takes real time.
    """

    def __init__(self, inprocess: InProcess, base: WSGIEnvironment, idle_seconds: float) -> None:
        self._inprocess = inprocess
        self._idle_seconds = idle_seconds
        self._reader = inprocess.reader(self, base)
        self._asked: deque[tuple[WSGIEnvironment, bytes]] = deque()
        self._script: deque[Step] = deque()
        self._until: Future[None] | None = None
        self._arrived = b""
        self._closed = self._reset = False

    def send(self, data: bytes) -> None:
        """Take bytes of the client, and answer the requests that they complete."""
        self.feed(data)
        self.answer()

    def feed(self, data: bytes) -> None:
        """Take bytes of the client; `answer` is to be called next."""
        self._reader.feed(data)

    @property
    def slow(self) -> bool:
        """Whether to answer may take more than a millisecond or two: for an image."""
        return any(environ["PATH_INFO"] not in _QUICK for environ, _ in self._asked)

    def answer(self) -> None:
        """Answer the requests that are complete."""
        while self._asked and not self._closed:
            environ, ending = self._asked.popleft()
            response = call(self._inprocess.app, environ)
            wire: Wire = environ.get(WIRE) or Wire()
            self._until = wire.until or self._until
            ending = CLOSE if response.close else ending
            self._script.extend(steps(wire, response, ending))
            self._reset = wire.end is End.RESET
            self._closed = ending is CLOSE or wire.end is not End.KEEP

    def receive(self, limit: int, timeout: float | None) -> bytes:
        """
        Return the next bytes, at most `limit`; b"" when the emulator has closed the connection.

        Args:
            limit: number of bytes.
            timeout: seconds that the client would wait for them; None is for ever.

        Raises:
            TimeoutError: they would come later.
            ConnectionResetError: the connection was reset.
        """
        self.hold(timeout)
        while not self._arrived:
            if not self._script:
                return self._end(timeout)
            step = self._script.popleft()
            if timeout is not None and 0 < timeout <= step.wait:
                self._script.appendleft(replace(step, wait=step.wait - timeout))
                raise TimeoutError("timed out")
            self._arrived = step.data
        data, self._arrived = self._arrived[:limit], self._arrived[limit:]
        return data

    @property
    def held(self) -> bool:
        """Whether a webhook comes before the next bytes, and is on its way."""
        return self._until is not None and not self._until.done()

    def hold(self, timeout: float | None) -> None:
        """Wait while a webhook comes first; TimeoutError when that takes longer than `timeout` real seconds."""
        if self._until is not None and not wait((self._until,), timeout).done:
            raise TimeoutError("timed out")

    def _end(self, timeout: float | None) -> bytes:
        if self._reset:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        if not self._closed and timeout is not None and timeout < self._idle_seconds:
            raise TimeoutError("timed out")
        # A server closes a connection that lies idle, and a client that waits for ever sees that.
        self._closed = True
        return b""

    @property
    def readable(self) -> bool:
        """Whether `receive` would return, or raise, without waiting; on an idle connection it means that it is over."""
        if self._arrived or self.held:
            return bool(self._arrived)
        return self._script[0].wait <= 0 if self._script else self._closed

    def finish(self) -> None:
        """Send no more; what was answered can still be received."""
        self._reader.close()

    def close(self) -> None:
        """Hang up."""
        self.finish()
        self._closed = True
        self._script.clear()
        self._arrived = b""

    # From the reader

    def take(self, environ: WSGIEnvironment, ending: bytes) -> None:
        """Take a request that is complete, and how its answer's head is to end."""
        self._inprocess.sign(environ)
        self._asked.append((environ, ending))

    def expect(self) -> None:
        """Tell a client that waits for it to send its body."""
        self._script.append(Step(0.0, b"HTTP/1.1 100 Continue\r\n\r\n"))
