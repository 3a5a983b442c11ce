"""Good clients that take webhooks, and the parts of which others are made."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
from flask import Flask, request

from zoo import good_httpx
from zoo.common import DEADLINE, TIMEOUT, FluxError, job_of, order_of, url_of
from zoo.good_requests import Api, download
from zoo.registry import good, memory

KEPT = 1000
Answer = tuple[str, int]


def receiver(take: Callable[[Any], Answer]) -> Flask:
    """Return an application that hands `take` the JSON of webhooks; None for what is no JSON."""
    app = Flask("zoo")
    app.add_url_rule("/hook", endpoint="hook", view_func=lambda: take(request.get_json(silent=True)), methods=["POST"])
    return app


def final_job(told: Any) -> str | None:
    """Return the id of the job whose end a webhook tells; None if it tells no such thing."""
    job_id = told.get("jobId") if isinstance(told, dict) else None
    return job_id if isinstance(job_id, str) and told.get("status") in ("SUCCESS", "FAILED") else None


class Bells:
    """What webhooks have told, by job; the newest thousand, for anybody may send one."""

    def __init__(self) -> None:
        self._told: dict[str, Any] = {}
        self._changed = threading.Condition()

    def clear(self) -> None:
        self._told.clear()

    def ring(self, job_id: str, told: Any) -> None:
        with self._changed:
            self._told.setdefault(job_id, told)
            while len(self._told) > KEPT:
                del self._told[next(iter(self._told))]
            self._changed.notify_all()

    def wait(self, job_id: str, seconds: float) -> Any:
        """Return what was told of a job, once; None if nothing is in time."""
        with self._changed:
            self._changed.wait_for(lambda: job_id in self._told, seconds)
            return self._told.pop(job_id, None)


def submit(api: Api, prompt: str, hook_url: str | None) -> str:
    order = {**order_of(prompt), **({"hookUrl": hook_url} if hook_url else {})}
    return api.accepted(lambda: api.post("generate", json=order))


def rounds(seconds: float = DEADLINE) -> Any:
    """Yield until it has taken too long; a second lies between two of them at least."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        yield
        time.sleep(1)
    raise FluxError("the job took too long")


BELLS = memory(Bells())


def rings(told: Any) -> Answer:
    job_id = final_job(told)
    if job_id is not None:
        BELLS.ring(job_id, told)
    return "", 204 if isinstance(told, dict) else 400


@good("requests", receiver=receiver(rings))
def hook_as_a_bell(base_url: str, api_key: str, prompt: str, hook_url: str | None = None) -> bytes:
    """A webhook only wakes up the loop that polls, and nothing in it is believed."""
    with Api(base_url, api_key) as api:
        job_id = submit(api, prompt, hook_url)
        for _ in rounds():
            BELLS.wait(job_id, 4)
            url = url_of(api.look(job_id))
            if url is not None:
                return download(url)
    raise AssertionError


EVENTS: dict[str, tuple[asyncio.AbstractEventLoop, asyncio.Event]] = memory({})


async def asgi_receiver(scope: Any, receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    try:
        job_id = final_job(json.loads(body))
    except ValueError:
        job_id = None
    if job_id in EVENTS:
        loop, event = EVENTS[job_id]
        loop.call_soon_threadsafe(event.set)
    await send({"type": "http.response.start", "status": 202, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@good("httpx async", receiver=asgi_receiver)
async def hook_on_a_loop(base_url: str, api_key: str, prompt: str, hook_url: str | None = None) -> bytes:
    """An ASGI receiver sets an asyncio.Event; the job is fetched then, and every few seconds anyway."""
    async with good_httpx.api_async(base_url, api_key) as client:
        answer = await client.post("/flux/generate", json={**order_of(prompt), "hookUrl": hook_url})
        if answer.status_code != 200:
            raise FluxError(f"the submission was answered {answer.status_code}")
        job_id, event = job_of(answer.json()), asyncio.Event()
        EVENTS[job_id] = asyncio.get_running_loop(), event
        try:
            async with asyncio.timeout(DEADLINE):
                while (url := url_of(await good_httpx.look_async(client, job_id))) is None:
                    event.clear()
                    await asyncio.sleep(1)
                    await asyncio.wait([asyncio.ensure_future(event.wait())], timeout=4)
        finally:
            del EVENTS[job_id]
    async with httpx.AsyncClient(timeout=TIMEOUT) as plain:
        return (await plain.get(url)).raise_for_status().content
