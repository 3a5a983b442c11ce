"""Clients in any language: commands and drivers are judged over real sockets, and leave nothing behind."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import select
import shutil
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from contract_tests.clients.check import Plan
from contract_tests.clients.directives.base import Directive, Family, rule
from contract_tests.clients.directives.menu import plain
from contract_tests.clients.process import fast
from contract_tests.clients.process.asking import Wish
from contract_tests.clients.process.check import check_command
from contract_tests.clients.process.endings import careful
from contract_tests.clients.process.play import Player, Stage
from contract_tests.clients.process.processes import Stop, UnusableCommand
from contract_tests.clients.process.programs import Program
from contract_tests.clients.properties.base import NOT_EXERCISED, PASSED, Grade, Judgement, Policy, failed, properties
from contract_tests.clients.story import Ending, Story
from contract_tests.clients.verdict import Exit, Result, Verdict
from mock_server.http.reader import BODY
from mock_server.http.runner import BackgroundServer
from mock_server.http.server import HttpServer
from mock_server.http.wire import WIRE, Wire

COMMANDS = Path(__file__).parent / "commands"
PYTHON = [sys.executable, "-S", str(COMMANDS / "generate.py"), "{base_url}", "{api_key}", "{prompt}"]
DRIVER = [sys.executable, "-S", str(COMMANDS / "driver.py")]
BRISK = {"PAUSE": "0.05"}
LOST = ("submit: closed after accept", "submit: reset after accept")


def plan(*only: str, examples: int = 3, policy: Policy | None = None) -> Plan:
    return Plan(only=only, examples=examples, policy=policy or Policy())


def named(*names: str) -> list[Directive]:
    by_name = {directive.name: directive for directive in plain()}
    return [by_name[name] for name in names]


def play(argv: Sequence[str], *directives: Directive, seconds: float = 20.0, **stage: object) -> Story:
    """Play one scenario to a program."""
    how = replace(Stage(contract="2024-09", workers=2), **stage)  # type: ignore[arg-type]
    with Player(lambda: Program(argv, {"FLUXMOCK_SPEED": f"{how.speed:g}"}, seconds), how) as player:
        return player.play(directives)


def needed(program: str) -> str:
    """Return the path of a program, or skip the test."""
    path = shutil.which(program)
    if path is None:
        assert not os.environ.get("CI"), f"CI has {program}"
        pytest.skip(f"there is no {program}")
    return path


def test_a_good_command_keeps_what_it_was_tried_for() -> None:
    seen: list[tuple[int, int]] = []
    verdict = check_command(
        PYTHON, speed=40, plan=plan("C01", "C14", "C53", examples=4), progress=lambda done, of: seen.append((done, of))
    )
    assert verdict["C01"].result is Result.PASS
    assert verdict["C14"].passes == 4
    assert verdict.exit_code is Exit.OK
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def bills_twice(verdict: Verdict) -> None:
    result = verdict["C01"]
    assert result.result is Result.FAIL, result
    assert result.bills > 1
    assert len(result.directives) == 1
    assert result.directives[0].startswith("submit: ")
    assert result.scenario["rules"]
    assert verdict.exit_code is Exit.FAILED


def test_a_command_that_orders_again_is_found() -> None:
    bills_twice(check_command([*PYTHON, "orders-again"], speed=40, plan=plan("C01", examples=4)))


def test_a_script_of_curl_that_orders_again_is_found() -> None:
    needed("curl")
    argv = ["sh", str(COMMANDS / "generate.sh"), "{base_url}", "{api_key}", "{prompt}"]
    assert play(argv).outcome.ending is Ending.RETURNED
    bills_twice(check_command([*argv, "--retry", "1", "--retry-all-errors"], plan=plan("C01"), env=BRISK))


def test_a_client_of_node_that_orders_again_is_found() -> None:
    argv = [needed("node"), str(COMMANDS / "generate.mjs")]
    assert play(argv).outcome.ending is Ending.RETURNED
    bills_twice(check_command(argv, plan=plan("C01"), env={**BRISK, "RETRIES": "1"}))


def test_a_driver_is_told_line_by_line() -> None:
    assert check_command(DRIVER, driver=True, speed=40, plan=plan("C01")).exit_code is Exit.OK
    bills_twice(check_command([*DRIVER, "orders-again"], driver=True, speed=40, plan=plan("C01")))


def test_a_driver_that_dies_in_a_call_has_failed_and_is_started_anew() -> None:
    verdict = check_command([*DRIVER, "dies-of-failure"], driver=True, speed=40, workers=1, plan=plan("C18"))
    assert verdict["C18"].result is Result.PASS
    assert verdict["C18"].passes == len([one for one in plain() if one.family is Family.FAILED_JOB]) == 2


@pytest.mark.parametrize(
    ("flaw", "words"),
    [
        ("dies", r"^the driver died in the midst of a call \(exit code 1\): no licence found$"),
        ("chats", r"^the driver said 'Hello!' where a line such as \{\"id\": 1, \"ok\": true"),
    ],
)
def test_a_driver_that_does_not_keep_to_the_protocol_is_refused(flaw: str, words: str) -> None:
    with pytest.raises(UnusableCommand, match=words):
        check_command([*DRIVER, flaw], driver=True, plan=plan("C01"))


def test_a_command_that_never_calls_is_no_pass(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        verdict = check_command(["sh", "-c", "echo no network here"], plan=plan("C01"))
    assert verdict.exit_code is Exit.UNKNOWN
    assert verdict["C01"].result is Result.NOT_EXERCISED
    assert "no network here" in caplog.text


def test_what_cannot_be_run_is_said_at_once() -> None:
    with pytest.raises(UnusableCommand, match=r"^expected a command that can be run, got 'no-such-program'"):
        check_command(["no-such-program"], plan=plan("C01"))
    with pytest.raises(ValueError, match=r"^expected a command, got none"):
        check_command([], plan=plan("C01"))
    with pytest.raises(ValueError, match=r"^expected a driver's command without placeholders, got \{prompt\}"):
        check_command(["driver", "{prompt}"], driver=True, plan=plan("C01"))
    with pytest.raises(ValueError, match=r"^expected timeout above 0, got 0"):
        check_command(PYTHON, timeout=0, plan=plan("C01"))


def test_a_client_that_is_ended_is_accused_only_when_its_deadline_was_over() -> None:
    argv = ["sh", "-c", f"{sys.executable} -S {COMMANDS / 'generate.py'} $FLUXMOCK_BASE_URL $TT_API_KEY cat"]
    ended_early = check_command(argv, timeout=0.8, speed=40, plan=plan("C10", examples=2))
    assert ended_early["C10"].result is Result.NOT_EXERCISED
    too_late = check_command(argv, timeout=0.8, speed=40, plan=plan("C10", examples=2, policy=Policy(deadline=32.0)))
    assert too_late["C10"].result is Result.FAIL
    assert too_late["C10"].story is not None
    assert too_late["C10"].story.outcome.ending is Ending.HUNG


def test_what_a_client_did_before_it_was_ended_counts() -> None:
    argv = [*PYTHON, "never-rests"]
    verdict = check_command(argv, timeout=1.0, plan=plan("C11", "C13", examples=3))
    assert verdict["C11"].result is Result.FAIL
    assert verdict["C11"].seen == (3, 3)
    assert verdict["C13"].result is Result.PASS


def test_a_client_that_sends_on_and_on_is_ended_early() -> None:
    endless = named("job: never ends")
    story = play([*PYTHON, "never-rests"], *endless, most_requests=20)
    assert story.outcome.ending is Ending.HUNG
    assert story.outcome.error == "it went on and on sending requests"
    assert 20 <= len(story.requests) < 1000


def test_a_story_has_the_bytes_and_the_times_of_the_client() -> None:
    story = play(PYTHON, *named("fetch: reset once"))
    submission, fetch, *_ = story.requests
    assert submission.raw.startswith(b"POST /flux/generate HTTP/1.1\r\n")
    assert ("TT-API-KEY".lower(), story.intent.api_key) in [(name.lower(), value) for name, value in submission.headers]
    assert submission.raw.endswith(submission.body)
    assert json.loads(submission.body)["prompt"] == story.intent.prompt
    assert submission.job_id == story.jobs[0].id
    assert submission.whole
    assert 0 < submission.at <= (submission.answered_at or 0) <= fetch.at
    assert (fetch.fault, fetch.whole) == ("reset without an answer", False)
    assert fetch.answered_at is None
    assert story.outcome.ending is Ending.RETURNED
    assert str(story.outcome.value).startswith(story.origins["images"] + "/")
    assert [link.origin for link in story.connections] == [story.origins["api"]] * len(story.requests)
    assert all(link.closed_at is not None for link in story.connections)


def test_times_are_those_of_the_clients_clock() -> None:
    story = play(PYTHON, *named("job: slow"), speed=10.0, pace=50.0)
    gaps = [other.at - one.at for one, other in itertools.pairwise(story.fetches)]
    assert len(gaps) >= 2
    assert min(gaps) >= 0.95  # a tenth of a second, ten times as fast
    job = story.jobs[0]
    assert (job.finished_at or 0) - job.submitted_at == pytest.approx(75 / 50 * 10, abs=0.01)


def test_late_answers_are_late_on_the_clients_clock() -> None:
    late = Directive("submit: late", Family.STALLED, (rule("submit", 1, delay=1.0),))
    story = play(PYTHON, late, speed=2.0)
    submission = story.submissions[0]
    assert submission.fault.startswith("1 s late")
    assert (submission.answered_at or 0) - submission.at >= 0.95


def test_an_answer_that_comes_when_the_client_has_gone_was_not_told() -> None:
    late = Directive("fetch: late", Family.STALLED, (rule("fetch", 1, delay=150.0),))
    story = play(PYTHON, late, speed=40.0)  # the client waits for 2 s, and then tries again
    first, *later = story.fetches
    assert later
    assert (first.whole, first.answered_at) == (False, None)
    assert later[-1].whole
    assert story.outcome.ending is Ending.RETURNED


def test_nothing_is_said_of_clients_that_were_ended_but_what_holds_however_they_would_have_ended() -> None:
    together = Directive("2 images at once", Family.PARALLEL, at_once=2)
    endless = named("job: never ends")
    story = play(PYTHON, together, *endless, seconds=1.0)
    assert [outcome.ending for outcome in story.outcomes] == [Ending.HUNG] * 2
    judged: list[list[Ending]] = []

    def judge(story: Story, _policy: Policy) -> Judgement:
        judged.append([outcome.ending for outcome in story.outcomes])
        return failed("why") if story.outcome.ending is Ending.HUNG else PASSED

    one = replace(properties()["C10"], judge=judge)
    assert careful(one).judge(story, Policy()) is NOT_EXERCISED
    assert sorted(judged) == sorted([ending] * 2 for ending in Ending)
    assert careful(one).judge(story, Policy(deadline=0.5)).grade is Grade.FAIL
    surely = replace(one, judge=lambda *_: failed("whatever comes"))
    assert careful(surely).judge(story, Policy()).why == "whatever comes"


SHOWS_ALL = """
import json, os, sys
names = ("FLUXMOCK_BASE_URL", "TT_API_KEY", "FLUXMOCK_PROMPT", "FLUXMOCK_MODE", "FLUXMOCK_HOOK_URL", "FLUXMOCK_IMAGE",
         "FLUXMOCK_OUT")
