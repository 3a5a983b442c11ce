"""Which branches of the contract a recording exercised, and which never: where messages may differ, and how they did.

The branches are read from `schemas/`: an optional field that is absent or present, a value of one type or another, each
value of an enumeration, each status, each HTTP status, each form in which a request may be sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from contract_tests.exchanges import CALLBACK, EDITS, FETCH, GENERATE, IMAGE, Endpoint, target_of
from contract_tests.messages import Parsed, told_in
from contract_tests.openapi import document
from contract_tests.shapes import Alternative, Path, kind, pointer_of, type_of
from mock_server import bodies
from mock_server.contract import contract

ABSENT, PRESENT = "absent", "present"
FORM, HTTP = "request form", "HTTP status"


class Spot(NamedTuple):
    """
    A place of the contract where messages may differ.

    Args:
        endpoint: what it is about, such as `fetch`.
        about: the kind of message, such as `fetch.response`; or FORM, or HTTP.
        shape: which alternative of that message, such as "not finished"; "" when it has only one.
        pointer: JSON pointer into the message; "" for FORM and HTTP.
        branches: what may stand there, and how often it did: values of an enumeration, types, ABSENT, PRESENT; methods
            with their media types; HTTP statuses.
    """

    endpoint: str
    about: str
    shape: str
    pointer: str
    branches: Mapping[str, int]


class Covered(NamedTuple):
    """
    How much of the contract was exercised at one host.

    Args:
        host: with its port; "" where it is not known.
        version: of the contract, the one that the host was held against.
        spots: in the order of the API: orders, edits, fetches, images, webhooks.
    """

    host: str
    version: str
    spots: tuple[Spot, ...]

    def endpoints(self) -> Iterator[tuple[str, list[Spot]]]:
        """Return the spots of each endpoint."""
        for endpoint in dict.fromkeys(spot.endpoint for spot in self.spots):
            yield endpoint, [spot for spot in self.spots if spot.endpoint == endpoint]


def share(spots: Sequence[Spot]) -> tuple[int, int]:
    """Return how many branches were exercised, and how many there are."""
    seen = [times for spot in spots for times in spot.branches.values()]
    return sum(times > 0 for times in seen), len(seen)


def percent(exercised: int, branches: int) -> int:
    """Return the share in percent, rounded down, so that 100 means all."""
    return exercised * 100 // branches if branches else 100


class Coverage:
    """
    Counts branches, for every version of the contract that it may turn out to be.

    Args:
        candidates: the versions.
    """

    def __init__(self, candidates: Sequence[str]) -> None:
        self._candidates = candidates
        self._sheets: dict[str, dict[str, _Sheet]] = {}

    def __call__(self, message: Parsed, host: str) -> None:
        """Count the branches that a message takes."""
        sheets = self._sheets.get(host)
        if sheets is None:
            sheets = self._sheets[host] = {version: _Sheet(version) for version in self._candidates}
        for sheet in sheets.values():
            sheet.note(message)

    def of(self, contracts: Mapping[str, str]) -> tuple[Covered, ...]:
        """Return what was exercised, with the version of the contract that each host was held against."""
        return tuple(
            Covered(host, version, self._sheets[host][version].spots())
            for host, version in sorted(contracts.items())
            if host in self._sheets
        )


class _Choice(NamedTuple):
    """A spot without its counts: `labels` are what may stand at `path` of a message."""

    endpoint: Endpoint
    about: str
    shape: str
    path: Path
    labels: tuple[str, ...]


class _Sheet:
    """The counts of one host, in one version of the contract."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._choices = _choices(version)
        self._counts = {choice[:4]: dict.fromkeys(choice.labels, 0) for choice in self._choices}
        self._fields: dict[tuple[Endpoint, str, str], list[tuple[Path, dict[str, int]]]] = {}
        for choice in self._choices:
            place = self._fields.setdefault(choice[:3], [])
            place.append((choice.path, self._counts[choice[:4]]))

    def note(self, message: Parsed) -> None:
        endpoint, http = message.endpoint, message.exchange.status
        self._count(endpoint, HTTP, str(http))
        if http is not None and 200 <= http < 300:
            self._count(endpoint, FORM, _form(message))
        for name, value in told_in(message):
            of_name = kind(self._version, name)
            one = of_name.alternative(value)
            if one is None:
                continue
            several = len(of_name.alternatives) > 1
            if several:
                self._look(self._fields.get((endpoint, name, ""), ()), value)
            self._look(self._fields.get((endpoint, name, one.title if several else ""), ()), value)

    def spots(self) -> tuple[Spot, ...]:
        return tuple(
            Spot(choice.endpoint.value, choice.about, choice.shape, pointer_of(choice.path), self._counts[choice[:4]])
            for choice in self._choices
        )

    def _count(self, endpoint: Endpoint, about: str, label: str) -> None:
        counts = self._counts.get((endpoint, about, "", ()), {})
        if label in counts:
            counts[label] += 1

    def _look(self, places: Sequence[tuple[Path, dict[str, int]]], value: Any) -> None:
        for path, counts in places:
            label = _label(value, path, counts)
            if label in counts:
                counts[label] += 1


