"""Clients that ask for a job too long, too often, or give it up too soon: C08 to C19."""

from __future__ import annotations

import asyncio
import enum
import json
import re
import threading
import time
import urllib.error
from typing import Any

import aiohttp
import httpx
import requests

from zoo import good_aiohttp, good_httpx, good_stdlib
from zoo.common import BUSY, DEADLINE, PAUSE, TIMEOUT, FluxError, order_of, pause_before, polls, url_of
from zoo.good_requests import Api, download
from zoo.registry import broken

POLLS = int(DEADLINE / PAUSE)


@broken("requests", "C08")
def waits_for_success_alone(base_url: str, api_key: str, prompt: str) -> bytes:
    """Only SUCCESS ends the loop, so that a job that FAILED is polled up to the deadline."""
    with Api(base_url, api_key) as api:
        job_id = api.submit(prompt)
        for _ in polls():
            body = api.look(job_id)
            if body.get("status") == "SUCCESS":
                return download(url_of(body) or "")
    raise AssertionError


@broken("requests", "C08")
def leaves_its_watcher_behind(base_url: str, api_key: str, prompt: str) -> bytes:
    """A thread polls for a progress bar, and nobody tells it that the image is there."""
    shown: dict[str, Any] = {}

    def watch() -> None:
        for _ in range(POLLS):
            shown.update(api.look(job_id))
            time.sleep(5)

    with Api(base_url, api_key) as api:
        job_id = api.submit(prompt)
        threading.Thread(target=watch, daemon=True).start()
        for _ in polls():
            if shown.get("status") == "FAILED":
                raise FluxError(str(shown.get("message")))
            if shown.get("status") == "SUCCESS":
                return download(url_of(shown) or "")
    raise AssertionError


@broken("requests", "C08")
def looks_once_more(base_url: str, api_key: str, prompt: str) -> bytes:
    """When the job has succeeded it is fetched again at once, for "the URL may be there only then"."""
    with Api(base_url, api_key) as api:
        job_id = api.submit(prompt)
        url = api.wait(job_id)
        url = url_of(api.look(job_id)) or url
    return download(url)


class Status(enum.Enum):
    PENDING_QUEUE = "PENDING_QUEUE"
    ON_QUEUE = "ON_QUEUE"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


@broken("requests", "C09")
def status_is_an_enum(base_url: str, api_key: str, prompt: str) -> bytes:
    """The status becomes an enum, which refuses what the documentation did not have."""
    with Api(base_url, api_key) as api:
        job_id = api.submit(prompt)
        for _ in polls():
            body = api.look(job_id) or {"status": "ON_QUEUE"}
            if Status(body["status"]) in {Status.SUCCESS, Status.FAILED}:
                return download(url_of(body) or "")
    raise AssertionError


@broken("urllib", "C09")
def while_on_queue(base_url: str, api_key: str, prompt: str) -> bytes:
    """What is neither ON_QUEUE nor PENDING_QUEUE is taken for the end."""
    job_id = good_stdlib.submit(base_url, api_key, prompt)
    body: dict[str, Any] = {"status": "ON_QUEUE"}
    ends = time.monotonic() + DEADLINE
    while body.get("status") in {"ON_QUEUE", "PENDING_QUEUE"}:
        if time.monotonic() > ends:
            raise FluxError("the job took too long")
        time.sleep(PAUSE)
        body = good_stdlib.look(base_url, api_key, job_id) or body
    if body["status"] != "SUCCESS":
        raise FluxError(f"the job ended as {body['status']}")
    return good_stdlib.download(url_of(body) or "")


@broken("requests", "C10")
def while_true(base_url: str, api_key: str, prompt: str) -> bytes:
    """It polls for as long as it takes, and be it for ever."""
    with Api(base_url, api_key) as api:
        job_id = api.submit(prompt)
        while True:
            time.sleep(5)
            url = url_of(api.look(job_id))
            if url is not None:
                return download(url)


@broken("httpx async", "C10")
async def deadline_begins_anew(base_url: str, api_key: str, prompt: str) -> bytes:
    """The timeout is around each poll, and not around all of them."""
    async with good_httpx.api_async(base_url, api_key) as client:
        job_id = await good_httpx.submit_async(client, prompt)
        url = None
        while url is None:
            await asyncio.sleep(10)
            async with asyncio.timeout(120):
                url = url_of(await good_httpx.look_async(client, job_id))
    return httpx.get(url, timeout=TIMEOUT).raise_for_status().content


