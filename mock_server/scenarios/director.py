"""Tells a tenant what its scenario has in store: for a job, an answer, a webhook. Counts the calls."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from mock_server.identity import Source
from mock_server.model import Delivery, Order, Plan
from mock_server.scenarios import editing
from mock_server.scenarios.rules import Dispatch, Fate, Scenario, Seen, Target, Turn, Twist

MAGIC = re.compile(r"\[mock:([a-z0-9-]+)(?:=([^\]]*))?\]")
"""What a prompt may hold to choose what becomes of its job: `[mock:fail]`, `[mock:fail=REASON]`, `[mock:SCENARIO]`."""


class Director:
    """
    The scenario of one tenant, as it unfolds.

    Args:
        scenario: returns the scenario, which may be another one from call to call.
        source: what is left to chance is drawn from it.
        named: returns the ready-made scenario of a name that stands in a prompt, or None; itself None, prompts are
            only prompts.
        failure: the reason of `[mock:fail]`.
    """

    def __init__(
        self,
        scenario: Callable[[], Scenario],
        source: Source,
        named: Callable[[str], Scenario | None] | None,
        failure: str,
    ) -> None:
        self._scenario = scenario
        self._source = source
        self._named = named
        self._failure = failure
        self._calls: Counter[tuple[Target, int]] = Counter()
        self._seen: Counter[tuple[str, int]] = Counter()

    def plan(self, plan: Plan, order: Order, job: int) -> Plan:
        """Return what the scenario makes of the plan for the job number `job`."""
        scenario = self._scenario_of(order)
        if scenario.rules:
            fate = scenario.pick(Target.JOB, order, job=job, call=1, share=self._share(Target.JOB, job, 1))
            plan = fate.apply(plan) if isinstance(fate, Fate) else plan
        token = self._token(order)
        if token and token[1] == "fail":
            plan = replace(plan, failure=token[2] or self._failure)
        return plan

    def has_nothing_for(self, order: Order) -> bool:
        """Whether no rule is about jobs that were ordered so."""
        return not self._scenario_of(order).rules

    def turn(self, target: Target, order: Order, job: int, status: str | None = None) -> Turn | None:
        """
        Count a call; return the turn that it takes (seconds are the tenant's), or None when all goes well.

        Args:
            target: what is called.
            order: what the job is, or would be, an order for.
            job: its number.
            status: what a fetch would answer; None for what is no fetch.
        """
        scenario = self._scenario_of(order)
        if not scenario.rules:
            return None
        counted = (target, 0) if target in {Target.GENERATE, Target.EDITS} else (target, job)
        self._calls[counted] += 1
        call = self._calls[counted]
        seen = None
        if status is not None:
            self._seen[status, job] += 1
            seen = Seen(status, self._seen[status, job])
        effect = scenario.pick(target, order, job=job, call=call, share=self._share(target, job, call), seen=seen)
        if not isinstance(effect, Twist):
            return None
        seconds = effect.delay.draw(self._share(target, job, call, "delay"), self._share(target, job, call, "more"))
        return Turn(effect, seconds)

    def dispatch(self, order: Order, job: int) -> Dispatch:
        """Return how often, when and how late the webhook of the job number `job` is sent."""
        return self._dispatch(order, job, 1)

    def parcel(self, delivery: Delivery, order: Order, job: int) -> Delivery | None:
        """Count a sending of the webhook of the job number `job`; return it as it is sent, None when it gets lost."""
        if self.has_nothing_for(order):
            return delivery
        self._calls[Target.HOOK, job] += 1
        sending = self._calls[Target.HOOK, job]
        effect = self._dispatch(order, job, sending)
        if not effect.copies:
            # What a rule for all sendings drops, or for the first, is not sent by itself: somebody asks for it.
            return None if effect.lost and sending > 1 else delivery
        kind = delivery.content_type if effect.content_type is None else effect.content_type
        body = editing.edited(effect.edit, delivery.body)[: effect.body_bytes]
        return replace(delivery, body=body, content_type=kind)

    def _dispatch(self, order: Order, job: int, sending: int) -> Dispatch:
        scenario = self._scenario_of(order)
        if not scenario.rules:
            return Dispatch()
        share = self._share(Target.HOOK, job, sending)
        effect = scenario.pick(Target.HOOK, order, job=job, call=sending, share=share)
        return effect if isinstance(effect, Dispatch) else Dispatch()

    def unknown_magic(self, order: Order) -> str | None:
        """Return the name in a prompt's token that is no scenario, or None."""
        token = self._token(order)
        known = token is None or token[1] == "fail" or self._named is None or self._named(token[1]) is not None
        return None if known or token is None else token[1]

    @property
    def scenario(self) -> Scenario:
        """The scenario that is played for prompts that name none."""
        return self._scenario()

    def use(self, scenario: Callable[[], Scenario]) -> None:
        """Go on with another scenario; calls are counted from 1 again."""
        self._scenario = scenario
        self._calls.clear()
        self._seen.clear()

    def _token(self, order: Order) -> re.Match[str] | None:
        if self._named is None or "[mock:" not in order.prompt:
            return None
        return MAGIC.search(order.prompt)

    def _scenario_of(self, order: Order) -> Scenario:
        token = self._token(order)
        chosen = self._named(token[1]) if token and self._named else None
        return chosen or self._scenario()

    def _share(self, target: Target, job: int, call: int, what: str = "") -> float:
        return self._source.share(f"{target}/{job}/{call}/{what}")
