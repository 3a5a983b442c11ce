"""Connections that somebody listens in on: every byte of the client's, and what becomes of each answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mock_server.http.connection import Connection
from mock_server.http.reader import CONNECTION
from mock_server.http.wire import End

if TYPE_CHECKING:
    import asyncio
    from wsgiref.types import WSGIEnvironment

    from mock_server.http.server import HttpServer
    from mock_server.http.wire import Wire
    from mock_server.http.wsgi import Response


class Tap(Protocol):
    """
    Told what happens on the connections of a server, on its event loop, in order; it must be quick, and not raise.

    `connection` is the number that the environ has under `fluxmock.connection`.
    """

    def opened(self, connection: int) -> None:
        """A client has connected."""

    def read(self, connection: int, data: bytes) -> None:
        """Bytes of a client are about to be parsed."""

    def asked(self, connection: int, environ: WSGIEnvironment) -> None:
        """A request is complete; what is put into its environ the application sees."""

    def answering(self, connection: int, answer: Response, wire: Wire | None) -> None:
        """The application has answered the oldest request that is still unanswered."""

    def answered(self, connection: int) -> None:
        """All that is to be sent of that answer is on its way."""

    def closed(self, connection: int) -> None:
        """The client sends no more, or the connection has ended; told once."""


class TappedConnection(Connection):
    """A connection of a server with a tap. A class of its own, so that a server without one pays nothing."""

    __slots__ = ("number", "over", "tap")

    def __init__(self, server: HttpServer, tap: Tap) -> None:
        super().__init__(server)
        self.tap = tap
        self.over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with a client."""
        super().connection_made(transport)
        self.number: int = self.reader.base[CONNECTION]
        self.tap.opened(self.number)

    def eof_received(self) -> bool:
        """Note that the client sends no more."""
        self._note_end()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._note_end()
        super().connection_lost(exc)

    def _note_end(self) -> None:
        if not self.over:
            self.over = True
            self.tap.closed(self.number)

    def _read(self, data: bytes) -> None:
        self.tap.read(self.number, data)
        super()._read(data)

    def _take(self, environ: WSGIEnvironment, ending: bytes) -> None:
        self.tap.asked(self.number, environ)
        super()._take(environ, ending)

    def _send(self, answer: Response, ending: bytes, wire: Wire | None) -> None:
        self.tap.answering(self.number, answer, wire)
        super()._send(answer, ending, wire)

    def _sent(self, ending: bytes) -> None:
        self.tap.answered(self.number)
        super()._sent(ending)

    def _end(self, wire: Wire, ending: bytes) -> None:
        if wire.end is not End.KEEP:  # else it is told as sent
            self.tap.answered(self.number)
        super()._end(wire, ending)
