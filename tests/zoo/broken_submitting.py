"""Clients that order, and pay for, what nobody wanted: C01 to C06."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
import urllib.error
from collections.abc import Callable
from contextlib import closing
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

import httpx
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from zoo import good_aiohttp, good_httpx, good_stdlib, good_urllib3
from zoo.common import ATTEMPTS, BUSY, DEADLINE, PAUSE, TIMEOUT, FluxError, job_of, order_of, pause_before, url_of
from zoo.good_requests import Api, download
from zoo.registry import broken

PAID_TWICE = {"C06": "each of its submissions makes a job, and all are charged"}


@broken(
    "requests", "C01", also=PAID_TWICE | {"C20": "once its retries are used up, the next fetch knows of no Retry-After"}
)
def retry_covers_post(base_url: str, api_key: str, prompt: str) -> bytes:
    """urllib3's Retry is told to repeat every method, POST included: allowed_methods=None."""
    retries = Retry(total=3, backoff_factor=1, status_forcelist=[502, 503, 504], allowed_methods=None)
    with Api(base_url, api_key) as api:
        api.session.mount("http://", HTTPAdapter(max_retries=retries))
        url = api.wait(api.submit(prompt))
    return download(url)


def retry(times: int, *errors: type[Exception]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator as everybody has one somewhere."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            for attempt in range(times):
                try:
                    return function(*args, **kwargs)
                except errors:
                    if attempt == times - 1:
                        raise
                    time.sleep(2**attempt)
            raise AssertionError

        return wrapped

    return decorate


@broken("requests", "C01", also=PAID_TWICE)
def decorated_with_retry(base_url: str, api_key: str, prompt: str) -> bytes:
    """A decorator repeats the submission on connection errors and timeouts."""

    @retry(3, requests.ConnectionError, requests.Timeout)
    def submit() -> str:
        return api.submit(prompt)

    with Api(base_url, api_key) as api:
        url = api.wait(submit())
    return download(url)


@broken("httpx async", "C01", also=PAID_TWICE)
async def retries_read_timeouts(base_url: str, api_key: str, prompt: str) -> bytes:
    """A read timeout is taken for a server that did nothing."""
    async with good_httpx.api_async(base_url, api_key) as client:
        for attempt in range(3):
            try:
                job_id = await good_httpx.submit_async(client, prompt)
                break
            except httpx.ReadTimeout:
                if attempt == 2:
                    raise
        url = await good_httpx.wait_async(client, job_id)
    return httpx.get(url, timeout=TIMEOUT).raise_for_status().content


@broken("aiohttp", "C01", also=PAID_TWICE)
async def retries_gateway_errors(base_url: str, api_key: str, prompt: str) -> bytes:
    """Every 5xx is retried, also the gateway's that comes when the job has long been accepted."""
    async with good_aiohttp.api(base_url, api_key) as session:
        for attempt in range(ATTEMPTS):
            async with session.post("/flux/generate", json=order_of(prompt), allow_redirects=False) as answer:
                if answer.status == 200:
                    job_id = job_of(await answer.json())
                    break
                if answer.status < 500 or attempt == ATTEMPTS - 1:
                    raise FluxError(f"the submission was answered {answer.status}")
                time.sleep(pause_before(attempt, answer.headers.get("Retry-After")))
        url = await good_aiohttp.wait(session, job_id)
    return await good_aiohttp.download(url)


@broken("http.client", "C01", also=PAID_TWICE)
def reconnects_and_sends_again(base_url: str, api_key: str, prompt: str) -> bytes:
    """A connection that is closed without an answer is taken for a stale one, and the POST is sent on a new one."""
    line = good_stdlib.Line(base_url, api_key)
    try:
        answer, body = line.post("/flux/generate", order_of(prompt))
    except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
        answer, body = line.post("/flux/generate", order_of(prompt))
    finally:
        line.connection.close()
    if answer.status != 200:
        raise FluxError(f"the submission was answered {answer.status}")
    return good_stdlib.download(good_stdlib.wait(base_url, api_key, job_of(json.loads(body))))


@broken("requests", "C01", also=PAID_TWICE)
def retries_bad_json(base_url: str, api_key: str, prompt: str) -> bytes:
    """An answer that cannot be parsed is asked for once more."""
    with Api(base_url, api_key) as api:
        for _ in range(3):
            try:
                job_id = api.submit(prompt)
                break
            except ValueError:
                print("got garbage, trying again")
        else:
            raise FluxError("the API talks nonsense")
        url = api.wait(job_id)
    return download(url)


@broken("requests", "C01", also=PAID_TWICE)
def asks_again_for_json(base_url: str, api_key: str, prompt: str) -> bytes:
    """200 with a page of HTML is "some proxy", so it sends the submission once more; all else is reported."""
    with Api(base_url, api_key) as api:
        for _ in range(2):
            answer = api.post("generate", json=order_of(prompt))
            if answer.status_code != 200 or "json" in answer.headers.get("Content-Type", ""):
                break
        if answer.status_code != 200:
            raise FluxError(f"the submission was answered {answer.status_code}")
        url = api.wait(job_of(answer.json()))
    return download(url)


@broken("httpx", "C01", also=PAID_TWICE)
def has_no_patience(base_url: str, api_key: str, prompt: str) -> str:
    """It waits five seconds for an answer, and sends the submission again: the API was merely slow."""
    with good_httpx.api(base_url, api_key) as client:
        for attempt in range(3):
            try:
                answer = client.post("/flux/generate", json=order_of(prompt), timeout=5)
                break
            except httpx.ReadTimeout:
                if attempt == 2:
                    raise
        if answer.status_code != 200:
            raise FluxError(f"the submission was answered {answer.status_code}")
        return good_httpx.wait(client, job_of(answer.json()))


@broken("requests", "C02")
def waits_for_a_top_up(base_url: str, api_key: str, prompt: str) -> bytes:
    """At 402 it waits for somebody to buy quota, and tries again all the while."""
    with Api(base_url, api_key) as api:
        for _ in range(5):
            answer = api.post("generate", json=order_of(prompt))
            if answer.status_code != 402:
                break
            print("out of quota, waiting for it to be refilled")
            time.sleep(60)
        answer.raise_for_status()
        url = api.wait(job_of(answer.json()))
    return download(url)


@broken("urllib", "C02")
def retries_every_http_error(base_url: str, api_key: str, prompt: str) -> str:
    """A refusal by HTTP status is retried, whichever it is below 500."""
    for attempt in range(3):
        try:
            job_id = good_stdlib.submit(base_url, api_key, prompt)
            break
        except urllib.error.HTTPError as error:
            if error.code >= 500 or attempt == 2:
                raise
            time.sleep(2**attempt)
    return good_stdlib.wait(base_url, api_key, job_id)


@broken("httpx", "C02")
def signs_in_again(base_url: str, api_key: str, prompt: str) -> str:
    """At 401 the request is repeated with the same key, as with tokens that can be refreshed."""

    class KeyAuth(httpx.Auth):
        def auth_flow(self, request: httpx.Request) -> Any:
            request.headers["TT-API-KEY"] = api_key
            answer = yield request
            if answer.status_code == 401:
                request.headers["TT-API-KEY"] = api_key  # the place to ask for a new one
                yield request

    with httpx.Client(base_url=base_url, auth=KeyAuth(), timeout=TIMEOUT) as client:
        return good_httpx.wait(client, good_httpx.submit(client, prompt))


@broken("requests", "C02")
def waits_for_the_firewall(base_url: str, api_key: str, prompt: str) -> bytes:
    """403 is taken for a firewall that lets nobody in for a minute, and for nothing that it says about the key."""
    with Api(base_url, api_key) as api:
        for _ in range(3):
            answer = api.post("generate", json=order_of(prompt))
            if answer.status_code != 403:
                break
            time.sleep(60)
        if answer.status_code != 200:
            raise FluxError(f"the submission was answered {answer.status_code}")
        url = api.wait(job_of(answer.json()))
    return download(url)


@broken("requests", "C03")
def until_there_is_room(base_url: str, api_key: str, prompt: str) -> bytes:
    """499 says that the queue is full, so it stands in line, every ten seconds, for as long as it takes."""
    with Api(base_url, api_key) as api:
        while (answer := api.post("generate", json=order_of(prompt))).status_code == 499:
            time.sleep(10)
        if answer.status_code != 200:
            raise FluxError(f"the submission was answered {answer.status_code}")
        url = api.wait(job_of(answer.json()))
    return download(url)


@broken("urllib3", "C03")
def insists_after_500(base_url: str, api_key: str, prompt: str) -> bytes:
    """The advice is to try once or twice more after 500. It tries ten times."""
    with good_urllib3.Api(base_url, api_key) as api:
        for _ in range(10):
            answer = api.post("generate", order_of(prompt))
            if answer.status != 500:
                break
            time.sleep(5)
        if answer.status != 200:
            raise FluxError(f"the submission was answered {answer.status}")
        url = api.wait(job_of(answer.json()))
    return good_urllib3.download(url)


@broken("requests", "C03")
def until_it_is_let_in(base_url: str, api_key: str, prompt: str) -> bytes:
    """As long as the API says 429 it comes again, without an end."""
    with Api(base_url, api_key) as api:
        while True:
            answer = api.post("generate", json=order_of(prompt))
            if answer.status_code != 429:
                break
            time.sleep(pause_before(1, answer.headers.get("Retry-After")))
        if answer.status_code != 200:
            raise FluxError(f"the submission was answered {answer.status_code}")
        url = api.wait(job_of(answer.json()))
    return download(url)


@broken("requests", "C04")
def falls_back_to_another_model(base_url: str, api_key: str, prompt: str) -> bytes:
    """When the API is busy it orders from another model, which has another price, and tells nobody."""
    with Api(base_url, api_key) as api:
        for attempt, mode in enumerate(("flux1-dev", "flux1-schnell", "flux1-pro", "flux-2-pro")):
            answer = api.post("generate", json={"prompt": prompt, "mode": mode})
            if answer.status_code not in BUSY:
                break
            time.sleep(pause_before(attempt, answer.headers.get("Retry-After")))
        if answer.status_code != 200:
            raise FluxError(f"the submission was answered {answer.status_code}")
        url = api.wait(job_of(answer.json()))
    return download(url)


@broken("http.client", "C04", also={"C51": "the second attempt has neither a prompt nor anything else"})
def body_is_used_up(base_url: str, api_key: str, prompt: str) -> bytes:
    """The body is a generator that is made outside of the loop, so that the second attempt sends nothing."""
    body = iter([json.dumps(order_of(prompt)).encode()])
    for attempt in range(ATTEMPTS):
        headers = {"TT-API-KEY": api_key, "Content-Type": "application/json"}
        with closing(http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=TIMEOUT)) as connection:
            connection.request("POST", "/flux/generate", body, headers)
            answer = connection.getresponse()
            read = answer.read()
        if answer.status not in BUSY:
            break
        time.sleep(pause_before(attempt, answer.headers.get("Retry-After")))
    if answer.status != 200:
        raise FluxError(f"the submission was answered {answer.status}")
    return good_stdlib.download(good_stdlib.wait(base_url, api_key, job_of(json.loads(read))))


