"""The contract as OpenAPI says what the schemas say; a public linter passes it, and a public tool serves it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import jsonschema
import pytest
import requests
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from contract_tests.openapi import document, document_both
from mock_server import resources
from mock_server.contract import contract, versions

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS: dict[str, dict[str, Any]] = {
    **{version: document(version) for version in versions()},
    "both": document_both(),
}
JSON = "application/json"
METHODS = {("/flux/generate", "post"), ("/flux/edits", "post"), ("/flux/fetch", "post"), ("/flux/fetch", "get")}
each_document = pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
each_version = pytest.mark.parametrize("version", versions())


def found(document: Any, pointer: str) -> Any:
    value = document
    for name in pointer.removeprefix("#/").split("/"):
        value = value[name.replace("~1", "/").replace("~0", "~")]
    return value


def inside(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a document."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from inside(inner)


def references(value: Any) -> set[str]:
    return {it["$ref"] for it in inside(value) if isinstance(it.get("$ref"), str)}


def validator(document: Any, schema: Any) -> Any:
    def rooted(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: f"urn:openapi{it}" if name == "$ref" else rooted(it) for name, it in value.items()}
        return [rooted(it) for it in value] if isinstance(value, list) else value

    registry = Registry().with_resource("urn:openapi", DRAFT202012.create_resource(rooted_whole(document, rooted)))
    return jsonschema.Draft202012Validator(rooted(schema), registry=registry)


def rooted_whole(document: Any, rooted: Callable[[Any], Any]) -> Any:
    return {"components": rooted(document["components"])}


def operations(document: Any) -> dict[str, Any]:
    return {operation["operationId"]: operation for item in document["paths"].values() for operation in item.values()}


def contents(document: Any) -> Iterator[tuple[str, Any]]:
    """Every media type that has a schema, by where it stands."""
    for name, operation in operations(document).items():
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            yield f"{name}.request {media}", content
        yield f"{name}.response", operation["responses"]["200"]["content"][JSON]
    for name, response in document["components"]["responses"].items():
        yield name, response["content"][JSON]
    (hook,) = document["components"]["callbacks"]["jobEnded"].values()
    yield "callback", hook["post"]["requestBody"]["content"][JSON]


@each_document
def test_operations_are_the_endpoints_and_have_names_of_their_own(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    assert {(path, method) for path, item in document["paths"].items() for method in item} == METHODS
    assert set(operations(document)) == {"generate", "edits", "fetch", "fetchByQuery"}
    names = [it["operationId"] for it in inside(document) if "operationId" in it]
    assert len(names) == len(set(names)) == 5
    tags = {tag["name"] for tag in document["tags"]}
    assert all(set(it["tags"]) <= tags and it["summary"] for it in inside(document) if "operationId" in it)


@each_document
def test_every_reference_leads_somewhere_and_every_component_is_used(document: Any) -> None:
    used = references(document)
    for pointer in used:
        assert found(document, pointer)
    for group in ("schemas", "responses", "callbacks"):
        assert {f"#/components/{group}/{name}" for name in document["components"][group]} <= used


@each_document
def test_every_schema_is_valid_and_every_example_fits_it(document: Any) -> None:
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert not {"$id", "$schema", "$defs"} & schema.keys()
    for where, content in contents(document):
        assert content["examples"], where
        fits = validator(document, content["schema"])
        for name, example in content["examples"].items():
            assert fits.is_valid(example["value"]), (where, name)


@each_document
def test_requests_come_as_the_sources_have_them(document: Any) -> None:
    known = operations(document)
    assert list(known["generate"]["requestBody"]["content"]) == [JSON]
    assert list(known["edits"]["requestBody"]["content"]) == ["multipart/form-data"]
    assert list(known["fetch"]["requestBody"]["content"]) == [JSON, "multipart/form-data"]
    assert "requestBody" not in known["fetchByQuery"]
    told = {name: [(it["name"], it["required"]) for it in known[name].get("parameters", ())] for name in known}
    assert told == {"generate": [], "edits": [], "fetch": [("jobId", False)], "fetchByQuery": [("jobId", True)]}


@each_document
def test_key_server_and_hooks_are_told(document: Any) -> None:
    assert document["components"]["securitySchemes"] == {
        "key": {"type": "apiKey", "in": "header", "name": "TT-API-KEY"}
    }
    assert document["security"] == [{"key": []}]
    assert [server["url"] for server in document["servers"]] == [resources.load("product.json")["origins"]["api"]]
    hooks = {"jobEnded": {"$ref": "#/components/callbacks/jobEnded"}}
    assert {name: it.get("callbacks") for name, it in operations(document).items()} == {
        "generate": hooks,
        "edits": hooks,
        "fetch": None,
        "fetchByQuery": None,
    }
    ((expression, hook),) = document["components"]["callbacks"]["jobEnded"].items()
    assert expression == "{$request.body#/hookUrl}"
    assert hook["post"]["security"] == []


@each_version
def test_every_status_of_the_contract_is_an_answer_with_its_text_and_its_source(version: str) -> None:
    made = DOCUMENTS[version]
    http = contract(version).schemas["error.response"]["x-http"]
    for operation in operations(made).values():
        assert set(operation["responses"]) == {"200", *http}
    for status, said in http.items():
        response = made["components"]["responses"][f"Refused{status}"]
        assert response["description"] == said["meaning"]
        assert (response["x-source"], response["x-confidence"]) == (said["x-source"], said["x-confidence"])
        (example,) = response["content"][JSON]["examples"].values()
        assert example["value"]["message"] == said["message"]["text"]


@each_version
def test_every_fact_of_a_field_is_kept(version: str) -> None:
    def facts(value: Any) -> set[tuple[str, str, str]]:
        return {
            (str(it.get("description")), str(it["x-source"]), it["x-confidence"])
            for it in inside(value)
            if "x-source" in it and isinstance(it["x-source"], list)
        }

    # What describes a file part in words is the file itself here, and statuses are answers.
    words = {
        name: {key: value for key, value in schema.items() if key != "x-http"}
        for name, schema in contract(version).schemas.items()
    }
    part = facts(words["edits.request"]["properties"]["image"]["items"])
    assert facts(words) - part <= facts(DOCUMENTS[version])


@each_version
def test_the_document_accepts_what_the_schemas_accept(version: str) -> None:
    made, known = DOCUMENTS[version], contract(version)
    for name, operation in operations(made).items():
        if name == "fetchByQuery":
            continue
        answer = f"{name}.response"
        fits = validator(made, operation["responses"]["200"]["content"][JSON]["schema"])
        for other in versions():
            for example in contract(other).schemas[answer]["examples"]:
                assert fits.is_valid(example) is known.accepts(answer, example)
    order = validator(made, operations(made)["generate"]["requestBody"]["content"][JSON]["schema"])
    for mode in {mode for other in versions() for mode in contract(other).choices("edits.request", "mode")}:
        value = {"prompt": "x", "mode": mode}
        assert order.is_valid(value) is known.accepts("generate.request", value)


def test_the_document_of_both_accepts_what_either_does() -> None:
    both = DOCUMENTS["both"]
    fits = validator(both, operations(both)["generate"]["responses"]["200"]["content"][JSON]["schema"])
    for version in versions():
        assert fits.is_valid(contract(version).schemas["generate.response"]["examples"][0])
    assert not fits.is_valid({"status": "SUCCESS", "message": "", "data": {}})
    assert both["info"]["version"] == "2024-09 or 2026-03"


def test_a_form_takes_one_file_or_several() -> None:
    made = DOCUMENTS["2024-09"]
    fits = validator(made, operations(made)["edits"]["requestBody"]["content"]["multipart/form-data"]["schema"])
    order = {"prompt": "x", "mode": "flux1-dev"}
    assert fits.is_valid({**order, "image": "bytes"})
    assert fits.is_valid({**order, "image": ["bytes", "bytes"]})
    assert not fits.is_valid({**order, "image": []})
    assert not fits.is_valid(order)


def test_the_schemas_are_not_changed_by_it() -> None:
    before = json.dumps(contract("2024-09").schemas)
    document("2024-09")
    document_both()
    assert json.dumps(contract("2024-09").schemas) == before


def test_an_unknown_version_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"^expected a contract version out of 2024-09, 2026-03, got '1999'$"):
        document("1999")


def tool(name: str) -> str:
    """The command of a public tool from npm, which may not be there."""
    command = shutil.which(name, path=os.pathsep.join([str(ROOT / "node_modules" / ".bin"), os.environ["PATH"]]))
    if command is None:
        assert not os.environ.get("CI"), f"CI has {name}"
        pytest.skip(f"{name} is not installed")
    return command


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_public_linter_has_no_errors_and_one_remark(tmp_path: Path, name: str) -> None:
    command = tool("redocly")
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(DOCUMENTS[name]), "utf-8")
    quiet = {**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    linted = subprocess.run(
        [command, "lint", "--extends", "recommended", "--format", "json", str(path)],
        cwd=tmp_path, env=quiet, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    told = json.loads(linted.stdout[linted.stdout.index("{") :])
    # What the real API's owner allows is not for us to say.
    assert [problem["ruleId"] for problem in told["problems"]] == ["info-license"]
    assert linted.returncode == 0


@pytest.fixture
def hooks() -> Iterator[tuple[str, Queue[Any]]]:
    """The address of a receiver of webhooks, and what it receives."""
    received: Queue[Any] = Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook", received
        server.shutdown()
        thread.join()


@pytest.fixture
def prism(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Serve a document with Prism, and return its base URL."""
    running: list[tuple[subprocess.Popen[str], threading.Thread]] = []

    def start(name: str) -> str:
        command = tool("prism")
        path = tmp_path / "openapi.json"
        path.write_text(json.dumps(DOCUMENTS[name]), "utf-8")
        process = subprocess.Popen(
            [command, "mock", "-h", "127.0.0.1", "-p", "0", str(path)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        line = next((line for line in process.stdout if "listening on" in line), "")
        # What it writes later must not fill the pipe.
        reader = threading.Thread(target=process.stdout.read)
        reader.start()
        running.append((process, reader))
        assert line, "Prism did not start"
        return line.split("listening on")[1].strip()

    yield start
    for process, reader in running:
        process.terminate()
        process.wait(30)
        reader.join()
        assert process.stdout is not None
        process.stdout.close()


@each_version
def test_a_public_tool_serves_the_document(prism: Any, hooks: tuple[str, Queue[Any]], version: str) -> None:
    url = prism(version)
    hook_url, received = hooks
    schemas = contract(version).schemas
    key = {"TT-API-KEY": "any"}
    order = {"prompt": "a cute cat", "mode": "flux1-dev"}
    ordered = requests.post(f"{url}/flux/generate", json={**order, "hookUrl": hook_url}, headers=key, timeout=60)
    assert (ordered.status_code, ordered.json()) == (200, schemas["generate.response"]["examples"][0])
    assert received.get(timeout=60) in schemas["callback.request"]["examples"]
    # Prism dies of a file without a type.
    files = [("image", ("a.png", b"x", "image/png")), ("image", ("b.png", b"y", "image/png"))]
    for some in (files[:1], files):
        edited = requests.post(f"{url}/flux/edits", data=order, files=some, headers=key, timeout=60)
        assert (edited.status_code, edited.json()) == (200, schemas["edits.response"]["examples"][0])
    job_id = {"jobId": "bf165abb-a7fa-4c77-a2e4-138baac1130d"}
    for asked in (
        requests.post(f"{url}/flux/fetch", json=job_id, headers=key, timeout=60),
        requests.post(f"{url}/flux/fetch", files={"jobId": (None, job_id["jobId"])}, headers=key, timeout=60),
        requests.post(f"{url}/flux/fetch", params=job_id, headers=key, timeout=60),
        requests.get(f"{url}/flux/fetch", params=job_id, headers=key, timeout=60),
    ):
        assert (asked.status_code, asked.json()) == (200, schemas["fetch.response"]["examples"][0])
    http = schemas["error.response"]["x-http"]
    for status, refused in {
        "400": requests.post(f"{url}/flux/generate", json={"prompt": "x"}, headers=key, timeout=60),
        "401": requests.post(f"{url}/flux/generate", json=order, timeout=60),
        "429": requests.get(f"{url}/flux/fetch", params=job_id, headers={**key, "Prefer": "code=429"}, timeout=60),
    }.items():
        assert refused.status_code == int(status)
        assert refused.json()["message"] == http[status]["message"]["text"]
