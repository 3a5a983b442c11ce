"""Writes recordings as JSON Lines, without secrets. `schemas/recording.schema.json` is the format."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, BinaryIO

import orjson

from contract_tests.exchanges import Endpoint, Exchange, Part, Place
from contract_tests.redaction import Pseudonyms, redacted

VERSION = 1


class Writer:
    """
    Appends exchanges to a recording, a line each, which is in the file when `write` returns.

    Several processes may append to the same file. A line that a crash left unfinished stays by itself.

    Args:
        path: of the file; it is made when it is not there.
        pseudonyms: by which secrets are replaced; new ones by default.
        redact: whether they are replaced at all.
    """

    def __init__(self, path: str | Path, *, pseudonyms: Pseudonyms | None = None, redact: bool = True) -> None:
        self._lock = Lock()
        self._pseudonyms = (pseudonyms or Pseudonyms()) if redact else None
        self._file = Path(path).open("a+b", buffering=0)  # noqa: SIM115 - close() closes it
        self._name = str(path)
        self._lines, last = _lines_of(self._file)
        self._unfinished = last not in b"\n"

    def write(self, exchange: Exchange) -> Place:
        """Write one exchange down; return where it is, if nobody else writes to the file."""
        line = as_line(exchange if self._pseudonyms is None else redacted(exchange, self._pseudonyms))
        with self._lock:
            if self._unfinished:
                self._append(b"\n")
            self._append(line)
            return Place(self._name, self._lines, self._lines)

    def _append(self, line: bytes) -> None:
        self._unfinished = True  # until it is written: a full disk may have room for a part of it
        rest = memoryview(line)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._unfinished = False
        self._lines += 1

    def close(self) -> None:
        """End the recording; `with` does it by itself."""
        self._file.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def _lines_of(file: BinaryIO) -> tuple[int, bytes]:
    """Return how many lines a file has, and its last byte."""
    lines, last = 0, b""
    rest = file.seek(0, os.SEEK_END)  # a device has no size, but may be read for ever
    file.seek(0)
    while rest > 0 and (chunk := file.read(min(rest, 1 << 20))):
        rest -= len(chunk)
        lines, last = lines + chunk.count(b"\n"), chunk[-1:]
    return lines, last


def as_line(exchange: Exchange) -> bytes:
    """Return an exchange as a line of a recording, as it is; `redacted` makes it fit to be kept."""
    request: dict[str, Any] = {"method": exchange.method, "url": exchange.url}
    line: dict[str, Any] = {"version": VERSION, "kind": "exchange"}
    if exchange.endpoint is Endpoint.CALLBACK:
        line["kind"] = "hook"
    elif exchange.endpoint is not None:
        line["endpoint"] = exchange.endpoint.value
    line |= {name: value for name, value in (("at", exchange.at), ("elapsed", exchange.elapsed)) if value is not None}
    line["request"] = request
    _put(request, exchange.request_headers, exchange.request_body)
    if exchange.parts is not None:
        request["parts"] = [_part(part) for part in exchange.parts]
    if exchange.status is not None:
        response: dict[str, Any] = {"status": exchange.status}
        _put(response, exchange.response_headers, exchange.response_body)
        line["response"] = response
    if exchange.error:
        line["error"] = exchange.error
    try:
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # half of a surrogate pair, which is how Python shows bytes that are no text
        return orjson.dumps(_clean(line), option=orjson.OPT_APPEND_NEWLINE)


def _put(message: dict[str, Any], headers: Mapping[str, str], body: bytes | None) -> None:
    if headers:
        message["headers"] = dict(headers)
    if body is None:
        return
    try:
        message["body"] = body.decode()
    except UnicodeDecodeError:
        message["body_base64"] = base64.b64encode(body).decode()


def _part(part: Part) -> dict[str, Any]:
    defaults = {"text": None, **Part._field_defaults}
    return {name: value for name, value in part._asdict().items() if name == "name" or value != defaults[name]}


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {_clean(name): _clean(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_clean(inner) for inner in value]
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if isinstance(value, str) else value
