"""What a check found: kinds of findings, how bad they are, and findings of the same kind counted as one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from contract_tests.exchanges import Place

_EXAMPLE_LIMIT = 120


class Severity(StrEnum):
    """How bad a finding is, the worst first. OFF is never reported."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    OFF = "off"

    @property
    def rank(self) -> int:
        """0 for an error, and more for what is less."""
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


class Confidence(StrEnum):
    """How sure the contract was of what turned out otherwise; NONE where it said nothing."""

    DOCUMENTED = "documented"
    OBSERVED = "observed"
    ASSUMED = "assumed"
    NONE = "none"


class Fact(NamedTuple):
    """
    What the contract says at one place, and why it says so.

    Args:
        file: the schema file, below the folder of its version.
        pointer: JSON pointer into that file.
        sources: S1 to S5; none for what is assumed.
        confidence: how sure it is.
    """

    file: str
    pointer: str
    sources: tuple[str, ...] = ()
    confidence: Confidence = Confidence.NONE


NOTHING = Fact("", "")
"""The contract says nothing about it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """
    One kind of finding.

    Args:
        id: stable, `about/what`.
        title: what it means, for a person.
        breaking: whether a client that believes the contract may break.
        advice: what to do.
        severity: where it does not follow from `breaking` and the contract's confidence.
    """

    id: str
    title: str
    breaking: bool
    advice: str
    severity: Severity | None = None

    def severity_at(self, confidence: Confidence) -> Severity:
        """Return how bad it is when the contract was so sure: what was only assumed is news, and no error."""
        if self.severity is not None:
            return self.severity
        if not self.breaking or confidence is Confidence.ASSUMED:
            return Severity.INFO
        return Severity.WARNING if confidence is Confidence.OBSERVED else Severity.ERROR


def _rules(*rules: Rule) -> Mapping[str, Rule]:
    return {rule.id: rule for rule in rules}


RULES = _rules(
    Rule("body/not-json", "the body is no JSON", True, "look at the status before you parse"),
    Rule("field/missing", "a required field is gone", True, "do not read it without a default"),
    Rule("field/unknown", "a field came that the contract does not know", False, "nothing; add it to the schema"),
    Rule("type/changed", "a value has another type", True, "check every use of the field"),
    Rule("value/unknown", "a value came that is not a known one", True, "treat the unknown as not final"),
    Rule("value/constraint", "a value breaks a rule about its form", True, "do not rely on the form"),
    Rule("status/unknown", "an HTTP status that the contract does not know", True, "handle it as 4xx or 5xx"),
    Rule("message/changed", "an error has another message", False, "do not compare messages"),
    Rule("request/accepted", "a request was accepted that the contract forbids", False, "the API takes more"),
    Rule("request/refused", "a request was refused that the contract allows", True, "it takes less than known",
         Severity.WARNING),
    Rule("job/order", "a job went from one status to another that cannot follow", True, "never un-complete a job"),
    Rule("job/ids", "ids of the same job differ", True, "take the id you asked for", Severity.WARNING),
    Rule("job/hook", "a webhook's body differs from the final fetch", True, "trust the fetch"),
    Rule("job/image-host", "an image lies on another host", True, "do not allow-list the old host alone"),
    Rule("job/price", "a job cost another amount than its mode's price", True, "look at the bill"),
    Rule("job/echo", "the result names something else than was ordered", True, "compare before use"),
    Rule("job/unfinished", "a job's end was not recorded", False, "record longer"),
)  # fmt: skip
"""Every kind of finding, by id."""


class Note(NamedTuple):
    """
    One thing seen once, before it is counted.

    Args:
        rule: id of its rule.
        endpoint: the message it was seen in, such as `fetch.response`.
        pointer: JSON pointer into the message; "" for the whole.
        message: what was expected and what came, without what differs from one time to the next.
        fact: what the contract says there.
        example: the value, as JSON; shortened.
    """

    rule: str
    endpoint: str
    pointer: str
    message: str
    fact: Fact = NOTHING
    example: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """
    Notes of the same kind, counted.

    Args:
        rule: id of its rule.
        severity: how bad it is, after the policy.
        endpoint: the message it was seen in.
        pointer: JSON pointer into the message.
        message: what was expected and what came.
        count: how often.
        place: where it was seen first.
        fact: what the contract says there.
        example: the first value, as JSON.
        breaking: whether a client that believes the contract may break.
        host: where it was seen.
        contract: version that it was held against.
    """

    rule: str
    severity: Severity
    endpoint: str
    pointer: str
    message: str
    count: int
    place: Place
    fact: Fact
    example: str
    breaking: bool
    host: str = ""
    contract: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """
    What a user wants to be told, and how loud.

    Args:
        severities: by rule id, or by its first part and a star (`job/*`).
    """

    severities: Mapping[str, Severity] = field(default_factory=dict)

    def severity(self, rule: Rule, confidence: Confidence) -> Severity:
        """Return how bad a finding is."""
        chosen = self.severities.get(rule.id) or self.severities.get(f"{rule.id.partition('/')[0]}/*")
        return chosen or rule.severity_at(confidence)


@dataclass(slots=True)
class _Count:
    note: Note
    place: Place
    times: int = 1


class Tally:
    """Counts notes of the same kind."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, ...], _Count] = {}

    def note(self, note: Note, place: Place) -> None:
        """Count one."""
        key = note[:4]
        count = self._counts.get(key)
        if count is None:
            self._counts[key] = _Count(note, place)
        else:
            count.times += 1

    def __len__(self) -> int:
        return len(self._counts)

    def findings(self, policy: Policy, host: str = "", contract: str = "") -> Iterator[Finding]:
        """Return what was counted, without what the policy switches off."""
        for count in self._counts.values():
            note, rule = count.note, RULES[count.note.rule]
            severity = policy.severity(rule, note.fact.confidence)
            if severity is not Severity.OFF:
                yield Finding(
                    rule=rule.id,
                    severity=severity,
                    endpoint=note.endpoint,
                    pointer=note.pointer,
                    message=note.message,
                    count=count.times,
                    place=count.place,
                    fact=note.fact,
                    example=note.example,
                    breaking=rule.breaking,
                    host=host,
                    contract=contract,
                )


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings, the worst and most frequent first, and equal ones always in the same order."""
    return sorted(findings, key=lambda it: (it.severity.rank, -it.count, it.rule, it.endpoint, it.pointer, it.message))


def as_example(value: object) -> str:
    """Return a value as JSON, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _EXAMPLE_LIMIT else text[: _EXAMPLE_LIMIT - 1] + "…"
