"""Webhooks of clients in any language: true ones and forged, wherever the client has its receiver."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from contract_tests.clients.check import Plan
from contract_tests.clients.directives.base import Directive
from contract_tests.clients.directives.menu import plain
from contract_tests.clients.process.check import check_command
from contract_tests.clients.process.play import Player, Stage
from contract_tests.clients.process.programs import Program
from contract_tests.clients.properties.base import Grade, Policy, properties
from contract_tests.clients.story import Ending, Story
from contract_tests.clients.verdict import Result, Verdict
from mock_server.http.reader import BODY
from mock_server.http.runner import BackgroundServer

RECEIVES = [sys.executable, "-S", str(Path(__file__).parent / "commands" / "receives.py")]
ORDERS = [
    sys.executable,
    "-S",
    "-c",
    """
import json, os, sys, urllib.request
order = {"prompt": "a cat", "mode": "flux1-dev", "hookUrl": os.environ["FLUXMOCK_HOOK_URL"] + sys.argv[1]}
headers = {"TT-API-KEY": os.environ["TT_API_KEY"], "Content-Type": "application/json"}
for path in sys.argv[2:] or ("/flux/generate", "/_mock/hooks/wait"):
    url = os.environ["FLUXMOCK_BASE_URL"] + path
    body = order if path == "/flux/generate" else {}
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)).read()
""",
]
LEAVES = [
    sys.executable,
    "-S",
    "-c",
    """
import json, os, socket, urllib.request
receiver = socket.create_server(("127.0.0.1", 0))
hook_url = f"http://127.0.0.1:{receiver.getsockname()[1]}/hook"
order = {"prompt": "a cat", "mode": "flux1-dev", "hookUrl": hook_url}
headers = {"TT-API-KEY": os.environ["TT_API_KEY"], "Content-Type": "application/json"}
url = os.environ["FLUXMOCK_BASE_URL"] + "/flux/generate"
urllib.request.urlopen(urllib.request.Request(url, json.dumps(order).encode(), headers)).read()
""",
]


@pytest.fixture
def received() -> list[tuple[str, bytes]]:
    return []


@pytest.fixture
def hook_url(received: list[tuple[str, bytes]]) -> Iterator[str]:
    def receive(environ, start_response):
        received.append((environ["QUERY_STRING"], environ[BODY]))
        start_response("200 OK", [])
        return [b""]

    with BackgroundServer(receive) as server:
        yield f"{server.url}/hook"


def named(name: str) -> Directive:
    (directive,) = (one for one in plain() if one.name == name)
    return directive


def play(argv: Sequence[str], *names: str, hook_url: str = "", offers_hooks: bool = False) -> Story:
    stage = Stage(contract="2024-09", hook_url=hook_url, offers_hooks=offers_hooks)
    with Player(lambda: Program(argv, {"FLUXMOCK_SPEED": "1"}, 20.0), stage) as player:
        return player.play([named(name) for name in names])


def verdict_on(only: str, examples: int) -> Verdict:
    return check_command(RECEIVES, plan=Plan(only=(only,), examples=examples))


def test_a_command_with_a_receiver_of_its_own_gets_webhooks_without_a_word_from_anybody() -> None:
    verdict = verdict_on("C37", 4)
    assert verdict["C37"].result is Result.PASS
    assert verdict["C37"].passes >= 2  # of 3, for it may have ended when the same comes again after a while


def test_a_command_that_takes_no_notice_of_forged_webhooks_passes() -> None:
    verdict = verdict_on("C41", 5)
    assert verdict["C41"].result is Result.PASS
    assert verdict["C41"].passes == 4


@pytest.mark.parametrize(
    ("flaw", "what", "why"),
    [
        ("downloads-anything", "with images elsewhere", "it called http://localhost:"),
        ("fails", "that are no JSON", "its receiver answered 500 to a forged webhook (a form in place of JSON)"),
    ],
)
def test_a_command_that_believes_forged_webhooks_is_found(flaw: str, what: str, why: str) -> None:
    judgement = properties()["C41"].judge(play([*RECEIVES, flaw], f"forged hooks: {what}"), Policy())
    assert judgement.grade is Grade.FAIL
    assert judgement.why.startswith(why)


def test_forged_webhooks_name_servers_that_listen() -> None:
    story = play(RECEIVES, "forged hooks: with images elsewhere")
    names = named("forged hooks: with images elsewhere").forged
    forged = [hook for hook in story.hooks if hook.forged]
    assert [hook.forged for hook in forged[:3]] == list(names)
    assert {hook.job_id for hook in forged} == {""}
    first, own, metadata = forged[:3]
    assert first.status == 204
    assert first.told["data"]["imageUrl"] == story.origins["elsewhere"] + "/forged.png"
    assert own.told["jobId"] == story.jobs[0].id
    assert metadata.told["data"]["imageUrl"].startswith(story.origins["metadata"] + "/latest/meta-data/")


def test_forged_webhooks_go_to_the_url_that_was_told_without_what_the_client_added(
    received: list[tuple[str, bytes]], hook_url: str
) -> None:
    directive = named("forged hooks: about jobs of others")
    story = play([*ORDERS, "?token=s3cret"], directive.name, hook_url=hook_url, offers_hooks=True)
    assert sorted(hook.forged for hook in story.hooks) == sorted([*directive.forged, "", *directive.forged])
    assert story.hooks[0].forged  # while the job is under way
    assert story.hooks[-1].forged  # and when it has ended
    assert [hook.number for hook in story.hooks] == list(range(1, len(story.hooks) + 1))
    assert [query for query, _ in received if query] == ["token=s3cret"]
    assert sorted(body for _, body in received) == sorted(hook.body for hook in story.hooks)


def test_a_webhook_comes_again_even_when_the_client_has_ended(received: list[tuple[str, bytes]], hook_url: str) -> None:
    story = play([*ORDERS, ""], "hook: again after a while", hook_url=hook_url, offers_hooks=True)
    first, again = story.hooks
    assert first.body == again.body == received[0][1] == received[1][1]
    assert again.at > story.quiet_from
    assert again.at - first.at >= 1.5  # half a minute of the jobs
    assert properties()["C37"].judge(story, Policy()).grade is Grade.PASS


def test_late_webhooks_are_waited_for_when_the_client_has_ended(hook_url: str) -> None:
    story = play([*ORDERS, "", "/flux/generate"], hook_url=hook_url, offers_hooks=True)
    assert [hook.status for hook in story.hooks] == [200]


def test_a_receiver_that_ends_with_its_client_is_not_accused_of_what_comes_later() -> None:
    story = play(LEAVES, "forged hooks: of odd JSON", "hook: twice at once")
    assert story.outcome.ending is Ending.RETURNED
    assert len(story.jobs) == 1
    assert story.hooks == ()
    assert story.watched_until > story.quiet_from
    for id_ in ("C36", "C41"):
        assert properties()[id_].judge(story, Policy()).grade is Grade.NOT_EXERCISED


def test_nothing_is_sent_to_the_url_that_stands_in_for_a_receiver() -> None:
    story = play([*ORDERS, ""], "forged hooks: about jobs of others", offers_hooks=True)
    assert story.intent.hook_url == story.origins["hooks"] + "/hook"
    assert story.hooks == ()
    assert {request.origin for request in story.requests} == {story.origins["api"]}
