"""Rate limits and time: C20 to C25. C23, on many instances at once, is not judged: a story has one client."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from itertools import pairwise

from contract_tests.clients.directives.base import Family
from contract_tests.clients.properties.base import (
    NOT_EXERCISED,
    PASSED,
    Judgement,
    Level,
    Policy,
    failed,
    overstayed,
    prop,
    verdict,
)
from contract_tests.clients.properties.submitting import refused_for_now
from contract_tests.clients.story import Ending, Request, Story

_SHORT = 3
# Pauses in a row that are alike and short; fewer are those of a client that soon gives up.


def _next_ones(story: Story, wait: str) -> Iterator[tuple[Request, Request, str]]:
    """Return each answer that was busy, the client's next request to that endpoint, and what Retry-After said."""
    if len(story.intents) > 1:
        return  # the next request may be for another image, and know nothing of this answer
    by_endpoint: dict[object, list[Request]] = {}
    for request in story.requests:
        by_endpoint.setdefault(request.endpoint, []).append(request)
    for requests in by_endpoint.values():
        for one, other in pairwise(requests):
            said = one.answer_headers.get("retry-after", "")
            knew = one.answered_at is not None and other.at >= one.answered_at  # else both were sent at the same time
            if knew and refused_for_now(one) and bool(said) == bool(wait):
                yield one, other, said


@prop("C20", "Retry-After in seconds is honoured", Level.MUST, Family.BUSY_SUBMIT, Family.BUSY_FETCH, timing=True)
def honours_retry_after(story: Story, policy: Policy) -> Judgement:
    """
    Invariant: after 429 or 503 with Retry-After the next request to that endpoint comes no earlier.
    Observed: the time from such an answer to the next request of the same kind.
    Source: S2 (429), RFC 9110, 10.2.3 (Retry-After).
    Usual bug: a fixed pause, or none, whatever the header says.
    Fix: sleep for what the header says, up to a limit of your own, before the next try.
    """
    gaps = [
        (other.at - (one.answered_at or one.at), float(said))
        for one, other, said in _next_ones(story, "seconds")
        if said.isdigit() and 0 < int(said) <= policy.max_wait
    ]
    if not gaps:
        return NOT_EXERCISED
    gap, said = min(gaps, key=lambda pair: pair[0] / pair[1])
    return verdict(gap >= said * 0.95, f"it came again after {gap:.3g} s where Retry-After said {said:g}")


@prop("C21", "odd Retry-After does no harm", Level.SHOULD, Family.ODD_WAIT, timing=True)
def survives_odd_retry_after(story: Story, policy: Policy) -> Judgement:
    """
    Invariant: a date, a date that is past, no number, a negative or huge number neither stop the client for hours nor
        make it hurry.
    Observed: the time from such an answer to the next request, or to the end of the client if there is none.
    Source: RFC 9110, 10.2.3 (a date is allowed); urllib3 #3743, #1338.
    Usual bug: int(header), time.sleep() of a negative number, or of 9999999999 seconds.
    Fix: read seconds and dates, fall back to your own pause for all else, and cap it.
    """
    busy = [request for request in story.requests if "retry-after" in request.answer_headers]
    if not story.only(Family.ODD_WAIT) or not busy:
        return NOT_EXERCISED
    longest = min(policy.max_wait, policy.deadline)
    hung = story.outcome.ending is Ending.HUNG
    for one in busy:
        # That several waits together were too long is for C25 to say. One that hung had all the time that was declared.
        end = policy.patience if hung else story.outcome.at
        until = next((other.at for other in story.requests if other.number > one.number), end)
        wait = until - (one.answered_at or one.at)
        if wait > longest * 1.05:  # its own pause may come on top
            told = f"it waited {wait:.0f} s, where Retry-After said {one.answer_headers['retry-after']}"
            return failed(f"{told}; max_wait is {longest:g} s")
    if hung and story.requests[-1] is busy[-1]:
        return NOT_EXERCISED  # it was given too little time to see whether it would have waited for too long
    again = list(_next_ones(story, "odd"))
    for one, other, said in again:
        gap = other.at - (one.answered_at or one.at)
        if gap < _least(said) * 0.95 and len(again) > 1:
            return failed(f"it came again after {gap:.3g} s where Retry-After said {said}")
    return PASSED


