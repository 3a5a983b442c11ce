"""Good clients with httpx, and the parts of which others are made."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from zoo.common import (
    ATTEMPTS,
    BUSY,
    DEADLINE,
    PAUSE,
    TIMEOUT,
    FluxError,
    job_of,
    order_of,
    pause_before,
    polls,
    url_of,
)
from zoo.registry import good

RESULTS = tempfile.TemporaryDirectory(prefix="zoo-")


def api(base_url: str, api_key: str, **options: Any) -> httpx.Client:
    return httpx.Client(**{"base_url": base_url, "headers": {"TT-API-KEY": api_key}, "timeout": TIMEOUT, **options})


def submit(client: httpx.Client, prompt: str) -> str:
    for attempt in range(ATTEMPTS):
        answer = client.post("/flux/generate", json=order_of(prompt))
        if answer.status_code not in BUSY:
            break
        time.sleep(pause_before(attempt, answer.headers.get("Retry-After")))
    if answer.status_code != 200:
        raise FluxError(f"HTTP {answer.status_code}: {answer.text[:200]}")
    return job_of(answer.json())


def look(client: httpx.Client, job_id: str) -> Any:
    """Return what is known of a job; nothing if that cannot be had now."""
    try:
        answer = client.post("/flux/fetch", json={"jobId": job_id})
        if answer.status_code in BUSY:
            time.sleep(pause_before(0, answer.headers.get("Retry-After")))
        return answer.json() if answer.status_code == 200 else {}
    except (httpx.HTTPError, ValueError):
        return {}


def wait(client: httpx.Client, job_id: str) -> str:
    for _ in polls():
        url = url_of(look(client, job_id))
        if url is not None:
            return url
    raise AssertionError


@good("httpx")
def httpx_client(base_url: str, api_key: str, prompt: str) -> str:
    """Writes the image to a file that is named for the job, and returns its path."""
    with api(base_url, api_key) as client:
        job_id = submit(client, prompt)
        url = wait(client, job_id)
    path = Path(RESULTS.name, f"{job_id}.webp")
    path.write_bytes(httpx.get(url, timeout=TIMEOUT).raise_for_status().content)
    return str(path)


async def submit_async(client: httpx.AsyncClient, prompt: str) -> str:
    for attempt in range(ATTEMPTS):
        answer = await client.post("/flux/generate", json=order_of(prompt))
        if answer.status_code not in BUSY:
            break
        await asyncio.sleep(pause_before(attempt, answer.headers.get("Retry-After")))
    if answer.status_code != 200:
        raise FluxError(f"HTTP {answer.status_code}: {answer.text[:200]}")
    return job_of(answer.json())


async def look_async(client: httpx.AsyncClient, job_id: str) -> Any:
    """Return what is known of a job; nothing if that cannot be had now."""
    try:
        answer = await client.post("/flux/fetch", json={"jobId": job_id})
        if answer.status_code in BUSY:
            await asyncio.sleep(pause_before(0, answer.headers.get("Retry-After")))
        return answer.json() if answer.status_code == 200 else {}
    except (httpx.HTTPError, ValueError):
        return {}


async def wait_async(client: httpx.AsyncClient, job_id: str) -> str:
    async with asyncio.timeout(DEADLINE):
        while True:
            await asyncio.sleep(PAUSE)
            url = url_of(await look_async(client, job_id))
            if url is not None:
                return url


def api_async(base_url: str, api_key: str, **options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        **{"base_url": base_url, "headers": {"TT-API-KEY": api_key}, "timeout": TIMEOUT, **options}
    )


@good("httpx async")
async def httpx_async(base_url: str, api_key: str, prompt: str) -> bytes:
    """Polls under asyncio.timeout, and downloads with a client that has no key."""
    async with api_async(base_url, api_key) as client:
        url = await wait_async(client, await submit_async(client, prompt))
    async with httpx.AsyncClient(timeout=TIMEOUT) as plain:
        return (await plain.get(url)).raise_for_status().content
