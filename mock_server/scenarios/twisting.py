"""Changes an answer as a scenario wants it: status, headers, body, and the way onto the wire. Pure."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace

from mock_server.contract import Contract
from mock_server.exchange import Answer
from mock_server.http.wire import End, Wire, wire_words
from mock_server.render import refused
from mock_server.scenarios import editing
from mock_server.scenarios.rules import Turn


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
    status, headers = answer.status, list(answer.headers)
    if twist.redirect is not None:
        status = 307
        headers.append(("Location", twist.redirect))
    status = twist.status or status
    headers += twist.headers
    body = editing.edited(twist.edit, answer.body)
    if twist.edit.coding == "gzip":
        headers.append(("Content-Encoding", "gzip"))
    wire = None
    if twist.wire or seconds:
        fields = dict(twist.wire)
        end = End(fields.pop("end", "keep"))
        wire = Wire(delay=seconds, end=end, **{**fields, "chunks": tuple(fields.get("chunks", ()))})
    lint = (*answer.lint, f"the scenario changed this answer: {_words(turn, wire)}")
    return Answer(
        status, body, headers, answer.explanation, lint, answer.job_id, answer.uploads, wire=wire, twisted=True
    )


def held_back(answer: Answer, until: Future[None]) -> Answer:
    """Return `answer`, to be sent only when `until` is done."""
    lint = (*answer.lint, "the scenario holds this answer back until the webhook has arrived")
    return replace(answer, wire=replace(answer.wire or Wire(), until=until), lint=lint, twisted=True)


def _words(turn: Turn, wire: Wire | None) -> str:
    twist = turn.twist
    parts = [
        f"status {twist.status}" if twist.status else "",
        "redirected" if twist.redirect is not None else "",
        *editing.words(twist.edit),
        wire_words(wire) if wire is not None else "",
    ]
    return ", ".join(filter(None, parts)) or "its headers"
