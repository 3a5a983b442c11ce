"""Control over HTTP: the same as in Python, for this machine alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from admin_calls import LOOKS, get, post
from support import Caller, picture

from mock_server.clock import EPOCH
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.model import Delivery, Receipt

Emulate = Callable[..., Caller]


def test_the_clock_is_moved_and_paced(emulate: Emulate) -> None:
    caller = emulate()
    job_id = caller.submit()
    assert get(caller, "clock").get_json() == {
        "now": EPOCH, "today": "2024-09-10T00:00:00+00:00", "rate": 0, "auto": False,
        "next_event_at": EPOCH + caller.app.world.tenant(caller.key).job(job_id).plan.queue_seconds,
    }  # fmt: skip
    assert post(caller, "clock", {"next_event": True}).get_json()["now"] > EPOCH
    assert post(caller, "clock", {"advance": 60}).status_code == 200
    assert caller.fetch(job_id)["status"] == "SUCCESS"
    assert post(caller, "clock", {"advance_to": "2025-01-01T00:00:00Z"}).get_json()["today"].startswith("2025-01-01")
    assert post(caller, "clock", {"mode": "auto"}).get_json()["auto"] is True
    assert post(caller, "clock", {"mode": "x60"}).get_json()["rate"] == 60
    assert post(caller, "clock", {"run_until_idle": True}).status_code == 200


@pytest.mark.parametrize(
    ("what", "body", "status", "words"),
    [
        ("clock", {"advance": -1}, 400, "time can't go backwards"),
        ("clock", {"advance": "soon"}, 400, "expected a number of seconds"),
        ("clock", {"advance": True}, 400, "expected a number of seconds"),
        ("clock", {}, 400, "expected one of advance"),
        ("clock", {"fly": 1}, 400, "'fly' is unknown, there are advance, advance_to, mode"),
        ("clock", {"advance": 1, "mode": "auto"}, 400, "expected one of advance"),
        ("clock", {"run_until_idle": False}, 400, "expected true, got False"),
        ("clock", {"next_event": 1}, 400, "expected true, got 1"),
        ("clock", {"mode": "frozen@2026-01-01"}, 400, "expected it without a start"),
        ("clock", {"advance_to": "2025-01-01T00:00:00"}, 400, "with its offset"),
        ("clock", {"advance_to": "tomorrow"}, 400, "such as 2025-01-01T00:00:00Z"),
        ("clock", {"mode": "fast"}, 400, "expected real, frozen"),
        ("clock", [1], 400, "expected a JSON object"),
        ("jobs/nope", {"do": "finish"}, 404, "no job 'nope'"),
        ("jobs/nope", {"do": "dance"}, 400, "do: expected start or finish or fail, got 'dance'"),
        ("jobs/nope", {"do": ["fail"]}, 400, "do: expected"),
        ("jobs/nope", {"reason": "x"}, 400, "got no 'do' in the body"),
        ("jobs/nope", {"do": "fail", "why": "x"}, 400, "'why' is unknown, there are do, reason"),
        ("jobs/nope", {"do": "start", "reason": "x"}, 400, "with fail only"),
        ("hooks/nope", {"do": "replay"}, 404, "no webhook delivery 'nope'"),
        ("hooks/nope", {"do": "again"}, 400, "do: expected replay"),
        ("hooks/nope", None, 400, 'expected {"do": "replay"}, got no body'),
        ("hooks/wait", {"job_id": "nope"}, 404, "no job 'nope'"),
        ("hooks/wait", {"job_id": 1}, 400, "job_id: expected the id of a job, or null for any, got 1"),
        ("hooks/wait", {"timeout": 61}, 400, "timeout: expected 0 to 60 s, got 61: to wait longer, ask again"),
        ("hooks/wait", {"timeout": -1}, 400, "timeout: expected 0 to 60 s"),
        ("hooks/wait", {"timeout": "1"}, 400, "expected a number of seconds"),
        ("verify", {}, 400, "an endpoint or max_spend"),
        ("verify", {"times": 1}, 400, "endpoint: expected one for times"),
        ("verify", {"endpoint": "fetch", "time": 1}, 400, "did you mean times?"),
        ("verify", {"prompt": "x"}, 400, "'prompt' is unknown, there are at_least, "),
        ("verify", {"endpoint": "generate", "prompt": "x"}, 400, "put it under fields, as in {"),
        ("verify", {"endpoint": "fetch", "fields": 1}, 400, "fields: expected an object"),
        ("verify", {"endpoint": "fetch", "times": -1}, 400, "times: expected a whole number"),
        ("verify", {"endpoint": "fetsch"}, 400, "did you mean 'fetch'?"),
        ("verify", {"max_spend": "much"}, 400, "max_spend: expected quota units"),
        ("tenants/reset", {"all": True}, 400, "'all' is unknown, there are none"),
        ("reset", {"hook_timeout": 1}, 400, "one for all tenants"),
        ("reset", {"key": "x"}, 400, "key: one for all tenants"),
        ("reset", {"admin_token": "x"}, 400, "admin_token: one for all tenants"),
        ("reset", {"scenario": "x"}, 400, "play one with POST /_mock/scenario"),
        ("reset", {"self": 1}, 400, "'self' is unknown"),
        (
            "scenario",
            {"name": "lost-hok"},
            400,
            "did you mean lost-hook? to play one from a file, send the scenario itself",
        ),
        ("scenario", {"name": "A" * 5000}, 400, "name: expected that of a ready-made scenario"),
        ("scenario", {"name": 7}, 400, "name: expected that of a ready-made scenario, got 7"),
        ("scenario", {"name": "x", "rules": 7}, 400, "at /rules"),
        ("reset", {"clok": 1}, 400, "did you mean clock?"),
        ("reset", {"x": 1}, 400, "rate_limit, refund, seed, slots"),
    ],
)
def test_what_cannot_be_done_is_said(emulate: Emulate, what: str, body: Any, status: int, words: str) -> None:
    caller = emulate()
    caller.submit()
    answer = post(caller, what, body)
    assert (answer.status_code, words in answer.get_json()["error"]) == (status, True), answer.get_json()


def test_jobs_are_seen_and_moved(emulate: Emulate) -> None:
    caller = emulate(progress="manual")
    good, bad = caller.submit(), caller.submit()
    assert post(caller, f"jobs/{good}", {"do": "finish"}).get_json()["state"] == "SUCCESS"
    assert post(caller, f"jobs/{bad}", {"do": "fail", "reason": "out of paint"}).get_json()["failure"] == "out of paint"
    assert post(caller, f"jobs/{good}", {"do": "fail"}).status_code == 409
    jobs = get(caller, "jobs").get_json()
    assert [(job["id"], job["state"]) for job in jobs] == [(good, "SUCCESS"), (bad, "FAILED")]
    assert jobs[0]["order"]["prompt"] == "a cute cat"


def test_ledger_journal_and_hooks_are_seen(emulate: Emulate) -> None:
    caller = emulate(progress="immediate", deliverer=RecordingDeliverer())
    caller.submit(hookUrl="http://127.0.0.1:9/h")
    post(caller, "clock", {"advance": 0})
    ledger = get(caller, "ledger").get_json()
    assert (ledger["balances"]["spent"], len(ledger["postings"])) == ("1", 3)
    journal = get(caller, "journal").get_json()
    assert journal["dropped"] == 0
    assert journal["entries"][0]["path"] == "/flux/generate"
    (hook,) = get(caller, "hooks").get_json()
    assert (hook["state"], hook["attempts"][0]["receipt"]["status"]) == ("delivered", 200)


def test_the_journal_is_asked_for_some_of_its_entries(emulate: Emulate) -> None:
    caller = emulate(deliverer=RecordingDeliverer())
    job_id = caller.submit(prompt="a cat", hookUrl="http://127.0.0.1:9/h")
    caller.edit((picture(), "a.png"), prompt="a dog", n="1")
    caller.http.get(f"/flux/fetch?jobId={job_id}", headers=caller.headers)
    post(caller, "clock", {"run_until_idle": True})
    caller.generate(prompt="a dog", mode="nope", n=1)

    def numbers(query: str) -> list[int]:
        return [entry["number"] for entry in get(caller, f"journal?{query}").get_json()["entries"]]

    assert [entry["kind"] for entry in get(caller, "journal").get_json()["entries"]] == [
        "request", "request", "request", "clock", "hook", "request"
    ]  # fmt: skip
    assert numbers("endpoint=submit") == [1, 2, 6]
    assert numbers("endpoint=submit&status=200") == [1, 2]
    assert numbers("path=/flux/fetch") == [3]
    assert numbers("method=get") == [3]
    assert (numbers("method=("), numbers("method=."), numbers("method=GET|POST")) == ([], [], [])
    assert numbers(f"job_id={job_id}") == [1, 3]
    assert numbers("field.prompt=a+dog") == [2, 6]
    assert numbers("field.n=1") == [2, 6]
    assert numbers("field.prompt=a+dog&endpoint=generate") == [6]
    assert numbers("since=3") == [4, 5, 6]
    assert numbers("since=1&limit=2") == [2, 3]
    assert numbers("last=2") == [5, 6]
    assert numbers("last=1&endpoint=submit&status=200") == [2]
    assert (numbers("last=0"), numbers("last=9")) == ([], [1, 2, 3, 4, 5, 6])


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("job=1", "'job' is unknown, there are endpoint, field.NAME, job_id, last, limit, method, path, since, status"),
        ("since=-1", "since: expected a whole number"),
        ("limit=x", "limit: expected a whole number"),
        ("last=-1", "last: expected a whole number"),
        ("last=1&limit=1", "last: expected it without limit"),
        ("endpoint=genrate", "did you mean 'generate'?"),
        ("path=flux", "path: expected a path such as /flux/fetch"),
    ],
)
def test_what_the_journal_cannot_be_asked_for_is_said(emulate: Emulate, query: str, words: str) -> None:
    caller = emulate()
    caller.submit()
    answer = get(caller, f"journal?{query}")
    assert (answer.status_code, words in answer.get_json()["error"]) == (400, True), answer.get_json()


def test_calls_and_spending_are_verified(emulate: Emulate) -> None:
    caller = emulate()
    caller.submit(prompt="a cat")
    assert post(caller, "verify", {"endpoint": "generate", "times": 1, "max_spend": 1}).get_json() == {
        "verified": True, "matched": 1, "matching": [1]
    }  # fmt: skip
    assert post(caller, "verify", {"max_spend": "1.0"}).get_json() == {
        "verified": True, "matched": None, "matching": None
    }  # fmt: skip
    answer = post(caller, "verify", {"endpoint": "generate", "fields": {"prompt": "a dog"}})
    assert (answer.status_code, answer.get_json()["nearest"]) == (
        417,
        [{"number": 1, "differences": [{"field": "prompt", "expected": "'a dog'", "got": "'a cat'"}]}],
    )
    assert "with prompt='a dog', got 0 of 1 call" in answer.get_json()["error"]
    answer = post(caller, "verify", {"max_spend": 0.5})
    assert (answer.status_code, answer.get_json()["nearest"]) == (417, [])
    assert "expected at most 0.5 quota spent or reserved, got 1 for 1 job" in answer.get_json()["error"]


def test_all_that_is_not_as_expected_is_said_at_once(emulate: Emulate) -> None:
    caller = emulate()
    caller.submit()
    caller.submit()
    both = post(caller, "verify", {"endpoint": "generate", "times": 3, "max_spend": 1}).get_json()
    assert (both["matched"], both["matching"], both["nearest"]) == (2, [1, 2], [])
    assert both["error"].startswith("expected exactly 3 calls to POST /flux/generate, got 2 of 2 calls\nthese came:\n")
    assert "\nexpected at most 1 quota spent or reserved, got 2 for 2 jobs\n" in both["error"]
    spent = post(caller, "verify", {"endpoint": "generate", "times": 2, "max_spend": 1}).get_json()
    assert (spent["verified"], spent["matching"]) == (False, [1, 2])
    assert post(caller, "verify", {"endpoint": "edits", "max_spend": "much"}).status_code == 400


def test_who_looks_or_verifies_makes_no_world(emulate: Emulate) -> None:
    caller = emulate(key="a-key-with-a-typo")
    right = Caller(caller.app, "the-key-that-calls")
    right.submit()
    answers = [get(caller, what) for what in LOOKS]
    answers += [post(caller, "jobs/x", {"do": "start"}), post(caller, "hooks/x", {"do": "replay"})]
    answers += [post(caller, "hooks/wait", {})]
    assert {answer.status_code for answer in answers} == {404}
    verified = post(caller, "verify", {"endpoint": "generate", "times": 0})
    assert verified.status_code == 417
    for answer in [*answers, verified]:
        words = answer.get_json()["error"]
        assert re.match(r"no call ever came with the key a-ke…#\w{4}; calls came with the keys the-…#\w{4}; ", words)
    assert [tenant.key for tenant in caller.app.world.tenants()] == [right.key]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"endpoint": None, "times": 0}, 200), ({"endpoint": "edits", "at_most": 2}, 200), ({"max_spend": 0}, 200),
        ({"endpoint": "generate"}, 417), ({"endpoint": "generate", "at_least": 1, "max_spend": 1}, 417),
        ({"endpoint": "nope"}, 400), ({"endpoint": "generate", "times": -1}, 400), ({"max_spend": -1}, 400),
    ],
)  # fmt: skip
def test_before_anything_called_only_no_calls_can_be_verified(
    emulate: Emulate, body: dict[str, Any], status: int
) -> None:
    caller = emulate()
    assert post(caller, "verify", body).status_code == status
    assert caller.app.world.tenants() == []


def test_calls_without_a_key_are_mentioned_to_who_verifies_that_none_came(emulate: Emulate) -> None:
    caller = emulate()
    caller.http.post("/flux/generate", json={})
    answer = post(caller, "verify", {"endpoint": "generate", "times": 0})
    assert (answer.status_code, "calls with no key" in answer.get_json()["error"]) == (417, True)


@pytest.mark.parametrize(
    ("what", "body"), [("clock", {"mode": "frozen"}), ("scenario", {"name": "lost-hook"}), ("reset", {"balance": 1})]
)
def test_who_sets_something_makes_the_world_that_it_is_for(emulate: Emulate, what: str, body: Any) -> None:
    caller = emulate()
    assert post(caller, what, body).status_code == 200
    assert {get(caller, look).status_code for look in LOOKS} == {200}
    assert post(caller, "verify", {"endpoint": "generate", "times": 0}).status_code == 200


def test_a_webhook_is_waited_for(emulate: Emulate) -> None:
    caller = emulate(deliverer=RecordingDeliverer())
    silent, job_id = caller.submit(), caller.submit(hookUrl="http://127.0.0.1:9/h")
    waited = post(caller, "hooks/wait", {"job_id": job_id, "timeout": 5}).get_json()
    assert (waited["job_id"], waited["state"]) == (job_id, "delivered")
    answer = post(caller, "hooks/wait", {"job_id": silent})
    assert (answer.status_code, "does not have a hookUrl" in answer.get_json()["error"]) == (417, True)
    assert post(caller, "hooks/wait", None).status_code == 417, "the only one was waited for already"


def test_a_hook_is_sent_once_more(emulate: Emulate) -> None:
    deliverer = RecordingDeliverer()
    caller = emulate(progress="immediate", deliverer=deliverer)
    caller.submit(hookUrl="http://127.0.0.1:9/h")
    post(caller, "clock", {"run_until_idle": True})
    (hook,) = get(caller, "hooks").get_json()
    again = post(caller, f"hooks/{hook['id']}", {"do": "replay"}).get_json()
    assert (again["state"], [attempt["number"] for attempt in again["attempts"]]) == ("delivered", [1, 2])
    assert len(deliverer.sent) == 2


def test_what_a_hook_causes_cannot_move_the_clock_that_waits_for_it(emulate: Emulate) -> None:
    answers: list[int] = []

    class CallingBack(RecordingDeliverer):
        def deliver(self, delivery: Delivery) -> Future[Receipt]:
            if not self.sent:
                answers.append(post(caller, "clock", {"advance": 1}).status_code)
                answers.append(post(caller, f"hooks/{delivery.id}", {"do": "replay"}).status_code)
            return super().deliver(delivery)

    caller = emulate(progress="immediate", deliverer=CallingBack())
    caller.submit(hookUrl="http://127.0.0.1:9/h")
    post(caller, "clock", {"advance": 0})
    assert answers == [409, 409]


def test_all_worlds_are_forgotten(emulate: Emulate) -> None:
    caller, other = emulate(), {"TT-API-KEY": "other"}
    caller.submit()
    post(caller, "clock", {"advance": 0}, **other)
    assert get(caller, "ready").get_json()["tenants"] == 2
    assert post(caller, "tenants/reset", {}).get_json() == {"forgotten": 2}
    assert get(caller, "ready").get_json()["tenants"] == 0
    assert get(caller, "jobs").status_code == 404


def test_a_scenario_is_set_and_a_world_made_anew(emulate: Emulate) -> None:
    caller = emulate()
    post(caller, "reset", {})
    assert get(caller, "scenario").get_json() == {"name": "all-goes-well", "story": "", "rules": 0}
    playing = post(caller, "scenario", {"name": "queue-exhausted"}).get_json()
    assert (playing["name"], playing["rules"]) == ("queue-exhausted", 1)
    assert get(caller, "scenario").get_json() == playing
    assert caller.generate().status_code == 499
    assert post(caller, "reset", {"balance": 0}).status_code == 200
    assert caller.generate().status_code == 402
    assert get(caller, "jobs").get_json() == []


def test_tenants_are_listed_without_their_keys(emulate: Emulate) -> None:
    caller = emulate(key="a-very-secret-key")
    caller.submit()
    listed = get(caller, "tenants")
    assert [tenant["jobs"] for tenant in listed.get_json()] == [1]
    assert "very-secret" not in listed.text
    assert get(caller, "health").get_json()["status"] == "ok"
