"""What the emulator will do, as data: rules that match calls, and what then happens. Pure.

`schemas/scenario.schema.json` says how a scenario is written; this module is what one means. For every call the first
rule that matches applies. Where none does, all goes well, so that any rule can be left out.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from mock_server.model import Order, Plan

_ENDLESS = 10**12
_PROMPT_LOOKED_AT = 2000


class Target(StrEnum):
    """What a rule can be about."""

    JOB = "job"
    GENERATE = "generate"
    EDITS = "edits"
    FETCH = "fetch"
    IMAGE = "image"
    HOOK = "hook"


@dataclass(frozen=True, slots=True)
class Where:
    """Which orders a rule is for; None is all. The pattern sees the first 2,000 characters of a prompt."""

    prompt: str | None = None
    prompt_pattern: re.Pattern[str] | None = None
    mode: str | None = None
    size: str | None = None

    def fits(self, order: Order) -> bool:
        """Whether `order` is one of them."""
        return (
            (self.prompt is None or self.prompt.lower() in order.prompt.lower())
            and (
                self.prompt_pattern is None
                or self.prompt_pattern.search(order.prompt, 0, _PROMPT_LOOKED_AT) is not None
            )
            and (self.mode is None or self.mode == order.mode)
            and (self.size is None or self.size == order.size)
        )


@dataclass(frozen=True, slots=True)
class Span:
    """Numbers from `first` to `last`, and of these every `step`-th."""

    first: int = 1
    last: int = _ENDLESS
    step: int = 1

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last and (number - self.first) % self.step == 0


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a job; None leaves it as it would have been. Times are seconds."""

    fail: str | None = None
    queue_seconds: float | None = None
    run_seconds: float | None = None

    def apply(self, plan: Plan) -> Plan:
        """Return `plan`, changed."""
        return replace(
            plan,
            failure=self.fail if self.fail is not None else plan.failure,
            queue_seconds=plan.queue_seconds if self.queue_seconds is None else self.queue_seconds,
            run_seconds=plan.run_seconds if self.run_seconds is None else self.run_seconds,
        )


@dataclass(frozen=True, slots=True)
class Delay:
    """Seconds, drawn: "fixed" is `a`; "uniform" lies between `a` and `b`; "lognormal" has median `a` and sigma `b`."""

    kind: str = "fixed"
    a: float = 0.0
    b: float = 0.0

    def draw(self, share: float, other: float) -> float:
        """Return the seconds that two independent shares, each from 0 to 1, give."""
        if self.kind == "uniform":
            return self.a + (self.b - self.a) * share
        if self.kind == "lognormal":
            # Box and Muller's way to a normal number; a share of 0 has no logarithm.
            normal = math.sqrt(-2 * math.log(max(share, 1e-12))) * math.cos(2 * math.pi * other)
            return min(self.a * math.exp(min(self.b * normal, 700.0)), 86400.0)
        return self.a


@dataclass(frozen=True, slots=True)
class Edit:
    """What is different about a body: another text, JSON pointers set and removed, names changed, another coding."""

    body: str | None = None
    set: Mapping[str, Any] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    coding: str | None = None


@dataclass(frozen=True, slots=True)
class Twist:
    """What is different about an answer. `wire` holds the fields of an HTTP server's Wire, but for the delay."""

    accepted: bool = True
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    edit: Edit = Edit()
    redirect: str | None = None
    delay: Delay = Delay()
    wire: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Turn:
    """The twist that one call takes, and the real seconds that its answer is late."""

    twist: Twist
    seconds: float


