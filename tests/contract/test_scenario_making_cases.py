"""What becomes of single things in a recording: durations, outcomes, odd answers, webhooks, and what is only said."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from contract_tests.exchanges import Endpoint, Exchange, Place, Trouble
from contract_tests.scenario_making.making import gather, make
from contract_tests.scenario_making.writing import Draft, written
from mock_server.scenarios.files import parse_scenario

IDS = [f"fac30d6c-d12b-465c-a580-8b1b3ae726e{digit}" for digit in range(10)]
HOOK = "https://client.example/hooks/very-secret-path"
API = "https://api.ttapi.io/flux/"
JSON = {"content-type": "application/json"}
RESULT = {"mode": "flux-dev", "prompt": "a cat", "quota": "1", "size": "1024x1024"}
IMAGE = "https://cdnb.ttapi.io/2024-09-10/9rk3gmw3m6sxm4r75my02r48jizyli1l.webp"
UNCHANGED = object()


class Story:
    """A recording of contract 2026-03 as it grows; `at` is in seconds since its beginning, None is unknown."""

    def __init__(self) -> None:
        self.told: list[Exchange | Trouble] = []

    def call(self, endpoint: str, request: Any, at: float | None, response: Any, **more: Any) -> Story:
        body = None if response is None else response if isinstance(response, bytes) else json.dumps(response).encode()
        values: dict[str, Any] = {
            "place": Place("recording.jsonl", len(self.told) + 1, len(self.told) + 1),
            "method": "POST",
            "url": HOOK if endpoint == "callback" else API + endpoint,
            "request_headers": {**JSON, "tt-api-key": "a-key-of-somebody"},
            "request_body": request if isinstance(request, bytes) else json.dumps(request).encode(),
            "status": 200,
            "response_headers": JSON,
            "response_body": body,
            "at": None if at is None else 1_700_000_000 + at,
            "endpoint": Endpoint.CALLBACK if endpoint == "callback" else None,
        }
        self.told.append(Exchange(**{**values, **more}))
        return self

    def order(
        self, at: float | None, job: int = 0, response: Any = UNCHANGED, hook: bool = False, **more: Any
    ) -> Story:
        request = {"prompt": "a cat", "mode": "flux1-dev", **({"hookUrl": HOOK} if hook else {})}
        usual = {"status": "SUCCESS", "message": "success", "data": {"job_id": IDS[job]}}
        return self.call("generate", request, at, usual if response is UNCHANGED else response, **more)

    def fetch(self, at: float | None, says: str, job: int = 0, response: Any = UNCHANGED, **more: Any) -> Story:
        usual = body_of(says, job) if response is UNCHANGED else response
        return self.call("fetch", {"jobId": IDS[job]}, at, usual, **more)

    def hook(self, at: float | None, job: int = 0, **more: Any) -> Story:
        return self.call(
            "callback", more.pop("body", body_of("SUCCESS", job, HOOK)), at, b"", **{"status": 204, **more}
        )

    def lines(self) -> str:
        return text_of(self.told)

    def data(self) -> dict[str, Any]:
        loaded: dict[str, Any] = yaml.load(self.lines(), yaml.BaseLoader)  # noqa: S506 - all values are texts
        return loaded

    def rules(self) -> list[dict[str, Any]]:
        """The rules, all values as texts."""
        found: list[dict[str, Any]] = self.data()["rules"]
        return found

    def then(self, on: str) -> list[dict[str, Any]]:
        """Return the rules on one thing, without saying that they are."""
        return [
            {name: value for name, value in rule.items() if name != "on"} for rule in self.rules() if rule["on"] == on
        ]


def text_of(recorded: Iterable[Exchange | Trouble], **more: bool) -> str:
    text, _ = written(make(gather(recorded), "made", "recording.jsonl", **more))
    parse_scenario(text)  # whatever is made can be played
    return text


def body_of(status: str, job: int = 0, hook: str | None = None) -> dict[str, Any]:
    data = {**RESULT, "jobId": IDS[job], "imageUrl": IMAGE, "hookUrl": hook} if status == "SUCCESS" else None
    message = "prompt violation" if status == "FAILED" else ""
    return {"status": status, "message": message, "jobId": IDS[job], "data": data}


# States and durations


def test_polls_collapse_into_states_that_end_between_two_polls() -> None:
    told = Story().order(0).fetch(1, "PENDING_QUEUE").fetch(5, "PENDING_QUEUE").fetch(7, "ON_QUEUE")
    told.fetch(20, "ON_QUEUE").fetch(30, "SUCCESS").fetch(31, "SUCCESS")
    assert told.rules() == [{"on": "job", "then": {"queue_seconds": "6", "run_seconds": "19"}}]
    assert told.data()["settings"] == {"contract": "2026-03"}


def test_a_state_that_nobody_saw_takes_no_time() -> None:
    assert Story().order(0).fetch(9, "SUCCESS").rules() == [
        {"on": "job", "then": {"queue_seconds": "0", "run_seconds": "0"}}
    ]
    waited = Story().order(0).fetch(1, "PENDING_QUEUE").fetch(9, "SUCCESS")
    assert waited.rules() == [{"on": "job", "then": {"queue_seconds": "5", "run_seconds": "0"}}]


def test_the_webhook_tells_when_a_job_ended() -> None:
    told = (
        Story()
        .order(0, hook=True)
        .fetch(1, "ON_QUEUE")
        .hook(12.5)
        .fetch(40, "SUCCESS", response=body_of("SUCCESS", hook=HOOK))
    )
    assert told.rules() == [{"on": "job", "then": {"queue_seconds": "0", "run_seconds": "12.5"}}]
    only = Story().order(0, hook=True).hook(12.5)
    assert only.rules() == [{"on": "job", "then": {"queue_seconds": "0", "run_seconds": "12.5"}}]


@pytest.mark.parametrize("at", [None, 5.0])
def test_durations_that_are_not_recorded_are_left_to_the_emulator_and_that_is_said(at: float | None) -> None:
    told = Story().order(at).fetch(at, "PENDING_QUEUE").fetch(at, "ON_QUEUE").fetch(at, "SUCCESS")
    assert told.rules() == []
    assert "how long a job took is not recorded" in told.lines()


def test_a_job_whose_end_nobody_saw_never_ends_and_that_is_said() -> None:
    told = Story().order(0).fetch(1, "ON_QUEUE").fetch(60, "ON_QUEUE")
    assert told.then("job") == [{"then": {"queue_seconds": "0", "run_seconds": "31536000"}}]
    assert "a job's end is not recorded" in told.lines()


def test_a_failure_keeps_its_reason() -> None:
    told = Story().order(0).fetch(4, "ON_QUEUE").fetch(8, "FAILED")
    assert told.rules() == [
        {"on": "job", "then": {"fail": "prompt violation", "queue_seconds": "0", "run_seconds": "6"}}
    ]


def test_several_jobs_have_rules_by_number_where_they_differ() -> None:
    told = Story().order(0, 0).order(0, 1).order(0, 2)
    for job, status in enumerate(("SUCCESS", "FAILED", "FAILED")):
        told.fetch(8, status, job)
    assert [(rule["job"], rule["then"].get("fail")) for rule in told.then("job")] == [
        ("1", None), (["2", "3"], "prompt violation")
    ]  # fmt: skip


def test_more_jobs_at_once_than_the_emulator_has_slots_for_get_as_many() -> None:
    told = Story()
    for job in range(10):
        told.order(0, job)
    for other in range(10):
        told.order(0, response={"status": "SUCCESS", "message": "success", "data": {"job_id": str(other) * 36}})
    for job in range(10):
        told.fetch(1, "ON_QUEUE", job)
    assert "slots" not in told.data()["settings"]
    for other in range(10):
        told.call("fetch", {"jobId": str(other) * 36}, 1, {**body_of("ON_QUEUE"), "jobId": str(other) * 36})
    assert told.data()["settings"]["slots"] == "20"


# Odd answers


def test_errors_come_at_the_same_fetch_of_a_state() -> None:
    told = (
        Story()
        .order(0)
        .fetch(1, "ON_QUEUE")
        .fetch(2, "", status=500, response={"status": "FAILED", "message": "Internal error", "data": None})
    )
    told.fetch(3, "ON_QUEUE").fetch(
        4, "", status=502, response=b"<h1>Bad</h1>", response_headers={"content-type": "text/html"}
    )
    told.fetch(5, "SUCCESS")
    first, second = told.then("fetch")
    assert (first["state"], first["calls"], first["then"]["status"]) == ("ON_QUEUE", "2", "500")
    # Seen between two states, it comes before the later one at any rhythm.
    assert second == {
        "state": "SUCCESS",
        "calls": "1",
        "then": {"status": "502", "body": "<h1>Bad</h1>", "headers": {"Content-Type": "text/html"}},
    }


@pytest.mark.parametrize(
    ("error", "wire"),
    [
        ("ConnectionResetError: [Errno 104] Connection reset by peer", {"silent": "true", "end": "reset"}),
        ("net::ERR_CONNECTION_RESET", {"silent": "true", "end": "reset"}),
        ("TimeoutError: timed out", {"silent": "true"}),
        ("RemoteDisconnected: Remote end closed connection", {"silent": "true", "end": "close"}),
        ("ConnectionRefusedError: [Errno 111] Connection refused", {"silent": "true", "end": "close"}),
    ],
)
def test_a_call_without_an_answer_has_none_again(error: str, wire: dict[str, str]) -> None:
    told = Story().order(0, response=None, status=None, error=error)
    assert told.rules() == [{"on": "generate", "calls": "1", "then": {"accepted": "false", "wire": wire}}]
    assert "whether a job was made although no answer came is not recorded" in told.lines()
    assert ("could not be reached" in told.lines()) is ("refused" in error)


def test_a_webhook_proves_that_a_job_was_made_although_no_answer_came() -> None:
    told = Story().order(0, hook=True, response=b"", status=504).hook(9)
    assert told.then("generate") == [{"calls": "1", "then": {"status": "504", "body": "", "accepted": "true"}}]
    assert "not recorded" not in told.lines()


def test_refusals_are_counted_as_the_emulator_counts_them() -> None:
    refusal = {"status": "FAILED", "message": "Parameter error", "data": None}
    told = Story().call("generate", {"mode": "flux1-dev"}, 0, refusal, status=400)  # the emulator refuses it, too
    told.order(1, status=499, response={"status": "FAILED", "message": "No", "data": None})
    told.order(2)
    (rule,) = told.then("generate")
    assert rule["calls"] == "1"
    assert json.loads(rule["then"]["body"])["message"] == "No"


def test_an_order_that_the_emulator_would_refuse_is_named() -> None:
    told = Story().call(
        "generate",
        {"prompt": "a", "mode": "flux-9"},
        0,
        {"status": "SUCCESS", "message": "success", "data": {"job_id": IDS[0]}},
    )
    assert "a request was accepted that contract 2026-03 forbids" in told.lines()


@pytest.mark.parametrize(
    ("change", "edit"),
    [
        ({"progress": 40}, {"set": {"/progress": "40"}}),
        ({"status": "THROTTLED"}, {"set": {"/status": "THROTTLED"}}),
        ({"data": {"eta": [1, None]}}, {"set": {"/data": {"eta": ["1", "null"]}}}),
        ({"message": None, "a/b~": "1e5"}, {"set": {"/message": "null", "/a~1b~0": "1e5"}}),
    ],
)
def test_other_fields_stay_as_long_as_the_state_in_which_all_had_them(
    change: dict[str, Any], edit: dict[str, Any]
) -> None:
    other = {**body_of("ON_QUEUE"), **change}
    told = Story().order(0).fetch(1, "", response=other).fetch(2, "", response=other).fetch(3, "SUCCESS")
    assert told.then("fetch") == [{"state": "ON_QUEUE", "then": edit}]


def test_a_field_with_another_name_is_renamed_and_one_that_is_gone_removed() -> None:
    body = body_of("ON_QUEUE")
    del body["message"]
    body["id"] = body.pop("jobId")
    told = Story().order(0).fetch(1, "", response=body).fetch(3, "SUCCESS")
    assert told.then("fetch") == [{"state": "ON_QUEUE", "then": {"remove": ["/message"], "rename": {"jobId": "id"}}}]


def test_a_body_without_a_result_that_has_the_jobs_fields_is_a_setting() -> None:
    data = {**dict.fromkeys((*RESULT, "imageUrl", "hookUrl")), "jobId": IDS[0], "prompt": "a cat"}
    told = Story().order(0).fetch(1, "", response={**body_of("ON_QUEUE"), "data": data}).fetch(3, "SUCCESS")
    assert told.data()["settings"] == {"contract": "2026-03", "data": "object"}
    assert told.then("fetch") == []


def test_a_state_that_comes_again_after_the_end_is_an_odd_answer_after_the_end() -> None:
    told = Story().order(0).fetch(1, "ON_QUEUE").fetch(3, "SUCCESS").fetch(4, "ON_QUEUE").fetch(5, "SUCCESS")
    assert told.then("fetch") == [
        {"state": "SUCCESS", "calls": "2", "then": {"set": {"/status": "ON_QUEUE", "/data": "null"}}}
    ]


def test_bytes_that_are_no_text_are_the_same_bytes_again() -> None:
    body = bytes(range(256))
    told = Story().order(0, response=body, status=500)
    (rule,) = parse_scenario(told.lines()).rules
    assert rule.then.edit.coding == "latin-1"
    assert rule.then.edit.body.encode("latin-1") == body


def test_a_redirect_is_followed_again() -> None:
    told = Story().order(0, response=b"", status=307, response_headers={"location": "https://api.ttapi.io/v2"})
    assert told.then("generate") == [{"calls": "1", "then": {"redirect": "https://api.ttapi.io/v2"}}]


def test_ids_and_hook_urls_are_not_copied_and_where_that_matters_it_is_said() -> None:
    told = Story().order(0, hook=True).fetch(1, "", status=500, response=f"{IDS[0]}: {HOOK}, {HOOK[23:]}".encode())
    text = told.lines()
    assert not any(part in text for part in (IDS[0], "very-secret-path"))
    assert "the job's id stands in a place where the emulator cannot put its own" in text


def test_an_endpoint_that_is_slow_is_slow_and_a_single_slow_answer_alone() -> None:
    told = Story().order(0, elapsed=0.05)
    for at in range(1, 8):
        told.fetch(at, "ON_QUEUE", elapsed=0.4 + at / 10)
    assert told.then("fetch") == [{"then": {"delay": {"lognormal": ["0.8", "0.26"]}}}]
    alone = Story().order(0, elapsed=4.2)
    for at in range(1, 8):
        alone.fetch(at, "ON_QUEUE", elapsed=0.1)
    assert alone.then("generate") == [{"calls": "1", "then": {"delay": "4.2"}}]
    assert alone.then("fetch") == []


# Webhooks


@pytest.mark.parametrize(("at", "early"), [(0.5, True), (1.5, False)])
def test_a_webhook_that_came_while_its_order_was_answered_comes_before_the_answer(at: float, early: bool) -> None:
    done = body_of("SUCCESS", hook=HOOK)
    told = Story().hook(at).order(0, hook=True, elapsed=1.0).fetch(2, "SUCCESS", response=done)
    assert ({"then": {"when": "before the submit answer"}} in told.then("hook")) is early


def done(told: Story, at: float = 10) -> Story:
    return told.fetch(1, "ON_QUEUE").fetch(at, "SUCCESS", response=body_of("SUCCESS", hook=HOOK))


def test_a_webhook_that_comes_late_is_late_again() -> None:
    assert done(Story().order(0, hook=True)).hook(70).then("hook") == [{"then": {"delay": "64.5"}}]


def test_a_webhook_that_did_not_arrive_is_tried_again() -> None:
    told = done(Story().order(0, hook=True).hook(6, status=500).hook(11, status=503).hook(71))
    assert told.data()["settings"]["hook_retry"] == "5,60"
    assert told.then("hook") == []


def test_webhooks_that_came_twice_do_so_again_and_a_changed_one_is_changed() -> None:
    stale = {**body_of("SUCCESS", hook=HOOK), "status": "ON_QUEUE"}
    told = done(Story().order(0, hook=True).hook(6).hook(6, body=stale))
    assert told.then("hook") == [
        {"calls": "2", "then": {"set": {"/status": "ON_QUEUE"}}},
        {"then": {"copies": "2"}},
    ]


def test_a_webhook_of_which_nothing_is_recorded_is_lost_only_if_others_are_recorded() -> None:
    none = done(Story().order(0, hook=True))
    assert none.then("hook") == []
    assert "no webhook is in the recording" in none.lines()
    assert "drop: true" in text_of(none.told, lost_hooks=True)
    one = done(Story().order(0, hook=True).order(0, 1, hook=True).hook(6).fetch(8, "SUCCESS", 1))
    assert one.then("hook") == [{"job": "2", "then": {"drop": "true"}}]


# What is said


def test_what_cannot_be_told_is_said_with_its_place() -> None:
    told = Story().fetch(1, "SUCCESS")
    told.call("callback", {"what": 1}, 2, b"")
    text = told.lines()
    assert "# - a job's submission is not recorded: it counts after the others (recording.jsonl:1)\n" in text
    assert "# - hook: nobody can tell which job it was about (recording.jsonl:2)\n" in text


def test_calls_with_several_keys_are_counted_together_and_that_is_said() -> None:
    told = Story().order(0).order(0, 1, request_headers={"tt-api-key": "another-key"})
    assert "several API keys were used" in told.lines()


def test_a_rule_that_the_language_cannot_hold_is_left_out_and_said() -> None:
    good, bad = {"on": "job", "then": {"fail": "x"}}, {"on": "fetch", "then": {"status": 99}}
    text, remarks = written(Draft("made", "", rules=[bad, good]))
    assert len(parse_scenario(text).rules) == 1
    assert remarks == ["1 rule that the language of scenarios cannot hold"]


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
BODIES = (
    st.sampled_from([body_of(status) for status in ("PENDING_QUEUE", "ON_QUEUE", "SUCCESS", "FAILED", "new")])
    | st.dictionaries(
        st.sampled_from(["status", "message", "data", "jobId"]) | st.text(max_size=3),
        ANYTHING | st.sampled_from([IDS[0], HOOK]),
    )
    | ANYTHING
    | st.binary(max_size=20)
)
STATUSES = st.sampled_from([200, 200, 200, 201, 302, 307, 400, 404, 429, 499, 502, 600, None])


@given(
    st.lists(
        st.tuples(st.sampled_from(["order", "fetch", "hook"]), STATUSES, BODIES, st.none() | st.floats(0, 99)),
        max_size=8,
    )
)
@settings(max_examples=150)
def test_whatever_was_recorded_a_scenario_is_made_that_can_be_played(calls: list[tuple[str, Any, Any, Any]]) -> None:
    told = Story().order(0, hook=True)
    for what, status, body, at in calls:
        more = {"status": status, "error": "" if status else "no answer"}
        if what == "hook":
            told.hook(at, body=body if isinstance(body, bytes) else json.dumps(body).encode(), **more)
        elif what == "order":
            told.order(at, hook=True, response=body, **more)
        else:
            told.fetch(at, "", response=body, **more)
    text = told.lines()
    assert IDS[0] not in text
    assert HOOK not in text


def test_the_reason_of_a_failure_does_not_give_a_hook_url_away() -> None:
    reason = f"could not call {HOOK}"
    failed = {**body_of("FAILED"), "message": reason}
    told = Story().order(0, hook=True).fetch(1, "ON_QUEUE").fetch(9, "FAILED", response=failed)
    text = told.lines()
    fails = [rule["then"]["fail"] for rule in told.rules() if "fail" in rule["then"]]
    assert fails == ["could not call http://client.invalid/hook"]
    assert "very-secret-path" not in text
    assert "client.example" not in text
