"""Finds out what a client does: plain scenarios first, then drawn ones; of each fault the smallest that shows it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from contract_tests.clients.directives.base import Directive
from contract_tests.clients.directives.menu import plain
from contract_tests.clients.properties.base import Grade, Judgement, Policy, Property
from contract_tests.clients.story import Story

Play = Callable[[Sequence[Directive]], Story]
"""Plays a scenario that is made of directives to the client."""


@dataclass
class Finding:
    """
    What is known of one property.

    Args:
        property: which.
        passes: stories in which it held.
        judgement: the failure, if there was one.
        directives: what shows it.
        story: what happened then.
        example: number of the example in which it was seen first, counted from 1.
        seen: how often the failure was seen again, of how many tries.
    """

    property: Property
    passes: int = 0
    judgement: Judgement | None = None
    directives: tuple[Directive, ...] = ()
    story: Story | None = None
    example: int = 0
    seen: tuple[int, int] = (0, 0)


@dataclass
class Exploration:
    """
    What an exploration found.

    Args:
        findings: by the id of the property.
        examples: how many stories were judged.
        replays: how many more were played to make failures small, and to see them again.
        requests: how many calls the client made in all.
        met: what the client met, by kind, and how often.
    """

    findings: dict[str, Finding]
    examples: int = 0
    replays: int = 0
    requests: int = 0
    met: dict[str, int] = field(default_factory=dict)


class Explorer:
    """
    Explores one client.

    Args:
        play: plays a scenario to it.
        properties: what to judge.
        policy: what was declared about it.
        seed: of the order of what is tried, and of what is drawn.
        confirm: how often a failure is played again: `confirm` times for properties of timing, else once.
    """

    def __init__(
        self, play: Play, properties: Sequence[Property], policy: Policy, *, seed: int = 0, confirm: int = 1
    ) -> None:
        self._play = play
        self._properties = properties
        self._policy = policy
        self._seed = seed
        self._confirm = confirm
        self.found = Exploration({one.id: Finding(one) for one in properties})

    def run(self, examples: int) -> Iterator[int]:
        """Play at most `examples` scenarios; yields after each how many there have been."""
        for directives in self._scenarios(examples):
            self._try(directives)
            yield self.found.examples

    def _scenarios(self, examples: int) -> Iterator[tuple[Directive, ...]]:
        wanted = frozenset().union(*(one.families for one in self._properties))
        menu = [(directive,) for directive in plain() if directive.family in wanted]
        random.Random(self._seed).shuffle(menu)  # noqa: S311
        yield ()
        yield from menu[: examples - 1]

    def _try(self, directives: tuple[Directive, ...]) -> None:
        found = self.found
        found.examples += 1
        story = self._play(directives)
        found.requests += len(story.requests)
        for one in self._properties:
            finding = found.findings[one.id]
            if finding.judgement is not None:
                continue
            judgement = one.judge(story, self._policy)
            if judgement.grade is Grade.PASS:
                finding.passes += 1
            elif judgement.grade is Grade.FAIL:
                finding.example = found.examples
                self._settle(finding, directives, story, judgement)

    def _settle(self, finding: Finding, directives: tuple[Directive, ...], story: Story, judgement: Judgement) -> None:
        """Make a failure small, and see it again."""
        smaller = True
        while smaller and len(directives) > 0:
            smaller = False
            for index in range(len(directives)):
                fewer = (*directives[:index], *directives[index + 1 :])
                tried = self._again(fewer, finding.property)
                if tried is not None:
                    directives, (story, judgement), smaller = fewer, tried, True
                    break
        tries = self._confirm if finding.property.timing else 1
        seen = sum(self._again(directives, finding.property) is not None for _ in range(tries))
        finding.judgement, finding.directives, finding.story = judgement, directives, story
        finding.seen = (seen, tries)

    def _again(self, directives: tuple[Directive, ...], one: Property) -> tuple[Story, Judgement] | None:
        self.found.replays += 1
        story = self._play(directives)
        judgement = one.judge(story, self._policy)
        return (story, judgement) if judgement.grade is Grade.FAIL else None
