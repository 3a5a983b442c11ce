"""Webhooks: C35 to C42. A client that sends no hookUrl has none of them to hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from contract_tests.clients.directives.base import Family
from contract_tests.clients.properties.base import (
    NOT_EXERCISED,
    PASSED,
    Judgement,
    Level,
    Need,
    Policy,
    failed,
    once_more,
    prop,
)
from contract_tests.clients.properties.polling import ended_well, told_status
from contract_tests.clients.properties.secrets import holds
from contract_tests.clients.story import Ending, HookCall, Request, Story
from mock_server.hooks.rules import parse_hook_url

_FINAL = frozenset({"SUCCESS", "FAILED"})
_RACE_SECONDS = 1.0
_HOOKS = (Need.HOOKS,)


@prop("C35", "hookUrl is well formed", Level.MUST, needs=_HOOKS, unseen="it sent no hookUrl")
def well_formed_hook_url(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: hookUrl is an absolute URL of http or https, without user and password, and the key is not in it.
    Observed: the field hookUrl of every submission that has one.
    Source: S1, S2, S3 (hookUrl receives the result); RFC 9110, 4.2.4 (no user and password in URLs); URLs get into
        logs, and this one is shown to whoever fetches the job (S1: data.hookUrl).
    Usual bug: a setting without its scheme; a path that was never joined with the host; the key as the proof of who
        calls.
    Fix: build the URL from a base that is checked when the program starts; let a random token for each job prove who
        calls, and never the key.
    """
    given = [(one, one.fields["hookUrl"]) for one in story.submissions if one.fields.get("hookUrl") is not None]
    for _, url in given:
        if not isinstance(url, str):
            return failed(f"it sent the hookUrl {str(url)[:60]!r}, which is no text")
        try:
            parse_hook_url(url)
        except ValueError as problem:
            return failed(f"it sent a bad hookUrl: {problem}")
        if any(holds(url.encode(), intent.api_key) for intent in story.intents):
            return failed("it sent a hookUrl with the key in it")
    return PASSED if given else NOT_EXERCISED


@prop(
    "C36",
    "webhooks are answered at once",
    Level.MUST,
    Family.SLOW_WORK,
    needs=_HOOKS,
    timing=True,
    unseen="no webhook came",
)
def answered_at_once(story: Story, policy: Policy) -> Judgement:
    """
    Invariant: the receiver answers 2xx within a few seconds, before it does the work that the webhook is about.
    Observed: how long each webhook waited for its answer, also where images and fetches take long; and the status of
        one that comes as documented: whole, in time, once, and about a job that the client knows.
    Source: S3, S5 (the webhook is a POST); how long a sender waits is assumed: others wait for some seconds, then give
        up and send it again.
    Usual bug: the image is downloaded, or the job is fetched, before the webhook is answered.
    Fix: put the id of the job into a queue, answer 204, and do the work in a thread or task of its own; `data` of a job
        that FAILED may be null.
    """
    hooks = _own(story)
    for hook in hooks:
        limit = policy.hook_seconds
        unheard = hook.status is None
        if hook.answered_at is not None and hook.answered_at - hook.at > limit:
            return failed(f"its receiver took {hook.answered_at - hook.at:.3g} s for a webhook ({limit:g})")
        if hook.answered_at is None and story.watched_until - hook.at > limit:
            return failed(f"its receiver did not answer a webhook within {limit:g} s")
        if unheard and hook.answered_at is not None and hook.at < story.quiet_from:
            return failed(f"its receiver did not answer a webhook: {hook.error}")
    for hook in _documented(story, hooks):
        if hook.status is not None and not 200 <= hook.status < 300:
            return failed(f"its receiver answered {_answer(hook)} to a webhook that came as documented{_null(hook)}")
    return PASSED if hooks else NOT_EXERCISED


