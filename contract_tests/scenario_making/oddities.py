"""Everything in a recording that the emulator would not have done by itself, call by call."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from contract_tests.exchanges import Endpoint
from contract_tests.messages import Parsed
from contract_tests.scenario_making.answers import Answers, Then, seen_in
from contract_tests.scenario_making.deliveries import Deliveries, Postbox
from contract_tests.scenario_making.remarks import Remarks
from contract_tests.scenario_making.states import Life, life_of, told_state
from contract_tests.scenario_making.stories import Job, Told, sort_out
from contract_tests.scenario_making.wording import JOB_ID, Mask, Wording
from mock_server.contract import contract
from mock_server.model import JobState


class Call(NamedTuple):
    """
    One recorded call, and what was odd about its answer.

    Args:
        message: the call.
        then: what a rule has to do; empty when the emulator answers so by itself.
        state: in which a fetch saw its job; None when nobody knows, or for what is no fetch.
    """

    message: Parsed
    then: Then
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Played:
    """
    A job as rules will play it.

    Args:
        deliveries: of its webhooks.
    """

    job: Job
    life: Life
    fetches: tuple[Call, ...]
    images: tuple[Call, ...]
    deliveries: Deliveries


@dataclass(frozen=True, slots=True)
class Reading:
    """
    A recording as rules will play it.

    Args:
        settings: that the tenant needs.
        submissions: by endpoint, those that a scenario counts.
        answers: finds what is odd about answers, one by one.
        postbox: likewise about webhooks.
    """

    told: Told
    settings: Mapping[str, str]
    submissions: Mapping[Endpoint, tuple[Call, ...]]
    jobs: tuple[Played, ...]
    answers: Answers = field(repr=False)
    postbox: Postbox = field(repr=False)


def read(
    messages: Sequence[Parsed],
    hook_urls: Collection[str],
    version: str,
    remarks: Remarks,
    *,
    lost_hooks: bool = False,
    own_images: bool = True,
) -> Reading:
    """
    Hold a recording against what the emulator would do.

    Args:
        messages: what was recorded, without secrets.
        hook_urls: all that were seen.
        version: of the contract that the emulator is to play.
        remarks: takes what cannot be expressed.
        lost_hooks: webhooks that are not in the recording never came, even if there are none in it.
        own_images: image URLs are the emulator's own, even where the recorded ones are of a form that it never uses.
    """
    told = sort_out(messages, contract(version), remarks)
    mask = Mask(told.jobs, hook_urls)
    lives = {job.number: life_of(job, contract(version), mask) for job in told.jobs}
    null_data = not any(_shows_the_job(job, mask) for job in told.jobs)
    wording = Wording(contract(version), remarks, null_data=null_data, own_images=own_images)
    answers = Answers(wording, mask, remarks)
    postbox = Postbox(wording, mask, answers, remarks, lost=told.hooks_seen or lost_hooks)
    jobs = tuple(
        Played(
            job,
            lives[job.number],
            tuple(_fetches(job, lives[job.number], answers, wording, mask)),
            tuple(Call(image, answers.then(image, None, job.id)) for image in job.images),
            postbox.deliveries(job, lives[job.number]),
        )
        for job in told.jobs
    )
    settings = {"contract": version} | ({} if null_data else {"data": "object"})
    return Reading(told, settings, _submissions(told, answers, wording, remarks), jobs, answers, postbox)


def _fetches(job: Job, life: Life, answers: Answers, wording: Wording, mask: Mask) -> Iterator[Call]:
    reason = life.reason or wording.failure
    for message, state in life.looks:
        seen = seen_in(message.exchange.response_body, mask, job.id)
        expected = None if state is None else wording.fetched(job, state, reason, seen.value)
        then = answers.then(message, seen.value if expected is None else expected, job.id)
        yield Call(message, then, state)


def _submissions(told: Told, answers: Answers, wording: Wording, remarks: Remarks) -> dict[Endpoint, tuple[Call, ...]]:
    found: dict[Endpoint, tuple[Call, ...]] = {}
    for endpoint in (Endpoint.GENERATE, Endpoint.EDITS):
        calls = []
        for message, job in told.submissions:
            if message.endpoint is endpoint:
                calls.append(Call(message, _submission(message, job, answers, wording, remarks)))
        if calls:
            found[endpoint] = tuple(calls)
    return found


def _submission(message: Parsed, job: Job | None, answers: Answers, wording: Wording, remarks: Remarks) -> Then:
    # Where no job is made, there is no body to be edited: a whole one stands in its place.
    then = answers.then(message, wording.submitted() if job else None, job.id if job else "")
    status = message.exchange.status
    if job is not None:
        if status is None or status >= 300:
            then["accepted"] = True
        elif then and not job.id:
            remarks.note("a job's id is not in the answer, or is no text", message.exchange.place)
        return then
    if status is None or status >= 500:
        remarks.note(
            f"{message.endpoint}: whether a job was made although {'no answer came' if status is None else status} is "
            "not recorded; none is made here (accepted: true makes one)",
            message.exchange.place,
        )
    return {"accepted": False, **then} if status is None or status < 300 else then


def _shows_the_job(job: Job, mask: Mask) -> bool:
    """Whether a body without a result has the fields of the job in it all the same."""
    for message in job.fetches:
        seen = seen_in(message.exchange.response_body, mask, job.id).value
        data = seen.get("data") if isinstance(seen, dict) else None
        if told_state(seen) != JobState.SUCCESS and isinstance(data, dict) and JOB_ID in data.values():
            return True
    return False
