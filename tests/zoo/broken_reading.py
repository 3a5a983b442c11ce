"""Clients that read more into an answer than it says: C26 to C33."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx

from zoo import good_aiohttp, good_httpx, good_stdlib
from zoo.common import DEADLINE, PAUSE, FluxError, job_of, order_of, polls, url_of
from zoo.good_requests import Api, download
from zoo.registry import broken


@dataclass
class Envelope:
    status: str
    message: str | None = None
    data: Any = None
    jobId: str | None = None  # noqa: N815


@dataclass
class Image:
    imageUrl: str = ""  # noqa: N815
    mode: str = ""
    jobId: str = ""  # noqa: N815
    prompt: str = ""
    quota: str = "0"
    size: str = ""
    hookUrl: str | None = None  # noqa: N815


@broken("requests", "C26")
def envelope_is_a_dataclass(base_url: str, api_key: str, prompt: str) -> bytes:
    """Envelope(**answer): a field that was added since is a TypeError."""
    with Api(base_url, api_key) as api:
        job_id = api.submit(prompt)
        for _ in polls():
            envelope = Envelope(**(api.look(job_id) or {"status": "ON_QUEUE"}))
            if envelope.status == "FAILED":
                raise FluxError(envelope.message)
            if envelope.status == "SUCCESS":
                return download(url_of(vars(envelope)) or "")
    raise AssertionError


@broken("httpx", "C26")
def image_is_a_dataclass(base_url: str, api_key: str, prompt: str) -> str:
    """Image(**data) at SUCCESS: the job is paid for, and its result is refused."""
    with good_httpx.api(base_url, api_key) as client:
        job_id = good_httpx.submit(client, prompt)
        for _ in polls():
            answer = good_httpx.look(client, job_id)
            if url_of(answer) is not None:
                return Image(**answer["data"]).imageUrl
    raise AssertionError


ANY_DATA = {
    "C29": "any data is taken for the result",
    "C45": "what it downloads may be a preview",
    "C08": "without data not even SUCCESS is the end",
}


@broken("urllib", "C27", also=ANY_DATA)
def data_means_done(base_url: str, api_key: str, prompt: str) -> bytes:
    """`if answer["data"]:` was right as long as data was null until the end."""
    job_id = good_stdlib.submit(base_url, api_key, prompt)
    for _ in polls():
        answer = good_stdlib.look(base_url, api_key, job_id)
        if answer.get("status") == "FAILED":
            raise FluxError(answer.get("message"))
        if answer.get("data"):
            return good_stdlib.download(answer["data"]["imageUrl"])
    raise AssertionError


@broken("requests", "C27")
def nulls_have_a_length(base_url: str, api_key: str, prompt: str) -> bytes:
    """Fields are looked at while the job runs, when they may be null."""
    with Api(base_url, api_key) as api:
        job_id = api.submit(prompt)
        for _ in polls():
            answer = api.look(job_id)
            for name, value in (answer.get("data") or {}).items():
                if name in {"mode", "prompt", "size"} and not value.strip():
                    raise FluxError(f"{name} is empty")
            url = url_of(answer)
            if url is not None:
                return download(url)
    raise AssertionError


@broken("aiohttp", "C28")
async def message_says_success(base_url: str, api_key: str, prompt: str) -> bytes:
    """The submission has worked if its message is "success", as the example shows."""
    async with good_aiohttp.api(base_url, api_key) as session:
        async with session.post("/flux/generate", json=order_of(prompt), allow_redirects=False) as answer:
            made = await answer.json(content_type=None)
        if answer.status != 200 or made["message"] != "success":
            raise FluxError(f"the submission was refused: {made}")
        url = await good_aiohttp.wait(session, job_of(made))
    return await good_aiohttp.download(url)


@broken("requests", "C28")
def looks_for_errors_in_the_message(base_url: str, api_key: str, prompt: str) -> bytes:
    """`"error" in message.lower()`, where message may be null or missing."""
    with Api(base_url, api_key) as api:
        answer = api.post("generate", json=order_of(prompt))
        if answer.status_code != 200 or "error" in answer.json()["message"].lower():
            raise FluxError(f"the submission was refused: {answer.text[:200]}")
        url = api.wait(job_of(answer.json()))
    return download(url)


EARLY = {"C45": "what it downloads is no result yet"}


@broken("requests", "C29", also=EARLY)
def url_means_done(base_url: str, api_key: str, prompt: str) -> bytes:
    """The test for the end is whether there is an imageUrl, and there may be one of a preview."""
    with Api(base_url, api_key) as api:
        job_id = api.submit(prompt)
        for _ in polls():
            answer = api.look(job_id)
            if answer.get("status") == "FAILED":
                raise FluxError(answer.get("message"))
            url = (answer.get("data") or {}).get("imageUrl")
            if url:
                return download(url)
            if answer.get("status") == "SUCCESS":
                raise FluxError("there is no image")
    raise AssertionError


@broken("httpx", "C29")
def any_url_is_returned(base_url: str, api_key: str, prompt: str) -> str:
    """The first imageUrl is returned, whatever the status says; nobody downloads it here."""
    with good_httpx.api(base_url, api_key) as client:
        job_id = good_httpx.submit(client, prompt)
        for _ in polls():
            answer = good_httpx.look(client, job_id)
            if answer.get("status") == "FAILED":
                raise FluxError(answer.get("message"))
            url = (answer.get("data") or {}).get("imageUrl")
            if url:
                return str(url)
            if answer.get("status") == "SUCCESS":
                raise FluxError("there is no image")
    raise AssertionError


@broken("aiohttp", "C29", also={"C55": "nulls are returned as the image"})
async def anything_is_done(base_url: str, api_key: str, prompt: str) -> str:
    """Whatever has a data object is final, and a URL of "" is returned without a look."""
    async with good_aiohttp.api(base_url, api_key) as session:
        job_id = await good_aiohttp.submit(session, prompt)
        async with asyncio.timeout(DEADLINE):
            while True:
                await asyncio.sleep(PAUSE)
                answer = await good_aiohttp.look(session, job_id)
                if answer.get("status") == "FAILED":
                    raise FluxError(answer.get("message"))
                if answer.get("data") is not None:
                    return answer["data"]["imageUrl"]
                if answer.get("status") == "SUCCESS":
                    raise FluxError("there is no image")


@broken("requests", "C30")
def returns_none(base_url: str, api_key: str, prompt: str) -> str | None:
    """data.get("imageUrl") is returned, also when it is None."""
    with Api(base_url, api_key) as api:
        job_id = api.submit(prompt)
        for _ in polls():
            answer = api.look(job_id)
            if answer.get("status") == "FAILED":
                raise FluxError(answer.get("message"))
            if answer.get("status") == "SUCCESS":
                return (answer["data"] or {}).get("imageUrl")
    raise AssertionError


@broken("httpx", "C31")
def id_by_regular_expression(base_url: str, api_key: str, prompt: str) -> str:
    """The id is looked for in the text as one server wrote it, without white space."""
    with good_httpx.api(base_url, api_key) as client:
        answer = client.post("/flux/generate", json=order_of(prompt))
        found = re.search(r'"job_?[iI]d":"([0-9a-f-]{36})"', answer.text)
        if answer.status_code != 200 or not found:
            raise FluxError(f"no job was made: {answer.text[:200]}")
        return good_httpx.wait(client, found[1])


@broken("requests", "C31")
def exact_content_type(base_url: str, api_key: str, prompt: str) -> bytes:
    """Content-Type is compared with ==, and a charset makes it another one."""
    with Api(base_url, api_key) as api:
        answer = api.post("generate", json=order_of(prompt))
        if answer.status_code != 200 or answer.headers.get("Content-Type") != "application/json":
            raise FluxError(f"expected JSON, got {answer.headers.get('Content-Type')}")
        url = api.wait(job_of(answer.json()))
    return download(url)


@broken("urllib", "C32")
def quota_is_an_int(base_url: str, api_key: str, prompt: str) -> bytes:
    """int(data["quota"]) for the books, where quota may be "1.00"."""
    spent = 0
    job_id = good_stdlib.submit(base_url, api_key, prompt)
    for _ in polls():
        answer = good_stdlib.look(base_url, api_key, job_id)
        url = url_of(answer)
        if url is not None:
            spent += int(answer["data"]["quota"])
            return good_stdlib.download(url)
    raise AssertionError


@broken("requests", "C32")
def quota_is_a_text(base_url: str, api_key: str, prompt: str) -> bytes:
    """quota.replace(",", "") for the books, where quota may be a number."""
    with Api(base_url, api_key) as api:
        job_id = api.submit(prompt)
        for _ in polls():
            answer = api.look(job_id)
            url = url_of(answer)
            if url is not None:
                print("spent", Decimal(answer["data"]["quota"].replace(",", "")))
                return download(url)
    raise AssertionError


@broken("requests", "C33", also={"C55": "an empty text is returned as the image"})
def swallows_the_parser(base_url: str, api_key: str, prompt: str) -> str:
    """An answer that is no JSON is logged, and "" is returned."""
    with Api(base_url, api_key) as api:
        try:
            answer = api.post("generate", json=order_of(prompt)).json()
        except ValueError:
            print("the API sent something odd")
            return ""
        return api.wait(job_of(answer))


@broken(
    "httpx",
    "C33",
    also=dict.fromkeys(("C10", "C18", "C27", "C55"), "every failure is None"),
)
def logs_and_returns_none(base_url: str, api_key: str, prompt: str) -> str | None:
    """`except Exception: print(...)` around it all: whoever called it is not told."""
    try:
        with good_httpx.api(base_url, api_key) as client:
            return good_httpx.wait(client, good_httpx.submit(client, prompt))
    except (httpx.HTTPError, FluxError, ValueError) as error:
        print("image generation failed:", type(error).__name__)
        return None
