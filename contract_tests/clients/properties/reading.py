"""Tolerant reading: C26 to C34. A client ends as it does with the plain answers, however these are written."""

from __future__ import annotations

from contract_tests.clients.directives.base import Family
from contract_tests.clients.properties.base import (
    NOT_EXERCISED,
    Judgement,
    Level,
    Policy,
    failed,
    prop,
    verdict,
)
from contract_tests.clients.properties.polling import ended_well, told_by_hook, told_status
from contract_tests.clients.story import Ending, Story


def _met(story: Story) -> bool:
    """Whether the client met what the scenario has in store."""
    return any(request.twisted for request in story.requests)


@prop("C26", "unknown fields are ignored", Level.MUST, Family.UNKNOWN_FIELDS)
def ignores_unknown_fields(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: fields that the client does not know, at any depth and of any type, change nothing.
    Observed: the outcome, where envelope and data have more fields.
    Source: S4 and S5 (siblings of the API have more fields); an added field breaks no contract.
    Usual bug: a model that forbids extra fields, or **kwargs into a class.
    Fix: read the fields that you need, and ignore the rest.
    """
    if not story.only(Family.UNKNOWN_FIELDS) or not _met(story):
        return NOT_EXERCISED
    return ended_well(story, "although only fields were added")


@prop("C27", "null data is no crash", Level.MUST, Family.NULL_DATA)
def survives_null_data(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: while a job runs its data may be null or full of nulls, and polling goes on; at FAILED likewise, and
        failure is reported.
    Observed: the outcome, and that the job was seen unfinished or FAILED. A receiver that answers 5xx to a webhook with
        null data is told of by C36.
    Source: assumed (data of an unfinished job); S5 (siblings send null, or an object of nulls).
    Usual bug: data["imageUrl"] is read before status is looked at.
    Fix: look at `status` first, and at `data` only at SUCCESS.
    """
    statuses = {told_status(fetch) for fetch in story.fetches} - {None} | told_by_hook(story).keys()
    if not story.only(Family.NULL_DATA) or statuses <= {"SUCCESS"}:
        return NOT_EXERCISED
    if "FAILED" in statuses:
        return verdict(
            story.outcome.ending is Ending.FAILED, f"it {story.outcome.ending.value} where FAILED came with null data"
        )
    return ended_well(story, "although data was only null until the job had ended")


@prop("C28", "any message will do", Level.MUST, Family.ODD_MESSAGE)
def survives_odd_messages(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: message may be null, missing, empty, long or in any script.
    Observed: the outcome, with such messages in every answer.
    Source: S1 ("success"), S2 and S3 (""), S5 (null).
    Usual bug: message == "success" as the test for success, or len(message).
    Fix: decide by `status`; show `message`, if there is one.
    """
    if not story.only(Family.ODD_MESSAGE) or not _met(story):
        return NOT_EXERCISED
    return ended_well(story, "although only the message was another one")


@prop("C29", "partial data is not a result", Level.MUST, Family.PARTIAL_DATA)
def waits_for_success(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: while the status is ON_QUEUE, whatever is in data is no result: nothing is downloaded or returned.
    Observed: downloads and the outcome before the job had ended, where data had a preview, progress or an empty URL.
    Source: S1 (SUCCESS is what ends a job).
    Usual bug: `if data.get("imageUrl")` as the test for the end.
    Fix: test `status == "SUCCESS"`.
    """
    if not story.only(Family.PARTIAL_DATA) or not _met(story):
        return NOT_EXERCISED
    told = [fetch.at for fetch in story.fetches if told_status(fetch) == "SUCCESS"]
    ended = min([*told, *(at for status, at in told_by_hook(story).items() if status == "SUCCESS")], default=None)
    early = [request for request in story.downloads if ended is None or request.at < ended]
    if early or (ended is None and story.outcome.ending is Ending.RETURNED):
        return failed("it took data that came with ON_QUEUE for the result")
    return ended_well(story, "although the job went on to SUCCESS")


@prop("C30", "SUCCESS without an image is a failure", Level.SHOULD, Family.NO_IMAGE)
def no_image_is_failure(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: SUCCESS with no imageUrl, or one that is null or empty, is reported as a failure, soon.
    Observed: the outcome, where the result has no image.
    Source: S1 (imageUrl of the result); lobehub #8806 is a sibling's case.
    Usual bug: None is returned, or polling goes on.
    Fix: check the URL; raise if there is none, with the body in the error.
    """
    if not story.only(Family.NO_IMAGE) or not any(told_status(fetch) == "SUCCESS" for fetch in story.fetches):
        return NOT_EXERCISED
    ending = story.outcome.ending
    if ending is Ending.RETURNED and "SUCCESS" in told_by_hook(story):
        return NOT_EXERCISED  # the webhook had one
    return verdict(ending is Ending.FAILED, f"it {ending.value} where there was no image: {story.outcome.value!r:.40}")


@prop("C31", "other bytes, same answer", Level.MUST, Family.BODY_FORM)
def reads_any_form(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: white space, the order of names, escapes, a charset, chunks, gzip (if asked for) and slow pieces change
        nothing.
    Observed: the outcome, with all answers written so.
    Source: RFC 8259 (JSON), RFC 9112 (chunks), RFC 9110 (codings). A byte order mark is left out: RFC 8259 forbids it.
    Usual bug: a search by regular expression, == on Content-Type, or one read() taken for the whole body.
    Fix: let a JSON parser and an HTTP library do it.
    """
    if not story.only(Family.BODY_FORM) or not _met(story):
        return NOT_EXERCISED
    packed = [request for request in story.requests if request.answer_headers.get("content-encoding") == "gzip"]
    if any("gzip" not in (request.header("Accept-Encoding") or "") for request in packed):
        return NOT_EXERCISED  # it did not ask for it, so no server would send it
    return ended_well(story, "although only the bytes of the answers were others")


@prop("C32", "numbers in any form", Level.SHOULD, Family.NUMBER_FORM)
def reads_any_number(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: quota may be a text or a number, whole or not, small or large.
    Observed: the outcome, with quota written so.
    Source: S1 (quota is a text), S5 (siblings send numbers).
    Usual bug: int(data["quota"]) or a model with a strict type.
    Fix: read what you do not need as it comes; use Decimal(str(quota)) for what you do.
    """
    if not story.only(Family.NUMBER_FORM) or not any(told_status(fetch) == "SUCCESS" for fetch in story.fetches):
        return NOT_EXERCISED
    return ended_well(story, "although only the form of a number was another one")


@prop("C33", "answers that are no JSON are an error", Level.MUST, Family.NO_JSON)
def no_json_is_failure(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: a submission that is refused with HTML, nothing, or half of a JSON text is reported as a failure.
    Observed: the outcome, where every submission is answered so.
    Source: S2 (500 and 504); gateways in front of any API.
    Usual bug: the body is parsed before the HTTP status is looked at, or the parser's error is swallowed.
    Fix: look at the HTTP status first, and put the status and the head of the body into the error.
    """
    if not story.only(Family.NO_JSON) or not _met(story):
        return NOT_EXERCISED
    ending = story.outcome.ending
    return verdict(ending is Ending.FAILED, f"it {ending.value} where every submission was refused without JSON")


@prop("C34", "closed connections are no failure", Level.MUST, Family.CLOSED_CONNECTION)
def survives_closed_connections(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: when the server closes the connection after an answer, or while it is idle, the client goes on with a new
        one, and submits nothing again.
    Observed: the outcome and the submissions, with connections that are closed so.
    Source: RFC 9112, 9.3 (either side may close a connection between requests).
    Usual bug: one connection opened by hand for the whole job.
    Fix: use the pool of an HTTP library, or a new connection for each call.
    """
    if not story.only(Family.CLOSED_CONNECTION) or not _met(story):
        return NOT_EXERCISED
    first = next((request for request in story.submissions if request.answered_at is not None), None)
    later = [request for request in story.submissions if first is not None and request.number > first.number]
    if first is not None and any(request.at >= (first.answered_at or 0.0) for request in later):
        return failed("it submitted again when its connection had been closed", bills=len(story.jobs))
    return ended_well(story, "although only connections were closed between calls")
