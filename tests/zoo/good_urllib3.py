"""A good client with urllib3 alone, whose own retries are switched off for the API."""

from __future__ import annotations

import json
import time
from typing import Any

import urllib3
from urllib3.util import Retry

from zoo.common import ATTEMPTS, BUSY, TIMEOUT, FluxError, job_of, order_of, pause_before, polls, url_of
from zoo.registry import good


class Api:
    """The API, called through one pool of connections."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self.base_url = base_url
        self.headers = {"TT-API-KEY": api_key}
        self.pool = urllib3.PoolManager(timeout=TIMEOUT, retries=False)

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.clear()

    def post(self, path: str, fields: dict[str, str], **options: Any) -> urllib3.BaseHTTPResponse:
        return self.pool.request("POST", f"{self.base_url}/flux/{path}", json=fields, headers=self.headers, **options)

    def submit(self, prompt: str) -> str:
        for attempt in range(ATTEMPTS):
            answer = self.post("generate", order_of(prompt))
            if answer.status not in BUSY:
                break
            time.sleep(pause_before(attempt, answer.headers.get("Retry-After")))
        if answer.status != 200:
            raise FluxError(f"HTTP {answer.status}: {answer.data[:200]!r}")
        return job_of(answer.json())

    def wait(self, job_id: str) -> str:
        for _ in polls():
            try:
                answer = self.post("fetch", {"jobId": job_id})
                if answer.status in BUSY:
                    time.sleep(pause_before(0, answer.headers.get("Retry-After")))
                url = url_of(answer.json()) if answer.status == 200 else None
            except (urllib3.exceptions.HTTPError, json.JSONDecodeError):
                continue
            if url is not None:
                return url
        raise AssertionError


def download(url: str) -> bytes:
    """Return an image; here retries do no harm."""
    retries = Retry(3, backoff_factor=1, status_forcelist=[500, 502, 503])
    with urllib3.PoolManager(timeout=TIMEOUT, retries=retries) as pool:
        answer = pool.request("GET", url)
    if answer.status != 200:
        raise FluxError(f"the image could not be downloaded: HTTP {answer.status}")
    return answer.data


@good("urllib3")
def urllib3_pool(base_url: str, api_key: str, prompt: str) -> bytes:
    """Has downloads retried by urllib3, and nothing else."""
    with Api(base_url, api_key) as api:
        url = api.wait(api.submit(prompt))
    return download(url)
