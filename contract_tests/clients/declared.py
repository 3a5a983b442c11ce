"""Reads what a user declares about a client: [tool.fluxmock.client] of pyproject.toml, or a file of its own."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

from contract_tests.clients.properties.base import Policy
from contract_tests.project import known, table
from mock_server.errors import SettingsError

_KINDS = {
    bool: "true or false",
    int: "a whole number, 0 or more",
    float: "a number, 0 or more",
    str: "a text",
}


def load(path: Path | None = None) -> Policy:
    """
    Return what is declared in a file.

    Args:
        path: of a pyproject.toml, or of a file of TOML or JSON with the fields of `Policy` at its top. Without it, the
            nearest pyproject.toml that has a table of fluxmock is looked for; where there is none, nothing is declared.

    Raises:
        SettingsError: the file cannot be read, or has a field that there is not, or a value of another type.
    """
    found, where = table("client", path)
    return policy_of(found, where)


def policy_of(found: object, where: str) -> Policy:
    """Return what is declared; raises SettingsError, which says that it was read at `where`."""
    if not isinstance(found, Mapping):
        raise SettingsError(f"{where}: expected names and values such as deadline = 300, got {found!r}")
    hints = get_type_hints(Policy)
    names = [field.name for field in dataclasses.fields(Policy)]
    problems = []
    for name, value in found.items():
        if name not in names:
            problems.append(f"{where}: {name!r}: nothing of that name can be declared; {known(name, names)}")
        elif not _fits(value, hints[name]):
            problems.append(f"{where}: {name}: expected {_words(hints[name])}, got {value!r}")
    if problems:
        raise SettingsError("\n".join(problems))
    try:
        return Policy(**found)
    except ValueError as error:
        raise SettingsError(f"{where}: {error}") from None


def _fits(value: object, hint: Any) -> bool:
    kinds = get_args(hint) or (hint,)
    if isinstance(value, bool | str):
        return type(value) in kinds
    if isinstance(value, int) and (int in kinds or float in kinds):
        return value >= 0
    if isinstance(value, float) and float in kinds:
        return math.isfinite(value) and value >= 0
    return value is None and type(None) in kinds


def _words(hint: Any) -> str:
    return " or ".join(_KINDS[kind] for kind in get_args(hint) or (hint,) if kind in _KINDS)
