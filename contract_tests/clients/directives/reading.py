"""Answers that the contract allows, and that are hard to read."""

from __future__ import annotations

from typing import Any

from contract_tests.clients.directives.base import AS_HTML, HTML, Directive, Family, Rules, rule

_SLOW: dict[str, Any] = {"on": "job", "then": {"queue_seconds": 12, "run_seconds": 20}}
# So that a client sees the job unfinished.

_EXTRA: dict[str, Any] = {"x_trace": {"id": "7f", "hops": [1, None, {"deep": True}]}, "seed": 4294967296, "urls": []}
_SUBMIT, _FETCH = "submit", "fetch"


def _both(**then: Any) -> Rules:
    return rule(_SUBMIT, None, **then), rule(_FETCH, None, **then)


def unknown_fields() -> list[Directive]:
    """Return answers with fields that no contract knows."""
    made = {
        "in the envelope": {f"/{name}": value for name, value in _EXTRA.items()},
        "in data": {f"/data/{name}": value for name, value in _EXTRA.items()},
    }
    return [
        Directive(f"answers: unknown fields {where}", Family.UNKNOWN_FIELDS, _both(set=fields))
        for where, fields in made.items()
    ]


def null_data() -> list[Directive]:
    """Return unfinished jobs with data of null, and with data full of nulls."""
    fail = {"on": "job", "then": {"fail": "prompt violation", "queue_seconds": 5, "run_seconds": 5}}
    return [
        Directive("fetch: data is null while the job runs", Family.NULL_DATA, (_SLOW,), {"data": "null"}),
        Directive("fetch: data is full of nulls while the job runs", Family.NULL_DATA, (_SLOW,), {"data": "object"}),
        Directive("fetch: data is null at FAILED", Family.NULL_DATA, (fail,), {"data": "null"}, harmless=False),
        Directive(
            "fetch: data is full of nulls at FAILED", Family.NULL_DATA, (fail,), {"data": "object"}, harmless=False
        ),
    ]


def odd_messages() -> list[Directive]:
    """Return answers whose message is not the usual one."""
    messages: dict[str, object] = {"null": None, "empty": "", "10 kB long": "x" * 10_240, "not ASCII": "成功 ✓ é"}
    return [
        Directive(f"answers: message is {what}", Family.ODD_MESSAGE, _both(set={"/message": message}))
        for what, message in messages.items()
    ] + [Directive("answers: no message", Family.ODD_MESSAGE, _both(remove=["/message"]))]


def partial_data() -> list[Directive]:
    """Return unfinished jobs that already have some data."""
    partial: dict[str, dict[str, object]] = {
        "progress": {"progress": "40%", "imageUrl": None},
        "an empty imageUrl": {"imageUrl": "", "quota": "0"},
        "only the id": {"mode": "flux-dev"},
        "the URL of a preview": {"imageUrl": "http://images.fluxmock.test/2024-09-10/preview.webp", "progress": 40},
    }
    return [
        Directive(
            f"fetch: ON_QUEUE with {what}",
            Family.PARTIAL_DATA,
            (_SLOW, rule(_FETCH, {"first": 2}, set={"/status": "ON_QUEUE", "/data": data})),
        )
        for what, data in partial.items()
    ]


def no_image() -> list[Directive]:
    """Return jobs that succeed without an image."""
    ways: dict[str, dict[str, Any]] = {
        "imageUrl is null": {"set": {"/data/imageUrl": None}},
        "imageUrl is empty": {"set": {"/data/imageUrl": ""}},
        "no imageUrl": {"remove": ["/data/imageUrl"]},
        "data is null": {"set": {"/data": None}},
    }
    at_once = {"on": "job", "then": {"queue_seconds": 0, "run_seconds": 0}}
    return [
        Directive(f"fetch: SUCCESS, but {what}", Family.NO_IMAGE, (at_once, rule(_FETCH, None, **then)), harmless=False)
        for what, then in ways.items()
    ]


def body_forms() -> list[Directive]:
    """Return the same answers in other bytes."""
    ways: dict[str, dict[str, Any]] = {
        "spaced, in another order, ASCII alone": {"coding": "pretty"},
        "with a charset in their type": {"headers": {"Content-Type": "application/json;charset=utf-8"}},
        "chunked": {"wire": {"chunks": [1, 7, 3]}},
        "a byte at a time": {"wire": {"piece": 1, "pause": 0.001}},
        "gzip": {"coding": "gzip"},
    }
    return [Directive(f"answers: {what}", Family.BODY_FORM, _both(**then)) for what, then in ways.items()]


def number_forms() -> list[Directive]:
    """Return results whose numbers are written in other ways."""
    forms: dict[str, object] = {"1": 1, "1.0": 1.0, "'1.00'": "1.00", "a large number": 2**53}
    return [
        Directive(f"fetch: quota is {what}", Family.NUMBER_FORM, (rule(_FETCH, None, set={"/data/quota": value}),))
        for what, value in forms.items()
    ]


def no_json() -> list[Directive]:
    """Return refusals of a submission that are no JSON."""
    ways: dict[str, dict[str, Any]] = {
        "500 with HTML": {"status": 500, "headers": AS_HTML, "body": HTML},
        "413 with HTML": {"status": 413, "headers": AS_HTML, "body": HTML},
        "500 without a body": {"status": 500, "body": ""},
        "400 with truncated JSON": {"status": 400, "body": '{"status":"FAIL'},
        "400 with a JSON text": {"status": 400, "body": '"Parameter error"'},
    }
    return [
        Directive(f"submit: {what}", Family.NO_JSON, (rule(_SUBMIT, None, **then),), harmless=False)
        for what, then in ways.items()
    ]


def closed_connections() -> list[Directive]:
    """Return connections that the server closes between calls; the job is slow, so that it happens many times."""
    slow = {"on": "job", "then": {"queue_seconds": 10, "run_seconds": 16}}
    ways = {"connection closed after each": {"end": "close"}, "idle connection closed after 1 s": {"idle": 1}}
    return [
        Directive(f"answers: {what}", Family.CLOSED_CONNECTION, (slow, *_both(wire=wire)))
        for what, wire in ways.items()
    ]


def stalled() -> list[Directive]:
    """Return answers that do not come, or not to their end."""
    ways: dict[str, dict[str, Any]] = {
        "no answer": {"wire": {"silent": True, "end": "keep"}},
        "stops in the middle of the body": {"wire": {"piece": 120, "pause": 3600}},
    }
    return [
        Directive(f"{on}: {what}", Family.STALLED, (rule(on, None, **then),), harmless=False)
        for on in (_SUBMIT, _FETCH)
        for what, then in ways.items()
    ]


def dripping() -> list[Directive]:
    """Return fetches whose answers come so slowly that no timeout for a single read is ever over."""
    wire = {"piece": 30, "pause": 25}
    return [Directive("fetch: 30 bytes every 25 s", Family.DRIPPING, (rule(_FETCH, None, wire=wire),), harmless=False)]
