"""Control over HTTP: the same as in Python, for this machine alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support import Caller

from mock_server.clock import EPOCH
from mock_server.hooks.deliverer import RecordingDeliverer

Emulate = Callable[..., Caller]


def get(caller: Caller, what: str, **headers: str) -> Any:
    return caller.http.get(f"/_mock/{what}", headers={**caller.headers, **headers})


def post(caller: Caller, what: str, body: Any, **headers: str) -> Any:
    return caller.http.post(f"/_mock/{what}", json=body, headers={**caller.headers, **headers})


def test_the_clock_is_moved_and_paced(emulate: Emulate) -> None:
    caller = emulate()
    job_id = caller.submit()
    assert get(caller, "clock").get_json() == {
        "now": EPOCH, "today": "2024-09-10T00:00:00+00:00", "rate": 0, "auto": False
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
        ("clock", {"fly": 1}, 400, "expected one of advance"),
        ("clock", {"mode": "fast"}, 400, "expected real, frozen"),
        ("clock", [1], 400, "expected a JSON object"),
        ("jobs/nope", {"do": "finish"}, 404, "no job 'nope'"),
        ("jobs/nope", {"do": "dance"}, 400, "expected"),
        ("scenario", {"name": "lost-hok"}, 400, "did you mean lost-hook"),
        ("scenario", {"name": "x", "rules": 7}, 400, "at /rules"),
        ("reset", {"clok": 1}, 400, "no such setting"),
    ],
)
def test_what_cannot_be_done_is_said(emulate: Emulate, what: str, body: Any, status: int, words: str) -> None:
    answer = post(emulate(), what, body)
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


def test_a_scenario_is_set_and_a_world_made_anew(emulate: Emulate) -> None:
    caller = emulate()
    assert post(caller, "scenario", {"name": "queue-exhausted"}).status_code == 200
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
    [{"Host": "evil.example"}, {"Host": "evil.example:8787"}, {"Origin": "http://evil.example"}, {"Origin": "null"}],
)
def test_only_this_machine_controls_unless_it_knows_the_token(emulate: Emulate, headers: dict[str, str]) -> None:
    caller = emulate(admin_token="open sesame")
    assert get(caller, "clock", **headers).status_code == 403
    assert get(caller, "clock", **headers, **{"X-Fluxmock-Token": "sesame"}).status_code == 403
    assert get(caller, "clock", **headers, **{"X-Fluxmock-Token": "open sesame"}).status_code == 200


@pytest.mark.parametrize(("address", "status"), [("127.0.0.1", 200), ("::1", 200), ("192.168.1.5", 403), ("::2", 403)])
def test_a_client_elsewhere_does_not_control_whatever_host_it_writes(
    emulate: Emulate, address: str, status: int
) -> None:
    caller = emulate()
    answer = caller.http.get("/_mock/clock", headers=caller.headers, environ_base={"REMOTE_ADDR": address})
    assert answer.status_code == status


@pytest.mark.parametrize("host", ["127.0.0.1:8787", "localhost", "localhost:1", "[::1]:80", "[::1]"])
def test_this_machine_has_several_names(emulate: Emulate, host: str) -> None:
    assert get(emulate(), "clock", Host=host).status_code == 200
    assert get(emulate(), "clock", Host=host, Origin=f"http://{host}").status_code == 200


def test_nothing_of_control_is_in_the_journal(emulate: Emulate) -> None:
    caller = emulate()
    get(caller, "clock")
    assert len(caller.app.world.tenant(caller.key).journal) == 0
