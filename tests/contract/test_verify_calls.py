"""`fluxmock verify` gives no key away, goes nowhere else, and waits for nothing that does not end."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from verify_commands import UNKNOWN, fluxmock
from verify_runs import KEY, drifted, emulator, run
from werkzeug.wrappers import Request, Response

import contract_tests
from contract_tests.verify import calls
from contract_tests.verify.line import Line
from contract_tests.verify.plan import make_plan
from contract_tests.verify.run import Manners, Run
from mock_server.http.runner import BackgroundServer

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
