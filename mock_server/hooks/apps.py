"""Delivers webhooks into an application in this process, WSGI or ASGI, with no port in between."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from io import BytesIO
from pathlib import Path
from threading import Thread, get_ident
from typing import Any, TypeVar
from urllib.parse import unquote, unquote_to_bytes

from mock_server.hooks.deliverer import delivery_headers
from mock_server.hooks.rules import HookTarget, parse_hook_url
from mock_server.model import Delivery, Receipt

App = Callable[..., Any]
"""A WSGI application (Flask, Django) or an ASGI 3 one (FastAPI, Starlette, Quart)."""

_T = TypeVar("_T")
_log = logging.getLogger("fluxmock.hooks")


class AppDeliverer:
    """
    Calls `app` for each delivery; what it raises is logged, and counts as a 500.

    A WSGI application runs in the thread that moves the clock, so that a test's own database handles work in it. An
    ASGI one runs in a thread and an event loop of its own for each webhook, for there may be a loop in the calling
    thread. Its lifespan events are not sent, and what it keeps from one call to the next must not belong to a loop: an
    application that needs that is to be served on a port.

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
        self._threads: set[int] = set()

    @property
    def runs_here(self) -> bool:
        """Whether the application is what runs in this thread."""
        return get_ident() in self._threads

    def deliver(self, delivery: Delivery, *, here: bool = False) -> Future[Receipt]:
        """
        Call the application; see `Deliverer`.

        Args:
            delivery: the webhook.
            here: call a WSGI application in this thread. What it raises beyond Exception, as pytest.fail does, goes on.
        """
        future: Future[Receipt] = Future()
        future.set_running_or_notify_cancel()
        if here and not self._is_asgi:
            self._attempt(delivery, future)
        else:
            thread = Thread(target=self._attempt_apart, args=(delivery, future), name="fluxmock-hook-app", daemon=True)
            thread.start()
        return future

    def close(self) -> None:
        """Do nothing: an attempt under way ends by itself."""

    def _attempt_apart(self, delivery: Delivery, future: Future[Receipt]) -> None:
        try:
            self._attempt(delivery, future)
        except BaseException as problem:  # noqa: BLE001 - it has no thread to go on in but this
            _log.warning("the application that receives %s failed", shown_url(delivery.url), exc_info=problem)
            if not future.done():
                future.set_result(Receipt(500, f"the application raised {_where(problem)}"))

    def _attempt(self, delivery: Delivery, future: Future[Receipt]) -> None:
        started = time.perf_counter()

        def answered(status: int | None, error: str | None = None) -> None:
            if not future.done():
                future.set_result(Receipt(status, error, elapsed=time.perf_counter() - started))

        target = parse_hook_url(delivery.url)
        self._threads.add(get_ident())
        try:
            if self._is_asgi:
                asyncio.run(self._call_asgi(delivery, target, answered))
            else:
                answered(self._call_wsgi(delivery, target))
        except Exception as problem:  # noqa: BLE001 - a receiver's fault is what the attempt came to
            _log.warning("the application that receives %s failed", shown_url(delivery.url), exc_info=problem)
            answered(500, f"the application raised {_where(problem)}")
        finally:
            self._threads.discard(get_ident())

    def _call_wsgi(self, delivery: Delivery, target: HookTarget) -> int:
        path, _, query = target.path.partition("?")
        headers = {f"HTTP_{_wsgi_name(name)}": value for name, value in delivery_headers(delivery)}
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "CONTENT_TYPE": headers.pop("HTTP_CONTENT_TYPE", ""),
            "CONTENT_LENGTH": headers.pop("HTTP_CONTENT_LENGTH"),
            "SERVER_NAME": target.host,
            "SERVER_PORT": str(target.port),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": target.authority,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": target.scheme,
            "wsgi.input": BytesIO(delivery.body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        environ |= headers
        started: list[str] = []

        def start_response(status: str, _headers: object, _trouble: object = None) -> Callable[[bytes], object]:
            started.append(status)
            return lambda _data: None

        answer = self._app(environ, start_response)
        try:
            for _ in answer:
                pass
        finally:
            if hasattr(answer, "close"):
                answer.close()
        return int(_of_last(started)[:3])

    async def _call_asgi(
        self, delivery: Delivery, target: HookTarget, answered: Callable[[int | None, str | None], None]
    ) -> None:
        path, _, query = target.path.partition("?")
        headers = [("Host", target.authority), *delivery_headers(delivery)]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": target.scheme,
            "path": unquote(path),
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
                answered(_of_last(statuses), None)  # what it does afterwards, in the background, is its own affair
                done.set()

        call = asyncio.ensure_future(self._app(scope, receive, send))
        ended = asyncio.ensure_future(done.wait())
        await asyncio.wait({call, ended}, timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not call.done() and not done.is_set():
            call.cancel()
            answered(None, f"no answer within {self._timeout:g} s")
            return
        await call
        answered(_of_last(statuses), None)


def shown_url(url: str) -> str:
    """Return a hook URL without what may be secret in it."""
    return url.partition("?")[0]


def _where(problem: BaseException) -> str:
    """Say what was raised, and where in the application."""
    frames = traceback.extract_tb(problem.__traceback__)
    last = frames[-1] if frames else None
    place = f" at {Path(last.filename).name}:{last.lineno}" if last else ""
    return f"{type(problem).__name__}: {str(problem)[:200]}{place}"


def _wsgi_name(name: str) -> str:
    return name.upper().replace("-", "_")


def _of_last(answers: list[_T]) -> _T:
    if not answers:
        raise RuntimeError("the application returned without an answer")
    return answers[-1]
