"""Clients that do HTTP by hand: C31, C34 and C54."""

from __future__ import annotations

import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit

from zoo import good_stdlib
from zoo.common import BUSY, TIMEOUT, FluxError, job_of, order_of, pause_before, polls, url_of
from zoo.good_requests import Api, download
from zoo.registry import broken


def ask(base_url: str, api_key: str, path: str, fields: dict[str, Any]) -> Any:
    """POST with a socket, and read the answer with one recv()."""
    host, body = urlsplit(base_url).netloc, json.dumps(fields)
    with socket.create_connection((host, 80), timeout=TIMEOUT) as connection:
        connection.sendall(
            f"POST /flux/{path} HTTP/1.1\r\nHost: {host}\r\nTT-API-KEY: {api_key}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        head, _, text = connection.recv(65536).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise FluxError(head.decode("latin-1").partition("\r\n")[0])
    return json.loads(text)


@broken("socket", "C31")
def one_recv(base_url: str, api_key: str, prompt: str) -> bytes:
    """One recv() is taken for the whole answer, and what comes in pieces or chunks is not understood."""
    job_id = job_of(ask(base_url, api_key, "generate", order_of(prompt)))
    return good_stdlib.download(good_stdlib.wait(base_url, api_key, job_id))


@broken("http.client", "C34")
def stale_connections_count(base_url: str, api_key: str, prompt: str) -> bytes:
    """Three troubles in all end the job, and each connection that the server closed while idle is one."""
    line, troubles = good_stdlib.Line(base_url, api_key), 0
    try:
        answer, body = line.post("/flux/generate", order_of(prompt))
        if answer.status != 200:
            raise FluxError(f"the submission was answered {answer.status}")
        job_id = job_of(json.loads(body))
        for _ in polls():
            try:
                answer, body = line.post("/flux/fetch", {"jobId": job_id})
                if answer.status in BUSY:
                    time.sleep(pause_before(0, answer.getheader("Retry-After")))
                url = url_of(json.loads(body)) if answer.status == 200 else None
            except good_stdlib.LOST as error:
                troubles += 1
                if troubles > 3:
                    raise FluxError("the connection is no good") from error
                continue
            if url is not None:
                return good_stdlib.download(url)
    finally:
        line.connection.close()
    raise AssertionError


_SESSIONS: list[Any] = []


@broken("requests", "C54")
def keeps_every_session(base_url: str, api_key: str, prompt: str) -> bytes:
    """A session for each call, kept in a list "for reuse", and never closed."""
    api = Api(base_url, api_key)
    _SESSIONS.append(api)
    return download(api.wait(api.submit(prompt)))


_POOL: list[good_stdlib.Line] = []


@broken("http.client", "C54")
def pool_that_only_grows(base_url: str, api_key: str, prompt: str) -> bytes:
    """Connections are put into a pool when they are made, and nobody takes them out."""
    line = good_stdlib.Line(base_url, api_key)
    _POOL.append(line)
    answer, body = line.post("/flux/generate", order_of(prompt))
    if answer.status != 200:
        raise FluxError(f"the submission was answered {answer.status}")
    return good_stdlib.download(good_stdlib.wait(base_url, api_key, job_of(json.loads(body))))