def _form(message: Parsed) -> str:
    """Return in which form a request came, as the OpenAPI document words it."""
    exchange = message.exchange
    if exchange.parts is not None:
        media = bodies.MULTIPART
    elif exchange.request_body:
        said = bodies.media_type(exchange.request_headers.get("content-type", ""))
        media = said if said in {bodies.MULTIPART, bodies.FORM} else bodies.JSON
    else:
        media = "query" if target_of(exchange.url).query else ""
    return f"{exchange.method} {media}"


def _label(value: Any, path: Path, labels: Mapping[str, int]) -> str:
    """Return which of the labels the value at `path` is; "" for none."""
    for step in path[:-1]:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and len(value) > step else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    if not isinstance(value, dict):
        return ""
    if path[-1] not in value:
        return ABSENT
    found = value[path[-1]]
    if PRESENT in labels:
        return PRESENT
    word, type_ = _word(found), type_of(found)
    if word in labels and found is not None:
        return word
    return "number" if type_ == "integer" and "integer" not in labels else type_


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# What there is


@cache
def _choices(version: str) -> tuple[_Choice, ...]:
    """Return all places where messages may differ, in that version of the contract."""
    found: list[_Choice] = []
    paths = document(version)["paths"]
    for endpoint in (GENERATE, EDITS, FETCH, IMAGE, CALLBACK):  # refusals are of each of the first three
        operations = paths.get(f"/flux/{endpoint}", {})
        names = [endpoint.request, endpoint.response]
        if operations:
            forms = tuple(form for method, said in operations.items() for form in _forms(method.upper(), said))
            found.append(_Choice(endpoint, FORM, "", (), forms))
            statuses = dict.fromkeys(status for said in operations.values() for status in said["responses"])
            found.append(_Choice(endpoint, HTTP, "", (), tuple(statuses)))
            names.append("error.response")
        elif endpoint is IMAGE:
            # All that the contract says of images is that a result has the address of one.
            found.append(_Choice(endpoint, HTTP, "", (), ("200",)))
        for name in names:
            if name in contract(version).schemas:
                found += _in_message(version, endpoint, name)
    return tuple(found)


def _forms(method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    for media in operation.get("requestBody", {}).get("content", ()):
        yield f"{method} {media}"
    if "parameters" in operation:
        yield f"{method} query"


def _in_message(version: str, endpoint: Endpoint, name: str) -> Iterator[_Choice]:
    alternatives = kind(version, name).alternatives
    several = len(alternatives) > 1
    if several:
        # Only their status tells them apart.
        statuses = tuple(status for one in alternatives for status in sorted(one.statuses))
        yield _Choice(endpoint, name, "", ("status",), statuses)
    for one in alternatives:
        for path, labels in _in_object(one, ()):
            if not (several and path == ("status",)):
                yield _Choice(endpoint, name, one.title if several else "", path, labels)


def _in_object(one: Alternative, path: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    node = one.node(path)
    if node is None:
        return
    must = node.schema.get("required", ())
    for name in node.schema.get("properties", ()):
        below = (*path, name)
        inner = one.node(below)
        if inner is not None:
            labels = tuple(_labels(inner.schema, optional=name not in must))
            if labels:
                yield below, labels
            yield from _in_object(one, (*below, 0) if "items" in inner.schema else below)


def _labels(schema: Mapping[str, Any], *, optional: bool) -> Iterator[str]:
    types = schema.get("type", ())
    if optional:
        yield ABSENT
    if "enum" in schema:
        yield from map(_word, schema["enum"])
    elif isinstance(types, list) and len(types) > 1:
        yield from types
    elif optional:
        yield PRESENT
