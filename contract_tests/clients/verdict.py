"""The verdict on a client: of each property whether it holds, and if not, what shows it and how to mend it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

from contract_tests.clients.directives.base import scenario_of
from contract_tests.clients.explore import Exploration, Finding
from contract_tests.clients.properties.base import Level, Property
from contract_tests.clients.properties.works import WORKS
from contract_tests.clients.story import Story
from contract_tests.scenario_making.writing import name_of


class Result(StrEnum):
    """What is known of a property."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    NOT_EXERCISED = "not_exercised"
    UNSTABLE = "unstable"


class Exit(IntEnum):
    """Exit codes."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNKNOWN = 3
    """Nothing is known of the client: it never called, or nothing that was looked for happened."""


@dataclass(frozen=True)
class PropertyResult:
    """
    What is known of one property.

    Args:
        property: which.
        result: whether it holds.
        why: what the client did, in one line, if it does not.
        bills: how often one image was paid for, if more than once.
        scenario: the smallest that shows it, as `fluxmock serve --scenario` plays it.
        directives: the same, in words.
        story: what happened then.
        example: number of the scenario in which it was seen first; 0 for never.
        seen: how often it was seen again, of how many tries.
        passes: in how many scenarios it held.
    """

    property: Property
    result: Result
    why: str = ""
    bills: int = 0
    scenario: Mapping[str, Any] = field(default_factory=dict)
    directives: tuple[str, ...] = ()
    story: Story | None = None
    example: int = 0
    seen: tuple[int, int] = (0, 0)
    passes: int = 0


@dataclass(frozen=True)
class Verdict:
    """
    What is known of a client.

    Args:
        results: of every property that was looked for.
        examples: scenarios that were played.
        replays: scenarios that were played again, to make failures small and to see them once more.
        requests: calls that the client made in all; none is no verdict.
        met: what the client met, and how often; see `met.by_kind`.
        works: whether it has its image where all goes well, without which no other result says much; None if that was
            not looked for, as in a replay of something else.
    """

    results: tuple[PropertyResult, ...]
    examples: int
    replays: int
    requests: int
    met: Mapping[str, int] = field(default_factory=dict)
    works: PropertyResult | None = None

    def __getitem__(self, id_: str) -> PropertyResult:
        """Return the result of one property; KeyError if it was not looked for."""
        for result in self.results:
            if result.property.id == id_:
                return result
        raise KeyError(f"{id_}: was not looked for; these were: {', '.join(one.property.id for one in self.results)}")

    def failures(self, *levels: Level) -> list[PropertyResult]:
        """Return the properties that do not hold, of these levels or all."""
        return [
            one for one in self.results if one.result is Result.FAIL and (not levels or one.property.level in levels)
        ]

    @property
    def exit_code(self) -> Exit:
        """0: all MUST hold, and something was seen to; 1: one does not; 3: nothing is known."""
        works = Result.PASS if self.works is None else self.works.result
        if not self.requests:
            return Exit.UNKNOWN
        if works is Result.FAIL or self.failures(Level.MUST):
            return Exit.FAILED
        seen = any(one.result in {Result.PASS, Result.FAIL} for one in self.results)
        return Exit.OK if seen and works is Result.PASS else Exit.UNKNOWN


def verdict_of(found: Exploration) -> Verdict:
    """Return the verdict that an exploration came to."""
    results = [_result(finding) for finding in found.findings.values()]
    return Verdict(
        tuple(one for one in results if one.property.id != WORKS.id),
        found.examples,
        found.replays,
        found.requests,
        found.met,
        next((one for one in results if one.property.id == WORKS.id), None),
    )


def _result(finding: Finding) -> PropertyResult:
    judgement = finding.judgement
    if judgement is None:
        result = Result.PASS if finding.passes else Result.NOT_EXERCISED
        return PropertyResult(finding.property, result, passes=finding.passes)
    seen, tries = finding.seen
    return PropertyResult(
        finding.property,
        Result.FAIL if seen == tries else Result.UNSTABLE,
        judgement.why,
        judgement.bills,
        scenario_of(finding.directives, name_of(f"{finding.property.id} {finding.property.title}")),
        tuple(directive.name for directive in finding.directives),
        finding.story,
        finding.example,
        finding.seen,
        finding.passes,
    )
