"""For tests: does what came fit the contract? `validate` finds out, and `assert_matches_contract` insists on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import orjson

from contract_tests.checker import Checker
from contract_tests.exchanges import Endpoint, Exchange, Part, Place
from contract_tests.findings import RULES, Finding, Note, Policy, Severity, Tally, in_order
from contract_tests.shapes import kind
from mock_server.contract import contract, versions

_HERE = Place("-", 1)
_NOWHERE = Place("-", 0)
_ALONE = Policy({"job/unfinished": Severity.OFF})
# One exchange does not tell how its job went on.


@runtime_checkable
class HttpResponse(Protocol):
    """What `requests.Response` and `httpx.Response` have in common; `request` has `method`, `url` and `headers`."""

    status_code: int
    content: Any
    headers: Any


def validate(exchange: Exchange | Mapping[str, Any], version: str | None = None) -> list[Finding]:
    """
    Return what does not fit the contract in one exchange, the worst first; empty when all does.

    Args:
        exchange: as a reader gives it; or as a recording has it: a mapping with `request` (`method`, `url`, `headers`,
            `body` or `parts`) and `response` (`status`, `headers`, `body`), where `kind` is "hook" for a webhook. A
            body is a text, bytes, or a value that was sent as JSON.
        version: of the contract; None takes the one that fits best.

    Raises:
        ValueError: there is no such version, or the exchange is not about this API.
    """
    one = exchange if isinstance(exchange, Exchange) else exchange_of(exchange)
    return _closest([_checked(one, candidate) for candidate in _candidates(version)])


def _checked(exchange: Exchange, version: str) -> list[Finding]:
    checker = Checker(version, _ALONE)
    checker.feed([exchange])
    if not checker.messages:
        raise ValueError(
            "expected an exchange with /flux/generate, /flux/edits or /flux/fetch, or a webhook; "
            f"got {exchange.url!r}: say with kind or endpoint what it is"
        )
    return list(checker.report().findings)


def _candidates(version: str | None) -> tuple[str, ...]:
    """Return the versions to try, the newest first, for of equal ones the first is taken."""
    return tuple(reversed(versions())) if version is None else (contract(version).version,)


def _closest(tried: list[list[Finding]]) -> list[Finding]:
    return min(tried, key=lambda found: sum(finding.breaking for finding in found))


def assert_matches_contract(response: object, *, endpoint: str | None = None, version: str | None = None) -> None:
    """
    Assert that an answer, or the body of one, is as the contract says. What the contract does not know is let pass.

    It is about the form of what came: an error that looks as errors do passes, so look at the status yourself.

    Args:
        response: from requests or httpx; or a body: its bytes, or its value.
        endpoint: what a body is: "generate", "edits", "fetch", "error", "callback", or the full name of a schema, such
            as "fetch.response". A response tells it by its URL.
        version: of the contract; None takes the one that fits best.

    Raises:
        AssertionError: it is not; a line for each difference says where, what was expected, what came and why.
        TypeError: it is neither a response nor a value that JSON can hold.
        ValueError: there is no such version or endpoint, or the endpoint must be told and was not.
    """
    if isinstance(response, HttpResponse):
        found = validate(_from_http(response, endpoint), version)
    else:
        found = _of_body(_schema_name(endpoint), response, version)
    # What is wrong with a request, or with the job as such, is not the form of the answer.
    broken = [it for it in found if it.breaking and not it.rule.startswith(("request/", "job/"))]
    if broken:
        lines = "\n".join(f"  {_line(finding)}" for finding in broken)
        status = f", status {response.status_code}," if isinstance(response, HttpResponse) else ""
        raise AssertionError(f"{broken[0].endpoint}{status} does not match contract {broken[0].contract}:\n{lines}")


def exchange_of(recorded: Mapping[str, Any], place: Place = _HERE) -> Exchange:
    """Return an exchange that is given as a recording has it; see `validate`."""
    request, response = recorded.get("request") or {}, recorded.get("response") or {}
    told = Endpoint.CALLBACK if recorded.get("kind") == "hook" else recorded.get("endpoint")
    parts = request.get("parts")
    return Exchange(
        place=place,
        method=str(request.get("method", "")).upper(),
        url=str(request.get("url", "")),
        request_headers=_lower(request.get("headers") or {}),
        request_body=_bytes(request.get("body")),
        parts=None if parts is None else tuple(_part(part) for part in parts),
        status=response.get("status"),
        response_headers=_lower(response.get("headers") or {}),
        response_body=_bytes(response.get("body")),
        endpoint=None if told is None else _endpoint(told),
    )


def _part(part: Mapping[str, Any]) -> Part:
    return Part(part["name"], part.get("text"), part.get("filename"), part.get("content_type", ""), part.get("size", 0))


def _from_http(response: HttpResponse, endpoint: str | None) -> Exchange:
    # A response that was made by hand has no request; httpx raises where requests has None.
    try:
        request = getattr(response, "request", None)
    except RuntimeError:
        request = None
    told = None if endpoint is None else _endpoint(endpoint.partition(".")[0])
    if request is None and told is None:
        raise ValueError("expected a response with its request, got one without: say endpoint='fetch' or the like")
    return Exchange(
        place=_HERE,
        # Without its request nothing is said of that: a POST whose body was not recorded.
        method=str(getattr(request, "method", "POST")).upper(),
        url=str(getattr(request, "url", "")),
        status=response.status_code,
        response_headers=_lower(response.headers),
        response_body=response.content,
        endpoint=told,
    )


def _endpoint(name: str) -> Endpoint:
    if name not in list(Endpoint):
        raise ValueError(f"expected an endpoint out of {', '.join(Endpoint)}, got {name!r}")
    return Endpoint(name)


def _schema_name(endpoint: str | None) -> str:
    names = sorted({name for version in versions() for name in contract(version).schemas})
    if endpoint is None:
        raise ValueError(f"expected endpoint to say what this body is: one of {', '.join(names)}; got None")
    name = endpoint if "." in endpoint else f"{endpoint}.{'request' if endpoint == 'callback' else 'response'}"
    if name not in names:
        raise ValueError(f"expected an endpoint out of {', '.join(names)}, got {endpoint!r}")
    return name


def _of_body(name: str, body: object, version: str | None) -> list[Finding]:
    if isinstance(body, bytes | bytearray | memoryview):
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            note = Note("body/not-json", name, "", f"expected JSON, got something else: {error}")
            return _counted([note], version or versions()[-1])
    else:
        try:
            value = orjson.loads(orjson.dumps(body))
        except TypeError as error:
            raise TypeError(
                f"expected a response of requests or httpx, bytes, or a value for JSON; got {type(body).__name__}: "
                f"{error}"
            ) from None
    return _closest([_counted(_notes(one, name, value), one) for one in _candidates(version)])


def _notes(version: str, name: str, value: object) -> list[Note]:
    one = kind(version, name)
    return one.problems(value) + one.unknown(value)


def _counted(notes: Iterable[Note], version: str) -> list[Finding]:
    tally = Tally()
    for note in notes:
        tally.note(note, _NOWHERE)
    return in_order(tally.findings(Policy(), contract=version))


def _line(finding: Finding) -> str:
    fact = finding.fact
    why = ", ".join((*fact.sources, fact.confidence.value))
    where = f"{fact.file}#{fact.pointer}: " if fact.file else ""
    got = "" if not finding.example or finding.example in finding.message else f"; it was {finding.example}"
    return f"{finding.pointer or '(the whole)'}: {finding.message}{got}  [{where}{why}; {RULES[finding.rule].id}]"


def _lower(headers: Mapping[str, Any]) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in headers.items()}


def _bytes(body: object) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else orjson.dumps(body)
