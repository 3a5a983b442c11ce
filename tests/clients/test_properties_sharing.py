"""Clients for several images, C54 and C55 (and C07): connections left open and images mixed up are found."""

from __future__ import annotations

import asyncio
import gc
import io
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import requests
from broken_parts import calls, judged, made
from good_clients import PAUSE, TIMEOUT, job_of, url_of, with_requests
from PIL import Image

from contract_tests.clients.check import Plan, check_client
from contract_tests.clients.named import directive_of
from contract_tests.clients.properties.base import Policy
from contract_tests.clients.verdict import Result
from mock_server.images.drawing import plain as plain_image
from mock_server.images.drawing import remarked

# C54

KEPT: list[Any] = []
"""What a client keeps that it should have closed; the tests close it."""


def session_for_each_call(base_url: str, api_key: str, prompt: str) -> str:
    def call(path: str, body: dict[str, Any]) -> Any:
        KEPT.append(requests.Session())
        return calls(base_url, api_key, KEPT[-1])(path, body)

    return made(call, prompt)


def client_that_stays_open(base_url: str, api_key: str, prompt: str) -> str:
    KEPT.append(httpx.Client(timeout=TIMEOUT, headers={"TT-API-KEY": api_key}))
    return made(lambda path, body: KEPT[-1].post(base_url + path, json=body).raise_for_status().json(), prompt)


async def loop_that_leaves_its_session(base_url: str, api_key: str, prompt: str) -> str:
    session = aiohttp.ClientSession(headers={"TT-API-KEY": api_key})
    KEPT.append(session)
    async with session.post(base_url + "/flux/generate", json={"prompt": prompt, "mode": "flux1-dev"}) as answer:
        job_id = job_of(await answer.json())
    while True:
        await asyncio.sleep(PAUSE)
        async with session.post(base_url + "/flux/fetch", json={"jobId": job_id}) as answer:
            url = url_of(await answer.json())
        if url is not None:
            return url


@pytest.mark.parametrize(
    "client",
    [
        session_for_each_call,
        client_that_stays_open,
        pytest.param(
            loop_that_leaves_its_session,
            marks=[
                pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
                pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning"),
            ],
        ),
    ],
)
def test_connections_that_are_left_open_are_found(client: Callable[..., Any]) -> None:
    try:
        result = judged(client, "C54")
    finally:
        while KEPT:
            kept = KEPT.pop()
            if not isinstance(kept, aiohttp.ClientSession):
                kept.close()
        kept = None
        gc.collect()  # here, where its warnings are expected
    assert result.result is Result.FAIL
    assert "connections open" in result.why


def test_a_session_that_is_kept_works_from_scenario_to_scenario() -> None:
    with requests.Session() as session:
        result = judged(lambda base_url, api_key, prompt: made(calls(base_url, api_key, session), prompt), "C51")
    assert result.result is Result.PASS


# C55


class SharedClient:
    """Keeps the job of the moment in one place for all."""

    job_id = ""

    def __call__(self, base_url: str, api_key: str, prompt: str) -> str:
        call = calls(base_url, api_key)
        self.job_id = job_of(call("/flux/generate", {"prompt": prompt, "mode": "flux1-dev"}))
        for _ in range(60):
            time.sleep(PAUSE)
            url = url_of(call("/flux/fetch", {"jobId": self.job_id}))
            if url is not None:
                return url
        raise AssertionError


class SharedAsyncClient:
    """The same on an event loop, with the image itself."""

    job_id = ""

    async def __call__(self, base_url: str, api_key: str, prompt: str) -> bytes:
        async with aiohttp.ClientSession() as session:
            key, order = {"TT-API-KEY": api_key}, {"prompt": prompt, "mode": "flux1-dev"}
            async with session.post(base_url + "/flux/generate", json=order, headers=key) as answer:
                self.job_id = job_of(await answer.json())
            url = None
            while url is None:
                await asyncio.sleep(PAUSE)
                body = {"jobId": self.job_id}
                async with session.post(base_url + "/flux/fetch", json=body, headers=key) as answer:
                    url = url_of(await answer.json())
            async with session.get(url) as answer:
                return await answer.read()