@broken("requests", "C13", also={"C14": "of an empty answer it makes an empty id"})
def id_by_substitution(base_url: str, api_key: str, prompt: str) -> bytes:
    """The id is cut out by re.sub, which gives the whole text back where there is none."""
    with Api(base_url, api_key) as api:
        answer = api.post("generate", json=order_of(prompt))
        job_id = re.sub(r'.*"jobId"\s*:\s*"([^"]+)".*', r"\1", answer.text, flags=re.DOTALL)
        url = api.wait(job_id)
    return download(url)


@broken("requests", "C14")
def id_of_none(base_url: str, api_key: str, prompt: str) -> bytes:
    """Whether there is an id is not looked at, so that None is asked for when the submission was refused."""
    with Api(base_url, api_key) as api:
        answer = api.post("generate", json=order_of(prompt)).json()
        data = answer["data"] or {}
        job_id = data.get("jobId")
        url = api.wait(job_id)
    return download(url)


@broken("httpx", "C14")
def id_in_a_template(base_url: str, api_key: str, prompt: str) -> str:
    """The id goes into a URL by an f-string, which makes the word None of a missing one."""
    with good_httpx.api(base_url, api_key) as client:
        answer = client.post("/flux/generate", json=order_of(prompt))
        made = answer.json() if "json" in answer.headers.get("Content-Type", "") else {}
        job_id = (made.get("data") or {}).get("jobId")
        for _ in polls():
            try:
                found = client.get(f"/flux/fetch?jobId={job_id}")
                if found.status_code in BUSY:
                    time.sleep(pause_before(0, found.headers.get("Retry-After")))
                url = url_of(found.json()) if found.status_code == 200 else None
            except (httpx.HTTPError, ValueError):
                continue
            if url is not None:
                return url
    raise AssertionError


@broken("urllib", "C15")
def not_found_is_the_end(base_url: str, api_key: str, prompt: str) -> bytes:
    """A 404 ends it, although the job was made a moment ago."""
    job_id = good_stdlib.submit(base_url, api_key, prompt)
    for _ in polls():
        try:
            url = url_of(good_stdlib.call(base_url, api_key, "fetch", {"jobId": job_id}))
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise FluxError(f"there is no job {job_id}") from error
            if error.code in BUSY:
                time.sleep(pause_before(0, error.headers.get("Retry-After")))
            continue
        except good_stdlib.LOST:
            continue
        if url is not None:
            return good_stdlib.download(url)
    raise AssertionError


@broken("requests", "C15", also={"C06": "both jobs are charged"})
def orders_what_is_not_found(base_url: str, api_key: str, prompt: str) -> bytes:
    """A job that was not found six times is taken for lost, and ordered again."""
    with Api(base_url, api_key) as api:
        job_id, missed = api.submit(prompt), 0
        for _ in polls():
            try:
                answer = api.post("fetch", json={"jobId": job_id})
                if answer.status_code in BUSY:
                    time.sleep(pause_before(0, answer.headers.get("Retry-After")))
                url = url_of(answer.json()) if answer.status_code == 200 else None
            except (requests.RequestException, ValueError):
                continue
            missed += answer.status_code == 404
            if answer.status_code == 404 and missed == 6:
                job_id = api.submit(prompt)
            if url is not None:
                return download(url)
    raise AssertionError


@broken("requests", "C16")
def raises_for_status(base_url: str, api_key: str, prompt: str) -> bytes:
    """raise_for_status() in the loop: one bad answer, and the image that was paid for is lost."""
    with Api(base_url, api_key) as api:
        job_id = api.submit(prompt)
        for _ in polls():
            answer = api.post("fetch", json={"jobId": job_id})
            answer.raise_for_status()
            url = url_of(answer.json())
            if url is not None:
                return download(url)
    raise AssertionError


@broken("httpx", "C16")
def catches_statuses_only(base_url: str, api_key: str, prompt: str) -> str:
    """HTTPStatusError is caught; a reset, a timeout and a body that is cut off are other classes."""
    with good_httpx.api(base_url, api_key) as client:
        job_id = good_httpx.submit(client, prompt)
        for _ in polls():
            try:
                answer = client.post("/flux/fetch", json={"jobId": job_id}).raise_for_status()
            except httpx.HTTPStatusError as error:
                if error.response.status_code in BUSY:
                    time.sleep(pause_before(0, error.response.headers.get("Retry-After")))
                continue
            url = url_of(answer.json())
            if url is not None:
                return url
    raise AssertionError


