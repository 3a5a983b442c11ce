"""Holds one exchange against one version of the contract: request, answer, webhook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from contract_tests.exchanges import Endpoint, Exchange, Part, Target, target_of
from contract_tests.findings import Confidence, Fact, Note, as_example
from contract_tests.shapes import Kind, kind
from mock_server import bodies
from mock_server.contract import Contract, contract
from mock_server.errors import ApiError

_SUBMISSIONS = frozenset({Endpoint.GENERATE, Endpoint.EDITS})


class NotJson(NamedTuple):
    """In place of a value: the body is no JSON."""

    why: str


class Parsed(NamedTuple):
    """
    An exchange, read once for all versions.

    Args:
        endpoint: what it is about.
        host: where it was sent.
        request: the fields of the request, or the body of a webhook; None when there is nothing to go by.
        response: the value that was answered; None when there is nothing to go by.
        response_seen: whether there was a body to be read.
    """

    exchange: Exchange
    endpoint: Endpoint
    host: str
    request: Any
    response: Any
    response_seen: bool


def parsed(exchange: Exchange) -> Parsed | None:
    """Read an exchange; None when it is not about this API."""
    target = target_of(exchange.url)
    endpoint = exchange.endpoint or target.endpoint
    if endpoint is None:
        return None
    body = exchange.response_body
    seen = body is not None and (body != b"" or exchange.status == 200) and endpoint is not Endpoint.IMAGE
    response = _json(body or b"") if seen and endpoint is not Endpoint.CALLBACK else None
    if endpoint is Endpoint.CALLBACK:
        request = None if exchange.request_body is None else _json(exchange.request_body)
    else:
        request = None if endpoint is Endpoint.IMAGE else _fields(exchange, target)
    return Parsed(exchange, endpoint, target.host, request, response, seen)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return NotJson(str(error))


def _fields(exchange: Exchange, target: Target) -> dict[str, Any] | None:
    fields: dict[str, Any] = dict(target.query)
    if exchange.parts is not None:
        return fields | _from_parts(exchange.parts)
    body = exchange.request_body
    if not body:
        return fields or (None if exchange.method == "POST" else {})
    media = bodies.media_type(exchange.request_headers.get("content-type", ""))
    try:
        if media == bodies.MULTIPART:
            form = bodies.read_multipart(exchange.request_headers["content-type"], body)
            files = [Part(file.name, None, file.filename, file.content_type, len(file.data)) for file in form.files]
            return fields | form.fields | _from_parts(tuple(files))
        if media == bodies.FORM:
            return fields | bodies.read_urlencoded(body).fields
    except ApiError:
        return None
    value = _json(body)
    return fields | value if isinstance(value, dict) else None


def _from_parts(parts: tuple[Part, ...]) -> dict[str, Any]:
    fields: dict[str, Any] = {part.name: part.text for part in parts if part.text is not None}
    images = [
        {"filename": part.filename or "", "content_type": part.content_type, "bytes": part.size}
        for part in parts
        if part.text is None and part.name == "image"
    ]
    return fields | ({"image": images} if images else {})


class MessageCheck:
    """What one version of the contract says of exchanges."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.contract: Contract = contract(version)
        self._http: Mapping[str, Any] = self.contract.schemas["error.response"]["x-http"]
        self._known_shapes: set[tuple[object, ...]] = set()

    def __call__(self, message: Parsed) -> list[Note]:
        """Return what does not fit."""
        if message.endpoint is Endpoint.CALLBACK:
            return [] if message.request is None else self._body("callback.request", message.request)
        status = message.exchange.status
        if status is None or message.endpoint is Endpoint.IMAGE:
            return []
        if 200 <= status < 300:
            notes = self._body(f"{message.endpoint}.response", message.response) if message.response_seen else []
            return notes + self._accepted(message)
        return self._refusal(message, status)

    def _body(self, name: str, value: Any) -> list[Note]:
        if isinstance(value, NotJson):
            first = self._kind(name).alternatives[0]
            return [Note("body/not-json", name, "", "expected JSON, got something else", first.fact(()), value.why)]
        notes = [] if self.contract.accepts(name, value) else self._kind(name).problems(value)
        # Most messages have the fields of one before them; only a new set of fields is looked at.
        shape = (name, tuple(value), _inner(value.get("data"))) if isinstance(value, dict) else (name,)
        if shape not in self._known_shapes:
            unknown = self._kind(name).unknown(value)
            if unknown:
                return notes + unknown
            if len(self._known_shapes) < 10_000:
                self._known_shapes.add(shape)
        return notes

    def _accepted(self, message: Parsed) -> list[Note]:
        name = f"{message.endpoint}.request"
        if message.request is None or self.contract.accepts(name, message.request):
            return []
        return [
            note._replace(rule="request/accepted", message=f"accepted, although: {note.message}")
            for note in self._kind(name).problems(message.request)
        ]

    def _refusal(self, message: Parsed, status: int) -> list[Note]:
        notes: list[Note] = []
        known = self._http.get(str(status))
        if known is None:
            fact = Fact("error.response.json", "/x-http", ("S2",), Confidence.DOCUMENTED)
            expected = f"expected 200, {', '.join(self._http)}; got {status}"
            notes.append(Note("status/unknown", f"{message.endpoint}.response", "", expected, fact, str(status)))
        if message.response_seen and status >= 400:
            notes += self._body("error.response", message.response)
            notes += self._message(status, known, message.response)
        name = f"{message.endpoint}.request"
        if status == 400 and message.request is not None and self.contract.accepts(name, message.request):
            fact = self._kind(name).alternatives[0].fact(())
            notes.append(Note("request/refused", name, "", "answered 400, although the contract allows it", fact))
        return notes

    def _message(self, status: int, known: Any, value: Any) -> list[Note]:
        text = value.get("message") if isinstance(value, dict) else None
        if known is None or not isinstance(text, str) or text == known["message"]["text"]:
            return []
        said = known["message"]
        pointer = f"/x-http/{status}/message/text"
        fact = Fact("error.response.json", pointer, tuple(said["x-source"]), Confidence(said["x-confidence"]))
        expected = f"status {status}: expected {said['text']!r}"
        return [Note("message/changed", "error.response", "/message", expected, fact, as_example(text))]

    def _kind(self, name: str) -> Kind:
        return kind(self.version, name)


def _inner(value: object) -> object:
    return tuple(value) if isinstance(value, dict) else type(value)


def is_submission(endpoint: Endpoint) -> bool:
    """Whether a call to it makes a job."""
    return endpoint in _SUBMISSIONS
