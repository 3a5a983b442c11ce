"""C10, C16 and C25: who gives up by himself is not accused of going on, and who goes on is not believed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from good_clients import Refused, job_of, url_of

from contract_tests import Plan, check_client
from contract_tests.clients.named import directive_of
from contract_tests.clients.verdict import Result

ALWAYS = "fetch: 500, always"


def polls(pause: float, *, ends: float, timeout: float = 5.0) -> Callable[..., Any]:
    """Return a client that polls every `pause` seconds, whatever happens, for so many seconds in all."""

    def client(base_url: str, api_key: str, prompt: str) -> str:
        headers = {"TT-API-KEY": api_key}
        order = {"prompt": prompt, "mode": "flux1-dev"}
        until = time.monotonic() + ends
        api = requests.Session()
        job_id = job_of(api.post(f"{base_url}/flux/generate", json=order, headers=headers, timeout=timeout).json())
        while time.monotonic() < until:
            time.sleep(pause)
            try:
                answer = api.post(f"{base_url}/flux/fetch", json={"jobId": job_id}, headers=headers, timeout=timeout)
                url = url_of(answer.json()) if answer.status_code == 200 else None
            except (requests.RequestException, ValueError):
                continue
            if url is not None:
                return url
        raise Refused("the job took too long")

    return client


def result_of(id_: str, client: Callable[..., Any], play: str) -> Any:
    return check_client(client, plan=Plan(only=(id_,), play=(directive_of(play),)))[id_]


@pytest.mark.parametrize("id_", ["C10", "C25"])
def test_who_polls_often_and_gives_up_is_not_said_to_stay(id_: str) -> None:
    assert result_of(id_, polls(0.22, ends=500), ALWAYS).result is Result.PASS


def test_what_somebody_would_have_done_who_was_ended_early_is_not_known() -> None:
    assert result_of("C10", polls(0.05, ends=500), ALWAYS).result is Result.NOT_EXERCISED


@pytest.mark.parametrize(("pause", "why"), [(0.5, "it was still there after 900 s"), (0.0, "it called on and on for")])
def test_who_goes_on_is_found(pause: float, why: str) -> None:
    result = result_of("C10", polls(pause, ends=1e9), ALWAYS)
    assert result.result is Result.FAIL
    assert result.why.startswith(why)


def test_a_deadline_that_trouble_has_used_up_may_end_a_client() -> None:
    assert result_of("C16", polls(2, ends=280, timeout=100), "fetch: no answer three times").result is not Result.FAIL


def test_a_deadline_is_no_excuse_as_long_as_there_is_time() -> None:
    result = result_of("C16", polls(2, ends=30, timeout=20), "fetch: no answer three times")
    assert result.result is Result.FAIL
