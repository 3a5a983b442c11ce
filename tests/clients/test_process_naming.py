"""What is said of a command: the same names in every run, whatever ports and folders it had."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from contract_tests.clients.check import Plan
from contract_tests.clients.directives.base import ORIGINS
from contract_tests.clients.lanes import timeline
from contract_tests.clients.process.check import check_command
from contract_tests.clients.process.naming import printable, told
from contract_tests.clients.process.play import Player, Stage
from contract_tests.clients.process.programs import Program
from contract_tests.clients.reports import FORMATS, Context
from contract_tests.clients.verdict import Verdict

COMMANDS = Path(__file__).parent / "commands"
FAILS = """
import os, sys, urllib.error, urllib.request
url = os.environ["FLUXMOCK_BASE_URL"]
try:
    urllib.request.urlopen(url + "/flux/fetch")
except urllib.error.HTTPError:
    pass
sys.exit(f"nobody at {url}, port={url.rpartition(':')[2]}, from {os.getcwd()}")
"""


def test_a_story_is_told_with_names_for_what_is_another_in_each_run() -> None:
    with Player(lambda: Program([sys.executable, "-S", "-c", FAILS], {}, 20.0), Stage("2024-09")) as player:
        story = player.play([])
    port = story.origins["api"].rpartition(":")[2]
    assert port in story.outcome.error
    named = told(story)
    assert (
        named.outcome.error
        == "exit code 1: nobody at http://api.fluxmock.test, port=(api.fluxmock.test), from (folder)/1/work"
    )
    assert named.origins == ORIGINS
    assert [request.origin for request in named.requests] == [ORIGINS["api"]]
    assert b"Host: api.fluxmock.test\r\n" in named.requests[0].raw
    assert port not in repr(named)
    assert "http://api.fluxmock.test" in timeline(named)


def test_the_same_seed_says_the_same_of_the_same_command() -> None:
    def verdict() -> Verdict:
        argv = [sys.executable, "-S", str(COMMANDS / "receives.py"), "downloads-anything"]
        return check_command(argv, plan=Plan(only=("C41",), examples=2, seed=3))

    one, other = verdict()["C41"], verdict()["C41"]
    assert one.story is not None
    assert other.story is not None
    assert (one.why, one.directives, one.scenario, one.example) == (
        other.why,
        other.directives,
        other.scenario,
        other.example,
    )
    assert one.story.intent.api_key == other.story.intent.api_key
    assert one.story.outcome.value == other.story.outcome.value
    assert one.story.jobs[0].order.hook_url == "http://receiver.fluxmock.test/hook"
    assert "127.0.0.1" not in timeline(one.story)


def test_reports_hold_no_port() -> None:
    argv = [sys.executable, "-S", str(COMMANDS / "generate.py"), "{base_url}", "{api_key}", "{prompt}", "orders-again"]
    verdict = check_command(argv, speed=40, plan=Plan(only=("C01",), examples=3))
    for render in FORMATS.values():
        text = render(verdict, Context())
        assert "127.0.0.1" not in text
        assert "localhost" not in text
    (found,) = json.loads(FORMATS["json"](verdict, Context()))["properties"]
    assert "http://images.fluxmock.test/" in found["timeline"]


def test_what_a_program_printed_cannot_move_a_terminal_about() -> None:
    assert printable("one\ttwo\nthree\x1b[31m\r\x07 fünf") == "one\ttwo\nthree�[31m�� fünf"
