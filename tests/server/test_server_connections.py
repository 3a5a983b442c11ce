"""Connections to the HTTP server: how long they live, in which order they are answered, however the input is cut."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from hypothesis import given
from hypothesis import strategies as st
from server_clients import PATIENCE, Gate, always, ask, connected, constant, raw_answer, report

from mock_server.http.reader import Limits
from mock_server.http.runner import BackgroundServer

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
