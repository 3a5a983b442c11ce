"""What a client reaches: named origins, connections to them, and every byte that it sent there.

The other end of each connection is the emulator's own HTTP server without its I/O. Bytes to the client come through a
real socket pair at their instant on the timeline; bytes from it are handed over by a call.
"""

from __future__ import annotations

import errno
import os
import socket as _socket
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contract_tests.clients.simulation.timeline import Timeline
from mock_server.exchange import ORIGIN
from mock_server.http.reader import BODY, CLOSE, Limits, RequestReader, connection_environ
from mock_server.http.wire import WIRE, End, Step, Wire, steps
from mock_server.http.wsgi import Response, call
from mock_server.journal import Journal

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication, WSGIEnvironment

LATENCY = 0.02
"""Virtual seconds from a request to the first byte of its answer, so that time passes for a client without a pause."""

_FIRST_ADDRESS = 1
_NET = "198.18."  # set aside for measurements of networks, so no real host has it (RFC 2544)


@dataclass(slots=True)
class Sent:
    """
    A request that arrived whole, and what was answered.

    Args:
        number: counts the requests of a simulation from 1.
        origin: scheme, host and port that it was sent to.
        connection: number of its connection.
        at: when it was complete, in virtual seconds since the start.
        raw: all its bytes, as they were sent.
        environ: the same as WSGI has it.
        body: its body.
        response: the answer, as it would be sent without a fault.
        wire: what the scenario does to it on the wire.
        answered_at: when the last byte that is sent was on its way; None when that is yet to come, or never will.
        whole: whether the client was sent all of the answer, and unharmed.
        entry: number of what the emulator wrote about it in the tenant's journal; None when it wrote nothing there.
    """

    number: int
    origin: str
    connection: int
    at: float
    raw: bytes
    environ: WSGIEnvironment
    body: bytes
    response: Response
    wire: Wire
    entry: int | None = None
    answered_at: float | None = None
    whole: bool = True


