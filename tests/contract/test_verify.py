"""`fluxmock verify` spends what it was told and no more, gives no key away, and says why it ends."""

from __future__ import annotations

import contextlib
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
from contract_tests.verify import calls
from contract_tests.verify.command import verify
from contract_tests.verify.hooks import Receiver
from contract_tests.verify.line import Line
from contract_tests.verify.plan import Order, Plan, Refusal, make_plan
from contract_tests.verify.run import Manners, Run
from mock_server import resources
from mock_server.contract import versions
from mock_server.http.runner import BackgroundServer

UNKNOWN = "bf165abb-a7fa-4c77-a2e4-138baac1130d"
DRIFT = resources.folder("fixtures") / "scenarios" / "drift"


def fluxmock(*arguments: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mock_server", "verify", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **more)


def answer_of(body: object, status: int = 200) -> Response:
    return Response(json.dumps(body), status, mimetype="application/json")


def only_verify(folder: Path) -> Path:
    """Write a policy that has only what a run finds by itself."""
    path = folder / "rules.toml"
    path.write_text("\n".join(f'"{name}/*" = "off"' for name in ("job", "value", "type", "field")), "utf-8")
    return path


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
    assert outcome.code == 1, "a run that could not do what was planned is not green"
    assert outcome.findings == {
        ("warning", "verify/refused", "generate.response"),
        ("error", "verify/stopped", "generate.response"),
    }


ACCEPTED_IN_ANOTHER_WAY = {
    "502": lambda: Response("bad gateway", 502),
    "a 400 that is no refusal": lambda: Response("bad request", 400),
    "a 400 with a job": lambda: answer_of({"status": "FAILED", "message": "", "data": {"taskId": "7"}}, 400),
    "200 cut in mid-JSON": lambda: Response('{"status": "SUCC', mimetype="application/json"),
    "202 and nothing": lambda: Response(status=202),
    "200 with HTML": lambda: Response("<html></html>"),
    "another name of the id": lambda: answer_of({"status": "OK", "data": {"taskId": "7"}}),
    "an id that is a number": lambda: answer_of({"status": "OK", "data": {"id": 12345}}),
}


@pytest.mark.parametrize(("order", "field", "spend"), [("edits", "image", 2), ("generate", "mode", 20)])
@pytest.mark.parametrize("kind", ACCEPTED_IN_ANOTHER_WAY)
def test_an_order_that_was_not_clearly_refused_counts_and_ends_the_run(
    kind: str, order: str, field: str, spend: int, tmp_path: Path
) -> None:
    charged: list[str] = []

    def lenient(request: Request, emulated: Callable[[], Response]) -> Response:
        sent = request.get_data(as_text=True)
        if request.path == f"/flux/{order}" and calls.PROMPT in sent and f'"{field}"' not in sent:
            charged.append(order)
            return ACCEPTED_IN_ANOTHER_WAY[kind]()
        return emulated()

    with emulator() as server, drifted(server, lenient) as url:
        outcome = run(url, tmp_path, "--spend", str(spend))
        assert not server.tenant(KEY).jobs
    assert charged == [order]
    assert outcome.code == 1
    assert f"{1 if order == 'edits' else 8} of {spend} quota units spent" in outcome.said


def test_a_free_order_that_is_answered_with_an_unknown_success_ends_the_run(tmp_path: Path) -> None:
    """An API that makes images without a prompt would make one for each of the free calls."""
    orders: list[str] = []

    def promptless(request: Request, emulated: Callable[[], Response]) -> Response:
        if request.path in {"/flux/generate", "/flux/edits"}:
            orders.append(request.path)
            return answer_of({"status": "OK", "data": {"taskId": "7"}})
        return emulated()

    with emulator() as server, drifted(server, promptless) as url:
        outcome = run(url, tmp_path)
    assert (len(orders), outcome.code) == (1, 1)
    assert {"verify/key-accepted", "verify/stopped"} <= outcome.rules


def test_what_is_left_counts_and_not_what_there_was() -> None:
    whole = make_plan(Decimal(2), None, UNKNOWN)
    plan = Plan(whole.steps, (), Decimal(1))
    with emulator() as server:
        made = Run(Line(server.url, KEY), manners=Manners(interval=0))
        report = made(plan)
        assert len(server.tenant(KEY).jobs) == 1
    assert [finding.rule for finding in report.findings] == ["verify/stopped"]
    assert made.stopped == "it could cost 1 quota units, 0 is left"


@pytest.mark.parametrize("quota", ["1e99999999", "9e999999999999", "1e-99999999", "1" * 5000])
def test_a_price_that_is_no_sensible_number_is_not_known(quota: str, tmp_path: Path) -> None:
    def dear(request: Request, emulated: Callable[[], Response]) -> Response:
        answer = emulated()
        if request.path == "/flux/fetch" and (data := answer.get_json()["data"]):
            answer.set_data(json.dumps(answer.get_json() | {"data": data | {"quota": quota}}))
        return answer

    with emulator() as server, drifted(server, dear) as url:
        outcome = run(url, tmp_path, "--spend", "1", "--policy", str(only_verify(tmp_path)))
    assert {"verify/charge-unknown", "verify/stopped"} <= outcome.rules
    assert "1 of 1 quota units spent" in outcome.said


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
        target = other.url
        outcome = run(url, tmp_path, "--spend", "2")
    assert reached == []
    assert {"status/unknown", "verify/status", "verify/stopped"} == outcome.rules
    assert f"the API redirects to {target}/flux/fetch; " in outcome.said
    assert all(one["count"] == 1 for one in outcome.report["findings"])


@pytest.mark.parametrize("status", [404, 403])
@pytest.mark.parametrize("body", ["<html></html>", '{"status": "FAILED", "message": "no", "data": null}'])
def test_nothing_is_ordered_from_a_host_that_refuses_everything_alike(status: int, body: str, tmp_path: Path) -> None:
    asked: list[str] = []

    def elsewhere(request: Request, emulated: Callable[[], Response]) -> Response:
        asked.append(request.get_data(as_text=True))
        if status == 403 and len(asked) == 1:  # else it is the key that is not taken
            return Response(body, 500, mimetype="application/json")
        return Response(body, status, mimetype="application/json")

    with emulator() as server, drifted(server, elsewhere) as url:
        outcome = run(url, tmp_path, "--spend", "20")
    assert not any('"prompt": "' in text and "mode" in text for text in asked)
    (finding,) = (one for one in outcome.report["findings"] if one["rule"] == "verify/stopped")
    assert f"got {status} to all; is that its base URL?" in finding["message"]


def test_nothing_is_ordered_from_a_host_that_never_refuses_as_the_api_does(tmp_path: Path) -> None:
    def strange(request: Request, emulated: Callable[[], Response]) -> Response:
        return Response("<html></html>", emulated().status_code)

    with emulator() as server, drifted(server, strange) as url:
        outcome = run(url, tmp_path, "--spend", "20")
        assert not server.tenant(KEY).jobs
    assert "expected the refusals of the TTAPI Flux API, got none of them" in outcome.said


@pytest.mark.parametrize("whole", [False, True])
def test_an_answer_that_drips_is_not_waited_for(whole: bool) -> None:
    """Neither its head nor its body: no pause is as long as the time that a call may take."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n"
    at_once, dripped = (head, b"x" * 400) if whole else (b"", head + b"x" * 400)
    enough = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(at_once)
            for byte in dripped:
                connection.sendall(bytes([byte]))
                if enough.wait(0.05):
                    break

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        try:
            line = Line(f"http://127.0.0.1:{listener.getsockname()[1]}", KEY, timeout=0.5)
            exchange = line.ask(calls.fetch({"jobId": UNKNOWN}))
        finally:
            enough.set()
            thread.join()
    assert exchange.error == "no whole answer in 0.5 s"
    assert exchange.status == (200 if whole else None)


def test_an_image_at_a_url_that_is_none_is_not_there(tmp_path: Path) -> None:
    def bad(request: Request, emulated: Callable[[], Response]) -> Response:
        answer = emulated()
        if request.path == "/flux/fetch" and (data := answer.get_json()["data"]):
            answer.set_data(json.dumps(answer.get_json() | {"data": data | {"imageUrl": "http://[bad"}}))
        return answer

    with emulator() as server, drifted(server, bad) as url:
        outcome = run(url, tmp_path, "--spend", "1", "--record", str(tmp_path / "run.jsonl"))
    assert "verify/image" in outcome.rules


def test_of_an_answer_not_more_is_read_than_any_has(tmp_path: Path) -> None:
    def endless(request: Request, emulated: Callable[[], Response]) -> Response:
        return Response(b" " * 3_000_000, 404) if request.method == "GET" else emulated()

    recording = tmp_path / "run.jsonl"
    with emulator() as server, drifted(server, endless) as url:
        run(url, tmp_path, "--record", str(recording))
    assert recording.stat().st_size < 1_500_000


def test_calls_that_met_429_are_made_again_after_the_time_that_was_asked_for() -> None:
    turned_away = ["7", "3600", ""]

    def busy(request: Request, emulated: Callable[[], Response]) -> Response:
        if turned_away:
            body = json.dumps({"status": "FAILED", "message": "Too many requests", "data": None})
            asked = turned_away.pop(0)
            return Response(body, 429, {"Retry-After": asked} if asked else {}, mimetype="application/json")
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
