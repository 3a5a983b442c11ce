"""The HTTP server starts, and stops without breaking what is under way."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from server_clients import PATIENCE, Client, Gate, always, ask, connected, constant, report

from mock_server.http.reader import Limits
from mock_server.http.runner import BackgroundServer
from mock_server.http.server import HttpServer
from mock_server.http.wire import WIRE, Wire


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
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
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
