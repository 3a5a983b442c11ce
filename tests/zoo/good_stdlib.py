"""Good clients with nothing but the standard library, and the parts of which others are made."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from zoo.common import ATTEMPTS, BUSY, TIMEOUT, FluxError, job_of, order_of, pause_before, polls, url_of
from zoo.registry import good

LOST = (OSError, http.client.HTTPException, ValueError)


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


OPENER = urllib.request.build_opener(NoRedirects)


def call(base_url: str, api_key: str, path: str, fields: dict[str, Any]) -> Any:
    headers = {"TT-API-KEY": api_key, "Content-Type": "application/json"}
    request = urllib.request.Request(f"{base_url}/flux/{path}", json.dumps(fields).encode(), headers)
    with OPENER.open(request, timeout=TIMEOUT) as answer:
        return json.load(answer)


def submit(base_url: str, api_key: str, prompt: str) -> str:
    for attempt in range(ATTEMPTS):
        try:
            return job_of(call(base_url, api_key, "generate", order_of(prompt)))
        except urllib.error.HTTPError as error:
            if error.code not in BUSY:
                raise
            time.sleep(pause_before(attempt, error.headers.get("Retry-After")))
    raise FluxError("the API was busy too often")


def look(base_url: str, api_key: str, job_id: str) -> Any:
    """Return what is known of a job; nothing if that cannot be had now."""
    try:
        return call(base_url, api_key, "fetch", {"jobId": job_id})
    except urllib.error.HTTPError as error:
        if error.code in BUSY:
            time.sleep(pause_before(0, error.headers.get("Retry-After")))
        return {}
    except LOST:
        return {}


def wait(base_url: str, api_key: str, job_id: str) -> str:
    for _ in polls():
        url = url_of(look(base_url, api_key, job_id))
        if url is not None:
            return url
    raise AssertionError


def download(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
        return answer.read()


@good("urllib")
def urllib_url(base_url: str, api_key: str, prompt: str) -> str:
    """Follows no redirects, and returns the URL."""
    return wait(base_url, api_key, submit(base_url, api_key, prompt))


@good("urllib")
def urllib_bytes(base_url: str, api_key: str, prompt: str) -> bytes:
    """Opens a connection for every call, and downloads without retries."""
    return download(wait(base_url, api_key, submit(base_url, api_key, prompt)))


class Line:
    """One connection to the API, which is opened anew when it is no use any more."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=TIMEOUT)
        self.headers = {"TT-API-KEY": api_key, "Content-Type": "application/json"}

    def post(self, path: str, fields: dict[str, Any]) -> tuple[http.client.HTTPResponse, bytes]:
        try:
            self.connection.request("POST", path, json.dumps(fields), self.headers)
            answer = self.connection.getresponse()
            return answer, answer.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise


@good("http.client")
def http_client(base_url: str, api_key: str, prompt: str) -> bytes:
    """Keeps one connection, and makes a new one whenever that was closed; a submission is sent once."""
    line = Line(base_url, api_key)
    try:
        answer, body = line.post("/flux/generate", order_of(prompt))
        if answer.status != 200:
            raise FluxError(f"the submission was answered {answer.status}")
        job_id = job_of(json.loads(body))
        for _ in polls():
            try:
                answer, body = line.post("/flux/fetch", {"jobId": job_id})
                if answer.status in BUSY:
                    time.sleep(pause_before(0, answer.headers.get("Retry-After")))
                url = url_of(json.loads(body)) if answer.status == 200 else None
            except LOST:
                continue
            if url is not None:
                break
    finally:
        line.connection.close()
    return download(url)
