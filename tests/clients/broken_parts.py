"""What broken clients are made of, so that each shows little but its fault."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any

import requests
from good_clients import TIMEOUT, job_of, polls, url_of

from contract_tests.clients.check import Plan, check_client, playing
from contract_tests.clients.directives.base import Directive
from contract_tests.clients.directives.menu import plain
from contract_tests.clients.properties.base import Policy, properties
from contract_tests.clients.story import Story
from contract_tests.clients.verdict import PropertyResult

Call = Callable[[str, dict[str, Any]], Any]
"""Posts JSON to a path of the API, and returns the JSON that is answered."""


def judged(
    client: Callable[..., Any], id_: str, policy: Policy | None = None, examples: int | None = None
) -> PropertyResult:
    """Return the result of one property, from the scenario in which all goes well and the menu."""
    if examples is None:
        families = properties()[id_].families
        examples = 1 + sum(directive.family in families for directive in plain())
    plan = Plan(only=(id_,), examples=examples, policy=policy or Policy())
    return check_client(client, plan=plan)[id_]


def made(call: Call, prompt: str) -> str:
    """Order an image, wait for it, and return its URL."""
    job_id = job_of(call("/flux/generate", {"prompt": prompt, "mode": "flux1-dev"}))
    return waited(call, job_id)


def waited(call: Call, job_id: str) -> str:
    for _ in polls():
        url = url_of(call("/flux/fetch", {"jobId": job_id}))
        if url is not None:
            return url
    raise AssertionError


def calls(base_url: str, api_key: str, session: Any = requests, **more: Any) -> Call:
    """Return calls with requests that follow no redirects."""
    options = {"timeout": TIMEOUT, "allow_redirects": False, **more}

    def call(path: str, body: dict[str, Any]) -> Any:
        answer = session.post(base_url + path, json=body, headers={"TT-API-KEY": api_key}, **options)
        answer.raise_for_status()
        return answer.json()

    return call


def urllib_calls(base_url: str, api_key: str, **headers: str) -> Call:
    """Return calls with urllib, which follows 302 and not 307."""

    def call(path: str, body: dict[str, Any]) -> Any:
        sent = {"TT-API-KEY": api_key, "Content-Type": "application/json", **headers}
        order = urllib.request.Request(base_url + path, json.dumps(body).encode(), sent)
        with urllib.request.urlopen(order, timeout=TIMEOUT) as answer:
            return json.load(answer)

    return call


def named(*names: str) -> tuple[Directive, ...]:
    """Return directives of the menu by their names."""
    menu = {directive.name: directive for directive in plain()}
    return tuple(menu[name] for name in names)


def story_of(client: Callable[..., Any], *names: str) -> Story:
    """Return what a client does in the scenario of these directives of the menu; of none, where all goes well."""
    with playing(client, Plan()) as play:
        return play(named(*names))
