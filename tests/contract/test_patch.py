"""Patches make the contract accept what was seen, and go on accepting what it did."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import jsonpatch
import jsonschema
import pytest
from drift_corpus import CORPUS, Drift, exchanges, story
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_command import DONE, fluxmock

from contract_tests import strategies
from contract_tests.asserting import exchange_of
from contract_tests.checker import Checker
from contract_tests.exchanges import Endpoint, Exchange, Place
from contract_tests.messages import MessageCheck, parsed
from contract_tests.patch import Patch, Patcher
from mock_server import resources
from mock_server.contract import versions

VERSION = "2026-03"
SCHEMAS = resources.folder("schemas")
FIXTURES = resources.folder("fixtures") / "exchanges"
ABOUT_SCHEMAS = ("field/", "type/", "value/", "request/accepted", "status/unknown", "message/changed")
WITHOUT_REMEDY = {"a redirect", "an order is answered 201"}
# Refusals are described by status, from 400 on; a status below has no place in the contract.

_numbers = count(1)
Amend = Callable[[Sequence[Patch]], str]


@pytest.fixture(scope="module")
def amended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Amend]:
    """Makes another version of the contract, which is VERSION with patches applied by a library that is not ours."""
    place = tmp_path_factory.mktemp("amended")
    shutil.copytree(SCHEMAS, place / "schemas")

    def make(patches: Sequence[Patch]) -> str:
        version = f"9999-{next(_numbers)}"
        folder = place / "schemas" / version
        shutil.copytree(SCHEMAS / VERSION, folder)
        for patch in patches:
            home, _, name = patch.file.partition("/")
            assert home == VERSION
            schema = json.loads((folder / name).read_text("utf-8"))
            schema = jsonpatch.apply_patch(schema, json.dumps(patch.as_json()["patch"]))
            jsonschema.Draft202012Validator.check_schema(schema)
            (folder / name).write_text(json.dumps(schema), "utf-8")
        for path in folder.iterdir():
            path.write_text(path.read_text("utf-8").replace(f"/{VERSION}/", f"/{version}/"), "utf-8")
        versions.cache_clear()
        return version

    with pytest.MonkeyPatch.context() as patcher:
        patcher.setattr(resources, "_PLACES", (place, *resources._PLACES))
        yield make
    versions.cache_clear()


def patches_for(told: Sequence[Exchange]) -> list[Patch]:
    patcher = Patcher([VERSION])
    checker = Checker(VERSION, observers=[patcher])
    checker.feed(told)
    chosen = {host: choice.version for host, choice in checker.report().contracts.items()}
    assert patcher.left_out(chosen) == 0
    return patcher.patches(chosen)


def about_schemas(told: Sequence[Exchange], version: str) -> set[str]:
    """The rules about messages as such that are broken, out of those that have to do with a schema."""
    checker = Checker(version)
    checker.feed(told)
    return {it.rule for it in checker.report().findings if it.rule.startswith(ABOUT_SCHEMAS)}


def samples() -> Iterator[tuple[str, Exchange, set[str]]]:
    """Every fixture that fits VERSION, and what is to be found in it."""
    for path in sorted(FIXTURES.rglob("*.json")):
        fixture = json.loads(path.read_text("utf-8"))
        if VERSION in fixture["provenance"]["contract"]:
            yield path.name, exchange_of(fixture["exchange"]), set(fixture["provenance"]["findings"])


SAMPLES = list(samples())


@pytest.mark.parametrize("drift", CORPUS, ids=lambda drift: drift.name)
def test_a_patched_contract_accepts_the_drift_and_all_that_it_did(drift: Drift, amended: Amend) -> None:
    told = story()
    drift.change(told)
    recorded = list(exchanges(told))
    broken = about_schemas(recorded, VERSION)
    patches = patches_for(recorded)
    assert bool(patches) == bool(broken) or drift.name in WITHOUT_REMEDY
    assert {rule for patch in patches for rule in patch.because} <= broken
    version = amended(patches)
    assert about_schemas(recorded, version) == (broken if drift.name in WITHOUT_REMEDY else set())
    check = MessageCheck(version)
    for name, exchange, expected in SAMPLES:
        message = parsed(exchange)
        assert message is not None
        # An error has one message in the contract. Where another is seen, that takes its place, and the old one is news.
        found = {note.rule for note in check.notes(message)} - {"message/changed"}
        assert found <= expected, name


def test_there_are_samples_and_drifts_of_every_kind_that_is_patched() -> None:
    assert len(SAMPLES) > 50
    found = {rule for drift in CORPUS for _, rule, _, _ in drift.found if rule.startswith(ABOUT_SCHEMAS)}
    assert found >= {"field/missing", "field/unknown", "type/changed", "value/unknown", "value/constraint",
                     "request/accepted", "status/unknown", "message/changed"}  # fmt: skip


VALID: dict[str, st.SearchStrategy[Any]] = {
    **{endpoint: strategies.responses(endpoint, VERSION) for endpoint in ("generate", "edits", "fetch")},
    "callback": strategies.hooks(VERSION),
}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_whatever_became_of_an_answer_the_patched_contract_accepts_it(data: st.DataObject, amended: Amend) -> None:
    endpoint = Endpoint(data.draw(st.sampled_from(sorted(VALID))))
    bodies = data.draw(st.lists(strategies.mutated(VALID[endpoint]), min_size=1, max_size=3))
    recorded = [answer(endpoint, body, number) for number, body in enumerate(bodies, 1)]
    patcher = Patcher([VERSION])
    for exchange in recorded:
        message = parsed(exchange)
        assert message is not None
        patcher(message, "host")
    version = amended(patcher.patches({"host": VERSION}))
    still = sum(bool(about_schemas([exchange], version) - {"message/changed"}) for exchange in recorded)
    assert still <= patcher.left_out({"host": VERSION})


def answer(endpoint: Endpoint, body: Any, number: int = 1) -> Exchange:
    sent = json.dumps(body).encode()
    if endpoint is Endpoint.CALLBACK:
        return Exchange(Place("drawn", number), "POST", request_body=sent, status=204, endpoint=endpoint)
    return Exchange(Place("drawn", number), "POST", status=200, response_body=sent, endpoint=endpoint)


def only(*bodies: Any, endpoint: Endpoint = Endpoint.FETCH) -> list[tuple[str, dict[str, Any]]]:
    """The operations for some answers, each with its rule; all are about one file."""
    patches = patches_for([answer(endpoint, body, number) for number, body in enumerate(bodies, 1)])
    (patch,) = patches
    return list(zip(patch.because, patch.operations, strict=True))


RESULT = story()["done"]["response"]
DATA = "/$defs/success/properties/data"


def result(**data: Any) -> dict[str, Any]:
    return {**RESULT, "data": {**RESULT["data"], **data}}


def test_a_value_is_added_to_its_enumeration_in_the_shape_that_fits_best() -> None:
    queued = {"status": "THROTTLED", "message": "", "jobId": RESULT["jobId"], "data": None}
    assert only(queued) == [
        ("value/unknown", {"op": "add", "path": "/$defs/queued/properties/status/enum/-", "value": "THROTTLED"})
    ]
    status = "/$defs/success/properties/status"
    assert only({**RESULT, "status": "DONE"}, {**RESULT, "status": "READY"}) == [
        ("value/unknown", {"op": "remove", "path": f"{status}/const"}),
        ("value/unknown", {"op": "add", "path": f"{status}/enum", "value": ["SUCCESS", "DONE"]}),
        ("value/unknown", {"op": "add", "path": f"{status}/enum/-", "value": "READY"}),
    ]


def test_a_type_is_widened() -> None:
    quota = f"{DATA}/properties/quota/type"
    assert only(result(quota=1), result(quota=None)) == [
        ("type/changed", {"op": "replace", "path": quota, "value": ["string", "integer"]}),
        ("type/changed", {"op": "add", "path": f"{quota}/-", "value": "null"}),
    ]


def test_what_is_missing_is_no_longer_required() -> None:
    told = result()
    del told["data"]["size"], told["data"]["mode"]
    assert only(told) == [
        ("field/missing", {"op": "remove", "path": f"{DATA}/required/0"}),
        ("field/missing", {"op": "remove", "path": f"{DATA}/required/3"}),
    ]


def test_a_new_field_is_added_with_its_type_and_without_its_value() -> None:
    ((rule, operation),) = only(result(**{"a/b~c": "https://secret.example/s3cret"}))
    assert (rule, operation["op"], operation["path"]) == ("field/unknown", "add", f"{DATA}/properties/a~1b~0c")
    assert operation["value"]["type"] == "string"
    assert (operation["value"]["x-source"], operation["value"]["x-confidence"]) == ([], "assumed")
    assert "s3cret" not in json.dumps(operation)


def test_a_rule_about_the_form_is_widened_as_far_as_was_seen_or_dropped() -> None:
    assert only(result(mode="")) == [
        ("value/constraint", {"op": "replace", "path": f"{DATA}/properties/mode/minLength", "value": 0})
    ]
    assert only(result(size="1024*1024")) == [
        ("value/constraint", {"op": "remove", "path": f"{DATA}/properties/size/pattern"})
    ]


def test_a_status_and_a_message_of_refusals_are_taken_over() -> None:
    def refused(status: int, body: bytes) -> Exchange:
        return Exchange(Place("x", 1), "POST", status=status, response_body=body, endpoint=Endpoint.FETCH)

    envelope = '{"status": "FAILED", "message": "%s", "data": null}'
    told = [
        refused(418, (envelope % "I am a teapot").encode()),
        refused(404, (envelope % "No such job").encode()),
        refused(502, b"<html>"),
        refused(429, (envelope % "Slow").encode()),
        refused(429, (envelope % "Slower").encode()),
        refused(401, (envelope % "no account sk-0123456789abcdef0123456789abcdef").encode()),
    ]
    (patch,) = patches_for(told)
    assert patch.file == "2026-03/error.response.json"
    made = {one["path"]: one["value"] for one in patch.operations}
    assert list(made) == ["/x-http/404/message/text", "/x-http/418", "/x-http/502"], "of many messages none is the one"
    assert made["/x-http/404/message/text"] == "No such job"
    assert made["/x-http/418"]["message"]["text"] == "I am a teapot"
    assert made["/x-http/502"]["message"]["text"] == "Bad Gateway"


def test_hosts_of_the_same_version_share_a_patch() -> None:
    patcher = Patcher(versions())
    for host, status in (("a", "DONE"), ("b", "READY"), ("c", "DONE")):
        message = parsed(answer(Endpoint.FETCH, {**RESULT, "status": status}))
        assert message is not None
        patcher(message, host)
    (patch,) = patcher.patches({"a": VERSION, "b": VERSION, "c": VERSION})
    assert [one.get("value") for one in patch.operations] == [None, ["SUCCESS", "DONE"], "READY"]
    other, patch = patcher.patches({"a": VERSION, "b": "2024-09"})
    assert (other.file, patch.file) == ("2024-09/fetch.response.json", "2026-03/fetch.response.json")
    assert [one.get("value") for one in patch.operations] == [None, ["SUCCESS", "DONE"]]


def test_no_patch_opens_the_contract_for_anything() -> None:
    patcher = Patcher([VERSION])
    for number in range(400):
        message = parsed(answer(Endpoint.FETCH, {**RESULT, f"field{number}": 1}, number))
        assert message is not None
        patcher(message, "")
    (patch,) = patcher.patches({"": VERSION})
    assert len(patch.operations) == 200
    assert patcher.left_out({"": VERSION}) == 200
    secret = {**RESULT, "status": "sk-0123456789abcdef0123456789abcdef"}
    patcher = Patcher([VERSION])
    message = parsed(answer(Endpoint.FETCH, secret))
    assert message is not None
    patcher(message, "")
    assert (patcher.patches({"": VERSION}), patcher.left_out({"": VERSION})) == ([], 1)


def test_the_command_writes_patches_beside_the_report_or_alone(tmp_path: Path) -> None:
    body, file = tmp_path / "body.json", tmp_path / "patch.json"
    body.write_text(json.dumps({**DONE, "data": None}))
    arguments = ["check", body, "--endpoint", "fetch", "--contract", VERSION]
    both = fluxmock(*arguments, "--patch", file)
    assert (both.returncode, "type/changed" in both.stdout) == (1, True)
    alone = fluxmock(*arguments, "--patch", "-")
    assert alone.returncode == 1
    assert json.loads(alone.stdout) == json.loads(file.read_text()) == [
        {
            "file": "2026-03/fetch.response.json",
            "because": ["type/changed"],
            "patch": [{"op": "replace", "path": f"{DATA}/type", "value": ["object", "null"]}],
        }
    ]  # fmt: skip
    nowhere = fluxmock(*arguments, "--patch", tmp_path / "no" / "where.json")
    assert "cannot write the patches" in nowhere.stderr