class Moment(StrEnum):
    """When a webhook is sent first."""

    JOB_ENDS = "the job ends"
    BEFORE_ANSWER = "before the submit answer"
    """The job ends at once, and the answer to its submission waits until the webhook has arrived."""
    AFTER_FINAL_FETCH = "after the final fetch"
    """Not before a fetch has shown the job's final state."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """
    What is different about a webhook.

    Args:
        copies: how often it is sent; 0 is never.
        lost: the sending gets lost on its way, even one that is made by hand.
        delay: how late, in seconds.
        when: what it waits for.
        edit: what is different about its body.
        body_bytes: only so many bytes of the body are sent; None sends all.
        content_type: says that the body is of another type; "" says nothing.
    """

    copies: int = 1
    lost: bool = False
    delay: float = 0.0
    when: Moment = Moment.JOB_ENDS
    edit: Edit = Edit()
    body_bytes: int | None = None
    content_type: str | None = None


Effect = Fate | Twist | Dispatch


@dataclass(frozen=True, slots=True)
class Seen:
    """The status that a fetch would answer if all went well, and which fetch of the job it is that would."""

    state: str
    call: int


@dataclass(frozen=True, slots=True)
class Rule:
    """When something happens, and what. With a `state`, `calls` counts only the fetches that would answer it."""

    on: frozenset[Target]
    then: Effect
    where: Where = Where()
    job: Span = Span()
    state: str | None = None
    calls: Span = Span()
    chance: float = 1.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """Rules under a name; `settings` are those that the tenant needs for it."""

    name: str = "all-goes-well"
    story: str = ""
    rules: tuple[Rule, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def pick(
        self, target: Target, order: Order, *, job: int, call: int, share: float, seen: Seen | None = None
    ) -> Effect | None:
        """
        Return what the first rule that matches has happen; None when none does.

        Args:
            target: what the call is about.
            order: what the job is, or would be, an order for.
            job: the number of the job, counted from 1.
            call: the number of the call, counted from 1 for this target and job.
            share: drawn from 0 to 1; a rule with a chance applies when it lies below.
            seen: what a fetch sees of the job; None for what is no fetch.
        """
        for rule in self.rules:
            if (
                target in rule.on
                and _counted(rule, call, seen) in rule.calls
                and job in rule.job
                and share < rule.chance
                and rule.where.fits(order)
            ):
                return rule.then
        return None


def _counted(rule: Rule, call: int, seen: Seen | None) -> int:
    """Return the number of a call as the rule counts; 0, which no span has, when it is for another state."""
    if rule.state is None:
        return call
    return seen.call if seen is not None and seen.state == rule.state else 0


ALL_GOES_WELL = Scenario()
"""What happens without a scenario."""


def all_goes_well() -> Scenario:
    """Return the scenario in which nothing special happens."""
    return ALL_GOES_WELL


def read_scenario(data: Mapping[str, Any]) -> Scenario:
    """
    Return the scenario that `data` describes, which fits `schemas/scenario.schema.json`.

    Raises:
        ValueError: a `prompt_pattern` is no regular expression of Python.
    """
    return Scenario(
        name=data["name"],
        story=data.get("story", ""),
        rules=tuple(_rule(_with_ints(rule)) for rule in data["rules"]),
        settings=data.get("settings", {}),
    )


def read_pattern(text: str) -> re.Pattern[str]:
    """Return the regular expression that `text` is; raises ValueError with what is wrong in Python's words."""
    try:
        with warnings.catch_warnings():
            # That another version of Python may read it otherwise is nothing to stop for.
            warnings.simplefilter("ignore", FutureWarning)
            return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"expected a regular expression (regex) in the syntax of Python: {error}") from None


def _with_ints(value: Any) -> Any:
    """Return `value` with 2 for 2.0, which JSON Schema takes for an integer too; what goes into bodies stays."""
    if isinstance(value, Mapping):
        return {name: inner if name == "set" else _with_ints(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_ints(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _rule(data: Mapping[str, Any]) -> Rule:
    on, where = data["on"], dict(data.get("where", {}))
    if "prompt_pattern" in where:
        where["prompt_pattern"] = read_pattern(where["prompt_pattern"])
    job = data.get("job")
    return Rule(
        on=frozenset({Target.GENERATE, Target.EDITS} if on == "submit" else {Target(on)}),
        then=_effect(on, data["then"], "calls" in data),
        where=Where(**where),
        job=Span(*job) if isinstance(job, list) else Span() if job is None else Span(job, job),
        state=data.get("state"),
        calls=_calls(data.get("calls", {})),
        chance=data.get("chance", 1.0) if data.get("chance", 1.0) < 1 else math.inf,
    )


def _calls(data: int | Mapping[str, int]) -> Span:
    if isinstance(data, int):
        return Span(data, data)
    every = data.get("every", 1)
    return Span(data.get("from", every), data.get("first", data.get("to", _ENDLESS)), every)


def _effect(on: str, then: Mapping[str, Any], counted: bool) -> Effect:
    if on == "job":
        return Fate(**then)
    fields = dict(then)
    edit = {name: fields.pop(name) for name in ("body", "set", "remove", "rename", "coding") if name in fields}
    fields["edit"] = Edit(**edit | {"remove": tuple(edit.get("remove", ()))})
    if on == "hook":
        dropped = fields.pop("drop", False)
        fields["copies"] = 0 if dropped else then.get("copies", 1)
        fields["lost"] = dropped and counted
        fields["when"] = Moment(then.get("when", Moment.JOB_ENDS))
        return Dispatch(**fields)
    fields["accepted"] = then.get("accepted", then.get("status", 200) < 300 and "redirect" not in then)
    fields["headers"] = tuple(then.get("headers", {}).items())
    fields["delay"] = _delay(then.get("delay", 0.0))
    return Twist(**fields)


def _delay(data: float | Mapping[str, list[float]]) -> Delay:
    if isinstance(data, Mapping):
        ((kind, (a, b)),) = data.items()
        return Delay(kind, a, b)
    return Delay(a=data)
