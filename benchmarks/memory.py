"""Memory that is resident: of a server that has answered once, and what every finished job adds. 1 KB = 1,000 bytes.

The jobs go through HTTP. Before the first reading the journal has been filled, so that it no longer grows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from collections import Counter
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from socket import create_connection
from typing import Any

from measure import Figure, Target, take_turns
from process import SERVE, Running, environment, resident, running

from mock_server.model import Order

_KEY = "benchmark"
_AT_ONCE = 50  # requests sent before their answers are read
_PROMPT = "a lighthouse on a cliff in the morning fog, oil on canvas, number %06d"

# The least that anything could keep of a job: its id and its prompt in a dict.
_FLOOR = """
import os, uuid
from process import resident
count = {count}
before = resident(os.getpid())
kept = {{str(uuid.UUID(int=number)): {prompt!r} % number for number in range(count)}}
print((resident(os.getpid()) - before) / count)
"""


def measure(*, smoke: bool) -> list[Figure]:
    """Return megabytes when idle and of a full journal, and bytes for each finished job, without and with a hook."""
    rounds, journal, jobs = (1, 100, 2_000) if smoke else (3, 1_000, 100_000)
    flask = "import flask, os; from process import resident; print(resident(os.getpid()) / 1e6)"
    floor = _FLOOR.format(count=jobs, prompt=_PROMPT)
    servers, flasks, hooks, floors = take_turns(
        rounds,
        lambda: _server(journal, jobs),
        lambda: (_read(flask),),
        lambda: (_read(f"import memory; print(memory.hooked({jobs // 2}))"),),
        lambda: (_read(floor),),
    )
    idle, full, growth = zip(*servers, strict=True)
    (beside_idle,), (hooked,), (beside_growth,) = (zip(*values, strict=True) for values in (flasks, hooks, floors))
    kept = "dict of id to prompt"
    return [
        Figure("idle", "MB", idle, "`import flask`", beside_idle, Target(60)),
        Figure(f"each of {jobs:,} finished jobs", "bytes", growth, kept, beside_growth, Target(1000)),
        Figure("a finished job with a hook that was delivered, in process", "bytes", hooked, kept, beside_growth),
        Figure(f"the journal of a tenant, full with {journal:,} submissions", "MB", full),
    ]


def _server(journal: int, jobs: int) -> tuple[float, float, float]:
    """Return the megabytes of a server when idle, those of a full journal, and the bytes that each of `jobs` adds."""
    settings = ("--progress", "immediate", "--balance", "1000000000", "--journal", str(journal))
    with running(*SERVE, *settings) as server:
        server.post("/flux/fetch", _KEY, jobId="none")
        idle = server.rss()
        finish_jobs(server, journal)
        full = server.rss()
        finish_jobs(server, jobs)
        growth = (server.rss() - full) / jobs
        return idle / 1e6, (full - idle - growth * journal) / 1e6, growth


def hooked(jobs: int) -> float:
    """Return the bytes that each of `jobs` adds whose hook was delivered, measured in this process."""
    from mock_server.hooks.deliverer import RecordingDeliverer
    from mock_server.settings import Settings
    from mock_server.world import World

    deliverer = RecordingDeliverer()
    world = World(Settings.of(balance=10**9, clock="frozen"), deliverer=deliverer, observer=None)
    tenant = world.tenant(_KEY)

    def finish(count: int) -> int:
        for number in range(count):
            tenant.submit(_order(number, "http://127.0.0.1:9/hook"))
            if number % 10 == 9:
                tenant.run_until_idle()
                deliverer.sent.clear()
        return resident(os.getpid())

    before = finish(2_000)
    growth = (finish(jobs) - before) / jobs
    world.close()
    return growth


def _order(number: int, hook_url: str | None = None) -> Order:
    return Order("generate", _PROMPT % number, "flux1-dev", "1024x1024", hook_url, "http://127.0.0.1:8787")


def finish_jobs(server: Running, count: int) -> None:
    """Submit `count` jobs, many at a time on one connection; they finish at once."""
    with create_connection((server.host, server.port)) as connection:
        for start in range(0, count, _AT_ONCE):
            batch = range(start, min(start + _AT_ONCE, count))
            connection.sendall(b"".join(map(_submission, batch)))
            expected, received = len(batch), b""
            while received.count(b'"jobId"') < expected:
                piece = connection.recv(1 << 16)
                received += piece
                if not piece or b'"FAILED"' in received:
                    raise RuntimeError(f"expected {expected} jobs to be accepted, got {received[-400:]!r}")


def _submission(number: int) -> bytes:
    body = json.dumps({"prompt": _PROMPT % number, "mode": "flux1-dev"}).encode()
    return (
        b"POST /flux/generate HTTP/1.1\r\nHost: 127.0.0.1\r\nTT-API-KEY: %b\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (_KEY.encode(), len(body), body)
    )


def _read(code: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent,  # where `process` is to be found
        env=environment(),
    )
    return float(done.stdout)


def profile(*, smoke: bool) -> str:
    """Return what a finished job consists of: bytes by the line that allocated them, and by kind of object."""
    from mock_server.settings import Settings
    from mock_server.world import World

    count = 200 if smoke else 10_000
    world = World(Settings.of(progress="immediate", balance=10**9, clock="frozen"))
    tenant = world.tenant(_KEY)

    def submit(number: int) -> None:
        tenant.submit(_order(number))

    submit(0)
    tracemalloc.start()
    for number in range(1, count + 1):
        submit(number)
    lines = tracemalloc.take_snapshot().statistics("lineno")[:12]
    tracemalloc.stop()
    blocks = [f"Bytes a job, by line that allocated them ({count:,} jobs; dicts and lists grow in leaps):"]
    blocks += [
        f"{line.size / count:8.0f}  {line.traceback[0].filename.rpartition('/')[2]}:{line.traceback[0].lineno}"
        for line in lines
    ]
    sizes = _parts(next(reversed(tenant.store.jobs.values())))
    sizes.update(_parts(tenant.store.postings[-1]))
    sizes.update(_parts(tenant.store.postings[-2]))
    world.close()
    blocks += ["Bytes of the values that one job and its two postings hold (shared ones too):"]
    return "\n".join(blocks + [f"{size:8}  {kind}" for kind, size in sizes.most_common()])


def _parts(value: Any) -> Counter[str]:
    sizes = Counter({type(value).__name__: sys.getsizeof(value)})
    for field in fields(value) if is_dataclass(value) else ():
        inner = getattr(value, field.name)
        if inner is not None and not isinstance(inner, Enum):
            sizes.update(_parts(inner))
    return sizes
