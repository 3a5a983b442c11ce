"""Secrets and downloads, C43 to C48: what breaks each in real code is found, and good clients are not blamed."""

from __future__ import annotations

import io
import logging
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import requests
from broken_parts import calls, judged, made, urllib_calls
from good_clients import GOOD, PAUSE, TIMEOUT, job_of, polls, url_of, url_only
from PIL import Image

from contract_tests.clients.check import Plan, check_client, playing
from contract_tests.clients.directives.images import broken_images
from contract_tests.clients.directives.redirects import redirects
from contract_tests.clients.given import Callee
from contract_tests.clients.properties.base import Grade, Policy, properties
from contract_tests.clients.properties.secrets import holds
from contract_tests.clients.simulation.run import Simulation
from contract_tests.clients.story import Intent
from contract_tests.clients.verdict import Result
from mock_server.drive.members import not_driven

IDS = ("C43", "C44", "C45", "C46", "C47", "C48")


# C43


def key_for_the_session(base_url: str, api_key: str, prompt: str) -> bytes:
    with requests.Session() as session:
        session.headers["TT-API-KEY"] = api_key
        return session.get(made(calls(base_url, api_key, session), prompt), timeout=TIMEOUT).content


def redirects_of_requests(base_url: str, api_key: str, prompt: str) -> str:
    return made(calls(base_url, api_key, allow_redirects=True), prompt)


def redirects_of_urllib(base_url: str, api_key: str, prompt: str) -> str:
    return made(urllib_calls(base_url, api_key), prompt)


def redirects_of_httpx(base_url: str, api_key: str, prompt: str) -> str:
    with httpx.Client(headers={"TT-API-KEY": api_key}, follow_redirects=True, timeout=TIMEOUT) as client:
        return made(lambda path, body: client.post(base_url + path, json=body).raise_for_status().json(), prompt)


async def redirects_of_aiohttp(base_url: str, api_key: str, prompt: str) -> str:
    async with aiohttp.ClientSession(headers={"TT-API-KEY": api_key}, raise_for_status=True) as session:
        async with session.post(base_url + "/flux/generate", json={"prompt": prompt, "mode": "flux1-dev"}) as answer:
            job_id = job_of(await answer.json())
        for _ in polls():
            async with session.post(base_url + "/flux/fetch", json={"jobId": job_id}) as answer:
                url = url_of(await answer.json())
            if url is not None:
                return url
    raise AssertionError


def key_in_the_query(base_url: str, api_key: str, prompt: str) -> str:
    call = calls(base_url, api_key)
    return made(lambda path, body: call(f"{path}?api_key={api_key}", body), prompt)


def key_in_the_body(base_url: str, api_key: str, prompt: str) -> str:
    call = calls(base_url, api_key)
    return made(lambda path, body: call(path, {**body, "api_key": api_key}), prompt)


def key_as_a_token_too(base_url: str, api_key: str, prompt: str) -> str:
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {api_key}"
        return made(calls(base_url, api_key, session), prompt)


def key_in_the_referer(base_url: str, api_key: str, prompt: str) -> str:
    with requests.Session() as session:
        session.headers["Referer"] = f"https://app.example/cats?key={api_key}"
        return made(calls(base_url, api_key, session), prompt)


def key_as_a_password(base_url: str, api_key: str, prompt: str) -> bytes:
    return requests.get(made(calls(base_url, api_key), prompt), auth=("flux", api_key), timeout=TIMEOUT).content


@pytest.mark.parametrize(
    ("client", "why"),
    [
        (key_for_the_session, "to http://images.fluxmock.test in the header TT-API-KEY"),
        (redirects_of_requests, "in the header TT-API-KEY"),
        (redirects_of_urllib, "in the header T"),
        (redirects_of_httpx, "in the header T"),
        (redirects_of_aiohttp, "in the header T"),
        (key_in_the_query, "to http://api.fluxmock.test in the URL"),
        (key_in_the_body, "to http://api.fluxmock.test in the body"),
        (key_as_a_token_too, "to http://api.fluxmock.test in the header Authorization"),
        (key_in_the_referer, "to http://api.fluxmock.test in the header Referer"),
        (key_as_a_password, "to http://images.fluxmock.test in the header Authorization"),
    ],
)
def test_a_key_that_goes_anywhere_but_into_the_header_of_the_api_is_found(client: Callable[..., Any], why: str) -> None:
    result = judged(client, "C43")
    assert result.result is Result.FAIL
    assert why.lower() in result.why.lower()


@pytest.mark.parametrize("before", [b"", b"u:", b"user:", b"a:"])
def test_a_key_is_found_in_base64_wherever_it_stands(before: bytes) -> None:
    assert holds(b"x=" + b64encode(before + b"fm-a-key-of-mine?" + b"!"), "fm-a-key-of-mine?")


