"""Polling: C08 to C19."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, pairwise

from contract_tests.clients.directives.base import Family
from contract_tests.clients.properties.base import (
    NOT_EXERCISED,
    PASSED,
    Judgement,
    Level,
    Policy,
    failed,
    once_more,
    overstayed,
    prop,
    verdict,
)
from contract_tests.clients.story import Ending, Request, Story
from mock_server.contract import contract
from mock_server.http.wire import End, Wire, wire_words

_FINAL = frozenset({"SUCCESS", "FAILED"})
_ABSENT = frozenset({"", "undefined", "None", "null", "nil", "[object Object]"})
_HUNG_UP = tuple(wire_words(Wire(silent=True, end=end)) for end in End if end is not End.KEEP)
_LONG_TROUBLE = 180.0
# Seconds of nothing but trouble, after which a client that has tried again may give up: many have no more patience.

_AT_ONCE = 0.5
# Seconds: what a library sends again by itself comes sooner, however busy the machine is; a pause is longer.


def told_status(request: Request) -> object:
    """Return the status that a fetch was answered with; None when the client could not read it."""
    answer = request.answer_json
    readable = request.status == 200 and request.whole and isinstance(answer, dict)
    return answer.get("status") if readable else None


def asked_for(request: Request, story: Story) -> object:
    """Return the job id that a fetch asks for; None when it names none."""
    return request.fields.get(contract(story.contract).id_field, request.fields.get("jobId"))


def told_by_hook(story: Story) -> dict[str, float]:
    """Return the final statuses that webhooks of the API told the client, and when each did so first."""
    told: dict[str, float] = {}
    for hook in story.hooks:
        status = hook.told.get("status")
        if not hook.forged and status in _FINAL:
            told.setdefault(str(status), hook.at)
    return told


def ended_well(story: Story, why: str) -> Judgement:
    """Judge by whether the client got its image, in a scenario in which nothing stood in its way."""
    outcome = story.outcome
    if outcome.ending is Ending.RETURNED:
        return PASSED
    told = "it never ended" if outcome.ending is Ending.HUNG else f"it reported failure ({outcome.error[:120]})"
    return failed(f"{told} {why}")


def _final_fetches(story: Story) -> Iterator[tuple[Request, str]]:
    """Return, of each job, the first fetch that told the client its final status."""
    seen: set[str] = set()
    for fetch in story.fetches:
        if fetch.job_id and fetch.job_id not in seen and told_status(fetch) in _FINAL and fetch.answered_at is not None:
            seen.add(fetch.job_id)
            yield fetch, fetch.job_id


@prop("C08", "polling stops at the final status", Level.MUST, Family.FAILED_JOB)
def stops_at_the_end(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: once a fetch has said SUCCESS or FAILED, the job is not fetched again; one that is under way may end.
    Observed: fetches of a job that began after the answer with its final status had been sent.
    Source: S1 (SUCCESS and FAILED are final).
    Usual bug: only SUCCESS ends the loop, so that a job that failed is polled for ever.
    Fix: leave the loop at SUCCESS and at FAILED.
    """
    exercised = False
    for final, job_id in _final_fetches(story):
        exercised = True
        later = [
            fetch
            for fetch in story.fetches
            if fetch.job_id == job_id
            and fetch.number > final.number
            and final.answered_at is not None
            and fetch.at >= final.answered_at
        ]
        if later:
            return failed(f"it fetched the job {once_more(len(later))} after it was told {told_status(final)}")
    return PASSED if exercised else NOT_EXERCISED


