"""What calls are expected, how many of them, and in what a call that came is not one of them. Pure.

A call matches an expectation when there is no difference between them, so that a near miss and a match are told by
the same code.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import orjson

from mock_server import bodies, diagnose
from mock_server.exchange import header_text, shown
from mock_server.journal import RequestEntry

_LONG = 80

_ENDPOINTS: dict[str, tuple[str, str, str]] = {
    "generate": ("POST", r"/flux/generate", "POST /flux/generate"),
    "edits": ("POST", r"/flux/edits", "POST /flux/edits"),
    "submit": ("POST", r"/flux/(generate|edits)", "POST /flux/generate or /flux/edits"),
    "fetch": ("POST|GET|HEAD", r"/flux/fetch", "/flux/fetch"),
    "image": ("GET|HEAD", r"/[^/]+/[^/]+\.webp", "GET of an image"),
}


class FormText(str):
    """A value from a form or a query, where everything is text: the number 1 is meant by "1"."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Expectation:
    """
    A kind of call.

    Args:
        endpoint: generate, edits, submit (either of these), fetch, image, or a path such as "/flux/fetch"; None is any.
        method: the HTTP method; None is any that the endpoint takes.
        status: of the answer.
        job_id: the job that the call made or asked for.
        fields: of the body or the query, by name. What is expected of each is a value, a compiled pattern to be found
            in it, or a function that says whether it will do.

    Raises:
        ValueError: the endpoint, or a value, cannot be expected.
    """

    endpoint: str | None = None
    method: str | None = None
    status: int | None = None
    job_id: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known, came = [*_ENDPOINTS], self.endpoint
        if came is not None and (not isinstance(came, str) or (came not in known and not came.startswith("/"))):
            close = difflib.get_close_matches(str(came), known, n=1)
            hint = f": did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"endpoint: expected one of {', '.join(known)}, or a path such as /flux/fetch, got {shown(came)}{hint}"
            )
        if self.status is not None and (isinstance(self.status, bool) or not isinstance(self.status, int)):
            raise ValueError(f"status: expected an HTTP status such as 200, got {shown(self.status)}")
        if self.job_id is not None and not isinstance(self.job_id, str):
            raise ValueError(f"job_id: expected the id of a job, got {shown(self.job_id)}")
        for name, value in self.fields.items():
            if isinstance(value, re.Pattern) and not isinstance(value.pattern, str):
                raise ValueError(f"{name}: expected a pattern for text, got one for bytes: write it without b")

    def __str__(self) -> str:
        return " ".join(filter(None, [self._target(), self._particulars()]))

    def _target(self) -> str:
        words = "any endpoint" if self.endpoint is None else _ENDPOINTS.get(self.endpoint, ("", "", self.endpoint))[2]
        method = self.method.upper() if self.method else ""
        return words if not method or words.startswith(method) else f"{method} {words}"

    def _particulars(self) -> str:
        parts = [f"{name}={worded(value)}" for name, value in self.fields.items()]
        parts += [f"status {self.status}"] * (self.status is not None)
        parts += [f"job_id {shown(self.job_id)}"] * (self.job_id is not None)
        return f"with {', '.join(parts)}" if parts else ""


