"""What the HTTP server refuses by itself, and how: broken, endless and slow requests."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from server_clients import PATIENCE, Gate, ask, connected, report

from mock_server.http.reader import Limits
from mock_server.http.runner import BackgroundServer


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