@broken("requests", "C05", also={"C06": "whether a job that FAILED is refunded is not known"})
def tries_failed_jobs_again(base_url: str, api_key: str, prompt: str) -> bytes:
    """A job that FAILED is taken for bad luck, and ordered again up to three times."""
    with Api(base_url, api_key) as api:
        for attempt in range(3):
            job_id = api.submit(prompt)
            try:
                url = api.wait(job_id)
                break
            except FluxError as error:
                if attempt == 2 or "job failed" not in str(error):
                    raise
    return download(url)


@broken("requests", "C06", also={"C16": "a fetch that hangs makes its job look slow"})
def orders_once_more_when_slow(base_url: str, api_key: str, prompt: str) -> bytes:
    """A job that is not done after half a minute is taken for lost, and ordered again."""
    with Api(base_url, api_key) as api:
        job_ids = [api.submit(prompt)]
        started = time.monotonic()
        while time.monotonic() < started + DEADLINE:
            time.sleep(PAUSE)
            if len(job_ids) == 1 and time.monotonic() > started + 30:
                job_ids.append(api.submit(prompt))
            for job_id in job_ids:
                url = url_of(api.look(job_id))
                if url is not None:
                    return download(url)
    raise FluxError("the job took too long")


@broken("requests", "C06")
def slow_answers_are_lost_ones(base_url: str, api_key: str, prompt: str) -> bytes:
    """When the answer took more than five seconds it orders again, to be sure, although the answer has come."""
    with Api(base_url, api_key) as api:
        for _ in range(2):
            began = time.monotonic()
            answer = api.post("generate", json=order_of(prompt))
            if answer.status_code != 200:
                raise FluxError(f"the submission was answered {answer.status_code}")
            job_id = job_of(answer.json())
            if time.monotonic() - began < 5:
                break
        url = api.wait(job_id)
    return download(url)


