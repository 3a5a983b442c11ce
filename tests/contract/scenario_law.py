"""A client that is recorded, and what it sees: the same under a scenario that was made of its recording, however it polls."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from itertools import groupby
from typing import Any
from urllib.parse import urlsplit

import requests
from flask import Flask, request

import mock_server
from contract_tests.exchanges import Exchange, Place
from contract_tests.record import Proxy
from mock_server.control import TenantControl
from mock_server.http.runner import BackgroundServer
from mock_server.scenarios.rules import Scenario, Twist

KEY = "a-secret-key-0123456789"
TOKEN = "s3cret-t0ken-of-the-hook"
BROKEN = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, OSError, HTTPException)


@dataclass
class Told:
    """
    What a client saw.

    Args:
        submissions: of each call, in order.
        jobs: of each job, what its fetches said, without repetitions of what came just before.
        hooks: of each job, what its webhooks said.
    """

    submissions: list[str] = field(default_factory=list)
    jobs: list[list[str]] = field(default_factory=list)
    hooks: list[list[str]] = field(default_factory=list)
    images: list[str] = field(default_factory=list)


class Client:
    """
    Orders two images one after the other and polls each, by a clock that it moves itself.

    Args:
        url: of the API, or of what records it.
        tenant: whose clock is moved.
        rhythm: seconds of virtual time between polls.
        hook_url: where webhooks are to go; None orders none.
    """

    def __init__(self, url: str, tenant: TenantControl, rhythm: float, hook_url: str | None) -> None:
        self.url = url
        self.tenant = tenant
        self.rhythm = rhythm
        self.hook_url = hook_url
        self.told = Told()
        self.ids: list[str] = []

    def run(self, jobs: int, patience: float, after: int) -> None:
        """Order `jobs` images; poll each until it has ended and `after` times more, for at most `patience` seconds."""
        for _ in range(jobs):
            job_id = self.submit()
            if job_id is not None:
                self.poll(job_id, patience, after)
        self.tenant.clock.advance(1000)

    def submit(self) -> str | None:
        order: dict[str, Any] = {"prompt": "a cat", "mode": "flux1-dev"}
        if self.hook_url is not None:
            order["hookUrl"] = f"{self.hook_url}/{len(self.ids) + 1}?token={TOKEN}"
        for _ in range(4):
            said, value = self.call("POST", "/flux/generate", order)
            names = sorted(value["data"]) if said == "200" and value.get("data") else []
            self.told.submissions.append(f"{said} {' '.join(names)}".strip())
            if names:
                (job_id,) = value["data"].values()
                self.ids.append(job_id)
                return str(job_id)
        return None

    def poll(self, job_id: str, patience: float, after: int) -> None:
        seen: list[str] = []
        left, since = after, 0.0
        while since < patience:
            said, value = self.call("POST", "/flux/fetch", {"jobId": job_id})
            status = value.get("status") if said == "200" else None
            seen.append(f"{said} {status} {value.get('message')} {_kind(value.get('data'))}" if status else said)
            if status == "SUCCESS" and value.get("data") and left == after:
                self.download(value["data"]["imageUrl"])
            ended = status in {"SUCCESS", "FAILED"} or left < after
            left -= ended
            if not left:
                break
            self.tenant.clock.advance(self.rhythm)
            since += self.rhythm
        self.told.jobs.append([said for said, _ in groupby(seen)])

    def download(self, url: str) -> None:
        for _ in range(2):
            self.told.images.append(self.call("GET", urlsplit(url).path)[0])

    def call(self, method: str, path: str, body: Any = None) -> tuple[str, dict[str, Any]]:
        """Return the status, or that there was none, and the answer; one connection a call, so that none is retried."""
        try:
            answer = requests.request(
                method, self.url + path, json=body, headers={"TT-API-KEY": KEY, "Connection": "close"}, timeout=20
            )
        except BROKEN as error:
            return "reset" if "reset" in str(error).lower() else "broken", {}
        retry = answer.headers.get("Retry-After")
        said = f"{answer.status_code}{f' after {retry}' if retry else ''}"
        try:
            value = answer.json()
        except requests.JSONDecodeError:
            return said if path.endswith(".webp") and answer.ok else f"{said} {answer.text[:40]!r}", {}
        return said, value if answer.ok else {"error": value}


def _kind(value: Any) -> str:
    return f"{{{' '.join(sorted(value))}}}" if isinstance(value, dict) else json.dumps(value)


@contextmanager
def receiver() -> Iterator[tuple[str, list[list[str]]]]:
    """Yield where webhooks can go, and, by job, what came: status and shape, or that it was no JSON."""
    came: list[list[str]] = [[] for _ in range(5)]
    inbox = Flask("inbox")

    @inbox.post("/hook/<int:job>")
    def _hook(job: int) -> tuple[str, int]:
        value = request.get_json(force=True, silent=True)
        said = "no JSON" if value is None else f"{value['status']} {_kind(value['data'])}"
        came[job - 1].append(f"{request.content_type or 'no type'}: {said}")
        return "", 204

    with BackgroundServer(inbox) as server:
        yield f"{server.url}/hook", came


HURRY = 50


def hurried(scenario: Scenario) -> Scenario:
    """Return a scenario whose answers are late by a fiftieth of what it says; `play` records the whole."""
    rules = [
        replace(rule, then=replace(rule.then, delay=replace(rule.then.delay, a=rule.then.delay.a / HURRY)))
        if isinstance(rule.then, Twist)
        else rule
        for rule in scenario.rules
    ]
    return replace(scenario, rules=tuple(rules))


def play(
    scenario: Scenario, version: str, *, rhythm: float, jobs: int = 2, patience: float = 400, after: int = 4
) -> tuple[Told, list[Exchange]]:
    """Run the client under a scenario, through a recording proxy; return what it saw, and the recording."""
    settings = {"contract": version, **scenario.settings}
    notes: list[Exchange] = []
    lock = threading.Lock()
    with mock_server.serve(port=0, clock="frozen", observer=None, **settings) as server:
        tenant = server.tenant(KEY)
        tenant.scenario(hurried(scenario))

        def note(exchange: Exchange) -> None:
            with lock:
                place = Place("recording.jsonl", len(notes) + 1)
                late = (exchange.elapsed or 0) * HURRY
                notes.append(exchange.changed(at=tenant.clock.now(), place=place, elapsed=late))

        # The proxy's own address is known only once it listens; it rewrites hook URLs from then on.
        proxy = Proxy(server.url, note)
        with receiver() as (hook_url, came), BackgroundServer(proxy) as public:
            proxy._public_url = public.url
            client = Client(public.url, tenant, rhythm, hook_url)
            client.run(jobs, patience, after)
        client.told.hooks = came
    return client.told, notes
