"""What a check found: kinds of findings, how bad they are, and findings of the same kind counted as one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from contract_tests.exchanges import Place

_EXAMPLE_LIMIT = 120
MOST_KINDS = 1000
"""Kinds of findings that are told apart, of one host. Any number of new names must not fill the memory."""
MOST_AT_A_PLACE = 20
"""Of these, how many of one rule may be at one place: so many values that nobody knows are no longer news."""


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
    Rule("body/not-json", "the body is no JSON", True, "look at status and Content-Type before you parse"),
    Rule("body/content-type", "JSON came under a Content-Type that is not JSON's", True,
         "parse the body whatever its Content-Type is", Severity.WARNING),
    Rule("field/missing", "a required field is gone", True, "read it with a default, and cope without it"),
    Rule("field/unknown", "a field came that the contract does not know", False,
         "ignore it, or take it over with --patch"),
    Rule("type/changed", "a value has another type", True, "check every use of it, and take both types"),
    Rule("value/unknown", "a value came that is not a known one", True, "treat an unknown status as not final"),
    Rule("value/constraint", "a value breaks a rule about its form", True, "do not rely on its form"),
    Rule("status/unknown", "an HTTP status that the contract does not know", True,
         "take any 2xx as accepted, any 4xx as refused, any 5xx as worth a retry"),
    Rule("message/changed", "an error has another message", False, "tell errors apart by status, not by message"),
    Rule("request/accepted", "a request was accepted that the contract forbids", False,
         "do not rely on its being refused"),
    Rule("request/refused", "a request was refused that the contract allows", True,
         "read why, and send only what is taken",
         Severity.WARNING),
    Rule("job/order", "a job went from one status to another that cannot follow", True,
         "never take a final status back"),
    Rule("job/ids", "ids of the same job differ", True, "keep to the id that the submission gave", Severity.WARNING),
    Rule("job/reused", "two orders were given the same job id", True, "tell your orders apart by an id of your own",
         Severity.WARNING),
    Rule("job/result", "a finished job has another result when it is fetched again", True,
         "keep the result that came first", Severity.WARNING),
    Rule("job/hook", "a webhook's body differs from the final fetch", True,
         "take a webhook as a hint, and fetch the result"),
    Rule("job/image-host", "an image lies on another host", True, "allow the new host wherever you download"),
    Rule("job/image-gone", "the image of a job is not there", True,
         "download an image as soon as its job has ended, and keep it"),
    Rule("job/image-failed", "an image could not be downloaded just then", True,
         "try again once or twice, and do not order again", Severity.WARNING),
    Rule("job/price", "a job cost another amount than its mode's price", True, "compare the bill with your budget"),
    Rule("job/echo", "the result names something else than was ordered", True,
         "compare the result with the order before use"),
    Rule("job/unfinished", "a job's end was not recorded", False, "record until the job has ended"),
    Rule("verify/status", "a call was answered with another HTTP status", True, "handle what came as well"),
    Rule("verify/no-answer", "a call was not answered", True, "see whether the network is to blame; set a timeout"),
    Rule("verify/key-refused", "the given key does not open the API", False, "check the key", Severity.ERROR),
    Rule("verify/key-accepted", "a call with a bad key was accepted", False, "tell the vendor", Severity.ERROR),
    Rule("verify/accepted", "an order was accepted that must be refused", False, "look at the bill", Severity.ERROR),
    Rule("verify/refused", "an order was refused", True, "see whether there is quota left", Severity.WARNING),
    Rule("verify/unknown-job", "a job that does not exist has a status", True, "do not tell jobs by asking"),
    Rule("verify/fetch-form", "a documented way to fetch a job does not work", True, "fetch by POST of JSON"),
    Rule("verify/charged", "a job was charged otherwise than planned", True, "look at the bill"),
    Rule("verify/charge-unknown", "what was charged cannot be told", True, "look at the bill", Severity.WARNING),
    Rule("verify/job-failed", "an ordinary job failed", False, "read its reason, and run again", Severity.WARNING),
    Rule("verify/unfinished", "a job did not end in time", False, "run again with more patience", Severity.WARNING),
    Rule("verify/image", "an image is not what its job says", True, "check what you download"),
    Rule("verify/stopped", "the run ended before its plan was done", False, "mend what ended it, and run again",
         Severity.ERROR),
    Rule("verify/hook", "a webhook did not come", True, "do not rely on it; poll as well", Severity.WARNING),
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
class Effect:
    """
    What a finding means for one client.

    Args:
        finding: what was found.
        breaking: whether the client fails for it; None when that cannot be told.
        why: what the client did, or why nothing can be told.
    """

    finding: Finding
    breaking: bool | None
    why: str


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
    """
    Counts notes of the same kind.

    What comes after `MOST_KINDS`, or `MOST_AT_A_PLACE`, is counted all the same, but under one note for many.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, ...], _Count] = {}
        self._at_places: Counter[tuple[str, ...]] = Counter()

    def note(self, note: Note, place: Place) -> None:
        """Count one."""
        count = self._counts.get(note[:4])
        if count is None:
            note = self._told_apart(note)
            count = self._counts.get(note[:4])
        if count is None:
            self._counts[note[:4]] = _Count(note, place)
            self._at_places[note[:3]] += 1
        else:
            count.times += 1

    def _told_apart(self, note: Note) -> Note:
        """Return a note of a new kind, or the one that stands for it where there are too many."""
        if len(self._counts) >= MOST_KINDS:
            # As loud as it is: what is sure does not go under in what was only assumed.
            return note._replace(pointer="", message=f"more of it than are told one by one ({note.fact.confidence})")
        if self._at_places[note[:3]] >= MOST_AT_A_PLACE:
            return note._replace(message="more of it than are told one by one")
        return note

    def kinds(self) -> list[Note]:
        """Return the first note of each kind, in the order in which they came."""
        return [count.note for count in self._counts.values()]

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
