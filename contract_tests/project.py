"""Reads a table of [tool.fluxmock] from pyproject.toml, or from a file of TOML or JSON."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mock_server.errors import SettingsError

_PROJECT = "pyproject.toml"
_TABLES = ("rules", "client")


def table(name: str, path: Path | None = None) -> tuple[Any, str]:
    """
    Return what a user has set, and where it stands, for messages.

    Args:
        name: of the table; `rules` is [tool.fluxmock.rules].
        path: of a file; its name ends in .json for JSON. In a pyproject.toml, and in any other file that has a table
            `tool`, the table is looked for; else it is all of the file. Without a path it is that of the nearest
            pyproject.toml that has a table of fluxmock, from the current folder upwards; where there is none, {}.

    Raises:
        SettingsError: the file cannot be read, or has no such table; or the project has one that nobody reads.
    """
    full = f"[tool.fluxmock.{name}]"
    if path is None:
        return _from_project(name, full)
    data = _read(path)
    if isinstance(data, dict) and (path.name == _PROJECT or "tool" in data):
        found = _ours(data).get(name)
        if found is None:
            raise SettingsError(f"{path}: expected a table {full}, got none: add it, or name another file")
        return found, f"{path}: {full}"
    return data, str(path)


def known(word: object, names: Iterable[str]) -> str:
    """Return which name may have been meant by `word`, and which names there are."""
    names = list(names)
    close = difflib.get_close_matches(str(word).lower(), names, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}there are {', '.join(names)}"


def _from_project(name: str, full: str) -> tuple[Any, str]:
    here = Path.cwd()
    for folder in (here, *here.parents):
        path = folder / _PROJECT
        if path.is_file() and (ours := _ours(_read(path))):
            for other, value in ours.items():
                if isinstance(value, dict) and other not in _TABLES:
                    raise SettingsError(f"{path}: [tool.fluxmock.{other}]: no such table; {known(other, _TABLES)}")
            return ours.get(name, {}), f"{path}: {full}"
    return {}, full


def _ours(data: dict[str, Any]) -> dict[str, Any]:
    tool = data.get("tool")
    ours = tool.get("fluxmock") if isinstance(tool, dict) else None
    return ours if isinstance(ours, dict) else {}


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
