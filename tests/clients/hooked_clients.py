"""Good clients that take webhooks, and their receivers: each of another school, and none depends on a webhook."""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import httpx
import requests
from flask import Flask, request
from good_clients import BUSY, TIMEOUT, Refused, job_of, url_of

PAUSE, DEADLINE, KEPT = 5.0, 300.0, 1000
IMAGE_HOST = "http://images.fluxmock.test/"


class Hooked(NamedTuple):
    """A client and its receiver."""

    client: Callable[..., Any]
    receiver: Callable[..., Any]


def downloaded(url: str) -> bytes:
    for attempt in range(4):
        time.sleep(attempt)
        try:
            answer = requests.get(url, timeout=TIMEOUT)
            answer.raise_for_status()
        except requests.RequestException as error:
            trouble: Exception = error
        else:
            return answer.content
    raise Refused("the image could not be downloaded") from trouble


def api(base_url: str, api_key: str) -> Callable[..., requests.Response]:
    def call(path: str, body: dict[str, Any]) -> requests.Response:
        headers = {"TT-API-KEY": api_key}
        return requests.post(base_url + path, json=body, headers=headers, timeout=TIMEOUT, allow_redirects=False)

    return call


def ordered(call: Callable[..., requests.Response], prompt: str, hook_url: str | None) -> str:
    answer = call("/flux/generate", {"prompt": prompt, "mode": "flux1-dev", "hookUrl": hook_url})
    answer.raise_for_status()
    return job_of(answer.json())


def fetched(call: Callable[..., requests.Response], job_id: str) -> str | None:
    """Return the URL of the image; None as long as the job runs, or nobody can tell."""
    try:
        answer = call("/flux/fetch", {"jobId": job_id})
        time.sleep(told_wait(answer))
        return url_of(answer.json()) if answer.status_code == 200 else None
    except requests.RequestException:
        return None


def told_wait(answer: requests.Response | httpx.Response) -> float:
    wait = answer.headers.get("Retry-After", "0")
    return min(float(wait), DEADLINE / 2) if wait.isdigit() and answer.status_code in BUSY else 0.0


def woken_by_hooks() -> Hooked:
    """A loop that polls; a webhook is no more than an alarm clock, of which nothing is believed."""
    alarm = threading.Condition()
    rung: dict[str, None] = {}
    app = Flask("woken")

    @app.post("/hook")
    def hook() -> tuple[str, int]:
        told = request.get_json(silent=True)
        job_id = told.get("jobId") if isinstance(told, dict) else None
        if not isinstance(job_id, str):
            return "", 400
        if told.get("status") in {"SUCCESS", "FAILED"}:
            with alarm:
                rung[job_id] = None  # also of unknown jobs: it may be early
                while len(rung) > KEPT:
                    del rung[next(iter(rung))]
                alarm.notify_all()
        return "", 204

    def client(base_url: str, api_key: str, prompt: str, hook_url: str | None = None) -> bytes:
        call = api(base_url, api_key)
        job_id = ordered(call, prompt, hook_url)
        ends = time.monotonic() + DEADLINE
        while time.monotonic() < ends:
            with alarm:
                alarm.wait_for(lambda: job_id in rung, PAUSE)
                rung.pop(job_id, None)
            url = fetched(call, job_id)
            if url is not None:
                return downloaded(url)
        raise Refused("the job took too long")

    return Hooked(client, app)


def believing_hooks() -> Hooked:
    """Events by the id of the job; what the webhook says counts if its image is where images are, or else a fetch."""
    lock = threading.Lock()
    waiting: dict[str, threading.Event] = {}
    results: dict[str, dict[str, Any]] = {}
    app = Flask("believing")

    @app.post("/hook")
    def hook() -> tuple[str, int]:
        told = request.get_json(silent=True)
        if not isinstance(told, dict) or not isinstance(told.get("jobId"), str):
            return "", 400
        data = told.get("data")
        url = data.get("imageUrl") if isinstance(data, dict) else None
        with lock:
            event = waiting.get(told["jobId"])
            if event is None:
                return "", 404
            if told.get("status") == "SUCCESS" and isinstance(url, str) and url.startswith(IMAGE_HOST):
                results.setdefault(told["jobId"], told)
                event.set()
        return "", 204

    def client(base_url: str, api_key: str, prompt: str, hook_url: str | None = None) -> bytes:
        call = api(base_url, api_key)
        job_id = ordered(call, prompt, hook_url)
        event = threading.Event()
        with lock:
            waiting[job_id] = event
        try:
            ends = time.monotonic() + DEADLINE
            while time.monotonic() < ends:
                url = url_of(results[job_id]) if event.wait(PAUSE) else fetched(call, job_id)
                if url is not None:
                    return downloaded(url)
        finally:
            with lock:
                del waiting[job_id]
                results.pop(job_id, None)
        raise Refused("the job took too long")

    return Hooked(client, app)