assert sys.argv[1:] == [os.environ[name] for name in names], sys.argv
assert sys.stdin.read() == ""
assert "127.0.0.1" in os.environ["NO_PROXY"]
assert os.listdir() == []
open(sys.argv[-1], "wb").write(open(sys.argv[-2], "rb").read())
"""


def test_placeholders_and_environment_say_the_same(tmp_path: Path) -> None:
    picture = tmp_path / "cat.png"
    picture.write_bytes(b"of a cat")
    wish = Wish("http://x", "key", "a {mode} {cat}", "flux1-dev", "http://h/x", str(picture), str(tmp_path / "out"))
    argv = [sys.executable, "-S", "-c", SHOWS_ALL, *(f"{{{name}}}" for name in wish.fields)]
    program = Program(argv, {}, 20.0)
    folder = tmp_path / "call"
    folder.mkdir()
    said = program.call(wish, folder, Stop(threading.Event()))
    program.close()
    assert said.error == ""
    assert (said.ending, said.image) == (Ending.RETURNED, b"of a cat")


def test_the_last_line_may_be_a_path_in_the_folder_where_it_ran(tmp_path: Path) -> None:
    wish = Wish("http://x", "key", "a cat", "flux1-dev", "", "", str(tmp_path / "out"))
    program = Program(["sh", "-c", "printf bytes >cat.webp; echo all done; echo cat.webp; echo"], {}, 20.0)
    said = program.call(wish, tmp_path, Stop(threading.Event()))
    program.close()
    assert (said.ending, said.value, said.image) == (Ending.RETURNED, "cat.webp", b"bytes")


def test_no_proxy_stands_between(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert play(PYTHON).outcome.ending is Ending.RETURNED


def test_what_it_prints_is_kept() -> None:
    story = play([*PYTHON, "prints-the-key"])
    assert f"my key is {story.intent.api_key}" in story.outcome.output
    assert story.outcome.error == ""


def test_processes_that_a_client_left_behind_are_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    monkeypatch.setenv("FIFO", str(fifo))
    end = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert play([*PYTHON, "leaves-a-child"]).outcome.ending is Ending.RETURNED
        assert os.read(end, 10) == b"\n"  # it was there
        assert select.select([end], [], [], 30)[0]
        assert os.read(end, 10) == b""  # nobody holds the other end any more
    finally:
        os.close(end)


def test_several_images_at_once_are_wanted_of_several_processes() -> None:
    together = Directive("3 images at once", Family.PARALLEL, at_once=3)
    story = play(PYTHON, together)
    assert [outcome.ending for outcome in story.outcomes] == [Ending.RETURNED] * 3
    assert sorted(job.order.prompt for job in story.jobs) == sorted(intent.prompt for intent in story.intents)


def test_scenarios_that_are_played_at_once_do_not_mix() -> None:
    scenarios = [(directive,) for directive in named(*LOST, "job: fails", "submit: 402", "job: done at once")]
    with Player(lambda: Program(PYTHON, {"FLUXMOCK_SPEED": "1"}, 20.0), Stage("2024-09", workers=5)) as player:
        stories = list(player.play_many(scenarios))
    assert [tuple(story.directives) for story in stories] == scenarios
    assert len({story.intent.api_key for story in stories}) == len(stories)
    for story in stories:
        assert {request.header("TT-API-KEY") for request in story.requests} == {story.intent.api_key}
        assert len(story.submissions) == 1
    assert [len(story.jobs) for story in stories] == [1, 1, 1, 0, 1]
    assert player.strays == 0


def test_a_hook_url_is_told_to_those_that_ask_for_one(serve_hooks: list[bytes], hook_url: str) -> None:
    script = """
