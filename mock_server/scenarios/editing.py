"""Changes the body of an answer or a webhook as a scenario wants it. Pure."""

from __future__ import annotations

import gzip
import json
from typing import Any

import orjson

from mock_server.scenarios.rules import Edit

_BOM = b"\xef\xbb\xbf"


def edited(edit: Edit, body: bytes) -> bytes:
    """Return `body`, changed; one that is empty or no JSON has no fields to change."""
    if edit.body is not None:
        body = edit.body.encode("utf-8", "surrogatepass")
    if body and (edit.set or edit.remove or edit.rename):
        body = _with_other_fields(edit, body)
    return body if edit.coding is None else _coded(body, edit.coding)


def words(edit: Edit) -> list[str]:
    """Say what is changed, for a person."""
    parts = [
        "another body" if edit.body is not None else "",
        f"set {', '.join(edit.set)}" if edit.set else "",
        f"removed {', '.join(edit.remove)}" if edit.remove else "",
        f"renamed {', '.join(edit.rename)}" if edit.rename else "",
        edit.coding or "",
    ]
    return [part for part in parts if part]


def _with_other_fields(edit: Edit, body: bytes) -> bytes:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    for pointer in edit.remove:
        parent, name = _find(value, pointer)
        if isinstance(parent, dict):
            parent.pop(name, None)
    for pointer, new in edit.set.items():
        parent, name = _find(value, pointer)
        if isinstance(parent, dict):
            parent[name] = new
    return bytes(memoryview(orjson.dumps(_renamed(value, dict(edit.rename)))))


def _find(value: Any, pointer: str) -> tuple[Any, str]:
    """Return the object that holds what `pointer` names, and its name there; None where there is no such object."""
    *way, name = (part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
    for part in way:
        value = value.get(part) if isinstance(value, dict) else None
    return value, name


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {names.get(name, name): _renamed(inner, names) for name, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(inner, names) for inner in value]
    return value


def _pretty(body: bytes) -> bytes:
    """Return the same JSON in other bytes: spaced, its names in reverse order, ASCII alone."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    return json.dumps(_reversed(value), indent=2).encode()


def _reversed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _reversed(value[name]) for name in reversed(value)}
    return [_reversed(inner) for inner in value] if isinstance(value, list) else value


def _coded(body: bytes, coding: str) -> bytes:
    if coding == "gzip":
        # A time of its own would make the bytes differ from run to run.
        return gzip.compress(body, mtime=0)
    if coding == "bom":
        return _BOM + body
    if coding == "pretty":
        return _pretty(body)
    return body.decode("utf-8", "replace").encode(coding, "replace")
