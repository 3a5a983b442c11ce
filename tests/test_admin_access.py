"""Who may control over HTTP, whose world is meant, and what is said where there is nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from admin_calls import LOOKS, get, post
from support import Caller

from mock_server.app import create_app
from mock_server.http.reader import REFUSAL
from mock_server.settings import Settings

Emulate = Callable[..., Caller]


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
