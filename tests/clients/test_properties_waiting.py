"""Polling and waiting, C08 to C25: what is a fault and what only looks like one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, pairwise
from typing import Any

import aiohttp
import pytest
import requests
from broken_parts import calls, judged, story_of, waited
from good_clients import TIMEOUT, Refused, job_of, url_of, url_only

from contract_tests.clients.lanes import timeline
from contract_tests.clients.properties.base import Grade, Judgement, Policy, properties
from contract_tests.clients.story import Story
from contract_tests.clients.verdict import Result
from contract_tests.exchanges import Endpoint

Client = Callable[..., Any]
HUGE = "submit: 429, Retry-After: 9999999999, three times"
TROUBLE = "fetch: 500 from the second to the fourth"


def judge(id_: str, story: Story, policy: Policy | None = None) -> Judgement:
    return properties()[id_].judge(story, policy or Policy())


def submits(pauses: Iterator[float], attempts: int = 4) -> Client:
    """Return a client that waits for these seconds between submissions that were refused."""

    def client(base_url: str, api_key: str, prompt: str) -> str:
        order, headers = {"prompt": prompt, "mode": "flux1-dev"}, {"TT-API-KEY": api_key}
        for attempt in range(1, attempts + 1):
            answer = requests.post(f"{base_url}/flux/generate", json=order, headers=headers, timeout=TIMEOUT)
            if answer.status_code == 200:
                return waited(calls(base_url, api_key), job_of(answer.json()))
            if attempt < attempts:
                time.sleep(next(pauses))
        raise Refused(f"HTTP {answer.status_code}")

    return client


def polls(usual: float, after: Callable[[int, requests.Response], float], most_missed: int = 1000) -> Client:
    """Return a client that polls every `usual` seconds, and `after` so many failures in a row, and the last of them."""

    def client(base_url: str, api_key: str, prompt: str) -> str:
        headers = {"TT-API-KEY": api_key}
        job_id = job_of(calls(base_url, api_key)("/flux/generate", {"prompt": prompt, "mode": "flux1-dev"}))
        ends, pause, failures = time.monotonic() + 300, usual, 0
        while time.monotonic() < ends:
            time.sleep(pause)
            answer = requests.post(f"{base_url}/flux/fetch", json={"jobId": job_id}, headers=headers, timeout=TIMEOUT)
            url = url_of(answer.json()) if answer.status_code == 200 else None
            if url is not None:
                return url
            failures = 0 if answer.status_code == 200 else failures + 1
            if failures == most_missed:
                raise Refused(f"HTTP {answer.status_code}")
            pause = after(failures, answer) if failures else usual
        raise Refused("the job took too long")

    return client


def gets(after_trouble: float, usual: float = 2.0, method: str = "GET") -> Client:
    """Return a client with requests that polls by GET, and sleeps so many seconds after each fetch."""

    def client(base_url: str, api_key: str, prompt: str) -> str:
        headers = {"TT-API-KEY": api_key}
        job_id = job_of(calls(base_url, api_key)("/flux/generate", {"prompt": prompt, "mode": "flux1-dev"}))
        ends, pause = time.monotonic() + 60, usual
        while time.monotonic() < ends:
            time.sleep(pause)
            try:
                target = f"{base_url}/flux/fetch?jobId={job_id}"
                answer = requests.request(method, target, headers=headers, timeout=TIMEOUT)
                answer.raise_for_status()
                url, pause = url_of(answer.json()), usual
            except (requests.RequestException, ValueError):
                url, pause = None, after_trouble
            if url is not None:
                return url
        raise Refused("the job took too long")

    return client


def gets_with_aiohttp(after_trouble: float, usual: float = 2.0) -> Client:
    """Return the same with aiohttp, which sends a GET once more by itself when the connection was lost."""

    async def client(base_url: str, api_key: str, prompt: str) -> str:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        async with aiohttp.ClientSession(base_url, headers={"TT-API-KEY": api_key}, timeout=timeout) as session:
            async with session.post("/flux/generate", json={"prompt": prompt, "mode": "flux1-dev"}) as made:
                job_id = job_of(await made.json())
            pause = usual
            async with asyncio.timeout(60):
                while True:
                    await asyncio.sleep(pause)
                    try:
                        async with session.get("/flux/fetch", params={"jobId": job_id}) as answer:
                            answer.raise_for_status()
                            url, pause = url_of(await answer.json()), usual
                    except (aiohttp.ClientError, TimeoutError, ValueError):
                        url, pause = None, after_trouble
                    if url is not None:
                        return url

    return client


def test_a_fetch_that_is_under_way_when_the_job_ends_may_end() -> None:
    story = story_of(url_only)
    final = story.fetches[-1]
    assert final.answered_at is not None
    number = max(request.number for request in story.requests) + 1
    under_way = replace(final, number=number, at=final.answered_at - 0.01)
    too_late = replace(final, number=number, at=final.answered_at)
    assert judge("C08", replace(story, requests=[*story.requests, under_way])).grade is Grade.PASS
    failed = judge("C08", replace(story, requests=[*story.requests, too_late]))
    assert failed.why == "it fetched the job once more after it was told SUCCESS"


def test_the_pause_between_polls_begins_with_the_answer() -> None:
    story = story_of(polls(2, lambda *_: 2), "job: slow")
    assert judge("C11", story).grade is Grade.PASS
    slow = [replace(one, answered_at=one.at + 1.9) if one.endpoint is Endpoint.FETCH else one for one in story.requests]
    judgement = judge("C11", replace(story, requests=slow))
    assert judgement.why == "only 0.12 s lay between an answer and the next fetch; min_gap is 1 s"


def test_polls_that_are_slower_after_an_answer_that_never_came_are_no_fault() -> None:
    story = story_of(polls(2, lambda *_: 2), "job: slow")
    lost = [replace(one, answered_at=None) if one.endpoint is Endpoint.FETCH else one for one in story.requests]
    assert judge("C11", replace(story, requests=lost)).grade is Grade.PASS


def test_a_short_pause_after_each_failure_is_found_by_the_clients_own_pauses() -> None:
    judgement = judge("C12", story_of(polls(20, lambda *_: 1), TROUBLE))
    assert judgement.why == "after fetches that failed it waited 1 s, and after others 20 s"


@pytest.mark.parametrize(
    "client",
    [
        polls(2, lambda *_: 2),
        polls(20, lambda failures, _: 2.0**failures),
        polls(10, lambda failures, _: 1 if failures < 3 else 10),
        polls(20, lambda *_: 12),
    ],
    ids=["the same", "growing", "two quick tries", "somewhat shorter"],
)
def test_other_pauses_after_failures_are_no_fault(client: Client) -> None:
    assert judge("C12", story_of(client, TROUBLE)).grade is Grade.PASS


def test_a_pause_that_the_server_asked_for_is_not_held_against_the_client() -> None:
    obeys = polls(20, lambda _, answer: float(answer.headers["Retry-After"]))
    story = story_of(obeys, "fetch: 429, Retry-After: 7, three times", "job: slow")
    assert [round(two.at - one.at) for one, two in pairwise(story.fetches)][:4] == [7, 7, 7, 20]
    assert judge("C12", story).grade is Grade.PASS


LOST = ["fetch: reset three times", "fetch: closed three times", "fetch: reset, always"]


@pytest.mark.parametrize("lost", LOST)
def test_what_a_library_sends_once_more_by_itself_is_no_fault_of_the_client(lost: str) -> None:
    story = story_of(gets_with_aiohttp(2), lost)
    first, again, after = story.fetches[:3]
    assert again.at - first.at < 0.1, "aiohttp is expected to send a GET again"
    assert after.at - again.at >= 2
    assert judge("C12", story).grade is Grade.PASS
    assert judged(gets_with_aiohttp(2), "C12").result is Result.PASS


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("client", [gets(0), gets(0.3), gets_with_aiohttp(0)], ids=["at once", "0.3 s", "aiohttp"])
def test_no_pause_after_fetches_that_are_lost_is_found_whatever_the_library_does(client: Client, lost: str) -> None:
    assert "after a fetch that failed it sent the next; min_gap is 1 s" in judge("C12", story_of(client, lost)).why
    assert judged(client, "C12").result is Result.FAIL


def test_only_a_fetch_that_is_lost_without_an_answer_may_be_sent_again_at_once() -> None:
    """No library does so of itself after an answer, be it an error or cut off, nor after a pause."""
    for trouble in ("fetch: 500 once", "fetch: truncated JSON once"):
        assert judge("C12", story_of(gets(0), trouble)).grade is Grade.FAIL
    assert judge("C12", story_of(gets(0.6), "fetch: reset once")).grade is Grade.FAIL
    assert judge("C12", story_of(gets(0, method="POST"), "fetch: reset once")).grade is Grade.FAIL


def test_a_timeline_tells_a_fetch_that_came_much_sooner_than_others() -> None:
    lines = [line.strip() for line in timeline(story_of(gets(0), LOST[0])).split("\n")]
    hasty = lines.index("↳ 0.02 s after the fetch before")
    assert "GET /flux/fetch → 200 job 1 ON_QUEUE × 2 … +2.060 s" in lines[hasty - 1]
    assert "after the fetch before" not in timeline(story_of(polls(2, lambda *_: 2), TROUBLE))


def test_a_job_that_stays_unknown_may_be_given_up() -> None:
    gives_up = polls(2, lambda *_: 2, most_missed=5)
    assert judge("C15", story_of(gives_up, "fetch: 404 for the first 8")).grade is Grade.PASS
    hasty = polls(2, lambda *_: 2, most_missed=2)
    assert judge("C15", story_of(hasty, "fetch: 404 for the first 2")).grade is Grade.FAIL


def test_a_missed_deadline_is_no_fault_of_a_single_wait() -> None:
    story = story_of(submits(iter([300, 300, 301])), HUGE)
    assert story.outcome.at > 900
    assert judge("C21", story).grade is Grade.PASS
    assert judge("C25", story).grade is Grade.FAIL


def test_a_single_wait_that_is_too_long_is_found() -> None:
    once = story_of(submits(iter([700]), attempts=2), HUGE)
    assert judge("C21", once).why == "it waited 700 s, where Retry-After said 9999999999; max_wait is 600 s"
    for_ever = story_of(submits(iter([9999999999])), HUGE)
    assert judge("C21", for_ever).why == "it waited 960 s, where Retry-After said 9999999999; max_wait is 600 s"


def test_a_wait_as_long_as_allowed_and_a_second_more_is_not_too_long() -> None:
    assert judge("C21", story_of(submits(iter([601]), attempts=2), HUGE)).grade is Grade.PASS


def test_of_a_wait_that_was_cut_short_nothing_is_known() -> None:
    story = story_of(submits(iter([500, 500])), HUGE)
    assert judge("C21", story).grade is Grade.NOT_EXERCISED


@pytest.mark.parametrize(
    ("pauses", "why"),
    [
        ([0.11] * 5, "its pauses stayed at 0.11 s; min_gap is 1 s"),
        ([0.5] * 5, "its pauses stayed at 0.5 s; min_gap is 1 s"),
        ([16, 8, 4, 2, 1], "its pauses shrank from 12 to 1.5 s"),
        ([0.05] * 5, "it came again after 0.05 s, where it was told that the API is busy"),
    ],
)
@pytest.mark.parametrize("status", [429, 499, 500])
def test_pauses_that_are_no_backing_off_are_found(status: int, pauses: list[float], why: str) -> None:
    story = story_of(submits(iter(pauses), attempts=6), f"submit: {status}, always")
    assert judge("C22", story).why == why


@pytest.mark.parametrize(
    "pauses",
    [[1.0] * 5, [5.0] * 5, [0.25, 0.5, 1, 2, 4], [4, 3, 5, 3, 4]],
    ids=["a second", "five seconds", "doubled", "with jitter"],
)
def test_an_honest_pause_is_no_fault(pauses: list[float]) -> None:
    story = story_of(submits(iter(pauses), attempts=6), "submit: 499, always")
    assert judge("C22", story).grade is Grade.PASS


def test_two_short_pauses_are_those_of_a_client_that_soon_gives_up() -> None:
    story = story_of(submits(iter([0.5, 0.5]), attempts=3), "submit: 429, always")
    assert judge("C22", story).grade is Grade.PASS


@pytest.mark.parametrize(("seconds", "grade"), [(300, Grade.PASS), (400, Grade.FAIL)])
def test_how_long_an_answer_may_be_waited_for_is_bounded(seconds: float, grade: Grade) -> None:
    def client(base_url: str, api_key: str, prompt: str) -> str:
        call = calls(base_url, api_key, timeout=seconds)
        return waited(call, job_of(call("/flux/generate", {"prompt": prompt, "mode": "flux1-dev"})))

    story = story_of(client, "submit: no answer")
    assert story.outcome.at == pytest.approx(seconds)
    assert judge("C24", story).grade is grade


def test_several_clients_at_once_wait_each_for_itself() -> None:
    """Where three images are wanted, the next submission may know nothing of an answer to another."""
    pauses = count(2, 3)

    def client(base_url: str, api_key: str, prompt: str) -> str:
        return submits(iter([float(next(pauses))] * 3))(base_url, api_key, prompt)

    story = story_of(client, "submit: 429, three times", "3 images at once")
    assert sum(request.status == 429 for request in story.submissions) == 3
    assert judge("C22", story).grade is Grade.NOT_EXERCISED
