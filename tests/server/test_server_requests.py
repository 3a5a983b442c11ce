"""What the HTTP server reads: the environ and bodies, over real sockets."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from server_clients import PATIENCE, Client, Gate, ask, connected, report

from mock_server.http.reader import Limits
from mock_server.http.runner import BackgroundServer

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