def _least(said: str) -> float:
    """Return how long a client waits at least, whatever it makes of what was said."""
    try:
        parsedate_to_datetime(said)
    except ValueError:
        return 0.1
    return 0.0


@prop("C22", "it backs off without Retry-After", Level.SHOULD, Family.BUSY_SUBMIT, Family.BUSY_FETCH, timing=True)
def backs_off(story: Story, policy: Policy) -> Judgement:
    """
    Invariant: after several answers in a row that are busy and do not say for how long, pauses do not shrink; those of
        less than a second grow.
    Observed: the pauses after consecutive 429 and 503 without Retry-After, and of submissions after 499 and 500.
    Source: S2 (429: short-term rate exceeded, 499: queue exhausted); the usual practice of exponential backoff.
    Usual bug: an immediate retry, or the same short pause for ever.
    Fix: double the pause with each refusal, with some jitter and a cap.
    """
    gaps = [other.at - (one.answered_at or one.at) for one, other, _ in _next_ones(story, "")]
    if len(gaps) < 2:
        return NOT_EXERCISED
    if min(gaps) < 0.1:
        return failed(f"it came again after {min(gaps):.3g} s, where it was told that the API is busy")
    alike = max(gaps) < min(gaps) * 1.5
    if len(gaps) >= _SHORT and alike and max(gaps) < policy.min_gap * 0.95:
        return failed(f"its pauses stayed at {max(gaps):.3g} s; min_gap is {policy.min_gap:g} s")
    # Jitter may shorten a pause; on the whole they grow, or stay.
    half = len(gaps) // 2
    early, late = sum(gaps[:half]) / half, sum(gaps[-half:]) / half
    return verdict(late >= early * 0.6, f"its pauses shrank from {early:.3g} to {late:.3g} s")


@prop("C24", "an answer that does not come is given up", Level.MUST, Family.STALLED, timing=True)
def bounded_timeouts(story: Story, policy: Policy) -> Judgement:
    """
    Invariant: when an answer never comes, or stops in its middle, the client gives up on it within a bound.
    Observed: the end of the client, or its next request, after such an answer.
    Source: requests has no timeout of its own; S2 (504 for what takes too long).
    Usual bug: no timeout, or one that each byte begins anew.
    Fix: pass a timeout with every call, and have a deadline for the whole.
    """
    if not story.only(Family.STALLED):
        return NOT_EXERCISED
    stalled = [request for request in story.requests if request.fault]
    if not stalled:
        return NOT_EXERCISED
    first = stalled[0]
    after = next((request.at for request in story.requests if request.number > first.number), None)
    until = story.outcome.at if after is None else after
    if (story.outcome.ending is Ending.HUNG and after is None) or until - first.at > policy.stall:
        return failed(f"it waited for an answer that was {first.fault} for more than {policy.stall:g} s")
    return PASSED


@prop(
    "C25",
    "the whole has a deadline",
    Level.SHOULD,
    Family.ENDLESS_JOB,
    Family.DRIPPING,
    Family.STALLED,
    timing=True,
)
def overall_deadline(story: Story, policy: Policy) -> Judgement:
    """
    Invariant: connecting, retries and polls together end by the deadline.
    Observed: when the client ended, in whatever scenario.
    Source: declared by the user (deadline, 900 s by default).
    Usual bug: limits on each part, and none on the whole.
    Fix: compute the deadline once, and pass what is left to every call.
    """
    if not story.requests or not story.directives:
        return NOT_EXERCISED
    late = overstayed(story.outcome, policy)
    return NOT_EXERCISED if late is None else verdict(not late, late)
