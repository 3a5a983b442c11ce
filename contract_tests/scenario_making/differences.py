"""How a body differs from what the emulator would have sent, as the edits of the scenario language."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from mock_server.scenarios.editing import edited
from mock_server.scenarios.rules import Edit

_LARGEST_BODY = 16 * 1024
_CODINGS = ((b"\xef\xbb\xbf", "bom"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def decoded(body: bytes) -> tuple[str, str | None]:
    """Return a body as text, and the `coding` that makes these bytes of it; None is UTF-8."""
    for mark, coding in _CODINGS:
        if body.startswith(mark):
            try:
                return body.decode("utf-8-sig" if coding == "bom" else coding), coding
            except UnicodeDecodeError:
                break
    try:
        return body.decode(), None
    except UnicodeDecodeError:
        return body.decode("latin-1"), "latin-1"  # in which any bytes are a text


def whole(text: str) -> tuple[dict[str, Any], bool]:
    """Return the edit that puts a text in place of a body, and whether the text had to be cut."""
    return {"body": text[:_LARGEST_BODY]}, len(text) > _LARGEST_BODY


def edits(expected: Any, seen: Any) -> dict[str, Any]:
    """
    Return the `set`, `remove` and `rename` that make `seen` out of `expected`; a whole `body` where these cannot.

    Both are JSON values in which the same stand-in means the same.
    """
    if expected == seen:
        return {}
    if not isinstance(expected, dict) or not isinstance(seen, dict):
        return {"body": orjson.dumps(seen).decode()}
    renamed = dict(_renamed(expected, seen))
    for names in (renamed, {}):
        found = _edits(_with_names(expected, names), seen, names)
        if _applied(found, expected) == seen:
            return found
    return {"body": orjson.dumps(seen).decode()}


def _applied(found: Mapping[str, Any], expected: Any) -> Any:
    edit = Edit(
        set=copy.deepcopy(found.get("set", {})), remove=tuple(found.get("remove", ())), rename=found.get("rename", {})
    )
    return orjson.loads(edited(edit, orjson.dumps(expected)))


def _edits(expected: Any, seen: Any, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the edits that are needed besides the new `names`, which come last, so that pointers have the old ones."""
    old = {new: name for name, new in names.items()}
    put = {_pointer(path, old): value for path, value in _put(expected, seen, ())}
    gone = [_pointer(path, old) for path in _gone(expected, seen, ())]
    found: dict[str, Any] = {"set": put, "remove": gone, "rename": dict(names)}
    return {name: value for name, value in found.items() if value}


def _renamed(expected: Any, seen: Any) -> Iterator[tuple[str, str]]:
    """Yield fields that have another name, but the same value, which must be one that nobody has by chance."""
    if not isinstance(expected, dict) or not isinstance(seen, dict):
        return
    new = [name for name in seen if name not in expected]
    for name, value in expected.items():
        if name in seen:
            yield from _renamed(value, seen[name])
        elif value not in (None, "", [], {}):
            same = next((other for other in new if seen[other] == value), None)
            if same is not None:
                yield name, same


def _with_names(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {names.get(name, name): _with_names(inner, names) for name, inner in value.items()}
    return value


def _put(expected: Any, seen: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in seen.items():
        there = expected.get(name, ...)
        if isinstance(there, dict) and isinstance(value, dict):
            yield from _put(there, value, (*path, name))
        elif there is ... or there != value or type(there) is not type(value):
            yield (*path, name), value


def _gone(expected: Any, seen: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, value in expected.items():
        if name not in seen:
            yield (*path, name)
        elif isinstance(value, dict) and isinstance(seen[name], dict):
            yield from _gone(value, seen[name], (*path, name))


def _pointer(path: tuple[str, ...], old: Mapping[str, str]) -> str:
    return "".join(f"/{old.get(name, name).replace('~', '~0').replace('/', '~1')}" for name in path)
