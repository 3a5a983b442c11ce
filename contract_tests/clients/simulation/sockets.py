"""What stands in for sockets and name lookups in a simulated client.

A socket of the client is one end of a real socket pair, so that `fileno`, `select` and `makefile` work. It reads real
bytes from there; only waiting for them takes virtual time.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from contract_tests.clients.simulation.network import Network, Peer
from contract_tests.clients.simulation.scheduler import Scheduler
from mock_server.drive.members import Rest, here, not_driven
from mock_server.drive.standins import Pair

_Real = socket.socket
_getaddrinfo, _gethostbyname, _socketpair = socket.getaddrinfo, socket.gethostbyname, socket.socketpair


class SimulatedScheduler(Scheduler):
    """A scheduler whose threads reach a network."""

    network: Network


def _network() -> Network | None:
    member = here.member
    if member is None or not isinstance(member.driver, SimulatedScheduler):
        return None
    if member.driver.over:  # before there is a socket that nobody would close
        member.driver.outlived(member, waits=True)
    return member.driver.network


class _StandInType(type):
    """Lets `socket.socket(...)` make a real socket for whoever is not simulated, and knows all of them as its own."""

    def __call__(cls, *args: Any, **named: Any) -> Any:
        if cls is not SimulatedSocket:
            return super().__call__(*args, **named)
        network = _network()
        family = args[0] if args else named.get("family", -1)
        if network is None or named.get("fileno") is not None or len(args) > 3 or family == socket.AF_UNIX:
            return _Real(*args, **named)
        return super().__call__(*args, **named)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _Real)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _Real)


class SimulatedSocket(_Real, metaclass=_StandInType):
    """A client's socket: it connects to an origin of the network, or to nothing."""

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1) -> None:  # noqa: A002, ARG002
        with not_driven():
            mine, self._other = _socketpair()
        self._known_family = socket.AF_INET if family == -1 else family
        self._timeout = socket.getdefaulttimeout()
        self._peer: Peer | None = None
        self._address: tuple[str, int] | None = None
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=mine.detach())
        _Real.setblocking(self, False)

    @property
    def family(self) -> Any:
        """The family that was asked for."""
        return socket.AddressFamily(self._known_family)

    # Time

    def settimeout(self, value: float | None) -> None:
        """Set how long to wait, in virtual seconds."""
        if value is not None and value < 0:
            raise ValueError("Timeout value out of range")
        self._timeout = value

    def gettimeout(self) -> float | None:
        """Return how long it waits."""
        return self._timeout

    def setblocking(self, flag: bool) -> None:
        """Wait for ever, or not at all."""
        self._timeout = None if flag else 0.0

    def getblocking(self) -> bool:
        """Whether it waits."""
        return self._timeout != 0.0

    @property
    def timeout(self) -> float | None:
        """How long it waits."""
        return self._timeout

    # Connecting

    def connect(self, address: Any) -> None:
        """Connect to an origin; ConnectionRefusedError if there is none."""
        host, port = address[:2]
        network = self._alive().network
        with not_driven():
            self._peer = network.connect(network.address_of(host), int(port), self._other)
        self._address = (str(host), int(port))

    def connect_ex(self, address: Any) -> int:
        """Connect, and return 0 or what went wrong."""
        try:
            self.connect(address)
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def bind(self, _address: Any) -> None:
        """Do nothing: from where a client comes makes no difference."""

    def listen(self, _backlog: int = 0) -> None:
        """Refuse: nobody in a simulation could connect."""
        raise OSError(
            errno.EOPNOTSUPP,
            "a simulated client cannot listen: give its receiver of webhooks as `receiver` (a WSGI or ASGI "
            "application), or test the client as a command of its own",
        )

    def getpeername(self) -> Any:
        """Return where it is connected to."""
        if self._address is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return self._address

    def getsockname(self) -> Any:
        """Return an address that stands for the client."""
        return ("127.0.0.1", 0)

    def setsockopt(self, *_: Any) -> None:
        """Do nothing: there is no TCP here."""

    def getsockopt(self, *_: Any) -> Any:
        """Return that nothing is set, and nothing went wrong."""
        return 0

    # Bytes

    def send(self, data: Any, _flags: int = 0) -> int:
        """Send all of `data`, and return how long it is."""
        self._alive()
        if self._peer is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        with memoryview(data) as view, not_driven():
            self._peer.feed(bytes(view))
            return view.nbytes

    def sendall(self, data: Any, _flags: int = 0) -> None:
        """Send all of `data`."""
        self.send(data)

    def sendmsg(self, buffers: Any, *_: Any) -> int:
        """Send all of `buffers`, and return how long they are."""
        return self.send(b"".join(bytes(part) for part in buffers))

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return what has arrived, or wait for it."""
        return bytes(self._received(lambda: _Real.recv(self, size, flags)))

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Put what has arrived into `buffer`, or wait for it."""
        return int(self._received(lambda: _Real.recv_into(self, buffer, nbytes, flags)))

    def _received(self, receive: Any) -> Any:
        driver = self._alive()
        deadline = None if self._timeout is None else driver.deadline(self._timeout)
        while True:
            if self._peer is not None:
                self._peer.flush()
            try:
                got = receive()
            except BlockingIOError:
                if self._timeout == 0.0:
                    raise
                if deadline is not None and driver.clock.now() >= deadline:
                    raise TimeoutError("timed out") from None
                self._wait(driver, deadline)
                continue
            if not got and self._peer is not None and self._peer.reset:
                raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
            return got

    @staticmethod
    def _wait(driver: SimulatedScheduler, deadline: float | None) -> None:
        member = here.member
        if member is None:
            raise RuntimeError("expected the client's own thread to read its socket, got one that is not simulated")
        rest = Rest(member, deadline, notifiable=True)
        driver.network.arrivals.append(lambda: driver.wake(rest))
        driver.rest(rest)

    # The end

    def shutdown(self, how: int) -> None:
        """Close one direction or both."""
        if how != socket.SHUT_RD and self._peer is not None:
            self._peer.hang_up()

    def close(self) -> None:
        """Close it, once all files made of it are closed."""
        super().close()

    def _real_close(self, *args: Any) -> None:
        if self._peer is not None:
            self._peer.hang_up()
        self._other.close()
        super()._real_close(*args)  # type: ignore[misc]

    def detach(self) -> int:
        """Refuse: what would be left is the end of a pipe, and no connection."""
        raise OSError(errno.EOPNOTSUPP, "a simulated socket cannot be given away (https is not simulated: use http)")

    def _alive(self) -> SimulatedScheduler:
        """Return the scheduler; raise Hangs when the simulation is over, so that nothing more is sent or awaited."""
        member, driver = here.member, self._driver()
        if driver.over and member is not None:
            driver.outlived(member, waits=True)
        return driver

    def _driver(self) -> SimulatedScheduler:
        member = here.member
        if member is None or not isinstance(member.driver, SimulatedScheduler):
            raise OSError(errno.EBADF, "this socket belongs to a simulation that is over, or to another thread")
        return member.driver


def _looked_up(
    host: Any,
    port: Any,
    family: int = 0,
    type: int = 0,  # noqa: A002
    proto: int = 0,
    flags: int = 0,
) -> list[Any]:
    network = _network()
    if network is None:
        return _getaddrinfo(host, port, family, type, proto, flags)
    name = host.decode() if isinstance(host, bytes) else str(host or "127.0.0.1")
    number = int(port) if str(port or 0).isdigit() else socket.getservbyname(str(port))
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (network.address_of(name), number))]


def _named(host: str) -> str:
    network = _network()
    return _gethostbyname(host) if network is None else network.address_of(host)


PAIRS = (Pair(_Real, SimulatedSocket), Pair(_getaddrinfo, _looked_up), Pair(_gethostbyname, _named))
"""To be put wherever a module holds the real thing."""
