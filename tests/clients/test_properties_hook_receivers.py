"""Webhooks, C35, C36 and C42: bad URLs, and receivers that are slow, refuse or take nothing twice, are found."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from flask import Flask, request
from hook_parts import Jobs, ended, inbox, judged, never_answers, sleeps_in_the_handler, with_hook_url
from hooked_clients import Hooked, api, downloaded, fetched, woken_by_hooks

from contract_tests.clients.check import Plan, check_client
from contract_tests.clients.named import directive_of
from contract_tests.clients.properties.base import Level
from contract_tests.clients.verdict import Result

# C35


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda url, _key: url.removeprefix("http://"), "must be absolute"),
        (lambda _url, _key: "/hook", "must be absolute"),
        (lambda url, _key: url.replace("http://", "http://user:secret@"), "may not hold credentials"),
        (lambda url, key: f"{url}?key={key}", "the key in it"),
        (lambda url, _key: {"url": url}, "no text"),
    ],
    ids=["no scheme", "a path", "credentials", "the key", "an object"],
)
def test_a_malformed_hook_url_is_found(change: Callable[[str, str], Any], why: str) -> None:
    result = judged(with_hook_url(change), "C35")
    assert result.result is Result.FAIL
    assert why in result.why


# C36


def downloads_in_the_handler() -> Hooked:
    jobs = Jobs()

    def handle(told: Any) -> None:
        if ended(told) and told["jobId"] not in jobs.images:
            jobs.images[told["jobId"]] = downloaded(told["data"]["imageUrl"])
            jobs.events.setdefault(told["jobId"], threading.Event()).set()

    return Hooked(jobs.client(), inbox(handle))


def fetches_in_the_handler() -> Hooked:
    calls: dict[str, Any] = {}
    good = woken_by_hooks()

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bytes:
        calls["api"] = api(base_url, api_key)
        return good.client(base_url, api_key, prompt, hook_url)

    return Hooked(client, inbox(lambda told: fetched(calls["api"], told["jobId"]) and None if ended(told) else 400))


def answers(status: int) -> Hooked:
    return Hooked(woken_by_hooks().client, inbox(lambda _: status))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (downloads_in_the_handler, "s for a webhook (5)"),
        (fetches_in_the_handler, "took 20 s for a webhook (5)"),
        (sleeps_in_the_handler, "took 9 s"),
        (partial(answers, 404), "answered 404"),
        (partial(answers, 500), "answered 500"),
        (never_answers, "did not answer a webhook within 5 s"),
    ],
    ids=["downloads", "fetches", "sleeps", "404", "500", "hangs"],
)
def test_a_receiver_that_is_slow_or_refuses_is_found(make: Callable[[], Hooked], why: str) -> None:
    result = judged(make(), "C36")
    assert result.result is Result.FAIL
    assert why in result.why


def reads_data_first() -> Hooked:
    """The id is read from data, where there may be none; a fetch tells the end all the same."""
    seen: dict[str, Any] = {}
    return Hooked(woken_by_hooks().client, inbox(lambda told: seen.setdefault(told["data"]["jobId"], told) and 204))


@pytest.mark.parametrize(
    ("id_", "played", "which"),
    [
        ("C36", "job: fails", "came as documented"),
        ("C36", "fetch: data is null at FAILED", "came as documented"),
        ("C38", "hook: SUCCESS, then ON_QUEUE", "came with an old status"),
    ],
)
def test_a_receiver_that_stumbles_over_null_data_is_told_so(id_: str, played: str, which: str) -> None:
    plan = Plan(only=(id_,), play=(directive_of(played),))
    hooked = reads_data_first()
    result = check_client(hooked.client, plan=plan, receiver=hooked.receiver)[id_]
    assert result.result is Result.FAIL
    assert result.why.endswith(f"to a webhook that {which}; its data was null, as C27 says that it may be")


def test_a_receiver_that_fails_whatever_is_in_data_is_told_nothing_of_null() -> None:
    assert "null" not in judged(answers(500), "C36").why


def test_a_receiver_that_stumbles_over_null_data_is_not_accused_by_c27_as_well() -> None:
    """That one is about what comes of the job, and a fetch told its end."""
    hooked = reads_data_first()
    plan = Plan(only=("C27",), examples=5)
    assert check_client(hooked.client, plan=plan, receiver=hooked.receiver)["C27"].result is Result.PASS


def test_how_long_a_receiver_may_take_can_be_declared() -> None:
    assert judged(sleeps_in_the_handler(), "C36", hook_seconds=10.0).result is Result.PASS


# C42


def notes_before_it_reads() -> Hooked:
    """A delivery is noted as seen, then cannot be read; when it comes again it is dropped as a repetition."""
    jobs, seen = Jobs(), set[str]()
    app = Flask("inbox")

    @app.post("/hook")
    def hook() -> tuple[str, int]:
        delivery = request.headers["X-Fluxmock-Delivery"]
        if delivery in seen:
            return "", 200
        seen.add(delivery)
        told = json.loads(request.get_data())
        jobs.events.setdefault(told["jobId"], threading.Event()).set()
        return "", 200

    return Hooked(jobs.client(), app)


def refuses_for_ever() -> Hooked:
    good = woken_by_hooks()
    failed: list[Any] = []

    def handle(told: Any) -> int:
        failed.extend([told] if told is None else [])
        return 503 if failed else 204

    return Hooked(good.client, inbox(handle))


@pytest.mark.parametrize(
    ("make", "why"), [(notes_before_it_reads, "it reported failure"), (refuses_for_ever, "answered 503")]
)
def test_a_receiver_that_does_not_take_what_is_sent_again_is_warned_of(make: Callable[[], Hooked], why: str) -> None:
    result = judged(make(), "C42")
    assert (result.result, result.property.level) == (Result.FAIL, Level.SHOULD)
    assert why in result.why
