"""Small clients to make reports about: a good one with urllib, a naive one with requests, one that never calls."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from typing import Any

import requests

BUSY = (429, 503)
PAUSE, DEADLINE, ATTEMPTS, MOST_PAUSE = 2.0, 120.0, 4, 60.0


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


OPENER = urllib.request.build_opener(NoRedirects)


def good(base_url: str, api_key: str, prompt: str) -> str:
    order = {"prompt": prompt, "mode": "flux1-dev"}
    until = time.monotonic() + DEADLINE
    for attempt in range(1, ATTEMPTS + 1):
        try:
            job_id = call(base_url, "generate", api_key, order)["data"]["jobId"]
            break
        except urllib.error.HTTPError as error:
            if error.code not in BUSY or attempt == ATTEMPTS:
                raise
            time.sleep(pause_of(error, attempt))
    pause = PAUSE
    while time.monotonic() < until:
        time.sleep(pause)
        try:
            answer = call(base_url, "fetch", api_key, {"jobId": job_id})
        except urllib.error.HTTPError as error:
            pause = pause_of(error, 2) if error.code in BUSY else PAUSE
            continue
        except (OSError, ValueError, http.client.HTTPException):
            continue
        pause = PAUSE
        if answer.get("status") == "FAILED":
            raise RuntimeError(f"the job failed: {answer.get('message')}")
        if answer.get("status") == "SUCCESS":
            url = (answer.get("data") or {}).get("imageUrl")
            if not url:
                raise RuntimeError("there is no image")
            return str(url)
    raise TimeoutError("the job took too long")


def call(base_url: str, path: str, api_key: str, fields: dict[str, str]) -> Any:
    headers = {"TT-API-KEY": api_key, "Content-Type": "application/json"}
    order = urllib.request.Request(f"{base_url}/flux/{path}", json.dumps(fields).encode(), headers)
    with OPENER.open(order, timeout=20) as answer:
        read = json.load(answer)
    if not isinstance(read, dict):
        raise ValueError("expected an object")
    return read


def pause_of(error: urllib.error.HTTPError, attempt: int) -> float:
    told = error.headers.get("Retry-After", "")
    return min(float(told), MOST_PAUSE) if told.isdecimal() else PAUSE * 2**attempt


def naive(base_url: str, api_key: str, prompt: str) -> Any:
    headers = {"TT-API-KEY": api_key}
    order = {"prompt": prompt, "mode": "flux1-dev"}
    for _ in range(3):
        try:
            job = requests.post(f"{base_url}/flux/generate", json=order, headers=headers, timeout=10).json()["data"]
            break
        except Exception:  # noqa: BLE001, S112 - it is naive
            continue
    for _ in range(20):
        answer = requests.post(f"{base_url}/flux/fetch", json=job, headers=headers, timeout=10).json()
        if answer["status"] == "SUCCESS":
            return answer["data"]["imageUrl"]
        time.sleep(1)
    return None


def says_no_mode(base_url: str, api_key: str, prompt: str) -> str:
    return str(call(base_url, "generate", api_key, {"prompt": prompt})["data"])


def never_calls(base_url: str, api_key: str, prompt: str) -> str:
    return f"{base_url}/images/{prompt}.webp"


def takes_too_little(prompt: str) -> str:
    return prompt


def takes_hooks(base_url: str, api_key: str, prompt: str, hook_url: str) -> str:
    order = {"prompt": prompt, "mode": "flux1-dev", "hookUrl": hook_url}
    job_id = call(base_url, "generate", api_key, order)["data"]["jobId"]
    while True:
        time.sleep(5)
        answer = call(base_url, "fetch", api_key, {"jobId": job_id})
        if answer["status"] in {"SUCCESS", "FAILED"}:
            return str(answer["data"]["imageUrl"])


def receiver(environ: Any, start_response: Any) -> list[bytes]:
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("204 No Content", [])
    return []
