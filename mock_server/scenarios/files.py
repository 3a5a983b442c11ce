"""Scenarios as files, in YAML or JSON: reading, and saying what is wrong and where."""

from __future__ import annotations

import dataclasses
import difflib
import json
import logging
import math
import re
import time
from collections.abc import Collection, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

from mock_server import resources
from mock_server.errors import SettingsError
from mock_server.scenarios.rules import Scenario, read_pattern, read_scenario
from mock_server.settings import Settings

_LARGEST = 1024 * 1024
_TOO_LARGE = f"expected a scenario of at most {_LARGEST} bytes"
_LONGEST_QUOTE = 120
_LONGEST_WORDS = 300
_MOST_PROBLEMS = 20
_DEEPEST = 100
_LONGEST_WITH_LINES = 256 * 1024
_LOOK_SECONDS = 0.5
_SETTINGS = tuple(field.name for field in dataclasses.fields(Settings))
_log = logging.getLogger("fluxmock.scenario")


class _Loader(yaml.SafeLoader):
    """
    YAML as JSON's superset: `on`, `no`, `16:9`, `010` and dates are texts, as anyone would think who does not know 1.1.

    A name that stands twice is an error, not silently the later one. So is what JSON has no type for.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value in names:
                problem = f"{key.value!r} stands twice in one place: delete one of them"
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
            names.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)


_TAG = "tag:yaml.org,2002:"
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in found
        if tag in {f"{_TAG}null", f"{_TAG}merge"} or (tag == f"{_TAG}bool" and first in "tTfF")
    ]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(f"{_TAG}int", re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    f"{_TAG}float",
    re.compile(
        r"(?:[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
    ),
    list("-+.0123456789"),
)
_Loader.yaml_constructors = {
    tag: construct
    for tag, construct in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.removeprefix(_TAG) in {"null", "bool", "int", "float", "str", "seq", "map"}
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
    elif not _exists(path):
        close = difflib.get_close_matches(name, ready, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(ready)}"
        raise ScenarioError(f"{_short(name)}: expected a file, or the name of a ready-made scenario; {hint}")
    return load_scenario(path)


def load_scenario(path: Path) -> Scenario:
    """Return the scenario in a file; raises ScenarioError."""
    try:
        with path.open("rb") as file:
            # A device has no size and no end, so what is read is what counts.
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ScenarioError(f"{_short(str(path))}: {_TOO_LARGE}")
        text = data.decode("utf-8")
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else error
        raise ScenarioError(f"{_short(str(path))}: expected a readable file in UTF-8: {what}") from None
    return parse_scenario(text, str(path))


def parse_scenario(text: str, name: str = "scenario") -> Scenario:
    """
    Return the scenario that `text` describes; `name` stands in its errors.

    Raises:
        ScenarioError: it is no YAML and no JSON, or no scenario.
    """
    return read_scenario(parse_data(text, name))


def parse_data(text: str, name: str = "scenario") -> dict[str, Any]:
    """Return what `text` says as data that `read_scenario` takes; the arguments and errors are `parse_scenario`'s."""
    if len(text) > _LARGEST:
        raise ScenarioError(f"{name}: {_TOO_LARGE}")
    data: dict[str, Any] = _parsed(text, name)
    try:
        problems = list(islice(_problems(data), _MOST_PROBLEMS))
    except ValueError as error:
        raise ScenarioError(f"{name}: expected names that are texts, and no deep nesting: {error}") from None
    if problems:
        tree = _tree(text)
        raise ScenarioError("\n".join(dict.fromkeys(_worded(name, tree, path, words) for path, words in problems)))
    return data


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # the name is too long to be one
        return False


def _parsed(text: str, name: str) -> Any:
    """Return the data in `text`, which is JSON if it can be: YAML 1.1 reads some JSON otherwise, or not at all."""
    try:
        if text.lstrip("\ufeff \t\r\n").startswith("{"):
            try:
                return json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_named_once, parse_constant=_no_number)
            except json.JSONDecodeError:
                pass  # mappings of YAML may begin with a brace, too
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - it is a safe one
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error)
        raise ScenarioError(f"{name}{line}: expected YAML or JSON: {_short(problem)}") from None
    except RecursionError:
        raise ScenarioError(f"{name}: expected a scenario, got something nested too deep") from None
    except (LookupError, ValueError) as error:  # a value that its tag does not allow, or a number of very many digits
        raise ScenarioError(f"{name}: expected YAML or JSON: {_short(str(error))}") from None


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for name, value in pairs:
        if name in data:
            raise ValueError(f"{_short(name)!r} stands twice in one place: delete one of them")
        data[name] = value
    return data


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def _tree(text: str) -> yaml.Node | None:
    """Return what knows the lines; None when YAML 1.1 cannot read it as it is JSON, or when that took seconds."""
    if len(text) > _LONGEST_WITH_LINES:
        return None
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError):
        return None
    return node


