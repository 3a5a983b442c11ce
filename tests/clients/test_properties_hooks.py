"""Webhooks, C35 to C42: good clients are not blamed, and what is played is what scenarios say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from good_clients import with_urllib
from hook_parts import IDS, checked, graded, inbox, played, sleeps_in_the_handler
from hooked_clients import GOOD, Hooked, api, ordered, woken_by_hooks

from contract_tests.clients.check import Plan, check_client
from contract_tests.clients.directives import hooks
from contract_tests.clients.directives.base import Directive, Family, rule, scenario_of
from contract_tests.clients.directives.forgeries import AGAIN
from contract_tests.clients.properties.base import Grade
from contract_tests.clients.verdict import Result
from mock_server.scenarios.files import parse_scenario

ALL = [
    *hooks.odd_hooks(),
    *hooks.racing_hooks(),
    *hooks.repeated_hooks(),
    *hooks.lost_hooks(),
    *hooks.resent_hooks(),
    *hooks.slow_work(),
    *hooks.forged_hooks(),
]


# Good clients


@pytest.mark.parametrize("make", GOOD)
def test_good_clients_are_not_blamed_and_every_property_is_exercised(make: Callable[[], Hooked]) -> None:
    verdict = checked(make(), *IDS, examples=40)
    assert not verdict.failures(), [(one.property.id, one.why, one.directives) for one in verdict.failures()]
    assert {one.property.id for one in verdict.results if one.result is Result.PASS} >= set(IDS) - {"C42"}


@pytest.mark.parametrize("directive", ALL, ids=lambda directive: directive.name)
@pytest.mark.parametrize("make", GOOD)
def test_a_good_client_holds_all_in_each_scenario(make: Callable[[], Hooked], directive: Directive) -> None:
    assert Grade.FAIL not in graded(played(make(), directive)).values()


# What is played


def test_the_same_webhook_comes_again_when_it_has_long_been_answered() -> None:
    (directive,) = (one for one in hooks.repeated_hooks() if AGAIN in one.forged)
    first, again = played(woken_by_hooks(), directive).hooks
    assert (again.body, again.forged) == (first.body, "")
    assert first.answered_at is not None
    assert again.at == pytest.approx(first.at + 30, abs=0.01)


def test_a_webhook_that_nobody_took_is_sent_again() -> None:
    (directive,) = (one for one in hooks.resent_hooks() if "cut off" in one.name)
    hooked = woken_by_hooks()
    cut, whole, *more = played(hooked, directive).hooks
    assert (cut.status, whole.status, more) == (400, 204, [])
    assert whole.body.startswith(cut.body)


def test_all_scenarios_are_scenarios() -> None:
    for directive in ALL:
        scenario = parse_scenario(json.dumps(scenario_of([directive])))
        assert len(scenario.rules) == len(directive.rules)


def test_without_a_receiver_nothing_is_known_and_nothing_is_played_for_it() -> None:
    plan = Plan(only=IDS, examples=20)
    verdict = check_client(with_urllib, plan=plan)
    assert {one.result for one in verdict.results} == {Result.NOT_EXERCISED}
    assert verdict.examples == 1


def test_a_client_that_asks_for_no_webhook_is_not_blamed_for_what_becomes_of_webhooks() -> None:
    receiver = inbox(lambda _: 500)

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> Any:
        return with_urllib(base_url, api_key, prompt)

    verdict = checked(Hooked(client, receiver), *[id_ for id_ in IDS if id_ != "C41"])
    assert {one.result for one in verdict.results} == {Result.NOT_EXERCISED}


def test_an_event_of_the_clients_loop_may_be_set_by_its_receiver() -> None:
    events: dict[str, asyncio.Event] = {}

    async def receiver(scope: Any, receive: Any, send: Any) -> None:
        told = json.loads((await receive())["body"])
        events[told["jobId"]].set()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> str:
        job_id = ordered(api(base_url, api_key), prompt, hook_url)
        events[job_id] = asyncio.Event()
        await asyncio.wait_for(events[job_id].wait(), 300)
        return job_id

    story = played(Hooked(client, receiver))
    assert story.outcome.value == story.jobs[0].id
    assert story.hooks[0].at <= story.outcome.at < story.hooks[0].at + 0.1


def test_a_slow_receiver_is_heard_however_long_it_takes() -> None:
    slow = Directive("slow", Family.SLOW_JOB, (rule("hook", None, delay=1),))
    (call,) = played(sleeps_in_the_handler(), slow).hooks
    assert (call.status, call.answered_at) == (204, pytest.approx(call.at + 9, abs=0.01))
