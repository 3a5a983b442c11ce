"""What was recorded, whatever it was recorded with: one call and its answer, or one webhook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec


class Endpoint(StrEnum):
    """
    What a message is about; ERROR where it is refused, and nobody recorded what it asked for.

    Attributes:
        request: name of its requests in the contract, such as `fetch.request`.
        response: name of its answers.
    """

    GENERATE = "generate"
    EDITS = "edits"
    FETCH = "fetch"
    IMAGE = "image"
    CALLBACK = "callback"
    ERROR = "error"

    __hash__ = str.__hash__  # that of Enum is written in Python, and this is on the way of every message

    def __init__(self, name: str) -> None:
        self.request = f"{name}.request"
        self.response = f"{name}.response"


GENERATE, EDITS, FETCH, IMAGE, CALLBACK, ERROR = Endpoint
"""The endpoints by themselves: to look one up in its class takes 70 ns, which adds up in millions of messages."""

STDIN = "-"
"""The name of standard input."""


class Place(NamedTuple):
    """
    Where a message was found.

    Args:
        file: its name; `STDIN` is standard input.
        number: of the exchange in it, counted from 1; 0 is the file itself.
        line: counted from 1; 0 where lines mean nothing.
    """

    file: str
    number: int
    line: int = 0

    def __str__(self) -> str:
        if self.file == STDIN:
            where = f", line {self.line}" if self.line else f", exchange {self.number}" if self.number else ""
            return f"standard input{where}"
        if self.line:
            return f"{self.file}:{self.line}"
        return f"{self.file}, exchange {self.number}" if self.number else self.file


class Part(NamedTuple):
    """One part of a multipart body; `text` is None for a file, whose content is not kept."""

    name: str
    text: str | None
    filename: str | None = None
    content_type: str = ""
    size: int = 0


class Exchange(msgspec.Struct, frozen=True, gc=False):
    """
    One call and its answer; or a webhook, whose request is what is of interest.

    No dataclass, because a large recording has millions: this is made and read in half the time.

    Args:
        place: where it was found.
        method: in capitals.
        url: absolute, as it was sent; for a lone body, "".
        request_headers: names in lower case.
        request_body: its bytes, decoded; None when there was none, or it was not recorded.
        parts: the parts of a multipart body, where it was recorded by part.
        status: None when no answer came.
        response_headers: names in lower case.
        response_body: its bytes, decoded; None when it was not recorded.
        at: when it began, in seconds since the Unix epoch; None when unknown.
        elapsed: seconds that it took; None when unknown.
        error: why no answer came.
        endpoint: said by the recorder where the URL cannot tell, as for a webhook.
        sample_of: the versions of the contract that it is a sample of, as its file says. A sample stands by itself:
            others on its host may be of another version, and have jobs of the same id. Empty for what was recorded.
    """

    place: Place
    method: str = ""
    url: str = ""
    request_headers: Mapping[str, str] = {}
    request_body: bytes | None = None
    parts: tuple[Part, ...] | None = None
    status: int | None = None
    response_headers: Mapping[str, str] = {}
    response_body: bytes | None = None
    at: float | None = None
    elapsed: float | None = None
    error: str = ""
    endpoint: Endpoint | None = None
    sample_of: tuple[str, ...] = ()

    def changed(self, **fields: Any) -> Exchange:
        """Return the same exchange but for some fields."""
        return msgspec.structs.replace(self, **fields)


@dataclass(frozen=True, slots=True)
class Target:
    """What a URL says: the host with its port, the endpoint if it is one of ours, the fields of the query."""

    host: str
    endpoint: Endpoint | None
    query: tuple[tuple[str, str], ...]


_PATHS = {f"/flux/{endpoint}": endpoint for endpoint in (Endpoint.GENERATE, Endpoint.EDITS, Endpoint.FETCH)}


def target_of(url: str) -> Target:
    """Return what `url` says. Never raises: what is no URL is no endpoint of ours."""
    if "?" not in url:
        return _target_of(url)
    address, _, query = url.partition("?")
    fields = parse_qsl(query.partition("#")[0], keep_blank_values=True)
    return replace(_target_of(address), query=tuple(fields))


@lru_cache(maxsize=4096)
def _target_of(address: str) -> Target:
    try:
        parts = urlsplit(address)
    except ValueError:
        return Target("", None, ())
    path = parts.path.rstrip("/")
    endpoint = _PATHS.get("/flux/" + path.rpartition("/flux/")[2]) if "/flux/" in path else None
    if endpoint is None and path.endswith(".webp"):
        endpoint = Endpoint.IMAGE
    return Target(parts.netloc.rpartition("@")[2].lower(), endpoint, ())


class Unreadable(Exception):
    """A recording cannot be read; the text names file and place, what was expected and what came."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """
    Something in a recording that could not be read, while the rest could.

    Args:
        place: where.
        why: what was expected and what came.
        times: how many it stands for.
    """

    place: Place
    why: str
    times: int = 1


Recorded = Iterator[Exchange | Trouble]
"""What a reader gives: exchanges, and what it had to leave out."""
