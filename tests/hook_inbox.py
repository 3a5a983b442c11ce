"""A receiver of webhooks that notes what comes, and the scenarios and control of those who wait for it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from flask import Flask, request
from support import Caller

from mock_server.control import TenantControl

HOOK = "http://127.0.0.1:9/hook"
LONG = {"name": "long", "rules": [{"on": "job", "then": {"queue_seconds": 40, "run_seconds": 50}}]}


class Inbox:
    """A webhook receiver, as a Flask application, that notes what comes; `also` runs in each call."""

    def __init__(self, *statuses: int, also: Callable[[], object] = lambda: None) -> None:
        self.statuses = list(statuses) or [204]
        self.bodies: list[bytes] = []
        self.types: list[str | None] = []
        self.urls: list[str] = []
        self.threads: list[int] = []
        self.app = Flask("inbox")

        @self.app.post("/<path:path>")
        def _receive(path: str) -> tuple[str, int]:
            self.bodies.append(request.get_data())
            self.types.append(request.headers.get("Content-Type"))
            self.urls.append(request.url)
            self.threads.append(threading.get_ident())
            also()
            return "", self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]

    def statuses_seen(self) -> list[str]:
        return [json.loads(body)["status"] for body in self.bodies]


def control(caller: Caller) -> TenantControl:
    return TenantControl(caller.app.world, caller.key)


def rules(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"name": "mine", "rules": list(rules)}