import json, os, sys, urllib.request
order = {"prompt": "a cat", "mode": "flux1-dev", "hookUrl": sys.argv[1]}
headers = {"TT-API-KEY": os.environ["TT_API_KEY"], "Content-Type": "application/json"}
for path, body in (("/flux/generate", order), ("/_mock/hooks/wait", {})):
    url = os.environ["FLUXMOCK_BASE_URL"] + path
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)).read()
"""
    argv = [sys.executable, "-S", "-c", script, "{hook_url}"]
    quick = named("job: done at once")
    canary = play(argv, *quick, offers_hooks=True)
    assert canary.intent.hook_url == canary.origins["hooks"] + "/hook"
    assert canary.hooks == ()
    assert {request.origin for request in canary.requests} == {canary.origins["api"]}
    own = play(argv, *quick, offers_hooks=True, hook_url=hook_url)
    (call,) = own.hooks
    assert (call.job_id, call.status) == (own.jobs[0].id, 200)
    assert serve_hooks == [call.body]


@pytest.fixture
def serve_hooks() -> list[bytes]:
    return []


@pytest.fixture
def hook_url(serve_hooks: list[bytes]):
    def receive(environ, start_response):
        serve_hooks.append(environ[BODY])
        start_response("200 OK", [])
        return [b""]

    with BackgroundServer(receive) as server:
        yield f"{server.url}/hook"


def test_libfaketime_is_preloaded_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "_PLACES", (str(tmp_path),))
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    with pytest.raises(UnusableCommand, match=r"^expected libfaketime in one of .*, found none; install it"):
        check_command(PYTHON, faketime=True, speed=10, plan=plan("C01"))
    library = tmp_path / "some-machine" / "faketime" / "libfaketime.so.1"
    library.parent.mkdir(parents=True)
    library.touch()
    variables = fast.faketime_variables(10)
    assert (variables["LD_PRELOAD"], variables["FAKETIME"]) == (str(library), "+0 x10")


class Notes:
    """A tap that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.over = asyncio.Event()

    def opened(self, connection: int) -> None:
        self.told.append(("opened", connection))

    def read(self, connection: int, data: bytes) -> None:
        self.told.append(("read", connection, data))

    def asked(self, connection: int, environ) -> None:
        environ["a.test"] = len(self.told)
        self.told.append(("asked", connection, environ["PATH_INFO"]))

    def answering(self, connection: int, answer, wire) -> None:
        self.told.append(("answering", connection, answer.body, wire))

    def answered(self, connection: int) -> None:
        self.told.append(("answered", connection))

    def closed(self, connection: int) -> None:
        self.told.append(("closed", connection))
        self.over.set()


