"""`fluxmock verify` spends what it was told and no more, gives no key away, and says why it ends."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from verify_runs import KEY, drifted, emulator, run
from werkzeug.wrappers import Request, Response

import contract_tests
from contract_tests.verify.command import verify
from contract_tests.verify.hooks import Receiver
from contract_tests.verify.line import Line
from contract_tests.verify.plan import Order, Refusal, make_plan
from contract_tests.verify.run import Manners, Run
from mock_server import resources
from mock_server.contract import versions
from mock_server.http.runner import BackgroundServer

UNKNOWN = "bf165abb-a7fa-4c77-a2e4-138baac1130d"
DRIFT = resources.folder("fixtures") / "scenarios" / "drift"


def fluxmock(*arguments: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mock_server", "verify", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **more)


# What it may cost


@pytest.mark.parametrize("version", [None, *versions()])
@pytest.mark.parametrize("spend", ["0", "0.5", "1", "1.5", "2", "7.99", "8", "1000"])
def test_a_plan_never_costs_more_than_may_be_spent(spend: str, version: str | None) -> None:
    plan = make_plan(Decimal(spend), version, UNKNOWN)
    left = plan.spend
    for step in plan.steps:
        assert step.at_most <= left
        left -= step.price if isinstance(step, Order) else 0
    assert left == plan.spend - plan.price
    assert all(step.at_most > left for step in plan.left_out)


def test_what_is_free_has_no_complete_order_in_it() -> None:
    """A gateway that adds a key of its own must not be able to turn it into a charge."""
    for step in make_plan(Decimal(0), None, UNKNOWN).steps:
        assert isinstance(step, Refusal)
        if "fetch" not in step.call.path:
            sent = step.call.arguments.get("json") or step.call.arguments.get("files") or {}
            assert "prompt" not in sent


def test_an_image_is_ordered_in_the_cheapest_mode_before_an_edit() -> None:
    orders = [step for step in make_plan(Decimal(2), "2024-09", UNKNOWN).steps if isinstance(step, Order)]
    assert [(order.name, order.fields["mode"], order.price) for order in orders] == [
        ("generate", "flux1-dev", 1),
        ("edits", "flux1-dev", 1),
    ]
    assert [order.fact.confidence for order in orders] == ["documented", "assumed"]


def test_a_plan_is_printed_without_a_connection_and_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TT_API_KEY", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        done = CliRunner().invoke(verify, ["--base-url", url, "--plan", "--spend", "1"])
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert done.exit_code == 0
    assert "1 of 1 quota units" in done.output
    assert "flux1-dev: 1 (documented)" in done.output
    assert done.output.index("generate-no-prompt") < done.output.index("charged;") < done.output.index("left out")
    assert done.output.endswith("total: 1 quota units (0.01 USD)\n")


def test_a_part_of_a_quota_unit_buys_nothing(tmp_path: Path) -> None:
    with emulator() as server:
        assert run(server.url, tmp_path, "--spend", "0.99").code == 0
        assert not server.tenant(KEY).jobs


@pytest.mark.parametrize("name", ["order-answered-502", "order-not-answered"])
def test_an_order_that_may_have_been_accepted_counts_and_is_not_made_again(name: str, tmp_path: Path) -> None:
    with emulator(scenario=str(DRIFT / f"{name}.yaml")) as server:
        outcome = run(server.url, tmp_path, "--spend", "20")
        assert len(server.tenant(KEY).jobs) == 1
    assert "1 of 20 quota units spent" in outcome.said


def test_an_order_that_was_refused_costs_nothing(tmp_path: Path) -> None:
    with emulator(balance="0") as server:
        outcome = run(server.url, tmp_path, "--spend", "20")
    assert "0 of 20 quota units spent" in outcome.said
    assert outcome.findings == {("warning", "verify/refused", "generate.response")}


# Keys


def test_the_key_is_nowhere_even_if_the_api_repeats_it(tmp_path: Path) -> None:
    def repeating(request: Request, emulated: Callable[[], Response]) -> Response:
        answer = emulated()
        if answer.status_code >= 400:
            answer.set_data(json.dumps({"status": "FAILED", "message": f"{KEY} is bad", "data": None, "key": KEY}))
        elif request.path == "/flux/generate":
            answer.set_data(json.dumps({"status": KEY, "message": KEY, "data": {"jobId": KEY}}))
        return answer

    recording = tmp_path / "recording.jsonl"
    with emulator() as server, drifted(server, repeating) as url:
        for kind in ("text", "json", "html"):
            options = ["--format", kind, "--spend", "1", "--record", recording, "--poll-interval", "0"]
            done = fluxmock("--base-url", url, *options, env={**os.environ, "TT_API_KEY": KEY})
            assert done.returncode == 1, done.stderr
            assert "field/unknown" in done.stdout
            assert KEY not in done.stdout + done.stderr
    assert KEY.encode() not in recording.read_bytes()
    assert b"fluxmock-no-such-key" not in recording.read_bytes()


def test_what_is_recorded_can_be_checked_and_says_the_same(tmp_path: Path) -> None:
    recording = tmp_path / "recording.jsonl"
    with emulator() as server:
        outcome = run(server.url, tmp_path, "--spend", "2", "--hook-listen", "127.0.0.1:0", "--record", str(recording))
    report = contract_tests.check(recording)
    assert report.findings == ()
    assert (report.messages, report.jobs) == (outcome.report["checked"]["messages"], 2)
    assert {json.loads(line)["kind"] for line in recording.read_text("utf-8").splitlines()} == {"exchange", "hook"}


def test_an_image_is_downloaded_once_and_without_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    asked: list[dict[str, str]] = []

    def images(environ: Any, start_response: Any) -> Any:
        asked.append({name: str(value) for name, value in environ.items() if name.startswith("HTTP_")})
        return emulated(environ, start_response)

    with BackgroundServer(images) as elsewhere, emulator(public_url=elsewhere.url) as server:
        emulated = server.app
        outcome = run(server.url, tmp_path, "--spend", "1")
    assert outcome.rules == {"job/image-host"}
    (headers,) = asked
    assert "HTTP_USER_AGENT" in headers
    assert not headers.keys() & {"HTTP_TT_API_KEY", "HTTP_AUTHORIZATION"}


# The way to the API


def test_redirects_are_not_followed(tmp_path: Path) -> None:
    reached = []

    def elsewhere(environ: Any, start_response: Any) -> Any:
        reached.append(environ["PATH_INFO"])
        start_response("200 OK", [])
        return [b"{}"]

    def moved(request: Request, emulated: Callable[[], Response]) -> Response:
        return Response(status=307, headers={"Location": f"{other.url}{request.path}"})

    with BackgroundServer(elsewhere) as other, emulator() as server, drifted(server, moved) as url:
        outcome = run(url, tmp_path, "--spend", "2")
    assert reached == []
    assert {"status/unknown", "verify/status", "verify/refused"} <= outcome.rules


def test_calls_that_met_429_are_made_again_after_the_time_that_was_asked_for() -> None:
    turned_away = ["7", "3600", ""]

    def busy(request: Request, emulated: Callable[[], Response]) -> Response:
        if turned_away:
            body = json.dumps({"status": "FAILED", "message": "Too many requests", "data": None})
            return Response(body, 429, {"Retry-After": asked} if (asked := turned_away.pop(0)) else {})
        return emulated()

    pauses: list[float] = []
    with emulator() as server, drifted(server, busy) as url:
        made = Run(Line(url, KEY), manners=Manners(interval=2), pause=pauses.append)
        report = made(make_plan(Decimal(0), None, UNKNOWN))
    assert pauses == [7, 60]
    assert [finding.rule for finding in report.findings] == ["verify/status"]


def test_a_poll_that_fails_is_made_again_after_the_interval() -> None:
    rules = [{"on": "fetch", "calls": {"first": 2}, "then": {"status": 500}}]
    pauses: list[float] = []
    with emulator(progress="immediate", clock="real") as server:
        server.tenant(KEY).scenario({"name": "flaky", "rules": rules})
        made = Run(Line(server.url, KEY), manners=Manners(interval=2.5), pause=pauses.append)
        report = made(make_plan(Decimal(1), None, UNKNOWN))
    assert (report.findings, pauses, made.spent) == ((), [2.5, 2.5], 1)


def test_an_answer_without_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contract_tests.verify.line.MOST_BYTES", 2000)
    with emulator() as server:
        outcome = run(server.url, tmp_path, "--spend", "1")
    (finding,) = outcome.report["findings"]
    assert (finding["rule"], "more than 2000 bytes" in finding["message"]) == ("verify/image", True)


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[str]:
    """A server whose certificate nobody has signed."""
    if shutil.which("openssl") is None:
        assert not os.environ.get("CI"), "CI has openssl"
        pytest.skip("there is no openssl")
    options = ["-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(["openssl", "req", "-x509", *options, *files], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    listener = socket.create_server(("127.0.0.1", 0))

    def shake_hands() -> None:
        connection, _ = listener.accept()
        with connection, pytest.raises(OSError, match="UNKNOWN_CA|unknown ca|alert"):
            context.wrap_socket(connection, server_side=True).recv(1)

    thread = threading.Thread(target=shake_hands)
    thread.start()
    yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    thread.join()
    listener.close()


def test_a_certificate_that_nobody_signed_is_not_trusted(tls_server: str, tmp_path: Path) -> None:
    outcome = run(tls_server, tmp_path)
    assert outcome.code == 2
    assert "CERTIFICATE_VERIFY_FAILED" in outcome.said


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
        assert run(server.url, tmp_path, "--spend", "1").code == 0
        assert run(server.url, tmp_path, "--spend", "1", "--fail-on", "warning").code == 1
        quiet = run(server.url, tmp_path, "--spend", "1", "--policy", str(tmp_path / "rules.toml"))
    assert (quiet.code, quiet.findings) == (0, set())


def test_a_report_says_what_was_found_and_the_command_what_it_cost() -> None:
    with emulator(scenario=str(DRIFT / "another-price.yaml")) as server:
        done = fluxmock("--base-url", server.url, "--key", KEY, "--spend", "5", "--poll-interval", "0")
    assert done.returncode == 1
    assert "verify/charged /data/quota ×1" in done.stdout
    assert "generate (flux1-dev): expected 1 quota units, got 2" in done.stdout
    assert done.stderr.splitlines() == [
        "fluxmock: 2 of 5 quota units spent, as far as the answers tell",
        "fluxmock: the run ended early: what was charged is not what was planned",
    ]


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
        assert process.wait(60) == 0
    os.close(ours)
    assert b"generate-no-prompt: 400" in seen
    assert b"  verify/job-failed: generate: the job failed" in seen
    assert (b"\x1b[" in seen) is not no_color


def test_a_webhook_is_ordered_where_the_outside_reaches_it() -> None:
    with Receiver(public_url="https://hooks.example.com/x/") as receiver:
        assert receiver.url.startswith("https://hooks.example.com/x/")
        assert receiver.wait(0) is None
