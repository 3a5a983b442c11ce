"""A good client with aiohttp, and the parts of which others are made."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

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
    url_of,
)
from zoo.registry import good


def api(base_url: str, api_key: str) -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    return aiohttp.ClientSession(base_url, headers={"TT-API-KEY": api_key}, timeout=timeout)


def upload_of(prompt: str, image: str) -> aiohttp.FormData:
    picture = Path(image)
    form = aiohttp.FormData(order_of(prompt))
    form.add_field("image", picture.read_bytes(), filename=picture.name, content_type="image/png")
    return form


async def submit(session: aiohttp.ClientSession, prompt: str, image: str | None = None) -> str:
    for attempt in range(ATTEMPTS):
        path, body = "/flux/generate", {"json": order_of(prompt)}
        if image is not None:
            path, body = "/flux/edits", {"data": upload_of(prompt, image)}
        async with session.post(path, allow_redirects=False, **body) as answer:
            if answer.status == 200:
                return job_of(await answer.json())
            if answer.status not in BUSY:
                break
            pause = pause_before(attempt, answer.headers.get("Retry-After"))
        await asyncio.sleep(pause)
    raise FluxError(f"the submission was answered {answer.status}")


async def look(session: aiohttp.ClientSession, job_id: str) -> Any:
    """Return what is known of a job; nothing, if it cannot be had now."""
    try:
        async with session.post("/flux/fetch", json={"jobId": job_id}, allow_redirects=False) as answer:
            if answer.status in BUSY:
                await asyncio.sleep(pause_before(0, answer.headers.get("Retry-After")))
            return await answer.json() if answer.status == 200 else {}
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return {}


async def wait(session: aiohttp.ClientSession, job_id: str) -> str:
    async with asyncio.timeout(DEADLINE):
        while True:
            await asyncio.sleep(PAUSE)
            url = url_of(await look(session, job_id))
            if url is not None:
                return url


async def download(url: str) -> bytes:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    async with aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as plain, plain.get(url) as answer:
        return await answer.read()


@good("aiohttp")
async def aiohttp_session(base_url: str, api_key: str, prompt: str, image: str | None = None) -> bytes:
    """Generates and edits, with one session for the API and another for the image."""
    async with api(base_url, api_key) as session:
        url = await wait(session, await submit(session, prompt, image))
    return await download(url)


@good("aiohttp")
async def aiohttp_by_get(base_url: str, api_key: str, prompt: str) -> bytes:
    """Polls by GET, which aiohttp sends once more by itself when the connection was lost, and sleeps before each poll."""
    async with api(base_url, api_key) as session, asyncio.timeout(DEADLINE):
        job_id, url = await submit(session, prompt), None
        while url is None:
            await asyncio.sleep(PAUSE)
            try:
                async with session.get("/flux/fetch", params={"jobId": job_id}, allow_redirects=False) as answer:
                    if answer.status in BUSY:
                        await asyncio.sleep(pause_before(0, answer.headers.get("Retry-After")))
                    url = url_of(await answer.json()) if answer.status == 200 else None
            except (aiohttp.ClientError, TimeoutError, ValueError):
                continue
    return await download(url)
