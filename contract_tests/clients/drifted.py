"""What drift means for one client: it is played to the client, and either it ends as before or it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from contract_tests.clients.check import Plan, playing
from contract_tests.clients.directives.base import Directive, Family
from contract_tests.clients.explore import Play
from contract_tests.clients.given import PythonClient
from contract_tests.clients.properties.base import Grade, Level, Property
from contract_tests.clients.story import Ending, Story
from contract_tests.findings import Effect, Finding
from contract_tests.scenario_making.writing import Draft

MOST = 50
"""Findings that are played; a client is told of the worst."""


def effects(
    client: PythonClient, findings: Iterable[Finding], draft: Callable[[Finding], Draft | None]
) -> Iterator[Effect]:
    """
    Play each finding to a client, and return what it means for it.

    Args:
        client: as for `check_client`.
        findings: what a check found, the worst first.
        draft: returns the scenario that shows a finding alone; None when none does.

    Raises:
        UnusableClient: it cannot be called.
    """
    for number, finding in enumerate(findings):
        made = draft(finding) if number < MOST else None
        if made is None or not made.rules:
            why = "no scenario can show it" if number < MOST else f"only the first {MOST} findings are played"
            yield Effect(finding, None, why)
            continue
        plan = Plan(contract=finding.contract)
        directive = Directive(finding.message, Family.DRIFT, tuple(made.rules), made.settings)
        with playing(client, plan) as play:
            yield _effect(finding, play, directive, plan)


def _effect(finding: Finding, play: Play, directive: Directive, plan: Plan) -> Effect:
    before, after = play(()), play((directive,))
    if before.outcome.ending is not Ending.RETURNED:
        return Effect(finding, None, f"it gets no image without the drift either: {before.outcome.error[:120]}")
    met = [request for request in after.requests if request.twisted]
    if not met and not after.hooks:
        return Effect(finding, False, "it makes no call that shows it")
    why = _harm(after)
    for one in plan.chosen():
        if not why and _is_of_calls(one):
            judgement = one.judge(replace(after, directives=()), plan.policy)
            why = f"{one.id}: {judgement.why}" if judgement.grade is Grade.FAIL else ""
    return Effect(finding, bool(why), why or f"it {after.outcome.ending.value}, as it should")


def _harm(story: Story) -> str:
    outcome = story.outcome
    if outcome.ending is Ending.HUNG:
        return f"it never ended: {outcome.error}"
    if story.succeeded and outcome.ending is Ending.FAILED:
        return f"it reported failure, although its image was there: {outcome.error[:160]}"
    if story.jobs and not story.succeeded and outcome.ending is Ending.RETURNED:
        return "it reported success, although its job had failed"
    return ""


def _is_of_calls(one: Property) -> bool:
    """Whether a property is about what a client sends, and holds in any scenario."""
    return one.level is Level.MUST and one.id in {"C01", "C02", "C05", "C06", "C08", "C13", "C14", "C43"}
