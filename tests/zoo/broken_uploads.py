"""Clients that edit, and whose uploads do not arrive as they should: C49, C50, C52."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import requests

from zoo import good_httpx
from zoo.common import ATTEMPTS, BUSY, FluxError, job_of, order_of, pause_before
from zoo.good_requests import Api, download
from zoo.registry import broken


def generated_or(edit: Any, base_url: str, api_key: str, prompt: str, image: str | None) -> bytes:
    """Return an image that was generated, or edited by `edit`."""
    with Api(base_url, api_key) as api:
        job_id = api.submit(prompt) if image is None else api.accepted(lambda: edit(api))
        return download(api.wait(job_id))


@broken("requests", "C49", also={"C51": "the prompt is dropped without a word"})
def json_and_files(base_url: str, api_key: str, prompt: str, image: str | None = None) -> bytes:
    """json= and files= together, as the old documentation shows: requests sends the file alone."""

    def edit(api: Api) -> requests.Response:
        with Path(image or "").open("rb") as file:
            return api.post("edits", json=order_of(prompt), files={"image": file})

    return generated_or(edit, base_url, api_key, prompt, image)


BY_HAND = {"C53": "the header says what the body is not", "C51": "nobody can read the prompt"}


@broken("requests", "C49", also=BY_HAND)
def content_type_by_hand(base_url: str, api_key: str, prompt: str, image: str | None = None) -> bytes:
    """The header table of the documentation is copied: application/json, for a form."""

    def edit(api: Api) -> requests.Response:
        files = {"image": Path(image or "").read_bytes()}
        headers = {"Content-Type": "application/json"}
        return api.post("edits", data=order_of(prompt), files=files, headers=headers)

    return generated_or(edit, base_url, api_key, prompt, image)


@broken("httpx", "C49", also=BY_HAND)
def no_boundary(base_url: str, api_key: str, prompt: str, image: str | None = None) -> str:
    """Content-Type: multipart/form-data is set by hand, without the boundary that only the library knows."""
    with good_httpx.api(base_url, api_key) as client:
        if image is None:
            return good_httpx.wait(client, good_httpx.submit(client, prompt))
        answer = client.post(
            "/flux/edits",
            data=order_of(prompt),
            files={"image": Path(image).read_bytes()},
            headers={"Content-Type": "multipart/form-data"},
        )
        if answer.status_code != 200:
            raise FluxError(f"the submission was answered {answer.status_code}")
        return good_httpx.wait(client, job_of(answer.json()))


@broken("requests", "C49")
def reads_pictures_as_text(base_url: str, api_key: str, prompt: str, image: str | None = None) -> bytes:
    """The file is opened in text mode, and the encoding error that this gave is ignored."""

    def edit(api: Api) -> requests.Response:
        text = Path(image or "").read_text("utf-8", errors="ignore")
        return api.post("edits", data=order_of(prompt), files={"image": ("cat.png", text, "image/png")})

    return generated_or(edit, base_url, api_key, prompt, image)


@broken("requests", "C50")
def names_in_ascii(base_url: str, api_key: str, prompt: str, image: str | None = None) -> bytes:
    """The name of the file is forced into ASCII with question marks."""

    def edit(api: Api) -> requests.Response:
        path = Path(image or "")
        name = path.name.encode("ascii", "replace").decode()
        return api.post("edits", data=order_of(prompt), files={"image": (name, path.read_bytes(), "image/png")})

    return generated_or(edit, base_url, api_key, prompt, image)


@broken("requests", "C52")
def file_at_its_end(base_url: str, api_key: str, prompt: str, image: str | None = None) -> bytes:
    """The file is opened once, and is at its end when the upload is tried again."""
    with Api(base_url, api_key) as api:
        if image is None:
            return download(api.wait(api.submit(prompt)))
        with Path(image).open("rb") as file:
            for attempt in range(ATTEMPTS):
                answer = api.post("edits", data=order_of(prompt), files={"image": ("cat.png", file, "image/png")})
                if answer.status_code not in BUSY:
                    break
                time.sleep(pause_before(attempt, answer.headers.get("Retry-After")))
        answer.raise_for_status()
        return download(api.wait(job_of(answer.json())))


@broken("httpx", "C52")
def stream_is_spent(base_url: str, api_key: str, prompt: str, image: str | None = None) -> str:
    """What was read in pieces for a progress bar is not there for a second attempt."""
    with good_httpx.api(base_url, api_key) as client:
        if image is None:
            return good_httpx.wait(client, good_httpx.submit(client, prompt))
        with Path(image).open("rb") as file:
            sent = file.read(64)
            for attempt in range(ATTEMPTS):
                picture = sent + file.read() if attempt == 0 else sent
                files = {"image": ("cat.png", picture, "image/png")}
                answer = client.post("/flux/edits", data=order_of(prompt), files=files)
                if answer.status_code not in BUSY:
                    break
                time.sleep(pause_before(attempt, answer.headers.get("Retry-After")))
        if answer.status_code != 200:
            raise FluxError(f"the submission was answered {answer.status_code}")
        return good_httpx.wait(client, job_of(answer.json()))
