"""Clients that lose the image that was paid for, or mix it up: C45, C46, C47, C51, C55."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
import urllib.request
from pathlib import Path

import httpx
import requests

from zoo import good_aiohttp, good_httpx, good_stdlib
from zoo.common import TIMEOUT, FluxError, polls, url_of
from zoo.good_httpx import RESULTS
from zoo.good_requests import Api, download
from zoo.registry import broken


@broken("requests", "C45")
def downloads_at_the_end(base_url: str, api_key: str, prompt: str) -> bytes:
    """URLs are gathered, and downloaded by a sweep some minutes later."""
    with Api(base_url, api_key) as api:
        urls = [api.wait(api.submit(prompt))]
    time.sleep(180)
    return next(download(url) for url in urls)


@broken("aiohttp", "C45")
async def waits_for_the_cdn(base_url: str, api_key: str, prompt: str) -> bytes:
    """It gives the CDN a minute and a half to spread the image."""
    async with good_aiohttp.api(base_url, api_key) as session:
        url = await good_aiohttp.wait(session, await good_aiohttp.submit(session, prompt))
    await asyncio.sleep(90)
    return await good_aiohttp.download(url)


@broken("requests", "C46", also={"C06": "a job that had succeeded is ordered again"})
def starts_over_when_a_download_fails(base_url: str, api_key: str, prompt: str) -> bytes:
    """One loop around ordering, polling and downloading: a CDN that coughs costs another image."""
    with Api(base_url, api_key) as api:
        for attempt in range(3):
            url = api.wait(api.submit(prompt))
            try:
                answer = requests.get(url, timeout=TIMEOUT)
                answer.raise_for_status()
            except requests.RequestException:
                time.sleep(2**attempt)
                continue
            return answer.content
    raise FluxError("the image could not be downloaded")


@broken("httpx", "C46")
def saves_the_error_page(base_url: str, api_key: str, prompt: str) -> str:
    """The status of the download is not looked at, so that cat.webp may be a page of HTML."""
    with good_httpx.api(base_url, api_key) as client:
        job_id = good_httpx.submit(client, prompt)
        url = good_httpx.wait(client, job_id)
    path = Path(RESULTS.name, f"{job_id}-unseen.webp")
    path.write_bytes(httpx.get(url, timeout=TIMEOUT).content)
    return str(path)


@broken("urllib", "C47")
def copies_until_the_end(base_url: str, api_key: str, prompt: str) -> str:
    """shutil.copyfileobj() takes the end of the connection for the end of the image."""
    job_id = good_stdlib.submit(base_url, api_key, prompt)
    url = good_stdlib.wait(base_url, api_key, job_id)
    path = Path(RESULTS.name, f"{job_id}-copied.webp")
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, path.open("wb") as file:
        shutil.copyfileobj(answer, file)
    return str(path)


@broken("requests", "C47", also={"C55": "it is no image any more, whatever happens"})
def saves_as_text(base_url: str, api_key: str, prompt: str) -> str:
    """answer.text is written to the file: bytes that are no text become question marks."""
    with Api(base_url, api_key) as api:
        job_id = api.submit(prompt)
        url = api.wait(job_id)
    answer = requests.get(url, timeout=TIMEOUT)
    answer.raise_for_status()
    path = Path(RESULTS.name, f"{job_id}-text.webp")
    path.write_text(answer.text, "utf-8", errors="replace")
    return str(path)


def post_text(base_url: str, api_key: str, body: bytes) -> str:
    """POST a submission that was made by hand, and return the id of its job."""
    with Api(base_url, api_key) as api:
        headers = {"Content-Type": "application/json"}
        return api.accepted(lambda: api.post("generate", data=body, headers=headers))


@broken("requests", "C51")
def json_by_template(base_url: str, api_key: str, prompt: str) -> bytes:
    """The body is an f-string, and a quote in the prompt is the end of it."""
    body = f'{{"prompt": "{prompt}", "mode": "flux1-dev"}}'
    job_id = post_text(base_url, api_key, body.encode())
    with Api(base_url, api_key) as api:
        return download(api.wait(job_id))


@broken("urllib", "C51")
def forces_prompts_into_latin_1(base_url: str, api_key: str, prompt: str) -> bytes:
    """encode("latin-1", "replace"), since everything else was a UnicodeEncodeError once."""
    known = prompt.encode("latin-1", "replace").decode("latin-1")
    return good_stdlib.download(good_stdlib.wait(base_url, api_key, good_stdlib.submit(base_url, api_key, known)))


@broken("httpx async", "C51")
async def tidies_prompts_up(base_url: str, api_key: str, prompt: str) -> bytes:
    """White space is tidied up, and the prompt cut at 1,000 characters: it knows better what was meant."""
    async with good_httpx.api_async(base_url, api_key) as client:
        tidy = " ".join(prompt.split())[:1000]
        url = await good_httpx.wait_async(client, await good_httpx.submit_async(client, tidy))
    return await good_aiohttp.download(url)


@broken("requests", "C55", also={"C33": "the picture that it has in store is no image of a job that was refused"})
def returns_a_placeholder(base_url: str, api_key: str, prompt: str) -> str:
    """Where the order cannot be placed, users get a nice picture of a cloud, and nobody gets an error."""
    with Api(base_url, api_key) as api:
        try:
            job_id = api.submit(prompt)
        except (FluxError, requests.RequestException):
            return "https://example.com/cloud.png"
        return api.wait(job_id)


@broken("httpx", "C55")
def path_of_a_file_that_is_gone(base_url: str, api_key: str, prompt: str) -> str:
    """The image is in a temporary file, which is deleted when its block ends."""
    with good_httpx.api(base_url, api_key) as client:
        url = good_httpx.wait(client, good_httpx.submit(client, prompt))
    with tempfile.NamedTemporaryFile(suffix=".webp") as file:
        file.write(download(url))
        return file.name


@broken("requests", "C55")
def loses_the_last_byte(base_url: str, api_key: str, prompt: str) -> bytes:
    """A line end that was never there is taken off the image."""
    with Api(base_url, api_key) as api:
        return download(api.wait(api.submit(prompt)))[:-1]


@broken("requests", "C55")
def says_that_it_is_done(base_url: str, api_key: str, prompt: str) -> bool:
    """True is returned, and the image is nowhere."""
    with Api(base_url, api_key) as api:
        return bool(download(api.wait(api.submit(prompt))))


class Flux:
    """A client as an object, which remembers the job that it works on."""

    job_id = ""

    def generate(self, base_url: str, api_key: str, prompt: str) -> bytes:
        with Api(base_url, api_key) as api:
            self.job_id = api.submit(prompt)
            for _ in polls():
                url = url_of(api.look(self.job_id))
                if url is not None:
                    return download(url)
        raise AssertionError


SHARED = Flux()


@broken("requests", "C55")
def one_object_for_all(base_url: str, api_key: str, prompt: str) -> bytes:
    """A single object keeps the id of "the" job, and threads share it."""
    return SHARED.generate(base_url, api_key, prompt)


@broken("httpx async", "C55")
async def one_file_for_all(base_url: str, api_key: str, prompt: str) -> str:
    """Every image is written to result.webp."""
    async with good_httpx.api_async(base_url, api_key) as client:
        url = await good_httpx.wait_async(client, await good_httpx.submit_async(client, prompt))
    path = Path(RESULTS.name, "result.webp")
    path.write_bytes(await good_aiohttp.download(url))
    return str(path)
