"""What can be said of a client that had to be ended early: only what does not hang on how it would have ended."""

from __future__ import annotations

from dataclasses import replace

from contract_tests.clients.properties.base import NOT_EXERCISED, Judgement, Policy, Property
from contract_tests.clients.story import Ending, Outcome, Story

_ENDINGS = (Ending.FAILED, Ending.RETURNED, Ending.HUNG)
# In the order of whose words are told: the first speak of what was seen on the wire.


def careful(one: Property) -> Property:
    """
    Return a property that accuses nobody of what was cut short.

    In a simulation a client that hangs had all the time that was declared. A process is ended much earlier, and may
    have been about to report failure, or success. Judged is then each way in which it might have ended: where they do
    not all come to the same, the property was not exercised.
    """

    def judge(story: Story, policy: Policy) -> Judgement:
        if not any(_is_cut(outcome, policy) for outcome in story.outcomes):
            return one.judge(story, policy)
        judgements = [one.judge(_with(story, ending, policy), policy) for ending in _ENDINGS]
        return judgements[0] if len({judgement.grade for judgement in judgements}) == 1 else NOT_EXERCISED

    return replace(one, judge=judge)


def _is_cut(outcome: Outcome, policy: Policy) -> bool:
    return outcome.ending is Ending.HUNG and outcome.at < policy.deadline


def _with(story: Story, ending: Ending, policy: Policy) -> Story:
    """Return the story as if the clients that were ended had ended so."""
    outcomes = [replace(outcome, ending=ending) if _is_cut(outcome, policy) else outcome for outcome in story.outcomes]
    return replace(story, outcomes=outcomes)
