"""Applications to serve, and clients of one raw connection each."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from mock_server.http.runner import BackgroundServer

PATIENCE = 10.0  # seconds; only a failing test waits that long


def always(_environ: WSGIEnvironment) -> bool:
    return True


def report(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the environ, as JSON; 400 to what the server refuses, 413 to what it did not read."""
    body = environ["wsgi.input"].read()
    assert body == environ["fluxmock.body"]
    seen = {key: value for key, value in environ.items() if isinstance(value, str | int)}
    seen["body"] = body.decode("latin-1")
    del seen["REMOTE_PORT"]
    status = "200 OK"
    if "fluxmock.refusal" in environ:
        status = "400 Bad Request"
    elif int(environ.get("CONTENT_LENGTH", 0)) > len(body):
        status = "413 Content Too Large"
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(seen, sort_keys=True).encode()]


def constant(
    body: bytes = b"hello", status: str = "200 OK", headers: Iterable[tuple[str, str]] = ()
) -> WSGIApplication:
    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, list(headers))
        return [body]

    return app


class Address(Protocol):
    """Where a client can connect to."""

    @property
    def host(self) -> str:
        """The address."""

    @property
    def port(self) -> int:
        """The port."""


class Client:
    """One raw connection."""

    def __init__(self, server: Address) -> None:
        self.socket = socket.create_connection((server.host, server.port), timeout=PATIENCE)
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> Client:
        """Send all of it."""
        self.socket.sendall(data)
        return self

    def head(self) -> tuple[str, list[tuple[str, str]]]:
        """Read status line and headers."""
        status = self.file.readline().decode().rstrip("\r\n")
        headers = []
        while line := self.file.readline().decode().rstrip("\r\n"):
            name, _, value = line.partition(": ")
            headers.append((name, value))
        return status, headers

    def answer(self) -> tuple[str, dict[str, str], bytes]:
        """Read a whole answer."""
        status, headers = self.head()
        fields = dict(headers)
        return status, fields, self.file.read(int(fields.get("Content-Length", 0)))

    def report(self) -> dict[str, Any]:
        """Read an answer of `report`, with its status."""
        status, _, body = self.answer()
        return {"status": int(status.split()[1]), **json.loads(body)}

    def rest(self) -> bytes:
        """Read until the server closes."""
        return self.file.read()

    def close(self) -> None:
        """Close, which a test may do only when it has read all it wants."""
        self.file.close()
        self.socket.close()


@contextmanager
def connected(server: Address) -> Iterator[Client]:
    client = Client(server)
    try:
        yield client
    finally:
        client.close()


def ask(server: BackgroundServer, request: bytes) -> dict[str, Any]:
    with connected(server) as client:
        return client.send(request).report()


def raw_answer(app: WSGIApplication, request: bytes = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n") -> bytes:
    with BackgroundServer(app) as server, connected(server) as client:
        return client.send(request).rest()


class Gate:
    """An application that waits for a permit."""

    def __init__(self, headers: Iterable[tuple[str, str]] = ()) -> None:
        self.headers = list(headers)
        self.entered = threading.Semaphore(0)
        self.permits = threading.Semaphore(0)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer with the path."""
        self.entered.release()
        assert self.permits.acquire(timeout=PATIENCE)
        start_response("200 OK", self.headers)
        return [environ["PATH_INFO"].encode()]
