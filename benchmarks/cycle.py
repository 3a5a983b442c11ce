"""One life cycle in process, without a socket: submit, three fetches, the clock moved on, one recorded hook."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

from measure import Figure, Target, hottest, take_turns, timed

from mock_server.app import create_app
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.model import JobState, Order
from mock_server.settings import Settings
from mock_server.tenant import Tenant
from mock_server.world import World

_PROMPT = "a lighthouse on a cliff in the morning fog, oil on canvas"
_HOOK = "http://127.0.0.1:9/hook"
_TARGET = Target(300)


def measure(*, smoke: bool) -> list[Figure]:
    """Return the microseconds of a life cycle, beside those of a fixed loop of plain Python."""
    rounds, cycles = (1, 20) if smoke else (20, 200)
    tenant, lane, loop = take_turns(rounds, timed(through_tenant(), cycles), timed(through_app(), cycles), plain_loop)
    beside = "loop of 2,000 additions"
    return [
        Figure("life cycle through the tenant", "µs", tenant, beside, loop, _TARGET),
        Figure("life cycle through the app's fast lane", "µs", lane, beside, loop, _TARGET),
    ]


def _world() -> tuple[World, Tenant, RecordingDeliverer]:
    deliverer = RecordingDeliverer()
    world = World(Settings.of(clock="frozen", balance=10**9), deliverer=deliverer)
    return world, world.tenant("benchmark"), deliverer


def _through_time(tenant: Tenant, job_id: str, fetch: Callable[[], object]) -> None:
    """Fetch a job in the queue, while it runs, and when it is finished and its hook is delivered."""
    plan = tenant.job(job_id).plan
    start = tenant.clock.now()
    fetch()
    tenant.advance_to(start + plan.queue_seconds)
    fetch()
    tenant.advance_to(start + plan.queue_seconds + plan.run_seconds)
    fetch()


def through_tenant() -> Callable[[], None]:
    """Return a life cycle in engine, store and clock."""
    _, tenant, deliverer = _world()
    order = Order("generate", _PROMPT, "flux1-dev", "1024x1024", _HOOK, "http://127.0.0.1:8787")

    def live() -> None:
        job_id = tenant.submit(order).id
        _through_time(tenant, job_id, lambda: tenant.fetch(job_id))
        if tenant.job(job_id).state is not JobState.SUCCESS or deliverer.sent[-1].job_id != job_id:
            raise RuntimeError("expected a job that succeeded, and its hook")

    return live


def through_app() -> Callable[[], None]:
    """Return a life cycle of requests to the WSGI application: bodies read and checked, answers worded, all noted."""
    world, tenant, deliverer = _world()
    app = create_app(world=world).wsgi_app

    def post(path: str, fields: dict[str, str]) -> Any:
        body = json.dumps(fields).encode()
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8787",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_HOST": "127.0.0.1:8787",
            "HTTP_TT_API_KEY": "benchmark",
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(body),
        }
        return json.loads(b"".join(app(environ, lambda _status, _headers, _trouble=None: lambda _data: None)))

    def live() -> None:
        submission = {"prompt": _PROMPT, "mode": "flux1-dev", "hookUrl": _HOOK}
        job_id = post("/flux/generate", submission)["data"]["jobId"]
        seen = []
        _through_time(tenant, job_id, lambda: seen.append(post("/flux/fetch", {"jobId": job_id})["status"]))
        if seen[-1] != "SUCCESS" or deliverer.sent[-1].job_id != job_id:
            raise RuntimeError(f"expected a job that succeeds, and its hook, got {seen}")

    return live


def plain_loop() -> float:
    """Return the microseconds of the yardstick."""

    def additions() -> None:
        total = 0
        for value in range(2_000):
            total += value

    return timed(additions, 50)()


def profile(*, smoke: bool) -> str:
    """Return cProfile's view of both."""
    cycles = 20 if smoke else 2_000
    return "\n".join(f"{make.__name__}:\n{hottest(make(), cycles)}" for make in (through_tenant, through_app))
