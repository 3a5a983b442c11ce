"""What a client in a process is told and given, and what it leaves behind."""

from __future__ import annotations

import os
import select
import sys
import threading
from pathlib import Path

import pytest
from process_runs import COMMANDS, LOST, PYTHON, named, plan, play

from contract_tests.clients.directives.base import Directive, Family
from contract_tests.clients.process import fast
from contract_tests.clients.process.asking import Wish
from contract_tests.clients.process.check import check_command
from contract_tests.clients.process.play import Player, Stage
from contract_tests.clients.process.processes import Stop, UnusableCommand
from contract_tests.clients.process.programs import Program
from contract_tests.clients.story import Ending
from contract_tests.clients.verdict import Result
from mock_server.http.reader import BODY
from mock_server.http.runner import BackgroundServer

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


def test_a_client_that_a_killed_run_left_behind_is_nobodys() -> None:
    """It calls a port that was another server's once, with the key of another scenario."""
    for key, strays in (("fm-0123456789abcdef012345670001", 1), ("fm-its-own-idea", 0)):
        with Player(
            lambda key=key: Program(["curl", "-H", f"TT-API-KEY: {key}", "{base_url}/flux/fetch"], {}, 20.0),
            Stage("2024-09"),
        ) as player:
            story = player.play(())
        assert (player.strays, len(story.requests)) == (strays, 1 - strays)


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
