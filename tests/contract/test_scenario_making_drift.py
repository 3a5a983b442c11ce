"""`fluxmock check --write-scenario`: what a check has found in a recording is found again in a run under its scenario."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import requests
from drift_corpus import CORPUS, HOOK, JOB, Drift, exchanges, story
from scenario_law import KEY, receiver

import mock_server
from contract_tests.checker import Checker, Report
from contract_tests.exchanges import Exchange
from contract_tests.record import Proxy
from contract_tests.recording import as_line
from contract_tests.scenario_making.drift import drafted
from contract_tests.scenario_making.writing import written
from mock_server.http.runner import BackgroundServer
from mock_server.scenarios.files import load_scenario, parse_scenario
from mock_server.scenarios.rules import Scenario, Target

ORDER = {"prompt": "a cat", "mode": "flux1-dev", "size": "1024x1024"}


def told(drift: Drift) -> list[Exchange]:
    one = story()
    drift.change(one)
    return list(exchanges(one))


def checked(recorded: list[Exchange]) -> Report:
    checker = Checker("2026-03")
    checker.feed(recorded)
    return checker.report()


def about_messages(report: Report) -> set[tuple[str, str, str]]:
    return {
        (finding.rule, finding.endpoint, finding.pointer)
        for finding in report.findings
        if not finding.rule.startswith("job/")
    }


def run(scenario: Scenario) -> list[Exchange]:
    """Order three images, look at each in every state, and return what was recorded, webhooks included."""
    notes: list[Exchange] = []
    lock = threading.Lock()

    def note(exchange: Exchange) -> None:
        with lock:
            notes.append(exchange)

    with mock_server.serve(port=0, clock="frozen", observer=None, **scenario.settings) as server:
        tenant = server.tenant(KEY)
        tenant.scenario(scenario)
        with receiver() as (hook_url, _), BackgroundServer(proxy := Proxy(server.url, note)) as public:
            proxy._public_url = public.url

            def post(path: str, body: Any) -> None:
                headers = {"TT-API-KEY": KEY, "Connection": "close"}
                try:
                    requests.post(public.url + path, json=body, headers=headers, timeout=20, allow_redirects=False)
                except requests.RequestException:
                    return  # the recording tells

            for number in range(1, 4):
                post("/flux/generate", {**ORDER, "hookUrl": f"{hook_url}/{number}"})
                if len(tenant.jobs) < number:
                    post("/flux/generate", {**ORDER, "hookUrl": f"{hook_url}/{number}"})
                (*_, job) = tenant.jobs
                for _ in range(3):
                    post("/flux/fetch", {"jobId": job.id})
                    tenant.clock.advance_to_next_event()
                tenant.clock.run_until_idle()
                post("/flux/fetch", {"jobId": job.id})
    return notes


NOT_SHOWN = {
    "a size that was not known is accepted",
    "a mode that was not known is accepted",
    "a missing prompt is accepted",
    "the job id is no UUID",
    "JSON comes as text/html",
}
"""What no rule can do: take orders that the contract forbids, find jobs by ids that are no UUIDs, set another type."""


@pytest.mark.parametrize("drift", CORPUS, ids=lambda drift: drift.name)
def test_what_was_found_is_found_again_under_the_scenario(drift: Drift) -> None:
    recorded = told(drift)
    report = checked(recorded)
    expected = about_messages(report)
    draft = drafted(report, [recorded], Path("drift.yaml"))
    if draft is None or not draft.rules:
        assert not expected or drift.name in NOT_SHOWN
        assert draft is None or len(draft.remarks) == len(report.findings)
        return
    text, remarks = written(draft)
    assert drift.name not in NOT_SHOWN
    assert all("job/" in remark for remark in remarks)
    found = about_messages(checked(run(parse_scenario(text))))
    assert expected <= found, text


# The command


def fluxmock(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLUXMOCK_")}
    command = [sys.executable, "-m", "mock_server", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)


def recording(tmp_path: Path, *names: str) -> Path:
    """Write the recordings of several kinds of drift into one file, each with a job of its own."""
    path = tmp_path / "recording.jsonl"
    drifts = [drift for drift in CORPUS if drift.name in names]
    assert len(drifts) == len(names)
    lines = [
        as_line(exchange).replace(JOB.encode(), f"{JOB[:-1]}{number}".encode())
        for number, drift in enumerate(drifts)
        for exchange in told(drift)
    ]
    path.write_bytes(b"".join(lines))
    return path


def test_the_command_writes_a_scenario_and_keeps_the_exit_code_of_the_check(tmp_path: Path) -> None:
    path, made = (
        recording(tmp_path, "quota is a number", "imageUrl is null", "images lie on another host"),
        tmp_path / "made.yaml",
    )
    done = fluxmock("check", path, "--write-scenario", made)
    assert done.returncode == 1
    assert f"play it with: fluxmock serve --scenario {made}" in done.stderr
    assert "not shown: job/image-host at fetch.response /data/imageUrl" in done.stderr
    scenario = load_scenario(made)
    assert scenario.story.startswith("The API has drifted: type/changed at callback.request /data/imageUrl")
    assert HOOK not in made.read_text("utf-8")
    # Two drifts of one answer are shown by two jobs.
    fetches = [rule for rule in scenario.rules if Target.FETCH in rule.on]
    assert [(rule.job.first, dict(rule.then.edit.set)) for rule in fetches] == [
        (1, {"/data/quota": 1}), (2, {"/data/imageUrl": None})
    ]  # fmt: skip
    assert all(rule.state == "SUCCESS" for rule in fetches)


def test_failed_jobs_are_shown_by_a_job_that_fails() -> None:
    one = story()
    one["done"]["response"] = one["hook"]["request"] = {
        "status": "FAILED", "message": "prompt violation", "jobId": JOB, "data": None, "code": 7
    }  # fmt: skip
    recorded = list(exchanges(one))
    draft = drafted(checked(recorded), [recorded], Path("drift.yaml"))
    assert draft is not None
    assert draft.rules == [
        {"on": "job", "then": {"fail": "prompt violation"}},
        {"on": "fetch", "state": "FAILED", "then": {"set": {"/code": 7}}},
        {"on": "hook", "then": {"set": {"/code": 7}}},
    ]


def test_no_file_is_written_where_no_message_has_drifted(tmp_path: Path) -> None:
    made = tmp_path / "made.yaml"
    done = fluxmock("check", recording(tmp_path, "nothing changed"), "--write-scenario", made)
    assert done.returncode == 0
    assert "nothing that a scenario could show has drifted" in done.stderr
    assert not made.exists()


def test_standard_input_cannot_be_read_twice() -> None:
    done = fluxmock("check", "-", "--write-scenario", "made.yaml")
    assert done.returncode == 2
    assert "expected files, which can be read twice; got standard input" in done.stderr
