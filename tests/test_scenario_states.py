"""Rules for fetches of a job in one state: `state`, with calls that are counted in it alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from support import KEY, Caller

from mock_server.scenarios.files import ScenarioError, parse_scenario

Emulate = Callable[..., Caller]


def playing(emulate: Emulate, rules: list[dict[str, Any]], **settings: object) -> tuple[Caller, str]:
    """Return a caller under these rules, and a job of its."""
    caller = emulate(contract="2026-03", **settings)
    caller.app.world.tenant(KEY).director.use(lambda: parse_scenario(json.dumps({"name": "x", "rules": rules})))
    return caller, caller.submit()


def statuses(caller: Caller, job_id: str, fetches: int, seconds: float) -> list[str]:
    found = []
    for _ in range(fetches):
        answer = caller.post("/flux/fetch", json={"jobId": job_id})
        found.append(answer.get_json()["status"] if answer.status_code == 200 else str(answer.status_code))
        caller.app.world.tenant(KEY).advance(seconds)
    return found


THROTTLED = {"on": "fetch", "state": "ON_QUEUE", "then": {"set": {"/status": "THROTTLED"}}}
TIMES = {"on": "job", "then": {"queue_seconds": 10, "run_seconds": 20}}


@pytest.mark.parametrize(("seconds", "seen"), [(10, [1, 2, 2]), (5, [2, 4, 2]), (2, [5, 10, 2])])
def test_a_rule_for_a_state_applies_as_long_as_the_state_at_any_rhythm(
    emulate: Emulate, seconds: float, seen: list[int]
) -> None:
    caller, job_id = playing(emulate, [TIMES, THROTTLED])
    words = ["PENDING_QUEUE", "THROTTLED", "SUCCESS"]
    expected = [word for word, times in zip(words, seen, strict=True) for _ in range(times)]
    assert statuses(caller, job_id, len(expected), seconds) == expected


def test_calls_are_counted_in_the_state_alone(emulate: Emulate) -> None:
    rules = [TIMES, {"on": "fetch", "state": "SUCCESS", "calls": {"first": 2}, "then": {"status": 500}}]
    caller, job_id = playing(emulate, rules)
    assert statuses(caller, job_id, 6, 15) == ["PENDING_QUEUE", "ON_QUEUE", "500", "500", "SUCCESS", "SUCCESS"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"progress": "polls:3"}, ["PENDING_QUEUE", "THROTTLED", "SUCCESS", "SUCCESS"]),
        ({"progress": "polls:1"}, ["SUCCESS", "SUCCESS"]),
        ({"clock": "auto"}, ["PENDING_QUEUE", "THROTTLED", "SUCCESS"]),
    ],
)
def test_the_state_is_the_one_that_this_very_fetch_sees(
    emulate: Emulate, settings: dict[str, Any], expected: list[str]
) -> None:
    caller, job_id = playing(emulate, [THROTTLED], **settings)
    found = [caller.fetch(job_id)["status"] for _ in expected]
    assert found == expected


def test_the_state_is_worded_as_the_contract_does(emulate: Emulate) -> None:
    caller = emulate()  # 2024-09 has no word for waiting
    caller.app.world.tenant(KEY).director.use(lambda: parse_scenario(json.dumps({"name": "x", "rules": [THROTTLED]})))
    assert statuses(caller, caller.submit(), 2, 0.5) == ["THROTTLED", "THROTTLED"]


def test_only_fetches_see_states() -> None:
    rule = {"on": "hook", "state": "SUCCESS", "then": {"drop": True}}
    with pytest.raises(
        ScenarioError, match="at /rules/0/state: expected on: fetch, which alone sees states; got on: hook"
    ):
        parse_scenario(json.dumps({"name": "x", "rules": [rule]}))
    with pytest.raises(ScenarioError, match="at /rules/0/state: "):
        parse_scenario(json.dumps({"name": "x", "rules": [{**THROTTLED, "state": "DONE"}]}))
