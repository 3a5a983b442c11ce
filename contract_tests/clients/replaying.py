"""Plays one saved scenario to a client, and judges every property by what happened."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from contract_tests.clients.check import Plan, playing
from contract_tests.clients.given import PythonClient
from contract_tests.clients.met import note
from contract_tests.clients.properties.base import Grade, Policy, Property, properties
from contract_tests.clients.properties.works import WORKS
from contract_tests.clients.references import find
from contract_tests.clients.reports import Context
from contract_tests.clients.reports.card import failure
from contract_tests.clients.saved import Saved, read
from contract_tests.clients.story import Story
from contract_tests.clients.verdict import PropertyResult, Result, Verdict
from mock_server.hooks.apps import App

_RESULTS = {Grade.PASS: Result.PASS, Grade.FAIL: Result.FAIL, Grade.NOT_EXERCISED: Result.NOT_EXERCISED}


@dataclass(frozen=True)
class Replay:
    """
    What came of one scenario.

    Args:
        verdict: what it says of each property.
        story: what happened.
        saved: the scenario.
    """

    verdict: Verdict
    story: Story
    saved: Saved

    def check(self, id_: str) -> None:
        """
        Fail a test if a property does not hold.

        Raises:
            AssertionError: it does not; the text says what the client did, and how it went.
            unittest.SkipTest: what the property is about did not happen, so nothing is known; pytest skips the test.
            KeyError: there is no such property.
        """
        __tracebackhide__ = True  # of pytest: what the client did is told by the error
        result = self.verdict[id_]
        if result.result is Result.FAIL:
            raise AssertionError("\n" + failure(result, Context(width=100)))
        if result.result is Result.NOT_EXERCISED:
            raise unittest.SkipTest(f"{id_} was not exercised: what it is about did not happen in this scenario")


def replay(
    scenario: Path,
    client: PythonClient | str,
    *,
    policy: Policy | None = None,
    receiver: App | str | None = None,
    root: Path | None = None,
) -> Replay:
    """
    Play a scenario that a verdict came with, or one that somebody wrote, to a client of Python.

    Args:
        scenario: its file.
        client: as `check_client` takes it, or its name, such as `my_module:generate` or `path/to/file.py:generate`.
        policy: what is declared about the client.
        receiver: the client's receiver of webhooks, a WSGI or ASGI application, or its name.
        root: the folder at which paths in names begin, and in which modules are looked for; the current one by default.

    Raises:
        SettingsError: the file cannot be used, or nothing has that name.
        UnusableClient: the client cannot be called.
    """
    saved = read(scenario)
    plan = Plan(seed=saved.seed, contract=saved.contract, policy=policy or Policy())
    called: PythonClient = find(client, root) if isinstance(client, str) else client
    takes_hooks: App | None = find(receiver, root) if isinstance(receiver, str) else receiver
    with playing(called, plan, takes_hooks) as play:
        return judged_by(play(saved.directives), saved, plan)


def judged_by(
    story: Story, saved: Saved, plan: Plan, careful: Callable[[Property], Property] = lambda it: it
) -> Replay:
    """
    Return what a story says of every property.

    Args:
        story: what happened.
        saved: the scenario that was played.
        plan: which properties are looked for, and what is declared about the client.
        careful: makes a property out of one, which is judged in its place.
    """
    judged = {one.id: careful(one) for one in plan.chosen()}
    if saved.property in properties():
        judged.setdefault(saved.property, careful(properties()[saved.property]))
    met: dict[str, int] = {}
    note(story, met)
    results = tuple(_result(judged[id_], story, plan.policy) for id_ in sorted(judged))
    works = None if story.directives else _result(careful(WORKS), story, plan.policy)
    return Replay(Verdict(results, 1, 0, len(story.requests), met, works), story, saved)


def _result(one: Property, story: Story, policy: Policy) -> PropertyResult:
    judgement = one.judge(story, policy)
    broken = judgement.grade is Grade.FAIL
    return PropertyResult(
        one,
        _RESULTS[judgement.grade],
        judgement.why,
        judgement.bills,
        directives=tuple(directive.name for directive in story.directives),
        story=story if broken else None,
        example=int(broken),
        seen=(int(broken), int(broken)),
        passes=int(judgement.grade is Grade.PASS),
    )
