"""The law of scenarios that are made of recordings: a client sees the same under them, however it polls."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from scenario_law import KEY, TOKEN, Client, play

from contract_tests.exchanges import Exchange, Place
from contract_tests.recording import Writer, as_line
from contract_tests.scenario_making.making import gather, make
from contract_tests.scenario_making.remarks import Remarks
from contract_tests.scenario_making.writing import written
from mock_server.scenarios.files import library, load_scenario, parse_scenario
from mock_server.scenarios.rules import Scenario
from mock_server.serving import Server

Serve = Callable[..., Server]

AT_THEIR_NUMBER = {"flaky-fetches"}
"""Its errors come at fetches of a state that a slower client never makes, because the state is over."""


def again(recorded: list[Exchange]) -> tuple[Scenario, str]:
    """Return the scenario that is made of a recording, read as a file is; and its text."""
    text, _ = written(make(gather(recorded), "again", "recording.jsonl", lost_hooks=True))
    return parse_scenario(text), text


@pytest.mark.parametrize(
    ("name", "version"),
    [*((name, "2026-03") for name in library()), *((name, "2024-09") for name in ("job-id-spelling", "stale-status"))],
)
def test_a_client_sees_the_same_under_the_scenario_of_its_recording(name: str, version: str) -> None:
    jobs = 5 if name == "quota-runs-out" else 2
    seen, recorded = play(load_scenario(library()[name]), version, rhythm=1.0, jobs=jobs)
    made, text = again(recorded)
    rhythms = [0.4] if name in AT_THEIR_NUMBER else [0.4, 1.6]
    for rhythm in rhythms:
        assert play(made, version, rhythm=rhythm, jobs=jobs)[0] == seen, text
    for secret in (KEY, TOKEN, "127.0.0.1", *re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", repr(recorded))):
        assert secret not in text


def test_slow_answers_are_slow_again() -> None:
    _, recorded = play(load_scenario(library()["slow-answers"]), "2024-09", rhythm=1.0)
    general = [rule for rule in again(recorded)[0].rules if "fetch" in rule.on and rule.then.delay.kind == "lognormal"]
    assert [rule.then.delay.a >= 0.3 for rule in general] == [True]


def test_a_recording_by_the_journal_plays_as_well(serve: Serve, tmp_path: Path) -> None:
    def run(rhythm: float, scenario: str) -> tuple[list[list[str]], bytes]:
        server = serve(clock="frozen", contract="2026-03")
        tenant = server.tenant(KEY)
        tenant.scenario(scenario)
        client = Client(server.url, tenant, rhythm, None)
        client.run(2, 100, 1)
        return client.told.jobs, server.app.test_client().get("/_mock/journal", headers={"TT-API-KEY": KEY}).data

    seen, journal = run(1.0, "unknown-status")
    (tmp_path / "journal.json").write_bytes(journal)
    done = fluxmock("scenarios", "from", tmp_path / "journal.json", "-o", tmp_path / "again.yaml")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.endswith("again.yaml\n")
    assert run(0.5, str(tmp_path / "again.yaml"))[0] == seen


# The command


def fluxmock(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLUXMOCK_")}
    command = [sys.executable, "-m", "mock_server", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, input=stdin, timeout=60, env=environment)
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


HAR = {
    "log": {
        "entries": [
            {
                "startedDateTime": "2026-03-01T10:00:00Z",
                "time": 120,
                "request": {
                    "method": "POST",
                    "url": "https://api.ttapi.io/flux/generate",
                    "headers": [{"name": "TT-API-KEY", "value": KEY}],
                    "postData": {
                        "mimeType": "application/json",
                        "text": json.dumps(
                            {"prompt": "a", "mode": "flux1-dev", "hookUrl": f"https://hooks.example/T0/{TOKEN}"}
                        ),
                    },
                },
                "response": {
                    "status": 429,
                    "headers": [{"name": "Retry-After", "value": "7"}],
                    "content": {"text": f"<p>Slow down, {KEY}! https://hooks.example/T0/{TOKEN}</p>"},
                },
            }
        ]
    }
}


def test_the_command_makes_a_file_of_a_har_and_keeps_no_secret(tmp_path: Path) -> None:
    (tmp_path / "My traffic.har").write_text(json.dumps(HAR), "utf-8")
    done = fluxmock("scenarios", "from", tmp_path / "My traffic.har")
    assert done.returncode == 0, done.stderr
    made = parse_scenario(done.stdout)
    assert made.name == "my-traffic"
    (rule,) = made.rules
    assert (rule.then.status, dict(rule.then.headers)["Retry-After"]) == (429, "7")
    assert rule.then.edit.body.startswith("<p>Slow down, key-")
    for secret in (KEY, TOKEN, "hooks.example"):
        assert secret not in done.stdout + done.stderr


def test_what_it_makes_passes_the_linter(tmp_path: Path) -> None:
    (tmp_path / "traffic.har").write_text(json.dumps(HAR), "utf-8")
    assert fluxmock("scenarios", "from", tmp_path / "traffic.har", "-o", tmp_path / "made.yaml").returncode == 0
    assert fluxmock("scenarios", "lint", tmp_path / "made.yaml").stdout.endswith("made.yaml: ok, 1 rule\n")
    assert load_scenario(tmp_path / "made.yaml").story.startswith("As it was recorded: ")


def test_the_exit_code_says_that_there_was_nothing(tmp_path: Path) -> None:
    other = Exchange(place=None, method="GET", url="https://example.com/", status=200)  # type: ignore[arg-type]
    elsewhere = fluxmock("scenarios", "from", "-", stdin=as_line(other))
    assert (elsewhere.returncode, elsewhere.stdout) == (3, "")
    assert "nothing in it is about this API" in elsewhere.stderr
    broken = fluxmock("scenarios", "from", "-", stdin=b"\x00\x01")
    assert (broken.returncode, broken.stdout) == (2, "")
    assert fluxmock("scenarios", "from", tmp_path / "missing.har").returncode == 2
    with Writer(tmp_path / "some.jsonl") as writer:
        writer.write(other)
    wrong = fluxmock("scenarios", "from", tmp_path / "some.jsonl", "-o", "made.json")
    assert wrong.returncode == 2
    assert "call it made.yaml" in wrong.stderr


def test_what_could_not_be_read_is_said_and_the_rest_is_played(tmp_path: Path) -> None:
    good = as_line(play(load_scenario(library()["rate-limited"]), "2026-03", rhythm=5.0, jobs=1)[1][0])
    done = fluxmock("scenarios", "from", "-", stdin=good + b"{broken\n")
    assert done.returncode == 0
    assert "what could not be read" in done.stderr
    assert "# - what could not be read" in done.stdout
    assert parse_scenario(done.stdout).rules


def test_the_group_lists_the_command_that_the_kit_adds() -> None:
    assert re.search(r"^  from +Make a scenario", fluxmock("scenarios", "--help").stdout, re.MULTILINE)


@pytest.mark.parametrize(("again", "said"), [(0, ""), (1, " and once more"), (2, " and 2 times more")])
def test_a_remark_says_how_often_it_is_to_be_made(again: int, said: str) -> None:
    remarks = Remarks()
    for number in range(again + 1):
        remarks.note("it cannot be shown", Place("folder/r.jsonl", number + 1, number + 1))
    assert remarks.lines() == [f"it cannot be shown (r.jsonl:1{said})"]
