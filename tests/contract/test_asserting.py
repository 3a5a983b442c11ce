"""Tests can insist on the contract, whatever they called the API with, and learn from the message what is wrong."""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import requests
from support import PROMPT

from contract_tests.asserting import assert_matches_contract, exchange_of, validate
from contract_tests.exchanges import Endpoint, Place
from mock_server.contract import contract, versions
from mock_server.serving import Server

Serve = Callable[..., Server]
KEY = {"TT-API-KEY": "test"}
FETCHED: dict[str, Any] = contract("2024-09").schemas["fetch.response"]["examples"][0]
ACCEPTED: dict[str, Any] = contract("2024-09").schemas["generate.response"]["examples"][0]
REFUSED: dict[str, Any] = contract("2024-09").schemas["error.response"]["examples"][0]


def changed(value: Any, **fields: Any) -> Any:
    return {**copy.deepcopy(value), **fields}


def recorded(
    path: str = "/flux/generate", status: int = 200, answer: Any = ACCEPTED, body: Any = PROMPT, **more: Any
) -> dict[str, Any]:
    request = {
        "method": "POST",
        "url": f"https://api.ttapi.io{path}",
        "headers": {"Content-Type": "application/json"},
        "body": body,
    }
    return {
        "version": 1,
        "kind": "exchange",
        "request": {**request, **more},
        "response": {"status": status, "headers": {}, "body": answer},
    }


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize("client", [requests, httpx], ids=["requests", "httpx"])
def test_answers_of_the_emulator_match(serve: Serve, client: Any, version: str) -> None:
    server = serve(contract=version, progress="immediate")
    ordered = client.post(f"{server.url}/flux/generate", json=PROMPT, headers=KEY)
    assert_matches_contract(ordered)
    assert_matches_contract(ordered, version=version)
    (job_id,) = ordered.json()["data"].values()
    assert_matches_contract(
        client.get(f"{server.url}/flux/fetch", params={"jobId": job_id}, headers=KEY), version=version
    )
    refused = client.post(f"{server.url}/flux/generate", json={}, headers=KEY)
    assert refused.status_code == 400
    assert_matches_contract(refused, version=version)


@pytest.mark.parametrize("client", [requests, httpx], ids=["requests", "httpx"])
def test_an_answer_of_another_version_does_not_match(serve: Serve, client: Any) -> None:
    answer = client.post(f"{serve(contract='2026-03').url}/flux/generate", json=PROMPT, headers=KEY)
    with pytest.raises(
        AssertionError,
        match=r"^generate\.response, status 200, does not match contract 2024-09:\n  /data/jobId: expected this field",
    ):
        assert_matches_contract(answer, version="2024-09")


@pytest.mark.parametrize("client", [requests, httpx], ids=["requests", "httpx"])
def test_a_gateways_page_does_not_match(serve: Serve, client: Any) -> None:
    server = serve(scenario="gateway-502-after-accept")
    answer = client.post(f"{server.url}/flux/generate", json=PROMPT, headers=KEY)
    with pytest.raises(AssertionError) as caught:
        assert_matches_contract(answer)
    assert "expected JSON, got something else" in str(caught.value)
    assert "status 502" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "endpoint"),
    [
        (FETCHED, "fetch"),
        (FETCHED, "fetch.response"),
        (FETCHED, "callback"),
        (json.dumps(FETCHED).encode(), "fetch"),
        (ACCEPTED, "edits"),
        (REFUSED, "error"),
        (dict(PROMPT), "generate.request"),
        (changed(FETCHED, progress=50), "fetch"),
    ],
)  # fmt: skip
def test_a_body_matches_when_it_is_said_what_it_is(value: Any, endpoint: str) -> None:
    assert_matches_contract(value, endpoint=endpoint)


@pytest.mark.parametrize(
    ("value", "endpoint", "line"),
    [
        (changed(FETCHED, status="THROTTLED"), "fetch", '/status: expected one of '),
        (changed(FETCHED, status="THROTTLED"), "fetch", 'got "THROTTLED"'),
        (changed(FETCHED, data={**FETCHED["data"], "quota": 1}), "fetch", "/data/quota: expected string, got integer; it was 1  [fetch.response.json#/$defs/success/properties/data/properties/quota: S1, S2, S3, documented; type/changed]"),
        (changed(FETCHED, data={**FETCHED["data"], "size": "huge"}), "fetch", '/data/size: expected pattern ^[1-9][0-9]*x[1-9][0-9]*$; it was "huge"'),
        (changed(FETCHED, status="ON_QUEUE"), "callback", '/status: expected one of '),
        ([], "fetch", "(the whole): expected object, got array"),
        (b"<html>", "fetch", "(the whole): expected JSON, got something else"),
        ({}, "error", "/status: expected this field, got none"),
        ({"prompt": "x", "mode": "y"}, "generate.request", "/mode: expected one of "),
    ],
)  # fmt: skip
def test_a_body_that_does_not_match_is_told_with_place_source_and_confidence(
    value: Any, endpoint: str, line: str
) -> None:
    with pytest.raises(AssertionError, match=re.escape(line)):
        assert_matches_contract(value, endpoint=endpoint)


def test_each_difference_has_a_line() -> None:
    broken = changed(FETCHED, data={**FETCHED["data"], "quota": 1, "imageUrl": None})
    with pytest.raises(AssertionError) as caught:
        assert_matches_contract(broken, endpoint="fetch", version="2024-09")
    title, *lines = str(caught.value).splitlines()
    assert title == "fetch.response does not match contract 2024-09:"
    assert sorted(line.split(":")[0].strip() for line in lines) == ["/data/imageUrl", "/data/quota"]


