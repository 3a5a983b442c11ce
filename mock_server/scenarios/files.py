"""Scenarios as files, in YAML or JSON: finding, reading, and watching them; errors name the line."""

from __future__ import annotations

import difflib
import json
import logging
import re
import time
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from mock_server import resources
from mock_server.errors import SettingsError
from mock_server.scenarios.problems import problems, short
from mock_server.scenarios.rules import Scenario, read_scenario

_LARGEST = 1024 * 1024
_TOO_LARGE = f"expected a scenario of at most {_LARGEST} bytes"
_MOST_PROBLEMS = 20
_LONGEST_WITH_LINES = 256 * 1024
_LOOK_SECONDS = 0.5
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
        raise ScenarioError(f"{short(name)}: expected a file, or the name of a ready-made scenario; {hint}")
    return load_scenario(path)


def load_scenario(path: Path) -> Scenario:
    """Return the scenario in a file; raises ScenarioError."""
    try:
        with path.open("rb") as file:
            # A device has no size and no end, so what is read is what counts.
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ScenarioError(f"{short(str(path))}: {_TOO_LARGE}")
        text = data.decode("utf-8")
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else error
        raise ScenarioError(f"{short(str(path))}: expected a readable file in UTF-8: {what}") from None
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
        found = list(islice(problems(data), _MOST_PROBLEMS))
    except ValueError as error:
        raise ScenarioError(f"{name}: expected names that are texts, and no deep nesting: {error}") from None
    if found:
        tree = _tree(text)
        raise ScenarioError("\n".join(dict.fromkeys(_worded(name, tree, path, words) for path, words in found)))
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
        raise ScenarioError(f"{name}{line}: expected YAML or JSON: {short(problem)}") from None
    except RecursionError:
        raise ScenarioError(f"{name}: expected a scenario, got something nested too deep") from None
    except (LookupError, ValueError) as error:  # a value that its tag does not allow, or a number of very many digits
        raise ScenarioError(f"{name}: expected YAML or JSON: {short(str(error))}") from None


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for name, value in pairs:
        if name in data:
            raise ValueError(f"{short(name)!r} stands twice in one place: delete one of them")
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


def _worded(name: str, tree: yaml.Node | None, path: list[str | int], message: str) -> str:
    line = _line(tree, path)
    return f"{name}{f':{line}' if line else ''}: at /{short('/'.join(map(str, path)))}: {message}"


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
