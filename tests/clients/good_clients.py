"""Clients of each stack of Python that do right what C43 to C55 are about; in polling they are simple."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import requests
from urllib3.filepost import encode_multipart_formdata

PAUSE, DEADLINE, ATTEMPTS, TIMEOUT = 2.0, 120.0, 4, 20.0
BUSY = (429, 503)


class Refused(Exception):
    """What a client reports."""


def job_of(answer: Any) -> str:
    data = answer.get("data") or {}
    return str(data.get("jobId") or data["job_id"])


def url_of(answer: Any) -> str | None:
    """Return the URL of the image; None as long as the job runs."""
    if answer.get("status") == "FAILED":
        raise Refused(f"the job failed: {answer.get('message')}")
    return str(answer["data"]["imageUrl"]) if answer.get("status") == "SUCCESS" else None


def form_of(prompt: str, image: str) -> tuple[dict[str, str], tuple[str, bytes, str]]:
    file = Path(image)
    return {"prompt": prompt, "mode": "flux1-dev"}, (file.name, file.read_bytes(), "image/png")


def polls() -> Iterator[None]:
    ends = time.monotonic() + DEADLINE
    while time.monotonic() < ends:
        time.sleep(PAUSE)
        yield
    raise Refused("the job took too long")


def with_requests(base_url: str, api_key: str, prompt: str, image: str | None = None) -> bytes:
    def call(path: str, **body: Any) -> requests.Response:
        return session.post(
            base_url + path, headers={"TT-API-KEY": api_key}, allow_redirects=False, timeout=TIMEOUT, **body
        )

    with requests.Session() as session:
        for attempt in range(ATTEMPTS):
            if image is None:
                answer = call("/flux/generate", json={"prompt": prompt, "mode": "flux1-dev"})
            else:
                fields, file = form_of(prompt, image)
                answer = call("/flux/edits", data=fields, files={"image": file})
            if answer.status_code not in BUSY:
                break
            time.sleep(2.0**attempt)
        if answer.status_code != 200:
            raise Refused(f"submission: HTTP {answer.status_code}")
        job_id = job_of(answer.json())
        for _ in polls():
            try:
                answer = call("/flux/fetch", json={"jobId": job_id})
                url = url_of(answer.json()) if answer.status_code == 200 else None
            except requests.RequestException:
                continue
            if url is not None:
                break
    for attempt in range(ATTEMPTS):
        time.sleep(attempt)
        try:
            image_answer = requests.get(url, timeout=TIMEOUT)
            image_answer.raise_for_status()
        except requests.RequestException as error:
            trouble: Exception = error
        else:
            return image_answer.content
    raise Refused("the image could not be downloaded") from trouble


def with_httpx(base_url: str, api_key: str, prompt: str, image: str | None = None) -> bytes:
    with httpx.Client(timeout=TIMEOUT) as client:
        headers = {"TT-API-KEY": api_key}
        for attempt in range(ATTEMPTS):
            if image is None:
                body: dict[str, Any] = {"json": {"prompt": prompt, "mode": "flux1-dev"}}
            else:
                fields, file = form_of(prompt, image)
                body = {"data": fields, "files": {"image": file}}
            answer = client.post(f"{base_url}/flux/{'generate' if image is None else 'edits'}", headers=headers, **body)
            if answer.status_code not in BUSY:
                break
            time.sleep(2.0**attempt)
        if answer.status_code != 200:
            raise Refused(f"submission: HTTP {answer.status_code}")
        job_id = job_of(answer.json())
        for _ in polls():
            try:
                answer = client.post(f"{base_url}/flux/fetch", headers=headers, json={"jobId": job_id})
                url = url_of(answer.json()) if answer.status_code == 200 else None
            except httpx.HTTPError:
                continue
            if url is not None:
                break
        return client.get(url).raise_for_status().content


def with_urllib(base_url: str, api_key: str, prompt: str, image: str | None = None) -> bytes:
    class NoRedirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    opener = urllib.request.build_opener(NoRedirects)

    def call(path: str, body: bytes, kind: str) -> Any:
        headers = {"TT-API-KEY": api_key, "Content-Type": kind}
        with opener.open(urllib.request.Request(base_url + path, body, headers), timeout=TIMEOUT) as answer:
            return json.load(answer)

    if image is None:
        path, body, kind = (
            "/flux/generate",
            json.dumps({"prompt": prompt, "mode": "flux1-dev"}).encode(),
            "application/json",
        )
    else:
        fields, file = form_of(prompt, image)
        path, (body, kind) = "/flux/edits", encode_multipart_formdata({**fields, "image": file})
    job_id = job_of(call(path, body, kind))
    for _ in polls():
        url = url_of(call("/flux/fetch", json.dumps({"jobId": job_id}).encode(), "application/json"))
        if url is not None:
            break
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
        return bytes(answer.read())


async def with_aiohttp(base_url: str, api_key: str, prompt: str, image: str | None = None) -> bytes:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    headers = {"TT-API-KEY": api_key}
    async with aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session:
        if image is None:
            body: dict[str, Any] = {"json": {"prompt": prompt, "mode": "flux1-dev"}}
        else:
            fields, (name, data, kind) = form_of(prompt, image)
            form = aiohttp.FormData(fields)
            form.add_field("image", data, filename=name, content_type=kind)
            body = {"data": form}
        path = f"{base_url}/flux/{'generate' if image is None else 'edits'}"
        async with session.post(path, headers=headers, allow_redirects=False, **body) as answer:
            job_id = job_of(await answer.json())
        for _ in range(int(DEADLINE / PAUSE)):
            await asyncio.sleep(PAUSE)
            async with session.post(
                f"{base_url}/flux/fetch", headers=headers, json={"jobId": job_id}, allow_redirects=False
            ) as answer:
                url = url_of(await answer.json())
            if url is not None:
                break
        else:
            raise Refused("the job took too long")
        async with session.get(url) as answer:
            return await answer.read()


def url_only(base_url: str, api_key: str, prompt: str) -> str:
    """Return the URL, and download nothing."""
    with requests.Session() as session:
        session.headers["TT-API-KEY"] = api_key
        order = {"prompt": prompt, "mode": "flux1-dev"}
        answer = session.post(base_url + "/flux/generate", json=order, timeout=TIMEOUT, allow_redirects=False)
        answer.raise_for_status()
        job_id = job_of(answer.json())
        for _ in polls():
            answer = session.post(
                base_url + "/flux/fetch", json={"jobId": job_id}, timeout=TIMEOUT, allow_redirects=False
            )
            url = url_of(answer.json()) if answer.status_code == 200 else None
            if url is not None:
                return url
    raise AssertionError


GOOD: tuple[Callable[..., Any], ...] = (with_requests, with_httpx, with_urllib, with_aiohttp, url_only)
