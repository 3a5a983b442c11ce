"""A job's webhooks as rules: whether they came, how often, when, and with what in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import orjson

from contract_tests.messages import NotJson, Parsed
from contract_tests.scenario_making.answers import Answers, Then, seen_in
from contract_tests.scenario_making.differences import edits, whole
from contract_tests.scenario_making.remarks import Remarks
from contract_tests.scenario_making.states import Life
from contract_tests.scenario_making.stories import Job
from contract_tests.scenario_making.wording import Mask, Wording
from mock_server import bodies
from mock_server.model import JobState
from mock_server.postman import LOST
from mock_server.scenarios.rules import Moment

_NOTABLE = 1.0
# Seconds from which on a webhook is late, or sent again because it did not arrive.


@dataclass(frozen=True, slots=True)
class Deliveries:
    """
    The webhooks of one job.

    Args:
        rules: each as the sendings that it is for (None is all others) and its `then`.
        retries: seconds between attempts that failed.
    """

    rules: tuple[tuple[int | None, Then], ...] = ()
    retries: tuple[float, ...] = ()


class Postbox:
    """
    Reads webhooks.

    Args:
        wording: what the emulator would send.
        mask: takes out what must not be copied.
        answers: notes what cannot be copied.
        remarks: takes what cannot be expressed.
        lost: whether a webhook that is not in the recording was not sent; else nobody knows.
    """

    def __init__(self, wording: Wording, mask: Mask, answers: Answers, remarks: Remarks, *, lost: bool) -> None:
        self._wording = wording
        self._mask = mask
        self._answers = answers
        self._remarks = remarks
        self._lost = lost

    def deliveries(self, job: Job, life: Life) -> Deliveries:
        """Return what was odd about the webhooks of a job."""
        if not job.hooks:
            if job.hook_url is None or life.final is None:
                return Deliveries()
            if self._lost:
                return Deliveries(((None, {"drop": True}),))
            self._remarks.note(
                "no webhook is in the recording, although one was ordered: whether it came is unknown, so it is sent "
                "(--lost-hooks says that it never came)",
                None if job.submission is None else job.submission.exchange.place,
            )
            return Deliveries()
        copies, retries = self._sendings(job.hooks)
        timing = self._timing(job, life)
        if copies > 1:
            timing["copies"] = copies
        contents = [self.content(hook, job, life, first=hook is job.hooks[0]) for hook in job.hooks]
        return Deliveries(_rules(timing, contents), retries)

    def content(self, hook: Parsed, job: Job, life: Life, *, first: bool = True) -> Then:
        """Return what was odd about one webhook itself."""
        exchange = hook.exchange
        if exchange.error == LOST.error:
            if first:
                self._remarks.note("the first sending of a webhook got lost: it is sent here", exchange.place)
                return {}
            return {"drop": True}
        found: Then = {}
        seen = seen_in(exchange.request_body, self._mask, job.id)
        if isinstance(seen.value, NotJson) and seen.text is not None:
            if seen.text.startswith("{"):
                found["body_bytes"] = len(exchange.request_body or b"")
            else:
                found |= whole(seen.text)[0]
        elif seen.text is not None:
            status = life.final or JobState.SUCCESS.value
            found |= edits(
                self._wording.fetched(job, status, life.reason or self._wording.failure, seen.value), seen.value
            )
        if seen.coding:
            found["coding"] = seen.coding
        kind = exchange.request_headers.get("content-type", "" if exchange.request_headers else None)
        if kind is not None and (not kind or bodies.media_type(kind) != "application/json"):
            found["content_type"] = kind if kind.isascii() and kind.isprintable() else ""
        return self._answers.said(found, exchange)

    def _sendings(self, hooks: Sequence[Parsed]) -> tuple[int, tuple[float, ...]]:
        copies, retries = 1, []
        for before, hook in pairwise(hooks):
            gap = _gap(before, hook)
            if not _arrived(before) and gap is not None and gap >= _NOTABLE:
                retries.append(round(gap, 3))
                continue
            copies += 1
            if gap is not None and gap >= _NOTABLE:
                self._remarks.note("a webhook came again later; here its copies come at once", hook.exchange.place)
        return min(copies, 100), tuple(retries)

    def _timing(self, job: Job, life: Life) -> Then:
        first, submission = job.hooks[0], job.submission
        if submission is not None and _is_early(first, submission):
            return {"when": Moment.BEFORE_ANSWER.value}
        at, seen = first.exchange.at, life.first_final
        if at is None or seen is None or life.ended is None:
            return {}
        last = next((look.message for look in life.looks if look.message.exchange.at == seen), first)
        if at < seen or (at == seen and first.exchange.place.number < last.exchange.place.number):
            return {}
        if at - seen < _NOTABLE:
            return {"when": Moment.AFTER_FINAL_FETCH.value}
        return {"delay": round(at - life.ended, 3)}


def _is_early(hook: Parsed, submission: Parsed) -> bool:
    one, other = hook.exchange, submission.exchange
    if one.place.number > other.place.number or one.place.file != other.place.file:
        return False
    return one.at is None or other.at is None or one.at <= other.at + (other.elapsed or 0.0)


def _arrived(hook: Parsed) -> bool:
    status = hook.exchange.status
    return status is not None and 200 <= status < 300


def _gap(one: Parsed, other: Parsed) -> float | None:
    first, second = one.exchange.at, other.exchange.at
    return None if first is None or second is None else second - first


def _rules(timing: dict[str, Any], contents: Sequence[Then]) -> tuple[tuple[int | None, Then], ...]:
    """Return rules for sendings: the first decides about timing, too; a rule for all others comes last."""
    first, *others = contents
    if all(_same(content, first) for content in others):
        return ((None, {**timing, **first}),) if timing or first else ()
    rules: list[tuple[int | None, Then]] = [(number, content) for number, content in enumerate(others, 2) if content]
    whole_first = {**timing, **first}
    if whole_first:
        rules.append((1 if first else None, whole_first))
    return tuple(rules)


def _same(one: Then, other: Then) -> bool:
    return orjson.dumps(one) == orjson.dumps(other)
