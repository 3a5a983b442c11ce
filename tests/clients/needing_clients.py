"""Clients that have what some properties need, and give others no opportunity."""

from __future__ import annotations

import time

import requests
from samples import PAUSE, call


def waits_for_hooks(base_url: str, api_key: str, prompt: str, hook_url: str) -> str:
    order = {"prompt": prompt, "mode": "flux1-dev", "hookUrl": hook_url}
    call(base_url, "generate", api_key, order)
    time.sleep(30)
    raise RuntimeError("nobody tells it what its receiver was told")


def edits(base_url: str, api_key: str, prompt: str, image: str) -> str:
    """Sends the file once, by a name of its own."""
    form = {"prompt": prompt, "mode": "flux1-dev"}
    with open(image, "rb") as file:  # noqa: PTH123 - as people do
        picture = {"image": ("picture.png", file, "image/png")}
        headers = {"TT-API-KEY": api_key}
        made = requests.post(f"{base_url}/flux/edits", data=form, files=picture, headers=headers, timeout=20)
    made.raise_for_status()
    return polled(base_url, api_key, made.json()["data"]["jobId"])


def downloads(base_url: str, api_key: str, prompt: str) -> bytes:
    made = call(base_url, "generate", api_key, {"prompt": prompt, "mode": "flux1-dev"})
    answer = requests.get(polled(base_url, api_key, made["data"]["jobId"]), timeout=20)
    answer.raise_for_status()
    return answer.content


def polled(base_url: str, api_key: str, job_id: str) -> str:
    while True:
        time.sleep(PAUSE)
        answer = call(base_url, "fetch", api_key, {"jobId": job_id})
        if answer["status"] == "SUCCESS":
            return str(answer["data"]["imageUrl"])
