"""Coverage names every branch of the contract, and which of them a recording took."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from drift_corpus import HOOK, exchanges, story
from hypothesis import given
from hypothesis import strategies as st
from test_command import fluxmock

from contract_tests import strategies
from contract_tests.asserting import exchange_of
from contract_tests.checker import Checker
from contract_tests.coverage import FORM, HTTP, Coverage, Covered, Spot, percent, share
from contract_tests.exchanges import Endpoint, Exchange, Place
from mock_server import resources
from mock_server.contract import contract, versions

VERSION = "2026-03"
API = "https://api.ttapi.io/flux"
FIXTURES = resources.folder("fixtures") / "exchanges" / "emulator" / VERSION


def covered(recorded: Iterable[Exchange], version: str = VERSION) -> Covered:
    coverage = Coverage([version])
    checker = Checker(version, observers=[coverage])
    checker.feed(recorded)
    (one,) = coverage.of({host: choice.version for host, choice in checker.report().contracts.items()})
    return one


def spot(of: Covered, endpoint: str, about: str, pointer: str = "", shape: str = "") -> dict[str, int]:
    (one,) = [it for it in of.spots if it[:4] == (endpoint, about, shape, pointer)]
    return dict(one.branches)


def taken(of: Covered, *place: str) -> dict[str, int]:
    return {branch: times for branch, times in spot(of, *place).items() if times}


def test_a_job_takes_the_branches_that_it_takes() -> None:
    seen = covered(exchanges(story()))
    assert taken(seen, "generate", FORM) == {"POST application/json": 1}
    assert taken(seen, "generate", HTTP) == {"200": 1, "400": 1}
    assert taken(seen, "generate", "generate.request", "/mode") == {"flux1-dev": 1}, "what was refused is no sample"
    assert taken(seen, "generate", "generate.request", "/aspect_ratio") == {"absent": 1}
    assert taken(seen, "generate", "generate.request", "/hookUrl") == {"string": 1}
    assert spot(seen, "fetch", "fetch.response", "/status") == {
        "PENDING_QUEUE": 1, "ON_QUEUE": 1, "SUCCESS": 1, "FAILED": 0,
    }  # fmt: skip
    assert spot(seen, "fetch", "fetch.response", "/data", "not finished") == {"object": 0, "null": 2}
    assert taken(seen, "fetch", "fetch.response", "/data/mode", "not finished") == {}, "there was no object to have it"
    assert spot(seen, "callback", "callback.request", "/status") == {"SUCCESS": 1, "FAILED": 0}
    assert spot(seen, "image", HTTP) == {"200": 0}


@pytest.mark.parametrize("version", versions())
def test_the_branches_are_those_of_the_schemas(version: str) -> None:
    of = Coverage([version])
    Checker(version, observers=[of]).feed(exchanges(story()))
    (one,) = of.of({"api.ttapi.io": version})
    schemas = contract(version).schemas
    for endpoint in ("generate", "edits"):
        request = schemas[f"{endpoint}.request"]
        for name, schema in request["properties"].items():
            if "enum" in schema:
                optional = ["absent"] if name not in request["required"] else []
                assert list(spot(one, endpoint, f"{endpoint}.request", f"/{name}")) == [*optional, *schema["enum"]]
    for endpoint in ("generate", "edits", "fetch"):
        assert list(spot(one, endpoint, HTTP)) == ["200", *schemas["error.response"]["x-http"]]
    queued = schemas["fetch.response"]["$defs"]["queued"]["properties"]
    assert set(spot(one, "fetch", "fetch.response", "/status")) == {*queued["status"]["enum"], "SUCCESS", "FAILED"}
    for name in queued["data"]["properties"]:
        assert "absent" in spot(one, "fetch", "fetch.response", f"/data/{name}", "not finished")
    assert list(spot(one, "fetch", FORM)) == [
        "POST application/json", "POST multipart/form-data", "POST query", "GET query",
    ]  # fmt: skip


def test_every_form_of_a_fetch_is_told_from_the_others() -> None:
    answer: dict[str, Any] = {"status": 200, "body": story()["running"]["response"]}
    job = story()["running"]["request"]
    multipart = {"Content-Type": "multipart/form-data; boundary=x"}
    body = f'--x\r\nContent-Disposition: form-data; name="jobId"\r\n\r\n{job["jobId"]}\r\n--x--\r\n'
    requests = [
        {"method": "POST", "url": f"{API}/fetch", "body": job},
        {"method": "POST", "url": f"{API}/fetch", "headers": multipart, "body": body},
        {"method": "POST", "url": f"{API}/fetch", "parts": [{"name": "jobId", "text": job["jobId"]}]},
        {"method": "POST", "url": f"{API}/fetch?jobId={job['jobId']}"},
        {"method": "GET", "url": f"{API}/fetch?jobId={job['jobId']}"},
    ]
    seen = covered(exchange_of({"request": request, "response": answer}) for request in requests)
    assert spot(seen, "fetch", FORM) == {
        "POST application/json": 1, "POST multipart/form-data": 2, "POST query": 1, "GET query": 1,
    }  # fmt: skip


def test_images_and_webhooks_belong_to_the_host_that_has_the_job() -> None:
    image = Exchange(Place("x", 9), "GET", story()["done"]["response"]["data"]["imageUrl"], status=200)
    seen = covered([*exchanges(story()), image])
    assert seen.host == "api.ttapi.io"
    assert HOOK.split("/")[2] != seen.host
    assert spot(seen, "image", HTTP) == {"200": 1}


def test_hosts_are_counted_apart_each_in_its_own_version() -> None:
    def at(host: str, field: str, number: int) -> Exchange:
        said = {
            "status": "SUCCESS",
            "message": "success",
            "data": {field: story()["submit"]["response"]["data"]["job_id"]},
        }
        return Exchange(
            Place("x", number),
            "POST",
            f"https://{host}/flux/generate",
            status=200,
            response_body=json.dumps(said).encode(),
        )

    coverage = Coverage(versions())
    checker = Checker(observers=[coverage])
    checker.feed([at("new.example", "job_id", 1), at("old.example", "jobId", 2), at("old.example", "jobId", 3)])
    new, old = coverage.of({host: choice.version for host, choice in checker.report().contracts.items()})
    assert (new.host, new.version, old.host, old.version) == ("new.example", "2026-03", "old.example", "2024-09")
    assert (taken(new, "generate", HTTP), taken(old, "generate", HTTP)) == ({"200": 1}, {"200": 2})
    assert "flux-2-klein-4b" in spot(new, "generate", "generate.request", "/mode")
    assert "flux-2-klein-4b" not in spot(old, "generate", "generate.request", "/mode")


def test_the_fixtures_take_most_branches_and_no_recording_takes_what_there_is_not() -> None:
    recorded = [
        exchange_of(json.loads(path.read_text("utf-8"))["exchange"]) for path in sorted(FIXTURES.glob("*.json"))
    ]
    seen = covered(recorded)
    exercised, branches = share(seen.spots)
    assert branches / 2 < exercised < branches
    modes = spot(seen, "generate", "generate.request", "/mode")
    assert all(modes.values())
    assert list(modes) == list(contract(VERSION).choices("generate.request", "mode"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda it: st.lists(it) | st.dictionaries(st.text(), it)
)


@given(body=strategies.mutated(strategies.responses("fetch", VERSION)) | VALUES, version=st.sampled_from(versions()))
def test_a_message_takes_each_fork_once_at_the_most(body: Any, version: str) -> None:
    exchange = Exchange(Place("x", 1), status=200, response_body=json.dumps(body).encode(), endpoint=Endpoint.FETCH)
    for one in covered([exchange], version).spots:
        assert sum(one.branches.values()) <= 1


def test_percent_is_100_only_for_all() -> None:
    assert (percent(199, 200), percent(200, 200), percent(0, 3)) == (99, 100, 0)
    assert share([Spot("x", "x", "", "", {"a": 2, "b": 0}), Spot("x", "x", "", "", {"c": 1})]) == (2, 3)


def test_the_command_lists_what_was_exercised_and_what_never(tmp_path: Path) -> None:
    recording = tmp_path / "recording.jsonl"
    fixture = json.loads((FIXTURES / "generate-200-size.json").read_text("utf-8"))
    recording.write_text(json.dumps(fixture["exchange"]) + "\n", "utf-8")
    text = fluxmock("check", recording, "--coverage")
    assert text.returncode == 0
    assert "coverage of contract 2026-03: " in text.stdout
    assert "\n    generate.request /size: 1792x1024 ×1; never absent, 1024x1024, 1024x1792\n" in text.stdout
    assert "\n  callback: 0 of " in text.stdout
    report = json.loads(fluxmock("check", recording, "--coverage", "--format", "json").stdout)
    jsonschema.validate(report, resources.load("report.schema.json"))
    (host,) = report["coverage"]
    generate = host["endpoints"][0]
    assert generate["percent"] == generate["exercised"] * 100 // generate["branches"]
    assert sum(endpoint["branches"] for endpoint in host["endpoints"]) == host["branches"]
    assert {"about": "generate.request", "shape": "", "pointer": "/size", "exercised": {"1792x1024": 1},
            "never": ["absent", "1024x1024", "1024x1792"]} in generate["places"]  # fmt: skip
    assert "coverage" not in json.loads(fluxmock("check", recording, "--format", "json").stdout)
