"""Clients in any language: commands and drivers are judged over real sockets, on the clock of the client."""

from __future__ import annotations

import itertools
import json
import logging
import sys
from dataclasses import replace

import pytest
from process_runs import BRISK, COMMANDS, DRIVER, PYTHON, named, needed, plan, play

from contract_tests.clients.directives.base import Directive, Family, rule
from contract_tests.clients.directives.menu import plain
from contract_tests.clients.process.check import check_command
from contract_tests.clients.process.endings import careful
from contract_tests.clients.process.processes import UnusableCommand
from contract_tests.clients.properties.base import NOT_EXERCISED, PASSED, Grade, Judgement, Policy, failed, properties
from contract_tests.clients.story import Ending, Story
from contract_tests.clients.verdict import Exit, Result, Verdict


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


def test_a_command_that_is_told_a_mode_and_orders_a_dearer_one_pays_too_much() -> None:
    cheap, dear = (
        check_command(["env", "ASKED_FOR={mode}", *does, *PYTHON], speed=40, plan=plan("C06", examples=1))
        for does in ([], ["FLUXMOCK_MODE=flux-kontext-max"])
    )
    assert (cheap["C06"].result, dear["C06"].result) == (Result.PASS, Result.FAIL)
