"""What a client of the zoo is, and where all of them are found."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol, TypeVar

Client = Callable[..., Any]


class Memory(Protocol):
    """What a client keeps from call to call."""

    def clear(self) -> None:
        """Forget all."""


Kept = TypeVar("Kept", bound=Memory)

_MODULES = (
    "good_requests",
    "good_httpx",
    "good_aiohttp",
    "good_stdlib",
    "good_urllib3",
    "good_hooks",
    "broken_submitting",
    "broken_polling",
    "broken_waiting",
    "broken_reading",
    "broken_wire",
    "broken_secrets",
    "broken_downloads",
    "broken_uploads",
    "broken_hooks",
)


@dataclass(frozen=True)
class Specimen:
    """
    One client of the zoo.

    Args:
        name: of it.
        client: what `check_client` takes.
        stack: the HTTP library.
        story: what it does, or does wrong, in one line.
        about: the property that it breaks; "" for a good one.
        also: other properties that must hold and that its fault breaks as well, each with the reason.
        receiver: its receiver of webhooks, a WSGI or ASGI application.
    """

    name: str
    client: Client
    stack: str
    story: str
    about: str = ""
    also: Mapping[str, str] = field(default_factory=dict)
    receiver: Any = None

    @property
    def breaks(self) -> frozenset[str]:
        """The properties that it really breaks."""
        return frozenset({self.about, *self.also} - {""})


_SPECIMENS: dict[str, Specimen] = {}
_MEMORIES: list[Memory] = []


def good(stack: str, *, receiver: Any = None) -> Callable[[Client], Client]:
    """Put a client into the zoo that breaks nothing. Its docstring is its story."""
    return _put(stack, "", {}, receiver)


def broken(
    stack: str, about: str, *, also: Mapping[str, str] | None = None, receiver: Any = None
) -> Callable[[Client], Client]:
    """Put a client into the zoo that breaks the property `about`, and the others `also`. Its docstring is its story."""
    return _put(stack, about, also or {}, receiver)


def _put(stack: str, about: str, also: Mapping[str, str], receiver: Any) -> Callable[[Client], Client]:
    def put(client: Client) -> Client:
        name, story = client.__name__, " ".join((inspect.getdoc(client) or "").split())
        if name in _SPECIMENS or not story:
            raise ValueError(f"{name}: a specimen has a name and a story of its own")
        _SPECIMENS[name] = Specimen(name, client, stack, story, about, also, receiver)
        return client

    return put


def memory(kept: Kept) -> Kept:
    """Return `kept`, in which a client keeps something from call to call."""
    _MEMORIES.append(kept)
    return kept


def forget_all() -> None:
    """Empty what clients keep: another verdict has jobs of the same names, for its luck is the same."""
    for one in _MEMORIES:
        one.clear()


def specimens() -> list[Specimen]:
    """Return all clients of the zoo: the good ones first, then the broken ones by the property that they are about."""
    for name in _MODULES:
        import_module(f"zoo.{name}")
    return sorted(_SPECIMENS.values(), key=lambda one: (one.about, one.name))
