"""Clients that cannot keep a secret, or follow anybody anywhere: C43, C44, C48, C53."""

from __future__ import annotations

import json
import logging
import os
import time
import urllib.error
import urllib.request
from typing import Any

import requests

from zoo import good_httpx, good_stdlib
from zoo.common import BUSY, TIMEOUT, FluxError, job_of, order_of, pause_before, polls, url_of
from zoo.good_requests import Api, download
from zoo.registry import broken

log = logging.getLogger("flux")
FOLLOWS = {"C48": "a redirect to another host gets the key, too"}


@broken("requests", "C43", also={"C48": "a redirect of the image gets the key, too"})
def downloads_with_the_key(base_url: str, api_key: str, prompt: str) -> bytes:
    """The session that has the key in its headers downloads the image, too."""
    with Api(base_url, api_key) as api:
        url = api.wait(api.submit(prompt))
        answer = api.session.get(url, timeout=TIMEOUT)
    answer.raise_for_status()
    return answer.content


@broken("httpx", "C43", also=FOLLOWS)
def follows_redirects(base_url: str, api_key: str, prompt: str) -> str:
    """follow_redirects=True: httpx takes Authorization off for another host, and no header of one's own."""
    with good_httpx.api(base_url, api_key, follow_redirects=True) as client:
        return good_httpx.wait(client, good_httpx.submit(client, prompt))


@broken("requests", "C43", also=FOLLOWS)
def follows_by_default(base_url: str, api_key: str, prompt: str) -> str:
    """Requests follows redirects unless it is told not to, and takes the key along."""

    class Following(Api):
        def post(self, path: str, **body: Any) -> requests.Response:
            return self.session.post(f"{self.base_url}/flux/{path}", timeout=TIMEOUT, **body)

    with Following(base_url, api_key) as api:
        return api.wait(api.submit(prompt))


@broken("urllib", "C43")
def key_in_the_query(base_url: str, api_key: str, prompt: str) -> str:
    """The key is in the URL besides, where every log of every proxy has it."""
    job_id = good_stdlib.submit(base_url, api_key, prompt)
    for _ in polls():
        request = urllib.request.Request(
            f"{base_url}/flux/fetch?jobId={job_id}&key={api_key}", headers={"TT-API-KEY": api_key}
        )
        try:
            with good_stdlib.OPENER.open(request, timeout=TIMEOUT) as answer:
                url = url_of(json.load(answer))
        except urllib.error.HTTPError as error:
            if error.code in BUSY:
                time.sleep(pause_before(0, error.headers.get("Retry-After")))
            continue
        except good_stdlib.LOST:
            continue
        if url is not None:
            return url
    raise AssertionError


@broken("requests", "C43")
def sends_the_key_as_a_token_too(base_url: str, api_key: str, prompt: str) -> str:
    """Authorization: Bearer goes along, since a sibling of the API wants it so, and proxies log it."""
    with Api(base_url, api_key) as api:
        api.session.headers["Authorization"] = f"Bearer {api_key}"
        return api.wait(api.submit(prompt))


@broken("requests", "C44")
def writes_where_nobody_looks(base_url: str, api_key: str, prompt: str) -> bytes:
    """A C library that says on the descriptor of standard error what it was called with."""
    os.write(2, f"flux: key={api_key}\n".encode())
    with Api(base_url, api_key) as api:
        return download(api.wait(api.submit(prompt)))


@broken("requests", "C44")
def key_in_the_error(base_url: str, api_key: str, prompt: str) -> bytes:
    """The error has the headers of the request in it, "for debugging"."""
    with Api(base_url, api_key) as api:
        answer = api.post("generate", json=order_of(prompt))
        if answer.status_code != 200:
            raise FluxError(f"POST {answer.url} with {answer.request.headers}: HTTP {answer.status_code}")
        url = api.wait(job_of(answer.json()))
    return download(url)


@broken("httpx", "C44")
def logs_its_settings(base_url: str, api_key: str, prompt: str) -> str:
    """What it was called with is logged, the key among it."""
    log.warning("generating with %s", {"base_url": base_url, "api_key": api_key, "timeout": TIMEOUT})
    with good_httpx.api(base_url, api_key) as client:
        return good_httpx.wait(client, good_httpx.submit(client, prompt))


@broken("requests", "C48", also={"C43": "the next host gets the key as well"})
def follows_by_hand(base_url: str, api_key: str, prompt: str) -> str:
    """`while answer.is_redirect`, with the same headers, and with no end."""

    class Chasing(Api):
        def post(self, path: str, **body: Any) -> requests.Response:
            answer = super().post(path, **body)
            while answer.is_redirect:
                target = requests.compat.urljoin(answer.url, answer.headers["Location"])
                answer = self.session.post(target, timeout=TIMEOUT, allow_redirects=False, **body)
            return answer

    with Chasing(base_url, api_key) as api:
        return api.wait(api.submit(prompt))


@broken("urllib", "C53")
def no_content_type(base_url: str, api_key: str, prompt: str) -> str:
    """Urllib calls a body a form unless it is told what it is; the API happens to read it."""
    job_id = good_stdlib.submit(base_url, api_key, prompt)
    for _ in polls():
        request = urllib.request.Request(
            f"{base_url}/flux/fetch?jobId={job_id}", json.dumps({"jobId": job_id}).encode(), {"TT-API-KEY": api_key}
        )
        try:
            with good_stdlib.OPENER.open(request, timeout=TIMEOUT) as answer:
                url = url_of(json.load(answer))
        except urllib.error.HTTPError as error:
            if error.code in BUSY:
                time.sleep(pause_before(0, error.headers.get("Retry-After")))
            continue
        except good_stdlib.LOST:
            continue
        if url is not None:
            return url
    raise AssertionError
