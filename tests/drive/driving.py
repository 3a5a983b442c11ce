"""Clients to be driven, the tenant whose clock they live on, and a receiver of hooks."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mock_server.control import TenantControl
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.serving import Server
from mock_server.settings import Settings
from mock_server.world import World

Serve = Callable[..., Server]

SLOW = {"name": "slow", "rules": [{"on": "job", "then": {"queue_seconds": 40, "run_seconds": 50}}]}
ETERNAL = {"name": "eternal", "rules": [{"on": "job", "then": {"run_seconds": 86_000}}]}
TEN_HOURS = 36_000
DAY = date(2024, 9, 10)

POLLER = """
import requests
{imports}

def submit(url, **fields):
    body = {{"prompt": "a cat", "mode": "flux1-dev", **fields}}
    answer = requests.post(url + "/flux/generate", json=body, headers={{"TT-API-KEY": "k"}}, timeout=30)
    return answer.json()["data"]["jobId"]

def poll(url, patience=1e9):
    job_id, give_up, calls = submit(url), {monotonic}() + patience, 0
    while {monotonic}() < give_up:
        calls += 1
        answer = requests.post(url + "/flux/fetch", json={{"jobId": job_id}}, headers={{"TT-API-KEY": "k"}}, timeout=30)
        if answer.json()["status"] == "SUCCESS":
            return calls
        {sleep}(3)
    raise TimeoutError(f"gave up after {{calls}} calls")
"""
STYLES = {
    "import time": POLLER.format(imports="import time", sleep="time.sleep", monotonic="time.monotonic"),
    "from time import": POLLER.format(
        imports="from time import monotonic, sleep", sleep="sleep", monotonic="monotonic"
    ),
    "as": POLLER.format(imports="from time import monotonic as m, sleep as s", sleep="s", monotonic="m"),
}

Write = Callable[[str], Callable[[], Any]]


def control(key: str = "k", **changes: object) -> TenantControl:
    world = World(Settings.of(**{"clock": "frozen", **changes}), deliverer=RecordingDeliverer())
    return TenantControl(world, key)


def submit(url: str, **fields: object) -> str:
    body = json.dumps({"prompt": "a cat", "mode": "flux1-dev", **fields}).encode()
    headers = {"TT-API-KEY": "k", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/flux/generate", body, headers)) as answer:
        return str(json.load(answer)["data"]["jobId"])


@contextmanager
def receiver(on_hook: Callable[[], object]) -> Iterator[str]:
    """Run a real receiver of hooks in a thread, and yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            on_hook()
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook"
        finally:
            server.shutdown()
            thread.join()
