"""What is wrong with the data of a scenario, where, and what could stand there instead."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
from collections.abc import Collection, Iterator
from functools import cache
from typing import Any

import jsonschema_rs

from mock_server import resources
from mock_server.errors import SettingsError
from mock_server.scenarios.rules import read_pattern
from mock_server.settings import Settings

_LONGEST_QUOTE = 120
_LONGEST_WORDS = 300
_DEEPEST = 100
_SETTINGS = tuple(field.name for field in dataclasses.fields(Settings))

Problem = tuple[list[str | int], str]
"""Where in the data it is, step by step, and what is wrong there, for a person."""


def problems(data: Any) -> Iterator[Problem]:
    """Yield what is wrong with `data`, and where."""
    sound = True
    for error in _validator().iter_errors(data):
        sound = False
        yield _word(data, error)
    if sound:
        yield from _unwritable(data, [])
        yield from _meaningless(data)


def _unwritable(value: Any, path: list[str | int]) -> Iterator[Problem]:
    """Yield what could not be written into a body; a whole one may well be text that is no Unicode."""
    if len(path) > _DEEPEST:
        yield path[:_DEEPEST], f"expected values that are nested at most {_DEEPEST} deep"
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _unwritable(name, path)
            yield from _unwritable(inner, [*path, name])
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _unwritable(inner, [*path, index])
    elif isinstance(value, int) and not -(2**63) <= value < 2**64:
        yield path, f"expected a whole number of at most 64 bits, got {short(str(value))}"
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, f"expected a number that JSON has, got {value}"
    elif isinstance(value, str) and not (len(path) == 4 and path[-1] == "body"):
        try:
            value.encode()
        except UnicodeEncodeError:
            yield path, "expected text in Unicode, got half of a surrogate pair"


def _meaningless(data: dict[str, Any]) -> Iterator[Problem]:
    """Yield what the schema lets pass although it cannot be played."""
    for name, value in data.get("settings", {}).items():
        if name not in _SETTINGS:
            yield ["settings", name], _unknown("", [name], _SETTINGS)
            continue
        try:
            Settings.of(**{name: value})
        except SettingsError as error:
            yield ["settings", name], short(str(error), _LONGEST_WORDS)
    for index, rule in enumerate(data["rules"]):
        scope: list[str | int] = ["rules", index]
        if "state" in rule and rule["on"] != "fetch":
            yield [*scope, "state"], f"expected on: fetch, which alone sees states; got on: {rule['on']}"
        pattern = rule.get("where", {}).get("prompt_pattern")
        if pattern is not None:
            try:
                read_pattern(pattern)
            except ValueError as error:
                yield [*scope, "where", "prompt_pattern"], short(str(error), _LONGEST_WORDS)
        for what in ("calls", "job"):
            ends = rule.get(what)
            first, last = (ends.get("from", 1), ends.get("to")) if isinstance(ends, dict) else (0, None)
            if isinstance(ends, list):
                first, last = ends
            if last is not None and first > last:
                yield [*scope, what], "no number lies in this range: swap its ends"


@cache
def _schema() -> Any:
    return resources.load("scenario.schema.json")


@cache
def _validator() -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(_schema(), validate_formats=True)


def _word(data: Any, error: jsonschema_rs.ValidationError) -> Problem:
    path, message = list(error.instance_path), short(error.message)
    if error.schema_path[-1] == "oneOf" and isinstance(error.instance, dict) and "then" in error.instance:
        # Which alternative was meant is told by `on`; its own errors say more than that none fits.
        path, message = _about_then(path, error.instance) or (path, message)
    elif error.kind.name == "additionalProperties":
        message = _about_names(message, error.instance, path)
    return path, _like(path, data) or message


def _about_then(path: list[str | int], rule: dict[str, Any]) -> tuple[list[str | int], str] | None:
    definitions = _schema()["$defs"]
    part = {"job": "fate", "hook": "delivery"}.get(str(rule.get("on")), "answer")
    schema = {**definitions[part], "$defs": definitions}
    for error in jsonschema_rs.Draft202012Validator(schema).iter_errors(rule["then"]):
        message = short(error.message)
        if error.kind.name == "propertyNames" and list(error.instance_path) == ["headers"]:
            message = "expected names of headers, but not Content-Length or Transfer-Encoding, which `wire` is about"
        elif error.kind.name == "additionalProperties":
            inner = definitions["wire"] if list(error.instance_path) == ["wire"] else schema
            message = _unknown(message, error.instance, inner["properties"])
        return [*path, "then", *error.instance_path], message
    return None


def _like(path: list[str | int], data: Any) -> str | None:
    """Say what could stand at `path` where that can be written in several ways, which the validator does not show."""
    if len(path) < 3 or (path[-1] == "delay" and data["rules"][path[1]].get("on") == "hook"):
        return None
    definitions = _schema()["$defs"]
    ways = {"job": definitions["rule"]["properties"]["job"], **definitions}
    way = ways[path[-1]] if path[-1] in {"job", "calls", "delay"} else {}
    if not way:
        return None
    for step in path:
        data = data[step]
    examples = ", ".join(json.dumps(example) for example in way["examples"])
    return f"expected one like {examples}; got {json.dumps(data, default=str)[:100]}"


def _about_names(message: str, value: Any, path: list[str | int]) -> str:
    schema, definitions = _schema(), _schema()["$defs"]
    part = schema if not path else definitions.get({"where": "where"}.get(str(path[-1]), "rule"))
    return _unknown(message, value, part["properties"])


def _unknown(message: str, value: Any, known: Collection[str]) -> str:
    for name in value:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
            return f"{short(name)!r} is unknown; {hint}"
    return message


def short(text: str, longest: int = _LONGEST_QUOTE) -> str:
    """Return `text` without its middle where it is long: whatever a file holds must not come out in an error."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]} ... {text[-half:]}"