def test_half_a_key_is_no_leak() -> None:
    assert not holds(b"fm-a-key-of\xe2\x80\xa6 %66", "fm-a-key-of-mine")


# C44


def headers_in_the_error(base_url: str, api_key: str, prompt: str) -> str:
    try:
        return made(calls(base_url, api_key), prompt)
    except requests.HTTPError as error:
        raise RuntimeError(f"{error}: sent {error.request.headers}") from error


def headers_in_the_log(base_url: str, api_key: str, prompt: str) -> str:
    logging.getLogger("client").warning("submitting with %s", {"TT-API-KEY": api_key})
    return made(calls(base_url, api_key), prompt)


def headers_on_standard_output(base_url: str, api_key: str, prompt: str) -> str:
    print("key:", api_key)
    return made(calls(base_url, api_key), prompt)


def key_by_the_descriptor(base_url: str, api_key: str, prompt: str) -> str:
    os.write(2, f"using {api_key}\n".encode())
    return made(calls(base_url, api_key), prompt)


def key_in_a_log_of_its_own(base_url: str, api_key: str, prompt: str) -> str:
    """As a logger does that has a handler, made when the program started, and does not propagate."""
    log = logging.Logger("own")
    with os.fdopen(os.dup(2), "w", encoding="utf-8") as stream:
        log.addHandler(logging.StreamHandler(stream))
        log.warning("using %s", api_key)
    return made(calls(base_url, api_key), prompt)


def key_from_a_command(base_url: str, api_key: str, prompt: str) -> str:
    with not_driven():
        subprocess.run([sys.executable, "-c", "import sys; print(sys.argv[1])", api_key], check=True)
    return made(calls(base_url, api_key), prompt)


@pytest.mark.parametrize(
    "client",
    [
        headers_in_the_error,
        headers_in_the_log,
        headers_on_standard_output,
        key_by_the_descriptor,
        key_in_a_log_of_its_own,
        key_from_a_command,
    ],
)
def test_a_key_that_is_printed_logged_or_raised_is_found(client: Callable[..., Any]) -> None:
    assert judged(client, "C44").result is Result.FAIL


def test_a_masked_key_may_be_printed() -> None:
    def masked(base_url: str, api_key: str, prompt: str) -> str:
        print("key:", api_key[:4] + "…" + api_key[-2:])
        return made(calls(base_url, api_key), prompt)

    assert judged(masked, "C44", examples=3).result is Result.PASS


# C45


def downloads_when_all_is_done(base_url: str, api_key: str, prompt: str) -> bytes:
    url = made(calls(base_url, api_key), prompt)
    time.sleep(300)
    answer = requests.get(url, timeout=TIMEOUT)
    answer.raise_for_status()
    return answer.content


def takes_any_url(base_url: str, api_key: str, prompt: str) -> bytes:
    call = calls(base_url, api_key)
    job_id = job_of(call("/flux/generate", {"prompt": prompt, "mode": "flux1-dev"}))
    for _ in polls():
        url = (call("/flux/fetch", {"jobId": job_id}).get("data") or {}).get("imageUrl")
        if url:
            return requests.get(url, timeout=TIMEOUT).content
    raise AssertionError


@pytest.mark.parametrize(
    ("client", "why"), [(downloads_when_all_is_done, "valid 60 s"), (takes_any_url, "it was told ON_QUEUE")]
)
def test_a_download_that_is_too_late_or_too_early_is_found(client: Callable[..., Any], why: str) -> None:
    result = judged(client, "C45")
    assert result.result is Result.FAIL
    assert why in result.why


def test_an_image_that_has_expired_is_gone() -> None:
    story = judged(downloads_when_all_is_done, "C45").story
    assert story is not None
    assert [download.status for download in story.downloads] == [404]


# C46


def one_loop_for_all(base_url: str, api_key: str, prompt: str) -> bytes:
    for _ in range(3):
        try:
            answer = requests.get(made(calls(base_url, api_key), prompt), timeout=TIMEOUT)
            answer.raise_for_status()
        except requests.RequestException:
            time.sleep(PAUSE)
        else:
            return answer.content
    raise RuntimeError("no image after three attempts")


def no_look_at_the_status(base_url: str, api_key: str, prompt: str) -> bytes:
    return requests.get(made(calls(base_url, api_key), prompt), timeout=TIMEOUT).content


def test_a_new_order_after_a_failed_download_is_found_and_priced() -> None:
    result = judged(one_loop_for_all, "C46")
    assert result.result is Result.FAIL
    assert result.bills >= 2


