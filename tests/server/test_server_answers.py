"""What the HTTP server sends: answers of applications, also of those that fail."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest
from server_clients import PATIENCE, Gate, always, connected, constant, raw_answer

from mock_server.http.runner import BackgroundServer

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
