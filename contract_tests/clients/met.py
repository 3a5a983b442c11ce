"""What a client met in its stories: statuses, nulls, faults, orders of webhooks; what it did not meet is not known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from contract_tests.clients.story import HookCall, Story
from contract_tests.exchanges import Endpoint

_MOST_NULLS = 20
# Of one answer; a scenario may make lists of them.


class Kind(StrEnum):
    """What can be met."""

    STATUS = "HTTP status"
    TOLD = "job status"
    NULL = "null"
    FAULT = "fault"
    HOOK = "hook"
    DIRECTIVE = "directive"


def note(story: Story, met: dict[str, int]) -> None:
    """Add to `met` what the client met in a story: by "kind: what", how often."""
    for kind, what in _met(story):
        name = f"{kind}: {what}"
        met[name] = met.get(name, 0) + 1


def by_kind(met: Mapping[str, int]) -> dict[Kind, dict[str, int]]:
    """Return what was met by its kind, the most frequent first."""
    sorted_: dict[Kind, dict[str, int]] = {kind: {} for kind in Kind}
    for name, count in sorted(met.items(), key=lambda one: (-one[1], one[0])):
        kind, _, what = name.partition(": ")
        sorted_[Kind(kind)][what] = count
    return sorted_


def _met(story: Story) -> Iterator[tuple[Kind, str]]:
    for directive in story.directives:
        yield Kind.DIRECTIVE, directive.name
    api = story.origins["api"]
    for request in story.requests:
        if request.fault:
            yield Kind.FAULT, request.fault
        if request.origin != api or not request.whole:
            continue
        yield Kind.STATUS, str(request.status)
        if request.endpoint is not None and request.endpoint is not Endpoint.IMAGE:
            for pointer in _nulls(request.answer_json):
                yield Kind.NULL, f"{request.endpoint} {pointer}"
    for fetch in story.fetches:
        answer = fetch.answer_json
        if fetch.whole and fetch.status == 200 and isinstance(answer, dict):
            yield Kind.TOLD, repr(answer["status"]) if "status" in answer else "none"
    yield from ((Kind.HOOK, order) for order in _orders(story))


def _nulls(value: Any, pointer: str = "", depth: int = 0) -> list[str]:
    if value is None:
        return [pointer] if pointer else []
    if depth > 5:
        return []
    if isinstance(value, dict):
        inner = [found for name, child in value.items() for found in _nulls(child, f"{pointer}/{name}", depth + 1)]
    elif isinstance(value, list):
        inner = list(dict.fromkeys(found for child in value for found in _nulls(child, f"{pointer}/*", depth + 1)))
    else:
        inner = []
    return inner[:_MOST_NULLS]


def _orders(story: Story) -> Iterator[str]:
    for hook in story.hooks:
        if hook.forged:
            yield f"forged: {hook.forged}"
    for job in story.jobs:
        if job.order.hook_url is None or not job.state.final:
            continue
        hooks = [hook for hook in story.hooks if hook.job_id == job.id and not hook.forged]
        if not hooks:
            yield "none came"
            continue
        yield _against_submission(story, job.id, hooks[0])
        yield _against_fetches(story, job.id, hooks[0])
        if len(hooks) > 1:
            same = len({hook.body for hook in hooks}) == 1
            yield "it came more than once" if same else "it came more than once, and differed"


def _against_submission(story: Story, job_id: str, hook: HookCall) -> str:
    submission = next((request for request in story.submissions if request.job_id == job_id), None)
    answered = None if submission is None else submission.answered_at
    early = answered is None or hook.at < answered
    return "before the answer to the submission" if early else "after the answer to the submission"


def _against_fetches(story: Story, job_id: str, hook: HookCall) -> str:
    for fetch in story.fetches:
        answer = fetch.answer_json
        if fetch.job_id == job_id and isinstance(answer, dict) and answer.get("status") in {"SUCCESS", "FAILED"}:
            return "before the final fetch" if hook.at < fetch.at else "after the final fetch"
    return "and no final fetch"
