"""The HTTP server, over real sockets."""

from __future__ import annotations

import asyncio
import errno
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_server.http.reader import Limits
from mock_server.http.runner import BackgroundServer
from mock_server.http.server import HttpServer
from mock_server.http.wire import WIRE, Wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

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


@pytest.fixture(scope="module")
def server() -> Iterator[BackgroundServer]:
    """Serve `report` in worker threads."""
    with BackgroundServer(report) as running:
        yield running


@pytest.fixture(scope="module")
def inline_server() -> Iterator[BackgroundServer]:
    """Serve `report` on the loop."""
    with BackgroundServer(report, inline=always) as running:
        yield running


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


# Environ


def test_environ_has_all_that_the_request_says(server: BackgroundServer) -> None:
    seen = ask(
        server,
        b"POST /flux/fetch?jobId=1&x=%20 HTTP/1.1\r\nHost: api.example\r\nContent-Type: application/json\r\n"
        b"Content-Length: 2\r\nTT-API-KEY: secret\r\n\r\n{}",
    )
    number = seen.pop("fluxmock.connection")
    assert number >= 1
    assert seen == {
        "status": 200,
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/flux/fetch",
        "QUERY_STRING": "jobId=1&x=%20",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": "2",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(server.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "api.example",
        "HTTP_TT_API_KEY": "secret",
        "wsgi.url_scheme": "http",
        "wsgi.input_terminated": True,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "body": "{}",
    }


def test_remote_port_is_the_clients_own() -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [environ["REMOTE_PORT"].encode()]

    with BackgroundServer(app) as server, connected(server) as client:
        assert client.send(b"GET / HTTP/1.1\r\n\r\n").answer()[2] == str(client.socket.getsockname()[1]).encode()


def test_connections_are_numbered(server: BackgroundServer) -> None:
    with connected(server) as client:
        first = client.send(b"GET / HTTP/1.1\r\n\r\n").report()["fluxmock.connection"]
        again = client.send(b"GET / HTTP/1.1\r\n\r\n").report()["fluxmock.connection"]
    other = ask(server, b"GET / HTTP/1.1\r\n\r\n")["fluxmock.connection"]
    assert first == again < other


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", "/", ""),
        (b"/a%20b%C3%A4", "/a b\xc3\xa4", ""),
        (b"/a?b=c?d", "/a", "b=c?d"),
        (b"//double/", "//double/", ""),
        (b"*", "*", ""),
        (b"http://other:81/a%2Fb?c=d", "/a/b", "c=d"),
        (b"http://other:81", "/", ""),
        (b"http://other:81?c=/d", "/", "c=/d"),
    ],
)
def test_target_forms(server: BackgroundServer, target: bytes, path: str, query: str) -> None:
    seen = ask(server, b"OPTIONS %b HTTP/1.1\r\nHost: own\r\n\r\n" % target)
    assert (seen["PATH_INFO"], seen["QUERY_STRING"]) == (path, query)
    assert seen["HTTP_HOST"] == ("other:81" if target.startswith(b"http") else "own")


def test_repeated_headers_are_joined_and_cookies_with_a_semicolon(server: BackgroundServer) -> None:
    seen = ask(server, b"GET / HTTP/1.1\r\nA: 1\r\nCookie: x=1\r\na: 2\r\ncookie: y=2\r\n\r\n")
    assert (seen["HTTP_A"], seen["HTTP_COOKIE"]) == ("1, 2", "x=1; y=2")


def test_header_with_an_underscore_cannot_pose_as_another(server: BackgroundServer) -> None:
    seen = ask(server, b"GET / HTTP/1.1\r\nTT_API_KEY: forged\r\nContent_Length: 7\r\n\r\n")
    assert not {"HTTP_TT_API_KEY", "CONTENT_LENGTH", "HTTP_CONTENT_LENGTH"} & seen.keys()


def test_header_values_are_latin_1(server: BackgroundServer) -> None:
    assert ask(server, "GET / HTTP/1.1\r\nA: größe\r\n\r\n".encode("latin-1"))["HTTP_A"] == "größe"


# Bodies


def test_chunked_body_comes_whole_with_its_length_and_without_trailers(server: BackgroundServer) -> None:
    seen = ask(
        server,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: late\r\n\r\n",
    )
    assert (seen["body"], seen["CONTENT_LENGTH"]) == ("abcde", "5")
    assert not {"HTTP_TRANSFER_ENCODING", "HTTP_X_TRAILER"} & seen.keys()


