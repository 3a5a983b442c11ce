"""Reads cassettes of VCR.py, in YAML and in JSON."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any

import yaml

from contract_tests.exchanges import Exchange, Place, Recorded, Trouble
from contract_tests.readers.contents import (
    Misfit,
    Packed,
    from_base64,
    get,
    headers_of,
    kind_of,
    need,
    status_of,
    unpacked,
)
from contract_tests.readers.cutting import read_array
from contract_tests.readers.sources import LIMIT, Broken, Chunks

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_DEEPEST = 100


def read_json(name: str, chunks: Chunks) -> Recorded:
    """Read a cassette that was kept with the JSON serializer."""
    return read_array(name, chunks, ("interactions",), _interaction)


def read_yaml(name: str, chunks: Chunks) -> Recorded:
    """Read a cassette in YAML, interaction by interaction."""
    number = 0
    tape = _Tape(chunks)
    try:
        for line, value in tape.interactions():
            number += 1
            place = Place(name, number, line)
            try:
                yield from _interaction(place, value)
            except Misfit as error:
                yield Trouble(place, str(error))
    except Broken as error:
        yield Trouble(Place(name, number, tape.line), f"the rest cannot be read: {error}")
    except yaml.YAMLError as error:
        # The text of the error itself would show what stands there.
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "this is none"
        yield Trouble(Place(name, number, _line(error, tape)), f"the rest cannot be read: expected YAML: {problem}")


def _line(error: yaml.YAMLError, tape: _Tape) -> int:
    mark = getattr(error, "problem_mark", None)
    return tape.line if mark is None else int(mark.line) + 1


def _interaction(place: Place, value: Any) -> Iterator[Exchange | Trouble]:
    request, response = need(value, "request", dict), get(value, "response", dict, {})
    headers = headers_of(response.get("headers"))
    status: object = response.get("status", response.get("status_code"))
    body = _body(response["content"] if "content" in response else response.get("body"))
    try:
        body = unpacked(body, headers)
    except Packed as error:
        yield Trouble(place, f"{error}; the body is left out")
        body = None
    yield Exchange(
        place=place,
        method=need(request, "method", str).upper(),
        url=need(request, "uri", str),
        request_headers=headers_of(request.get("headers")),
        request_body=_body(request.get("body")),
        status=status_of(status.get("code") if isinstance(status, dict) else status),
        response_headers=headers,
        response_body=body,
    )


def _body(value: Any) -> bytes | None:
    if isinstance(value, dict):
        if value.get("base64_string") is not None:
            return from_base64(need(value, "base64_string", str))
        value = value.get("string")
    if value is None or isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise Misfit(f"body: expected a text, got {kind_of(value)}")
    return value.encode("utf-8", "replace")


class _Tape:
    """Builds values from the events of a YAML stream, so that no more than one interaction is held."""

    def __init__(self, chunks: Chunks) -> None:
        self.line = 0
        self._loader = _Loader(_File(chunks))
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._size = self._anchored = 0

    def interactions(self) -> Iterator[tuple[int, Any]]:
        found = False
        self._next(yaml.StreamStartEvent)
        self._next(yaml.DocumentStartEvent)
        self._next(yaml.MappingStartEvent)
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if getattr(event, "value", None) != "interactions":
                self._value(event)
                self._value(self._next())
                continue
            found = True
            event = self._next()
            if not isinstance(event, yaml.SequenceStartEvent):
                self._value(event)
                continue
            while not isinstance(event := self._next(), yaml.SequenceEndEvent):
                line, self._size = self.line, 0
                yield line, self._value(event)
        if not found:
            raise Broken("expected interactions, found none")

    def _next(self, kind: type[yaml.Event] = yaml.Event) -> Any:
        event: Any = self._loader.get_event()
        if not isinstance(event, kind):
            raise Broken("expected a cassette, which is a mapping with interactions")
        mark: Any = event.start_mark
        self.line = mark.line + 1
        return event

    def _value(self, event: Any, depth: int = 0) -> Any:
        if depth > _DEEPEST:
            raise Broken(f"it is nested more than {_DEEPEST} levels deep")
        if isinstance(event, yaml.AliasEvent):
            value, size = self._anchors.get(str(event.anchor), (None, -1))
            if size < 0:
                raise Broken("it refers to an anchor that is not there")
            self._count(size)
            return value
        before = self._size
        self._count(1)
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
            self._count(len(event.value))
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
            while not isinstance(inner := self._next(), yaml.SequenceEndEvent):
                value.append(self._value(inner, depth + 1))
        else:
            value = {}
            while not isinstance(inner := self._next(), yaml.MappingEndEvent):
                name = self._value(inner, depth + 1)
                if not isinstance(name, str):
                    raise Broken("expected a text as a name")
                value[name] = self._value(self._next(), depth + 1)
        if event.anchor is not None:
            self._anchored += self._size - before
            if self._anchored > LIMIT:
                raise Broken(f"its anchors hold more than {LIMIT >> 20} MiB: convert it to JSON Lines")
            self._anchors[event.anchor] = (value, self._size - before)
        return value

    def _count(self, size: int) -> None:
        # What an alias stands for counts every time, or a small file could stand for a huge value.
        self._size += size
        if self._size > LIMIT:
            raise Broken(f"an interaction is longer than {LIMIT >> 20} MiB: convert the cassette to JSON Lines")


def _scalar(event: yaml.ScalarEvent) -> str | bytes | None:
    # Whatever is not quoted stays a text, but null: nothing in a cassette needs another type.
    if event.tag is not None and event.tag.endswith("binary"):
        try:
            return base64.b64decode(event.value)
        except (binascii.Error, ValueError):
            raise Broken("expected binary data in base64, got something else") from None
    return None if event.implicit[0] and event.value in _NULLS else str(event.value)


class _File:
    """What PyYAML reads from."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int) -> bytes:
        if not self._rest:
            self._rest = next(self._chunks, b"")
        data, self._rest = self._rest[:size], self._rest[size:]
        return data
