"""The command line as its users meet it: a process, its output, its signals and its exit codes."""

from __future__ import annotations

import http.client
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support import PROMPT

from mock_server.settings import Settings

FLUXMOCK = [sys.executable, "-m", "mock_server"]
Start = Callable[..., subprocess.Popen[str]]


def fluxmock(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FLUXMOCK, *arguments], capture_output=True, text=True, timeout=60, env={**os.environ, **env}
    )


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a server process whose output is read line by line, and end it after the test."""
    with ExitStack() as stack:

        def run(*arguments: str, **env: str) -> subprocess.Popen[str]:
            process = stack.enter_context(
                subprocess.Popen(
                    [*FLUXMOCK, "serve", "--port", "0", *arguments],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    env={**os.environ, **env},
                )
            )
            stack.callback(process.kill)
            return process

        yield run


def read_until(process: subprocess.Popen[str], pattern: str) -> tuple[re.Match[str], str]:
    """Read lines until one matches; fail with all of them when the output ends first."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if match := re.search(pattern, line):
            return match, seen
    raise AssertionError(f"no {pattern!r} in:\n{seen}")


def post(url: str, body: object, key: str = "a-key-of-mine-1234") -> object:
    headers = {"TT-API-KEY": key, "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=20) as answer:
        return json.load(answer)


def wait_until_refused(host: str, port: int) -> None:
    """Return when the server takes no more connections."""
    while True:
        try:
            socket.create_connection((host, port), timeout=20).close()
        except ConnectionError:
            return


def test_it_prints_url_key_and_a_curl_line_that_works(start: Start) -> None:
    process = start()
    curl, seen = read_until(process, r"^\s+(curl .*)$")
    url = re.search(r"at (http://127\.0\.0\.1:\d+)", seen)
    assert url
    assert "API key:" in seen
    if shutil.which("curl") is None:
        pytest.skip("there is no curl to paste the line into")
    answer = subprocess.run(["sh", "-c", curl[1]], capture_output=True, text=True, timeout=20).stdout
    assert "200 OK" in answer
    assert '"status":"SUCCESS"' in answer
    _, line = read_until(process, r"POST /flux/generate")
    assert "200" in line


def test_it_writes_a_readable_line_per_request_and_never_the_whole_key(start: Start) -> None:
    process = start("--progress", "immediate")
    match, _ = read_until(process, r"at (http://\S+)")
    post(f"{match[1]}/flux/generate", {**PROMPT, "modle": "x"})
    _, seen = read_until(process, r"↳.*modle")
    assert "a-key-of-mine-1234" not in seen
    assert re.search(
        r"^\d\d:\d\d:\d\dZ  200  POST /flux/generate  key a-ke…#[0-9a-f]{4}  job [0-9a-f-]{36}$", seen, re.MULTILINE
    )
    assert "\x1b[" not in seen


def test_a_log_that_nobody_reads_keeps_nobody_waiting(start: Start, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    process = start("--ready-file", str(ready), "--progress", "immediate")
    while not ready.exists():
        assert process.poll() is None
    url = urlsplit(json.loads(ready.read_text())["url"])
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=20)
    headers = {"TT-API-KEY": "k", "Content-Type": "application/json"}
    for _ in range(1500):  # lines of more than the 64 KiB that a pipe holds
        connection.request("POST", "/flux/generate", json.dumps(PROMPT), headers)
        answer = connection.getresponse()
        assert (answer.status, len(answer.read()) > 0) == (200, True)
    connection.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well_and_takes_the_ready_file_along(start: Start, tmp_path: Path, number: int) -> None:
    ready = tmp_path / "ready.json"
    process = start("--quiet", "--ready-file", str(ready))
    match, _ = read_until(process, r"at (http://\S+)")
    read_until(process, "curl")
    while not ready.exists():
        assert process.poll() is None
    told = json.loads(ready.read_text())
    assert told == {"url": match[1], "pid": process.pid}
    process.send_signal(number)
    assert process.wait(20) == 0
    assert not ready.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_signal_lets_a_request_under_way_finish(start: Start) -> None:
    process = start("--quiet")
    match, _ = read_until(process, r"at http://(\S+):(\d+)")
    body = json.dumps(PROMPT).encode()
    head = (
        f"POST /flux/generate HTTP/1.1\r\nHost: x\r\nTT-API-KEY: k\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection((match[1], int(match[2])), timeout=20) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        process.send_signal(signal.SIGTERM)
        wait_until_refused(match[1], int(match[2]))
        connection.sendall(body)
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"Connection: close" in answer
    assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--progress", "sometimes"], "--progress: expected time, polls:N"),
        (["--progress", "polls:0"], "--progress: expected time, polls:N"),
        (["--clock", "fast"], "--clock: expected real, frozen, auto"),
        (["--contract", "1999"], "--contract: expected 2024-09 or 2026-03, got '1999'"),
        (["--balance", "-1"], "--balance: expected a number of quota units"),
        (["--balance", "nan"], "--balance: expected a number of quota units"),
        (["--seed", "x"], "--seed: expected a whole number"),
        (["--queue", "0"], "--queue: expected a whole number, 1 or more"),
        (["--hook-retry", "5,x"], "--hook-retry: expected seconds"),
        (["--hook-allow", "http://example.com/"], "--hook-allow: "),
        (["--rate-limit", "10"], "--rate-limit: expected CALLS/SECONDS"),
        (["--public-url", "example.com"], "--public-url: expected an origin"),
        (["--product", "no-such-file.json"], "product: expected a readable JSON file"),
        (["--key", ""], "--key: expected texts that are not empty"),
        (["--host", ""], "--host: expected an address"),
        (["--clock", "frozen@9999-12-31"], "--clock: expected a start in the years 1970 to 8999"),
        (["--port", "99999"], "--port"),
        (["--port", "x"], "--port"),
        (["--ready-file", "/no/such/folder/ready"], "--ready-file: expected a file in a folder"),
        (["--host", "256.0.0.1"], "cannot listen on 256.0.0.1"),
        (["--data", "maybe"], "--data: expected null or object"),
        (["--colour"], "No such option"),
        (["surplus"], "unexpected extra argument"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_bad_value_is_one_clear_line_and_exit_code_2(arguments: list[str], words: str) -> None:
    done = fluxmock("serve", *(() if "--port" in arguments else ("--port", "0")), *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_bad_variable_is_named_as_the_variable() -> None:
    done = fluxmock("serve", FLUXMOCK_CLOCK="fast")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "FLUXMOCK_CLOCK: expected real" in done.stderr


def test_a_taken_port_is_one_clear_line_and_exit_code_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = fluxmock("serve", "--port", port)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "--port" in done.stderr


def test_an_unknown_command_and_no_command() -> None:
    unknown = fluxmock("sevre")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    bare = fluxmock()
    assert bare.returncode == 2
    assert "demo" in bare.stdout + bare.stderr


def test_help_names_every_setting_and_its_variable() -> None:
    help_text = fluxmock("serve", "--help").stdout
    for field in fields(Settings):
        assert f"--{field.name.replace('_', '-')}" in help_text
        assert f"FLUXMOCK_{field.name.upper()}" in help_text
    assert re.search(r"fluxmock, version \d", fluxmock("--version").stdout)


def test_variables_set_what_options_do_not(start: Start) -> None:
    process = start("--balance", "1", FLUXMOCK_CONTRACT="2026-03", FLUXMOCK_BALANCE="50", FLUXMOCK_PROGRESS="polls:1")
    match, seen = read_until(process, r"at (http://\S+)")
    assert "contract 2026-03" in seen
    answer = post(f"{match[1]}/flux/generate", PROMPT)
    assert isinstance(answer, dict)
    job_id = answer["data"]["job_id"]
    fetched = post(f"{match[1]}/flux/fetch", {"jobId": job_id})
    assert isinstance(fetched, dict)
    assert fetched["status"] == "SUCCESS"
    with pytest.raises(urllib.error.HTTPError, match="402"):
        post(f"{match[1]}/flux/generate", PROMPT)


def test_listed_keys_are_the_only_ones_and_stay_secret(start: Start) -> None:
    process = start("--key", "first-secret-key", "--key", "second-secret-key")
    match, seen = read_until(process, r"at (http://\S+)")
    post(f"{match[1]}/flux/generate", PROMPT, "second-secret-key")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        post(f"{match[1]}/flux/generate", PROMPT, "third")
    _, more = read_until(process, r"↳ .*none of the 2")
    assert "secret-key" not in seen + more


@pytest.mark.parametrize("arguments", [[], ["--contract", "2026-03", "--clock", "auto"], ["--progress", "polls:2"]])
def test_the_demo_runs_the_whole_job(tmp_path: Path, arguments: list[str]) -> None:
    done = fluxmock("demo", "--out", str(tmp_path / "images"), *arguments, NO_COLOR="1")
    assert done.returncode == 0, done.stderr
    for step in ("POST /flux/generate", "POST /flux/fetch", "ON_QUEUE", "SUCCESS", "hook received, same body",
                 "WEBP 1344x768", "POST /flux/edits", "WEBP 1024x1024", "would have charged 2 quota (0.02 USD)"):  # fmt: skip
        assert step in done.stdout, done.stdout
    assert "\x1b" not in done.stdout
    assert len(list((tmp_path / "images").iterdir())) == 2


def test_the_demo_shows_progress_on_a_terminal() -> None:
    main, terminal = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"}
    process = subprocess.Popen([*FLUXMOCK, "demo"], stdout=terminal, stderr=terminal, stdin=terminal, env=env)
    os.close(terminal)
    shown = b""
    while True:
        try:
            shown += os.read(main, 65536)
        except OSError:  # the other end is closed
            break
    os.close(main)
    assert process.wait(20) == 0
    assert b"\x1b[" in shown
    assert "…".encode() in shown


def test_a_demo_that_cannot_end_says_why() -> None:
    done = fluxmock("demo", "--progress", "manual")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--progress: expected time" in done.stderr
    done = fluxmock("demo", "--rate-limit", "1/1000s", "--clock", "frozen")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "the clock is frozen" in done.stderr


def test_a_demo_that_cannot_keep_its_images_says_so_before_it_begins(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = fluxmock("demo", "--out", str(tmp_path / "file" / "folder"))
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")
    assert "--out: expected a folder" in done.stderr


def test_a_server_that_cannot_start_leaves_the_ready_file_of_another_alone(start: Start, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    process = start("--quiet", "--ready-file", str(ready))
    match, _ = read_until(process, r"at http://127\.0\.0\.1:(\d+)")
    while not ready.exists():
        assert process.poll() is None
    second = fluxmock("serve", "--port", match[1], "--ready-file", str(ready))
    assert second.returncode == 2
    assert json.loads(ready.read_text())["pid"] == process.pid


def test_a_ready_file_that_a_dead_process_left_is_taken_away(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    ready.write_text(json.dumps({"url": "http://127.0.0.1:1", "pid": dead.pid}))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        fluxmock("serve", "--port", str(taken.getsockname()[1]), "--ready-file", str(ready))
    assert not ready.exists()


def test_a_variable_that_is_nearly_a_setting_is_pointed_out(start: Start) -> None:
    process = start(FLUXMOCK_CLOK="x60")
    match, _ = read_until(process, r"FLUXMOCK_CLOK.*")
    assert "did you mean FLUXMOCK_CLOCK?" in match[0]


@pytest.mark.parametrize("where", ["option", "variable", "options"])
def test_lists_are_written_alike_everywhere(start: Start, where: str) -> None:
    arguments = {"option": ["--key", "one,two"], "variable": [], "options": ["--key", "one", "--key", "two"]}[where]
    process = start(*arguments, **({"FLUXMOCK_KEY": "one,two"} if where == "variable" else {}))
    match, _ = read_until(process, r"at (http://\S+)")
    for key in ("one", "two"):
        assert isinstance(post(f"{match[1]}/flux/generate", PROMPT, key), dict)


def test_what_over_http_cannot_be_moved_is_said_at_the_start(start: Start) -> None:
    _, seen = read_until(start("--clock", "frozen", "--progress", "manual"), "Try it")
    assert "POST /_mock/clock moves it" in seen
    assert "Jobs wait for somebody to finish them" in seen
