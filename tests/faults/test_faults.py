"""Each fault that a scenario can play on an answer, as five clients see it."""

from __future__ import annotations

import json
import os
import re
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import requests
from fault_clients import PYTHON_CLIENTS, Node, Request, Session, outcome
from fault_model import CLIENTS, Fault, on
from fault_page import page
from fault_table import FAULTS, OTHER
from support import KEY, PROMPT, Caller

import mock_server
from mock_server.scenarios.files import parse_scenario
from mock_server.scenarios.rules import read_scenario
from mock_server.serving import Server

Serve = Callable[..., Server]
Start = Callable[[ExitStack, float], Session]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    executable = shutil.which("node")
    if executable is None:
        assert not os.environ.get("CI"), "CI has Node"
        pytest.skip("there is no node")
    process = Node(executable)
    yield process
    process.close()


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> tuple[str, Start]:
    name = request.param
    return name, PYTHON_CLIENTS.get(name) or request.getfixturevalue("node").session


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_client_sees_a_fault_as_the_table_says(serve: Serve, fault: Fault, client: tuple[str, Start]) -> None:
    name, start = client
    expected = fault.seen[name]
    server, other = serve(clock="frozen", progress=fault.progress), None
    job_id = Caller(server.app).submit()
    rule = json.dumps(fault.rule)
    if OTHER in rule:
        other = serve(clock="frozen")
        assert Caller(other.app).submit() == job_id  # the same seed, key and number
        rule = rule.replace(OTHER, other.url).replace("JOB", job_id)
    tenant = server.tenant(KEY)
    tenant.scenario({"name": "fault", "rules": [json.loads(rule)]})

    assert play(start, server, fault, job_id) in expected.outcomes

    came = [entry.path for entry in tenant.journal.requests[1:]]
    assert len(came) == (expected.requests or len(fault.calls))
    assert len(tenant.jobs) - 1 == (came.count("/flux/generate") if fault.charged else 0)
    if other is not None:
        with_key, without = len(other.tenant(KEY).journal.requests) > 1, bool(other.strays.requests)
        assert (with_key, without) == (expected.key is True, expected.key is False)


@pytest.mark.parametrize(("headers", "connections"), [({"X-Other": "value"}, 1), ({"Connection": "close"}, 2)], ids=str)
def test_a_session_keeps_its_connection_unless_the_answer_forbids_it(
    serve: Serve, client: tuple[str, Start], headers: dict[str, str], connections: int
) -> None:
    name, start = client
    server = serve(clock="frozen")
    tenant = server.tenant(KEY)
    fault = Fault("headers", on("submit", headers=headers), {}, calls=("submit", "submit"))
    tenant.scenario({"name": "headers", "rules": [fault.rule]})
    assert play(start, server, fault) == "value; value"
    used = {entry.connection for entry in tenant.journal.requests}
    assert len(used) == (2 if name == "urllib" else connections)  # urllib asks for the end of each


def test_an_answer_that_closes_its_connection_says_so(serve: Serve) -> None:
    server = serve(clock="frozen")
    server.tenant(KEY).scenario({"name": "close", "rules": [on("submit", headers={"Connection": "close"})]})
    with requests.Session() as session:
        answer = session.post(f"{server.url}/flux/generate", json=PROMPT, headers={"TT-API-KEY": KEY}, timeout=30)
    assert (answer.status_code, answer.headers["Connection"]) == (200, "close")


def test_the_page_shows_the_table() -> None:
    assert PAGE.read_text("utf-8") == page(), "run: python tests/faults/fault_page.py > docs/faults.md"


def test_the_rules_on_the_page_can_be_played() -> None:
    whole, *parts = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(parse_scenario(whole).rules) == 1
    rules = [rule for part in parts for rule in parse_scenario(f"name: shown\nrules:\n{part}").rules]
    assert rules == [read_scenario({"name": "table", "rules": [fault.rule]}).rules[0] for fault in FAULTS]


def test_every_link_on_the_page_leads_somewhere() -> None:
    targets = re.findall(r"\]\(([^)]+)\)", PAGE.read_text("utf-8"))
    assert targets
    assert [target for target in targets if not (PAGE.parent / target).exists()] == []


def play(start: Start, server: Server, fault: Fault, job_id: str = "") -> str:
    """Make the calls of `fault` on one session; return what they gave."""
    outcomes: list[str] = []
    with ExitStack() as stack:
        session = start(stack, fault.timeout)
        for call, clean in zip(fault.calls, clean_values(fault.calls, fault.progress), strict=True):
            if outcomes:
                let_the_server_finish(server)
            outcomes.append(outcome(session, request_of(call, server.url, job_id), clean))
    let_the_server_finish(server)
    return "; ".join(outcomes)


def request_of(call: str, base_url: str, job_id: str) -> Request:
    headers = {"TT-API-KEY": KEY}
    if call == "submit":
        return Request("POST", f"{base_url}/flux/generate", headers, PROMPT)
    if call == "fetch":
        return Request("POST", f"{base_url}/flux/fetch", headers, {"jobId": job_id})
    return Request("GET", f"{base_url}/flux/fetch?jobId={job_id}", headers, None)


@cache
def clean_values(calls: tuple[str, ...], progress: str) -> list[Any]:
    """Return what the calls give when nothing happens."""
    with mock_server.serve(clock="frozen", progress=progress) as server:
        caller = Caller(server.app)
        job_id = caller.submit()
        return [caller.generate().get_json() if call == "submit" else caller.fetch(job_id) for call in calls]


def let_the_server_finish(server: Server) -> None:
    """Make a call on a new connection: what the server has to do for older ones is done before it is answered."""
    with urllib.request.urlopen(f"{server.url}/_mock/health") as answer:
        answer.read()
