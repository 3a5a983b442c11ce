"""What happened over real sockets, told with names that are the same in every run.

Ports and folders are others each time. In a report the servers have the names that they have in a simulation, and in
scenario files, so that the same seed says the same.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from contract_tests.clients.directives.base import ORIGINS
from contract_tests.clients.story import Story
from contract_tests.clients.verdict import PropertyResult, Verdict

_T = TypeVar("_T")
_FOLDER = re.compile(rf"{re.escape(tempfile.gettempdir())}/fluxmock-\w{{8}}")
_HOSTS = r"(?:127\.0\.0\.1|localhost):"


def told_verdict(verdict: Verdict) -> Verdict:
    """Return a verdict as it is reported."""
    return replace(verdict, results=tuple(map(_told_result, verdict.results)))


def told(story: Story) -> Story:
    """
    Return a story as it is reported; what is judged is the story as it was.

    Its bytes are others, so that lengths which stand in it need not fit any more.
    """
    named = _renamed(story, partial(_named, _names(story)))
    return replace(named, origins=ORIGINS)


def printable(text: str) -> str:
    """Return what a program printed without what would move a terminal about."""
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)


def _told_result(result: PropertyResult) -> PropertyResult:
    if result.story is None:
        return result
    return replace(result, why=_named(_names(result.story), result.why), story=told(result.story))


def _names(story: Story) -> dict[str, str]:
    """Return the names of servers by their ports."""
    names = {url.rpartition(":")[2]: ORIGINS[role].partition("://")[2] for role, url in story.origins.items()}
    given = {intent.hook_url for intent in story.intents}
    for url in {job.order.hook_url for job in story.jobs} - given:
        port = urlsplit(url or "").port
        if port is not None and not any(one and urlsplit(one).port == port for one in given):
            names.setdefault(str(port), "receiver.fluxmock.test")  # on a port of the client's choice
    return names


def _named(names: Mapping[str, str], text: str) -> str:
    """Return a text with the names of servers for their addresses, and for their ports where these stand alone."""
    ports = "|".join(names)
    text = re.sub(rf"{_HOSTS}({ports})(?!\d)", lambda found: names[found[1]], text)
    text = re.sub(rf"(?<!\d)({ports})(?!\d)", lambda found: f"({names[found[1]]})", text)
    return _FOLDER.sub("(folder)", text)


def _renamed(value: _T, name: Callable[[str], str]) -> _T:
    """Return a value with all texts in it renamed, however deep they are."""
    return _rename(value, name)  # type: ignore[no-any-return]


def _rename(value: Any, name: Callable[[str], str]) -> Any:
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return name(value)
    if isinstance(value, bytes):
        return name(value.decode("latin-1")).encode("latin-1")
    if isinstance(value, Mapping):
        return {_rename(key, name): _rename(inner, name) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        renamed = [_rename(inner, name) for inner in value]
        return renamed if isinstance(value, list) else tuple(renamed)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _rename(getattr(value, field.name), name) for field in fields(value)})
    return value