@dataclass(slots=True)
class Link:
    """
    A connection that the client made or tried to make.

    Args:
        number: counts them from 1.
        origin: where to.
        opened_at: in virtual seconds since the start.
        closed_at: when the client closed it; None while it has not.
        refused: nobody listens there.
    """

    number: int
    origin: str
    opened_at: float
    closed_at: float | None = None
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """
    A server under a name.

    Args:
        host: its name.
        port: its port.
        app: what answers.
        images: origin of image URLs in its answers, if it is the API.
    """

    host: str
    port: int
    app: WSGIApplication
    images: str | None = None

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end."""
        return f"http://{self.host}" + ("" if self.port == 80 else f":{self.port}")


class Network:
    """
    All that a client can reach in one simulation.

    Args:
        timeline: when bytes arrive.
        origins: the servers that there are. Where none is, a connection is refused.
        journal: of the tenant.
        most: requests that are answered; then `overrun` is called.
        overrun: told that the client does not stop.
    """

    def __init__(
        self,
        timeline: Timeline,
        origins: tuple[Origin, ...],
        journal: Journal,
        *,
        most: int,
        overrun: Callable[[], None],
    ) -> None:
        self.timeline = timeline
        self._journal = journal
        self.sent: list[Sent] = []
        self.links: list[Link] = []
        self.arrivals: list[Callable[[], None]] = []
        """Called, and forgotten, when bytes arrive at the client, on any connection."""
        self._origins = {(origin.host, origin.port): origin for origin in origins}
        self._addresses: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._most = most
        self._overrun = overrun
        self._limits = Limits()
        self._peers: list[Peer] = []

    def now(self) -> float:
        """Return the virtual seconds since the start."""
        return round(self.timeline.now() - self.timeline.start, 3)

    def address_of(self, host: str) -> str:
        """Return the address of a name; every name has one."""
        if host.replace(".", "").isdigit() or ":" in host:
            return host
        if host not in self._addresses:
            number = len(self._addresses) + _FIRST_ADDRESS
            address = f"{_NET}{number // 250}.{number % 250 + 1}"
            self._addresses[host], self._names[address] = address, host
        return self._addresses[host]

    def connect(self, address: str, port: int, end: _socket.socket) -> Peer:
        """Return the server of a new connection, which has the other `end`; ConnectionRefusedError if there is none."""
        host = self._names.get(address, address)
        origin = self._origins.get((host, port))
        url = (
            origin.url if origin else f"http{'s' * (port == 443)}://{host}" + ("" if port in {80, 443} else f":{port}")
        )
        link = Link(len(self.links) + 1, url, self.now(), refused=origin is None)
        self.links.append(link)
        if origin is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        peer = Peer(self, origin, link, end)
        self._peers.append(peer)
        return peer

    def close(self) -> None:
        """Close all connections, as servers do that go away, so that a client which keeps one sees that it is gone."""
        for peer in self._peers:
            peer.go()

    def answer(self, peer: Peer, environ: WSGIEnvironment, raw: bytes) -> Sent:
        """Have a request answered."""
        body = environ.get(BODY, b"")
        before = self._journal.written
        response = call(peer.origin.app, environ)
        wire: Wire = environ.get(WIRE) or Wire()
        sent = Sent(
            number=len(self.sent) + 1,
            origin=peer.origin.url,
            connection=peer.link.number,
            at=self.now(),
            raw=raw,
            environ=environ,
            body=body,
            response=response,
            wire=wire,
            entry=self._journal.written if self._journal.written > before else None,
            whole=not (wire.silent or wire.body_bytes is not None or wire.length_error or wire.end is End.RESET),
        )
        self.sent.append(sent)
        if self.overran:
            self._overrun()
        return sent

    @property
    def overran(self) -> bool:
        """Whether there have been so many requests that the client was told to end."""
        return len(self.sent) >= self._most

    def arrived(self) -> None:
        """Tell those who wait for bytes."""
        waiting, self.arrivals = self.arrivals, []
        for tell in waiting:
            tell()

    def reader(self, peer: Peer) -> RequestReader:
        """Return what parses the requests of a connection."""
        base = connection_environ((peer.origin.host, peer.origin.port), ("127.0.0.1", 0), peer.link.number)
        if peer.origin.images is not None:
            base[ORIGIN] = peer.origin.images
        return RequestReader(base, self._limits, peer.take, peer.expect)


@dataclass(slots=True)
class _Answer:
    sent: Sent
    steps: Iterator[Step]
    closes: bool


class Peer:
    """The server's end of one connection."""

    def __init__(self, network: Network, origin: Origin, link: Link, end: _socket.socket) -> None:
        self._network = network
        self._end = end
        self._end.setblocking(False)
        self.origin = origin
        self.link = link
        self.reset = False
        """Whether the server has reset the connection."""
        self._reader = network.reader(self)
        self._raw = b""
        self._asked: deque[tuple[WSGIEnvironment, bytes, bytes]] = deque()
        self._answers: deque[_Answer] = deque()
        self._unsent = b""
        self._closed = False

    # From the client

    def feed(self, data: bytes) -> None:
        """Take bytes of the client; BrokenPipeError or ConnectionResetError when nobody listens any more."""
        if self._closed:
            if self.reset:
                raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        self._raw += data
        self._reader.feed(data)
        while self._asked:
            environ, ending, raw = self._asked.popleft()
            self._begin(self._network.answer(self, environ, raw), ending)

    def hang_up(self) -> None:
        """Note that the client has closed the connection."""
        if self.link.closed_at is None:
            self.link.closed_at = self._network.now()
        self._close()

    def go(self) -> None:
        """Close the connection; note if the client had dropped it before, and not closed it."""
        if not self._closed:
            try:
                self._end.recv(1, _socket.MSG_PEEK)  # nothing is sent this way, so what comes is its end
            except BlockingIOError:
                self._close()
            except OSError:
                self.hang_up()
            else:
                self.hang_up()

    def flush(self) -> None:
        """Send what did not fit into the socket before."""
        if self._unsent:
            self._write(b"")

    # From the reader

    def take(self, environ: WSGIEnvironment, ending: bytes) -> None:
        """Take a request that is complete, and how its answer's head is to end."""
        raw, self._raw = self._raw, b""
        self._asked.append((environ, ending, raw))

    def expect(self) -> None:
        """Tell a client that waits for it to send its body."""
        self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # On the way to the client

    def _begin(self, sent: Sent, ending: bytes) -> None:
        wire = sent.wire
        ending = CLOSE if sent.response.close else ending
        answer = _Answer(sent, steps(wire, sent.response, ending), ending is CLOSE or wire.end is not End.KEEP)
        self._answers.append(answer)
        if len(self._answers) > 1:
            return
        if wire.until is not None:
            wire.until.add_done_callback(lambda _: self._next(LATENCY))
        else:
            self._next(LATENCY)

    def _next(self, late: float = 0.0) -> None:
        """Have the next step of the first answer played when it is time."""
        answer = self._answers[0]
        step = next(answer.steps, None)
        if step is None:
            self._end_answer(answer)
            return
        self._at(self._network.timeline.now() + late + step.wait, lambda: self._play(step))

    def _play(self, step: Step) -> None:
        if self._closed:
            return
        self._write(step.data)
        self._next()

    def _end_answer(self, answer: _Answer) -> None:
        self._answers.popleft()
        wire = answer.sent.wire
        if not wire.silent:
            answer.sent.answered_at = self._network.now()
        if answer.closes:
            self.reset = wire.end is End.RESET
            self._close()
        elif self._answers:
            self._next(LATENCY)
        elif wire.idle is not None:
            self._at(self._network.timeline.now() + wire.idle, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if not self._answers:
            self._close()

    def _at(self, instant: float, happen: Callable[[], None]) -> None:
        self._network.timeline.at(instant, happen)

    def _write(self, data: bytes) -> None:
        self._unsent += data
        with suppress(BlockingIOError, BrokenPipeError):
            while self._unsent:
                self._unsent = self._unsent[self._end.send(self._unsent) :]
        self._network.arrived()

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            if self._unsent:
                self.flush()
            self._end.close()
            self._network.arrived()


def no_app(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer every request with an empty 200: an origin whose only use is that its requests are looked at."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b""]
