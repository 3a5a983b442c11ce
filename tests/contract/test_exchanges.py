"""Recorded exchanges as samples, and drawn messages: both validators and the kit are of one mind about all of them."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import exchange_maker
import jsonschema
import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from referencing import Registry, Resource

from contract_tests import strategies
from contract_tests.asserting import exchange_of, validate
from contract_tests.messages import parsed
from mock_server import resources
from mock_server.contract import contract, versions
from mock_server.scenarios.files import ScenarioError, parse_scenario

FOLDER = resources.folder("fixtures") / "exchanges"
FILES = sorted(FOLDER.rglob("*.json"))
IDS = [path.relative_to(FOLDER).with_suffix("").as_posix() for path in FILES]
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
PCHAR = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})"
URI = re.compile(
    r"[A-Za-z][A-Za-z0-9+.\-]*:"
    rf"(?://(?:(?:[A-Za-z0-9\-._~!$&'()*+,;=:]|%[0-9A-Fa-f]{{2}})*@)?(?P<host>\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{{2}})*)"
    rf"(?::[0-9]*)?(?:/{PCHAR}*)*|/(?:{PCHAR}+(?:/{PCHAR}*)*)?|{PCHAR}+(?:/{PCHAR}*)*|)"
    rf"(?:\?(?:{PCHAR}|[/?])*)?(?:#(?:{PCHAR}|[/?])*)?"
)

# What the contract means by its formats and patterns, where JSON Schema leaves it to the validator. jsonschema by itself
# checks no `uri`, takes the digits of every script in a `uuid`, and lets a pattern's `$` stand before a last newline.
formats = jsonschema.FormatChecker(formats=())


@formats.checks("uuid")
def is_uuid(value: object) -> bool:
    """Text in the form of RFC 9562, in ASCII, of any version."""
    return not isinstance(value, str) or UUID.fullmatch(value) is not None


@formats.checks("uri")
def is_uri(value: object) -> bool:
    """An absolute URI of RFC 3986, in ASCII; that it is one of HTTP is not said."""
    if not isinstance(value, str):
        return True
    found = URI.fullmatch(value)
    if found is None:
        return False
    host = found["host"] or ""
    return not host.startswith("[") or _is_ipv6(host[1:-1])


def _is_ipv6(text: str) -> bool:
    try:
        return bool(ipaddress.IPv6Address(text))
    except ValueError:
        return False


def pattern(_validator: Any, wanted: str, value: object, _schema: Any) -> Iterator[jsonschema.ValidationError]:
    """As ECMA-262 has it."""
    if isinstance(value, str) and re.search(re.sub(r"\$$", r"\\Z", wanted), value) is None:
        yield jsonschema.ValidationError(f"{value!r} does not match {wanted!r}")


Reference = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": pattern})


@cache
def reference(version: str, name: str) -> Any:
    schemas = contract(version).schemas
    registry = Registry().with_resources((schema["$id"], Resource.from_contents(schema)) for schema in schemas.values())
    return Reference(schemas[name], registry=registry, format_checker=formats)


def both_say(version: str, name: str, value: object) -> bool:
    """What both validators say, which must be the same."""
    said = contract(version).accepts(name, value)
    assert reference(version, name).is_valid(value) is said, (version, name, value)
    return said


def load(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def messages(fixture: Any) -> dict[str, Any]:
    """Everything in an exchange that a schema speaks of, by the name of the schema."""
    found = parsed(exchange_of(fixture["exchange"]))
    assert found is not None
    status = found.exchange.status
    if status is None:
        return {"callback.request": found.request}
    if status != 200:
        return {"error.response": found.response}
    asked = {} if found.request is None else {f"{found.endpoint}.request": found.request}
    return {**asked, f"{found.endpoint}.response": found.response}


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_an_exchange_tells_where_it_is_from(path: Path) -> None:
    said = load(path)["provenance"]
    assert said["source"] in {"S1", "S2", "S3", "S4", "S5", "emulator"}
    assert (said["source"] == "emulator") is (path.parent.name in versions()) is ("made_with" in said)
    assert said["note"]
    assert said["contract"]


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_an_exchange_is_a_line_of_a_recording_without_a_real_key(path: Path) -> None:
    exchange = load(path)["exchange"]
    jsonschema.validate(exchange, resources.load("recording.schema.json"))
    assert exchange["kind"] == ("hook" if "hook-" in path.stem else "exchange")
    assert exchange["request"]["headers"].get("TT-API-KEY", "<key>") == "<key>"
    assert not {"body", "parts"} <= exchange["request"].keys()


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_an_exchange_fits_the_versions_that_it_names_in_both_validators(path: Path) -> None:
    fixture = load(path)
    said = fixture["provenance"]
    # Some examples of the documentation show a request that does not fit, and are answered all the same.
    excused = "request/accepted" in said["findings"]
    verdicts = {
        version: {
            name: both_say(version, name, value)
            for name, value in messages(fixture).items()
            if not (excused and name.endswith(".request"))
        }
        for version in versions()
    }
    assert [version for version in versions() if all(verdicts[version].values())] == said["contract"]


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_the_kit_finds_in_an_exchange_what_the_file_admits_and_no_more(path: Path) -> None:
    fixture = load(path)
    for version in fixture["provenance"]["contract"]:
        assert sorted({it.rule for it in validate(fixture["exchange"], version)}) == fixture["provenance"]["findings"]


def test_the_emulator_still_answers_as_it_did_when_the_exchanges_were_made() -> None:
    made = dict(exchange_maker.make())
    kept = {
        path.relative_to(exchange_maker.FOLDER).as_posix(): load(path) for path in exchange_maker.FOLDER.rglob("*.json")
    }
    assert sorted(made) == sorted(kept), "run python tests/contract/exchange_maker.py"
    for name, fixture in made.items():
        assert fixture["exchange"] == kept[name]["exchange"], name
        # Who releases a new version need not write them anew.
        assert {**fixture["provenance"], "made_with": ""} == {**kept[name]["provenance"], "made_with": ""}, name


@pytest.mark.parametrize("version", versions())
def test_every_status_and_every_alternative_is_among_the_exchanges(version: str) -> None:
    answers: set[tuple[str, str]] = set()
    statuses: dict[str, set[int]] = {}
    for path in (exchange_maker.FOLDER / version).glob("*.json"):
        exchange = load(path)["exchange"]
        answer = exchange.get("response")
        body = json.loads(answer["body"] if answer else exchange["request"]["body"])
        endpoint = exchange["request"]["url"].rpartition("/")[2].partition("?")[0] if answer else "callback"
        statuses.setdefault(endpoint, set()).add(answer["status"] if answer else 0)
        if not answer or answer["status"] == 200:
            answers.add((endpoint, body["status"]))
    known = contract(version)
    anywhere = {200, 400, 401, 405, 413, 415, 429, 500, 504}
    assert statuses == {
        "generate": anywhere | {402, 499},
        "edits": anywhere | {402, 499},
        "fetch": anywhere | {404},
        "callback": {0},
    }
    assert set.union(*statuses.values()) - {0, 200} == set(known.error_messages)
    assert answers == {
        ("generate", "SUCCESS"),
        ("edits", "SUCCESS"),
        *(("fetch", status) for status in (*known.queued_statuses, "SUCCESS", "FAILED")),
        ("callback", "SUCCESS"),
        ("callback", "FAILED"),
    }


@pytest.mark.parametrize("version", versions())
def test_a_schema_can_be_read_without_the_others(version: str) -> None:
    for name, schema in contract(version).schemas.items():
        alone = Reference(schema, registry=Registry(), format_checker=formats)
        for example in schema["examples"]:
            assert alone.is_valid(example), name
    schemas = contract(version).schemas
    for name, inner in schemas["callback.request"]["$defs"].items():
        assert inner == schemas["fetch.response"]["$defs"][name]


@pytest.mark.parametrize("version", versions())
def test_every_field_and_every_alternative_is_described(version: str) -> None:
    def undescribed(schema: Any, where: str) -> Iterator[str]:
        for group in ("properties", "$defs"):
            for name, inner in schema.get(group, {}).items():
                if not inner.get("description"):
                    yield f"{where}/{name}"
                yield from undescribed(inner, f"{where}/{name}")
        if "items" in schema:
            yield from undescribed(schema["items"], f"{where}/*")

    assert [found for name, schema in contract(version).schemas.items() for found in undescribed(schema, name)] == []


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize("name", ["fetch.response", "callback.request"])
def test_the_examples_show_every_alternative(version: str, name: str) -> None:
    schema = contract(version).schemas[name]
    told = [inner["properties"]["status"] for inner in schema["$defs"].values()]
    expected = {status for said in told for status in said.get("enum", [said.get("const")])}
    assert {example["status"] for example in schema["examples"]} == expected


KINDS = {
    **{f"{endpoint}.request": (endpoint, strategies.requests, strategies.invalid_requests) for endpoint in ("generate", "edits", "fetch")},
    **{f"{endpoint}.response": (endpoint, strategies.responses, strategies.invalid_responses) for endpoint in ("generate", "edits", "fetch", "error")},
}  # fmt: skip
NAMES = sorted({*KINDS, "callback.request"})


def valid(name: str, version: str) -> st.SearchStrategy[Any]:
    if name == "callback.request":
        return strategies.hooks(version)
    endpoint, strategy, _ = KINDS[name]
    return strategy(endpoint, version)


def invalid(name: str, version: str) -> st.SearchStrategy[Any]:
    if name == "callback.request":
        return strategies.invalid_hooks(version)
    endpoint, _, strategy = KINDS[name]
    return strategy(endpoint, version)


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_drawn_messages_are_what_they_are_said_to_be_in_both_validators(
    version: str, name: str, data: st.DataObject
) -> None:
    assert both_say(version, name, data.draw(valid(name, version)))
    assert not both_say(version, name, data.draw(invalid(name, version)))
    both_say(version, name, data.draw(strategies.mutated(valid(name, version))))


@pytest.mark.parametrize("version", versions())
def test_drawn_messages_show_every_mode_and_every_status(version: str) -> None:
    seen: set[str] = set()

    @settings(max_examples=300, database=None)
    @given(strategies.requests("generate", version), strategies.responses("fetch", version))
    def draw(order: Any, answer: Any) -> None:
        seen.update((order["mode"], answer["status"]))

    draw()
    known = contract(version)
    assert seen == {*known.choices("generate.request", "mode"), *known.queued_statuses, "SUCCESS", "FAILED"}


def test_without_a_version_the_newest_is_drawn() -> None:
    @settings(max_examples=5)
    @given(strategies.responses("generate"))
    def draw(answer: Any) -> None:
        assert "job_id" in answer["data"]

    draw()


def test_strategies_for_what_there_is_not_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"^expected an endpoint out of generate, edits, fetch, got 'image'$"):
        strategies.requests("image")
    with pytest.raises(ValueError, match=r"^expected a contract version out of 2024-09, 2026-03, got '1999'$"):
        strategies.hooks("1999")


FORMATS = [
    ("jobId", "bf165abb-a7fa-4c77-a2e4-138baac1130d", True),
    ("jobId", "BF165ABB-A7FA-4C77-A2E4-138BAAC1130D", True),
    ("jobId", "00000000-0000-0000-0000-000000000000", True),
    ("jobId", "bf165abba7fa4c77a2e4138baac1130d", False),
    ("jobId", "{bf165abb-a7fa-4c77-a2e4-138baac1130d}", False),
    ("jobId", "urn:uuid:bf165abb-a7fa-4c77-a2e4-138baac1130d", False),
    ("jobId", "bf165abb-a7fa-4c77-a2e4-138baac1130d\n", False),
    ("jobId", "٠f165abb-a7fa-4c77-a2e4-138baac1130d", False),
    ("quota", "1", True),
    ("quota", "1.50", True),
    ("quota", "1\n", False),
    ("quota", "１", False),
    ("size", "1024x1024\n", False),
    ("hookUrl", "http://127.0.0.1:9000/hook", True),
    ("hookUrl", "mailto:somebody", True),
    ("hookUrl", "http://[::1]/", True),
    ("hookUrl", "HTTP://x:99999/", True),
    ("hookUrl", "//host/hook", False),
    ("hookUrl", "hook", False),
    ("hookUrl", "http://a b", False),
    ("hookUrl", "http://ä/", False),
    ("hookUrl", "http://[x/", False),
    ("hookUrl", "http://x/%zz", False),
    ("hookUrl", "http://x/\n", False),
]


@pytest.mark.parametrize(("field", "value", "fits"), FORMATS)
def test_both_validators_mean_the_same_by_a_format(field: str, value: str, fits: bool) -> None:
    for version in versions():
        schemas = contract(version).schemas
        if field == "hookUrl":
            name, message = "generate.request", {**schemas["generate.request"]["examples"][0], "hookUrl": value}
        else:
            done = schemas["fetch.response"]["examples"][0]
            name, message = "fetch.response", {**done, "data": {**done["data"], field: value}}
        assert both_say(version, name, message) is fits


def test_the_contract_uses_no_format_but_these() -> None:
    text = "".join(json.dumps(schema) for version in versions() for schema in contract(version).schemas.values())
    assert set(re.findall(r'"format": "([^"]+)"', text)) == {"uri", "uuid"}


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_drawn_scenarios_are_what_they_are_said_to_be_in_both_validators(data: st.DataObject) -> None:
    schema = resources.load("scenario.schema.json")
    reference, quick = jsonschema.Draft202012Validator(schema), jsonschema_rs.Draft202012Validator(schema)
    good, bad = data.draw(strategies.scenarios()), data.draw(strategies.invalid_scenarios())
    assert (reference.is_valid(good), quick.is_valid(good)) == (True, True)
    if not reference.is_valid(bad):  # which lets the end of a pattern stand in front of a last newline
        assert not quick.is_valid(bad)
    assert parse_scenario(json.dumps(good))
    with pytest.raises(ScenarioError):
        parse_scenario(json.dumps(bad))
