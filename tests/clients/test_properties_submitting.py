"""Submitting and paying, C01 to C06 (and C34): what is a fault and what only looks like one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import requests
from broken_parts import calls, made, named, story_of, waited
from good_clients import TIMEOUT, job_of, url_only

from contract_tests.clients.properties.base import Grade, Judgement, Policy, properties
from contract_tests.clients.story import Story

CLOSED = "answers: connection closed after each"
LATE = "submit: accepted, answered after 8 s"


def judge(id_: str, story: Story, policy: Policy | None = None) -> Judgement:
    return properties()[id_].judge(story, policy or Policy())


def posted(base_url: str, api_key: str, timeout: float = TIMEOUT, **order: str) -> requests.Response:
    """Submit once."""
    headers = {"TT-API-KEY": api_key}
    return requests.post(f"{base_url}/flux/generate", json=order, headers=headers, timeout=timeout)


def has_no_patience(base_url: str, api_key: str, prompt: str) -> str:
    for _ in range(2):
        try:
            answer = posted(base_url, api_key, 5, prompt=prompt, mode="flux1-dev")
        except requests.ReadTimeout:
            continue
        return waited(calls(base_url, api_key), job_of(answer.json()))
    raise TimeoutError("the API is too slow")


def test_to_order_again_before_a_late_answer_is_to_order_twice() -> None:
    judgement = judge("C01", story_of(has_no_patience, LATE))
    assert (judgement.grade, judgement.bills) == (Grade.FAIL, 2)
    assert judgement.why == "it submitted once more after an answer that was 8 s late"


def test_a_late_answer_that_was_waited_for_is_not_ambiguous() -> None:
    assert judge("C01", story_of(url_only, LATE)).grade is Grade.NOT_EXERCISED


def test_to_order_again_although_the_late_answer_came_is_paid_twice() -> None:
    def impatient(base_url: str, api_key: str, prompt: str) -> str:
        began = time.monotonic()
        job_id = job_of(posted(base_url, api_key, prompt=prompt, mode="flux1-dev").json())
        if time.monotonic() - began > 5:
            job_id = job_of(posted(base_url, api_key, prompt=prompt, mode="flux1-dev").json())
        return waited(calls(base_url, api_key), job_id)

    story = story_of(impatient, LATE)
    assert judge("C06", story).why == "it wanted 1 and paid for 2: 2 quota units"
    assert judge("C01", story).grade is Grade.NOT_EXERCISED


def test_another_order_after_a_refusal_is_not_the_same_one_again() -> None:
    def mends_its_order(base_url: str, api_key: str, prompt: str) -> str:
        answer = posted(base_url, api_key, prompt=prompt, mode="flux1-dev", size="1024x1024")
        if answer.status_code == 400:
            answer = posted(base_url, api_key, prompt=prompt, mode="flux1-dev")
        return waited(calls(base_url, api_key), job_of(answer.json()))

    story = story_of(mends_its_order, "submit: 400")
    assert [request.status for request in story.submissions] == [400, 400]
    assert judge("C02", story).grade is Grade.PASS


@pytest.mark.parametrize("status", [400, 401, 402, 403])
def test_the_same_order_after_a_refusal_is_found(status: int) -> None:
    def insists(base_url: str, api_key: str, prompt: str) -> str:
        for _ in range(2):
            answer = posted(base_url, api_key, prompt=prompt, mode="flux1-dev")
        return str(answer.json()["data"]["jobId"])

    judgement = judge("C02", story_of(insists, f"submit: {status}"))
    assert judgement.why == f"it sent the same submission once more after {status}"


@pytest.mark.parametrize("status", [429, 499, 500, 503])
def test_retries_of_what_was_refused_for_now_are_counted(status: int) -> None:
    def tries_seven_times(base_url: str, api_key: str, prompt: str) -> str:
        for _ in range(7):
            answer = posted(base_url, api_key, prompt=prompt, mode="flux1-dev")
            time.sleep(1)
        return str(answer.json()["data"]["jobId"])

    story = story_of(tries_seven_times, f"submit: {status}, always")
    assert judge("C03", story).why == "it sent 7 submissions that were refused for now, more than 6"
    assert judge("C03", story, Policy(max_attempts=7)).grade is Grade.PASS


def orders(mode: str) -> Callable[..., str]:
    def client(base_url: str, api_key: str, prompt: str) -> str:
        answer = posted(base_url, api_key, prompt=prompt, mode=mode)
        return waited(calls(base_url, api_key), job_of(answer.json()))

    return client


def test_a_client_that_is_told_a_mode_orders_that_one() -> None:
    dearer, told = orders("flux-kontext-max"), orders("flux1-dev")

    def ignores_it(base_url: str, api_key: str, prompt: str, mode: str) -> Any:
        return dearer(base_url, api_key, prompt)

    def takes_it(base_url: str, api_key: str, prompt: str, mode: str) -> Any:
        return told(base_url, api_key, prompt)

    judgement = judge("C06", story_of(ignores_it))
    assert judgement.why == "it was told the mode flux1-dev, and paid for flux-kontext-max: 8 quota units"
    assert judge("C06", story_of(takes_it)).grade is Grade.PASS


def test_a_client_that_is_told_no_mode_may_order_any() -> None:
    assert judge("C06", story_of(orders("flux-kontext-max"))).grade is Grade.PASS


def test_a_client_that_takes_whatever_it_is_given_was_told_no_mode() -> None:
    def takes_all(base_url: str, api_key: str, prompt: str, **_: object) -> str:
        return made(calls(base_url, api_key), prompt)

    assert not story_of(takes_all).intent.mode_told


def answered_at_once(story: Story) -> Story:
    """Return a story whose first submission was answered in the millisecond in which it came."""
    first = story.submissions[0]
    moved = replace(first, answered_at=first.at)
    return replace(story, requests=[moved if one is first else one for one in story.requests])


def test_a_submission_is_not_sent_again_by_itself() -> None:
    """Times are rounded to milliseconds, so an answer may seem to be as early as its request."""
    assert judge("C34", answered_at_once(story_of(url_only, CLOSED))).grade is Grade.PASS
    assert judge("C02", answered_at_once(story_of(url_only, "submit: 402"))).grade is Grade.PASS


def test_a_submission_in_the_same_millisecond_as_the_answer_is_one_more() -> None:
    story = answered_at_once(story_of(url_only, CLOSED))
    again = replace(story.submissions[0], number=len(story.requests) + 1)
    twice = replace(story, requests=[*story.requests, again])
    assert judge("C34", twice).why == "it submitted again when its connection had been closed"


@pytest.mark.parametrize("name", ["submit: 499, always", "submit: 500, always", LATE])
def test_what_the_menu_says_happens(name: str) -> None:
    (directive,) = named(name)
    answers = {(request.status, request.fault) for request in story_of(url_only, directive.name).submissions}
    assert answers == {(200, "8 s late") if name == LATE else (int(name.split()[1].strip(",")), "")}