_Problem = tuple[list[str | int], str]


def _problems(data: Any) -> Iterator[_Problem]:
    """Yield what is wrong with `data`, and where."""
    sound = True
    for error in _validator().iter_errors(data):
        sound = False
        yield _word(data, error)
    if sound:
        yield from _unwritable(data, [])
        yield from _meaningless(data)


def _unwritable(value: Any, path: list[str | int]) -> Iterator[_Problem]:
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
        yield path, f"expected a whole number of at most 64 bits, got {_short(str(value))}"
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, f"expected a number that JSON has, got {value}"
    elif isinstance(value, str) and not (len(path) == 4 and path[-1] == "body"):
        try:
            value.encode()
        except UnicodeEncodeError:
            yield path, "expected text in Unicode, got half of a surrogate pair"


def _meaningless(data: dict[str, Any]) -> Iterator[_Problem]:
    """Yield what the schema lets pass although it cannot be played."""
    for name, value in data.get("settings", {}).items():
        if name not in _SETTINGS:
            yield ["settings", name], _unknown("", [name], _SETTINGS)
            continue
        try:
            Settings.of(**{name: value})
        except SettingsError as error:
            yield ["settings", name], _short(str(error), _LONGEST_WORDS)
    for index, rule in enumerate(data["rules"]):
        scope: list[str | int] = ["rules", index]
        if "state" in rule and rule["on"] != "fetch":
            yield [*scope, "state"], f"expected on: fetch, which alone sees states; got on: {rule['on']}"
        pattern = rule.get("where", {}).get("prompt_pattern")
        if pattern is not None:
            try:
                read_pattern(pattern)
            except ValueError as error:
                yield [*scope, "where", "prompt_pattern"], _short(str(error), _LONGEST_WORDS)
        for what in ("calls", "job"):
            ends = rule.get(what)
            first, last = (ends.get("from", 1), ends.get("to")) if isinstance(ends, dict) else (0, None)
            if isinstance(ends, list):
                first, last = ends
            if last is not None and first > last:
                yield [*scope, what], "no number lies in this range: swap its ends"


def ready_made(name: str) -> Scenario | None:
    """Return the ready-made scenario of that name, or None."""
    return _loaded(name) if name in _names() else None


@cache
def _names() -> frozenset[str]:
    return frozenset(library())


@cache
def _loaded(name: str) -> Scenario:
    return load_scenario(library()[name])


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


def _word(data: Any, error: jsonschema_rs.ValidationError) -> _Problem:
    path, message = list(error.instance_path), _short(error.message)
    if error.schema_path[-1] == "oneOf" and isinstance(error.instance, dict) and "then" in error.instance:
        # Which alternative was meant is told by `on`; its own errors say more than that none fits.
        path, message = _about_then(path, error.instance) or (path, message)
    elif error.kind.name == "additionalProperties":
        message = _about_names(message, error.instance, path)
    return path, _like(path, data) or message


def _worded(name: str, tree: yaml.Node | None, path: list[str | int], message: str) -> str:
    line = _line(tree, path)
    return f"{name}{f':{line}' if line else ''}: at /{_short('/'.join(map(str, path)))}: {message}"


def _short(text: str, longest: int = _LONGEST_QUOTE) -> str:
    """Return `text` without its middle where it is long: whatever a file holds must not come out in an error."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]} ... {text[-half:]}"


def _about_then(path: list[str | int], rule: dict[str, Any]) -> tuple[list[str | int], str] | None:
    definitions = _schema()["$defs"]
    part = {"job": "fate", "hook": "delivery"}.get(str(rule.get("on")), "answer")
    schema = {**definitions[part], "$defs": definitions}
    for error in jsonschema_rs.Draft202012Validator(schema).iter_errors(rule["then"]):
        message = _short(error.message)
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
            return f"{_short(name)!r} is unknown; {hint}"
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
