"""Clients that do not know when to come again, or when to go: C11, C12, C20 to C25."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request

import httpx
import requests
import urllib3
from urllib3.util import Retry

from zoo import good_aiohttp, good_httpx, good_stdlib, good_urllib3
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
from zoo.good_requests import Api, download
from zoo.registry import broken


@broken("aiohttp", "C11")
async def milliseconds(base_url: str, api_key: str, prompt: str) -> bytes:
    """A pause of 250 ms seems polite to a person, and is four calls a second to a server."""
    async with good_aiohttp.api(base_url, api_key) as session:
        job_id = await good_aiohttp.submit(session, prompt)
        async with asyncio.timeout(DEADLINE):
            while (url := url_of(await good_aiohttp.look(session, job_id))) is None:
                await asyncio.sleep(0.25)
    return await good_aiohttp.download(url)


@broken("requests", "C11")
def pause_counts_the_call(base_url: str, api_key: str, prompt: str) -> bytes:
    """It sleeps for what is left of its pause after the call, which is nothing when answers are slow."""
    with Api(base_url, api_key) as api:
        job_id = api.submit(prompt)
        ends = time.monotonic() + 4 * DEADLINE
        while time.monotonic() < ends:
            began, url = time.monotonic(), None
            try:
                answer = api.post("fetch", json={"jobId": job_id}, timeout=30)
                if answer.status_code in BUSY:
                    time.sleep(pause_before(0, answer.headers.get("Retry-After")))
                url = url_of(answer.json()) if answer.status_code == 200 else None
            except (requests.RequestException, ValueError):
                time.sleep(PAUSE)
            if url is not None:
                return download(url)
            time.sleep(max(0.0, PAUSE - (time.monotonic() - began)))
    raise FluxError("the job took too long")


@broken("requests", "C12")
def hurries_when_it_fails(base_url: str, api_key: str, prompt: str) -> bytes:
    """It polls every twenty seconds, and every second while fetches fail: "it must be back at any moment"."""
    with Api(base_url, api_key) as api:
        job_id = api.submit(prompt)
        ends, pause = time.monotonic() + DEADLINE, 20.0
        while time.monotonic() < ends:
            time.sleep(pause)
            body = api.look(job_id)
            url = url_of(body)
            if url is not None:
                return download(url)
            pause = 20.0 if body else 1.0
    raise FluxError("the job took too long")


@broken("requests", "C12")
def continues_before_it_sleeps(base_url: str, api_key: str, prompt: str) -> bytes:
    """After an error `continue` jumps over the sleep at the end of the loop."""
    with Api(base_url, api_key) as api:
        job_id = api.submit(prompt)
        for _ in range(int(DEADLINE / PAUSE)):
            try:
                answer = api.post("fetch", json={"jobId": job_id})
                if answer.status_code in BUSY:
                    time.sleep(pause_before(0, answer.headers.get("Retry-After")))
                url = url_of(answer.json()) if answer.status_code < 500 else None
            except (requests.RequestException, ValueError):
                continue
            if url is not None:
                return download(url)
            time.sleep(PAUSE)
    raise FluxError("the job took too long")


@broken("requests", "C20")
def has_a_pause_of_its_own(base_url: str, api_key: str, prompt: str) -> bytes:
    """After 429 it sleeps five seconds, whatever the server says."""
    with Api(base_url, api_key) as api:
        for _ in range(5):
            answer = api.post("generate", json=order_of(prompt))
            if answer.status_code != 429:
                break
            time.sleep(5)
        if answer.status_code != 200:
            raise FluxError(f"the submission was answered {answer.status_code}")
        url = api.wait(job_of(answer.json()))
    return download(url)


@broken("httpx", "C20")
def polls_on_through_429(base_url: str, api_key: str, prompt: str) -> str:
    """A 429 to a fetch is one more "not yet", and the next fetch comes as usual."""
    with good_httpx.api(base_url, api_key) as client:
        job_id = good_httpx.submit(client, prompt)
        for _ in polls():
            try:
                answer = client.post("/flux/fetch", json={"jobId": job_id})
                url = url_of(answer.json()) if answer.status_code == 200 else None
            except (httpx.HTTPError, ValueError):
                continue
            if url is not None:
                return url
    raise AssertionError


@broken("aiohttp", "C20")
async def takes_seconds_for_milliseconds(base_url: str, api_key: str, prompt: str) -> bytes:
    """Retry-After is read as milliseconds, a habit from JavaScript."""
    async with good_aiohttp.api(base_url, api_key) as session:
        for _ in range(ATTEMPTS):
            async with session.post("/flux/generate", json=order_of(prompt), allow_redirects=False) as answer:
                if answer.status == 200:
                    job_id = job_of(await answer.json())
                    break
                if answer.status not in BUSY:
                    raise FluxError(f"the submission was answered {answer.status}")
                told = answer.headers.get("Retry-After", "")
            await asyncio.sleep(max(int(told) / 1000, 0.5) if told.isdecimal() else PAUSE)
        else:
            raise FluxError("the API was busy too often")
        url = await good_aiohttp.wait(session, job_id)
    return await good_aiohttp.download(url)


@broken("requests", "C21")
def sleeps_as_it_is_told(base_url: str, api_key: str, prompt: str) -> bytes:
    """Retry-After is believed without a limit, and be it 9999999999."""
    with Api(base_url, api_key) as api:
        for attempt in range(ATTEMPTS):
            answer = api.post("generate", json=order_of(prompt))
            told = answer.headers.get("Retry-After", "")
            if answer.status_code not in BUSY:
                break
            time.sleep(float(told) if told.isdecimal() else pause_before(attempt, told))
        if answer.status_code != 200:
            raise FluxError(f"the submission was answered {answer.status_code}")
        url = api.wait(job_of(answer.json()))
    return download(url)


@broken("urllib3", "C21")
def trusts_the_six_hours_of_urllib3(base_url: str, api_key: str, prompt: str) -> bytes:
    """urllib3's Retry waits as long as it is told, six hours at the most."""
    if_busy = Retry(
        3, connect=0, read=0, status_forcelist=BUSY, allowed_methods=["POST"], backoff_factor=2, redirect=False
    )
    with good_urllib3.Api(base_url, api_key) as api:
        answer = api.post("generate", order_of(prompt), retries=if_busy)
        if answer.status != 200:
            raise FluxError(f"the submission was answered {answer.status}")
        url = api.wait(job_of(answer.json()))
    return good_urllib3.download(url)


