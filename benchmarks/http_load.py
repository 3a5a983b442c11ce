"""Requests a second and latencies over HTTP: one finished job fetched again and again, and whole job cycles.

The load is made by wrk with one thread, on another core than the server. Beside the emulator stands the same HTTP
server with an application that answers the bytes of the fetch and does nothing else.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import Figure, Target, hottest, number, take_turns, timed
from process import SERVE, Running, environment, on_core, running

_SCRIPT = Path(__file__).with_name("load.lua")
_YARDSTICK = str(Path(__file__).with_name("yardstick.py"))
_CONNECTIONS = (16, 64)
_PLENTY = ("--balance", "1000000000", "--queue", "1000000000")
_KEY = "benchmark"
_PROMPT = {"prompt": "a lighthouse on a cliff in the morning fog, oil on canvas", "mode": "flux1-dev"}


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw: requests a second, and latencies in milliseconds."""

    rate: float
    p50: float
    p99: float
    jobs: float


def wrk(server: Running, connections: int, seconds: int, *arguments: str) -> Load:
    """Put load on `server`; raises RuntimeError when anything but 200 came back."""
    command = [*on_core(1), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(_SCRIPT), server.url]
    done = subprocess.run([*command, "--", *arguments], capture_output=True, text=True, check=True, env=environment())
    said = json.loads(done.stdout.splitlines()[-1])
    if said["errors"] or not said["requests"]:
        raise RuntimeError(f"expected answers of status 200 only, got {said} from {' '.join(command)}")
    return Load(said["requests"] / said["seconds"], said["p50"], said["p99"], said["jobs"] / said["seconds"])


def measure(*, smoke: bool) -> list[Figure]:
    """Return requests/s, p50 and p99 of fetches and of job cycles, at each number of connections."""
    if shutil.which("wrk") is None:
        raise RuntimeError("expected the load generator wrk, which is not installed: apt-get install wrk")
    rounds, seconds = (1, 1) if smoke else (5, 2)
    figures: list[Figure] = []
    with ExitStack() as stack:

        def start(*command: str) -> Running:
            return stack.enter_context(running(*command, pinned=True))

        plain = start(*SERVE, *_PLENTY, "--progress", "immediate")
        polled = start(*SERVE, *_PLENTY, "--progress", "polls:3")
        slow = start(_YARDSTICK, "no-lane")
        job = finished_job(plain)
        constant = start(_YARDSTICK, "constant", "--body", plain.post("/flux/fetch", _KEY, jobId=job)[1].decode())
        slow_job = finished_job(slow)
        keys = (f"cycle-{count}" for count in itertools.count(1))

        def contenders(connections: int) -> tuple[Callable[[], Load], ...]:
            return (
                lambda: wrk(plain, connections, seconds, "fetch", _KEY, job),
                lambda: wrk(polled, connections, seconds, "cycle", next(keys)),
                lambda: wrk(slow, connections, seconds, "fetch", _KEY, slow_job),
                lambda: wrk(constant, connections, seconds, "fetch", _KEY, job),
            )

        for connections in _CONNECTIONS[-1:] if smoke else _CONNECTIONS:
            figures += _figures(connections, *take_turns(rounds, *contenders(connections)))
    return figures


def finished_job(server: Running) -> str:
    """Submit a job, which finishes at once, and return its id."""
    status, body = server.post("/flux/generate", _KEY, **_PROMPT)
    if status != 200:
        raise RuntimeError(f"expected a job that is accepted, got status {status}: {body!r}")
    return str(json.loads(body)["data"]["jobId"])


def _figures(
    connections: int, fetches: list[Load], cycles: list[Load], slow: list[Load], constant: list[Load]
) -> list[Figure]:
    busy = connections == max(_CONNECTIONS)
    fast, quick = Target(25_000, at_least=True), Target(10) if busy else None

    def compared(name: str, unit: str, loads: list[Load], field: str, target: Target | None = None) -> Figure:
        values, beside = ([getattr(load, field) for load in which] for which in (loads, constant))
        return Figure(f"{name}, {connections} connections", unit, values, "constant app", beside, target)

    return [
        compared("fetches", "/s", fetches, "rate", fast),
        compared("fetch, p50", "ms", fetches, "p50"),
        compared("fetch, p99", "ms", fetches, "p99", quick),
        compared("requests of job cycles", "/s", cycles, "rate"),
        compared("job cycle, p50 of a request", "ms", cycles, "p50"),
        compared("job cycle, p99 of a request", "ms", cycles, "p99", quick),
        Figure(f"whole jobs, {connections} connections", "/s", [load.jobs for load in cycles]),
        compared("fetches without the fast lane", "/s", slow, "rate"),
    ]


# Where the time of one fetch goes: the server's own parts, called without a socket.


class _NoWire(asyncio.Transport):
    """A transport that takes everything and sends nothing."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 8787), "peername": ("127.0.0.1", 50000)})

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take it."""

    def is_closing(self) -> bool:
        """Say no."""
        return False


def profile(*, smoke: bool) -> str:
    """Return the microseconds of the parts of a fetch, and cProfile's view of the whole."""
    return asyncio.run(_profile(500 if smoke else 20_000))


async def _profile(requests: int) -> str:
    from yardstick import constant

    from mock_server.app import create_app
    from mock_server.exchange import Call
    from mock_server.http.connection import Connection
    from mock_server.http.reader import RequestReader
    from mock_server.http.server import HttpServer
    from mock_server.http.wsgi import call
    from mock_server.settings import Settings
    from mock_server.world import World

    app = create_app(world=World(Settings.of(progress="immediate"), observer=None))  # as `serve --quiet` has it
    submission = app.test_client().post("/flux/generate", json=_PROMPT, headers={"TT-API-KEY": _KEY})
    content = json.dumps({"jobId": submission.get_json()["data"]["jobId"]}).encode()
    request = (
        b"POST /flux/fetch HTTP/1.1\r\nHost: 127.0.0.1:8787\r\nTT-API-KEY: %b\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (_KEY.encode(), len(content), content)
    )
    server = HttpServer(app, inline=app.lane.takes)
    connection = Connection(server)
    connection.connection_made(_NoWire())
    environs: list[dict[str, Any]] = []
    reader = RequestReader(connection.reader.base, server.limits, lambda environ, _: environs.append(environ), print)
    reader.feed(request)
    environ = environs[0]
    answer = app.api.answer(Call.from_environ(environ, content))
    same = constant(answer.body)
    parts: dict[str, Callable[[], object]] = {
        "all of the below, but not the socket": lambda: connection.data_received(request),
        "parse the request": lambda: reader.feed(request),
        "is it for the lane": lambda: app.lane.takes(environ),
        "environ to Call": lambda: Call.from_environ(environ, content),
        "api: check, fetch, render, journal": lambda: app.api.answer(Call.from_environ(environ, content)),
        "response headers": answer.wire_headers,
        "encode the response": lambda: call(same, environ),
    }
    turns = take_turns(1 if requests < 1000 else 5, *(timed(part, requests) for part in parts.values()))
    table = [f"{number(min(turn)):>8} µs  {name}" for name, turn in zip(parts, turns, strict=True)]
    slowest = hottest(lambda: connection.data_received(request), requests)
    app.world.close()
    return "\n".join(
        ["Parts of one fetch, best of all rounds (the api's part includes `environ to Call`):", *table, slowest]
    )
