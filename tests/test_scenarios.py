"""Scenarios: how they are written, what they match, and what clients then see on a real socket."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import KEY, PROMPT, Caller, explained

import mock_server
from mock_server.control import TenantControl
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.model import DeliveryState, Order, Plan
from mock_server.scenarios.editing import edited
from mock_server.scenarios.files import (
    ScenarioError,
    WatchedScenario,
    find_scenario,
    library,
    load_scenario,
    parse_scenario,
)
from mock_server.scenarios.rules import Delay, Edit, Fate, Target, read_scenario
from mock_server.serving import Server

Emulate = Callable[..., Caller]
ORDER = Order("generate", "a cute Cat", "flux1-dev", "1024x1024", None, "http://localhost")


def scenario(*rules: dict[str, Any], **more: Any) -> str:
    return json.dumps({"name": "under-test", "rules": rules, **more})


def written(tmp_path: Path, *rules: dict[str, Any], **more: Any) -> str:
    path = tmp_path / "scenario.json"
    path.write_text(scenario(*rules, **more))
    return str(path)


def raw(server: Server, path: str, body: object, *, connections: int = 1) -> bytes:
    """POST on a new connection; return every byte that comes until it ends. A reset raises."""
    url, data = urlsplit(server.url), json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nTT-API-KEY: {KEY}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    received = b""
    with socket.create_connection((url.hostname, url.port), timeout=20) as connection:
        connection.sendall(head.encode() + data)
        while chunk := connection.recv(65536):
            received += chunk
    return received


@pytest.mark.parametrize("path", library().values(), ids=lambda path: path.stem)
def test_a_ready_made_scenario_can_be_played_and_has_a_story(path: Path) -> None:
    found = load_scenario(path)
    assert found.name == path.stem
    assert found.story.endswith(".")
    with mock_server.serve(port=0, scenario=path.stem, clock="frozen") as server:
        assert server.world.settings.scenario == path.stem


@pytest.mark.parametrize("path", library().values(), ids=lambda path: path.stem)
def test_deleting_any_rule_leaves_a_scenario(path: Path) -> None:
    import yaml

    data = yaml.safe_load(path.read_text().replace("- on:", "- 'on':"))
    for index in range(len(data["rules"])):
        fewer = {**data, "rules": data["rules"][:index] + data["rules"][index + 1 :]}
        assert parse_scenario(json.dumps(fewer)).name == path.stem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: [", "f.yaml:1: expected YAML or JSON"),
        ("- 1", "f.yaml: at /: [1] is not of type"),
        ("name: x\nrulez: []", "'rulez' is unknown; did you mean 'rules'?"),
        ("name: x\nrules:\n  - on: fetch\n    then: {wire: {silnt: true}}", "f.yaml:4: at /rules/0/then/wire: 'silnt' is unknown; did you mean 'silent'?"),
        ("name: x\nrules:\n  - on: job\n    then: {fial: x}", "f.yaml:4: at /rules/0/then: 'fial' is unknown; did you mean 'fail'?"),
        ("name: x\nrules:\n  - on: jobs\n    then: {fail: x}", "f.yaml:3: at /rules/0/on"),
        ("name: x\nrules:\n  - on: job\n    wehre: {mode: x}\n    then: {fail: x}", "did you mean 'where'?"),
        ("name: x\nrules:\n  - on: job\n    where: {prompt_pattern: '('}\n    then: {fail: x}", "regex"),
        ("name: x\nrules:\n  - on: fetch\n    calls: {from: 5, to: 2}\n    then: {status: 500}", "f.yaml:4: at /rules/0/calls: no number lies"),
        ("name: x\nrules:\n  - on: fetch\n    calls: {frist: 2}\n    then: {status: 500}", 'f.yaml:4: at /rules/0/calls: expected one like 1, {"first": 2}'),
        ("name: x\nrules:\n  - on: fetch\n    job: [1]\n    then: {status: 500}", "expected one like 1, [2, 5]; got [1]"),
        ("name: x\nrules:\n  - on: fetch\n    then: {delay: -1}", 'expected one like 0.5, {"uniform": [0.1, 2]}, {"lognormal": [0.5, 0.8]}; got -1'),
        ("name: x\nrules:\n  - on: hook\n    then: {delay: -1}", "-1 is less than the minimum"),
        ("name: x\nrules:\n  - on: hook\n    then: {when: early}", "before the submit answer"),
        ("name: x\nname: y\nrules: []", "f.yaml:2: expected YAML or JSON: 'name' stands twice"),
        ("name: x\nrules:\n  - on: fetch\n    then: {headers: {content-length: '5'}}", "f.yaml:4: at /rules/0/then/headers"),
        ("name: x\nrules:\n  - on: fetch\n    then: {headers: {Transfer-Encoding: chunked}}", "f.yaml:4: at /rules/0/then/headers"),
        ('{"name": "x", "rules": [{"on": "fetch", "then": {"headers": {"X": "a\\r\\nb"}}}]}', "/then/headers/X"),
        ('{"name": "x", "rules": [{"on": "fetch", "then": {"redirect": "http://x\\r\\ny"}}]}', "/then/redirect"),
        ("{1: 2}", "expected names that are texts"),
        ("{" * 5000, "nested too deep"),
    ],
)  # fmt: skip
def test_a_bad_scenario_is_refused_with_line_and_fix(text: str, words: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        parse_scenario(text, "f.yaml")
    assert words in str(refused.value)


@given(st.text(max_size=60))
def test_no_text_whatever_breaks_the_reader(text: str) -> None:
    try:
        parse_scenario(text)
    except ScenarioError as error:
        assert str(error).startswith("scenario")  # noqa: PT017 - most texts are refused, but none need be


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


def test_an_answer_may_be_another_although_the_job_was_made() -> None:
    with mock_server.serve(port=0, scenario="gateway-502-after-accept", clock="frozen") as server:
        received = raw(server, "/flux/generate", PROMPT)
        assert received.startswith(b"HTTP/1.1 502")
        assert b"Content-Type: text/html" in received
        assert received.count(b"Content-Type") == 1
        assert server.tenant(KEY).ledger.reserved == 1


def test_a_body_may_be_edited(tmp_path: Path) -> None:
    edit = {"set": {"/status": "THROTTLED", "/data": {"x": [1]}}, "remove": ["/jobId"], "rename": {"message": "msg"}}
    name = written(tmp_path, {"on": "fetch", "then": edit})
    with mock_server.serve(port=0, scenario=name, clock="frozen") as server:
        job_id = json.loads(raw(server, "/flux/generate", PROMPT).partition(b"\r\n\r\n")[2])["data"]["jobId"]
        body = json.loads(raw(server, "/flux/fetch", {"jobId": job_id}).partition(b"\r\n\r\n")[2])
    assert body == {"status": "THROTTLED", "msg": "success", "data": {"x": [1]}}


@pytest.mark.parametrize("coding", ["gzip", "bom", "latin-1", "utf-16"])
def test_a_body_may_be_coded_otherwise(tmp_path: Path, coding: str) -> None:
    name = written(tmp_path, {"on": "submit", "then": {"coding": coding}})
    with mock_server.serve(port=0, scenario=name, clock="frozen") as server:
        head, _, body = raw(server, "/flux/generate", PROMPT).partition(b"\r\n\r\n")
    assert (b"Content-Encoding: gzip" in head) == (coding == "gzip")
    plain = gzip.decompress(body) if coding == "gzip" else body.removeprefix(b"\xef\xbb\xbf")
    assert (body != plain) == (coding in {"gzip", "bom"})
    assert json.loads(plain.decode(coding if coding in {"latin-1", "utf-16"} else "utf-8"))["status"] == "SUCCESS"


def wired(tmp_path: Path, **wire: Any) -> str:
    return written(tmp_path, {"on": "submit", "then": {"wire": wire}})


def test_a_reset_before_the_answer(tmp_path: Path) -> None:
    with mock_server.serve(port=0, scenario="reset-after-accept", clock="frozen") as server:
        with pytest.raises(ConnectionResetError):
            raw(server, "/flux/generate", PROMPT)
        assert server.tenant(KEY).ledger.reserved == 1
        assert raw(server, "/flux/generate", PROMPT).startswith(b"HTTP/1.1 200")


def test_a_reset_in_the_middle_of_the_body(tmp_path: Path) -> None:
    with (
        mock_server.serve(port=0, scenario=wired(tmp_path, body_bytes=5, end="reset")) as server,
        pytest.raises(ConnectionResetError),
    ):
        raw(server, "/flux/generate", PROMPT)


def test_an_empty_answer(tmp_path: Path) -> None:
    with mock_server.serve(port=0, scenario=wired(tmp_path, silent=True, end="close")) as server:
        assert raw(server, "/flux/generate", PROMPT) == b""


def test_a_truncated_body(tmp_path: Path) -> None:
    with mock_server.serve(port=0, scenario=wired(tmp_path, body_bytes=5, end="close")) as server:
        head, _, body = raw(server, "/flux/generate", PROMPT).partition(b"\r\n\r\n")
    assert body == b'{"sta'
    assert b"Content-Length: 96" in head


def test_a_wrong_content_length(tmp_path: Path) -> None:
    with mock_server.serve(port=0, scenario=wired(tmp_path, length_error=10, end="close")) as server:
        head, _, body = raw(server, "/flux/generate", PROMPT).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body) + 10}".encode() in head


def test_one_byte_at_a_time_gives_the_same_bytes(tmp_path: Path) -> None:
    with mock_server.serve(port=0, scenario=wired(tmp_path, piece=1, pause=0.0001)) as server:
        dripped = raw(server, "/flux/generate", PROMPT)
    with mock_server.serve(port=0) as server:
        whole = raw(server, "/flux/generate", PROMPT)
    head, _, body = dripped.partition(b"\r\n\r\n")
    assert body == whole.partition(b"\r\n\r\n")[2]
    assert b"1 bytes at a time, 0.0001 s apart" in head


def test_odd_chunks(tmp_path: Path) -> None:
    with mock_server.serve(port=0, scenario=wired(tmp_path, chunks=[1, 7, 3])) as server:
        url = urlsplit(server.url)
        connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=20)
        headers = {"TT-API-KEY": KEY, "Content-Type": "application/json"}
        for _ in range(2):
            connection.request("POST", "/flux/generate", json.dumps(PROMPT), headers)
            answer = connection.getresponse()
            assert answer.headers["Transfer-Encoding"] == "chunked"
            assert answer.headers["Content-Length"] is None
            assert json.loads(answer.read())["status"] == "SUCCESS"
        connection.close()


def test_a_half_closed_connection_gives_nothing_more(tmp_path: Path) -> None:
    with mock_server.serve(port=0, scenario=wired(tmp_path, silent=True, end="half close")) as server:
        url = urlsplit(server.url)
        with socket.create_connection((url.hostname, url.port), timeout=20) as connection:
            body = json.dumps(PROMPT).encode()
            head = f"POST /flux/generate HTTP/1.1\r\nHost: x\r\nTT-API-KEY: {KEY}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            assert connection.recv(10) == b""
            connection.sendall(b"still here")


def test_an_idle_connection_is_closed_between_calls(tmp_path: Path) -> None:
    with mock_server.serve(port=0, scenario=wired(tmp_path, idle=0.01)) as server:
        url = urlsplit(server.url)
        with socket.create_connection((url.hostname, url.port), timeout=20) as connection:
            body = json.dumps(PROMPT).encode()
            head = f"POST /flux/generate HTTP/1.1\r\nHost: x\r\nTT-API-KEY: {KEY}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
        assert b"Connection: close" not in received
        assert received.endswith(b"}")


def test_a_delay_takes_no_thread_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    import threading

    name = written(tmp_path, {"on": "submit", "where": {"prompt": "late"}, "then": {"delay": 3600}})
    with mock_server.serve(port=0, scenario=name) as server:
        url = urlsplit(server.url)
        threads = threading.active_count()
        waiting = []
        for _ in range(100):
            connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=20)
            headers = {"TT-API-KEY": KEY, "Content-Type": "application/json"}
            connection.request("POST", "/flux/generate", json.dumps({**PROMPT, "prompt": "late"}), headers)
            waiting.append(connection)
        assert raw(server, "/flux/generate", PROMPT).startswith(b"HTTP/1.1 200")
        assert threading.active_count() == threads
        for connection in waiting:
            connection.close()


def test_a_redirect_goes_to_another_origin(tmp_path: Path) -> None:
    name = written(tmp_path, {"on": "submit", "then": {"redirect": "http://127.0.0.1:9/elsewhere"}})
    with mock_server.serve(port=0, scenario=name) as server:
        received = raw(server, "/flux/generate", PROMPT)
        assert received.startswith(b"HTTP/1.1 307")
        assert b"Location: http://127.0.0.1:9/elsewhere\r\n" in received
        assert len(server.tenant(KEY).jobs) == 0


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


def test_an_edited_file_is_read_again_and_a_bad_edit_keeps_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mock_server.scenarios.files._LOOK_SECONDS", 0.0)
    path = tmp_path / "edited.json"
    path.write_text(scenario({"on": "job", "then": {"fail": "first"}}))
    watched = WatchedScenario(str(path))
    assert watched().rules[0].then == Fate(fail="first")
    path.write_text(scenario({"on": "job", "then": {"fial": "second edit"}}))
    assert watched().rules[0].then == Fate(fail="first")
    assert "stays as it was" in caplog.text
    assert "did you mean 'fail'?" in caplog.text
    path.write_text(scenario({"on": "job", "then": {"fail": "third"}}))
    assert watched().rules[0].then == Fate(fail="third")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mock_server", "scenarios", *arguments],
        capture_output=True, text=True, timeout=60, env=dict(os.environ),
    )  # fmt: skip


def test_the_command_lists_shows_begins_and_checks(tmp_path: Path) -> None:
    listed = command("list").stdout
    assert all(name in listed for name in library())
    shown = command("show", "lost-hook").stdout
    assert shown == library()["lost-hook"].read_text()
    mine = tmp_path / "My Own.yaml"
    assert command("new", str(mine)).returncode == 0
    assert command("new", str(mine)).returncode == 2
    assert "call it mine.yaml" in command("new", str(tmp_path / "mine.json")).stderr
    checked = command("lint", str(mine), *map(str, library().values()))
    assert (checked.returncode, checked.stdout.count(": ok, ")) == (0, 1 + len(library()))
    mine.write_text("name: x\nrules: 7\n")
    broken = command("lint", str(mine))
    assert (broken.returncode, f"{mine}:2: at /rules" in broken.stdout) == (1, True)
    assert command("lint").returncode == 3


def test_a_scenario_that_is_none_ends_serve_with_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mock_server", "serve", "--port", "0", "--scenario", "lost-hok"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "did you mean lost-hook?" in done.stderr


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


def test_a_status_that_is_no_refusal_keeps_the_answer(tmp_path: Path) -> None:
    name = written(tmp_path, {"on": "submit", "then": {"status": 201}})
    with mock_server.serve(port=0, scenario=name) as server:
        received = raw(server, "/flux/generate", PROMPT)
    assert received.startswith(b"HTTP/1.1 201")
    assert b'"jobId"' in received


def test_what_a_scenario_changed_is_said(emulate: Emulate) -> None:
    caller = emulate(scenario="reset-after-accept")
    answer = caller.generate()
    assert "the scenario changed this answer: reset without an answer; NOT PLAYED on the wire" in explained(answer)
    assert "the scenario changed" in caller.app.world.tenant(KEY).journal.requests[0].lint[0]
    assert "the scenario" not in explained(caller.generate())


def test_a_scenario_that_cannot_be_had_is_named_as_the_option() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mock_server", "serve", "--port", "0", "--scenario", "no-such"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stderr.startswith("fluxmock: --scenario: no-such: expected a file")


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


@pytest.mark.parametrize("status", [299, 499, 520, 599])
def test_any_status_can_be_played_in_the_lane_and_beside_it(tmp_path: Path, status: int) -> None:
    name = written(tmp_path, {"on": "submit", "then": {"status": float(status)}})
    with mock_server.serve(port=0, scenario=name) as server:
        for path in ("/flux/generate", "/flux/generate?x=1"):
            assert raw(server, path, PROMPT).startswith(b"HTTP/1.1 %d " % status)


def test_whole_floats_are_played_as_integers(tmp_path: Path) -> None:
    wire = {"piece": 10.0, "body_bytes": 30.0, "chunks": [2.0], "length_error": 1.0}
    name = written(
        tmp_path,
        {"on": "submit", "calls": {"first": 1.0}, "job": [1.0, 2.0], "then": {"wire": wire, "set": {"/x": 1.0}}},
        {"on": "hook", "calls": 1.0, "job": 1.0, "then": {"copies": 2.0, "body_bytes": 3.0}},
    )
    with mock_server.serve(port=0, scenario=name) as server:
        assert b"10 bytes at a time" in raw(server, "/flux/generate", PROMPT)
        submit, hook = server.world.scenario().rules
    assert (submit.then.edit.set, hook.then.copies) == ({"/x": 1.0}, 2)  # type: ignore[union-attr]
    assert isinstance(submit.then.edit.set["/x"], float)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("on", "then"),
    [
        ("job", {"queue_seconds": 1e300}),
        ("job", {"run_seconds": 315360001}),
        ("hook", {"delay": 1e300}),
        ("hook", {"body_bytes": 10**10}),
        ("fetch", {"delay": {"uniform": [0, 1e300]}}),
        ("fetch", {"delay": {"lognormal": [86401, 1]}}),
        ("fetch", {"delay": {"lognormal": [1, 11]}}),
        ("fetch", {"wire": {"idle": 3601}}),
        ("fetch", {"wire": {"length_error": -(10**10)}}),
        ("fetch", {"wire": {"chunks": [10**10]}}),
        ("fetch", {"wire": {"piece": 10**10}}),
        ("fetch", {"wire": {"body_bytes": 10**10}}),
    ],
)
def test_what_is_beyond_all_sense_is_refused(on: str, then: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError, match="f.json:1: at /rules/0/then"):
        parse_scenario(scenario({"on": on, "then": then}), "f.json")


def test_no_delay_is_too_large_for_a_float() -> None:
    assert Delay("lognormal", 1.0, 1e9).draw(0.0, 0.0) == 86400.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (scenario({"on": "fetch", "then": {"set": {"/a": [1, 2**64]}}}), "f:1: at /rules/0/then/set//a/1: expected a whole number of at most 64 bits"),
        (scenario({"on": "fetch", "then": {"set": {"/a": float("nan")}}}), "f: expected YAML or JSON: NaN is no number in JSON"),
        ("name: x\nrules:\n- 'on': fetch\n  then:\n    set:\n      /a: .inf", "f:6: at /rules/0/then/set//a: expected a number that JSON has"),
        (scenario({"on": "fetch", "then": {"set": {"/a": {"\ud800": 1}}}}), "half of a surrogate pair"),
        (scenario({"on": "job", "then": {"fail": "\udfff"}}), "at /rules/0/then/fail: expected text in Unicode"),
        ("name: x\nrules: []\nsettings:\n  clok: frozen", "f:4: at /settings/clok: 'clok' is unknown; did you mean 'clock'?"),
        ("name: x\nrules: []\nsettings:\n  cls: 1", "'cls' is unknown"),
        ("name: x\nrules: []\nsettings:\n  queue: 0", "f:4: at /settings/queue: queue: expected a whole number, 1 or more, got 0"),
        ("name: x\nrules:\n- on: job\n  where: {prompt_pattern: '\\p{L}'}\n  then: {fail: x}", "f:4: at /rules/0/where/prompt_pattern: expected a regular expression (regex) in the syntax of Python: bad escape"),
        ("name: x\nrules:\n- on: job\n  where: {prompt_pattern: '(?<n>a)'}\n  then: {fail: x}", "unknown extension ?<n"),
        ("name: x\nrules:\n- on: job\n  where: {prompt_pattern: 'a{99999999999}'}\n  then: {fail: x}", "the repetition number is too large"),
        ("name: x\nrules:\n- on: job\n  calls: 010\n  then: {fail: x}", 'got "010"'),
        (scenario({"on": "fetch", "then": {"set": {"/a": json.loads("[" * 120 + "]" * 120)}}}), "nested at most 100 deep"),
        ("name: x\nrules:\n- on: fetch\n  then: {set: {/a: &a {b: *a}}}", "nested at most 100 deep"),
        ("name: !!map [x]\nrules: []", "f:1: expected YAML or JSON: expected a mapping node"),
        ("name: !!int z\nrules: []", "f: expected YAML or JSON: invalid literal"),
        ("name: !!binary eA==\nrules: []", "f:1: expected YAML or JSON: could not determine a constructor"),
        ('{"name": "x", "name": "y", "rules": []}', "f: expected YAML or JSON: 'name' stands twice"),
        ('{"name": "x",\t"rulez": []}', "f: at /: 'rulez' is unknown"),
        (f'{{"name": {"1" * 5000}}}', "f: expected YAML or JSON: Exceeds the limit"),
        (" " * 1024 * 1024 + "1", "f: expected a scenario of at most 1048576 bytes"),
    ],
)  # fmt: skip
def test_what_could_not_be_played_is_refused_when_it_is_read(text: str, words: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        parse_scenario(text, "f")
    assert words in str(refused.value)


def test_a_pattern_is_python_and_sees_the_beginning_of_a_prompt() -> None:
    found = parse_scenario(
        scenario({"on": "job", "where": {"prompt_pattern": "(?P<pet>[[]?cat)"}, "then": {"fail": "x"}})
    )
    hits = [
        found.pick(Target.JOB, replace(ORDER, prompt="x" * before + "cat"), job=1, call=1, share=0.5) is not None
        for before in (0, 1997, 1998)
    ]
    assert hits == [True, True, False]


@pytest.mark.parametrize(
    ("delay", "seconds"), [("1e-3", 0.001), ("1E2", 100.0), ("1e+1", 10), ("\t2", 2), ("0.5", 0.5)]
)
def test_all_of_json_is_read_as_json(delay: str, seconds: float) -> None:
    text = f'{{"name": "x", "story": "\x7f", "rules": [{{"on": "hook", "then": {{"delay": {delay}, "set": {{"/{"k" * 2000}": 1}}}}}}]}}'
    for start in ("", "\n\t", "\ufeff"):
        assert parse_scenario(start + text).rules[0].then.delay == seconds  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("written", "value"),
    [("16:9", "16:9"), ("010", "010"), ("0x1f", "0x1f"), ("1_000", "1_000"), ("=", "="), ("-7", -7), ("0", 0),
     ("1e3", 1000.0), ("1.5", 1.5), (".5", 0.5), ("~", None), ("true", True), ("no", "no"), ("2024-09-10", "2024-09-10")],
)  # fmt: skip
def test_yaml_reads_only_what_looks_like_a_number_as_one(written: str, value: object) -> None:
    found = parse_scenario(f"name: x\nrules:\n- on: fetch\n  then: {{set: {{/a: {written} }}}}")
    (got,) = found.rules[0].then.edit.set.values()  # type: ignore[union-attr]
    assert (got, type(got)) == (value, type(value))


def test_a_flow_mapping_of_yaml_may_begin_with_a_brace() -> None:
    assert parse_scenario("{name: x, rules: []}").name == "x"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x" * 10_000, "expected a file, or the name of a ready-made scenario"),
        ("x\0y", "expected a file, or the name of a ready-made scenario"),
        (os.sep, "expected a readable file in UTF-8: Is a directory"),
        ("/dev/zero", "expected a scenario of at most 1048576 bytes"),
    ],
    ids=["long", "null", "directory", "endless"],
)
def test_what_is_no_file_to_read_is_refused_in_few_words(name: str, words: str) -> None:
    with pytest.raises(ScenarioError, match=words) as refused:
        find_scenario(name)
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize(
    "data",
    [
        '"{secret}"',
        '{{"{secret}": 1}}',
        '{{"name": "x", "rules": "{secret}"}}',
        '{{"name": "x", "rules": [], "settings": {{"clock": "{secret}"}}}}',
        "a: *{secret}",
        "{secret}: 1\n{secret}: 2",
    ],
)
def test_what_a_file_holds_is_not_quoted_at_length(data: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        parse_scenario(data.format(secret="s3cret" * 500))
    assert str(refused.value).count("s3cret") < 50


@given(
    st.dictionaries(st.text(max_size=5), st.recursive(st.floats() | st.integers() | st.text() | st.none(), st.lists))
)
def test_what_is_set_is_refused_or_can_be_written(values: dict[str, Any]) -> None:
    fields = {f"/{name.replace('/', '')}": value for name, value in values.items()}
    try:
        found = parse_scenario(scenario({"on": "fetch", "then": {"set": fields}}))
    except ScenarioError:
        return
    body = json.loads(edited(found.rules[0].then.edit, b'{"y": 1}'))  # type: ignore[union-attr]
    assert len(body) >= len(fields)


@pytest.mark.parametrize(
    ("edit", "body", "expected"),
    [
        (Edit(body="oops", set={"/a": 1}, remove=("/b",), rename={"c": "d"}), b"{}", b"oops"),
        (Edit(set={"/a": 1}), b"", b""),
        (Edit(set={"/a~01": 1}), b"{}", b'{"a~1":1}'),
        (Edit(set={"/a~1b/c": 2}), b'{"a/b":{}}', b'{"a/b":{"c":2}}'),
        (Edit(remove=("/no", "/a/no", "/a/b/no")), b'{"a":{"b":[]}}', b'{"a":{"b":[]}}'),
        (Edit(set={"/no/a": 1}), b'{"b":1}', b'{"b":1}'),
        (Edit(rename={"a": "b"}), b'{"a":[{"a":1}]}', b'{"b":[{"b":1}]}'),
    ],
)
def test_an_edit_changes_what_is_there(edit: Edit, body: bytes, expected: bytes) -> None:
    assert edited(edit, body) == expected


def test_the_same_body_gives_the_same_gzip_whenever(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = []
    for now in (1e9, 2e9):
        monkeypatch.setattr("time.time", lambda now=now: now)
        packed.append(edited(Edit(coding="gzip"), b"{}"))
    monkeypatch.undo()
    assert packed[0] == packed[1]
    assert gzip.decompress(packed[0]) == b"{}"


def test_calls_are_counted_anew_with_a_scenario_that_is_set_anew(emulate: Emulate) -> None:
    caller = emulate(progress="polls:9")
    first = {"name": "first", "rules": [{"on": "fetch", "calls": 1, "then": {"status": 500}}]}
    job_id = caller.submit()
    statuses = []
    for _ in range(2):
        TenantControl(caller.app.world, caller.key).scenario(first)
        statuses += [caller.post("/flux/fetch", json={"jobId": job_id}).status_code for _ in range(2)]
    assert statuses == [500, 200, 500, 200]
