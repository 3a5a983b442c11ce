"""How a failure is made small, seen again, and named so that anybody can play it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import samples
from click.testing import CliRunner

from contract_tests.clients.check import Plan, check_client, playing
from contract_tests.clients.command import test_client as command
from contract_tests.clients.directives.base import Directive, Family
from contract_tests.clients.directives.menu import plain
from contract_tests.clients.explore import Explorer, Finding
from contract_tests.clients.named import directive_of, word_of
from contract_tests.clients.properties.base import Judgement, Policy, failed, properties, verdict
from contract_tests.clients.story import Story

SLOW = Directive("job: 77 s in the queue", Family.SLOW_JOB, ({"on": "job", "then": {"queue_seconds": 77}},))


def never_submits(base_url: str, api_key: str, prompt: str) -> str:
    return "nothing"


def explored(judge: Callable[[Story], Judgement], given: tuple[Directive, ...], *, timing: bool) -> Finding:
    """Return what an exploration of one scenario finds of a property that is judged so."""
    one = replace(properties()["C11"], judge=lambda story, _policy: judge(story), timing=timing)
    with playing(never_submits, Plan()) as play:
        return Explorer(play, [one], Policy(), confirm=3).run(2, given).findings["C11"]


def fails_where_slow(story: Story) -> Judgement:
    return verdict(not any(one.family is Family.SLOW_JOB for one in story.directives), "it was slow")


def test_a_failure_is_shown_by_the_plainest_directive_of_its_family() -> None:
    other = next(one for one in plain() if one.family is Family.FAILED_JOB)
    finding = explored(fails_where_slow, (other, SLOW), timing=False)
    assert finding.directives == (next(one for one in plain() if one.family is Family.SLOW_JOB),)


@pytest.mark.parametrize(("timing", "tries"), [(True, 3), (False, 1)])
def test_a_failure_of_timing_is_seen_three_times_and_any_other_once(timing: bool, tries: int) -> None:
    assert explored(fails_where_slow, (SLOW,), timing=timing).seen == (tries, tries)


def test_a_failure_of_timing_that_comes_and_goes_is_counted_as_often_as_it_came() -> None:
    judged: list[Story] = []

    def every_other(story: Story) -> Judgement:
        if not story.directives:
            return verdict(True, "")
        judged.append(story)
        return failed("it was late") if len(judged) % 2 else verdict(True, "")

    plainest = next(one for one in plain() if one.family is Family.SLOW_JOB)
    seen, tries = explored(every_other, (plainest,), timing=True).seen
    assert (0 < seen < tries, tries) == (True, 3)


@pytest.mark.parametrize("directive", [*plain(), SLOW, replace(SLOW, settings={"concurrency": 1}, harmless=False)])
def test_a_word_names_exactly_one_directive(directive: Directive) -> None:
    assert directive_of(word_of(directive)) == directive


@pytest.mark.parametrize("word", ["job: does what nobody knows", "{}", "[1]", '{"name": 1, "family": "none"}'])
def test_a_word_that_names_nothing_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="expected what a report names as the scenario, such as"):
        directive_of(word)


def test_only_what_is_given_is_played_and_that_all_goes_well() -> None:
    found = check_client(samples.good, plan=Plan(only=("C11",), play=(SLOW,)))
    assert found.examples == 2
    assert found["C11"].passes == 2


CLIENTS = [
    "samples:naive",
    "zoo.broken_polling:while_true",
    "zoo.broken_polling:id_by_substitution",
    "zoo.broken_submitting:tries_failed_jobs_again",
    "zoo.broken_downloads:starts_over_when_a_download_fails",
]


def told(*words: str) -> dict[str, Any]:
    done = CliRunner().invoke(command, [*words, "--format", "json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    value: dict[str, Any] = json.loads(done.stdout)
    return value


@pytest.mark.parametrize("client", CLIENTS)
def test_each_command_that_a_report_names_shows_the_same_failure(client: str) -> None:
    """Also one that was seen in a scenario which is about another property."""
    value = told(client, "--examples", "60")
    broken = [one for one in value["properties"] if one["again"] and one["id"] in properties()]
    assert broken
    for one in broken:
        program, subcommand, *words = shlex.split(one["again"])
        assert (program, subcommand) == ("fluxmock", "test-client")
        (again,) = [other for other in told(*words)["properties"] if other["id"] == one["id"]]
        assert {key: again[key] for key in ("result", "directives")} == {
            key: one[key] for key in ("result", "directives")
        }
