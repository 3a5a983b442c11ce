"""Webhooks, C37 to C40: jobs that count twice, hang on an order of events or on the webhook alone are found."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from good_clients import Refused
from hook_parts import Jobs, ended, inbox, judged
from hooked_clients import PAUSE, Hooked, api, downloaded, fetched, ordered, woken_by_hooks

from contract_tests.clients.properties.base import Level
from contract_tests.clients.verdict import Result

# C37


def downloads_for_every_webhook() -> Hooked:
    jobs = Jobs()

    def handle(told: Any) -> None:
        if ended(told):
            threading.Thread(target=work, args=(told,), daemon=True).start()

    def work(told: Any) -> None:
        jobs.images[told["jobId"]] = downloaded(told["data"]["imageUrl"])
        jobs.events.setdefault(told["jobId"], threading.Event()).set()

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bytes:
        job_id = ordered(api(base_url, api_key), prompt, hook_url)
        jobs.waited(job_id)
        return jobs.images[job_id]

    return Hooked(client, inbox(handle))


def looks_first_and_notes_last() -> Hooked:
    """One after the other is fine; two at the same instant both find nothing noted."""
    jobs = Jobs()

    def handle(told: Any) -> None:
        if ended(told) and told["jobId"] not in jobs.images:
            jobs.images[told["jobId"]] = downloaded(told["data"]["imageUrl"])
            jobs.events.setdefault(told["jobId"], threading.Event()).set()

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bytes:
        job_id = ordered(api(base_url, api_key), prompt, hook_url)
        jobs.waited(job_id)
        return jobs.images[job_id]

    return Hooked(client, inbox(handle))


def completes_a_future_twice() -> Hooked:
    futures: dict[str, Future[str]] = {}

    def handle(told: Any) -> None:
        if ended(told):
            futures.setdefault(told["jobId"], Future()).set_result(told["data"]["imageUrl"])

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> str:
        job_id = ordered(api(base_url, api_key), prompt, hook_url)
        return futures.setdefault(job_id, Future()).result(600)

    return Hooked(client, inbox(handle))


@pytest.mark.parametrize(
    ("make", "why", "scenario"),
    [
        (downloads_for_every_webhook, "downloaded the same image 2 times", ""),
        (looks_first_and_notes_last, "downloaded the same image 2 times", "twice at once"),
        (completes_a_future_twice, "answered 500", ""),
    ],
)
def test_a_webhook_that_counts_twice_is_found(make: Callable[[], Hooked], why: str, scenario: str) -> None:
    result = judged(make(), "C37")
    assert result.result is Result.FAIL
    assert why in result.why
    (name,) = result.directives
    assert scenario in name


# C38


def knows_a_job_when_it_is_answered() -> Hooked:
    """What comes earlier is dropped, and nothing else tells the result."""
    jobs = Jobs()

    def handle(told: Any) -> int:
        event = jobs.events.get(told["jobId"]) if ended(told) else None
        if event is None:
            return 404
        event.set()
        return 204

    return Hooked(jobs.client(), inbox(handle))


def takes_every_webhook_for_the_end() -> Hooked:
    results: dict[str, Any] = {}

    def handle(told: Any) -> None:
        if isinstance(told, dict) and "jobId" in told:
            results[told["jobId"]] = told

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bytes:
        call = api(base_url, api_key)
        job_id = ordered(call, prompt, hook_url)
        for _ in range(60):
            time.sleep(PAUSE)
            if job_id in results:
                return downloaded(results[job_id]["data"]["imageUrl"])
        raise Refused("no webhook came")

    return Hooked(client, inbox(handle))


def forgets_jobs_that_are_done() -> Hooked:
    jobs: dict[str, str] = {}

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bytes:
        call = api(base_url, api_key)
        job_id = ordered(call, prompt, hook_url)
        jobs[job_id] = "waiting"
        try:
            while (url := fetched(call, job_id)) is None:
                time.sleep(PAUSE)
        finally:
            del jobs[job_id]
        return downloaded(url)

    return Hooked(client, inbox(lambda told: str(jobs[told["jobId"]])))


@pytest.mark.parametrize(
    ("make", "why", "scenario"),
    [
        (knows_a_job_when_it_is_answered, "it reported failure", "submit answer"),
        (takes_every_webhook_for_the_end, "it reported failure", "ON_QUEUE"),
        (forgets_jobs_that_are_done, "answered 500", ""),
    ],
)
def test_a_client_that_expects_an_order_is_found(make: Callable[[], Hooked], why: str, scenario: str) -> None:
    result = judged(make(), "C38")
    assert result.result is Result.FAIL
    assert why in result.why
    assert scenario in " ".join(result.directives)


# C39


def both_ways_download() -> Hooked:
    """The loop that polls and the receiver know nothing of each other."""
    jobs = Jobs()

    def handle(told: Any) -> None:
        if ended(told):
            threading.Thread(target=work, args=(told["jobId"], told["data"]["imageUrl"]), daemon=True).start()

    def work(job_id: str, url: str) -> None:
        jobs.images[job_id] = downloaded(url)
        jobs.events.setdefault(job_id, threading.Event()).set()

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bytes:
        call = api(base_url, api_key)
        job_id = ordered(call, prompt, hook_url)
        while not jobs.events.setdefault(job_id, threading.Event()).wait(PAUSE):
            url = fetched(call, job_id)
            if url is not None:
                work(job_id, url)
        return jobs.images[job_id]

    return Hooked(client, inbox(handle))


def looks_twice_more() -> Hooked:
    """The loop that polls has the end confirmed, and so has whoever reads the webhook."""
    good = woken_by_hooks()

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bytes:
        call = api(base_url, api_key)
        job_id = ordered(call, prompt, hook_url)
        for _ in range(60):
            time.sleep(PAUSE)
            url = fetched(call, job_id)
            if url is not None:
                break
        time.sleep(PAUSE)
        assert url == fetched(call, job_id) == fetched(call, job_id)
        return downloaded(url)

    return Hooked(client, good.receiver)


def polls_on_in_the_background() -> Hooked:
    good = woken_by_hooks()

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bytes:
        call = api(base_url, api_key)
        job_id = ordered(call, prompt, hook_url)
        urls: list[str] = []

        def poll() -> None:
            for _ in range(20):
                time.sleep(PAUSE)
                url = fetched(call, job_id)
                urls.extend([url] if url else [])

        threading.Thread(target=poll, daemon=True).start()
        while not urls:
            time.sleep(PAUSE)
        return downloaded(urls[0])

    return Hooked(client, good.receiver)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (both_ways_download, "downloaded the same image 2 times"),
        (polls_on_in_the_background, "more times after"),
        (looks_twice_more, "it fetched the job 2 more times after fetch and webhook had told the end"),
    ],
)
def test_a_job_that_is_completed_twice_is_found(make: Callable[[], Hooked], why: str) -> None:
    result = judged(make(), "C39")
    assert result.result is Result.FAIL
    assert why in result.why


# C40


def waits_for_the_webhook_alone() -> Hooked:
    jobs = Jobs()

    def handle(told: Any) -> None:
        if ended(told):
            jobs.events.setdefault(told["jobId"], threading.Event()).set()

    return Hooked(jobs.client(), inbox(handle))


def falls_back_too_late() -> Hooked:
    good = woken_by_hooks()

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bytes:
        call = api(base_url, api_key)
        job_id = ordered(call, prompt, hook_url)
        time.sleep(910)
        url = fetched(call, job_id)
        assert url is not None
        return downloaded(url)

    return Hooked(client, good.receiver)


@pytest.mark.parametrize(
    ("make", "why"), [(waits_for_the_webhook_alone, "it reported failure"), (falls_back_too_late, "only after 910")]
)
def test_a_client_that_depends_on_its_webhook_is_warned_of(make: Callable[[], Hooked], why: str) -> None:
    result = judged(make(), "C40")
    assert (result.result, result.property.level) == (Result.FAIL, Level.SHOULD)
    assert why in result.why
