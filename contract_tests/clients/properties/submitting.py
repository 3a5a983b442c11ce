"""Submitting and paying: C01 to C07."""

from __future__ import annotations

from collections import Counter

from contract_tests.clients.directives.base import Family
from contract_tests.clients.properties.base import (
    NOT_EXERCISED,
    PASSED,
    Judgement,
    Level,
    Policy,
    failed,
    once_more,
    prop,
    verdict,
)
from contract_tests.clients.story import Ending, Request, Story
from mock_server.model import JobState

_REJECTIONS = frozenset({400, 401, 402, 403})


def refused_for_now(request: Request) -> bool:
    """
    Whether a request was not accepted, and may well be when it comes again.

    That is 429 and 503, and of a submission 499 (the queue is full) and 500 too: S2 says to retry once or twice.
    """
    if request.is_submission:
        return request.job_id is None and request.status in {429, 499, 500, 503}
    return request.status in {429, 503}


def _is_ambiguous(request: Request, again: list[Request]) -> bool:
    """Whether a job was made and the client could not know it: then, or when it sent the same `again`."""
    if request.job_id is None:
        return False
    answer = request.answer_json
    usable = isinstance(answer, dict) and request.job_id in str(answer.get("data"))
    came = request.answered_at is not None and all(other.at >= request.answered_at for other in again)
    return not (request.status == 200 and request.whole and usable and came)


def _sent_again(story: Story, first: Request) -> list[Request]:
    """Return the later submissions of what `first` ordered."""
    later = [request for request in story.submissions if request.number > first.number]
    return [request for request in later if len(story.intents) == 1 or request.body == first.body]


def _same(policy: Policy, requests: list[Request]) -> bool:
    """Whether an idempotency key makes all of these one and the same."""
    if not policy.idempotency_header:
        return False
    keys = {request.header(policy.idempotency_header) for request in requests}
    return len(keys) == 1 and None not in keys


@prop("C01", "no double submit after an ambiguous outcome", Level.MUST, Family.AMBIGUOUS_SUBMIT)
def no_double_submit(story: Story, policy: Policy) -> Judgement:
    """
    Invariant: after a submission whose answer got lost, the client does not submit again: the job may have been
        accepted, and is charged.
    Observed: submissions and jobs made for one intent, when an answer was reset, closed, stalled, late, truncated,
        HTML, 502 or 504 after the job had been accepted.
    Source: S2 (a submission costs quota; there is no idempotency key).
    Usual bug: a retry of the transport that covers POST, as urllib3's Retry(allowed_methods=None), a loop around the
        whole call, or a timeout that is shorter than an answer may take.
    Fix: retry GETs and fetches only; after a lost answer to a submission report failure, and look for the job first.
    """
    tries = ((request, _sent_again(story, request)) for request in story.submissions)
    first, again = next((one for one in tries if _is_ambiguous(*one)), (None, []))
    if first is None:
        return NOT_EXERCISED
    if not again or policy.resubmit or _same(policy, [first, *again]):
        return PASSED
    return failed(f"it submitted {once_more(len(again))} after {_lost(first)}", bills=len(story.jobs))


def _lost(request: Request) -> str:
    if request.fault:
        return f"an answer that was {request.fault}"
    if request.status != 200:
        return f"an answer of {request.status}"
    return "an answer that was no JSON" if request.answer_json is None else "an answer that it did not wait for"


