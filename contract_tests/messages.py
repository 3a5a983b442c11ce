"""Holds one exchange against one version of the contract: request, answer, webhook."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import msgspec
import orjson

from contract_tests.exchanges import (
    CALLBACK,
    EDITS,
    ERROR,
    FETCH,
    GENERATE,
    IMAGE,
    Endpoint,
    Exchange,
    Part,
    Target,
    target_of,
)
from contract_tests.findings import Confidence, Fact, Note, as_example
from contract_tests.shapes import kind
from mock_server import bodies
from mock_server.contract import Contract, contract
from mock_server.errors import ApiError
from mock_server.hooks.rules import HookRules

_CALLS = (GENERATE, EDITS, FETCH)
_ABOUT_CALLS = frozenset({"OPTIONS", "HEAD"})
# Methods that ask whether a call would be allowed, or for headers alone: they are no calls.
_ANY_HOST = HookRules(allow=("*",))


class NotJson(NamedTuple):
    """In place of a value: the body is no JSON."""

    why: str


class Parsed(msgspec.Struct, frozen=True, gc=False):
    """
    An exchange, read once for all versions.

    No dataclass, for a large recording has millions. Nothing in it refers to it.

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

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it to be held against a schema."""
        unheld = self.request is None or (self.exchange.status is None and self.endpoint is not CALLBACK)
        return unheld and not self.response_seen


def parsed(exchange: Exchange) -> Parsed | None:
    """Read an exchange; None when it is not about this API."""
    target = target_of(exchange.url)
    endpoint = exchange.endpoint or target.endpoint
    if endpoint is None or exchange.method in _ABOUT_CALLS:
        return None
    body = exchange.response_body
    if endpoint is CALLBACK:
        sent = exchange.request_body
        return Parsed(exchange, endpoint, target.host, None if sent is None else _json(sent), None, False)
    if endpoint is IMAGE:
        return Parsed(exchange, endpoint, target.host, None, None, False)
    seen = body is not None and (body != b"" or exchange.status == 200)
    response = _json(body or b"") if seen else None
    usual = exchange.parts is None and not target.query
    request = _from_body(exchange, alone=True) if usual else _fields(exchange, target)
    return Parsed(exchange, endpoint, target.host, request, response, seen)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return NotJson(str(error))


def _fields(exchange: Exchange, target: Target) -> dict[str, Any] | None:
    sent = _from_parts(exchange.parts) if exchange.parts is not None else _from_body(exchange, alone=not target.query)
    return {**dict(target.query), **sent} if target.query and sent is not None else sent


def _from_body(exchange: Exchange, *, alone: bool) -> dict[str, Any] | None:
    body = exchange.request_body
    if not body:
        return None if alone and exchange.method == "POST" else {}
    try:
        value = _reader(exchange.request_headers.get("content-type", ""))(body)
    except ApiError:
        return None
    return value if isinstance(value, dict) else None


@lru_cache(maxsize=256)
def _reader(content_type: str) -> Callable[[bytes], Any]:
    """Return what reads a body of that type; whatever is no form is taken for JSON."""
    media = bodies.media_type(content_type)
    if media == bodies.MULTIPART:
        return partial(_from_multipart, content_type)
    return _from_form if media == bodies.FORM else _json


def _from_form(body: bytes) -> dict[str, Any]:
    return bodies.read_urlencoded(body).fields


def _from_multipart(content_type: str, body: bytes) -> dict[str, Any]:
    form = bodies.read_multipart(content_type, body)
    files = [Part(file.name, None, file.filename, file.content_type, len(file.data)) for file in form.files]
    return form.fields | _from_parts(tuple(files))


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
        self._fits = {
            endpoint: (kind(version, endpoint.request).accepts, kind(version, endpoint.response).knows)
            for endpoint in _CALLS
        }

    def notes(self, message: Parsed) -> list[Note]:
        """Return what does not fit."""
        return [] if self.is_ordinary(message) else self._looked_at(message)

    def is_ordinary(self, message: Parsed) -> bool:
        """Whether it is a call that was accepted, and fits. That is not all that may be, but most, and quick to see."""
        exchange, response = message.exchange, message.response
        fits = self._fits.get(message.endpoint)
        if fits is None or exchange.status != 200 or type(response) is not dict:
            return False
        accepts, knows = fits
        return (
            _says_json(exchange.response_headers.get("content-type"))
            and knows(response)
            and (message.request is None or accepts(message.request))
        )

    def _looked_at(self, message: Parsed) -> list[Note]:
        if message.endpoint is CALLBACK:
            return [] if message.request is None else self._body(CALLBACK.request, message.request)
        if message.endpoint is ERROR:
            return self._body(ERROR.response, message.response) if message.response_seen else []
        status = message.exchange.status
        if status is None or message.endpoint is IMAGE:
            return []
        notes = self._acceptance(message) if 200 <= status < 300 else self._refusal(message, status)
        said = message.exchange.response_headers.get("content-type")
        if message.response_seen and not isinstance(message.response, NotJson) and not _says_json(said):
            fact = kind(self.version, message.endpoint.response).alternatives[0].fact(())
            words = "expected JSON under application/json, got it under another Content-Type"
            notes.append(Note("body/content-type", message.endpoint.response, "", words, fact, as_example(said)))
        return notes

    def _body(self, name: str, value: Any) -> list[Note]:
        of_name = kind(self.version, name)
        if isinstance(value, NotJson):
            first = of_name.alternatives[0]
            return [Note("body/not-json", name, "", "expected JSON, got something else", first.fact(()), value.why)]
        return [] if of_name.knows(value) else of_name.problems(value) + of_name.unknown(value)

    def _acceptance(self, message: Parsed) -> list[Note]:
        notes = self._body(message.endpoint.response, message.response) if message.response_seen else []
        if message.exchange.status != 200:
            notes.append(self._other_status(message, message.exchange.status))
        name = message.endpoint.request
        if message.request is not None and not self.contract.accepts(name, message.request):
            notes += [
                note._replace(rule="request/accepted", message=f"accepted, although: {note.message}")
                for note in kind(self.version, name).problems(message.request)
            ]
        return notes

    def _refusal(self, message: Parsed, status: int) -> list[Note]:
        notes: list[Note] = []
        known = self._http.get(str(status))
        if known is None:
            notes.append(self._other_status(message, status))
        if message.response_seen and status >= 400:
            notes += self._body("error.response", message.response)
            notes += self._message(status, known, message.response)
        name = message.endpoint.request
        if status == 400 and message.request is not None and self._should_be_taken(name, message.request):
            fact = kind(self.version, name).alternatives[0].fact(())
            notes.append(Note("request/refused", name, "", "answered 400, although the contract allows it", fact))
        return notes

    def _should_be_taken(self, name: str, request: dict[str, Any]) -> bool:
        # A schema does not say where a hookUrl may lead. With a password in it, or an address that no receiver can
        # have, it is refused by whoever is careful, as by the emulator.
        hook = request.get("hookUrl")
        refused = isinstance(hook, str) and _ANY_HOST.problem_with_url(hook) is not None
        return not refused and self.contract.accepts(name, request)

    def _other_status(self, message: Parsed, status: int | None) -> Note:
        fact = Fact("error.response.json", "/x-http", ("S2",), Confidence.DOCUMENTED)
        expected = f"expected 200, {', '.join(self._http)}; got {status}"
        return Note("status/unknown", message.endpoint.response, "", expected, fact, str(status))

    def _message(self, status: int, known: Any, value: Any) -> list[Note]:
        text = value.get("message") if isinstance(value, dict) else None
        if known is None or not isinstance(text, str) or text == known["message"]["text"]:
            return []
        said = known["message"]
        pointer = f"/x-http/{status}/message/text"
        fact = Fact("error.response.json", pointer, tuple(said["x-source"]), Confidence(said["x-confidence"]))
        expected = f"status {status}: expected {said['text']!r}"
        return [Note("message/changed", "error.response", "/message", expected, fact, as_example(text))]


@lru_cache(maxsize=256)
def _says_json(content_type: str | None) -> bool:
    """Whether a Content-Type is JSON's; one that was not recorded says nothing against it."""
    return not content_type or "json" in bodies.media_type(content_type)


def is_submission(endpoint: Endpoint) -> bool:
    """Whether a call to it makes a job."""
    return endpoint is GENERATE or endpoint is EDITS


def told_in(message: Parsed) -> Iterator[tuple[str, Any]]:
    """Return what there is in it that the contract has a schema for, by name; a refused request is no sample of one."""
    endpoint, status = message.endpoint, message.exchange.status
    accepted = status is not None and 200 <= status < 300
    is_sample = endpoint is CALLBACK or (accepted and endpoint is not IMAGE and endpoint is not ERROR)
    if is_sample and message.request is not None and not isinstance(message.request, NotJson):
        yield endpoint.request, message.request
    if message.response_seen and not isinstance(message.response, NotJson):
        if endpoint is ERROR or (status is not None and status >= 400):
            yield ERROR.response, message.response
        elif accepted:
            yield endpoint.response, message.response
