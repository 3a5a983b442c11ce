"""Answers that ask a client to come again later."""

from __future__ import annotations

from contract_tests.clients.directives.base import Directive, Family, rule


def _waits() -> dict[str, str | None]:
    return {
        "": None,
        ", Retry-After: 7": "7",
        ", Retry-After: 40": "40",
    }


def _odd_waits() -> dict[str, str]:
    return {
        ", Retry-After as a date": "Tue, 10 Sep 2024 00:00:30 GMT",
        ", Retry-After in the past": "Fri, 01 Jan 2021 00:00:00 GMT",
        ", Retry-After: abc": "abc",
        ", Retry-After: -5": "-5",
        ", Retry-After: 1.5": "1.5",
        ", Retry-After: 9999999999": "9999999999",
    }


def busy(on: str, family: Family, *, odd: bool = False) -> list[Directive]:
    """Return answers of 429 and 503 that ask to come again; `on` is an endpoint, as in a scenario."""
    waits = _odd_waits() if odd else _waits()
    return [
        Directive(
            f"{on}: {status}{text}{times}",
            family,
            (rule(on, calls, status=status, **({} if value is None else {"headers": {"Retry-After": value}})),),
            harmless=False,
        )
        for times, calls in ((", three times", {"first": 3}),) + (() if odd else (("", 1),))
        for status in ((429,) if odd else (429, 503))
        for text, value in waits.items()
    ] + [
        Directive(f"{on}: {status}, always", family, (rule(on, None, status=status),), harmless=False)
        for status in ((429, 503) if family is Family.BUSY_SUBMIT else ())
    ]


def troubled_submits() -> list[Directive]:
    """Return submissions that are not accepted since the queue is full, or for a trouble of the API's own."""
    return [
        Directive(
            f"submit: {status}{times}", Family.BUSY_SUBMIT, (rule("submit", calls, status=status),), harmless=False
        )
        for times, calls in ((", three times", {"first": 3}), ("", 1), (", always", None))
        for status in (499, 500)
    ]