@prop(
    "C37",
    "a repeated webhook counts once",
    Level.MUST,
    Family.REPEATED_HOOK,
    needs=_HOOKS,
    unseen="no webhook came a second time",
)
def repeated_counts_once(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: the same webhook several times, one after another or at the same instant, has the effects of one.
    Observed: how often the image of its job was downloaded to the end, that the receiver does not fail (5xx), and the
        outcome.
    Source: senders of webhooks deliver at least once: an answer that gets lost means another delivery.
    Usual bug: every webhook starts a download, or completes a future that is completed already; or whether it is a
        repetition is looked up first, and noted when all is done.
    Fix: note the job as done and look whether it was in one step (dict.setdefault, INSERT … ON CONFLICT DO NOTHING),
        and answer 2xx to what is known already.
    """
    repeated = [again for _, again in _repetitions(story)]
    if not repeated:
        return NOT_EXERCISED
    for hook in repeated:
        if _crashed(hook):
            return failed(f"its receiver answered {_answer(hook)} to a webhook that came again")
    return _once(story, repeated) or _outcome(story, Family.REPEATED_HOOK, "although its webhook only came repeatedly")


@prop(
    "C38",
    "webhooks may come early, late and out of order",
    Level.MUST,
    Family.ODD_HOOK,
    needs=_HOOKS,
    unseen="no webhook came",
)
def any_order(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: a webhook before the answer to the submission, an old ON_QUEUE after SUCCESS, or one that comes when the
        client is done, neither loses the result nor takes it back, and does not make the receiver fail.
    Observed: the outcome, where webhooks came early, late or stale and all else went well; and that the receiver does
        not answer 5xx to one of these.
    Source: S3, S5 (a webhook is sent when the job ends; nothing is promised about the order of things on the network).
    Usual bug: the job is registered when the submission is answered, so that an early webhook is about an unknown job
        and is dropped; or every webhook is taken for the end.
    Fix: look at `status`; keep what comes about unknown jobs for a while; and fetch the job now and then, so that
        nothing depends on a webhook.
    """
    hooks = _own(story)
    for hook in hooks:
        when = _oddity(story, hook)
        if when and _crashed(hook):
            return failed(f"its receiver answered {_answer(hook)} to a webhook that came {when}{_null(hook)}")
    return _outcome(story, Family.ODD_HOOK, "although a webhook had told the result") if hooks else NOT_EXERCISED


@prop(
    "C39",
    "webhook and fetch complete a job once",
    Level.MUST,
    Family.RACING_HOOK,
    needs=_HOOKS,
    timing=True,
    unseen="no fetch told the end of a job when a webhook did",
)
def completes_once(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: when a webhook and a fetch tell the end of a job at nearly the same time, it is completed once, and
        polling stops.
    Observed: downloads of the image, fetches that began after both had told, that the receiver does not fail (5xx), and
        the outcome, where they told it within a second.
    Source: S1 (fetch) and S3 (webhook) tell the same, and both are used by whoever wants to be safe.
    Usual bug: the thread that polls and the handler of the webhook both look whether the job is done, and both go on.
    Fix: one place that completes a job, in one step; let the webhook only wake up the loop that polls.
    """
    raced: list[HookCall] = []
    for hook, told_at in _races(story):
        raced.append(hook)
        if _crashed(hook):
            return failed(f"its receiver answered {_answer(hook)} to a webhook when a fetch had told the same")
        both = max(told_at, hook.at) + 0.001
        later = [fetch for fetch in story.fetches if fetch.job_id == hook.job_id and fetch.at > both]
        if len(later) > 1:  # one may be to have the webhook confirmed
            return failed(f"it fetched the job {once_more(len(later))} after fetch and webhook had told the end")
    if not raced:
        return NOT_EXERCISED
    return _once(story, raced) or _outcome(story, Family.RACING_HOOK, "although fetch and webhook told the result")


@prop(
    "C40", "a lost webhook is made up for", Level.SHOULD, Family.LOST_HOOK, needs=_HOOKS, unseen="no webhook was lost"
)
def lost_is_made_up_for(story: Story, policy: Policy) -> Judgement:
    """
    Invariant: when no webhook comes, or none that can be read, the client fetches the job, and has its image by the
        deadline.
    Observed: the outcome, where the webhook was dropped, cut off or of another type and all else went well.
    Source: that a webhook is sent again is documented nowhere; fetch is free of charge (S1).
    Usual bug: the client waits for the webhook alone.
    Fix: wait for the webhook for some seconds at a time, and fetch the job in between.
    """
    hooked = [job for job in story.succeeded if job.order.hook_url is not None]
    if not story.only(Family.LOST_HOOK) or not hooked:
        return NOT_EXERCISED
    if story.outcome.ending is Ending.RETURNED and story.outcome.at > policy.deadline:
        return failed(f"it had its image only after {story.outcome.at:.4g} s ({policy.deadline:g})")
    return ended_well(story, "although a fetch would have told the result")


@prop("C41", "forged webhooks do nothing", Level.MUST, Family.FORGED_HOOK, needs=_HOOKS, unseen="none was sent")
def forged_do_nothing(story: Story, policy: Policy) -> Judgement:
    """
    Invariant: what others post to the receiver is refused or ignored: no URL in it is called, it is nobody's result,
        and the receiver does not fail on it.
    Observed: requests to URLs that stand in no webhook but a forged one, and results that are such a URL; that each is
        answered, and not by 5xx; and the outcome, unless somebody who knows the id of the job forged its end. Forged
        are: other jobs, images at other hosts, no JSON, JSON of another shape, a body of 1 MB. They go to the URL that
        the client was told, without what it may have added.
    Source: webhooks are not signed, so anybody can send one; OWASP, server-side request forgery.
    Usual bug: imageUrl of the body is downloaded, whatever host it names; body["jobId"] is used before anybody has
        looked whether the body is an object and the id a text.
    Fix: take a webhook for a hint: look the id up among your own jobs, and fetch that job for the truth. Else add a
        random token to the hookUrl of each job, and download from the host of images alone.
    """
    forged = [hook for hook in story.hooks if hook.forged]
    if not forged:
        return NOT_EXERCISED
    for request in story.requests:
        source = _named_in(request.origin + request.path + (f"?{request.query}" if request.query else ""), forged)
        if source:
            return failed(f"it called {request.origin}, as a forged webhook said ({source})")
    for outcome in story.outcomes:
        for hook in forged:
            url = _image_url(hook)
            if url and outcome.ending is Ending.RETURNED and url in _text(outcome.value):
                return failed(f"it returned the image of a forged webhook ({hook.forged})")
    for hook in forged:
        if _crashed(hook):
            return failed(f"its receiver answered {_answer(hook)} to a forged webhook ({hook.forged})")
        late = story.watched_until - hook.at > policy.hook_seconds
        if hook.status is None and (late or hook.answered_at is not None):
            return failed(f"its receiver did not answer a forged webhook ({hook.forged})")
    known = any(job.id.encode() in hook.body for job in story.jobs for hook in forged)
    return PASSED if known else _outcome(story, Family.FORGED_HOOK, "when webhooks were forged")


@prop(
    "C42",
    "a webhook that is sent again is taken",
    Level.SHOULD,
    Family.RESENT_HOOK,
    needs=_HOOKS,
    unseen="none was refused, and sent again",
)
def resent_is_taken(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: a webhook that the receiver did not take (no 2xx) and that is sent again later, is then processed, once.
    Observed: the answer to the later one, downloads of the image, and the outcome, where the first one was cut off,
        came early, or was about an image that could not be had yet.
    Source: assumed (a schedule of retries); other services try again for days.
    Usual bug: a webhook is noted as seen before it is processed, so that it is dropped as a repetition when it comes
        again; or the receiver answers 5xx for ever to what it has done already.
    Fix: note it in the same step in which it takes effect; answer 2xx to what is done, and 5xx only to what may go well
        later.
    """
    resent: list[HookCall] = []
    refused: set[str] = set()
    for hook in _own(story):
        if hook.job_id in refused and _status(hook) in _FINAL:
            resent.append(hook)
        if hook.status is not None and not 200 <= hook.status < 300:
            refused.add(hook.job_id)
    if not resent:
        return NOT_EXERCISED
    if _crashed(resent[-1]):
        return failed(f"its receiver answered {_answer(resent[-1])} to a webhook that was sent again")
    return _once(story, resent) or _outcome(story, Family.RESENT_HOOK, "although its webhook was sent again")


def _own(story: Story) -> list[HookCall]:
    """Return the webhooks that come from the API."""
    return [hook for hook in story.hooks if not hook.forged]


def _outcome(story: Story, family: Family, why: str) -> Judgement:
    """Judge by the outcome if nothing but directives of the family was played, and these are harmless."""
    if not story.only(family) or not all(one.harmless for one in story.directives):
        return PASSED
    return ended_well(story, why)


def _documented(story: Story, hooks: Sequence[HookCall]) -> Iterator[HookCall]:
    """Return the webhooks that come as they should: whole, once, about a job that the client knows and waits for."""
    seen: set[str] = set()
    for hook in hooks:
        as_json = hook.content_type.partition(";")[0] == "application/json"
        if hook.job_id not in seen and as_json and _status(hook) in _FINAL and not _oddity(story, hook):
            yield hook
        seen.add(hook.job_id)


def _oddity(story: Story, hook: HookCall) -> str:
    """Return in which way a webhook comes at another time than its receiver may have thought of; "" for in time."""
    submission = next((one for one in story.submissions if one.job_id == hook.job_id), None)
    told = submission is not None and submission.whole and not submission.twisted and submission.answered_at is not None
    if not told or submission is None or submission.answered_at is None or hook.at <= submission.answered_at:
        return "before the answer to the submission"
    if hook.told and _status(hook) not in _FINAL:
        return "with an old status"
    if hook.at >= story.quiet_from:
        return "when the client was done"
    if any(told_at <= hook.at for told_at in _told_at(story, hook.job_id)):
        return "after a fetch had told the same"
    return ""


def _told_at(story: Story, job_id: str) -> list[float]:
    """Return when fetches told the end of a job."""
    fetches = (fetch for fetch in story.fetches if fetch.job_id == job_id and told_status(fetch) in _FINAL)
    return [fetch.answered_at for fetch in fetches if fetch.answered_at is not None]


def _races(story: Story) -> Iterator[tuple[HookCall, float]]:
    """Return the webhooks that came about when a fetch told the same, and when that did."""
    for hook in _own(story):
        if _status(hook) in _FINAL:
            told = [at for at in _told_at(story, hook.job_id) if abs(at - hook.at) <= _RACE_SECONDS]
            yield from ((hook, at) for at in told[:1])


def _repetitions(story: Story) -> Iterator[tuple[HookCall, HookCall]]:
    """Return webhooks that tell an end, and the same again."""
    first: dict[str, HookCall] = {}
    for hook in _own(story):
        if _status(hook) not in _FINAL:
            continue
        known = first.setdefault(hook.job_id, hook)
        if known is not hook and known.told == hook.told:
            yield known, hook


def _once(story: Story, hooks: Sequence[HookCall]) -> Judgement | None:
    """Return that an image of these webhooks was downloaded more than once; None if that is not so."""
    for url in dict.fromkeys(_image_url(hook) for hook in hooks):
        whole = [one for one in story.downloads if url and _is_whole(one) and url == one.origin + one.path]
        if len(whole) > 1:
            return failed(f"it downloaded the same image {len(whole)} times")
    return None


def _is_whole(download: Request) -> bool:
    return download.method == "GET" and download.status == 200 and download.whole and download.answered_at is not None


def _named_in(url: str, forged: Sequence[HookCall]) -> str:
    return next((hook.forged for hook in forged if _image_url(hook) == url), "")


def _crashed(hook: HookCall) -> bool:
    """Whether a receiver failed at a webhook; that it stumbles over null data of a job's end is for C36 to say."""
    known = not hook.forged and _status(hook) in _FINAL and _null(hook)
    return hook.status is not None and hook.status >= 500 and not known


def _answer(hook: HookCall) -> str:
    return f"{hook.status}" + (f" ({hook.error[:120]})" if hook.error else "")


def _null(hook: HookCall) -> str:
    """Return, for the end of a sentence, what a receiver may well have stumbled over."""
    return "; its data was null, as C27 says that it may be" if hook.told.get("data", "") is None else ""


def _text(value: object) -> str:
    return "" if isinstance(value, bytes | bytearray | memoryview) else str(value)


def _status(hook: HookCall) -> str:
    status = hook.told.get("status")
    return status if isinstance(status, str) else ""


def _image_url(hook: HookCall) -> str:
    data = hook.told.get("data")
    url = data.get("imageUrl") if isinstance(data, Mapping) else None
    return url if isinstance(url, str) else ""
