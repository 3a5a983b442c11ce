"""Reads our own format: JSON Lines, one exchange or webhook a line, as `schemas/recording.schema.json` says."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Literal

import jsonschema_rs
import msgspec
import orjson

from contract_tests.exchanges import CALLBACK, Endpoint, Exchange, Part, Place, Recorded, Trouble
from contract_tests.readers import body, journal
from contract_tests.readers.contents import Misfit, from_base64, headers_of, kind_of
from contract_tests.readers.sources import LIMIT, Broken, Chunks
from mock_server import resources

_UNFIT = (msgspec.MsgspecError, ValueError, RecursionError)
# Whichever of these a line gives, it is looked at again, and slowly.
_MOST_NAMES = 10_000

_Int = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
# What can be written again.

_lower_names: set[tuple[str, ...]] = set()
_new = tuple.__new__


# What the schema says, for a decoder that checks it on the way and takes half the time of reading and asking. None of
# them holds what refers to it, so the garbage collector need not look at them.


class _Part(msgspec.Struct, gc=False):
    name: str
    text: str | None = None
    filename: str | None = None
    content_type: str = ""
    size: _Int = 0


class _Response(msgspec.Struct, gc=False):
    status: _Int
    headers: dict[str, str] | None = None
    body: str | None = None
    body_base64: str | None = None


class _Request(msgspec.Struct, gc=False):
    method: str
    url: str
    headers: dict[str, str] | None = None
    body: str | None = None
    body_base64: str | None = None
    parts: list[_Part] | None = None


class _Line(msgspec.Struct, gc=False):
    version: Literal[1]
    kind: Literal["exchange", "hook"]
    request: _Request
    response: _Response | None = None
    endpoint: Endpoint | None = None
    at: float | None = None
    elapsed: float | None = None
    error: str | None = None


_decoded = msgspec.json.Decoder(_Line).decode


def read(name: str, chunks: Chunks, endpoint: Endpoint | None = None) -> Recorded:
    """Read the lines of the file `name`; with an `endpoint`, a line may also be a body of it."""
    number = count = 0
    try:
        for batch in _batches(chunks):
            for line in batch:
                count += 1
                if line is None:
                    yield Trouble(Place(name, number, count), f"the line is longer than {LIMIT >> 20} MiB")
                    continue
                try:
                    exchange = _exchange(name, number + 1, count, _loaded(line))
                except _UNFIT:
                    if line and not line.isspace():
                        number += _is_json(line)
                        yield from _otherwise(Place(name, number, count), line, endpoint, "a line of JSON")
                    continue
                number += 1
                yield exchange
    except Broken as error:
        yield Trouble(Place(name, number, count + 1), f"the rest cannot be read: {error}")


def read_line(place: Place, line: bytes) -> Recorded:
    """Read one line by itself."""
    try:
        exchange = _exchange(*place, _loaded(line))
    except _UNFIT:
        yield from _otherwise(place, line)
    else:
        yield exchange


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


def _loaded(line: bytes) -> _Line:
    if not line.isascii():
        line.decode()  # for the decoder does not look at what it passes over
    return _decoded(line)


def _exchange(file: str, number: int, count: int, line: _Line) -> Exchange:
    """Return the exchange on a line."""
    request, response = line.request, line.response
    text, received, status = request.body, None, None
    sent = _from_base64(request) if text is None else text.encode()
    headers: dict[str, str] = {}
    if response is not None:
        text, status, headers = response.body, response.status, _headers(response.headers)
        received = _from_base64(response) if text is None else text.encode()
    return Exchange(
        _new(Place, (file, number, count)),  # half the price of calling the class, on the way of every message
        request.method,
        request.url,
        _headers(request.headers),
        sent,
        None if request.parts is None else tuple(map(_part, request.parts)),
        status,
        headers,
        received,
        line.at,
        line.elapsed,
        line.error or "",
        CALLBACK if line.kind == "hook" else line.endpoint,
    )


def _headers(said: dict[str, str] | None) -> dict[str, str]:
    if said is None:
        return {}
    names = tuple(said)
    if names not in _lower_names:
        if any(name != name.lower() for name in names):
            return headers_of(said)
        if len(_lower_names) < _MOST_NAMES:
            _lower_names.add(names)
    return said


def _from_base64(message: _Request | _Response) -> bytes | None:
    return None if message.body_base64 is None else from_base64(message.body_base64)


def _part(part: _Part) -> Part:
    return Part(part.name, part.text, part.filename, part.content_type, part.size)


def _otherwise(
    place: Place, line: bytes, endpoint: Endpoint | None = None, expected: str = "JSON"
) -> Iterator[Exchange | Trouble]:
    """Return what a line is that is none of ours: an entry of a journal, a lone body, or a mistake."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        yield Trouble(place, f"expected {expected}: {error}")
        return
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
        yield Trouble(place, _mistake(value, line))


def _mistake(value: dict[str, Any], line: bytes) -> str:
    if "request" not in value and "kind" not in value:
        return "expected a recorded exchange with version, kind and request, got another object"
    try:
        error = next(_validator().iter_errors(value), None)
    except ValueError:
        return "expected a recorded exchange, got one that is nested too deep"
    if error is not None:
        where = "/".join(map(str, error.instance_path))
        return f"expected a recorded exchange: {where and f'at /{where}, '}{error.message}"
    try:
        _decoded(line)
    except msgspec.ValidationError as misfit:
        # Its words may show what was recorded; where it stands, they say at the end.
        where = str(misfit).rpartition(" - at ")[2]
        return f"expected each field once, and integers of 64 bits without a point, got something else at {where}"
    return "expected bodies in base64 as RFC 4648 writes it, got something else"


@cache
def _validator() -> jsonschema_rs.Draft202012Validator:
    # The mask stands for values in its messages: what was recorded is never shown.
    return jsonschema_rs.Draft202012Validator(resources.load("recording.schema.json"), mask="the value")