def test_a_tap_is_told_all_that_happens_on_a_connection() -> None:
    def app(environ, start_response):
        environ[WIRE] = Wire(pause=0.001) if environ["PATH_INFO"] == "/2" else None
        start_response("200 OK", [])
        return [b"%d" % environ["a.test"]]

    async def talk() -> list[object]:
        notes = Notes()
        server = HttpServer(app, tap=notes, workers=1)
        await server.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(server.host, server.port)
        for path in (b"/1", b"/2"):
            writer.write(b"GET " + path + b" HTTP/1.1\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(1)
        writer.close()
        await notes.over.wait()
        await server.stop(0)
        return notes.told

    assert asyncio.run(talk()) == [
        ("opened", 1),
        ("read", 1, b"GET /1 HTTP/1.1\r\n\r\n"),
        ("asked", 1, "/1"),
        ("answering", 1, b"2", None),
        ("answered", 1),
        ("read", 1, b"GET /2 HTTP/1.1\r\n\r\n"),
        ("asked", 1, "/2"),
        ("answering", 1, b"6", Wire(pause=0.001)),
        ("answered", 1),
        ("closed", 1),
    ]


def test_files_are_found_from_here_wherever_a_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    (here / "client.sh").write_text(f"pwd >>{tmp_path}/places; exec {sys.executable} -S {COMMANDS}/generate.py $*")
    monkeypatch.chdir(here)
    for cwd in (there, None):
        verdict = check_command(["sh", "client.sh", *PYTHON[3:]], cwd=cwd, speed=40, plan=plan("C06", examples=1))
        assert verdict["C06"].result is Result.PASS
    places = (tmp_path / "places").read_text().split()
    assert places[:2] == [str(there)] * 2
    assert not {str(here), str(there)} & set(places[2:])
    assert list(there.iterdir()) == []


def test_a_command_that_is_told_a_mode_and_orders_a_dearer_one_pays_too_much() -> None:
    cheap, dear = (
        check_command(["env", "ASKED_FOR={mode}", *does, *PYTHON], speed=40, plan=plan("C06", examples=1))
        for does in ([], ["FLUXMOCK_MODE=flux-kontext-max"])
    )
    assert (cheap["C06"].result, dear["C06"].result) == (Result.PASS, Result.FAIL)