@pytest.mark.parametrize(
    ("client", "why"),
    [
        (SharedClient(), "is that of another call"),
        (SharedAsyncClient(), "is that of another call"),
    ],
)
def test_images_that_are_mixed_up_are_found(client: Callable[..., Any], why: str) -> None:
    result = judged(client, "C55")
    assert result.result is Result.FAIL
    assert why in result.why


def test_several_images_in_one_file_are_found(tmp_path: Path) -> None:
    def one_file_for_all(base_url: str, api_key: str, prompt: str) -> str:
        file = tmp_path / "result.webp"
        file.write_bytes(requests.get(made(calls(base_url, api_key), prompt), timeout=TIMEOUT).content)
        return str(file)

    assert judged(one_file_for_all, "C55").why == "it wrote several images to the same file"


def test_every_job_has_a_picture_of_its_own() -> None:
    images = [remarked(plain_image(64, 64, 3), job_id) for job_id in ("one", "another")]
    assert images[0] != images[1]
    for image in images:
        with Image.open(io.BytesIO(image)) as picture:
            picture.load()
            assert picture.size == (64, 64)


# C07


def test_a_cap_on_jobs_under_way_is_judged_with_several_at_once() -> None:
    slots = threading.Semaphore(2)

    def capped(base_url: str, api_key: str, prompt: str) -> bytes:
        with slots:
            return with_requests(base_url, api_key, prompt)

    policy = Policy(max_in_flight=2)
    assert judged(capped, "C07", policy).result is Result.PASS
    result = judged(with_requests, "C07", policy)
    assert result.result is Result.FAIL
    assert "were under way at once, more than 2" in result.why


def test_whether_a_url_may_be_believed_yet_is_no_matter_of_whose_it_is() -> None:
    """A client that takes any imageUrl for the end of its job, whatever the status, has that of its own job."""

    def believes(base_url: str, api_key: str, prompt: str) -> str:
        call = calls(base_url, api_key, requests.Session())
        job_id = job_of(call("/flux/generate", {"prompt": prompt, "mode": "flux1-dev"}))
        while True:
            time.sleep(60)  # by then it is done
            data = call("/flux/fetch", {"jobId": job_id}).get("data") or {}
            if data.get("imageUrl"):
                return str(data["imageUrl"])

    play = (directive_of("fetch: status 'ON_QUEUE ' three times"),)
    assert check_client(believes, plan=Plan(only=("C55",), play=play))["C55"].result is Result.PASS


def test_a_client_that_does_nothing_but_edit_always_gets_a_picture() -> None:
    """Its parameter `image` has no default, so it cannot be called without."""

    def edit(base_url: str, api_key: str, prompt: str, image: str) -> str:
        with requests.Session() as session, Path(image).open("rb") as file:
            session.headers["TT-API-KEY"] = api_key
            order = {"prompt": prompt, "mode": "flux1-dev"}
            url = f"{base_url}/flux/edits"
            answer = session.post(url, data=order, files={"image": file}, timeout=TIMEOUT, allow_redirects=False)
            answer.raise_for_status()
            call, job_id = calls(base_url, api_key, session), job_of(answer.json())
            for _ in range(100):
                time.sleep(PAUSE)
                told = call("/flux/fetch", {"jobId": job_id})
                if url_of(told):
                    return str(url_of(told))
        raise TimeoutError

    verdict = check_client(edit, plan=Plan(only=("C06", "C49"), examples=12))
    assert verdict.works is not None
    assert verdict.works.result is Result.PASS
    assert (verdict["C06"].result, verdict["C49"].result) == (Result.PASS, Result.PASS)
