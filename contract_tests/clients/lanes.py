"""A story as a swim-lane: the client's calls, the states of its jobs, its webhooks, in the time that it lived in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from contract_tests.clients.story import Ending, HookCall, Outcome, Request, Story
from mock_server.journal import Entry, HookEntry, RequestEntry
from mock_server.model import Attempt, Delivery, Receipt, later
from mock_server.testing.rows import CLIENT, OTHERS, Row, cut, rows_of
from mock_server.testing.timeline import drawn

_LONGEST = 160
_SLOW_SECONDS = 1.0
_HASTY = 0.1
# Share of the longest time between two fetches; a shorter one is told, and not lost in a row of fetches.


def rows_of_story(story: Story) -> list[Row]:
    """Return what happened, in order; instants are seconds on the clock that `start_of` is an instant of."""
    start = start_of(story)
    # Not timed: where real time is scaled, a job that is early was not moved by hand.
    rows = rows_of(story.jobs, _entries(story, start), (), timed=False)
    rows += [_forged_row(hook, start) for hook in story.hooks if hook.forged]
    rows += [
        Row(later(start, one.opened_at), CLIENT, f"connect to {one.origin}: refused")
        for one in story.connections
        if one.refused
    ]
    rows += [
        _outcome_row(outcome, start, f" ({number})" if len(story.outcomes) > 1 else "")
        for number, outcome in enumerate(story.outcomes, start=1)
    ]
    return sorted(rows, key=lambda row: row.at)


def timeline(story: Story, *, width: int = 100, most_lines: int = 40, encoding: str = "utf-8") -> str:
    """
    Return the swim-lane of a story in plain text.

    Args:
        story: what happened.
        width: columns at most; 40 or more.
        most_lines: lines at most; of more, those in the middle are left out, and counted.
        encoding: of where it will be shown.
    """
    return drawn(rows_of_story(story), start_of(story), width=width, most_lines=most_lines, encoding=encoding)


def start_of(story: Story) -> float:
    """Return the instant at which a story began, on the clock of its jobs; 0 where there are none."""
    for job in story.jobs:
        for request in story.submissions:
            if request.job_id == job.id:
                return later(job.submitted_at, -request.at)
    return 0.0


def _entries(story: Story, start: float) -> list[Entry]:
    api = story.origins["api"]
    attempts: Counter[str] = Counter()
    hasty = _hasty(story)
    entries: list[Entry] = [
        _request_entry(request, start, api, hasty.get(request.number, ())) for request in story.requests
    ]
    for hook in story.hooks:
        if not hook.forged:
            attempts[hook.job_id] += 1
            entries.append(_hook_entry(hook, len(entries) + 1, start, attempts[hook.job_id], story))
    return entries


def _hasty(story: Story) -> dict[int, tuple[str, ...]]:
    """Return a remark on each fetch that follows the one before much sooner than others do, by its number."""
    gaps = [(other.number, other.at - one.at) for one, other in pairwise(story.fetches) if one.job_id == other.job_id]
    longest = max((gap for _, gap in gaps), default=0.0)
    return {number: (f"{gap:.3g} s after the fetch before",) for number, gap in gaps if gap < longest * _HASTY}


def _request_entry(request: Request, start: float, api: str, remarks: tuple[str, ...]) -> RequestEntry:
    elsewhere = "" if request.origin == api else f"{request.origin.partition('://')[2]} "
    return RequestEntry(
        number=request.number,
        at=later(start, request.at),
        method=request.method,
        path=f"{elsewhere}{request.path}",
        query=request.query,
        headers={},
        request_body=request.body,
        request_size=len(request.body),
        status=request.status,
        response_body=request.answer,
        explanation="",
        lint=remarks,
        job_id=request.job_id,
        connection=request.connection,
        uploads=(),
        twisted=request.twisted,
        wire=request.fault,
        fields=request.fields or None,
    )


def _hook_entry(hook: HookCall, number: int, start: float, attempt: int, story: Story) -> HookEntry:
    late = hook.answered_at is not None and hook.answered_at - hook.at > _SLOW_SECONDS
    error = hook.error or (f"answered after {hook.answered_at - hook.at:.3g} s" if late and hook.answered_at else None)
    job = story.job(hook.job_id)
    url = (job.order.hook_url if job else None) or "the receiver"
    at = later(start, hook.at)
    delivery = Delivery(f"hook-{number}", hook.job_id, url, hook.body, hook.content_type)
    return HookEntry(number, at, delivery, Attempt(attempt, at, Receipt(hook.status, error)))


def _forged_row(hook: HookCall, start: float) -> Row:
    answer = hook.status if hook.status is not None else "no answer"
    notes = (hook.error,) if hook.error else ()
    return Row(later(start, hook.at), OTHERS, f"forged hook ({hook.forged}) → {answer}", notes)


def _outcome_row(outcome: Outcome, start: float, which: str) -> Row:
    words = {Ending.RETURNED: "it returned", Ending.FAILED: "it reported failure", Ending.HUNG: "it never ended"}
    return Row(later(start, outcome.at), CLIENT, f"{words[outcome.ending]}{which}", tuple(_said(outcome)))


def _said(outcome: Outcome) -> Iterator[str]:
    if outcome.ending is not Ending.RETURNED:
        if outcome.error:
            yield cut(outcome.error, _LONGEST)
    elif isinstance(outcome.value, bytes | bytearray):
        yield f"{len(outcome.value):,} bytes"
    else:
        yield cut(str(outcome.value), _LONGEST)
