"""The contract as code sees it: per version, the validators and the facts that `schemas/` states.

Nothing here knows a field, a mode or a status by itself; it is all read from the schema files.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from typing import Any

import jsonschema_rs

from mock_server import resources

Schema = dict[str, Any]
_DETAIL_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Problem:
    """
    One way in which a value breaks its schema.

    Args:
        path: where, as names and indexes from the top; empty for the whole value.
        rule: the schema keyword that is broken, e.g. "required", "enum".
        detail: the missing name for "required", else the validator's own words.
    """

    path: tuple[str | int, ...]
    rule: str
    detail: str


class Contract:
    """One version of the API's contract. `version` is its name, the name of its folder in `schemas/`."""

    def __init__(self, version: str) -> None:
        paths = sorted((resources.folder("schemas") / version).glob("*.json"))
        self.version = version
        self.schemas: dict[str, Schema] = {path.stem: resources.load(f"{version}/{path.name}") for path in paths}
        registry = jsonschema_rs.Registry([(schema["$id"], schema) for schema in self.schemas.values()])
        self._validators = {
            name: jsonschema_rs.Draft202012Validator(schema, registry=registry, validate_formats=True)
            for name, schema in self.schemas.items()
        }
        self._accepts = {name: validator.is_valid for name, validator in self._validators.items()}
        self._read_facts()

    def _read_facts(self) -> None:
        submitted = self.schemas["generate.response"]["properties"]
        fetched = self.schemas["fetch.response"]["$defs"]
        self.id_field: str = next(iter(submitted["data"]["properties"]))
        self.submit_message: str | None = submitted["message"]["default"]
        self.queued_message: str | None = fetched["queued"]["properties"]["message"]["default"]
        self.success_message: str | None = fetched["success"]["properties"]["message"]["default"]
        self.queued_statuses: tuple[str, ...] = tuple(fetched["queued"]["properties"]["status"]["enum"])
        self.result_fields: tuple[str, ...] = tuple(fetched["success"]["properties"]["data"]["required"])
        self.error_messages: dict[int, str] = {
            int(status): entry["message"]["text"] for status, entry in self.schemas["error.response"]["x-http"].items()
        }
        self.fields: dict[str, frozenset[str]] = {
            name: frozenset(schema.get("properties", ())) for name, schema in self.schemas.items()
        }
        self.default_aspect: str = self.schemas["generate.request"]["properties"]["aspect_ratio"]["default"]

    def accepts(self, name: str, value: object) -> bool:
        """Whether `value` fits the schema `name`, e.g. "fetch.request"; ValueError if there is no such schema."""
        try:
            fits = self._accepts[name]
        except KeyError:
            raise self._no_schema(name) from None
        return fits(value)

    def problems(self, name: str, value: object) -> tuple[Problem, ...]:
        """Return every way in which `value` breaks the schema `name`; empty when it fits. ValueError as `accepts`."""
        if name not in self._validators:
            raise self._no_schema(name)
        found = []
        for error in self._validators[name].iter_errors(value):
            rule = error.kind.name
            detail = str(error.kind.as_dict()["property"]) if rule == "required" else error.message[:_DETAIL_LIMIT]
            found.append(Problem(tuple(error.instance_path), rule, detail))
        return tuple(found)

    def _no_schema(self, name: str) -> ValueError:
        close = difflib.get_close_matches(str(name), self.schemas, n=1)
        hint = f": did you mean {close[0]!r}?" if close else ""
        return ValueError(
            f"expected a schema of contract {self.version}, out of {', '.join(self.schemas)}, got {name!r}{hint}"
        )

    def choices(self, name: str, field: str) -> tuple[str, ...]:
        """Return the values that the schema `name` allows for `field`, or () when it is no enumeration."""
        schema = self.schemas.get(name, {})
        return tuple(schema.get("properties", {}).get(field, {}).get("enum", ()))


@cache
def versions() -> tuple[str, ...]:
    """Return the names of the contract versions, oldest first."""
    return tuple(sorted(path.name for path in resources.folder("schemas").iterdir() if path.is_dir()))


@cache
def contract(version: str) -> Contract:
    """
    Return the contract of that version; built once.

    Raises:
        ValueError: there is no such version.
    """
    if version not in versions():
        raise ValueError(f"expected a contract version out of {', '.join(versions())}, got {version!r}")
    return Contract(version)