@pytest.mark.parametrize("how", ["cut off in the middle", "reset"])
def test_a_download_that_breaks_off_is_one_that_failed(how: str) -> None:
    """It has the status 200, and yet no image came."""
    directive = next(one for one in broken_images() if one.name == f"image: {how} once")
    with playing(one_loop_for_all, Plan()) as play:
        story = play((directive,))
    assert {download.status for download in story.downloads} == {200}
    judgement = properties()["C46"].judge(story, Policy())
    assert judgement.grade is Grade.FAIL
    assert "more images when a download was " in judgement.why


def test_the_page_of_an_error_returned_as_the_image_is_found() -> None:
    result = judged(no_look_at_the_status, "C46")
    assert result.result is Result.FAIL
    assert "had in its body" in result.why


# C47


def read_as_text(base_url: str, api_key: str, prompt: str) -> bytes:
    return requests.get(made(calls(base_url, api_key), prompt), timeout=TIMEOUT).text.encode()


def test_an_image_that_is_cut_off_is_found(tmp_path: Path) -> None:
    def copied_in_pieces(base_url: str, api_key: str, prompt: str) -> Path:
        file = tmp_path / f"{prompt[-6:]}.webp"
        with (
            urllib.request.urlopen(made(calls(base_url, api_key), prompt), timeout=TIMEOUT) as answer,
            file.open("wb") as target,
        ):
            shutil.copyfileobj(answer, target)
        return file

    result = judged(copied_in_pieces, "C47")
    assert result.result is Result.FAIL
    assert "it returned 700 bytes of an image" in result.why


def test_an_image_that_is_read_as_text_is_found() -> None:
    result = judged(read_as_text, "C47")
    assert result.result is Result.FAIL
    assert "are no image" in result.why


def test_an_image_that_the_client_turns_into_another_one_is_not_judged() -> None:
    def converted(base_url: str, api_key: str, prompt: str) -> bytes:
        url, file = made(calls(base_url, api_key), prompt), io.BytesIO()
        Image.open(io.BytesIO(requests.get(url, timeout=TIMEOUT).content)).save(file, "PNG")
        return file.getvalue()

    assert judged(converted, "C47", examples=3).result is Result.NOT_EXERCISED


# C48


def follows_by_hand(base_url: str, api_key: str, prompt: str) -> bytes:
    answer = requests.get(made(calls(base_url, api_key), prompt), timeout=TIMEOUT, allow_redirects=False)
    for _ in range(99):  # a limit, but none that helps
        if not answer.is_redirect:
            break
        url = requests.compat.urljoin(answer.url, answer.headers["Location"])
        answer = requests.get(url, timeout=TIMEOUT, allow_redirects=False)
    return answer.content


def key_to_the_redirect_of_the_image(base_url: str, api_key: str, prompt: str) -> bytes:
    url = made(calls(base_url, api_key), prompt)
    return httpx.get(url, headers={"TT-API-KEY": api_key}, follow_redirects=True, timeout=TIMEOUT).content


@pytest.mark.parametrize(
    ("client", "why"),
    [
        (follows_by_hand, "in a row"),
        (key_to_the_redirect_of_the_image, "and sent the key along"),
        (redirects_of_requests, "and sent the key along"),
        (redirects_of_urllib, "and sent the key along"),
        (redirects_of_aiohttp, "and sent the key along"),
    ],
)
def test_a_redirect_that_is_chased_is_found(client: Callable[..., Any], why: str) -> None:
    result = judged(client, "C48")
    assert result.result is Result.FAIL
    assert why in result.why


def test_a_redirect_to_the_metadata_service_is_seen() -> None:
    def only_images(base_url: str, api_key: str, prompt: str) -> bytes:
        url = made(calls(base_url, api_key), prompt)
        return requests.get(url, headers={"TT-API-KEY": api_key}, timeout=TIMEOUT).content

    directive = next(one for one in redirects() if one.name == "image: 307 to the metadata service")
    with Simulation(Callee(only_images), contract="2024-09") as simulation:
        story = simulation.play((directive,), Intent("simulated-key", "a cat", "flux1-dev"))
    last = story.requests[-1]
    assert (last.origin, last.path) == ("http://169.254.169.254", "/latest/meta-data/")
    assert last.header("TT-API-KEY") == "simulated-key"


# Good clients


@pytest.mark.parametrize("client", GOOD)
def test_good_clients_are_not_blamed(client: Callable[..., Any]) -> None:
    verdict = check_client(client, plan=Plan(only=IDS, examples=40))
    assert [(one.property.id, one.why) for one in verdict.failures()] == []
    exercised = {one.property.id for one in verdict.results if one.result is Result.PASS}
    # Who returns the URL has nothing to do with the download.
    assert exercised == (set(IDS) - {"C45", "C46", "C47"} if client is url_only else set(IDS))
