"""Five clients that make the same calls, and what each of them gets, in words that can be compared."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import httpx
import requests

NODE_FETCH = Path(__file__).with_name("node_fetch.mjs")
_OWN_TO_A_RUN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|http://[^\"]+")
_PUBLIC_MODULES = {"aiohttp.client_exceptions": "aiohttp", "json.decoder": "json", "builtins": ""}


@dataclass(frozen=True)
class Request:
    """One call; `body` is sent as JSON, None sends none."""

    method: str
    url: str
    headers: dict[str, str]
    body: dict[str, str] | None


Parse = Callable[[], Any]


class Session(Protocol):
    """A client for several calls. It follows its own defaults; only the time limit is set."""

    def send(self, request: Request) -> tuple[int, Parse]:
        """Make a call; return the status and what reads the JSON. Both raise what the client raises."""


class Requests:
    def __init__(self, stack: ExitStack, timeout: float) -> None:
        self.session = stack.enter_context(requests.Session())
        self.timeout = timeout

    def send(self, request: Request) -> tuple[int, Parse]:
        answer = self.session.request(
            request.method, request.url, headers=request.headers, json=request.body, timeout=self.timeout
        )
        return answer.status_code, answer.json


class Httpx:
    TLS = ssl.create_default_context()  # made once, for it takes longer than a call

    def __init__(self, stack: ExitStack, timeout: float) -> None:
        self.client = stack.enter_context(httpx.Client(timeout=timeout, verify=self.TLS))

    def send(self, request: Request) -> tuple[int, Parse]:
        answer = self.client.request(request.method, request.url, headers=request.headers, json=request.body)
        return answer.status_code, answer.json


class Aiohttp:
    def __init__(self, stack: ExitStack, timeout: float) -> None:
        self.runner = stack.enter_context(asyncio.Runner())
        self.session = self.runner.run(self._session(timeout))
        stack.callback(lambda: self.runner.run(self.session.close()))

    async def _session(self, timeout: float) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout))

    def send(self, request: Request) -> tuple[int, Parse]:
        return self.runner.run(self._send(request))

    async def _send(self, request: Request) -> tuple[int, Parse]:
        for _ in range(10):  # the loop stood still since the last call: let it see what has happened to connections
            await asyncio.sleep(0)
        answer = await self.session.request(request.method, request.url, headers=request.headers, json=request.body)
        return answer.status, lambda: self.runner.run(answer.json())


class Urllib:
    def __init__(self, stack: ExitStack, timeout: float) -> None:
        self.stack = stack
        self.timeout = timeout

    def send(self, request: Request) -> tuple[int, Parse]:
        body = None if request.body is None else json.dumps(request.body).encode()
        headers = {**request.headers, "Content-Type": "application/json"}
        order = urllib.request.Request(request.url, body, headers, method=request.method)
        try:
            answer = self.stack.enter_context(urllib.request.urlopen(order, timeout=self.timeout))
        except urllib.error.HTTPError as error:
            self.stack.enter_context(error)  # it holds the connection
            raise
        return answer.status, lambda: json.load(answer)


class NodeError(Exception):
    """What a call in Node threw, in words."""


class Node:
    """One Node process for many sessions: fetch keeps connections for each origin, and each test has its own."""

    def __init__(self, executable: str) -> None:
        self.process = subprocess.Popen(
            [executable, str(NODE_FETCH)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def session(self, _stack: ExitStack, timeout: float) -> NodeSession:
        return NodeSession(self, timeout)

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate(timeout=20)  # the end of its input is the end of it


class NodeSession:
    def __init__(self, node: Node, timeout: float) -> None:
        self.node = node
        self.timeout = timeout

    def send(self, request: Request) -> tuple[int, Parse]:
        got = self.node.ask({**vars(request), "timeout": self.timeout})
        if "status" not in got:
            raise NodeError(got["error"])

        def parse() -> Any:
            if "error" in got:
                raise NodeError(got["error"])
            return got["value"]

        return got["status"], parse


PYTHON_CLIENTS: dict[str, Callable[[ExitStack, float], Session]] = {
    "requests": Requests,
    "httpx": Httpx,
    "aiohttp": Aiohttp,
    "urllib": Urllib,
}


def outcome(session: Session, request: Request, clean: Any) -> str:
    """
    Make a call and return what the client gets: "value", or the status if it is not 200 and what is different.

    Args:
        session: the client.
        request: the call.
        clean: the value without the fault.
    """
    status = 0
    try:
        status, parse = session.send(request)
        got = _changed(parse(), clean)
    except Exception as error:  # noqa: BLE001 - which one it is, is the question
        got = _named(error)
    return got if status in {0, 200} else f"{status}, {got}"


def _changed(value: Any, clean: Any) -> str:
    value, clean = (json.loads(_OWN_TO_A_RUN.sub("*", json.dumps(part))) for part in (value, clean))
    if value == clean:
        return "value"
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    changed = {name: part for name, part in value.items() if name not in clean or clean[name] != part}
    gone = [f"no {name}" for name in clean if name not in value]
    return ", ".join([json.dumps(changed, ensure_ascii=False)] * bool(changed) + gone)


def _named(error: Exception) -> str:
    if isinstance(error, NodeError):
        return str(error)
    kind = type(error)
    module = _PUBLIC_MODULES.get(kind.__module__, kind.__module__)
    code = f" {error.code}" if isinstance(error, urllib.error.HTTPError) else ""
    return f"{module}.{kind.__qualname__}{code}".lstrip(".")
