"""The rules of a scenario: which calls they match, and what becomes of jobs, answers and webhooks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenario_writing import ORDER, Emulate, scenario, written
from support import KEY, Caller, explained

import mock_server
from mock_server.control import TenantControl
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.model import DeliveryState, Plan
from mock_server.scenarios.files import ScenarioError, parse_scenario
from mock_server.scenarios.rules import Delay, Fate, Target, read_scenario


@pytest.mark.parametrize(
    ("where", "fits"),
    [
        ({"prompt": "cat"}, True),
        ({"prompt": "dog"}, False),
        ({"prompt_pattern": "^a .* Cat$"}, True),
        ({"prompt_pattern": "^Cat"}, False),
        ({"mode": "flux1-dev", "size": "1024x1024"}, True),
        ({"mode": "flux1-dev", "size": "1024x1792"}, False),
    ],
)
def test_a_rule_matches_what_was_ordered(where: dict[str, str], fits: bool) -> None:
    found = read_scenario({"name": "x", "rules": [{"on": "job", "where": where, "then": {"fail": "no"}}]})
    effect = found.pick(Target.JOB, ORDER, job=1, call=1, share=0.5)
    assert effect == (Fate(fail="no") if fits else None)


@pytest.mark.parametrize(
    ("calls", "numbers"),
    [
        (3, [3]),
        ({"first": 2}, [1, 2]),
        ({"every": 3}, [3, 6, 9]),
        ({"from": 8}, [8, 9, 10]),
        ({"from": 2, "to": 4}, [2, 3, 4]),
    ],
)
def test_a_rule_is_for_certain_calls(calls: Any, numbers: list[int]) -> None:
    found = read_scenario({"name": "x", "rules": [{"on": "fetch", "calls": calls, "then": {"status": 500}}]})
    hit = [call for call in range(1, 11) if found.pick(Target.FETCH, ORDER, job=1, call=call, share=0.5)]
    assert hit == numbers


def test_the_first_rule_that_matches_applies() -> None:
    rules = [{"on": "job", "where": {"prompt": "dog"}, "then": {"fail": "dog"}}, {"on": "job", "then": {"fail": "all"}}]
    found = read_scenario({"name": "x", "rules": rules})
    assert found.pick(Target.JOB, ORDER, job=1, call=1, share=0.5) == Fate(fail="all")


@given(st.floats(0, 1), st.floats(0, 1))
def test_delays_lie_where_they_should(share: float, other: float) -> None:
    assert Delay("fixed", 2.0).draw(share, other) == 2.0
    assert 1.0 <= Delay("uniform", 1.0, 3.0).draw(share, other) <= 3.0
    assert 0.0 <= Delay("lognormal", 0.5, 1.0).draw(share, other) <= 86400.0


def test_a_fate_changes_only_what_it_names() -> None:
    assert Fate(run_seconds=9.0).apply(Plan(1.0, 5.0)) == Plan(1.0, 9.0)


@pytest.mark.parametrize("progress", ["time", "polls:2", "immediate"])
def test_a_job_fails_by_its_scenario_however_it_progresses(emulate: Emulate, progress: str) -> None:
    caller = emulate(scenario="prompt-violation", progress=progress, refund=True)
    job_id = caller.submit()
    tenant = caller.app.world.tenant(KEY)
    tenant.advance_to(tenant.clock.now() + 1000)
    answers = [caller.fetch(job_id) for _ in range(2)]
    assert (answers[-1]["status"], answers[-1]["message"]) == ("FAILED", "prompt violation")
    assert tenant.store.available == 10_000


def test_a_batch_runs_out_of_quota(emulate: Emulate) -> None:
    caller = emulate(scenario="quota-runs-out")
    assert [caller.generate().status_code for _ in range(4)] == [200, 200, 200, 402]


def test_a_refusal_by_scenario_makes_no_job_and_is_explained(emulate: Emulate) -> None:
    caller = emulate(scenario="rate-limited")
    answers = [caller.generate() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "2"
    assert answers[0].get_json()["message"] == "Too many requests"
    assert "the scenario answers 429" in explained(answers[0])
    assert caller.app.world.tenant(KEY).store.submitted == 1


def test_an_image_may_be_gone_the_first_time(emulate: Emulate) -> None:
    caller = emulate(scenario="expired-image", progress="immediate")
    url = urlsplit(caller.fetch(caller.submit())["data"]["imageUrl"]).path
    assert [caller.http.get(url).status_code for _ in range(2)] == [404, 200]


def test_chance_is_drawn_from_the_seed(emulate: Emulate) -> None:
    def statuses(seed: int) -> list[int]:
        caller = emulate(scenario="flaky-fetches", seed=seed)
        job_id = caller.submit()
        return [caller.post("/flux/fetch", json={"jobId": job_id}).status_code for _ in range(60)]

    assert statuses(1) == statuses(1)
    assert statuses(1) != statuses(2)
    assert 2 <= statuses(1).count(500) <= 30


@pytest.mark.parametrize(
    ("name", "sent", "state"),
    [
        ("lost-hook", 0, DeliveryState.DROPPED),
        ("duplicate-hooks", 3, DeliveryState.DELIVERED),
        ("late-hook", 1, DeliveryState.DELIVERED),
    ],
)
def test_hooks_are_lost_repeated_or_late(emulate: Emulate, name: str, sent: int, state: DeliveryState) -> None:
    deliverer = RecordingDeliverer()
    caller = emulate(scenario=name, deliverer=deliverer, progress="immediate")
    caller.submit(hookUrl="http://127.0.0.1:9/hook")
    tenant = caller.app.world.tenant(KEY)
    start = tenant.clock.now()
    tenant.run_until_idle()
    (delivery,) = tenant.store.deliveries.values()
    assert (len(deliverer.sent), delivery.state) == (sent, state)
    assert [attempt.at - start for attempt in delivery.attempts] == [60.0 if name == "late-hook" else 0.0] * sent
    assert tenant.store.hooks_expected == 0


def test_a_prompt_may_choose_what_happens(emulate: Emulate) -> None:
    caller = emulate(progress="polls:1")
    assert caller.fetch(caller.submit(prompt="a cat [mock:fail]"))["message"] == "prompt violation"
    assert caller.fetch(caller.submit(prompt="[mock:fail=out of paint] a cat"))["message"] == "out of paint"
    throttled = caller.submit(prompt="a cat [mock:unknown-status]")
    assert [caller.post("/flux/fetch", json={"jobId": throttled}).get_json()["status"] for _ in range(1)] == [
        "THROTTLED"
    ]
    assert caller.fetch(caller.submit(prompt="a cat"))["status"] == "SUCCESS"
    assert "[mock:nonsense] in the prompt is no ready-made" in explained(caller.generate(prompt="[mock:nonsense]"))


def test_prompts_may_be_only_prompts(emulate: Emulate) -> None:
    caller = emulate(progress="polls:1", plain_prompts=True)
    assert caller.fetch(caller.submit(prompt="a cat [mock:fail]"))["status"] == "SUCCESS"


def test_a_tenant_may_play_a_scenario_of_its_own() -> None:
    with mock_server.serve(port=0, clock="frozen", progress="polls:1", observer=None) as server:
        steered, caller, other = server.tenant("k"), Caller(server.app, "k"), Caller(server.app, "other")
        steered.scenario("rate-limited")
        assert [caller.generate().status_code for _ in range(3)] == [429, 429, 200]
        steered.scenario({"name": "mine", "rules": [{"on": "job", "then": {"fail": "mine"}}]})
        assert caller.fetch(caller.submit())["message"] == "mine"
        assert other.fetch(other.submit())["status"] == "SUCCESS"
        with pytest.raises(ScenarioError, match="did you mean lost-hook"):
            steered.scenario("lost-hok")
        steered.scenario(None)
        assert caller.fetch(caller.submit())["status"] == "SUCCESS"


def test_what_a_scenario_changed_is_said(emulate: Emulate) -> None:
    caller = emulate(scenario="reset-after-accept")
    answer = caller.generate()
    assert "the scenario changed this answer: reset without an answer; NOT PLAYED on the wire" in explained(answer)
    assert "the scenario changed" in caller.app.world.tenant(KEY).journal.requests[0].lint[0]
    assert "the scenario" not in explained(caller.generate())


@pytest.mark.parametrize("settings", [{"progress": "polls:2"}, {"clock": "auto"}], ids=str)
def test_a_fetch_that_is_refused_does_not_move_the_job(
    emulate: Emulate, tmp_path: Path, settings: dict[str, str]
) -> None:
    name = written(tmp_path, {"on": "fetch", "calls": {"first": 4}, "then": {"status": 500}})
    caller = emulate(scenario=name, **settings)
    job_id = caller.submit()
    for _ in range(4):
        assert caller.post("/flux/fetch", json={"jobId": job_id}).status_code == 500
    assert caller.fetch(job_id)["status"] == "ON_QUEUE"


def test_no_delay_is_too_large_for_a_float() -> None:
    assert Delay("lognormal", 1.0, 1e9).draw(0.0, 0.0) == 86400.0


def test_a_pattern_is_python_and_sees_the_beginning_of_a_prompt() -> None:
    found = parse_scenario(
        scenario({"on": "job", "where": {"prompt_pattern": "(?P<pet>[[]?cat)"}, "then": {"fail": "x"}})
    )
    hits = [
        found.pick(Target.JOB, replace(ORDER, prompt="x" * before + "cat"), job=1, call=1, share=0.5) is not None
        for before in (0, 1997, 1998)
    ]
    assert hits == [True, True, False]


def test_calls_are_counted_anew_with_a_scenario_that_is_set_anew(emulate: Emulate) -> None:
    caller = emulate(progress="polls:9")
    first = {"name": "first", "rules": [{"on": "fetch", "calls": 1, "then": {"status": 500}}]}
    job_id = caller.submit()
    statuses = []
    for _ in range(2):
        TenantControl(caller.app.world, caller.key).scenario(first)
        statuses += [caller.post("/flux/fetch", json={"jobId": job_id}).status_code for _ in range(2)]
    assert statuses == [500, 200, 500, 200]
