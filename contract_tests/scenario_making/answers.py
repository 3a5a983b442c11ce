"""What was odd about one recorded answer, as the `then` of a rule; nothing where the emulator answers so by itself."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import orjson

from contract_tests.exchanges import Endpoint, Exchange
from contract_tests.messages import NotJson, Parsed
from contract_tests.scenario_making.differences import decoded, edits, whole
from contract_tests.scenario_making.remarks import Remarks
from contract_tests.scenario_making.wording import JOB_ID, NOWHERE, Mask, Wording
from mock_server import bodies

_SHORTEST_WAIT = 0.3
# Seconds that no answer came for, from which on they are worth playing.

_CAUSES = (
    ("reset", {"silent": True, "end": "reset"}),
    ("timed out", {"silent": True}),
    ("timeout", {"silent": True}),
)
_UNREACHED = ("refused", "getaddrinfo", "name or service", "name_not_resolved", "nodename", "certificate", "ssl", "tls")
_KEPT_HEADERS = ("retry-after", "www-authenticate")
_KEPT_PREFIXES = ("x-ratelimit", "ratelimit")
_JSON = "application/json"
_ORIGIN = re.compile(r"^https?://[^/?#]*")

Then = dict[str, Any]


class Seen(NamedTuple):
    """
    A body as it was recorded.

    Args:
        text: with stand-ins; None when it was not recorded.
        value: the JSON in it, or NotJson.
        coding: other than UTF-8.
    """

    text: str | None
    value: Any
    coding: str | None


def seen_in(body: bytes | None, mask: Mask, job_id: str) -> Seen:
    """Read a body of a message about the job `job_id`."""
    if body is None:
        return Seen(None, None, None)
    text, coding = decoded(body)
    try:
        value = mask.value(orjson.loads(text.encode()), job_id)
    except orjson.JSONDecodeError as error:
        value = NotJson(str(error))
    return Seen(mask.text(text, job_id), value, coding)


class Answers:
    """
    Finds what is odd about answers.

    Args:
        wording: what the emulator would answer.
        mask: takes out what must not be copied.
        remarks: takes what cannot be expressed.
    """

    def __init__(self, wording: Wording, mask: Mask, remarks: Remarks) -> None:
        self._wording = wording
        self._mask = mask
        self._remarks = remarks

    def then(self, message: Parsed, expected: Any, job_id: str) -> Then:
        """
        Return what a rule has to do for the emulator to answer as was recorded.

        Args:
            message: the call and its answer.
            expected: the JSON value of the emulator's own answer of 200; None for an image.
            job_id: id of the job that it is about; "" when there is none.
        """
        exchange = message.exchange
        if exchange.status is None:
            return self._silence(exchange)
        if exchange.status == 307 and "location" in exchange.response_headers:
            return {"redirect": self._mask.text(exchange.response_headers["location"], job_id)}
        seen = seen_in(exchange.response_body, self._mask, job_id)
        found: Then = {}
        if exchange.status < 300:
            if exchange.status not in {200, 206}:
                found["status"] = exchange.status
            if message.endpoint is not Endpoint.IMAGE:
                found |= self._accepted(exchange, seen, expected)
        elif exchange.status != 304:
            if not 200 <= exchange.status <= 599:
                self._remarks.note(f"HTTP status {exchange.status} cannot be played", exchange.place)
                return {}
            found["status"] = exchange.status
            found |= self._refusal(exchange, seen)
        found |= self._headers(exchange, other_type="body" in found or message.endpoint is not Endpoint.IMAGE)
        return self.said(found, exchange)

    def said(self, found: Then, exchange: Exchange) -> Then:
        """Return `found` without the addresses of images, having noted what of it is only nearly what was recorded."""
        for pointer, value in found.get("set", {}).items():
            if "image" in pointer.lower():
                found["set"][pointer] = _nowhere(value)
        if found and JOB_ID in repr(found):
            self._remarks.note("the job's id stands in a place where the emulator cannot put its own", exchange.place)
        return found

    def _accepted(self, exchange: Exchange, seen: Seen, expected: Any) -> Then:
        if exchange.error and exchange.response_body is not None:
            return {"wire": {"body_bytes": len(exchange.response_body), "end": "close"}}
        if seen.text is None:
            return {}
        if isinstance(seen.value, NotJson):
            return self._whole(seen, exchange)
        found = edits(expected, seen.value)
        return found | ({"coding": seen.coding} if seen.coding else {})

    def _refusal(self, exchange: Exchange, seen: Seen) -> Then:
        own = self._wording.refused(exchange.status or 0)
        found: Then = {}
        if exchange.error and exchange.response_body is not None:
            found["wire"] = {"body_bytes": len(exchange.response_body), "end": "close"}
        if seen.text is None or (own and not isinstance(seen.value, NotJson) and orjson.loads(own) == seen.value):
            return found
        return found | self._whole(seen, exchange)

    def _whole(self, seen: Seen, exchange: Exchange) -> Then:
        found, cut = whole(seen.text or "")
        if cut:
            self._remarks.note("a body is too long to be copied whole: it is cut", exchange.place)
        return found | ({"coding": seen.coding} if seen.coding else {})

    def _headers(self, exchange: Exchange, *, other_type: bool) -> Then:
        headers = exchange.response_headers
        kept = {
            name.title(): value
            for name, value in headers.items()
            if name in _KEPT_HEADERS
            or name.startswith(_KEPT_PREFIXES)
            or (name == "location" and exchange.status != 200)
        }
        kind = headers.get("content-type")
        if other_type and kind is not None and bodies.media_type(kind) != _JSON:
            kept["Content-Type"] = kind
        kept = {name: self._mask.text(value) for name, value in kept.items() if value.isprintable()}
        return {"headers": {name: value for name, value in kept.items() if _is_latin(value)}} if kept else {}

    def _silence(self, exchange: Exchange) -> Then:
        words = exchange.error.lower()
        wire = next((dict(wire) for cause, wire in _CAUSES if cause in words), {"silent": True, "end": "close"})
        if any(cause in words for cause in _UNREACHED):
            self._remarks.note("the API could not be reached; the emulator takes the call and hangs up", exchange.place)
        found: Then = {"accepted": False, "wire": wire}
        if "end" in wire and (exchange.elapsed or 0) >= _SHORTEST_WAIT:
            found["delay"] = round(exchange.elapsed or 0, 3)
        return found


def _nowhere(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _nowhere(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_nowhere(inner) for inner in value]
    return _ORIGIN.sub(NOWHERE, value) if isinstance(value, str) else value


def _is_latin(value: str) -> bool:
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True