def test_body_of_many_reads_arrives_whole() -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [environ["fluxmock.body"]]

    body = bytes(range(256)) * 20_000
    with BackgroundServer(app) as server:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
        connection.request("POST", "/", body)
        assert connection.getresponse().read() == body
        connection.close()


def test_expect_is_answered_before_the_body_is_sent(server: BackgroundServer) -> None:
    with connected(server) as client:
        client.send(b"POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n")
        assert client.head() == ("HTTP/1.1 100 Continue", [])
        assert client.send(b"abc").report()["body"] == "abc"


def test_expect_of_a_pipelined_request_waits_its_turn() -> None:
    gate = Gate()
    with BackgroundServer(gate) as server, connected(server) as client:
        client.send(b"GET /1 HTTP/1.1\r\n\r\nPOST /2 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
        gate.permits.release(2)
        assert client.answer()[2] == b"/1"
        assert client.head() == ("HTTP/1.1 100 Continue", [])
        assert client.send(b"x").answer()[2] == b"/2"


def test_unknown_expectation_is_ignored(server: BackgroundServer) -> None:
    assert ask(server, b"POST / HTTP/1.1\r\nExpect: tea\r\nContent-Length: 1\r\n\r\nx")["status"] == 200


def test_declared_oversize_is_left_unread_to_the_application_and_not_encouraged() -> None:
    with BackgroundServer(report, limits=Limits(body_bytes=10)) as server, connected(server) as client:
        client.send(b"POST /up HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n")
        status, headers, body = client.answer()
        assert status == "HTTP/1.1 413 Content Too Large"
        assert headers["Connection"] == "close"
        seen = json.loads(body)
        assert (seen["PATH_INFO"], seen["CONTENT_LENGTH"], seen["body"]) == ("/up", "11", "")
        assert client.rest() == b""


def test_body_of_exactly_the_limit_is_read() -> None:
    with BackgroundServer(report, limits=Limits(body_bytes=3)) as server:
        assert ask(server, b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")["body"] == "abc"
        chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        assert ask(server, chunked)["body"] == "abc"


def test_chunked_body_that_outgrows_the_limit_is_dropped() -> None:
    with BackgroundServer(report, limits=Limits(body_bytes=5)) as server:
        seen = ask(server, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")
    assert (seen["status"], seen["CONTENT_LENGTH"], seen["body"]) == (413, "7", "")


def test_client_that_keeps_sending_an_oversize_body_still_reads_the_answer() -> None:
    size = 8 * 1024 * 1024
    with BackgroundServer(report, limits=Limits(body_bytes=10)) as server, connected(server) as client:
        client.send(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size)
        client.send(bytes(size))  # fails with a reset if the server closes with input unread
        assert client.report()["status"] == 413
        assert client.rest() == b""


def test_client_that_pipelines_beyond_the_last_answer_still_reads_it() -> None:
    gate = Gate([("Connection", "close")])
    with BackgroundServer(gate) as server, connected(server) as client:
        client.send(b"GET /last HTTP/1.1\r\n\r\n")
        assert gate.entered.acquire(timeout=PATIENCE)
        sender = threading.Thread(target=client.send, args=(bytes(8 * 1024 * 1024),))
        sender.start()
        gate.permits.release()
        assert client.answer()[2] == b"/last"
        assert client.rest() == b""
        sender.join()


def test_client_that_sends_ahead_is_held_up() -> None:
    gate = Gate()
    with BackgroundServer(gate) as server, connected(server) as client:
        client.send(b"GET /1 HTTP/1.1\r\n\r\n").socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.send(bytes(128 * 1024 * 1024))
        gate.permits.release(2)  # for the request, and for the refusal of what came after


def test_lingering_ends_when_the_client_does_not_close() -> None:
    limits = Limits(body_bytes=10, linger_seconds=0.1)
    with BackgroundServer(report, limits=limits) as server, connected(server) as client:
        client.send(b"POST / HTTP/1.1\r\nContent-Length: 11\r\n\r\n")
        assert client.report()["status"] == 413
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            _send_until_refused(client)


def _send_until_refused(client: Client) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        client.send(b"x")


# Refusals


@pytest.mark.parametrize(
    ("request_", "method", "path", "expected"),
    [
        (b"NONSENSE\r\n\r\n", "GET", "/", "expected an HTTP/1.1 request"),
        (b"GET /a b HTTP/1.1\r\n\r\n", "GET", "/a", "expected an HTTP/1.1 request"),
        (b"POST /h HTTP/1.1\r\nBad Name: 1\r\n\r\n", "POST", "/h", "expected an HTTP/1.1 request"),
        (b"GET /h HTTP/1.1\r\nA: 1\r\n folded\x00\r\n\r\n", "GET", "/h", "expected an HTTP/1.1 request"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "GET", "/", "use http:// instead of https://"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "PRI", "*", "got HTTP/2;"),
        (b"GET /v HTTP/2.0\r\n\r\n", "GET", "/v", "got HTTP/2.0;"),
        (b"GET /v HTTP/0.9\r\n\r\n", "GET", "/v", "got HTTP/0.9;"),
        (b"GET /v\r\n\r\n", "GET", "/v", "got HTTP/0.9;"),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT", "a:443", "not as a proxy"),
        (
            b"POST /l HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST",
            "/l",
            "send one Content-Length only",
        ),
        (
            b"POST /l HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
            "POST",
            "/l",
            "send one Content-Length only",
        ),
        (
            b"POST /l HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
            "POST",
            "/l",
            "send one Content-Length only",
        ),
        (b"POST /l HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "POST", "/l", "Content-Length"),
        (b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "POST", "/c", "chunk"),
        (b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", "POST", "/c", "chunk"),
        (b"POST /c HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "POST", "/c", "'gzip, chunked'"),
        (b"POST /c HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "POST", "/c", "in HTTP/1.0"),
        (b"GET /%b HTTP/1.1\r\n\r\n" % bytes(b"u" * 2000), "GET", None, "at most 1000 bytes"),
        (b"GET /h HTTP/1.1\r\nA: %b\r\n\r\n" % bytes(b"v" * 2000), "GET", "/h", "at most 1000 bytes"),
        (b"GET /n HTTP/1.1\r\n" + b"A: 1\r\n" * 21 + b"\r\n", "GET", "/n", "in 20 headers"),
    ],
)
def test_application_words_the_answer_to_what_the_server_refuses(
    request_: bytes, method: str, path: str | None, expected: str
) -> None:
    limits = Limits(header_bytes=1000, header_count=20)
    with BackgroundServer(report, limits=limits) as server, connected(server) as client:
        status, headers, body = client.send(request_ + b"junk that comes after").answer()
        assert client.rest() == b""
    seen = json.loads(body)
    assert status == "HTTP/1.1 400 Bad Request"
    assert headers["Connection"] == "close"
    assert expected in seen["fluxmock.refusal"]
    assert seen["REQUEST_METHOD"] == method
    assert path is None or seen["PATH_INFO"] == path
    assert seen["body"] == ""
    assert "CONTENT_LENGTH" not in seen


def test_refused_request_keeps_the_headers_that_were_read(server: BackgroundServer) -> None:
    seen = ask(server, b"GET / HTTP/1.1\r\nTT-API-KEY: k\r\nA: 1\r\nBad Name: 1\r\n\r\n")
    assert (seen["status"], seen["HTTP_TT_API_KEY"]) == (400, "k")


@pytest.mark.parametrize(
    "start",
    [
        b"GET / HTTP/1.1\r\nA: ",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTrailer: ",
    ],
    ids=["header", "chunk extension", "trailer"],
)
def test_endless_line_is_refused_before_it_ends(start: bytes) -> None:
    with BackgroundServer(report, limits=Limits(header_bytes=1000)) as server, connected(server) as client:
        client.send(start + bytes(b"v" * 100_000))
        assert "at most 1000 bytes" in client.report()["fluxmock.refusal"]


def test_sizes_of_requests_that_are_cut_alike_do_not_add_up() -> None:
    start, end = b"GET / HTTP/1.1\r\nA: 1\r\nB: ", b"2\r\n\r\n"
    with BackgroundServer(report, limits=Limits(header_bytes=100)) as server, connected(server) as client:
        client.send(start)
        for _ in range(20):
            assert client.send(end + start).report()["status"] == 200


def test_trailers_count_as_headers() -> None:
    with BackgroundServer(report, limits=Limits(header_count=3)) as server:
        seen = ask(
            server,
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" + b"T: 1\r\n" * 3 + b"\r\n",
        )
    assert "in 3 headers" in seen["fluxmock.refusal"]


@pytest.mark.parametrize(
    ("start", "method", "path", "how_far"),
    [
        (b"G", "GET", "/", "only part of its headers"),
        (b"PUT /slow HTTP/1.1\r\nA: ", "PUT", "/slow", "only part of its headers"),
        (b"POST /slow HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc", "POST", "/slow", "only 3 bytes of its body"),
    ],
)
def test_slow_request_is_refused(start: bytes, method: str, path: str, how_far: str) -> None:
    with BackgroundServer(report, limits=Limits(slow_seconds=0.1)) as server, connected(server) as client:
        seen = client.send(start).report()
        assert client.rest() == b""
    assert (seen["status"], seen["REQUEST_METHOD"], seen["PATH_INFO"]) == (400, method, path)
    assert "within 0.1 seconds" in seen["fluxmock.refusal"]
    assert how_far in seen["fluxmock.refusal"]


def test_slow_request_behind_another_is_refused_after_the_answer_to_that() -> None:
    gate = Gate()
    limits = Limits(slow_seconds=0.1, linger_seconds=0.1)
    with BackgroundServer(gate, limits=limits) as server, connected(server) as client:
        client.send(b"GET /first HTTP/1.1\r\n\r\nGET /second HTTP/1.1\r\nA:")
        gate.permits.release(2)
        assert client.answer()[2] == b"/first"
        assert client.answer()[2] == b"/second"
        assert client.rest() == b""


def test_request_that_came_slowly_leaves_the_connection_its_idle_time() -> None:
    with BackgroundServer(report, limits=Limits(slow_seconds=0.1)) as server, connected(server) as client:
        with connected(server) as other:
            client.send(b"GET / HTTP/1.1\r\nA")
            ask(server, b"GET / HTTP/1.1\r\n\r\n")
            assert client.send(b": 1\r\n\r\n").report()["status"] == 200
            assert other.send(b"GET").report()["status"] == 400  # so the time for slow requests has passed
        assert client.send(b"GET / HTTP/1.1\r\n\r\n").report()["status"] == 200


def test_request_that_the_client_cuts_short_is_refused(server: BackgroundServer) -> None:
    with connected(server) as client:
        client.send(b"POST /cut HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc").socket.shutdown(socket.SHUT_WR)
        seen = client.report()
        assert client.rest() == b""
    assert "only 3 bytes of its body before the end" in seen["fluxmock.refusal"]


def test_refusals_do_not_wait_for_a_worker() -> None:
    gate = Gate()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return (report if "fluxmock.refusal" in environ else gate)(environ, start_response)

    with BackgroundServer(app, workers=1) as server, connected(server) as busy:
        busy.send(b"GET /busy HTTP/1.1\r\n\r\n")
        assert gate.entered.acquire(timeout=PATIENCE)
        assert ask(server, b"NONSENSE\r\n\r\n")["status"] == 400
        gate.permits.release()
        assert busy.answer()[2] == b"/busy"


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c"])
def test_upgrade_is_ignored(server: BackgroundServer, protocol: bytes) -> None:
    offer = b"Connection: Upgrade\r\nUpgrade: %b\r\n" % protocol
    with connected(server) as client:
        client.send(
            b"GET /1?q HTTP/1.1\r\nTT-API-KEY: k\r\n" + offer + b"\r\n"
            b"POST /2 HTTP/1.1\r\n" + offer + b"Content-Length: 3\r\n\r\nabc"
            b"POST /3 HTTP/1.1\r\n" + offer + b"Transfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n"
            b"GET /4 HTTP/1.1\r\n\r\n"
        )
        seen = [client.report() for _ in range(4)]
    assert [(one["PATH_INFO"], one["body"]) for one in seen] == [
        ("/1", ""),
        ("/2", "abc"),
        ("/3", "de"),
        ("/4", ""),
    ]
    assert (seen[0]["HTTP_TT_API_KEY"], seen[0]["QUERY_STRING"]) == ("k", "q")


# Keep-alive, pipelining, order


def test_http_1_1_keeps_the_connection_without_saying_so(server: BackgroundServer) -> None:
    with connected(server) as client:
        for _ in range(3):
            status, headers, _ = client.send(b"GET / HTTP/1.1\r\n\r\n").answer()
            assert status == "HTTP/1.1 200 OK"
            assert headers.keys() == {"Content-Type", "Content-Length"}


def test_http_1_1_close_is_honoured(server: BackgroundServer) -> None:
    with connected(server) as client:
        _, headers, _ = client.send(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n").answer()
        assert headers["Connection"] == "close"
        assert client.rest() == b""


def test_http_1_0_closes_unless_asked_to_keep(server: BackgroundServer) -> None:
    with connected(server) as client:
        _, headers, body = client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").answer()
        assert headers["Connection"] == "keep-alive"
        assert json.loads(body)["SERVER_PROTOCOL"] == "HTTP/1.0"
        _, headers, _ = client.send(b"GET / HTTP/1.0\r\n\r\n").answer()
        assert headers["Connection"] == "close"
        assert client.rest() == b""


def test_application_can_close_the_connection() -> None:
    app = constant(headers=[("Connection", "close")])
    assert raw_answer(app, b"GET / HTTP/1.1\r\n\r\n") == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    )


@pytest.mark.parametrize("inline", [True, False])
def test_thousands_of_pipelined_requests_are_answered_in_order(inline: bool) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [environ["PATH_INFO"].encode().ljust(1000)]

    count = 3000
    with BackgroundServer(app, inline=lambda _: inline) as server, connected(server) as client:
        requests = b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(count))
        sender = threading.Thread(target=client.send, args=(requests,))
        sender.start()
        assert [client.answer()[2].strip() for _ in range(count)] == [b"/%d" % n for n in range(count)]
        sender.join()


def test_one_request_at_a_time_is_worked_on_for_a_connection() -> None:
    gate = Gate()
    with BackgroundServer(gate) as server, connected(server) as client:
        client.send(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n")
        assert gate.entered.acquire(timeout=PATIENCE)
        assert not gate.entered.acquire(timeout=0.05)
        gate.permits.release(2)
        assert [client.answer()[2], client.answer()[2]] == [b"/1", b"/2"]


def test_blocking_work_does_not_hold_up_the_loop() -> None:
    gate = Gate()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return (gate if environ["PATH_INFO"] == "/slow" else report)(environ, start_response)

    def is_fast(environ: WSGIEnvironment) -> bool:
        return bool(environ["PATH_INFO"] == "/fast")

    with BackgroundServer(app, inline=is_fast) as server, connected(server) as slow:
        slow.send(b"GET /slow HTTP/1.1\r\n\r\n")
        assert gate.entered.acquire(timeout=PATIENCE)
        assert ask(server, b"GET /fast HTTP/1.1\r\n\r\n")["status"] == 200
        gate.permits.release()
        assert slow.answer()[2] == b"/slow"


def test_half_closed_client_gets_its_answers() -> None:
    gate = Gate()
    with BackgroundServer(gate) as server, connected(server) as client:
        client.send(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n").socket.shutdown(socket.SHUT_WR)
        gate.permits.release(2)
        assert [client.answer()[2], client.answer()[2]] == [b"/1", b"/2"]
        assert client.rest() == b""


def test_idle_connection_is_closed() -> None:
    with BackgroundServer(report, limits=Limits(idle_seconds=0.1)) as server, connected(server) as client:
        assert client.send(b"GET / HTTP/1.1\r\n\r\n").report()["status"] == 200
        assert client.rest() == b""
        with connected(server) as silent:
            assert silent.rest() == b""


def test_working_application_is_not_idle() -> None:
    gate = Gate()
    limits = Limits(idle_seconds=0.02, slow_seconds=0.02, linger_seconds=0.02)
    with BackgroundServer(gate, limits=limits) as server, connected(server) as client:
        client.send(b"GET /slow HTTP/1.1\r\n\r\n")
        with connected(server) as silent:
            assert silent.rest() == b""  # a connection without work has run out of time meanwhile
        gate.permits.release()
        assert client.answer()[2] == b"/slow"


def test_no_more_requests_are_run_while_the_client_does_not_read() -> None:
    runs = []

    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        runs.append(1)
        start_response("200 OK", [])
        return [bytes(16 * 1024 * 1024)]

    limits = Limits(idle_seconds=0.2)
    with BackgroundServer(app, inline=always, limits=limits) as server, connected(server) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n" * 10)
        with connected(server) as silent:
            assert silent.rest() == b""
        assert len(runs) == 1
        assert len(client.rest()) < 16 * 1024 * 1024  # one that never reads is idle too, and is cut off


# Answers


def test_answer_is_status_headers_length_and_nothing_else() -> None:
    app = constant(b"hello", headers=[("X-A", "1"), ("Set-Cookie", "a"), ("Set-Cookie", "b")])
    assert raw_answer(app) == (
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 5\r\n"
        b"Connection: close\r\n\r\nhello"
    )


@pytest.mark.parametrize(
    ("app", "length"),
    [
        (constant(b"hello"), b"Content-Length: 5\r\n"),
        (constant(b"", headers=[("Content-Length", "7")]), b"Content-Length: 7\r\n"),
        (constant(b""), b""),
    ],
)
def test_head_has_the_length_but_no_body(app: WSGIApplication, length: bytes) -> None:
    answer = raw_answer(app, b"HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer == b"HTTP/1.1 200 OK\r\n" + length + b"Connection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("status", "headers", "sent"),
    [
        ("204 No Content", [("Content-Length", "0")], b""),
        ("204 No Content", [], b""),
        ("304 Not Modified", [], b""),
        ("304 Not Modified", [("Content-Length", "9")], b"Content-Length: 9\r\n"),
    ],
)
def test_statuses_without_body(status: str, headers: list[tuple[str, str]], sent: bytes) -> None:
    answer = raw_answer(constant(b"dropped", status, headers))
    assert answer == f"HTTP/1.1 {status}\r\n".encode() + sent + b"Connection: close\r\n\r\n"


def test_written_data_comes_before_the_returned() -> None:
    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [])
        write(b"one ")
        write(b"two ")
        return iter([b"three ", b"four"])

    assert raw_answer(app).endswith(b"Content-Length: 18\r\nConnection: close\r\n\r\none two three four")


class Closing:
    """An iterable that notes where it was consumed and closed."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.chunks = chunks
        self.threads: list[str] = []

    def __iter__(self) -> Iterator[bytes]:
        self.threads.append(threading.current_thread().name)
        yield from self.chunks

    def close(self) -> None:
        """Note the thread."""
        self.threads.append(threading.current_thread().name)


def test_response_is_consumed_and_closed_in_the_worker() -> None:
    response = Closing([b"a", b"b"])

    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return response

    assert raw_answer(app).endswith(b"\r\n\r\nab")
    assert response.threads == ["fluxmock-worker"] * 2


def test_start_response_may_come_as_late_as_the_first_chunk_and_be_revised_after_an_error() -> None:
    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        try:
            raise ValueError("late")
        except ValueError:
            start_response("503 Busy", [], sys.exc_info())
        yield b"sorry"

    assert raw_answer(app).startswith(b"HTTP/1.1 503 Busy\r\n")


# Failures


def _raising(error: BaseException) -> WSGIApplication:
    def app(_environ: WSGIEnvironment, _start_response: StartResponse) -> Iterable[bytes]:
        raise error

    return app


def _raising_midway(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    yield b"begun"
    raise ValueError("midway")


def _starting_twice(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    start_response("201 Created", [])
    return []


def _not_starting(_environ: WSGIEnvironment, _start_response: StartResponse) -> Iterable[bytes]:
    return [b"body"]


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize(
    ("app", "message"),
    [
        (_raising(ValueError("broken")), "broken"),
        (_raising(SystemExit("leaving")), "leaving"),
        (_raising_midway, "midway"),
        (_starting_twice, "call it once"),
        (_not_starting, "never called start_response"),
        (constant(status="100 Continue"), "expected a final status"),
        (constant(headers=[("A", "b\r\nInjected: 1")]), "without line breaks"),
        (constant(headers=[("Content-Length", "4")]), "set Content-Length to 4 but returned 5 bytes"),
        (constant(headers=[("Transfer-Encoding", "chunked")]), "leave the framing to the server"),
    ],
)
def test_failing_application_is_logged_and_answered_with_a_bare_500(
    caplog: pytest.LogCaptureFixture, app: WSGIApplication, message: str, inline: bool
) -> None:
    with BackgroundServer(app, inline=lambda _: inline) as server, connected(server) as client:
        assert client.send(b"GET /fails HTTP/1.1\r\n\r\n").rest() == (
            b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
    (record,) = caplog.records
    assert (record.name, record.getMessage()) == ("fluxmock.server", "the application failed on GET /fails")
    assert record.exc_info is not None
    assert message in str(record.exc_info[1])


def test_client_that_leaves_while_the_application_works_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    with BackgroundServer(gate, workers=1) as server:
        with connected(server) as client:
            client.send(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nPOST /3 HTTP/1.1\r\nA")
            assert gate.entered.acquire(timeout=PATIENCE)
            # Without lingering, close() sends a reset.
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        gate.permits.release(3)
        with connected(server) as other:
            assert other.send(b"GET /other HTTP/1.1\r\n\r\n").answer()[2] == b"/other"
    assert caplog.records == []


def test_answers_that_nobody_takes_any_more_are_no_error(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    with BackgroundServer(gate, inline=always) as server:
        with connected(server) as client:
            client.send(b"GET / HTTP/1.1\r\n\r\n" * 100)
            assert gate.entered.acquire(timeout=PATIENCE)
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        gate.permits.release(101)
        with connected(server) as other:
            assert other.send(b"GET /other HTTP/1.1\r\n\r\n").answer()[2] == b"/other"
    assert caplog.records == []


# Start and stop


def test_port_that_is_taken_is_the_callers_error(server: BackgroundServer) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011  the number says it
        BackgroundServer(report, port=server.port).start()
    assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 0}, "^expected at least 1 worker, got 0$"),
        ({"limits": Limits(idle_seconds=0)}, "^expected time limits above 0 seconds, got 0$"),
    ],
)
def test_impossible_settings_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HttpServer(report, **arguments)


def test_server_without_address_says_so() -> None:
    with pytest.raises(RuntimeError, match=r"call start\(\) first$"):
        _ = HttpServer(report).url
    with pytest.raises(RuntimeError, match=r"call start\(\) first$"):
        _ = BackgroundServer(report).url


def test_background_server_starts_once_and_stops_as_often_as_one_likes() -> None:
    background = BackgroundServer(report)
    background.stop()
    background.start()
    with pytest.raises(RuntimeError, match=r"call stop\(\) first$"):
        background.start()
    address = (background.host, background.port)
    background.stop()
    background.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=PATIENCE)
    with background:  # and again
        assert background.url.startswith("http://127.0.0.1:")


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6 loopback")
def test_ipv6_url_has_brackets() -> None:
    with BackgroundServer(report, host="::1") as server:
        assert server.url == f"http://[::1]:{server.port}"
        assert ask(server, b"GET / HTTP/1.1\r\n\r\n")["REMOTE_ADDR"] == "::1"


def test_stop_closes_idle_connections_and_finishes_what_is_under_way() -> None:
    gate = Gate()
    server = BackgroundServer(gate, limits=Limits(linger_seconds=600))
    server.start()
    with connected(server) as idle, connected(server) as working, connected(server) as sending:
        working.send(b"GET /work HTTP/1.1\r\n\r\nGET /queued HTTP/1.1\r\n\r\n")
        assert gate.entered.acquire(timeout=PATIENCE)
        sending.send(b"POST /send HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n").head()
        stopper = threading.Thread(target=server.stop, args=(600,))
        stopper.start()
        assert idle.rest() == b""
        with pytest.raises(ConnectionRefusedError):
            Client(server)
        gate.permits.release(2)
        for client, body in ((working, b"/work"), (sending.send(b"x"), b"/send")):
            _, headers, answered = client.answer()
            assert (headers["Connection"], answered) == ("close", body)
            assert client.rest() == b""
        stopper.join(PATIENCE)
        assert not stopper.is_alive()


def test_stop_cuts_what_does_not_finish_in_time_and_drops_what_has_not_begun() -> None:
    workers = []
    gate = Gate()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        workers.append(threading.current_thread())
        return gate(environ, start_response)

    server = BackgroundServer(app, workers=1)
    server.start()
    with connected(server) as stuck, connected(server) as queued:
        stuck.send(b"GET /stuck HTTP/1.1\r\n\r\n")
        assert gate.entered.acquire(timeout=PATIENCE)
        assert queued.send(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n").head()
        queued.send(b"x")
        server.stop(grace=0.05)
        assert stuck.rest() == queued.rest() == b""
    gate.permits.release(2)
    workers[0].join(PATIENCE)
    assert not workers[0].is_alive()
    assert len(workers) == 1


@pytest.mark.parametrize("gone_first", [True, False])
def test_stop_does_not_wait_for_a_late_answer_that_nobody_waits_for(gone_first: bool) -> None:
    asked = threading.Event()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[WIRE] = Wire(delay=86_400)
        start_response("200 OK", [])
        asked.set()
        return [b""]

    server = BackgroundServer(app)
    server.start()
    stopping = threading.Thread(target=server.stop, kwargs={"grace": 3600.0})
    with connected(server) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert asked.wait(PATIENCE)
        if not gone_first:
            stopping.start()
    if gone_first:
        stopping.start()
    stopping.join(PATIENCE)
    assert not stopping.is_alive()


def test_http_server_runs_in_the_callers_loop() -> None:
    async def fetch() -> bytes:
        server = HttpServer(constant(b"mine"), inline=always)
        await server.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        await server.stop()
        await server.stop()
        return answer

    assert asyncio.run(fetch()).endswith(b"\r\n\r\nmine")


_PROGRAM = """
import asyncio, sys, threading
from mock_server.http.runner import run

def app(environ, start_response):
    print("entered", flush=True)
    sys.stdin.readline()
    start_response("200 OK", [])
    return [b"done"]

def unavailable(*_):
    raise NotImplementedError

if "no-handlers" in sys.argv:
    asyncio.SelectorEventLoop.add_signal_handler = unavailable
run(app, "127.0.0.1", 0, on_ready=lambda server: print(server.port, flush=True))
print("stopped", flush=True)
"""


class Program:
    """A process that serves by `run`; its application waits for a line of input."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output = self.process.stdin, self.process.stdout
        self.host, self.port = "127.0.0.1", int(self.output.readline())

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.input.close()
        self.output.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send these signals")
@pytest.mark.parametrize("arguments", [(), ("no-handlers",)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_signal_lets_requests_finish(number: signal.Signals, arguments: tuple[str, ...]) -> None:
    with Program(*arguments) as program, connected(program) as idle, connected(program) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert program.output.readline() == "entered\n"
        program.process.send_signal(number)
        assert idle.rest() == b""
        program.input.write("\n")
        program.input.flush()
        assert client.answer() == ("HTTP/1.1 200 OK", {"Content-Length": "4", "Connection": "close"}, b"done")
        assert program.output.readline() == "stopped\n"
        assert program.process.wait(PATIENCE) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send these signals")
def test_second_signal_does_not_wait_for_them() -> None:
    with Program() as program, connected(program) as idle, connected(program) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert program.output.readline() == "entered\n"
        program.process.send_signal(signal.SIGTERM)
        assert idle.rest() == b""
        program.process.send_signal(signal.SIGTERM)
        assert client.rest() == b""
        assert program.output.readline() == "stopped\n"
        assert program.process.wait(PATIENCE) == 0


# Any cut of the input


def _with_length(path: str, body: bytes) -> bytes:
    return b"POST %b HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), len(body), body)


def _chunked(path: str, body: bytes, size: int, trailer: bytes) -> bytes:
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    head = b"POST %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" % path.encode()
    return head + chunks + b"0\r\n" + trailer + b"\r\n"


def _upgrade(path: str, body: bytes) -> bytes:
    head = b"PUT %b HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n%b"
    return head % (path.encode(), len(body), body)


PATHS = st.text(alphabet="abc/%20?=", max_size=8).map(lambda text: "/" + text)
BODIES = st.binary(max_size=60)
REQUESTS = st.one_of(
    PATHS.map(lambda path: b"GET %b HTTP/1.1\r\nHost: h\r\nX: 1\r\nX: 2\r\n\r\n" % path.encode()),
    st.builds(_with_length, PATHS, BODIES),
    st.builds(_chunked, PATHS, BODIES, st.integers(1, 20), st.sampled_from([b"", b"T: 1\r\n"])),
    st.builds(_upgrade, PATHS, BODIES),
)


def _exchange(server: BackgroundServer, pieces: Iterable[bytes]) -> bytes:
    with connected(server) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            client.send(piece)
        answers = client.rest()
    number = b'"fluxmock.connection": '
    return b"".join(part.lstrip(b"0123456789") if i else part for i, part in enumerate(answers.split(number)))


@given(data=st.data(), requests=st.lists(REQUESTS, min_size=1, max_size=5))
def test_answers_do_not_depend_on_how_the_input_is_cut(
    server: BackgroundServer, inline_server: BackgroundServer, data: st.DataObject, requests: list[bytes]
) -> None:
    stream = b"".join(requests) + b"GET /last HTTP/1.1\r\nConnection: close\r\n\r\n"
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=20)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    for running in (server, inline_server):
        whole = _exchange(running, [stream])
        assert whole.count(b"HTTP/1.1 200 OK\r\n") == len(requests) + 1
        assert _without_lengths(_exchange(running, pieces)) == _without_lengths(whole)


def _without_lengths(answers: bytes) -> list[bytes]:
    # The number of the connection, which `_exchange` takes out, may differ in its digits.
    return [line for line in answers.split(b"\r\n") if not line.startswith(b"Content-Length")]
