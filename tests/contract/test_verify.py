"""`fluxmock verify` explains what it cannot do, tells what it does, and reports what it found."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from verify_commands import DRIFT, fluxmock
from verify_runs import KEY, drifted, emulator, run
from werkzeug.wrappers import Request, Response

from contract_tests.verify.command import verify
from contract_tests.verify.hooks import Receiver

# What is wrong with the command line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--base-url", "http://127.0.0.1:9"],
            "expected an API key of printable ASCII in --key or TT_API_KEY, got none",
        ),
        (["--base-url", "http://127.0.0.1:9", "--key", "a secret\n"], "got one with other characters in it"),
        (["--base-url", "api.ttapi.io", "--key", "k"], "expected an http or https URL"),
        (["--base-url", "http://me:secret@127.0.0.1", "--key", "k"], "expected an http or https URL"),
        (["--base-url", "http://127.0.0.1:0", "--key", "k"], "expected an http or https URL"),
        (["--base-url", "http://127.0.0.1:99999", "--key", "k"], "expected an http or https URL"),
        (["--base-url", "http://127.0.0.1:9", "--key", "k", "--spend", "-1"], "expected quota units, such as 2"),
        (["--base-url", "http://127.0.0.1:9", "--key", "k", "--spend", "NaN"], "expected quota units, such as 2"),
        (["--base-url", "http://127.0.0.1:9", "--key", "k", "--spend", "much"], "expected quota units, such as 2"),
        (["--base-url", "http://127.0.0.1:9", "--key", "k", "--hook-listen", "8080"], "expected HOST:PORT"),
        (["--base-url", "http://127.0.0.1:9", "--key", "k", "--hook-url", "http://x"], "expected --hook-listen"),
        (["--base-url", "http://127.0.0.1:9", "--key", "k", "--hook-url", "notaurl"], "expected an http or https URL"),
        (["--base-url", "http://127.0.0.1:9", "--key", "k", "--hook-listen", "127.0.0.1:0"], "expected with --hook-l"),
        (["--base-url", "http://127.0.0.1:9", "--key", "k", "--spend", "1e99999999"], "expected quota units, such as"),
        (["--base-url", "http://127.0.0.1:9", "--key", "k", "--output", "no/such/folder"], "cannot write to no/such"),
        (["--base-url", "http://127.0.0.1:9", "--key", "k", "--policy", "none.toml"], "expected a readable file"),
        (["--base-url", "http://127.0.0.1:9", "--key", "k", "--record", "no/such/folder"], "cannot write to no/such"),
    ],
)
def test_a_command_line_that_cannot_be_used_is_explained(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TT_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(verify, arguments)
    assert (done.exit_code, said in done.output) == (2, True), done.output
    assert "secret" not in done.output


def test_a_host_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        outcome = run(url, tmp_path, "--spend", "2")
    assert (outcome.code, outcome.report) == (2, {})
    assert f"expected an answer from {url}, got none: " in outcome.said
    assert "refused" in outcome.said


# Reports


def test_severities_are_the_users(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text('"verify/*" = "off"\n')
    with emulator(scenario=str(DRIFT / "job-fails.yaml")) as server:
        assert run(server.url, tmp_path, "--spend", "1").code == 1
        quiet = run(server.url, tmp_path, "--spend", "1", "--policy", str(tmp_path / "rules.toml"))
    assert (quiet.code, quiet.findings) == (0, set())


def test_a_report_says_what_was_found_and_the_command_what_it_cost() -> None:
    with emulator(scenario=str(DRIFT / "another-price.yaml")) as server:
        done = fluxmock("--base-url", server.url, "--key", KEY, "--spend", "5", "--poll-interval", "0")
    assert done.returncode == 1
    assert "verify/charged /data/quota ×1" in done.stdout
    assert "generate (flux1-dev): expected 1 quota units, got 2" in done.stdout
    told = done.stderr.splitlines()
    assert told[0] == "fetch-unknown-job: 404", "each call is told of as it is made, without a terminal, too"
    assert "  verify/charged: generate (flux1-dev): expected 1 quota units, got 2" in told
    assert "\x1b" not in done.stderr
    assert told[-2:] == [
        "fluxmock: 2 of 5 quota units spent, as far as the answers tell",
        "fluxmock: the run ended early: what was charged is not what was planned",
    ]


@pytest.mark.parametrize("kind", ["text", "json", "junit", "sarif", "markdown", "github", "html"])
def test_a_run_that_ended_early_says_so_in_every_format(kind: str) -> None:
    with emulator(balance="0") as server:
        arguments = ["--base-url", server.url, "--key", KEY, "--spend", "1", "--poll-interval", "0", "--format", kind]
        done = CliRunner().invoke(verify, arguments)
    assert done.exit_code == 1
    assert "verify/stopped" in done.stdout
    assert "generate was refused" in done.stdout


def test_a_finding_without_a_recording_names_the_call_of_the_plan(tmp_path: Path) -> None:
    with emulator(balance="0") as server:
        outcome = run(server.url, tmp_path, "--spend", "1")
    assert {one["first"]["file"] for one in outcome.report["findings"]} == {"call generate"}


def test_a_finding_names_its_line_of_a_recording_that_went_on(tmp_path: Path) -> None:
    recording = tmp_path / "run.jsonl"
    with emulator(balance="0") as server:
        for _ in range(2):
            outcome = run(server.url, tmp_path, "--spend", "1", "--record", str(recording))
    (line,) = {one["first"]["line"] for one in outcome.report["findings"]}
    lines = recording.read_text("utf-8").splitlines()
    assert line == len(lines)
    assert json.loads(lines[line - 1])["response"]["status"] == 402


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
@pytest.mark.parametrize("option", ["--output", "--record"])
def test_what_was_found_is_told_though_a_disk_is_full(option: str) -> None:
    with emulator() as server:
        done = fluxmock("--base-url", server.url, "--key", KEY, "--spend", "1", option, "/dev/full")
        assert not server.tenant(KEY).jobs or option == "--output"
    assert done.returncode == (2 if option == "--output" else 1)
    assert "Traceback" not in done.stderr
    assert ("clean: " if option == "--output" else "verify/stopped") in done.stdout


def test_a_report_that_cannot_be_written_is_known_before_the_first_call(tmp_path: Path) -> None:
    asked: list[str] = []

    def counting(request: Request, emulated: Callable[[], Response]) -> Response:
        asked.append(request.path)
        return emulated()

    with emulator() as server, drifted(server, counting) as url:
        done = CliRunner().invoke(verify, ["--base-url", url, "--key", KEY, "--output", str(tmp_path / "no" / "x")])
    assert (done.exit_code, asked) == (2, [])
    assert "cannot write to" in done.output


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize("no_color", [False, True])
def test_progress_is_told_on_a_terminal(no_color: bool) -> None:
    import pty

    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    ours, theirs = pty.openpty()
    with emulator(scenario=str(DRIFT / "job-fails.yaml")) as server:
        command = [sys.executable, "-m", "mock_server", "verify", "--base-url", server.url, "--key", KEY]
        process = subprocess.Popen(
            [*command, "--spend", "1", "--poll-interval", "0"],
            stdout=subprocess.DEVNULL, stderr=theirs, env=environment | ({"NO_COLOR": "1"} if no_color else {}),
        )  # fmt: skip
        os.close(theirs)
        seen = b""
        try:
            while piece := os.read(ours, 4096):
                seen += piece
        except OSError:  # the other end is closed
            pass
        assert process.wait(60) == 1
    os.close(ours)
    assert b"generate-no-prompt: 400" in seen
    assert b"  verify/job-failed: generate: the job failed" in seen
    assert (b"\x1b[" in seen) is not no_color


def test_a_webhook_is_ordered_where_the_outside_reaches_it() -> None:
    with Receiver(public_url="https://hooks.example.com/x/") as receiver:
        assert receiver.url.startswith("https://hooks.example.com/x/")
        assert receiver.wait(0) is None
