"""The calls that a conformance run makes, as data; nothing here sends one."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from contract_tests.findings import Confidence, Fact
from mock_server import resources

PROMPT = "a red circle on a white background"
_FETCH = "/flux/fetch"


class Key(StrEnum):
    """Which API key goes along."""

    GIVEN = "the given key"
    NONE = "no key"
    WRONG = "a key that nobody has"


class Call(NamedTuple):
    """
    One call.

    Args:
        method: in capitals.
        path: below the base URL.
        arguments: the body or the query, as `requests.Request` takes them.
        key: which one goes along.
    """

    method: str
    path: str
    arguments: Mapping[str, Any] = {}
    key: Key = Key.GIVEN

    def __str__(self) -> str:
        return f"{self.method} {self.path}{'?jobId=' if 'params' in self.arguments else ''}"


class Form(NamedTuple):
    """A way to ask how a job stands: what it is called, the call, and who documents it."""

    name: str
    call: Call
    fact: Fact


def generate(fields: Mapping[str, Any], key: Key = Key.GIVEN) -> Call:
    """Return an order of an image."""
    return Call("POST", "/flux/generate", {"json": fields}, key)


def edits(fields: Mapping[str, str], *, image: bool = True, key: Key = Key.GIVEN) -> Call:
    """Return an order of an edit, with a small picture or without."""
    files: dict[str, Any] = {name: (None, text) for name, text in fields.items()}
    if image:
        picture = resources.folder("fixtures") / "images" / "cat.webp"
        files["image"] = (picture.name, picture.read_bytes(), "image/webp")
    return Call("POST", "/flux/edits", {"files": files}, key)


def fetch(fields: Mapping[str, str], key: Key = Key.GIVEN) -> Call:
    """Return the question how a job stands, in the way that is documented first."""
    return Call("POST", _FETCH, {"json": fields}, key)


def other_forms(job_id: str) -> tuple[Form, ...]:
    """Return the other documented ways to ask how a job stands."""
    return (
        Form("form", Call("POST", _FETCH, {"files": {"jobId": (None, job_id)}}), _form_fact("S2")),
        Form("get", Call("GET", _FETCH, {"params": {"jobId": job_id}}), _form_fact("S3")),
        Form("post-query", Call("POST", _FETCH, {"params": {"jobId": job_id}}), _form_fact("S3")),
    )


def _form_fact(source: str) -> Fact:
    return Fact("fetch.request.json", "", (source,), Confidence.DOCUMENTED)
