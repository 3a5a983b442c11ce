"""What a recording shows beside its findings: how often optional fields came, and how long calls and jobs took.

It is noted in every check, so it must cost next to nothing: only sets of names are counted, and only where something is
optional; what the contract calls them is asked in the end, once for each set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from contract_tests.exchanges import CALLBACK, ERROR, IMAGE, Endpoint
from contract_tests.messages import Parsed
from contract_tests.shapes import Path, kind, pointer_of
from contract_tests.times import JobTimes, Spread, Times
from mock_server.contract import contract, versions

_MOST_GROUPS = 1_000
_MOST_SETS = 1_000
# Of one group. A recording has a handful of either, unless somebody makes them up.


class Presence(NamedTuple):
    """
    How often an optional field was there.

    Args:
        message: its kind, such as `generate.request`.
        shape: which alternative of it, such as "not finished"; "" when it has only one.
        pointer: JSON pointer into the message.
        seen: how often it was there.
        of: objects that could have had it.
    """

    message: str
    shape: str
    pointer: str
    seen: int
    of: int


@dataclass(frozen=True, slots=True)
class Observed:
    """
    What was seen of a host.

    Args:
        fields: the optional fields of the messages that came.
        times: how long answers and jobs took, as far as the recording says when they were.
    """

    fields: tuple[Presence, ...] = ()
    times: tuple[Spread, ...] = ()


_Sets = Counter[tuple[str, ...]]


class _Group:
    """
    Messages of the same endpoint, HTTP status and status of the job.

    Args:
        times: of the answers of that endpoint.

    Attributes:
        request, body, data: how often which names came in the request, in the body, and in its `data`; None where
            nothing is optional, in any version of the contract.
    """

    __slots__ = ("body", "data", "request", "times")

    def __init__(self, times: Times) -> None:
        self.times = times
        self.request: _Sets | None = None
        self.body: _Sets | None = None
        self.data: _Sets | None = None


_Key = tuple[Endpoint, int | None, str | None]


class Observations:
    """What is seen of one host, message by message."""

    def __init__(self) -> None:
        self._groups: dict[_Key, _Group] = {}
        self._answers: dict[Endpoint, Times] = {}

    def note(self, message: Parsed) -> None:
        """Note one. This is on the way of every message."""
        exchange, endpoint, request, body = message.exchange, message.endpoint, message.request, message.response
        if endpoint is CALLBACK:
            request, body = None, request
        is_object = type(body) is dict
        status = body.get("status") if is_object else None
        try:
            group = self._groups[endpoint, exchange.status, status]
        except (KeyError, TypeError):
            group = self._group(endpoint, exchange.status, status if type(status) is str else None)
        if group.request is not None and type(request) is dict:
            _count(group.request, request)
        if is_object:
            if group.body is not None:
                _count(group.body, body)
            if group.data is not None and type(data := body.get("data")) is dict:
                _count(group.data, data)
        elapsed = exchange.elapsed
        if elapsed is not None:
            group.times.add(elapsed)

    def seen(self, version: str, jobs: JobTimes) -> Observed:
        """Return what was seen, in the words of that version of the contract."""
        answers = (self._answers[endpoint].spread(f"answer of {endpoint}") for endpoint in sorted(self._answers))
        waiting = len(contract(version).queued_statuses) > 1
        return Observed(
            tuple(self._presences(version)),
            (*(spread for spread in answers if spread is not None), *jobs.spreads(waiting=waiting)),
        )

    def _group(self, endpoint: Endpoint, http: int | None, status: str | None) -> _Group:
        key = (endpoint, http, status)
        if key not in self._groups and len(self._groups) >= _MOST_GROUPS:
            key = (endpoint, None, None)
        group = self._groups.get(key)
        if group is None:
            # How long a receiver took to take a webhook is nobody's concern here.
            times = Times() if endpoint is CALLBACK else self._answers.setdefault(endpoint, Times())
            group = self._groups[key] = _Group(times)
            group.request, group.body, group.data = (
                Counter() if any(_optional(version, key)[place] for version in versions()) else None
                for place in range(3)
            )
        return group

    def _presences(self, version: str) -> Iterator[Presence]:
        seen: Counter[tuple[str, str, str]] = Counter()
        of: Counter[tuple[str, str, str]] = Counter()
        for key, group in self._groups.items():
            for fields, sets in zip(_optional(version, key), (group.request, group.body, group.data), strict=True):
                for message, shape, path in fields:
                    where = (message, shape, pointer_of(path))
                    of[where] += sets.total() if sets else 0
                    seen[where] += sum(times for names, times in (sets or {}).items() if path[-1] in names)
        return (Presence(*where, seen[where], of[where]) for where in sorted(of) if of[where])


def _count(sets: _Sets, value: Mapping[str, object]) -> None:
    names = tuple(value)
    if names in sets or len(sets) < _MOST_SETS:
        sets[names] += 1


_Field = tuple[str, str, Path]
"""A message, its alternative, and where in it something is optional."""


@cache
def _optional(version: str, key: _Key) -> tuple[tuple[_Field, ...], tuple[_Field, ...], tuple[_Field, ...]]:
    """Return what is optional in the request, in the body, and in its `data`; a refused request is no sample."""
    endpoint, http, status = key
    if endpoint is CALLBACK:
        name = "callback.request"
    elif endpoint is IMAGE or endpoint is ERROR or http is None or 300 <= http < 400:
        return (), (), ()
    else:
        name = f"{endpoint}.response" if http < 300 else "error.response"
    request = _fields(version, f"{endpoint}.request", None, ()) if name == f"{endpoint}.response" else ()
    return request, _fields(version, name, status, ()), _fields(version, name, status, ("data",))


def _fields(version: str, name: str, status: str | None, path: Path) -> tuple[_Field, ...]:
    of_name = kind(version, name)
    one = of_name.alternative({"status": status})
    node = one.node(path) if one is not None else None
    if one is None or node is None:
        return ()
    shape = one.title if len(of_name.alternatives) > 1 else ""
    must = node.schema.get("required", ())
    return tuple((name, shape, (*path, field)) for field in node.schema.get("properties", ()) if field not in must)
