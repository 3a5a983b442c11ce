"""Reads what a user wants to be told, and how loud: from pyproject.toml, or from a file of TOML or JSON."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from contract_tests.findings import RULES, Policy, Severity
from mock_server.errors import SettingsError

PROJECT = "pyproject.toml"
_TABLE = "[tool.fluxmock.rules]"
_KINDS = list(dict.fromkeys(f"{rule.partition('/')[0]}/*" for rule in RULES))


def load(path: Path | None = None) -> Policy:
    """
    Return the policy in a file.

    In a pyproject.toml it is the table [tool.fluxmock.rules], which also any other file of TOML may have; else names
    and severities stand at the top: `"field/unknown" = "off"`, `"job/*" = "warning"`.

    Args:
        path: of the file; its name ends in .json for JSON. Without it, the nearest pyproject.toml that has a table of
            fluxmock is looked for, from the current folder upwards; where there is none, the policy is the usual one.

    Raises:
        SettingsError: the file cannot be read, or names a rule or a severity that there is not.
    """
    if path is None:
        return _from_project()
    data = _read(path)
    if isinstance(data, dict) and (path.name == PROJECT or "tool" in data):
        rules = _table(data).get("rules")
        if rules is None:
            raise SettingsError(f"{path}: expected a table {_TABLE}, got none: add it, or name another file")
        return _policy(rules, f"{path}: {_TABLE}")
    return _policy(data, str(path))


def _from_project() -> Policy:
    here = Path.cwd()
    for folder in (here, *here.parents):
        path = folder / PROJECT
        if path.is_file() and (table := _table(_read(path))):
            return _policy(table.get("rules", {}), f"{path}: {_TABLE}")
    return Policy()


def _table(data: dict[str, Any]) -> dict[str, Any]:
    tool = data.get("tool")
    table = tool.get("fluxmock") if isinstance(tool, dict) else None
    return table if isinstance(table, dict) else {}


def _read(path: Path) -> Any:
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: expected a readable file in UTF-8: {error}") from None
    try:
        if path.suffix.lower() == ".json":
            return json.loads(text, object_pairs_hook=_once)
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: expected TOML, where rule ids stand in quotes: {error}") from None
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: expected JSON: {error}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name!r} stands twice in one place: delete one of them")
    return dict(pairs)


def _policy(rules: object, where: str) -> Policy:
    if not isinstance(rules, dict):
        raise SettingsError(f'{where}: expected rules and severities such as "job/*" = "warning", got {rules!r}')
    problems = []
    for name, severity in rules.items():
        if name not in RULES and name not in _KINDS:
            hint = _known(name, (*RULES, *_KINDS))
            problems.append(f"{where}: {name!r}: no such rule; {hint}")
        elif severity not in list(Severity):
            hint = _known(severity, [one.value for one in Severity])
            problems.append(f"{where}: {name!r}: expected a severity, got {severity!r}; {hint}")
    if problems:
        raise SettingsError("\n".join(problems))
    return Policy({name: Severity(severity) for name, severity in rules.items()})


def _known(word: object, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(word).lower(), known := list(known), n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}there are {', '.join(known)}"
