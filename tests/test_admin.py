"""Control over HTTP: the same as in Python, for this machine alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from support import Caller, picture

from mock_server.app import create_app
from mock_server.clock import EPOCH
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.http.reader import REFUSAL
from mock_server.model import Delivery, Receipt
from mock_server.settings import Settings

Emulate = Callable[..., Caller]


def get(caller: Caller, what: str, **headers: str) -> Any:
    return caller.http.get(f"/_mock/{what}", headers={**caller.headers, **headers})


def post(caller: Caller, what: str, body: Any, **headers: str) -> Any:
    return caller.http.post(f"/_mock/{what}", json=body, headers={**caller.headers, **headers})


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


LOOKS = ("clock", "scenario", "jobs", "ledger", "journal", "hooks")


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


def test_whose_world_is_meant_must_be_said(emulate: Emulate) -> None:
    answer = emulate().http.get("/_mock/clock")
    assert (answer.status_code, "TT-API-KEY" in answer.get_json()["error"]) == (401, True)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8787"},
        {"Host": "x~y.evil.example:8787"},
        {"Host": ""},
        {"Host": "a!b.evil.com"},
        {"Host": "evil.com:99999"},
        {"Host": "localhost:99999"},
        {"Host": "localhost.evil.com"},
        {"Host": "localhost, evil.com"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Host": "x~y.evil.example", "Origin": "http://localhost"},
    ],
)
def test_only_this_machine_controls_unless_it_knows_the_token(emulate: Emulate, headers: dict[str, str]) -> None:
    caller = emulate(admin_token="open sesame")
    caller.submit()
    assert get(caller, "clock", **headers).status_code == 403
    assert get(caller, "clock", **headers, **{"X-Fluxmock-Token": "sesame"}).status_code == 403
    assert get(caller, "clock", **headers, **{"X-Fluxmock-Token": "\xe9"}).status_code == 403
    assert get(caller, "clock", **headers, **{"X-Fluxmock-Token": "open sesame"}).status_code == 200


@pytest.mark.parametrize(("address", "status"), [("127.0.0.1", 200), ("::1", 200), ("192.168.1.5", 403), ("::2", 403)])
def test_a_client_elsewhere_does_not_control_whatever_host_it_writes(
    emulate: Emulate, address: str, status: int
) -> None:
    caller = emulate()
    answer = caller.http.get("/_mock/health", headers=caller.headers, environ_base={"REMOTE_ADDR": address})
    assert answer.status_code == status


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8787", "localhost", "localhost:1", "LOCALHOST", "localhost.", "localhost.:65535", "[::1]:80", "[::1]"],
)
def test_this_machine_has_several_names(emulate: Emulate, host: str) -> None:
    assert get(emulate(), "health", Host=host).status_code == 200
    assert get(emulate(), "health", Host=host, Origin=f"http://{host}").status_code == 200


def test_a_scenario_over_http_is_never_read_from_a_file(emulate: Emulate, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("name: own\nrules: []\nsecret: hidden in a file\n")
    caller = emulate()
    answer = post(caller, "scenario", {"name": str(file)})
    assert (answer.status_code, "hidden" in answer.text) == (400, False)
    assert "there are" in answer.get_json()["error"]
    file.write_text("name: own\nrules: []\n")
    assert post(caller, "scenario", {"name": str(file)}).status_code == 400


def test_a_key_that_is_not_allowed_controls_nothing(emulate: Emulate) -> None:
    strict = Caller(create_app(Settings.of(key="the-right-key")), "another-key")
    answers = [get(strict, what) for what in LOOKS]
    answers += [post(strict, "reset", {}), post(strict, "scenario", {"name": "lost-hook"})]
    answers += [post(strict, "clock", {"mode": "auto"}), post(strict, "verify", {"endpoint": None, "times": 0})]
    for answer in answers:
        assert (answer.status_code, "none of the 1 allowed by --key" in answer.get_json()["error"]) == (401, True)
    assert strict.app.world.tenants() == []
    right = Caller(strict.app, "the-right-key")
    assert post(right, "reset", {}).status_code == 200
    strict.app.world.close()


# Where there is nothing


def ask(caller: Caller, method: str, path: str, **request: Any) -> Any:
    return caller.http.open(path, method=method, headers={**caller.headers, **request.pop("headers", {})}, **request)


@pytest.mark.parametrize(
    ("method", "path", "words", "allowed"),
    [
        ("GET", "/_mock/reset", "/_mock/reset takes POST, got GET; see /_mock/openapi.json", {"POST"}),
        ("POST", "/_mock/journal", "/_mock/journal takes GET, got POST; see", {"GET", "HEAD"}),
        ("DELETE", "/_mock/scenario", "/_mock/scenario takes GET or POST, got DELETE; see", {"GET", "HEAD", "POST"}),
        ("PUT", "/_mock/jobs/x", "/_mock/jobs/x takes POST, got PUT; see", {"POST"}),
        ("GET", "/_mock/hooks/x.webp", "/_mock/hooks/x.webp takes POST, got GET; see", {"POST"}),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(
    emulate: Emulate, method: str, path: str, words: str, allowed: set[str]
) -> None:
    answer = ask(emulate(), method, path)
    assert (answer.status_code, answer.get_json().keys()) == (405, {"error"})
    assert answer.get_json()["error"].startswith(words)
    assert set(answer.allow) - {"OPTIONS"} == allowed


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/_mock/nothing", "; there are /_mock/health, /_mock/ready, "),
        ("/_mock/x.webp", "; there are /_mock/health"),
        ("/_mock/journl", "; did you mean /_mock/journal? see /_mock/openapi.json"),
        ("/_mock/Clock/", "; did you mean /_mock/clock? see"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_path_with_nothing_is_told_what_there_is(emulate: Emulate, method: str, path: str, words: str) -> None:
    answer = ask(emulate(), method, path)
    assert (answer.status_code, answer.get_json().keys()) == (404, {"error"})
    assert answer.get_json()["error"].startswith(f"there is no {path}{words}")


@pytest.mark.parametrize("path", ["/_mock", "/_mock/"])
def test_the_index_has_a_line_for_each_operation(emulate: Emulate, path: str) -> None:
    lines = ask(emulate(), "GET", path).get_json()
    assert lines["GET /_mock/clock"] == "How the clock stands and runs."
    assert {"GET /_mock/", "POST /_mock/clock", "POST /_mock/hooks/{hook_id}"} <= lines.keys()


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/_mock/"), ("GET", "/_mock/nothing"), ("GET", "/_mock/reset"), ("GET", "/_mock/x.webp")],
)
def test_even_where_there_is_nothing_only_this_machine_is_told_so(emulate: Emulate, method: str, path: str) -> None:
    caller = emulate(admin_token="open sesame")
    foreign = {"Host": "evil.example"}
    assert ask(caller, method, path, headers=foreign).status_code == 403
    assert ask(caller, method, path, environ_base={"REMOTE_ADDR": "192.168.1.5"}).status_code == 403
    assert ask(caller, method, path, headers={"Origin": "null"}).status_code == 403
    answer = ask(caller, method, path, headers={**foreign, "X-Fluxmock-Token": "open sesame"})
    assert answer.status_code != 403


def test_nothing_of_control_is_in_a_journal(emulate: Emulate) -> None:
    caller = emulate(max_body=100)
    job_id = caller.submit()
    get(caller, "clock")
    for method, path, status in (
        ("DELETE", "/_mock/scenario", 405), ("GET", "/_mock/nothing", 404), ("GET", "/_mock/x.webp", 404),
        ("POST", "/_mock/clock", 413),
    ):  # fmt: skip
        answer = ask(caller, method, path, data=b"x" * 101)
        assert (answer.status_code, answer.get_json().keys()) == (status, {"error"})
    refused = ask(caller, "POST", "/_mock/clock", environ_overrides={REFUSAL: "a header that is none"})
    assert (refused.status_code, refused.get_json()) == (400, {"error": "a header that is none"})
    assert [entry.job_id for entry in caller.app.world.tenant(caller.key).journal.requests] == [job_id]
    assert list(caller.app.world.strays) == []


def test_a_fault_of_control_is_an_answer_of_control(emulate: Emulate, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = emulate()
    caller.submit()
    monkeypatch.setattr("mock_server.admin.clock_data", lambda _: {}["a fault"])
    answer = get(caller, "clock")
    assert (answer.status_code, "a fault of fluxmock" in answer.get_json()["error"]) == (500, True)
    assert len(caller.app.world.tenant(caller.key).journal) == 1
