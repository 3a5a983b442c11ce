"""Reads our own format: JSON Lines, one exchange or webhook a line, as `schemas/recording.schema.json` says."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema_rs
import orjson

from contract_tests.exchanges import Endpoint, Exchange, Part, Place, Recorded, Trouble
from contract_tests.readers import body, journal
from contract_tests.readers.contents import Misfit, from_base64, headers_of, kind_of
from contract_tests.readers.sources import LIMIT, Broken, Chunks
from mock_server import resources

_CLUMSY = (KeyError, TypeError, AttributeError, ValueError)
# What it costs to trust a line: whichever of these comes, the schema finds the words.
_MOST_NAMES = 10_000

_lower_names: set[tuple[str, ...]] = set()


def read(name: str, chunks: Chunks, endpoint: Endpoint | None = None) -> Recorded:
    """Read the lines of the file `name`; with an `endpoint`, a line may also be a body of it."""
    number = count = 0
    loads, new = orjson.loads, tuple.__new__
    try:
        for batch in _batches(chunks):
            for line in batch:
                count += 1
                if line is None:
                    yield Trouble(Place(name, number, count), f"the line is longer than {LIMIT >> 20} MiB")
                    continue
                try:
                    value = loads(line)
                except orjson.JSONDecodeError as error:
                    if line and not line.isspace():
                        yield Trouble(Place(name, number, count), f"expected a line of JSON: {error}")
                    continue
                number += 1
                place = new(Place, (name, number, count))
                try:
                    yield _exchange(place, value)
                except _CLUMSY:
                    yield from _otherwise(place, value, line, endpoint)
    except Broken as error:
        yield Trouble(Place(name, number, count + 1), f"the rest cannot be read: {error}")


def read_line(place: Place, line: bytes) -> Recorded:
    """Read one line by itself."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        yield Trouble(place, f"expected JSON: {error}")
        return
    try:
        yield _exchange(place, value)
    except _CLUMSY:
        yield from _otherwise(place, value, line, None)


def _batches(chunks: Chunks) -> Iterator[list[bytes | None]]:
    """Cut into lines; None stands for one that is too long, which is never held whole."""
    pieces: list[bytes] = []
    size = 0
    try:
        for chunk in chunks:
            first, newline, rest = chunk.partition(b"\n")
            size += len(first)
            pieces.append(first)
            if size > LIMIT:
                pieces.clear()
            if newline:
                lines: list[bytes | None] = [None if size > LIMIT else b"".join(pieces), *rest.split(b"\n")]
                last = lines.pop() or b""
                pieces, size = [last], len(last)
                yield lines
    except Broken:
        # What a break leaves may be the whole of the last line, without its end.
        if size and size <= LIMIT and _is_json(b"".join(pieces)):
            yield [b"".join(pieces)]
        raise
    if size:
        yield [None if size > LIMIT else b"".join(pieces)]


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _exchange(place: Place, value: Any) -> Exchange:
    """Return the exchange on a line. This is the hot path: it trusts what it can, and fails where it cannot."""
    request, kind = value["request"], value["kind"]
    if value["version"] != 1 or (kind != "exchange" and kind != "hook"):
        raise ValueError
    method, url = request["method"], request["url"]
    if type(url) is not str or type(method) is not str:
        raise TypeError
    text = request.get("body")
    sent = _from_base64(request) if text is None else text.encode()
    parts = request.get("parts")
    status = received = None
    headers: dict[str, str] = {}
    response = value.get("response")
    if response is not None:
        status = response["status"]
        if type(status) is not int:
            raise TypeError
        headers = _headers(response.get("headers"))
        text = response.get("body")
        received = _from_base64(response) if text is None else text.encode()
    endpoint = Endpoint.CALLBACK if kind == "hook" else value.get("endpoint")
    at, elapsed = value.get("at"), value.get("elapsed")
    return tuple.__new__(
        Exchange,
        (
            place,
            method,
            url,
            _headers(request.get("headers")),
            sent,
            None if parts is None else tuple(map(_part, parts)),
            status,
            headers,
            received,
            at if type(at) is float else _number(at),
            elapsed if type(elapsed) is float else _number(elapsed),
            value.get("error") or "",
            endpoint and Endpoint(endpoint),
            (),
        ),
    )


def _headers(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    "".join(value.values())  # fails, and fast, unless all are texts
    names = tuple(value)
    if names in _lower_names:
        return value  # type: ignore[no-any-return]
    if all(name == name.lower() for name in names):
        if len(_lower_names) < _MOST_NAMES:
            _lower_names.add(names)
        return value  # type: ignore[no-any-return]
    return headers_of(value)


def _from_base64(message: dict[str, Any]) -> bytes | None:
    text = message.get("body_base64")
    return None if text is None else from_base64(text)


def _part(value: Any) -> Part:
    part = Part(
        value["name"],
        value.get("text"),
        value.get("filename"),
        value.get("content_type", ""),
        value.get("size", 0),
    )
    if type(part.size) is not int:
        raise TypeError
    "".join((part.name, part.text or "", part.filename or "", part.content_type))
    return part


def _number(value: Any) -> float | None:
    if value is not None and type(value) is not float and type(value) is not int:
        raise TypeError
    return value


def _otherwise(place: Place, value: Any, line: bytes, endpoint: Endpoint | None) -> Iterator[Exchange | Trouble]:
    """Return what a line is that is none of ours: an entry of a journal, a lone body, or a mistake."""
    if not isinstance(value, dict):
        yield Trouble(place, f"expected an object, got {kind_of(value)}")
    elif journal.is_entry(value):
        try:
            yield from journal.entry_of(place, value)
        except Misfit as error:
            yield Trouble(place, str(error))
    elif endpoint is not None and "request" not in value:
        yield body.exchange_of(place, line, endpoint)
    else:
        yield Trouble(place, _mistake(value))


def _mistake(value: dict[str, Any]) -> str:
    if "request" not in value and "kind" not in value:
        return "expected a recorded exchange with version, kind and request, got another object"
    error = next(_validator().iter_errors(value), None)
    if error is None:
        return "expected bodies in base64 as RFC 4648 writes it, got something else"
    where = "/".join(map(str, error.instance_path))
    return f"expected a recorded exchange: {where and f'at /{where}, '}{error.message}"


@cache
def _validator() -> jsonschema_rs.Draft202012Validator:
    # The mask stands for values in its messages: what was recorded is never shown.
    return jsonschema_rs.Draft202012Validator(resources.load("recording.schema.json"), mask="the value")
