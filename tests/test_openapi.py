"""The OpenAPI document of the control endpoints and the endpoints themselves say the same."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from support import Caller, picture

from mock_server import resources
from mock_server.app import create_app
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.model import Delivery, DeliveryState
from mock_server.settings import Settings
from mock_server.world import World

Emulate = Callable[..., Caller]
DOCUMENT: dict[str, Any] = resources.load("admin.openapi.json")
REGISTRY = Registry().with_resource("urn:openapi", DRAFT202012.create_resource(DOCUMENT))
METHODS = ("get", "post")
OPERATIONS = {
    (method, path): operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method in METHODS
}
Seen = set[tuple[str, str, int]]


def problems(schema: dict[str, Any], value: Any) -> list[str]:
    """In what a value does not fit a schema of the document."""
    rooted = _rooted(schema)
    return [error.message for error in jsonschema.Draft202012Validator(rooted, registry=REGISTRY).iter_errors(value)]


def _rooted(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            name: f"urn:openapi{value}" if name == "$ref" else _rooted(value)
            for name, value in schema.items()
            if name != "discriminator"
        }
    return [_rooted(value) for value in schema] if isinstance(schema, list) else schema


def found(pointer: str) -> Any:
    """What a reference within the document points at."""
    value: Any = DOCUMENT
    for name in pointer.removeprefix("#/").split("/"):
        value = value[name]
    return value


def schema_of(message: dict[str, Any]) -> dict[str, Any]:
    """The schema of a request body or a response, which may be a reference."""
    message = found(message["$ref"]) if "$ref" in message else message
    schema: dict[str, Any] = message["content"]["application/json"]["schema"]
    return schema


def call(
    caller: Caller, method: str, path: str, body: Any = None, *, query: str = "", names: Any = (), **headers: str
) -> Any:
    """Call an operation, and hold what went out and what came back against the document."""
    operation = OPERATIONS[method, path]
    target = "/_mock" + re.sub(r"{(\w+)}", lambda name: dict(names)[name[1]], path)
    answer = caller.http.open(
        target + query,
        method=method.upper(),
        headers={**caller.headers, **headers},
        **({} if body is None else {"json": body}),
    )
    documented = operation["responses"].get(str(answer.status_code))
    assert documented is not None, f"{method} {path} answered {answer.status_code}, which is not documented"
    assert problems(schema_of(documented), answer.get_json()) == []
    if body is not None and answer.status_code < 400:
        assert problems(schema_of(operation["requestBody"]), body) == []
    return answer


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [pointer for inner in value.values() for pointer in references(inner)]
    return [pointer for inner in value for pointer in references(inner)] if isinstance(value, list) else []


def test_every_route_is_documented_and_every_documented_operation_is_a_route(emulate: Emulate) -> None:
    routes = {
        (method.lower(), re.sub(r"<(\w+)>", r"{\1}", rule.rule).removeprefix("/_mock"))
        for rule in emulate().app.url_map.iter_rules()
        if rule.endpoint.startswith("admin.")
        for method in rule.methods or ()
        if method not in {"HEAD", "OPTIONS"}
    }
    assert routes == OPERATIONS.keys()


def test_the_document_is_served_as_it_stands(emulate: Emulate) -> None:
    assert call(emulate(), "get", "/openapi.json").get_json() == DOCUMENT


def test_the_index_lists_the_operations_and_no_others(emulate: Emulate) -> None:
    lines = call(emulate(), "get", "/").get_json()
    assert lines == {f"{method.upper()} /_mock{path}": it["summary"] for (method, path), it in OPERATIONS.items()}


def test_operations_have_names_of_their_own_and_references_lead_somewhere() -> None:
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(names)) == len(names)
    assert all(found(pointer) for pointer in references(DOCUMENT))


def test_every_schema_is_valid_and_used() -> None:
    used = set(references(DOCUMENT))
    for kind in ("schemas", "responses"):
        assert {f"#/components/{kind}/{name}" for name in DOCUMENT["components"][kind]} <= used
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(_rooted(schema))


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda part: part)
def test_every_operation_is_guarded(emulate: Emulate, method: str, path: str) -> None:
    names = {"job_id": "x", "hook_id": "x"}
    answer = call(emulate(), method, path, {} if method == "post" else None, names=names, Host="evil.example")
    assert answer.status_code == 403


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda part: part)
def test_those_of_one_world_and_only_they_need_its_key(emulate: Emulate, method: str, path: str) -> None:
    names = {"job_id": "x", "hook_id": "x"}
    operation = OPERATIONS[method, path]
    answer = call(emulate(), method, path, {} if method == "post" else None, names=names, **{"TT-API-KEY": " "})
    assert (answer.status_code == 401) is ("security" not in operation) is (operation["tags"] == ["world"])


def _busy(emulate: Emulate) -> tuple[Caller, str, str]:
    """A world in which something of every kind has happened; a finished job, and its hook."""
    caller = emulate(admin_token="open sesame", deliverer=RecordingDeliverer(), hook_retry="5")
    call(caller, "post", "/scenario", {"name": "reset-after-accept"})
    job_id = caller.submit(hookUrl="http://127.0.0.1:9/h")
    caller.submit(hookUrl="http://127.0.0.1:9/h")
    caller.edit((picture(), "a.png"), aspect_ratio="1:1")
    call(caller, "post", "/clock", {"run_until_idle": True})
    caller.generate(mode="nope")
    return caller, job_id, f"hook-{job_id}"


def test_every_documented_answer_is_given_and_fits(emulate: Emulate) -> None:
    seen: Seen = set()
    caller, job_id, hook_id = _busy(emulate)
    stuck = emulate(progress="manual", key="stuck")
    waiting = stuck.submit()

    def does(method: str, path: str, status: int, body: Any = None, *, by: Caller = caller, names: Any = ()) -> None:
        answer = call(by, method, path, body, names=names)
        assert answer.status_code == status, answer.get_json()
        seen.add((method, path, status))

    for method, path in OPERATIONS:
        if method == "get":
            does("get", path, 200)
    assert call(caller, "get", "/journal", query="?nope=1").status_code == 400
    seen.add(("get", "/journal", 400))
    does("post", "/clock", 200, {"advance": 0.5})
    for body in ({"advance_to": "2030-01-01T00:00:00Z"}, {"next_event": True}, {"mode": "x60"}, {"mode": "auto"}):
        does("post", "/clock", 200, body)
    does("post", "/clock", 400, {"advance": -1})
    does("post", "/scenario", 200, {"name": "x", "story": "y", "rules": [{"on": "job", "then": {"run_seconds": 1}}]})
    does("post", "/scenario", 400, {"name": "lost-hok"})
    for body in ({"do": "start"}, {"do": "fail", "reason": "out of paint"}):
        does("post", "/jobs/{job_id}", 200, body, by=stuck, names={"job_id": waiting})
    does("post", "/jobs/{job_id}", 409, {"do": "finish"}, names={"job_id": job_id})
    does("post", "/jobs/{job_id}", 404, {"do": "finish"}, names={"job_id": "nope"})
    does("post", "/jobs/{job_id}", 400, {"do": "dance"}, names={"job_id": job_id})
    does("post", "/verify", 200, {"endpoint": "submit", "at_least": 3, "at_most": 4, "max_spend": 3})
    does("post", "/verify", 200, {"endpoint": "/flux/generate", "times": 1, "status": 200, "job_id": job_id})
    does("post", "/verify", 417, {"endpoint": "generate", "fields": {"prompt": "x"}})
    does("post", "/verify", 417, {"max_spend": "0"})
    does("post", "/verify", 400, {"endpoint": "generate", "times": -1})
    does("post", "/hooks/wait", 200, {"job_id": job_id})
    does("post", "/hooks/wait", 200, {})
    does("post", "/hooks/wait", 417, {"job_id": waiting, "timeout": 0.5}, by=stuck)
    does("post", "/hooks/wait", 404, {"job_id": "nope"})
    does("post", "/hooks/wait", 400, {"timeout": -1})
    does("post", "/hooks/{hook_id}", 200, {"do": "replay"}, names={"hook_id": hook_id})
    does("post", "/hooks/{hook_id}", 404, {"do": "replay"}, names={"hook_id": "nope"})
    does("post", "/hooks/{hook_id}", 400, {"do": "dance"}, names={"hook_id": hook_id})
    does("post", "/reset", 200, {"balance": 5, "hook_retry": [5, 60], "rate_limit": None}, by=stuck)
    does("post", "/reset", 400, {"clok": 1})
    does("post", "/tenants/reset", 400, {"all": True})
    does("post", "/tenants/reset", 200, {})
    for (method, path), operation in OPERATIONS.items():
        if method == "get" and "security" not in operation:
            does("get", path, 404)
    does("post", "/verify", 417, {"endpoint": "generate"})

    class CallingBack(RecordingDeliverer):
        def deliver(self, delivery: Delivery) -> Any:
            if not self.sent:
                does("post", "/clock", 409, {"advance": 1}, by=hooked)
                does("post", "/hooks/wait", 409, {}, by=hooked)
                does("post", "/hooks/{hook_id}", 409, {"do": "replay"}, by=hooked, names={"hook_id": delivery.id})
            return super().deliver(delivery)

    hooked = emulate(progress="immediate", deliverer=CallingBack())
    hooked.submit(hookUrl="http://127.0.0.1:9/h")
    call(hooked, "post", "/clock", {"run_until_idle": True})

    elsewhere = {401, 403}
    documented = {(*operation, int(status)) for operation, it in OPERATIONS.items() for status in it["responses"]}
    assert seen == {case for case in documented if case[2] not in elsewhere}


def test_journal_parameters_are_those_that_are_documented(emulate: Emulate) -> None:
    caller = emulate()
    caller.submit()
    parameters = OPERATIONS["get", "/journal"]["parameters"]
    documented = {"field.NAME" if parameter["name"] == "fields" else parameter["name"] for parameter in parameters}
    answer = caller.http.get("/_mock/journal?nope=1", headers=caller.headers)
    assert set(answer.get_json()["error"].partition("there are ")[2].split(", ")) == documented
    known = "endpoint=image&path=/x&method=GET&status=200&job_id=x&since=0&field.prompt=x"
    for query in (f"{known}&limit=0", f"{known}&last=0"):
        assert caller.http.get(f"/_mock/journal?{query}", headers=caller.headers).status_code == 200


@pytest.mark.parametrize("setting", [field.name for field in dataclasses.fields(Settings)])
def test_the_settings_that_a_world_can_be_reset_with_are_documented(emulate: Emulate, setting: str) -> None:
    caller = emulate()
    words = {"hook_allow": [], "hook_retry": [5], "progress": "time", "clock": "frozen"}
    value = words.get(setting, getattr(Settings(), setting))
    body = {setting: str(value) if setting == "balance" else value}
    answer = caller.http.post("/_mock/reset", headers=caller.headers, json=body)
    assert (answer.status_code == 200) is (problems({"$ref": "#/components/schemas/Settings"}, body) == [])


def test_states_and_accounts_are_all_documented() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["Delivery"]["properties"]["state"]["enum"] == [state.value for state in DeliveryState]


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 3),
    st.sampled_from(
        ["", "generate", "fetch", "/x", "replay", "finish", "fail", "auto", "x2", "2030-01-01T00:00:00Z", "5"]
    ),
    st.just({}),
    st.just([]),
)
POSTS = sorted(path for method, path in OPERATIONS if method == "post" and path != "/reset")


@pytest.fixture(scope="module")
def world() -> Any:
    world = World(Settings.of(clock="frozen"), deliverer=RecordingDeliverer())
    yield world
    world.close()


@hypothesis_settings(max_examples=150)
@given(data=st.data())
def test_what_the_document_refuses_is_refused(world: World, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(POSTS))
    schema = schema_of(OPERATIONS["post", path]["requestBody"])
    names = [*(found(schema["$ref"]) if "$ref" in schema else schema).get("properties", {}), "nope"]
    body = data.draw(st.dictionaries(st.sampled_from(names), VALUES, max_size=3))
    answer = call(Caller(create_app(world=world)), "post", path, body, names={"job_id": "x", "hook_id": "x"})
    if problems(schema, body):
        assert answer.status_code == 400, (path, body)
