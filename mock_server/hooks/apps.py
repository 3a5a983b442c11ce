"""Delivers webhooks into an application in this process, WSGI or ASGI, with no port in between."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Any

from mock_server.hooks.deliverer import delivery_headers
from mock_server.hooks.rules import HookTarget, parse_hook_url
from mock_server.model import Delivery, Receipt

App = Callable[..., Any]
"""A WSGI application (Flask, Django) or an ASGI 3 one (FastAPI, Starlette, Quart)."""

_log = logging.getLogger("fluxmock.hooks")


class AppDeliverer:
    """
    Calls `app` for each delivery; what it raises is logged, and counts as a 500.

    A WSGI application runs in the thread that moves the clock, so that a test's own database handles work in it. An
    ASGI one runs in a thread and an event loop of its own, for there may be a loop in the calling thread; its lifespan
    events are not sent.

    Args:
        app: the application.
        timeout: real seconds that an ASGI application may take; a WSGI one cannot be interrupted.
    """

    def __init__(self, app: App, timeout: float = 10.0) -> None:
        if not callable(app):
            raise TypeError(f"expected a WSGI or ASGI application, which can be called, got {app!r}")
        self._app = app
        self._is_asgi = inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(type(app).__call__)
        self._timeout = timeout

    def deliver(self, delivery: Delivery) -> Future[Receipt]:
        """Call the application; see `Deliverer`."""
        future: Future[Receipt] = Future()
        future.set_running_or_notify_cancel()
        if self._is_asgi:
            Thread(target=self._attempt, args=(delivery, future), name="fluxmock-hook-app", daemon=True).start()
        else:
            self._attempt(delivery, future)
        return future

    def close(self) -> None:
        """Do nothing: an attempt under way ends by itself."""

    def _attempt(self, delivery: Delivery, future: Future[Receipt]) -> None:
        started = time.perf_counter()
        status, error = None, None
        target = parse_hook_url(delivery.url)
        try:
            status = (
                asyncio.run(self._call_asgi(delivery, target)) if self._is_asgi else self._call_wsgi(delivery, target)
            )
        except TimeoutError:
            error = f"no answer within {self._timeout:g} s"
        except Exception as problem:  # noqa: BLE001 - a receiver's fault is what the attempt came to
            _log.warning("the application that receives %s failed", delivery.url, exc_info=problem)
            status = 500
        future.set_result(Receipt(status, error, elapsed=time.perf_counter() - started))

    def _call_wsgi(self, delivery: Delivery, target: HookTarget) -> int:
        from werkzeug.test import Client

        path, _, query = target.path.partition("?")
        answer = Client(self._app).post(
            path,
            base_url=f"{target.scheme}://{target.authority}",
            query_string=query,
            data=delivery.body,
            headers=delivery_headers(delivery),
        )
        return answer.status_code

    async def _call_asgi(self, delivery: Delivery, target: HookTarget) -> int:
        path, _, query = target.path.partition("?")
        headers = [("Host", target.authority), *delivery_headers(delivery)]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": target.scheme,
            "path": _unquoted(path),
            "raw_path": path.encode("ascii"),
            "query_string": query.encode("ascii"),
            "root_path": "",
            "headers": [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in headers],
            "client": ("127.0.0.1", 0),
            "server": (target.host, target.port),
        }
        body = [{"type": "http.request", "body": delivery.body, "more_body": False}]
        done = asyncio.Event()
        statuses: list[int] = []

        async def receive() -> dict[str, Any]:
            if not body:
                await done.wait()
                return {"type": "http.disconnect"}
            return body.pop()

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                done.set()

        async with asyncio.timeout(self._timeout):
            await self._app(scope, receive, send)
        if not statuses:
            raise RuntimeError("the application returned without an answer")
        return statuses[0]


def _unquoted(path: str) -> str:
    from urllib.parse import unquote

    return unquote(path)