@broken("requests", "C06")
def sends_the_mode_of_its_author(base_url: str, api_key: str, prompt: str, mode: str) -> bytes:
    """It takes a mode, and the body has another one, which was used when it was written and is dearer."""
    with Api(base_url, api_key) as api:
        answer = api.post("generate", json={"prompt": prompt, "mode": "flux-kontext-max"})
        if answer.status_code != 200:
            raise FluxError(f"{mode}: the submission was answered {answer.status_code}")
        url = api.wait(job_of(answer.json()))
    return download(url)


@broken("aiohttp", "C06", also={"C01": "both are sent, whatever becomes of the first"})
async def hedges(base_url: str, api_key: str, prompt: str) -> bytes:
    """It sends two submissions and takes whichever is answered first: good for reads, dear for orders."""

    async def submit() -> str:
        async with session.post("/flux/generate", json=order_of(prompt), allow_redirects=False) as answer:
            if answer.status != 200:
                raise FluxError(f"the submission was answered {answer.status}")
            return job_of(await answer.json())

    async with good_aiohttp.api(base_url, api_key) as session:
        racers = [asyncio.create_task(submit()) for _ in range(2)]
        try:
            job_id = await next(asyncio.as_completed(racers))
        finally:
            for racer in racers:
                racer.cancel()
        url = await good_aiohttp.wait(session, job_id)
    return await good_aiohttp.download(url)
