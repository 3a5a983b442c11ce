"""One call over a socket and in-process, and the ways in which its answer comes or breaks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import requests

from mock_server.adapters.inprocess import InProcess
from mock_server.control import TenantControl
from mock_server.product import load_product

ORIGINS = load_product().origins
API, IMAGES = ORIGINS.api, ORIGINS.images
HEADERS = {"TT-API-KEY": "the key of production"}
SHORT = 0.4
"""Seconds that a client waits where something never comes. Over a socket they really pass."""

PATIENT = 30

ANSWERED = {
    "nothing special": {"status": 200},
    "late, but in time": {"delay": 0.01},
    "in pieces": {"wire": {"piece": 30, "pause": 0.001}},
    "chunked": {"wire": {"chunks": [1, 5, 17]}},
    "chunked in pieces": {"wire": {"chunks": [9], "piece": 4}},
    "closed afterwards": {"wire": {"end": "close"}},
    "half closed afterwards": {"wire": {"end": "half close"}},
    "reset afterwards": {"wire": {"end": "reset"}},
    "length too short": {"wire": {"length_error": -10}},
    "length too short, closed": {"wire": {"length_error": -10, "end": "close"}},
    "gzip": {"coding": "gzip"},
    "gzip, chunked": {"coding": "gzip", "wire": {"chunks": [10]}},
    "byte order mark": {"coding": "bom"},
    "utf-16": {"coding": "utf-16"},
    "half of the JSON": {"body": '{"status":"SUCC'},
    "empty body": {"body": ""},
    "gateway error": {"status": 502, "body": "<html>", "headers": {"Content-Type": "text/html"}},
    "rate limited": {"status": 429, "headers": {"Retry-After": "0"}},
    "cookie": {"headers": {"Set-Cookie": "seen=1; Path=/"}},
}
BROKEN = {
    "empty answer": {"wire": {"silent": True, "end": "close"}},
    "empty answer, half closed": {"wire": {"silent": True, "end": "half close"}},
    "reset at once": {"wire": {"silent": True, "end": "reset"}},
    "reset after a while": {"delay": 0.01, "wire": {"silent": True, "end": "reset"}},
    "body cut": {"wire": {"body_bytes": 10, "end": "close"}},
    "body reset": {"wire": {"body_bytes": 10, "end": "reset"}},
    "chunks cut": {"wire": {"chunks": [7], "body_bytes": 20, "end": "close"}},
    "gzip cut": {"coding": "gzip", "wire": {"body_bytes": 20, "end": "close"}},
    "no gzip at all": {"headers": {"Content-Encoding": "gzip"}},
    "length too long, closed": {"wire": {"length_error": 5, "end": "close"}},
}
ENDLESS = {
    "too late": {"delay": 3},
    "silent": {"wire": {"silent": True}},
    "pause too long": {"wire": {"piece": 150, "pause": 3}},
    "length too long": {"wire": {"length_error": 5}},
    "body stops": {"wire": {"body_bytes": 10}},
}
WIRES = [(name, then, PATIENT) for name, then in (ANSWERED | BROKEN).items()]
WIRES += [(name, then, SHORT) for name, then in ENDLESS.items()]

Outcome = tuple[object, ...]


def scenario(then: dict[str, Any], on: str = "generate", **rule: Any) -> dict[str, Any]:
    return {"name": "one-fault", "rules": [{"on": on, "then": {"accepted": True, **then}, **rule}]}


def both_ways(
    ask: Callable[[str], Outcome], way: Any, rule: dict[str, Any], tenant: TenantControl, inprocess: InProcess
) -> tuple[Outcome, Outcome]:
    """What `ask` comes to over a socket and in-process, in the same world made anew: it repeats its ids."""
    tenant.scenario(rule)
    by_socket = outcome(lambda: ask(tenant.url))
    jobs, _ = len(tenant.jobs), tenant.reset()
    tenant.scenario(rule)
    with way.intercept(inprocess):
        in_process = outcome(lambda: ask(API))
    return (*by_socket, jobs), (*in_process, len(tenant.jobs))


def words(error: BaseException) -> str:
    """What an error says, without the address."""
    text = re.sub(r"HTTPS?ConnectionPool\(host=.*?, port=\d+\)", "POOL", repr(error.args))
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def outcome(ask: Callable[[], Outcome]) -> Outcome:
    """What `ask` comes to: its answer, or the error with its cause."""
    try:
        return ask()
    except (requests.RequestException, httpx.HTTPError) as error:
        return type(error), type(error.__cause__ or error.__context__), words(error)


def answer(response: requests.Response | httpx.Response) -> Outcome:
    return (
        response.status_code,
        response.reason_phrase if isinstance(response, httpx.Response) else response.reason,
        (response.content),
        dict(response.headers),
        dict(response.cookies),
    )


def no_content(_environ: object, start_response: Callable[..., object]) -> list[bytes]:
    """Answer any webhook: it is taken."""
    start_response("204 No Content", [])
    return []