def test_of_the_versions_the_one_that_fits_is_taken() -> None:
    assert_matches_contract(ACCEPTED, endpoint="generate")
    assert_matches_contract(contract("2026-03").schemas["generate.response"]["examples"][0], endpoint="generate")
    with pytest.raises(AssertionError, match=r"contract 2026-03"):
        assert_matches_contract(ACCEPTED, endpoint="generate", version="2026-03")


def test_what_cannot_be_judged_is_refused_with_words() -> None:
    with pytest.raises(
        ValueError, match=r"^expected endpoint to say what this body is: one of callback\.request, .*; got None$"
    ):
        assert_matches_contract(FETCHED)
    with pytest.raises(ValueError, match=r"^expected an endpoint out of .*, got 'fech'$"):
        assert_matches_contract(FETCHED, endpoint="fech")
    with pytest.raises(
        TypeError, match=r"^expected a response of requests or httpx, bytes, or a value for JSON; got object"
    ):
        assert_matches_contract(object(), endpoint="fetch")
    with pytest.raises(ValueError, match=r"^expected a contract version out of"):
        assert_matches_contract(FETCHED, endpoint="fetch", version="1999")


@pytest.mark.parametrize("kind", ["requests", "httpx"])
def test_a_response_without_its_request_needs_the_endpoint(kind: str) -> None:
    if kind == "requests":
        response: Any = requests.Response()
        response.status_code, response._content = 200, json.dumps(ACCEPTED).encode()
    else:
        response = httpx.Response(200, json=ACCEPTED)
    with pytest.raises(
        ValueError, match=r"^expected a response with its request, got one without: say endpoint='fetch'"
    ):
        assert_matches_contract(response)
    with pytest.raises(ValueError, match=r"^expected an endpoint out of generate, .*, got 'refusal'$"):
        assert_matches_contract(response, endpoint="refusal")
    with pytest.raises(AssertionError, match=r"^error\.response, status 200, does not match"):
        assert_matches_contract(response, endpoint="error")
    assert_matches_contract(response, endpoint="generate")
    with pytest.raises(AssertionError, match=r"^fetch\.response, status 200, does not match"):
        assert_matches_contract(response, endpoint="fetch")


def test_neither_client_is_imported() -> None:
    import subprocess

    code = "import sys, contract_tests.asserting; print([it for it in ('requests', 'httpx', 'hypothesis') if it in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_validate_takes_an_exchange_as_a_recording_has_it() -> None:
    assert validate(recorded()) == []
    assert validate(recorded(answer=json.dumps(ACCEPTED))) == []
    assert validate(exchange_of(recorded())) == []
    (finding,) = validate(recorded(answer=changed(ACCEPTED, status="OK")), "2024-09")
    assert (finding.rule, finding.pointer, finding.contract, finding.host) == (
        "value/unknown",
        "/status",
        "2024-09",
        "api.ttapi.io",
    )


@pytest.mark.parametrize(
    ("hook", "surprising"),
    [
        ("https://client.com/hook", True),
        ("http://10.0.0.1/hook", True),
        ("https://user:password@client.com/hook", False),
        ("http://169.254.169.254/latest", False),
    ],
)
def test_an_order_may_be_refused_for_where_its_webhook_leads(hook: str, surprising: bool) -> None:
    found = validate(recorded(status=400, answer=REFUSED, body={**PROMPT, "hookUrl": hook}))
    assert ["request/refused"] * surprising == [finding.rule for finding in found]


def test_validate_looks_at_request_and_job_too() -> None:
    assert {it.rule for it in validate(recorded(body={"prompt": "x"}))} == {"request/accepted"}
    assert {it.rule for it in validate(recorded(status=400, answer=REFUSED))} == {"request/refused"}
    differing = changed(FETCHED, jobId="00000000-0000-4000-8000-000000000001")
    asked = {"jobId": FETCHED["jobId"]}
    assert {it.rule for it in validate(recorded("/flux/fetch", answer=differing, body=asked))} == {"job/ids"}
    unfinished = changed(FETCHED, status="ON_QUEUE", data=None)
    assert validate(recorded("/flux/fetch", answer=unfinished, body=asked)) == []


def test_validate_takes_a_webhook() -> None:
    request = {"method": "POST", "url": "http://127.0.0.1:9000/hook", "body": FETCHED}
    assert validate({"kind": "hook", "request": request}) == []
    (finding,) = validate({"kind": "hook", "request": {**request, "body": changed(FETCHED, status="ON_QUEUE")}})
    assert (finding.endpoint, finding.rule) == ("callback.request", "value/unknown")


def test_validate_refuses_what_is_not_about_this_api() -> None:
    with pytest.raises(
        ValueError, match=r"^expected an exchange with /flux/generate, .*; got 'https://api\.ttapi\.io/other'"
    ):
        validate(recorded("/other"))
    with pytest.raises(ValueError, match=r"^expected a contract version out of"):
        validate(recorded(), "1999")


def test_a_recorded_exchange_is_read_with_its_parts() -> None:
    part = {"name": "image", "filename": "a.png", "content_type": "image/png", "size": 7}
    exchange = exchange_of(
        {**recorded("/flux/edits", body=None, parts=[part]), "endpoint": "edits"}, Place("x.json", 3)
    )
    assert exchange.parts is not None
    assert (exchange.parts[0].filename, exchange.parts[0].text, exchange.parts[0].size) == ("a.png", None, 7)
    assert (exchange.endpoint, exchange.place.number, exchange.request_headers["content-type"]) == (
        Endpoint.EDITS,
        3,
        "application/json",
    )
