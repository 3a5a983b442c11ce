"""Scenarios as files, in YAML or JSON: reading, and saying what is wrong and where."""

from __future__ import annotations

import difflib
import json
import logging
import time
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

from mock_server import resources
from mock_server.errors import SettingsError
from mock_server.scenarios.rules import Scenario, read_scenario

_LARGEST = 1024 * 1024
_LOOK_SECONDS = 0.5
_log = logging.getLogger("fluxmock.scenario")


class _Loader(yaml.SafeLoader):
    """
    YAML as JSON's superset: `on`, `no` and dates are texts, as anyone would think who does not know YAML 1.1.

    A name that stands twice is an error, not silently the later one.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in names:
                problem = f"{key.value!r} stands twice in one place: delete one of them"
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
            names.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in found
        if not (tag.endswith("timestamp") or (tag.endswith("bool") and first not in "tTfF"))
    ]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class ScenarioError(SettingsError):
    """A scenario that cannot be used; the text names the file, the line, what was expected and what came."""


def library() -> dict[str, Path]:
    """Return the ready-made scenarios, by name."""
    return {path.stem: path for path in sorted((resources.folder("fixtures") / "scenarios").glob("*.yaml"))}


def find_scenario(name: str) -> Scenario:
    """
    Return the scenario in the file `name`, or the ready-made one of that name.

    Raises:
        ScenarioError: there is none, or it cannot be used.
    """
    path, ready = Path(name), library()
    if name in ready:
        path = ready[name]
    elif not path.exists():
        close = difflib.get_close_matches(name, ready, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(ready)}"
        raise ScenarioError(f"{name}: expected a file, or the name of a ready-made scenario; {hint}")
    return load_scenario(path)


def load_scenario(path: Path) -> Scenario:
    """Return the scenario in a file; raises ScenarioError."""
    try:
        if path.stat().st_size > _LARGEST:
            raise ScenarioError(f"{path}: expected a scenario of at most {_LARGEST} bytes")
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: expected a readable file in UTF-8: {error}") from None
    return parse_scenario(text, str(path))


def parse_scenario(text: str, name: str = "scenario") -> Scenario:
    """
    Return the scenario that `text` describes; `name` stands in its errors.

    Raises:
        ScenarioError: it is no YAML, or no scenario.
    """
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - it is a safe one
        tree = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error)
        raise ScenarioError(f"{name}{line}: expected YAML or JSON: {problem}") from None
    except RecursionError:
        raise ScenarioError(f"{name}: expected a scenario, got something nested too deep") from None
    try:
        problems = [_word(name, tree, data, error) for error in _validator().iter_errors(data)]
    except ValueError as error:
        raise ScenarioError(f"{name}: expected names that are texts, and no deep nesting: {error}") from None
    if problems:
        raise ScenarioError("\n".join(dict.fromkeys(problems)))
    scenario = read_scenario(data)
    for index, rule in enumerate(scenario.rules):
        for what, span in (("calls", rule.calls), ("job", rule.job)):
            if span.first > span.last:
                place = f"{name}:{_line(tree, ['rules', index, what])}: at /rules/{index}/{what}"
                raise ScenarioError(f"{place}: no number lies in this range: swap its ends")
    return scenario


@cache
def ready_made(name: str) -> Scenario | None:
    """Return the ready-made scenario of that name, or None."""
    path = library().get(name)
    return None if path is None else load_scenario(path)


class WatchedScenario:
    """
    A scenario in a file that may be edited while it is played.

    Raises:
        ScenarioError: at the beginning, when it cannot be used. Later a bad edit is logged, and the old one stays.
    """

    def __init__(self, name: str) -> None:
        self._path = library().get(name, Path(name))
        self._scenario = find_scenario(name)
        self._seen = self._stamp()
        self._look_at = 0.0

    def __call__(self) -> Scenario:
        """Return the scenario as it stands in the file; looked at every half second at the most."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK_SECONDS
            self._look()
        return self._scenario

    def _look(self) -> None:
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._scenario = load_scenario(self._path)
            _log.warning("%s was read again", self._path)
        except ScenarioError as error:
            _log.warning("the scenario stays as it was before the edit: %s", error)

    def _stamp(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except OSError:
            return (0, 0)
        return (status.st_mtime_ns, status.st_size)


@cache
def _schema() -> Any:
    return resources.load("scenario.schema.json")


@cache
def _validator() -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(_schema(), validate_formats=True)


def _word(name: str, tree: yaml.Node | None, data: Any, error: jsonschema_rs.ValidationError) -> str:
    path, message = list(error.instance_path), error.message
    if error.schema_path[-1] == "oneOf" and isinstance(error.instance, dict) and "then" in error.instance:
        # Which alternative was meant is told by `on`; its own errors say more than that none fits.
        path, message = _about_then(path, error.instance) or (path, message)
    elif error.kind.name == "additionalProperties":
        message = _about_names(message, error.instance, path)
    message = _like(path, data) or message
    line = _line(tree, path)
    return f"{name}{f':{line}' if line else ''}: at /{'/'.join(map(str, path))}: {message[:400]}"


def _about_then(path: list[str | int], rule: dict[str, Any]) -> tuple[list[str | int], str] | None:
    definitions = _schema()["$defs"]
    part = {"job": "fate", "hook": "delivery"}.get(str(rule.get("on")), "answer")
    schema = {**definitions[part], "$defs": definitions}
    for error in jsonschema_rs.Draft202012Validator(schema).iter_errors(rule["then"]):
        message = error.message
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


def _unknown(message: str, value: Any, known: dict[str, Any]) -> str:
    for name in value:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
            return f"{name!r} is unknown; {hint}"
    return message


def _line(node: yaml.Node | None, path: list[str | int]) -> int | None:
    """Return the line, counted from 1, on which the value at `path` begins, or as far as there is one."""
    line = None
    for step in path:
        found = None
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == step), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            found = (node.value[step], node.value[step])
        if found is None:
            break
        line = found[0].start_mark.line + 1
        node = found[1]
    return line