@dataclass(frozen=True, slots=True)
class Amount:
    """How many calls are expected: at least `low`, and at most `high` unless that is None."""

    low: int
    high: int | None

    @classmethod
    def of(cls, times: int | None = None, at_least: int | None = None, at_most: int | None = None) -> Amount:
        """Return what the three words mean together; none of them is at least one. Raises ValueError."""
        for name, value in (("times", times), ("at_least", at_least), ("at_most", at_most)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise ValueError(f"{name}: expected a whole number, 0 or more, got {shown(value)}")
        if times is not None:
            if at_least is not None or at_most is not None:
                raise ValueError("times: expected it alone, got at_least or at_most, too: leave one of them out")
            return cls(times, times)
        if at_least is None and at_most is None:
            return cls(1, None)
        low = at_least or 0
        if at_most is not None and low > at_most:
            raise ValueError(f"at_least: expected no more than at_most, got {low} and {at_most}: swap them")
        return cls(low, at_most)

    def __contains__(self, number: int) -> bool:
        return self.low <= number and (self.high is None or number <= self.high)

    def __str__(self) -> str:
        if self.high is None:
            return f"at least {counted(self.low, 'call')}"
        if self.high == self.low:
            return "no call" if not self.high else f"exactly {counted(self.high, 'call')}"
        return f"{self.low} to {self.high} calls" if self.low else f"at most {counted(self.high, 'call')}"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which a call is not what was expected; both sides are worded for a person."""

    field: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.field}: expected {self.expected}, got {self.got}"


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A call that is not one of those expected, and why."""

    entry: RequestEntry
    differences: tuple[Difference, ...]


def sent_fields(entry: RequestEntry) -> dict[str, Any]:
    """Return the fields of a request, from its body and its query; where both have one, that of the body counts."""
    return {**_texts(entry.query), **_body_fields(entry)}


def _body_fields(entry: RequestEntry) -> dict[str, Any]:
    if entry.fields is not None:
        return {name: FormText(value) for name, value in entry.fields.items()}
    if bodies.media_type(entry.headers.get("Content-Type", "")) == bodies.FORM:
        text = entry.request_body.decode("utf-8", "replace")
        # Of what was cut, the last field may be a part only.
        return _texts(text.rpartition("&")[0] if _is_cut(entry) else text)
    # JSON that came under another name was refused; what was meant by it is of interest all the same.
    try:
        value = orjson.loads(entry.request_body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _is_cut(entry: RequestEntry) -> bool:
    return entry.fields is None and entry.request_size > len(entry.request_body)


def _texts(text: str) -> dict[str, Any]:
    return {name: FormText(value) for name, value in parse_qsl(text, keep_blank_values=True)}


def differences(entry: RequestEntry, expectation: Expectation) -> tuple[Difference, ...]:
    """Return in what a call is not the one that is expected; nothing, when it is."""
    methods, path, words = ("", "", "")
    if expectation.endpoint is not None:
        anywhere = (".*", re.escape(expectation.endpoint), expectation.endpoint)
        methods, path, words = _ENDPOINTS.get(expectation.endpoint, anywhere)
    found = []
    if path and not re.fullmatch(path, entry.path):
        found.append(Difference("path", words.removeprefix("POST "), header_text(entry.path)[:_LONG]))
    methods = expectation.method.upper() if expectation.method else methods
    if methods and not re.fullmatch(methods, entry.method):
        found.append(Difference("method", methods.replace("|", " or "), header_text(entry.method)[:_LONG]))
    if expectation.status is not None and entry.status != expectation.status:
        found.append(Difference("status", str(expectation.status), str(entry.status)))
    if expectation.job_id is not None and entry.job_id != expectation.job_id:
        got = "no job" if entry.job_id is None else shown(entry.job_id)
        found.append(Difference("job_id", shown(expectation.job_id), got))
    if expectation.fields:
        sent = sent_fields(entry)
        compared = (_compared(entry, sent, name, value) for name, value in expectation.fields.items())
        found += filter(None, compared)
    return tuple(found)


def _compared(entry: RequestEntry, sent: Mapping[str, Any], name: str, expected: Any) -> Difference | None:
    if name not in sent:
        return Difference(name, worded(expected), _missing(entry, sent, name))
    got = sent[name]
    try:
        fits = _fits(expected, got)
    except Exception as error:  # noqa: BLE001 - a function of the user's may do anything with what it did not expect
        return Difference(name, worded(expected), f"{shown(got)}, for which it raised {error!r}")
    return None if fits else Difference(name, *_told_apart(expected, got))


def _fits(expected: Any, got: Any) -> bool:
    if isinstance(expected, re.Pattern):
        return expected.search(got if isinstance(got, str) else json.dumps(got, ensure_ascii=False)) is not None
    if callable(expected):
        return bool(expected(got))
    if isinstance(got, FormText) and isinstance(expected, (int, float, Decimal)):
        return got in {str(expected), str(expected).lower()}
    if isinstance(expected, (bool, int, float)) and isinstance(expected, bool) is not isinstance(got, bool):
        return False  # Python takes True for 1; JSON does not
    return bool((list(expected) if isinstance(expected, tuple) else expected) == got)


def _missing(entry: RequestEntry, sent: Mapping[str, Any], name: str) -> str:
    if _is_cut(entry):
        return f"none in what is kept of the body, {len(entry.request_body)} of {entry.request_size} bytes"
    close = diagnose.meant(name, sent)
    return "no such field" + (f", but {close}={shown(sent[close])}: did you mean {close!r}?" if close else "")


def worded(expected: Any) -> str:
    """Return what is expected of a field, for a person."""
    if isinstance(expected, re.Pattern):
        return f"a match of {shown(expected.pattern)}"
    return f"what {getattr(expected, '__name__', 'a function')} accepts" if callable(expected) else shown(expected)


def _told_apart(expected: Any, got: Any) -> tuple[str, str]:
    """Word two values that differ; of long texts, that part in which they do."""
    if isinstance(expected, str) and isinstance(got, str) and max(len(expected), len(got)) > _LONG:
        alike = next((at for at, pair in enumerate(zip(expected, got, strict=False)) if pair[0] != pair[1]), None)
        start = max(0, (min(len(expected), len(got)) if alike is None else alike) - _LONG // 4)
        return _part(expected, start), _part(got, start)
    return worded(expected), shown(got)


def _part(text: str, start: int) -> str:
    end = start + _LONG
    return f"{'...' if start else ''}{text[start:end]!r}{'...' if len(text) > end else ''}"


def counted(number: int, what: str) -> str:
    """Return a number of things, for a person; `what` is one of them."""
    return f"{number} {what}{'' if number == 1 else 's'}"
