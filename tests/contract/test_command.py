"""`fluxmock check`, `record`, `openapi` and `schemas diff`, as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask, request

import contract_tests
from mock_server import resources
from mock_server.http.runner import BackgroundServer
from mock_server.serving import Server

Serve = Callable[..., Server]
KEY = "a-secret-key-0123456789"
ORDER = {"prompt": "a cat", "mode": "flux1-dev", "size": "1024x1024"}
JSON = {"Content-Type": "application/json"}
COMMAND = [sys.executable, "-m", "mock_server"]
DONE = {"status": "SUCCESS", "message": "", "jobId": "fac30d6c-d12b-465c-a580-8b1b3ae726e3", "data": None}


def fluxmock(*arguments: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLUXMOCK_")}
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, input=stdin, timeout=60, env=environment
    )


@contextmanager
def recording(upstream: str, tmp_path: Path, *more: str) -> Iterator[tuple[str, Path, list[str]]]:
    """Run `fluxmock record`; yields its URL, its file, and, once it has ended, what it said and its exit code."""
    output, ready, said = tmp_path / "recording.jsonl", tmp_path / "ready.json", list[str]()
    command = ["record", "--upstream", upstream, "-o", output, "--port", "0", "--ready-file", ready, *more]
    process = subprocess.Popen([*COMMAND, *map(str, command)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        said.append(process.stdout.readline())
        yield json.loads(ready.read_text())["url"], output, said
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
        said += [*rest.splitlines(), str(process.returncode)]


def run_a_job(url: str, **more: object) -> None:
    headers = {"TT-API-KEY": KEY}
    answer = requests.post(f"{url}/flux/generate", json={**ORDER, **more}, headers=headers, timeout=20).json()
    (job_id,) = answer["data"].values()
    for _ in range(6):
        requests.post(f"{url}/flux/fetch", json={"jobId": job_id}, headers=headers, timeout=20)


@pytest.mark.parametrize("version", ["2024-09", "2026-03"])
def test_what_the_emulator_says_is_recorded_and_clean(serve: Serve, tmp_path: Path, version: str) -> None:
    server = serve(clock="auto", contract=version)
    with recording(server.url, tmp_path) as (url, output, said):
        run_a_job(url)
        assert (
            requests.post(f"{url}/flux/generate", json={}, headers={"TT-API-KEY": KEY}, timeout=20).status_code == 400
        )
    assert said[-1] == "0", said
    assert sum("/flux/fetch  200" in line and line.endswith("ok") for line in said) == 6
    assert KEY.encode() not in output.read_bytes()
    checked = fluxmock("check", output, "--format", "json")
    report = json.loads(checked.stdout)
    assert (checked.returncode, report["checked"]["messages"], report["checked"]["jobs"]) == (0, 8, 1)
    assert version in checked.stdout
    assert contract_tests.check(output).findings == ()


def test_the_line_of_a_call_names_what_is_new_in_it_but_not_all_of_so_much(serve: Serve, tmp_path: Path) -> None:
    server = serve(clock="auto")
    fields = {f"/new{number}": number for number in range(5)} | {"/tab\tbed": 1}
    server.tenant(KEY).scenario({"name": "more", "rules": [{"on": "generate", "then": {"set": fields}}]})
    with recording(server.url, tmp_path) as (url, _, said):
        run_a_job(url)
    (line,) = (line for line in said if "/flux/generate" in line and "new: " in line)
    assert line.endswith("new: field/unknown /new0, field/unknown /new1, field/unknown /new2 and 3 more")


def test_drift_is_found_while_it_is_recorded(serve: Serve, tmp_path: Path) -> None:
    server = serve(clock="auto")
    server.tenant(KEY).scenario(
        {"name": "drift", "rules": [{"on": "fetch", "then": {"set": {"/status": "THROTTLED"}}}]}
    )
    with recording(server.url, tmp_path) as (url, output, said):
        run_a_job(url)
    assert said[-1] == "1"
    assert sum("new: value/unknown /status" in line for line in said) == 1
    text = fluxmock("check", output)
    assert text.returncode == 1
    assert "THROTTLED" in text.stdout
    assert "value/unknown" in text.stdout


def test_hooks_are_recorded_too_and_the_client_gets_its_own_url_back(serve: Serve, tmp_path: Path) -> None:
    came: list[Any] = []
    inbox = Flask("inbox")

    @inbox.post("/mine")
    def _hook() -> tuple[str, int]:
        came.append(request.get_json())
        return "", 204

    server = serve(clock="frozen", progress="immediate")
    with (
        BackgroundServer(inbox) as receiver,
        recording(server.url, tmp_path, "--public-url", "http://127.0.0.1:9") as (
            url,
            output,
            _,
        ),
    ):
        # Nobody knows the port before it is bound; so the hook that was given out is called by hand.
        mine = f"{receiver.url}/mine?token=s3cret-s3cret"
        run_a_job(url, hookUrl=mine)
        (delivery,) = server.tenant(KEY).hooks
        assert delivery.url.startswith("http://127.0.0.1:9/_hooks/")
        path = delivery.url.removeprefix("http://127.0.0.1:9")
        assert requests.post(url + path, data=delivery.body, headers=JSON, timeout=20).status_code == 204
        assert requests.post(f"{url}/_hooks/none", data=b"{}", timeout=20).status_code == 404
    assert came[0]["data"]["hookUrl"] == mine
    kinds = [json.loads(line)["kind"] for line in output.read_text().splitlines()]
    assert kinds.count("hook") == 1
    assert "s3cret-s3cret" not in output.read_text()
    assert fluxmock("check", output).returncode == 0


def test_no_answer_and_half_an_answer_are_recorded_and_passed_on_as_they_are(serve: Serve, tmp_path: Path) -> None:
    server = serve(clock="frozen")
    rules = [
        {"on": "generate", "calls": 1, "then": {"wire": {"silent": True, "end": "reset"}}},
        {"on": "generate", "calls": 2, "then": {"wire": {"body_bytes": 20, "end": "close"}}},
        {"on": "generate", "calls": 3, "then": {"delay": 60}},
    ]
    server.tenant(KEY).scenario({"name": "faults", "rules": rules})
    with recording(server.url, tmp_path, "--timeout", "0.3") as (url, output, said):
        for problem in (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, requests.ConnectionError):
            with pytest.raises(problem):
                requests.post(f"{url}/flux/generate", json=ORDER, headers={"TT-API-KEY": KEY}, timeout=20)
    first, second, third = (json.loads(line) for line in output.read_text().splitlines())
    assert "response" not in first
    assert "reset" in first["error"].lower()
    assert len(second["response"]["body"]) == 20
    assert "timed out" in third["error"]
    assert sum("no answer: " in line and line.endswith("nothing to check") for line in said) == 2


def test_the_exit_code_says_what_came_of_it(tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_text(json.dumps(DONE))
    assert fluxmock("check", body, "--endpoint", "fetch").returncode == 1
    assert fluxmock("check", body, "--endpoint", "fetch", "--fail-on", "warning").returncode == 1
    assert fluxmock("check", body).returncode == 2
    assert fluxmock("check", tmp_path / "nothing.har").returncode == 2
    assert fluxmock("check", body, "--contract", "1999").returncode == 2
    other = tmp_path / "other.jsonl"
    line = {"version": 1, "kind": "exchange", "request": {"method": "GET", "url": "https://example.com/", "headers": {}},
            "response": {"status": 200, "headers": {}, "body": "hello"}}  # fmt: skip
    other.write_text(json.dumps(line) + "\n")
    nothing = fluxmock("check", other)
    assert nothing.returncode == 3
    assert nothing.stdout.startswith("nothing was checked")


def test_a_scenario_goes_into_a_file() -> None:
    done = fluxmock("check", resources.folder("fixtures") / "exchanges", "--write-scenario", "-")
    assert done.returncode == 2
    assert "--write-scenario: expected a file, which can be played" in done.stderr


def test_a_report_can_be_written_to_a_file_and_severities_can_be_set(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[rules]\n"type/changed" = "off"\n')
    policy.write_text('"type/changed" = "off"\n')
    body = json.dumps(DONE)
    done = fluxmock(
        "check",
        "-",
        "--endpoint",
        "fetch",
        "--policy",
        policy,
        "--output",
        tmp_path / "r.xml",
        "--format",
        "junit",
        stdin=body,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "r.xml").read_text("utf-8").startswith("<?xml")


def test_the_contract_can_be_had_as_openapi_and_versions_can_be_compared() -> None:
    assert json.loads(fluxmock("openapi").stdout)["openapi"].startswith("3.1")
    assert json.loads(fluxmock("openapi", "--contract", "2026-03").stdout)["info"]["version"]
    changed = fluxmock("schemas", "diff", "2024-09", "2026-03")
    assert changed.returncode == 1
    assert "jobId → job_id" in changed.stdout
    assert json.loads(fluxmock("schemas", "diff", "2024-09", "2026-03", "--format", "json").stdout)
    assert fluxmock("schemas", "diff", "2024-09", "2024-09").returncode == 0


def test_a_folder_that_hides_the_kit_is_named(tmp_path: Path) -> None:
    (tmp_path / "contract_tests").mkdir()
    (tmp_path / "contract_tests" / "__init__.py").touch()
    done = subprocess.run([*COMMAND, "check", "x"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "is there a folder of that name here?" in done.stderr


FORMATS = ["text", "json", "junit", "sarif", "markdown", "github", "html"]


def echoing(tmp_path: Path) -> Path:
    """Write a recording whose answers echo the key that was sent, whole and cut short, in every part of a message."""
    answers = [
        {"status": "FAILED", "message": f"no such key: {KEY}", "data": None, "jobId": DONE["jobId"]},
        {**DONE, "status": KEY},
        {**DONE, KEY: 1},
        {**DONE, "new": "x" * 60 + KEY},
        {**DONE, "other": ["y" * length + KEY for length in range(60, 120)]},
    ]
    file = tmp_path / "echo.jsonl"
    lines = [
        {
            "version": 1, "kind": "exchange",
            "request": {"method": "POST", "url": "https://api.ttapi.io/flux/fetch", "headers": {"TT-API-KEY": KEY},
                        "body": '{"jobId": "1"}'},
            "response": {"status": status, "headers": {"content-type": "application/json"}, "body": json.dumps(answer)},
        }
        for answer in answers for status in (200, 401)
    ]  # fmt: skip
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


@pytest.mark.parametrize("format_", FORMATS)
def test_no_format_prints_a_key_that_an_answer_echoes(tmp_path: Path, format_: str) -> None:
    done = fluxmock("check", echoing(tmp_path), "--format", format_)
    assert done.returncode == 1
    assert KEY not in done.stdout
    assert KEY[:8] not in done.stdout


def test_patches_have_no_key_that_an_answer_echoes(tmp_path: Path) -> None:
    done = fluxmock("check", echoing(tmp_path), "--patch", "-")
    assert json.loads(done.stdout)
    assert KEY not in done.stdout + done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_not_the_clients_trouble(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "recording.jsonl").symlink_to("/dev/full")
    with recording(serve(clock="auto").url, tmp_path) as (url, _, said):
        run_a_job(url)
    assert said[-1] in {"2", "3"}
