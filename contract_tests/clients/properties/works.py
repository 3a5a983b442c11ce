"""That a client works at all: what it does where all goes well. It has no id: without it, all others say nothing."""

from __future__ import annotations

from contract_tests.clients.properties.base import NOT_EXERCISED, Judgement, Level, Policy, Property, failed, verdict
from contract_tests.clients.properties.results import wrong_result
from contract_tests.clients.story import Ending, Outcome, Request, Story
from mock_server.exchange import EXPLAIN

_MOST = 200
# Characters of an explanation.


def works(story: Story, _policy: Policy) -> Judgement:
    """Say whether a client has the image that it was asked for, in the scenario in which all goes well."""
    if story.directives:
        return NOT_EXERCISED
    for outcome in story.outcomes:
        why = _ended(outcome) or wrong_result(outcome, story)
        if why:
            return failed(f"{why}{_refused(story)}")
    cut = any(outcome.error for outcome in story.outcomes)  # and only asked what if it had ended well
    return verdict(story.submissions or cut, "it said that it has the image, and has ordered none")


def _ended(outcome: Outcome) -> str:
    match outcome.ending:
        case Ending.RETURNED:
            return ""
        case Ending.FAILED:
            return f"it reported failure ({outcome.error[:_MOST]})"
        case Ending.HUNG:
            return f"it never ended ({outcome.error[:_MOST]})"


def _refused(story: Story) -> str:
    """Return what the API said against the last call that it refused, if it did."""
    api = story.origins["api"]
    refusal = next((one for one in reversed(story.requests) if one.origin == api and one.status >= 400), None)
    if refusal is not None:
        return f"; {refusal.method} {refusal.path} was answered {refusal.status}{_explained(refusal)}"
    if story.requests and not story.submissions:
        return "; it ordered no image: that is a POST to /flux/generate or /flux/edits"
    return "; it never fetched the job" if story.submissions and not (story.fetches or story.hooks) else ""


def _explained(request: Request) -> str:
    words = request.answer_headers.get(EXPLAIN.lower(), "")
    return f" ({words[:_MOST]})" if words else ""


WORKS = Property(
    "works",
    "it has its image when all goes well",
    Level.MUST,
    frozenset(),
    works,
    texts={
        "Invariant": "where all goes well, the client returns the image of its job: bytes, URL or path.",
        "Observed": "the outcome of the scenario without a directive, and what was returned.",
        "Source": "S1; what a client does about troubles says nothing if it can do nothing.",
        "Usual bug": "a path or a field that the API does not know; or nothing is returned.",
        "Fix": "read the last answers in the swim-lane; `fluxmock serve` lets you try by hand.",
    },
)
"""Judged in every exploration, whichever properties it is about."""