@broken("aiohttp", "C16")
async def trusts_the_body(base_url: str, api_key: str, prompt: str) -> bytes:
    """Errors of the connection are caught, but a page of HTML with 200 gets to the parser."""
    async with good_aiohttp.api(base_url, api_key) as session:
        job_id = await good_aiohttp.submit(session, prompt)
        for _ in range(POLLS):
            await asyncio.sleep(PAUSE)
            try:
                async with session.post("/flux/fetch", json={"jobId": job_id}, allow_redirects=False) as answer:
                    if answer.status in BUSY:
                        await asyncio.sleep(pause_before(0, answer.headers.get("Retry-After")))
                    text = await answer.text() if answer.status == 200 else "{}"
            except (aiohttp.ClientError, TimeoutError):
                continue
            url = url_of(json.loads(text))
            if url is not None:
                return await good_aiohttp.download(url)
    raise FluxError("the job took too long")


@broken("urllib", "C16")
def catches_urlerror(base_url: str, api_key: str, prompt: str) -> bytes:
    """URLError is caught; what urllib raises once the request is sent is none: RemoteDisconnected, IncompleteRead."""
    job_id = good_stdlib.submit(base_url, api_key, prompt)
    for _ in polls():
        try:
            url = url_of(good_stdlib.call(base_url, api_key, "fetch", {"jobId": job_id}))
        except urllib.error.HTTPError as error:
            if error.code in BUSY:
                time.sleep(pause_before(0, error.headers.get("Retry-After")))
            continue
        except (urllib.error.URLError, TimeoutError, ValueError):
            continue
        if url is not None:
            return good_stdlib.download(url)
    raise AssertionError


@broken("requests", "C16")
def two_strikes(base_url: str, api_key: str, prompt: str) -> bytes:
    """At the second trouble in a row it gives up, a moment before the API is back."""
    with Api(base_url, api_key) as api:
        job_id = api.submit(prompt)
        strikes = 0
        for _ in polls():
            try:
                answer = api.post("fetch", json={"jobId": job_id})
                if answer.status_code in BUSY:
                    time.sleep(pause_before(0, answer.headers.get("Retry-After")))
                answer.raise_for_status()
                url, strikes = url_of(answer.json()), 0
            except (requests.RequestException, ValueError):
                strikes += 1
                if strikes == 2:
                    raise
                continue
            if url is not None:
                return download(url)
    raise AssertionError


@broken("requests", "C17")
def state_machine(base_url: str, api_key: str, prompt: str) -> bytes:
    """A table says which status may follow which, and a replica that lags behind does not know it."""
    order = ["PENDING_QUEUE", "ON_QUEUE", "SUCCESS"]
    with Api(base_url, api_key) as api:
        job_id, reached = api.submit(prompt), 0
        for _ in polls():
            body = api.look(job_id)
            url = url_of(body)
            if url is not None:
                return download(url)
            if body.get("status") in order:
                if order.index(body["status"]) < reached:
                    raise FluxError(f"the job went back from {order[reached]} to {body['status']}")
                reached = order.index(body["status"])
    raise AssertionError


@broken("requests", "C18", also={"C27": "null is what it returns then"})
def http_200_is_success(base_url: str, api_key: str, prompt: str) -> str:
    """What is no longer in the queue has succeeded, it thinks, for the HTTP status was 200."""
    with Api(base_url, api_key) as api:
        job_id = api.submit(prompt)
        for _ in polls():
            body = api.look(job_id)
            if body.get("status") == "FAILED":
                return json.dumps(body)
            url = url_of(body)
            if url is not None:
                return url
    raise AssertionError


@broken("httpx", "C19")
def get_with_a_body(base_url: str, api_key: str, prompt: str) -> str:
    """The id is sent in the query and in a body as well, to be on the safe side; proxies drop such a body."""
    with good_httpx.api(base_url, api_key) as client:
        job_id = good_httpx.submit(client, prompt)
        for _ in polls():
            try:
                asked = {"jobId": job_id}
                answer = client.request("GET", "/flux/fetch", params=asked, json=asked)
                if answer.status_code in BUSY:
                    time.sleep(pause_before(0, answer.headers.get("Retry-After")))
                url = url_of(answer.json()) if answer.status_code == 200 else None
            except (httpx.HTTPError, ValueError):
                continue
            if url is not None:
                return url
    raise AssertionError


@broken("requests", "C10", also={"C08": "who does not look at FAILED waits on", "C27": "FAILED is never reported"})
def not_even_failure_ends_it(base_url: str, api_key: str, prompt: str) -> bytes:
    """`while status != "SUCCESS"`, and nothing else in the condition."""
    with Api(base_url, api_key) as api:
        job_id = api.submit(prompt)
        status, body = "", {}
        while status != "SUCCESS":
            time.sleep(5)
            body = api.look(job_id)
            status = body.get("status")
    return download(url_of(body) or "")