@prop("C02", "no resubmit on definite rejection", Level.MUST, Family.REJECTED_SUBMIT)
def no_resubmit_after_rejection(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: after 400, 401, 402 or 403 the client does not send the same submission again.
    Observed: submissions after the first one that was refused so.
    Source: S2 (on 4xx check the request before a retry).
    Usual bug: a retry on every status of 400 and more.
    Fix: retry only what is worth it: 429, 499 and 503, with a limit; report all other refusals at once.
    """
    first = next((request for request in story.submissions if request.status in _REJECTIONS), None)
    if first is None:
        return NOT_EXERCISED
    known_at = first.at if first.answered_at is None else first.answered_at
    later = [request for request in story.submissions if request.number > first.number and request.at >= known_at]
    again = [request for request in later if request.body == first.body]
    return verdict(not again, f"it sent the same submission {once_more(len(again))} after {first.status}")


@prop("C03", "bounded retry of what was not accepted", Level.SHOULD, Family.BUSY_SUBMIT)
def bounded_retry(story: Story, policy: Policy) -> Judgement:
    """
    Invariant: a submission that was refused for now (429, 499, 500, 503) is tried again a few times at the most, and
        then reported as failed.
    Observed: submissions that were answered so, without a job.
    Source: S2 (429 short-term rate exceeded, 499 queue exhausted; retry 5xx once or twice); AWS's standard retry mode
        makes three attempts.
    Usual bug: while True around the submission.
    Fix: count the attempts; give up after three to five.
    """
    refused = [request for request in story.submissions if refused_for_now(request)]
    if not refused:
        return NOT_EXERCISED
    if story.outcome.ending is Ending.HUNG:
        return failed(f"it had sent {len(refused)} submissions that were refused, and went on")
    return verdict(
        len(refused) <= policy.max_attempts,
        f"it sent {len(refused)} submissions that were refused for now, more than {policy.max_attempts}",
    )


@prop("C04", "a resubmitted body is identical", Level.MUST, Family.BUSY_SUBMIT)
def identical_resubmission(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: a submission that is sent again is the same: method, path, fields and key.
    Observed: submissions after one that was refused for now (429, 499, 500, 503), field by field; of a multipart body
        the parts, whatever the boundary.
    Source: RFC 9110, 9.2.2 (a retry repeats the request).
    Usual bug: the body is built, or its file read, once outside the loop and used up in the first attempt.
    Fix: build the request anew for each attempt.
    """
    refused = [request for request in story.submissions if refused_for_now(request)]
    if not refused or len(story.submissions) < 2 or len(story.intents) > 1:
        return NOT_EXERCISED
    first = story.submissions[0]
    for other in story.submissions[1:]:
        for what, one, two in (
            ("method", first.method, other.method),
            ("path", first.path, other.path),
            ("key", first.header("TT-API-KEY"), other.header("TT-API-KEY")),
            ("fields", first.fields, other.fields),
        ):
            if one != two:
                return failed(f"the {what} of submission {other.number} differs from that of the first one")
    return PASSED


@prop("C05", "a FAILED job is not silently bought again", Level.MUST, Family.FAILED_JOB)
def no_new_job_after_failure(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: when a job FAILED, the client reports that, and does not order the image once more by itself.
    Observed: submissions after the client was told FAILED.
    Source: S1 (FAILED); whether a FAILED job is refunded is not known, so assume that it is not.
    Usual bug: one retry loop around submitting and polling.
    Fix: raise an error that names the reason in `message`; let the caller decide.
    """
    told = next((fetch for fetch in story.fetches if _status(fetch) == "FAILED" and fetch.status == 200), None)
    if told is None:
        return NOT_EXERCISED
    again = [request for request in story.submissions if request.number > told.number]
    return verdict(not again, f"it ordered {len(again)} more images after it was told FAILED")


def _status(request: Request) -> object:
    answer = request.answer_json
    return answer.get("status") if isinstance(answer, dict) else None


@prop("C06", "quota is conserved", Level.MUST)
def conserved_quota(story: Story, policy: Policy) -> Judgement:
    """
    Invariant: for one image one job is paid for, and at the price of the mode that the client was told, if it was.
    Observed: jobs and their modes in the ledger against images that were wanted.
    Source: S2 (prepaid quota, charged by job, by its mode).
    Usual bug: two submissions for one call, whatever the reason; a mode that is written into the body, while the
        parameter is not looked at.
    Fix: submit once, in one place, and send the mode that you were given; see C01 for retries.
    """
    if not story.jobs:
        return NOT_EXERCISED
    told = {intent.mode for intent in story.intents if intent.mode_told}
    other = next((job.order.mode for job in story.jobs if told and job.order.mode not in told), None)
    if other is not None:
        return failed(f"it was told the mode {', '.join(told)}, and paid for {other}: {story.spent:f} quota units")
    wanted = len(story.intents)
    if len(story.jobs) <= wanted or policy.resubmit:
        return PASSED
    return failed(f"it wanted {wanted} and paid for {len(story.jobs)}: {story.spent:f} quota units", len(story.jobs))


@prop(
    "C07",
    "the cap on jobs under way is honoured",
    Level.POLICY,
    Family.PARALLEL,
    unseen="no more images were wanted at once than jobs may be under way",
)
def capped_concurrency(story: Story, policy: Policy) -> Judgement:
    """
    Invariant: no more jobs are under way at once than was declared.
    Observed: submissions and ends of jobs, in time.
    Source: declared by the user (max_in_flight); how many the API allows is not documented.
    Usual bug: a pool without a limit.
    Fix: a semaphore around submitting and polling.
    """
    if policy.max_in_flight is None or not story.jobs or len(story.intents) <= policy.max_in_flight:
        return NOT_EXERCISED
    moves = Counter[float]()
    for job in story.jobs:
        moves[job.submitted_at] += 1
        if job.finished_at is not None and job.state in {JobState.SUCCESS, JobState.FAILED}:
            moves[job.finished_at] -= 1
    under_way = most = 0
    for _, change in sorted(moves.items()):
        under_way += change
        most = max(most, under_way)
    return verdict(
        most <= policy.max_in_flight, f"{most} jobs were under way at once, more than {policy.max_in_flight}"
    )
