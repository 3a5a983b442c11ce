"""Changes an answer as a scenario wants it: status, headers, body, coding, and the way onto the wire. Pure."""

from __future__ import annotations

import gzip
from typing import Any

import orjson

from mock_server.contract import Contract
from mock_server.exchange import Answer
from mock_server.http.wire import End, Wire
from mock_server.render import refused
from mock_server.scenario import Turn, Twist

_BOM = b"\xef\xbb\xbf"


def spared(turn: Turn | None) -> bool:
    """Whether the request is not to be carried out."""
    return turn is not None and not turn.twist.accepted


def refusal(turn: Turn | None, contract: Contract) -> Answer:
    """Return the answer to a request that is not carried out, before it is twisted."""
    status = (turn and turn.twist.status) or 200
    envelope = refused(contract, status) if status in contract.error_messages else b""
    return Answer(status, envelope, explanation=f"the scenario answers {status} here" if status >= 400 else "")


def twisted(turn: Turn | None, answer: Answer) -> Answer:
    """Return `answer` as it comes out of its turn."""
    if turn is None:
        return answer
    twist, seconds = turn.twist, turn.seconds
    status, headers, body = answer.status, list(answer.headers), answer.body
    if twist.redirect is not None:
        status = 307
        headers.append(("Location", twist.redirect))
    status = twist.status or status
    headers += twist.headers
    if twist.body is not None:
        body = twist.body.encode("utf-8", "surrogatepass")
    if body and (twist.set or twist.remove or twist.rename):
        body = _edited(body, twist)
    if twist.coding is not None:
        body = _coded(body, twist.coding)
    if twist.coding == "gzip":
        headers.append(("Content-Encoding", "gzip"))
    wire = None
    if twist.wire or seconds:
        fields = dict(twist.wire)
        end = End(fields.pop("end", "keep"))
        wire = Wire(delay=seconds, end=end, **{**fields, "chunks": tuple(fields.get("chunks", ()))})
    lint = (*answer.lint, f"the scenario changed this answer: {_words(turn)}")
    return Answer(
        status, body, headers, answer.explanation, lint, answer.job_id, answer.uploads, wire=wire, twisted=True
    )


def _words(turn: Turn) -> str:
    twist = turn.twist
    parts = [
        f"status {twist.status}" if twist.status else "",
        "redirected" if twist.redirect is not None else "",
        "another body" if twist.body is not None else "",
        f"set {', '.join(twist.set)}" if twist.set else "",
        f"removed {', '.join(twist.remove)}" if twist.remove else "",
        f"renamed {', '.join(twist.rename)}" if twist.rename else "",
        twist.coding or "",
        f"{turn.seconds:.3g} s late" if turn.seconds else "",
        ", ".join(f"{name} {value}" for name, value in twist.wire.items()),
    ]
    return ", ".join(filter(None, parts)) or "its headers"


def _edited(body: bytes, twist: Twist) -> bytes:
    value = orjson.loads(body)
    for pointer in twist.remove:
        parent, name = _find(value, pointer)
        if isinstance(parent, dict):
            parent.pop(name, None)
    for pointer, new in twist.set.items():
        parent, name = _find(value, pointer)
        if isinstance(parent, dict):
            parent[name] = new
    return bytes(memoryview(orjson.dumps(_renamed(value, dict(twist.rename)))))


def _find(value: Any, pointer: str) -> tuple[Any, str]:
    """Return the object that holds what `pointer` names, and its name there; None where there is no such object."""
    *way, name = (part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
    for part in way:
        value = value.get(part) if isinstance(value, dict) else None
    return value, name


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {names.get(name, name): _renamed(inner, names) for name, inner in value.items()}
    return value


def _coded(body: bytes, coding: str) -> bytes:
    if coding == "gzip":
        # A time of its own would make the bytes differ from run to run.
        return gzip.compress(body, mtime=0)
    if coding == "bom":
        return _BOM + body
    return body.decode("utf-8", "replace").encode(coding, "replace")
