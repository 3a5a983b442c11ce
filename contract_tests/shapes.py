"""The contract as a consumer looks at it: which alternative a message is, what it breaks, what it has that is unknown.

All that is known is read from `schemas/`; where a fact stands there, and how sure it is, goes into every note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import jsonschema_rs

from contract_tests.findings import NOTHING, Confidence, Fact, Note, as_example
from mock_server.contract import Contract, contract

Path = tuple[str | int, ...]
_KINDS = {
    "required": "field/missing",
    "type": "type/changed",
    "enum": "value/unknown",
    "const": "value/unknown",
}
_NAMES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}


class Node(NamedTuple):
    """A place in the schemas: the file, the pointer into it, and the schema there."""

    file: str
    pointer: str
    schema: Mapping[str, Any]


class Alternative:
    """
    One of the shapes that a kind of message can have, such as a fetch of a job that has succeeded.

    Args:
        root: where its schema stands.
        schemas: all of the version, by file name without its ending.
        validator: of this alternative alone.
    """

    def __init__(self, root: Node, schemas: Mapping[str, Any], validator: jsonschema_rs.Draft202012Validator) -> None:
        self.root = root
        self.title: str = root.schema.get("title", root.file)
        self._schemas = schemas
        self._validator = validator
        status = root.schema.get("properties", {}).get("status", {})
        known = status.get("enum", [status["const"]] if "const" in status else [])
        self.statuses = frozenset(one for one in known if isinstance(one, str))

    def problems(self, endpoint: str, value: object) -> list[Note]:
        """Return what `value` breaks."""
        return [self._note(endpoint, value, error) for error in self.errors(value)]

    def errors(self, value: object) -> Iterator[jsonschema_rs.ValidationError]:
        """Return the same as the validator says it."""
        return iter(self._validator.iter_errors(value))

    def unknown(self, endpoint: str, value: object) -> list[Note]:
        """Return the fields of `value`, at any depth, that the contract does not know."""
        notes: list[Note] = []
        self._look_for_unknown(endpoint, value, (), notes)
        return notes

    def fact(self, path: Path) -> Fact:
        """Return what the contract says of the value at `path`: the closest annotation on the way there."""
        said = NOTHING
        for node in self._way(path):
            schema = node.schema
            confidence = Confidence(schema.get("x-confidence", said.confidence))
            sources = tuple(schema.get("x-source", said.sources))
            said = Fact(f"{node.file}.json", node.pointer, sources, confidence)
        return said

    def node(self, path: Path) -> Node | None:
        """Return where the schema of the value at `path` stands; None where the contract knows no such value."""
        way = self._way(path)
        return way[-1] if len(way) == len(path) + 1 else None

    def _look_for_unknown(self, endpoint: str, value: object, path: Path, notes: list[Note]) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                below = (*path, name)
                if self.node(below) is not None:
                    self._look_for_unknown(endpoint, inner, below, notes)
                elif self._knows_fields(path):
                    fact = self.fact(path)._replace(confidence=Confidence.NONE, sources=())
                    message = f"a field {name!r} of type {type_of(inner)}"
                    notes.append(Note("field/unknown", endpoint, pointer_of(below), message, fact, as_example(inner)))
        elif isinstance(value, list):
            for inner in value[:1]:
                self._look_for_unknown(endpoint, inner, (*path, 0), notes)

    def _knows_fields(self, path: Path) -> bool:
        node = self.node(path)
        return node is not None and "properties" in node.schema

    def _way(self, path: Path) -> list[Node]:
        node = resolved(self.root, self._schemas)
        way = [node]
        for step in path:
            below = _below(node, step)
            if below is None:
                break
            node = resolved(below, self._schemas)
            way.append(node)
        return way

    def _note(self, endpoint: str, value: object, error: jsonschema_rs.ValidationError) -> Note:
        keyword, details = error.kind.name, error.kind.as_dict()
        path: Path = tuple(error.instance_path)
        if keyword == "required":
            path = (*path, str(details["property"]))
        got = _at(value, path)
        words: Mapping[str, Callable[[], str]] = {
            "required": lambda: "expected this field, got none",
            "type": lambda: f"expected {' or '.join(details['types'])}, got {type_of(got)}",
            "enum": lambda: f"expected one of {', '.join(map(str, details['options']))}; got {as_example(got)}",
            "const": lambda: f"expected {details['expected_value']}, got {as_example(got)}",
        }
        example = "" if keyword == "required" else as_example(got)
        rule = _KINDS.get(keyword, "value/constraint")
        message = words[keyword]() if keyword in words else f"expected {keyword} {next(iter(details.values()), '')}"
        return Note(rule, endpoint, pointer_of(path), message, self.fact(path), example)


class Kind:
    """One kind of message in one version of the contract, such as `fetch.response`."""

    def __init__(self, version: Contract, name: str) -> None:
        schemas = version.schemas
        self.name = name
        root = Node(name, "", schemas[name])
        registry = jsonschema_rs.Registry([(schema["$id"], schema) for schema in schemas.values()])
        roots = [
            resolved(Node(name, f"/oneOf/{index}", schema), schemas)
            for index, schema in enumerate(root.schema.get("oneOf", ()))
        ]
        self.alternatives = tuple(
            Alternative(
                node,
                schemas,
                jsonschema_rs.Draft202012Validator(
                    {"$ref": f"{schemas[node.file]['$id']}#{node.pointer}"}, registry=registry, validate_formats=True
                ),
            )
            for node in roots or [root]
        )
        self.accepts: Callable[[object], bool] = jsonschema_rs.Draft202012Validator(
            schemas[name], registry=registry, validate_formats=True
        ).is_valid
        """Whether a value fits: as `Contract.accepts`, without a step in between."""
        self.knows: Callable[[object], bool] = _closed(schemas, name).is_valid
        """Whether a value fits, and has no unknown field at any depth."""

    def alternative(self, value: object) -> Alternative | None:
        """Return the alternative that `value` is, told by its status; None when that is unknown."""
        if len(self.alternatives) == 1:
            return self.alternatives[0]
        status = value.get("status") if isinstance(value, dict) else None
        found = (one for one in self.alternatives if isinstance(status, str) and status in one.statuses)
        return next(found, None)

    def problems(self, value: object) -> list[Note]:
        """Return what `value` breaks; empty when it fits."""
        one = self.alternative(value)
        if one is not None:
            return one.problems(self.name, value)
        first = self.alternatives[0]
        if not isinstance(value, dict):
            message = f"expected object, got {type_of(value)}"
            return [Note("type/changed", self.name, "", message, first.fact(()), as_example(value))]
        if "status" not in value:
            return [
                Note("field/missing", self.name, "/status", "expected this field, got none", first.fact(("status",)))
            ]
        known = ", ".join(status for one in self.alternatives for status in sorted(one.statuses))
        got = as_example(value["status"])
        message = f"expected one of {known}; got {got}"
        return [Note("value/unknown", self.name, "/status", message, first.fact(("status",)), got)]

    def unknown(self, value: object) -> list[Note]:
        """Return the fields of `value` that the contract does not know."""
        one = self.alternative(value)
        return [] if one is None else one.unknown(self.name, value)


@cache
def kind(version: str, name: str) -> Kind:
    """Return a kind of message by its name; built once."""
    return Kind(contract(version), name)


def _closed(schemas: Mapping[str, Any], name: str) -> jsonschema_rs.Draft202012Validator:
    """Return a validator that also forbids, at any depth, the fields that the contract does not know."""
    registry = jsonschema_rs.Registry([(schema["$id"], _without_room(schema)) for schema in schemas.values()])
    return jsonschema_rs.Draft202012Validator(_without_room(schemas[name]), registry=registry, validate_formats=True)


def _without_room(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_room(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: _without_room(value) for name, value in schema.items()}
    return inner | {"additionalProperties": False} if "properties" in schema else inner


def resolved(node: Node, schemas: Mapping[str, Any]) -> Node:
    """Follow `$ref` to where the schema really stands."""
    while "$ref" in node.schema:
        file, _, pointer = node.schema["$ref"].partition("#")
        stem = file.rpartition("/")[2].removesuffix(".json") or node.file
        schema: Any = schemas[stem]
        for step in pointer.split("/")[1:]:
            schema = schema[step]
        node = Node(stem, pointer, schema)
    return node


def _below(node: Node, step: str | int) -> Node | None:
    if isinstance(step, int):
        return Node(node.file, f"{node.pointer}/items", node.schema["items"]) if "items" in node.schema else None
    fields = node.schema.get("properties", {})
    return Node(node.file, f"{node.pointer}/properties/{_escaped(step)}", fields[step]) if step in fields else None


def pointer_of(path: Sequence[str | int]) -> str:
    """Return a path as a JSON pointer."""
    return "".join(f"/{_escaped(step)}" for step in path)


def type_of(value: object) -> str:
    """Return the name that JSON Schema has for the type of `value`."""
    return "null" if value is None else _NAMES.get(type(value), type(value).__name__)


def _escaped(step: str | int) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")


def _at(value: Any, path: Path) -> Any:
    for step in path:
        try:
            value = value[step]
        except (LookupError, TypeError):
            return None
    return value
