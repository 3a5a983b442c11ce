"""Real receivers of hooks on loopback sockets, and what a test hands to a deliverer."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Sequence

from mock_server.hooks.deliverer import Deliverer
from mock_server.hooks.rules import HookRules
from mock_server.model import Attempt, Delivery, Receipt

RULES = HookRules()
PATIENCE = 20.0  # seconds until a test gives up on something that takes milliseconds
BODY = b'{"status":"SUCCESS"}'

Behaviour = Callable[[socket.socket], None]


class Receiver:
    """A listener on a free loopback port that behaves as told on every connection, each in a thread."""

    def __init__(self, behaviour: Behaviour, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=256)
        self._behaviour = behaviour
        self.port: int = self._listener.getsockname()[1]
        self.connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # close() ends it
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(PATIENCE)
                self.connections.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            self._behaviour(connection)

    def close(self) -> None:
        """Stop listening and wait for the threads; the clients must have gone."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE)


class Names:
    """A resolver of our own that remembers what it was asked."""

    def __init__(self, *answers: Sequence[str] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, _port: int) -> Sequence[str]:
        """Give the next answer."""
        self.asked.append(host)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def delivery(url: str, *, body: bytes = BODY, attempts: int = 0) -> Delivery:
    past = tuple(Attempt(number + 1, 0.0, Receipt(500)) for number in range(attempts))
    return Delivery("delivery-1", "job-1", url, body, attempts=past)


def outcome(deliverer: Deliverer, url: str) -> Receipt:
    return deliverer.deliver(delivery(url)).result(PATIENCE)


def read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536) or b"\r\n\r\n"
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answering(*parts: bytes) -> Behaviour:
    """Read the request and send the parts, one packet each, then close."""

    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)

    return behave


def hanging(connection: socket.socket) -> None:
    """Read until the client has gone."""
    while connection.recv(65536):
        pass