@broken("requests", "C22")
def at_once_without_retry_after(base_url: str, api_key: str, prompt: str) -> bytes:
    """Where Retry-After is missing it sleeps for zero seconds: headers.get("Retry-After", 0)."""
    with Api(base_url, api_key) as api:
        for _ in range(5):
            answer = api.post("generate", json=order_of(prompt))
            if answer.status_code not in BUSY:
                break
            time.sleep(min(float(answer.headers.get("Retry-After", 0)), 60))
        if answer.status_code != 200:
            raise FluxError(f"the submission was answered {answer.status_code}")
        url = api.wait(job_of(answer.json()))
    return download(url)


@broken("requests", "C22")
def the_same_tenth_of_a_second(base_url: str, api_key: str, prompt: str) -> bytes:
    """Where Retry-After is missing it waits for a tenth of a second, five times."""
    with Api(base_url, api_key) as api:
        for attempt in range(6):
            answer = api.post("generate", json=order_of(prompt))
            if answer.status_code not in BUSY:
                break
            told = answer.headers.get("Retry-After")
            time.sleep(0.11 if told is None else pause_before(attempt, told))
        if answer.status_code != 200:
            raise FluxError(f"the submission was answered {answer.status_code}")
        url = api.wait(job_of(answer.json()))
    return download(url)


@broken("requests", "C22")
def halves_its_pause(base_url: str, api_key: str, prompt: str) -> bytes:
    """Each attempt comes sooner than the one before, a sign of an exponent that was turned upside down."""
    with Api(base_url, api_key) as api:
        for attempt in range(5):
            answer = api.post("generate", json=order_of(prompt))
            if answer.status_code not in BUSY:
                break
            told = answer.headers.get("Retry-After")
            time.sleep(16 / 2**attempt if told is None else pause_before(attempt, told))
        if answer.status_code != 200:
            raise FluxError(f"the submission was answered {answer.status_code}")
        url = api.wait(job_of(answer.json()))
    return download(url)


