"""Good clients with requests, and the parts of which others are made."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import requests

from zoo.common import ATTEMPTS, BUSY, PAUSE, TIMEOUT, FluxError, job_of, order_of, pause_before, polls, url_of
from zoo.registry import good


class Api:
    """The API, called with one session; the key goes nowhere else."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self.base_url = base_url
        self.session = requests.Session()
        self.session.headers["TT-API-KEY"] = api_key

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def post(self, path: str, **body: Any) -> requests.Response:
        options = {"timeout": TIMEOUT, "allow_redirects": False, **body}
        return self.session.post(f"{self.base_url}/flux/{path}", **options)

    def submit(self, prompt: str) -> str:
        return self.accepted(lambda: self.post("generate", json=order_of(prompt)))

    def edit(self, prompt: str, image: str) -> str:
        picture = Path(image)
        file = (picture.name, picture.read_bytes(), "image/png")
        return self.accepted(lambda: self.post("edits", data=order_of(prompt), files={"image": file}))

    def accepted(self, send: Any) -> str:
        """Send a submission, again if it was refused for now, and return the id of the job."""
        for attempt in range(ATTEMPTS):
            answer = send()
            if answer.status_code not in BUSY:
                break
            time.sleep(pause_before(attempt, answer.headers.get("Retry-After")))
        if answer.status_code != 200:
            raise FluxError(f"HTTP {answer.status_code}: {answer.text[:200]}")
        return job_of(answer.json())

    def look(self, job_id: str) -> Any:
        """Return what is known of a job; nothing if that cannot be had now."""
        try:
            answer = self.post("fetch", json={"jobId": job_id})
            if answer.status_code in BUSY:
                time.sleep(pause_before(0, answer.headers.get("Retry-After")))
            return answer.json() if answer.status_code == 200 else {}
        except (requests.RequestException, ValueError):
            return {}

    def wait(self, job_id: str) -> str:
        """Poll until the job has ended, and return the URL of the image."""
        for _ in polls():
            url = url_of(self.look(job_id))
            if url is not None:
                return url
        raise AssertionError


def download(url: str) -> bytes:
    """Return an image; the session of the API is left out of it."""
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE * attempt)
        try:
            answer = requests.get(url, timeout=TIMEOUT)
            answer.raise_for_status()
        except requests.RequestException as error:
            trouble = error
        else:
            return answer.content
    raise FluxError("the image was made, but could not be downloaded") from trouble


@good("requests")
def requests_session(base_url: str, api_key: str, prompt: str, image: str | None = None) -> bytes:
    """Generates and edits, retries what was refused for now, polls through trouble, and returns bytes."""
    with Api(base_url, api_key) as api:
        job_id = api.submit(prompt) if image is None else api.edit(prompt, image)
        url = api.wait(job_id)
    return download(url)


@good("requests")
def requests_strict(base_url: str, api_key: str, prompt: str) -> str:
    """Reports every trouble with a submission at once, and returns the URL."""
    headers = {"TT-API-KEY": api_key}
    answer = requests.post(
        f"{base_url}/flux/generate", json=order_of(prompt), headers=headers, timeout=TIMEOUT, allow_redirects=False
    )
    if answer.status_code != 200:
        raise FluxError(f"the submission was answered {answer.status_code}")
    with Api(base_url, api_key) as api:
        return api.wait(job_of(answer.json()))


@good("requests")
def requests_thread(base_url: str, api_key: str, prompt: str) -> bytes:
    """Polls in a thread of its own, which is over when the caller has its image."""
    found: list[str] = []
    troubles: list[Exception] = []

    def work() -> None:
        try:
            found.append(api.wait(job_id))
        except FluxError as error:
            troubles.append(error)

    with Api(base_url, api_key) as api:
        job_id = api.submit(prompt)
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join()
    if troubles:
        raise troubles[0]
    return download(found[0])