def with_a_token() -> Hooked:
    """A random token in the hookUrl of each job says that a webhook is no forgery; the rest is believed."""
    tokens: dict[str, threading.Event] = {}
    bodies: dict[str, Any] = {}

    def receiver(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        token = parse_qs(environ["QUERY_STRING"]).get("token", [""])[0]
        if token not in tokens:
            start_response("403 Forbidden", [])
            return [b""]
        try:
            told = json.loads(environ["wsgi.input"].read())
        except ValueError:
            start_response("400 Bad Request", [])
            return [b""]
        if told["status"] in {"SUCCESS", "FAILED"}:
            bodies.setdefault(token, told)
            tokens[token].set()
        start_response("204 No Content", [])
        return [b""]

    def client(base_url: str, api_key: str, prompt: str, hook_url: str | None = None) -> str:
        call, token, event = api(base_url, api_key), secrets.token_urlsafe(), threading.Event()
        tokens[token] = event
        try:
            job_id = ordered(call, prompt, f"{hook_url}?token={token}" if hook_url else None)
            ends = time.monotonic() + DEADLINE
            while time.monotonic() < ends:
                url = url_of(bodies[token]) if event.wait(PAUSE) else fetched(call, job_id)
                if url is not None:
                    return url
        finally:
            del tokens[token]
        raise Refused("the job took too long")

    return Hooked(client, receiver)


def on_an_event_loop() -> Hooked:
    """A coroutine that waits for a future, and a plain ASGI application that completes it."""
    futures: dict[str, tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = {}

    async def receiver(scope: Any, receive: Any, send: Any) -> None:
        async def answered(status: int) -> None:
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        if scope["type"] != "http" or scope["method"] != "POST":
            return await answered(405)
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        try:
            told = json.loads(body)
            job_id, status = told["jobId"], told["status"]
        except (ValueError, LookupError, TypeError):
            return await answered(400)
        loop, future = futures.get(job_id if isinstance(job_id, str) else "", (None, None))
        if loop is not None and status in {"SUCCESS", "FAILED"}:
            loop.call_soon_threadsafe(complete, future)
        return await answered(202)

    def complete(future: asyncio.Future[None]) -> None:
        if not future.done():
            future.set_result(None)

    async def client(base_url: str, api_key: str, prompt: str, hook_url: str | None = None) -> bytes:
        async with httpx.AsyncClient(timeout=TIMEOUT) as http:
            headers = {"TT-API-KEY": api_key}
            order = {"prompt": prompt, "mode": "flux1-dev", "hookUrl": hook_url}
            answer = (await http.post(f"{base_url}/flux/generate", json=order, headers=headers)).raise_for_status()
            job_id, loop = job_of(answer.json()), asyncio.get_running_loop()
            futures[job_id] = loop, loop.create_future()
            ends = time.monotonic() + DEADLINE
            try:
                while time.monotonic() < ends:
                    await asyncio.wait([futures[job_id][1]], timeout=PAUSE)
                    try:
                        async with asyncio.timeout(TIMEOUT):
                            answer = await http.post(f"{base_url}/flux/fetch", json={"jobId": job_id}, headers=headers)
                        await asyncio.sleep(told_wait(answer))
                        url = url_of(answer.json()) if answer.status_code == 200 else None
                    except (httpx.HTTPError, ValueError, TimeoutError):
                        url = None
                    if url is not None:
                        return (await http.get(url)).raise_for_status().content
                    if futures[job_id][1].done():
                        futures[job_id] = loop, loop.create_future()
            finally:
                del futures[job_id]
        raise Refused("the job took too long")

    return Hooked(client, receiver)


GOOD = (woken_by_hooks, believing_hooks, with_a_token, on_an_event_loop)
