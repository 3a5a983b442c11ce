"""Finds out what a client does: plain scenarios first, then drawn ones; of each fault the smallest that shows it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice, takewhile, zip_longest

from contract_tests.clients import met
from contract_tests.clients.directives.base import Directive, Family
from contract_tests.clients.directives.menu import plain
from contract_tests.clients.properties.base import Grade, Judgement, Policy, Property
from contract_tests.clients.story import Ending, Story

_PLAINER = 3
# Plainer directives that are tried in place of one: the menu begins with the plainest.

_LONG = 200
_LONG_SHARE = 10
# Calls of a story that is long; and how many of such calls there may be for each example of the exploration. Then what
# is known to make long stories is left out: a client that polls on for a quarter of an hour does so every time.

Directives = tuple[Directive, ...]
Play = Callable[[Directives], Story]
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
    directives: Directives = ()
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
        met: what the client met, and how often; see `met.by_kind`.
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
        confirm: how often a failure of timing is played again; others are once.
        progress: told after each scenario how many there have been.
        unending: told once that the client does not end by itself, so that nobody needs to wait as long for it again.
        play_many: plays scenarios, perhaps several at once, and returns their stories in their order; by default it is
            `play`, one after another.
    """

    def __init__(
        self,
        play: Play,
        properties: Sequence[Property],
        policy: Policy,
        *,
        seed: int = 0,
        confirm: int = 1,
        progress: Callable[[int], None] = lambda _: None,
        unending: Callable[[], None] = lambda: None,
        play_many: Callable[[Iterable[Directives]], Iterable[Story]] | None = None,
    ) -> None:
        self._play = play
        self._play_many = play_many or partial(map, play)
        self._properties = properties
        self._policy = policy
        self._seed = seed
        self._confirm = confirm
        self._progress = progress
        self._unending = unending
        self._replays: dict[str, Story] = {}
        # Families of which a directive alone made a story long; "" when it was long where all went well.
        self._long: set[str] = set()
        self._long_calls = 0
        self._most_long_calls = 0
        self._families: frozenset[Family] = frozenset().union(*(one.families for one in properties))
        self.found = Exploration({one.id: Finding(one) for one in properties})

    def run(self, examples: int, given: Directives = ()) -> Exploration:
        """
        Play one scenario in which all goes well, and then the menu and what Hypothesis draws.

        Args:
            examples: how many scenarios in all.
            given: the one to play after the first, in place of all others.
        """
        self._most_long_calls = _LONG_SHARE * examples
        for story in self._play_many([(), given] if given else self._scenarios(examples)):
            self._weigh(tuple(story.directives), story)
        if self.found.examples < examples:  # some were left out, since they could tell nothing new
            self._progress(examples)
        return self.found

    def _scenarios(self, examples: int) -> Iterator[Directives]:
        # What comes next is chosen when it is asked for, by what is known then.
        played = 0
        for directives in islice(menu(self._families, self._seed), examples):
            if self._may_tell(directives):
                played += 1
                yield directives
        open_ = any(finding.judgement is None for finding in self.found.findings.values())
        if played < examples and self._families and open_:
            # Hypothesis takes a tenth of a second to import, and a short run does without.
            from contract_tests.clients.directives.drawn import drawn

            yield from filter(self._may_tell, drawn(self._families, examples - played, self._seed))

    def _may_tell(self, directives: Directives) -> bool:
        """Whether a scenario can still show something new: not if all that it is about has failed already."""
        families = {directive.family for directive in directives}
        if self._long_calls > self._most_long_calls and ("" in self._long or families & self._long):
            return False
        about = [one for one in self._properties if one.families & families]
        return not about or any(self.found.findings[one.id].judgement is None for one in about)

    def _weigh(self, directives: Directives, story: Story) -> None:
        found = self.found
        found.examples += 1
        found.requests += len(story.requests)
        met.note(story, found.met)
        self._replays.clear()
        if self._count_long(story) and len(directives) < 2:
            self._long.add(directives[0].family if directives else "")
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
        if story.outcome.ending is Ending.HUNG and self._never_ends(story):
            self._unending()
        self._progress(found.examples)

    def _count_long(self, story: Story) -> bool:
        """Return whether a story is long, and count its calls if it is."""
        calls = len(story.requests)
        self._long_calls += calls if calls > _LONG else 0
        return calls > _LONG

    def _never_ends(self, story: Story) -> bool:
        """Whether it is settled that the client goes on for ever: by C10, or, if that is not looked for, by a story."""
        if "C10" in self.found.findings:
            return self.found.findings["C10"].judgement is not None
        return story.outcome.at > self._policy.deadline

    def _settle(self, finding: Finding, directives: Directives, story: Story, judgement: Judgement) -> None:
        """Make a failure small, and see it again."""
        finding.judgement, finding.directives, finding.story = judgement, directives, story
        while self._shrink(finding):
            pass
        tries = self._confirm if finding.property.timing else 1
        again = [self._replayed(finding.directives)] if tries == 1 else self._played_again(finding.directives, tries)
        seen = sum(finding.property.judge(story, self._policy).grade is Grade.FAIL for story in again)
        finding.seen = (seen, tries)

    def _shrink(self, finding: Finding) -> bool:
        """Look for a smaller scenario that shows the same failure; return whether there is one."""
        for fewer in _smaller(finding.directives):
            tried = self._again(fewer, finding.property)
            if tried is not None:
                finding.directives, (finding.story, finding.judgement) = fewer, tried
                return True
        return False

    def _again(self, directives: Directives, one: Property) -> tuple[Story, Judgement] | None:
        story = self._replayed(directives)
        judgement = one.judge(story, self._policy)
        return (story, judgement) if judgement.grade is Grade.FAIL else None

    def _replayed(self, directives: Directives) -> Story:
        """Play a scenario once more; several properties that fail in the same story share its replays."""
        key = repr(directives)
        if key not in self._replays:
            self._replays[key] = self._play(directives)
            self._count_long(self._replays[key])
            self.found.replays += 1
        return self._replays[key]

    def _played_again(self, directives: Directives, tries: int) -> list[Story]:
        self.found.replays += tries
        return list(self._play_many([directives] * tries))


def menu(families: frozenset[Family], seed: int) -> Iterator[Directives]:
    """Return scenarios of no directive, and of one each: of every family one, then of every family another."""
    by_family: dict[Family, list[Directive]] = {}
    for directive in plain():
        if directive.family in families:
            by_family.setdefault(directive.family, []).append(directive)
    luck = random.Random(seed)  # noqa: S311
    columns = list(by_family.values())
    luck.shuffle(columns)
    # Whether the client ever ends comes first: if not, nobody needs to wait for it again.
    columns.sort(key=lambda column: column[0].family is not Family.ENDLESS_JOB)
    for column in columns:
        luck.shuffle(column)
    yield ()
    for directive in chain.from_iterable(zip_longest(*columns)):
        if directive is not None:
            yield (directive,)


def _smaller(directives: Directives) -> Iterator[Directives]:
    """Return what is smaller by a directive, and then what has a plainer one of its family in place of one."""
    for index in range(len(directives)):
        yield (*directives[:index], *directives[index + 1 :])
    shortest = plain()
    for index, directive in enumerate(directives):
        plainer = list(takewhile(directive.__ne__, (one for one in shortest if one.family is directive.family)))
        for other in plainer[:_PLAINER]:
            yield (*directives[:index], other, *directives[index + 1 :])
