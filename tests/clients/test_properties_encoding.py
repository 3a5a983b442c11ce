"""What clients send, C51 and C53: changed prompts and wrong headers are found; good clients hold C49 to C55."""

from __future__ import annotations

import http.client
import json
import unicodedata
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import requests
from broken_parts import calls, judged, made, urllib_calls, waited
from good_clients import GOOD, TIMEOUT, job_of, url_only

from contract_tests.clients.check import Plan, check_client
from contract_tests.clients.verdict import Result

IDS = ("C49", "C50", "C51", "C52", "C53", "C54", "C55")


# C51


def template_of_json(base_url: str, api_key: str, prompt: str) -> str:
    body = f'{{"prompt": "{prompt}", "mode": "flux1-dev"}}'.encode()
    headers = {"TT-API-KEY": api_key, "Content-Type": "application/json"}
    answer = requests.post(base_url + "/flux/generate", data=body, headers=headers, timeout=TIMEOUT)
    answer.raise_for_status()
    return waited(calls(base_url, api_key), job_of(answer.json()))


def changed(change: Callable[[str], str]) -> Callable[..., str]:
    def client(base_url: str, api_key: str, prompt: str) -> str:
        return made(urllib_calls(base_url, api_key), change(prompt))

    return client


@pytest.mark.parametrize(
    ("client", "why"),
    [
        (template_of_json, "neither JSON nor a form"),
        (changed(lambda prompt: prompt.encode("ascii", "ignore").decode() or "?"), "arrived as"),
        (changed(lambda prompt: prompt.encode().decode("latin-1")), "arrived as"),
        (changed(lambda prompt: prompt[:1000]), "arrived as"),
        (changed(str.strip), "arrived as"),
        (changed(lambda prompt: " ".join(prompt.splitlines())), "arrived as"),
        (changed(lambda prompt: unicodedata.normalize("NFKC", prompt)), "arrived as"),
        (changed(lambda prompt: prompt.replace("\\", "\\\\")), "arrived as"),
    ],
)
def test_a_prompt_that_is_changed_on_its_way_is_found(client: Callable[..., Any], why: str) -> None:
    result = judged(client, "C51")
    assert result.result is Result.FAIL
    assert why in result.why


def test_a_client_may_put_words_of_its_own_around_a_prompt() -> None:
    assert judged(changed(lambda prompt: f"masterpiece, {prompt}, 4k"), "C51").result is Result.PASS


def test_line_ends_in_a_form_may_be_those_of_forms() -> None:
    def as_a_form(base_url: str, api_key: str, prompt: str) -> str:
        unix = prompt.replace("\r\n", "\n").replace("\r", "\n")
        fields = {"prompt": (None, unix.replace("\n", "\r\n")), "mode": (None, "flux1-dev")}
        headers = {"TT-API-KEY": api_key}
        answer = requests.post(base_url + "/flux/generate", files=fields, headers=headers, timeout=TIMEOUT)
        answer.raise_for_status()
        return waited(calls(base_url, api_key), job_of(answer.json()))

    assert judged(as_a_form, "C51").result is Result.PASS


# C53


def json_that_is_called_a_form(base_url: str, api_key: str, prompt: str) -> str:
    def call(path: str, body: dict[str, Any]) -> Any:
        order = urllib.request.Request(base_url + path, json.dumps(body).encode(), {"TT-API-KEY": api_key})
        with urllib.request.urlopen(order, timeout=TIMEOUT) as answer:
            return json.load(answer)

    return made(call, prompt)


def json_without_a_type(base_url: str, api_key: str, prompt: str) -> str:
    def call(path: str, body: dict[str, Any]) -> Any:
        answer = requests.post(base_url + path, data=json.dumps(body), headers={"TT-API-KEY": api_key}, timeout=TIMEOUT)
        answer.raise_for_status()
        return answer.json()

    return made(call, prompt)


def key_as_a_bearer(base_url: str, api_key: str, prompt: str) -> str:
    def call(path: str, body: dict[str, Any]) -> Any:
        headers = {"Authorization": f"Bearer {api_key}"}
        return httpx.post(base_url + path, json=body, headers=headers, timeout=TIMEOUT).raise_for_status().json()

    return made(call, prompt)


def key_twice(base_url: str, api_key: str, prompt: str) -> str:
    def call(path: str, body: dict[str, Any]) -> Any:
        connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=TIMEOUT)
        data = json.dumps(body).encode()
        connection.putrequest("POST", path)
        for name, value in (
            ("TT-API-KEY", api_key),
            ("tt-api-key", api_key),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(data))),
        ):
            connection.putheader(name, value)
        connection.endheaders(data)
        try:
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    return made(call, prompt)


@pytest.mark.parametrize(
    ("client", "why"),
    [
        (json_that_is_called_a_form, "sends application/json, and calls it application/x-www-form-urlencoded"),
        (json_without_a_type, "sends application/json, and calls it nothing"),
        (key_as_a_bearer, "has no key in TT-API-KEY"),
        (key_twice, "has 2 times the key in TT-API-KEY"),
    ],
)
def test_a_call_with_headers_that_are_missing_wrong_or_repeated_is_found(client: Callable[..., Any], why: str) -> None:
    result = judged(client, "C53")
    assert result.result is Result.FAIL
    assert why in result.why


# Good clients


@pytest.mark.parametrize("client", GOOD)
def test_good_clients_are_not_blamed(client: Callable[..., Any]) -> None:
    verdict = check_client(client, plan=Plan(only=IDS, examples=32))
    assert [(one.property.id, one.why) for one in verdict.failures()] == []
    exercised = {one.property.id for one in verdict.results if one.result is Result.PASS}
    assert {"C51", "C53", "C54", "C55"} <= exercised
    assert (exercised >= {"C49", "C50"}) is (client is not url_only)
