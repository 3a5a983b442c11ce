"""What an answer to a step of a conformance run means; pure."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import orjson

from contract_tests.exchanges import Exchange
from contract_tests.findings import Confidence, Fact, Note, as_example
from contract_tests.jobs import job_id_of
from contract_tests.verify.calls import Form, Key
from contract_tests.verify.plan import UNKNOWN_JOB, Order, Refusal, quota_units
from mock_server.model import JobState

FINAL = frozenset(state.value for state in JobState if state.final)
OK = Fact("error.response.json", "/x-http", ("S2",), Confidence.DOCUMENTED)
"""That 200 means success, and every other status another thing."""

_LONGEST = 200
_KEY = Fact("error.response.json", "/x-http/401", ("S2",), Confidence.DOCUMENTED)
_STATUS = Fact("fetch.response.json", "/$defs/success/properties/status", ("S1", "S2", "S3"), Confidence.DOCUMENTED)
_IMAGE = Fact("fetch.response.json", "/$defs/success/properties/data/properties/imageUrl")
_JOB_STATES = frozenset(state.value for state in JobState) - {JobState.FAILED.value}


def body_of(exchange: Exchange) -> dict[str, Any]:
    """Return the JSON object that was answered; empty where it was none."""
    try:
        value = orjson.loads(exchange.response_body or b"")
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def is_key_refused(step: Refusal, exchange: Exchange) -> bool:
    """Whether the key that was given does not open the API."""
    return step.name == UNKNOWN_JOB and exchange.status in {401, 403}


def is_accepted(step: Refusal, exchange: Exchange) -> bool:
    """Whether an order that must be refused was accepted, be it in a form that nobody has documented."""
    if step.endpoint not in {"generate.response", "edits.response"}:
        return False
    body = body_of(exchange)
    if exchange.status is not None and 200 <= exchange.status < 300 and not _says_failed(body):
        return True
    return body.get("status") == JobState.SUCCESS.value or job_id_of(body) is not None


def is_clearly_refused(exchange: Exchange) -> bool:
    """Whether the API itself refused an order; whatever else came, it may have been accepted, and charged."""
    status = exchange.status
    return status is not None and 400 <= status < 500 and not exchange.error and _says_failed(body_of(exchange))


def _says_failed(body: dict[str, Any]) -> bool:
    return body.get("status") == JobState.FAILED.value and not body.get("data") and job_id_of(body) is None


def redirect_of(exchange: Exchange) -> str:
    """Return where a redirect leads, without its query, which may hold secrets; "" when it is none."""
    redirected = exchange.status is not None and 300 <= exchange.status < 400
    return exchange.response_headers.get("location", "").partition("?")[0][:_LONGEST] if redirected else ""


def of_refusal(step: Refusal, exchange: Exchange, expected: int) -> Note | None:
    """
    Return what is wrong with the answer to a call that must be refused.

    Args:
        step: what was done.
        exchange: what came of it; there was an answer.
        expected: the HTTP status that is right.
    """
    got = exchange.status
    about = f"{step.name} ({step.does})"
    if is_key_refused(step, exchange):
        return Note("verify/key-refused", step.endpoint, "", f"the given key was answered {got}", _KEY, str(got))
    if is_accepted(step, exchange):
        rule = "verify/accepted" if step.call.key is Key.GIVEN else "verify/key-accepted"
        words = f"{about}: expected {expected}, got an acceptance, which may have been charged"
        return Note(rule, step.endpoint, "", words, step.fact, as_example(body_of(exchange).get("data")))
    status = body_of(exchange).get("status")
    if step.endpoint == "fetch.response" and isinstance(status, str) and status in _JOB_STATES:
        if step.call.key is not Key.GIVEN:
            words = f"{about}: expected {expected}, got the status of a job"
            return Note("verify/key-accepted", step.endpoint, "/status", words, step.fact, as_example(status))
        words = f"{about}: expected {expected}, got the status of a job"
        return Note("verify/unknown-job", step.endpoint, "/status", words, _STATUS, as_example(status))
    if got == expected:
        return None
    if step.same_as:
        words = f"{about}: expected {expected} as for {step.same_as}, got {got}"
        return Note("verify/fetch-form", "fetch.request", "", words, step.fact, str(got))
    fact = step.fact
    if step.two_faults and got is not None and 400 <= got < 500:
        fact = fact._replace(sources=(), confidence=Confidence.ASSUMED)  # the other fault may be answered first
    return Note("verify/status", step.endpoint, "", f"{about}: expected {expected}, got {got}", fact, str(got))


def of_success(name: str, endpoint: str, exchange: Exchange) -> Note | None:
    """Return what is wrong with the HTTP status of an answer that is a success."""
    if exchange.status == 200:
        return None
    words = f"{name}: expected 200, got {exchange.status}"
    return Note("verify/status", endpoint, "", words, OK, str(exchange.status))


def of_form(form: Form, exchange: Exchange, final: dict[str, Any]) -> Note | None:
    """Return what is wrong with the answer to a finished job asked for in another way."""
    if exchange.status == 200 and body_of(exchange) == final:
        return None
    got = exchange.status if exchange.status != 200 else "another answer"
    words = f"{form.call} ({form.name}): expected the same answer as to a JSON body, got {got}"
    return Note("verify/fetch-form", "fetch.request", "", words, form.fact)


def of_wrong_key(exchange: Exchange) -> Note | None:
    """Return what is wrong with the answer to a job that was asked for with a key that nobody has."""
    if exchange.status == 401:
        return None
    status = body_of(exchange).get("status")
    if isinstance(status, str) and status in _JOB_STATES:
        words = "a job told its status to a key that nobody has"
        return Note("verify/key-accepted", "fetch.response", "/status", words, _KEY, as_example(status))
    words = f"a job, asked for with a key that nobody has: expected 401, got {exchange.status}"
    hidden = exchange.status is not None and 400 <= exchange.status < 500
    fact = _KEY._replace(sources=(), confidence=Confidence.ASSUMED) if hidden else _KEY
    return Note("verify/status", "fetch.response", "", words, fact, str(exchange.status))


def charged(final: dict[str, Any]) -> Decimal | None:
    """Return the quota units that a finished job has consumed; None when it does not tell a sensible number."""
    data = final.get("data")
    quota = data.get("quota") if isinstance(data, dict) else None
    if isinstance(quota, bool) or not isinstance(quota, str | int | float):
        return None
    return quota_units(str(quota))


def of_charge(order: Order, units: Decimal | None) -> Note | None:
    """Return what is wrong with what a job has consumed."""
    endpoint, pointer = "fetch.response", "/data/quota"
    if units is None:
        words = f"{order.name}: what it cost is not told; it counts as {order.price:f}"
        return Note("verify/charge-unknown", endpoint, pointer, words, order.fact)
    if units == order.price:
        return None
    words = f"{order.name} ({order.does}): expected {order.price:f} quota units, got {units:f}"
    return Note("verify/charged", endpoint, pointer, words, order.fact, as_example(f"{units:f}"))


def of_image(exchange: Exchange, size: object) -> Note | None:
    """
    Return what is wrong with a downloaded image, which should have that size ("1024x1024").

    That it was refused is no matter of this: the check of the exchange tells it, as that of any recording does.
    """
    if exchange.status is not None and exchange.status >= 400:
        return None
    documented = _IMAGE._replace(sources=("S1",), confidence=Confidence.DOCUMENTED)
    if exchange.error or exchange.status != 200:
        got = exchange.error or f"status {exchange.status}"
        return Note(
            "verify/image", "fetch.response", "/data/imageUrl", f"expected an image there, got {got}", documented
        )
    assumed = _IMAGE._replace(confidence=Confidence.ASSUMED)
    kind, dimensions = _picture(exchange.response_body or b"")
    if kind != "WEBP":
        words = f"expected a WebP image there, got {kind or 'no image'}"
        return Note("verify/image", "fetch.response", "/data/imageUrl", words, assumed if kind else documented)
    if isinstance(size, str) and dimensions != size:
        words = f"expected an image of the size that is told, got one of {dimensions}"
        return Note("verify/image", "fetch.response", "/data/size", words, assumed, as_example(size))
    return None


def _picture(data: bytes) -> tuple[str, str]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.format or "", f"{image.width}x{image.height}"
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        return "", ""