@prop("C09", "an unknown status is not the end", Level.MUST, Family.UNKNOWN_STATUS)
def unknown_status_is_not_final(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: a status that the client does not know means that the job is still under way.
    Observed: the outcome, where some fetches were answered with a status that no contract has, and then SUCCESS.
    Source: 2026-03 added PENDING_QUEUE (S2), so there will be others.
    Usual bug: an else branch that raises, or an enum that refuses the value.
    Fix: treat all but SUCCESS and FAILED as "not yet", up to the deadline.
    """
    if not story.only(Family.UNKNOWN_STATUS) or not any(fetch.twisted for fetch in story.fetches):
        return NOT_EXERCISED
    return ended_well(story, "although an unknown status was followed by SUCCESS")


@prop("C10", "it gives up", Level.MUST, Family.ENDLESS_JOB, Family.BROKEN_FETCH)
def gives_up(story: Story, policy: Policy) -> Judgement:
    """
    Invariant: a job that never ends is given up by the deadline, and reported as failed.
    Observed: the end of the client, and its last fetch, where the job stays in the queue or every fetch fails. One that
        is ended for its many requests is not blamed if they took it a minute or more: it may have given up yet.
    Source: times are documented nowhere, so a client needs a limit of its own.
    Usual bug: while True around the fetch.
    Fix: a deadline for the whole call; raise when it is over.
    """
    if not story.only(Family.ENDLESS_JOB, Family.BROKEN_FETCH) or not story.fetches:
        return NOT_EXERCISED
    outcome = story.outcome
    if outcome.ending is Ending.RETURNED:
        told = told_by_hook(story)
        return NOT_EXERCISED if told else failed("it said that it has the image of a job that never ended")
    late = overstayed(outcome, policy)
    if late is None:
        return NOT_EXERCISED
    return verdict(not late, f"{late}, with {len(story.fetches)} fetches")


@prop("C11", "the rate of polling is bounded", Level.SHOULD, Family.SLOW_JOB, Family.DRIPPING, timing=True)
def bounded_rate(story: Story, policy: Policy) -> Judgement:
    """
    Invariant: between two fetches of a job that go well lies at least a second.
    Observed: the time from the answer to one fetch, its last byte, to the next fetch.
    Source: S2 (429 when the short-term rate is exceeded).
    Usual bug: a loop without a pause, or one in milliseconds.
    Fix: sleep between fetches, better with a growing pause.
    """
    gaps = [gap for one, gap in _gaps(story) if told_status(one) is not None]
    if not gaps:
        return NOT_EXERCISED
    least = min(gaps)
    return verdict(
        least >= policy.min_gap * 0.95,
        f"only {least:.3g} s lay between an answer and the next fetch; min_gap is {policy.min_gap:g} s",
    )


def _gaps(story: Story) -> Iterator[tuple[Request, float]]:
    """
    Return each fetch but the last ones of the jobs, and the time from its answer to the next one.

    A fetch that the client's library has sent once more by itself counts as one with what came of it in the end.
    """
    resent = False
    for one, other in pairwise(story.fetches):
        resent = not resent and _is_resent(one, other)
        same = one.job_id == other.job_id and one.job_id is not None
        if same and not resent and told_status(one) not in _FINAL and not _woken(story, one, other):
            yield one, _gap(one, other)


def _gap(one: Request, other: Request) -> float:
    heard = one.answered_at is not None and one.answered_at <= other.at
    return other.at - (one.answered_at if heard and one.answered_at is not None else one.at)


def _is_resent(one: Request, other: Request) -> bool:
    """
    Whether `other` may be what a library sent when the connection of `one` was lost without an answer.

    aiohttp does so, and Go: once, at once, with the same bytes, and only by a method that is idempotent.
    """
    lost = one.method == "GET" and one.fault.endswith(_HUNG_UP)
    return lost and other.raw == one.raw and _gap(one, other) < _AT_ONCE


def _woken(story: Story, one: Request, other: Request) -> bool:
    """Whether a webhook came between two fetches: then it may be what the second one is for."""
    return any(one.at <= hook.at <= other.at for hook in story.hooks)


@prop(
    "C12", "polling does not speed up under errors", Level.SHOULD, Family.FLAKY_FETCH, Family.BROKEN_FETCH, timing=True
)
def no_hot_loop_under_errors(story: Story, policy: Policy) -> Judgement:
    """
    Invariant: after a fetch that failed the client waits for a second at least, and after several in a row about as
        long as after those that did not fail, unless its pauses grow. What Retry-After says comes first.
    Observed: the time from a fetch that failed to the next one, against the client's own pauses. A GET whose connection
        was lost without an answer and that is sent once more at once is one fetch: libraries do that by themselves.
    Source: S2 (on 5xx retry once or twice); Stoica et al., SOSP 2024, on retries without a pause; RFC 9110, 9.2.2
        (methods that are idempotent may be retried automatically). Tried: aiohttp does so.
    Usual bug: `except: continue` in front of the sleep.
    Fix: sleep at the head of the loop, or in a finally; urllib3's Retry sends its first retry without a pause.
    """
    gaps = list(_gaps(story))
    after_failures = [gap for one, gap in gaps if told_status(one) is None]
    if not after_failures:
        return NOT_EXERCISED
    least = min(after_failures)
    if least < policy.min_gap * 0.95:
        return failed(f"only {least:.3g} s after a fetch that failed it sent the next; min_gap is {policy.min_gap:g} s")
    usual = min((gap for one, gap in gaps if told_status(one) is not None), default=0.0)
    for row in _rows_of_failures(gaps):
        # One quick try more is fair, and so are several whose pauses grow, or that soon give way to the usual pause.
        if len(row) > 1 and max(row) < usual * 0.5 and max(row) < row[0] * 1.5:
            return failed(f"after fetches that failed it waited {max(row):.3g} s, and after others {usual:.3g} s")
    return PASSED


def _rows_of_failures(gaps: list[tuple[Request, float]]) -> Iterator[list[float]]:
    """Return the pauses after fetches that failed in a row, but for those that the server asked for."""
    for trouble, row in groupby(gaps, lambda pair: told_status(pair[0]) is None):
        if trouble:
            yield [gap for one, gap in row if "retry-after" not in one.answer_headers]


@prop("C13", "it polls the right id", Level.MUST)
def polls_the_right_id(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: a fetch carries exactly an id that this key was given.
    Observed: the ids of fetches against those of the jobs.
    Source: S1 (jobId of the submission).
    Usual bug: the id is changed on its way: lower case, a number, cut.
    Fix: treat the id as text that means nothing.
    """
    asked = [asked_for(fetch, story) for fetch in story.fetches]
    asked = [job_id for job_id in asked if job_id is not None and str(job_id) not in _ABSENT]
    if not asked:
        return NOT_EXERCISED
    known = {job.id for job in story.jobs}
    wrong = next((job_id for job_id in asked if job_id not in known), None)
    return verdict(wrong is None, f"it fetched {str(wrong)[:60]!r}, which is the id of no job")


@prop("C14", "it never polls before it has an id", Level.MUST, Family.AMBIGUOUS_SUBMIT, Family.REJECTED_SUBMIT)
def never_polls_without_id(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: no fetch without an id, or with what a language makes of a missing one.
    Observed: the ids of fetches.
    Source: S2 (2026-03 spells it data.job_id, so that data.jobId is missing).
    Usual bug: `data.get("jobId")`, or `undefined` in a template, used without a look.
    Fix: check the id after the submission, and fail there, with the answer in the error.
    """
    if not story.submissions:
        return NOT_EXERCISED
    for fetch in story.fetches:
        job_id = asked_for(fetch, story)
        if job_id is None or str(job_id).strip() in _ABSENT:
            return failed(f"it fetched with the id {job_id!r}")
    return PASSED


@prop("C15", "it tolerates late visibility", Level.SHOULD, Family.LATE_VISIBILITY)
def tolerates_late_visibility(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: when the first fetch or two of a new job say 404, the client goes on; however many say so, it does not
        submit again.
    Observed: the outcome and the jobs, where the first fetches were answered 404 and all went well then.
    Source: assumed (404 for an unknown job id); read replicas lag.
    Usual bug: raise_for_status() on every fetch.
    Fix: for the first half a minute count a 404 as "not yet".
    """
    if not story.only(Family.LATE_VISIBILITY) or not any(fetch.twisted for fetch in story.fetches):
        return NOT_EXERCISED
    if len(story.jobs) > 1:
        return failed("it ordered again when its new job was not found", bills=len(story.jobs))
    if sum(fetch.status == 404 for fetch in story.fetches) > 2 and story.outcome.ending is Ending.FAILED:
        return PASSED  # a job that stays unknown may be given up
    return ended_well(story, "although the job was there at the next fetch")


@prop("C16", "transient failures of fetches are survived", Level.MUST, Family.FLAKY_FETCH)
def survives_flaky_fetches(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: up to three fetches in a row that fail (5xx, reset, timeout, no JSON) do not end a job that is paid for,
        and bring no new submission.
    Observed: the outcome and the submissions, where one to three fetches failed and all went well then; not of a client
        that tried again and gave up after three minutes of trouble.
    Source: S1 (fetch is free of charge), S2 (on 5xx retry once or twice).
    Usual bug: any exception in the loop ends it, and the image that was paid for is lost.
    Fix: catch errors of transport and 5xx around the fetch, and poll on up to the deadline.
    """
    first = next((fetch for fetch in story.fetches if fetch.twisted), None)
    if not story.only(Family.FLAKY_FETCH) or first is None:
        return NOT_EXERCISED
    if any(request.number > first.number for request in story.submissions):
        return failed("it ordered again when a fetch failed", bills=len(story.jobs))
    goes_on = story.fetches[-1].number > first.number
    if goes_on and story.fetches[-1].twisted and story.outcome.at - first.at > _LONG_TROUBLE:
        return NOT_EXERCISED  # its own deadline may have been over before a fetch worked again
    return ended_well(story, "although fetches worked again, and the image was paid for")


@prop("C17", "regressions of the status are tolerated", Level.SHOULD, Family.REGRESSING_STATUS)
def tolerates_regressions(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: ON_QUEUE, then PENDING_QUEUE, then SUCCESS ends in the image.
    Observed: the outcome, where a fetch showed an older status than the one before.
    Source: S2 (PENDING_QUEUE), read replicas lag.
    Usual bug: a state machine of the client's own that raises.
    Fix: look only for SUCCESS and FAILED.
    """
    if not story.only(Family.REGRESSING_STATUS) or not any(fetch.twisted for fetch in story.fetches):
        return NOT_EXERCISED
    return ended_well(story, "although a status that went back was followed by SUCCESS")


@prop("C18", "HTTP 200 with FAILED is a failure", Level.MUST, Family.FAILED_JOB)
def failed_is_failure(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: when the body says FAILED the client reports failure, whatever the HTTP status.
    Observed: the outcome, where the only job FAILED and the client was told so.
    Source: S1 (FAILED comes with HTTP 200).
    Usual bug: success is judged by the HTTP status alone.
    Fix: look at `status` in the body; raise with its `message`.
    """
    told = [fetch for fetch in story.fetches if told_status(fetch) == "FAILED"]
    if not told or story.succeeded:
        return NOT_EXERCISED
    return verdict(story.outcome.ending is not Ending.RETURNED, "it reported success although the job FAILED")


@prop("C19", "one documented form of fetch", Level.SHOULD)
def documented_form(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: a fetch is a GET with the id in the query, or a POST with it in the query or a body of JSON or a form.
    Observed: method, query and body of fetches.
    Source: S1 (POST with JSON), S2 (POST with a form), S3 (GET or POST with a query).
    Usual bug: a GET with a body, which proxies drop.
    Fix: POST the id as JSON, the form that all versions take.
    """
    if not story.fetches:
        return NOT_EXERCISED
    forms = {(fetch.method, bool(fetch.query), bool(fetch.body)) for fetch in story.fetches}
    odd = next(
        (
            (method, body)
            for method, query, body in forms
            if method not in {"GET", "POST"} or (method == "GET" and body)
        ),
        None,
    )
    return verdict(
        odd is None,
        "it sends fetches as a GET with a body" if odd and odd[0] == "GET" else f"it fetches by {odd and odd[0]}",
    )
