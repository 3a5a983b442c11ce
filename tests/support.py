"""What several tests use: a watch over every byte that the emulator sends, and a short way to call it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import jsonschema
from flask.testing import FlaskClient
from PIL import Image
from referencing import Registry, Resource
from werkzeug.test import TestResponse

from mock_server.app import EmulatorApp
from mock_server.contract import contract
from mock_server.journal import ClockEntry, Entry, HookEntry, Journal

KEY = "test-key"
PROMPT = {"prompt": "a cute cat", "mode": "flux1-dev"}


@dataclass
class ContractWatch:
    """An observer of journals that holds every answer and hook against the schemas, with the reference validator."""

    version: str
    seen: int = 0
    violations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        schemas = contract(self.version).schemas
        registry = Registry().with_resources(
            (schema["$id"], Resource.from_contents(schema)) for schema in schemas.values()
        )
        self._validators = {
            name: jsonschema.Draft202012Validator(
                schema, registry=registry, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
            )
            for name, schema in schemas.items()
        }

    def __call__(self, journal: Journal, entry: Entry) -> None:
        if isinstance(entry, ClockEntry) or entry.twisted:
            return  # nothing was sent, or a scenario wanted it so
        if isinstance(entry, HookEntry):
            self._check("callback.request", entry.delivery.body)
        elif entry.path.startswith("/flux/") and entry.status == 200:
            self._check(f"{entry.path.removeprefix('/flux/')}.response", entry.response_body)
        elif entry.status >= 400:
            self._check("error.response", entry.response_body)
            if not entry.explanation:
                self.violations.append(f"{entry.status} without an explanation")

    def _check(self, name: str, body: bytes) -> None:
        self.seen += 1
        value = json.loads(body)
        self.violations += [f"{name}: {error.message}" for error in self._validators[name].iter_errors(value)]
        extra = set(value) - {"status", "message", "data", "jobId"}
        if extra:
            self.violations.append(f"{name}: fields that no source names: {extra}")


class Caller:
    """A client of the Flask application with one key."""

    def __init__(self, app: EmulatorApp, key: str = KEY) -> None:
        self.app = app
        self.http: FlaskClient = app.test_client()
        self.headers = {"TT-API-KEY": key}
        self.key = key

    def post(self, path: str, **request: Any) -> TestResponse:
        headers = {**self.headers, **request.pop("headers", {})}
        return self.http.post(path, headers=headers, **request)

    def generate(self, **fields: Any) -> TestResponse:
        return self.post("/flux/generate", json={**PROMPT, **fields})

    def submit(self, **fields: Any) -> str:
        answer = self.generate(**fields)
        assert answer.status_code == 200, explained(answer)
        (job_id,) = answer.get_json()["data"].values()
        return str(job_id)

    def fetch(self, job_id: str) -> Any:
        answer = self.post("/flux/fetch", json={"jobId": job_id})
        assert answer.status_code == 200, explained(answer)
        return answer.get_json()

    def edit(self, *images: tuple[bytes, str], **fields: Any) -> TestResponse:
        files = [(BytesIO(data), name) for data, name in images]
        return self.post("/flux/edits", data={**PROMPT, **fields, "image": files})


def explained(answer: TestResponse) -> str:
    """The explanation that came with an answer."""
    return answer.headers.get("X-Fluxmock-Explain", "")


def picture(colour: str = "red", size: tuple[int, int] = (64, 48), kind: str = "PNG") -> bytes:
    """The bytes of a small image file."""
    buffer = BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()
