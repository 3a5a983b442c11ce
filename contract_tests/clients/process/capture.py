"""What arrives at the servers of one scenario, byte for byte, and when."""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from contract_tests.clients.story import Connection, Request
from contract_tests.clients.telling import request_of
from mock_server.exchange import ORIGIN
from mock_server.http.reader import BODY
from mock_server.http.wire import WIRE, End, Wire, wire_words
from mock_server.http.wsgi import Response
from mock_server.journal import Entry, Journal, RequestEntry

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_EXCHANGE = "fluxmock.exchange"


@dataclass(slots=True)
class Exchange:
    """
    A request that arrived whole, and what was answered.

    Args:
        number: counts those of a scenario from 1, in the order in which they arrived.
        at: when, in the client's seconds since the start.
        origin: base URL of the server.
        connection: number of the connection.
        raw: all its bytes.
        environ: the same as WSGI has it.
        response: the answer as the application made it; None until there is one.
        wire: what the scenario does to it on the wire, in the client's seconds.
        answered_at: when the last byte that is sent of it was on its way; None if the client had gone by then.
        entry: what the emulator wrote in the tenant's journal.
    """

    number: int
    at: float
    origin: str
    connection: int
    raw: bytes
    environ: WSGIEnvironment
    response: Response | None = None
    wire: Wire | None = None
    answered_at: float | None = None
    entry: RequestEntry | None = None

    def told(self, response: Response) -> Request:
        """Return it as a story has it."""
        wire = self.wire or Wire()
        return request_of(
            number=self.number,
            at=self.at,
            origin=self.origin,
            connection=self.connection,
            raw=self.raw,
            environ=self.environ,
            body=self.environ.get(BODY, b""),
            response=response,
            fault=wire_words(wire),
            whole=self.answered_at is not None
            and not (wire.body_bytes is not None or wire.length_error or wire.end is End.RESET),
            answered_at=self.answered_at,
            entry=self.entry,
        )


@dataclass(slots=True)
class _Link:
    number: int
    origin: str
    opened_at: float
    closed_at: float | None = None


class Capture:
    """
    All that happens on the servers of one scenario, on the clock that the client lives on.

    Args:
        speed: seconds of the client's in a real one.
        pace: seconds of the emulated tenant's in a real one.
        most: requests after which a client is taken to be one that does not stop.
        overrun: told when there have been so many; called on the event loop of the servers.
    """

    def __init__(self, *, speed: float, pace: float, most: int, overrun: Callable[[], None]) -> None:
        self._speed = speed
        self._pace = pace
        self._most = most
        self._overrun = overrun
        self._start = time.monotonic()
        self._links: dict[int, _Link] = {}
        self.exchanges: list[Exchange] = []
        self.numbers = itertools.count(1)
        """Numbers of the connections, for all servers together."""

    def begin(self) -> None:
        """Let this be the start of the story."""
        self._start = time.monotonic()

    def now(self) -> float:
        """Return the client's seconds since the start."""
        return self.at(time.monotonic())

    def at(self, instant: float) -> float:
        """Return the same for an instant of `time.monotonic`."""
        return round((instant - self._start) * self._speed, 3)

    def tap(self, origin: Callable[[], str]) -> OriginTap:
        """Return what listens in on a server, whose base URL `origin` returns."""
        return OriginTap(self, origin)

    def app(self, app: WSGIApplication, images: Callable[[], str] | None) -> WSGIApplication:
        """Return `app` for a server with a tap; `images` returns the origin that image URLs are to have."""

        def heard(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if images is not None:
                environ[ORIGIN] = images()
            _here.exchange = environ.get(_EXCHANGE)
            try:
                chunks = app(environ, start_response)
            finally:
                _here.exchange = None
            wire: Wire | None = environ.get(WIRE)
            if wire is not None:
                self._adapt(wire, environ)
            return chunks

        return heard

    def _adapt(self, wire: Wire, environ: WSGIEnvironment) -> None:
        # What a client feels lasts as long as the scenario says, on its own clock. The emulator has divided delays by
        # the rate of the tenant's clock already, for to it that is the clock that all go by.
        wire = replace(wire, delay=wire.delay * self._pace)
        environ[_EXCHANGE].wire = wire
        idle = None if wire.idle is None else wire.idle / self._speed
        environ[WIRE] = replace(wire, delay=wire.delay / self._speed, pause=wire.pause / self._speed, idle=idle)

    def opened(self, number: int, origin: str) -> None:
        """Note a new connection."""
        self._links[number] = _Link(number, origin, self.now())

    def closed(self, number: int) -> None:
        """Note that a connection has ended."""
        self._links[number].closed_at = self.now()

    def asked(self, number: int, origin: str, raw: bytes, environ: WSGIEnvironment) -> Exchange:
        """Note a request that is complete."""
        exchange = Exchange(len(self.exchanges) + 1, self.now(), origin, number, raw, environ)
        self.exchanges.append(exchange)
        environ[_EXCHANGE] = exchange
        if len(self.exchanges) == self._most:
            self._overrun()
        return exchange

    def answer_pending(self) -> bool:
        """Whether the application still works on an answer."""
        return any(exchange.response is None for exchange in self.exchanges)

    def requests(self) -> tuple[Request, ...]:
        """Return the requests of the story; those that nobody has answered were cut off with the servers."""
        return tuple(one.told(one.response) for one in self.exchanges if one.response is not None)

    def connections(self) -> tuple[Connection, ...]:
        """Return the connections of the story."""
        return tuple(
            Connection(link.number, link.origin, link.opened_at, link.closed_at, refused=False)
            for link in self._links.values()
        )


class OriginTap:
    """A `mock_server.http.tapped.Tap` of one server."""

    def __init__(self, capture: Capture, origin: Callable[[], str]) -> None:
        self._capture = capture
        self._origin = origin
        self._raw: defaultdict[int, bytes] = defaultdict(bytes)
        self._unanswered: defaultdict[int, deque[Exchange]] = defaultdict(deque)
        self._answering: dict[int, Exchange] = {}
        self._gone: set[int] = set()

    def opened(self, connection: int) -> None:
        """Note a client."""
        self._capture.opened(connection, self._origin())

    def read(self, connection: int, data: bytes) -> None:
        """Keep bytes for the request that they belong to."""
        self._raw[connection] += data

    def asked(self, connection: int, environ: WSGIEnvironment) -> None:
        """Note a request."""
        exchange = self._capture.asked(connection, self._origin(), self._raw.pop(connection, b""), environ)
        self._unanswered[connection].append(exchange)

    def answering(self, connection: int, answer: Response, _wire: Wire | None) -> None:
        """Note what is answered."""
        exchange = self._unanswered[connection].popleft()
        exchange.response = answer
        self._answering[connection] = exchange

    def answered(self, connection: int) -> None:
        """Note when, unless nothing is said, or nobody listens."""
        exchange = self._answering.get(connection)
        if exchange is None or exchange.answered_at is not None or connection in self._gone:
            return
        if exchange.wire is None or not exchange.wire.silent:
            exchange.answered_at = self._capture.now()

    def closed(self, connection: int) -> None:
        """Note the end."""
        self._gone.add(connection)
        self._capture.closed(connection)


class _Here(threading.local):
    exchange: Exchange | None = None


_here = _Here()


def note_entry(_journal: Journal, entry: Entry) -> None:
    """Observe a journal: an entry belongs to the request that this thread is answering."""
    if _here.exchange is not None and isinstance(entry, RequestEntry):
        _here.exchange.entry = entry