@broken("requests", "C22")
def storms_a_full_queue(base_url: str, api_key: str, prompt: str) -> bytes:
    """It knows to wait after 429; 499, the queue is full, is tried again at once."""
    with Api(base_url, api_key) as api:
        for attempt in range(5):
            answer = api.post("generate", json=order_of(prompt))
            if answer.status_code in BUSY:
                time.sleep(pause_before(attempt, answer.headers.get("Retry-After")))
            elif answer.status_code != 499:
                break
        if answer.status_code != 200:
            raise FluxError(f"the submission was answered {answer.status_code}")
        url = api.wait(job_of(answer.json()))
    return download(url)


@broken("requests", "C24")
def gives_it_ten_minutes(base_url: str, api_key: str, prompt: str) -> bytes:
    """There is a timeout, and it is the ten minutes of somebody who was once in no hurry."""
    with Api(base_url, api_key) as api:
        for attempt in range(ATTEMPTS):
            answer = api.post("generate", json=order_of(prompt), timeout=600)
            if answer.status_code not in BUSY:
                break
            time.sleep(pause_before(attempt, answer.headers.get("Retry-After")))
        if answer.status_code != 200:
            raise FluxError(f"the submission was answered {answer.status_code}")
        url = api.wait(job_of(answer.json()))
    return download(url)


@broken("requests", "C24", also={"C16": "a single fetch without an answer is the end"})
def has_no_timeout(base_url: str, api_key: str, prompt: str) -> bytes:
    """Requests has no timeout of its own, and it gives none."""
    with Api(base_url, api_key) as api:
        job_id = api.submit(prompt)
        for _ in polls():
            try:
                answer = api.post("fetch", json={"jobId": job_id}, timeout=None)
                if answer.status_code in BUSY:
                    time.sleep(pause_before(0, answer.headers.get("Retry-After")))
                url = url_of(answer.json()) if answer.status_code == 200 else None
            except (requests.RequestException, ValueError):
                continue
            if url is not None:
                return download(url)
    raise AssertionError


@broken("urllib", "C24")
def submits_without_timeout(base_url: str, api_key: str, prompt: str) -> bytes:
    """urlopen() without a timeout, for "a submission is quick"."""
    headers = {"TT-API-KEY": api_key, "Content-Type": "application/json"}
    order = urllib.request.Request(f"{base_url}/flux/generate", json.dumps(order_of(prompt)).encode(), headers)
    for attempt in range(ATTEMPTS):
        try:
            with good_stdlib.OPENER.open(order) as answer:
                job_id = job_of(json.load(answer))
            break
        except urllib.error.HTTPError as error:
            if error.code not in BUSY or attempt == ATTEMPTS - 1:
                raise
            time.sleep(pause_before(attempt, error.headers.get("Retry-After")))
    return good_stdlib.download(good_stdlib.wait(base_url, api_key, job_id))


@broken("httpx async", "C24", also={"C16": "a single fetch without an answer is the end"})
async def switches_timeouts_off(base_url: str, api_key: str, prompt: str) -> bytes:
    """timeout=None, because httpx's five seconds were too short once."""
    async with good_httpx.api_async(base_url, api_key, timeout=None) as client:
        job_id = await good_httpx.submit_async(client, prompt)
        url = await _wait_without_deadline(client, job_id)
    return httpx.get(url, timeout=TIMEOUT).raise_for_status().content


async def _wait_without_deadline(client: httpx.AsyncClient, job_id: str) -> str:
    for _ in range(150):
        await asyncio.sleep(PAUSE)
        url = url_of(await good_httpx.look_async(client, job_id))
        if url is not None:
            return url
    raise FluxError("the job took too long")


@broken("urllib3", "C25")
def counts_polls(base_url: str, api_key: str, prompt: str) -> bytes:
    """It polls a hundred and fifty times, and does not count the time: each may take half a minute."""
    with good_urllib3.Api(base_url, api_key) as api:
        job_id = api.submit(prompt)
        for _ in range(150):
            time.sleep(PAUSE)
            try:
                answer = api.post("fetch", {"jobId": job_id}, timeout=30)
                if answer.status in BUSY:
                    time.sleep(pause_before(0, answer.headers.get("Retry-After")))
                url = url_of(answer.json()) if answer.status == 200 else None
            except (urllib3.exceptions.HTTPError, ValueError):
                continue
            if url is not None:
                return good_urllib3.download(url)
    raise FluxError("the job took too long")
