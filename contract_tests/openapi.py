"""The contract as OpenAPI 3.1, made from `schemas/` alone: for linters, documentation, other mocks, client generators.

OpenAPI has one operation for a path and a method, and the versions of the contract share them. So each version is a
document of its own; `document_both` says what a client has to cope with that does not know which one it meets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mock_server import resources
from mock_server.bodies import JSON, MULTIPART
from mock_server.contract import contract, versions

Json = dict[str, Any]
_FILE_PART = {"filename", "content_type", "bytes"}
_OF_A_FILE = ("$schema", "$id", "x-http", "$defs", "examples")
# Of the schema files, and not of the components that they become: an $id would be a new base for references, and tools
# prefer the examples of a schema to those that stand, by name, with the answer that they belong to.


class _Operation(NamedTuple):
    endpoint: str
    method: str
    name: str
    tag: str
    summary: str
    media: tuple[str, ...]
    hooks: bool = False


_OPERATIONS = (
    _Operation("generate", "post", "generate", "submission", "Order an image made from a text.", (JSON,), True),
    _Operation("edits", "post", "edits", "submission", "Order an image made from others.", (MULTIPART,), True),
    _Operation("fetch", "post", "fetch", "result", "Ask how a job stands.", (JSON, MULTIPART)),
    _Operation("fetch", "get", "fetchByQuery", "result", "Ask how a job stands, by a query alone.", ()),
)
_TAGS = [
    {"name": "submission", "description": "Orders. What is answered is the id of a job, not its result."},
    {"name": "result", "description": "What became of a job. Asking is free of charge."},
]
_ABOUT = (
    "What is known of an API that is not ours. `x-source` names where a fact comes from and `x-confidence` how sure it "
    "is: documented by the vendor, observed by others, or assumed by us."
)


def document(version: str) -> Json:
    """
    Return one version of the contract as an OpenAPI 3.1 document.

    Raises:
        ValueError: there is no such version.
    """
    return _Document((version,)).build()


def document_both() -> Json:
    """
    Return all versions as one document, in which a message fits when it fits any of them.

    A client that is generated from it copes with every version. To be strict, take one `document` for each instead.
    """
    return _Document(versions()).build()


class _Document:
    def __init__(self, chosen: Sequence[str]) -> None:
        self._versions = chosen
        self._schemas: dict[str, Json] = {}
        self._names: dict[str, str] = {}
        for version in chosen:
            self._add(version)
        self._http: Json = {}
        for version in chosen:
            self._http |= contract(version).schemas["error.response"]["x-http"]

    def build(self) -> Json:
        origins = resources.load("product.json")["origins"]
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "TTAPI Flux image API",
                "version": " or ".join(self._versions),
                "summary": f"Contract {' and '.join(self._versions)}, as fluxmock emulates it.",
                "description": _ABOUT,
            },
            "servers": [{"url": origins["api"], **_provenance(origins)}],
            "security": [{"key": []}],
            "tags": _TAGS,
            "paths": self._paths(),
            "components": {
                "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "TT-API-KEY"}},
                "schemas": self._schemas,
                "responses": {f"Refused{status}": self._refusal(status) for status in self._http},
                "callbacks": {"jobEnded": {"{$request.body#/hookUrl}": {"post": self._hook()}}},
            },
        }

    # Schemas

    def _add(self, version: str) -> None:
        schemas = contract(version).schemas
        # The callback comes last: the results in it are those of a fetch, and so the same components.
        for stem in sorted(schemas, key=lambda stem: (stem.startswith("callback"), stem)):
            schema = schemas[stem]
            for name, inner in schema.get("$defs", {}).items():
                self._schemas.setdefault(self._named(version, stem, f"/$defs/{name}", inner), inner)
            self._schemas[self._named(version, stem, "", schema)] = _as_form(schema)
        for stem in schemas:
            for pointer in ("", *(f"/$defs/{name}" for name in schemas[stem].get("$defs", ()))):
                component = self._names[f"{version}/{stem}#{pointer}"]
                self._schemas[component] = self._rewritten(version, stem, self._schemas[component])

    def _named(self, version: str, stem: str, pointer: str, schema: Json) -> str:
        words = [*stem.split("."), *pointer.split("/")[2:]]
        name = "".join(word[:1].upper() + word[1:] for word in words)
        if len(self._versions) > 1:
            name += "_" + version.replace("-", "_")
        same = f"{version}={json.dumps(schema, sort_keys=True)}"
        name = self._names.setdefault(same, name)
        self._names[f"{version}/{stem}#{pointer}"] = name
        return name

    def _rewritten(self, version: str, stem: str, value: Any) -> Any:
        if isinstance(value, list):
            return [self._rewritten(version, stem, inner) for inner in value]
        if not isinstance(value, dict):
            return value
        rewritten = {}
        for name, inner in value.items():
            if name == "$ref" and not inner.startswith("#/components/"):
                file, _, pointer = inner.partition("#")
                target = file.rpartition("/")[2].removesuffix(".json") or stem
                rewritten[name] = f"#/components/schemas/{self._names[f'{version}/{target}#{pointer}']}"
            elif name not in _OF_A_FILE:
                rewritten[name] = self._rewritten(version, stem, inner)
        return rewritten

    def _message(self, name: str) -> Json:
        """Return what stands under a media type: the schema of a message, and examples of it."""
        references = [
            {"$ref": f"#/components/schemas/{self._names[f'{version}/{name}#']}"} for version in self._versions
        ]
        return {
            "schema": references[0] if len(references) == 1 else {"anyOf": references},
            "examples": dict(self._examples(name)),
        }

    def _examples(self, name: str) -> Iterator[tuple[str, Json]]:
        for version in self._versions:
            schema = _as_form(contract(version).schemas[name])
            prefix = f"{version}-" if len(self._versions) > 1 else ""
            for number, example in enumerate(schema["examples"], 1):
                label = str(example.get("status", "example")).lower().replace("_", "-")
                yield f"{prefix}{label}-{number}", {"value": example}

    # Paths

    def _paths(self) -> Json:
        paths: Json = {}
        for operation in _OPERATIONS:
            paths.setdefault(f"/flux/{operation.endpoint}", {})[operation.method] = self._operation(operation)
        return paths

    def _operation(self, operation: _Operation) -> Json:
        request = f"{operation.endpoint}.request"
        schema = contract(self._versions[-1]).schemas[request]
        built: Json = {
            "operationId": operation.name,
            "summary": operation.summary,
            "description": schema["description"],
            "tags": [operation.tag],
        }
        if operation.endpoint == "fetch":
            # A query will do for either method, so with POST neither it nor the body is a must.
            built["parameters"] = list(_parameters(schema, required=not operation.media))
        if operation.media:
            content = {media: self._message(request) for media in operation.media}
            built["requestBody"] = {"required": operation.endpoint != "fetch", "content": content}
        answer = f"{operation.endpoint}.response"
        described = contract(self._versions[-1]).schemas[answer]["description"]
        built["responses"] = {
            "200": {"description": described, "content": {JSON: self._message(answer)}},
            **{status: {"$ref": f"#/components/responses/Refused{status}"} for status in self._http},
        }
        if operation.hooks:
            built["callbacks"] = {"jobEnded": {"$ref": "#/components/callbacks/jobEnded"}}
        return built

    def _refusal(self, status: str) -> Json:
        said = self._http[status]
        content = self._message("error.response")
        refused = {"status": "FAILED", "message": said["message"]["text"], "data": None}
        content["examples"] = {"refused": {"value": refused}}
        return {
            "description": said["meaning"],
            "content": {JSON: content},
            **_provenance(said),
            "x-message": said["message"],
        }

    def _hook(self) -> Json:
        schema = contract(self._versions[-1]).schemas["callback.request"]
        return {
            "operationId": "jobEnded",
            "summary": "A job has ended.",
            "description": schema["description"],
            "tags": ["result"],
            "security": [],
            "requestBody": {"required": True, "content": {JSON: self._message("callback.request")}},
            "responses": {
                "2XX": {"description": "The receiver took it."},
                "4XX": {"description": "The receiver refused it. Whether it comes again is assumed: it does not."},
            },
            **_provenance(schema),
        }


def _parameters(schema: Json, *, required: bool) -> Iterator[Json]:
    for name, field in schema["properties"].items():
        plain = {key: value for key, value in field.items() if key != "description"}
        yield {
            "name": name,
            "in": "query",
            "required": required,
            "description": field["description"],
            "schema": plain,
            "example": schema["examples"][0][name],
        }


def _as_form(schema: Json) -> Json:
    """Return a schema with files as OpenAPI has them; in ours a file part is an object that describes it."""
    files = [
        name
        for name, field in schema.get("properties", {}).items()
        if set(field.get("items", {}).get("required", ())) == _FILE_PART
    ]
    if not files:
        return schema
    fields = {name: _uploaded(field) if name in files else field for name, field in schema["properties"].items()}
    examples = [
        {
            name: [f"<{part['bytes']} bytes>" for part in value] if name in files else value
            for name, value in example.items()
        }
        for example in schema["examples"]
    ]
    return {**schema, "description": "Fields and files of a form.", "properties": fields, "examples": examples}


def _uploaded(field: Json) -> Json:
    """Return a field that takes files. A part that comes once is no array to the tools that read forms."""
    content = {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}
    many = {**{name: field[name] for name in ("type", "minItems")}, "items": content}
    about = {name: value for name, value in field.items() if name not in {*many, "items"}}
    return {**about, "anyOf": [{"title": "one file", **content}, {"title": "files", **many}]}


def _provenance(said: Mapping[str, Any]) -> Json:
    return {name: said[name] for name in ("x-source", "x-confidence")}
