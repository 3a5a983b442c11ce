"""Makes a scenario of what a check found: the emulator then answers in the way that has drifted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from contract_tests.asserting import validate
from contract_tests.checker import Report
from contract_tests.exchanges import Endpoint, Exchange, Trouble
from contract_tests.findings import Finding
from contract_tests.messages import Parsed, is_submission
from contract_tests.scenario_making.answers import Then
from contract_tests.scenario_making.making import Recording, collect
from contract_tests.scenario_making.oddities import Played, Reading, read
from contract_tests.scenario_making.remarks import Remarks
from contract_tests.scenario_making.writing import Draft, name_of
from mock_server.model import JobState
from mock_server.scenarios.rules import Target

_Key = tuple[str, str, str, str]

_FINAL = {JobState.SUCCESS.value, JobState.FAILED.value}
_ABOUT_JOBS = "job/"


class _Case(NamedTuple):
    """One drifted message: what a rule has to do, and what it is on; `final` is how its job must end."""

    on: Target
    then: Then
    state: str | None = None
    final: str | None = None
    reason: str | None = None


@dataclass(slots=True)
class _Slot:
    """One job that shows several drifts: one in each state, and one in its webhook."""

    final: str | None = None
    reason: str | None = None
    thens: dict[tuple[Target, str | None], Then] = field(default_factory=dict)

    def takes(self, case: _Case) -> bool:
        return (case.on, case.state) not in self.thens and (case.final is None or self.final in {None, case.final})

    def take(self, case: _Case) -> None:
        self.thens[case.on, case.state] = case.then
        self.final = self.final or case.final
        self.reason = self.reason or case.reason


def drafted(report: Report, recordings: Iterable[Iterable[Exchange | Trouble]], file: Path) -> Draft | None:
    """
    Return the scenario that shows what was found in messages; None when there was nothing, or none of it can be shown.

    Args:
        report: what came of the check.
        recordings: what was checked, read once more.
        file: for which it is.
    """
    wanted = {_key(finding): finding for finding in report.findings}
    if not wanted:
        return None
    gathered = Recording()
    for recorded in recordings:
        collect(recorded, gathered)
    version = _version(report, gathered.messages)
    reading = read(gathered.messages, gathered.hook_urls, version, Remarks(), own_images=False)
    shown: set[_Key] = set()
    refusals: list[_Case] = []
    submissions: list[_Case] = []
    slots: list[_Slot] = []
    for message, whole in _cases(reading, gathered.messages):
        case = whole
        found = {_key(one) for one in validate(message.exchange, version)} & wanted.keys()
        new = {key for key in found - shown if _shows(whole.then, key)}
        if not new:
            continue
        shown |= new
        if len(wanted) == 1:  # one finding is to be shown, and no other that its message has
            case = whole._replace(then=_alone(whole.then, *new))
        if case.then.get("status", 200) >= 300 or case.then.get("accepted") is False:
            refusals.append(case)
        elif case.on in {Target.GENERATE, Target.EDITS}:
            submissions.append(case)
        else:
            _place(case, slots)
    rules = [
        *_numbered(refusals, lasts=False),
        *_numbered(submissions, lasts=True, after=Counter(c.on for c in refusals)),
    ]
    rules += _of_slots(slots)
    missed = [_words(finding) for key, finding in wanted.items() if key not in shown]
    if not rules:
        return Draft(name_of(file.stem), "", remarks=missed)
    head = f"Made of what `fluxmock check` found. {_how_many(slots)}"
    return Draft(name_of(file.stem), _story(wanted, shown), dict(reading.settings), rules, head, missed, "Not shown:")


def _version(report: Report, messages: Sequence[Parsed]) -> str:
    hosts = Counter(message.host for message in messages if message.host in report.contracts)
    host = max(report.contracts, key=lambda name: hosts[name])
    return report.contracts[host].version


def _key(finding: Finding) -> _Key:
    return finding.rule, finding.endpoint, finding.pointer, finding.message


def _cases(reading: Reading, messages: Sequence[Parsed]) -> Iterator[tuple[Parsed, _Case]]:
    """Yield every message whose oddity a rule can show."""
    counted = set()
    for endpoint, calls in reading.submissions.items():
        for call in calls:
            counted.add(id(call.message))
            if call.then:
                yield call.message, _Case(Target(endpoint.value), call.then)
    for played in reading.jobs:
        for call in played.fetches:
            counted.add(id(call.message))
            if call.then:
                final = call.state if call.state in _FINAL else None
                yield call.message, _Case(Target.FETCH, call.then, call.state, final, played.life.reason)
        yield from _hooks(played, reading)
    for message in messages:
        # What the emulator refuses by itself has no call of a rule's own: another call shows its answer.
        status = message.exchange.status
        if id(message) not in counted and status is not None and status >= 300 and _is_call(message):
            yield message, _Case(Target(message.endpoint.value), reading.answers.then(message, None, ""))


def _is_call(message: Parsed) -> bool:
    return is_submission(message.endpoint) or message.endpoint is Endpoint.FETCH


def _hooks(played: Played, reading: Reading) -> Iterator[tuple[Parsed, _Case]]:
    for hook in played.job.hooks:
        then = reading.postbox.content(hook, played.job, played.life, first=False)
        if then:
            yield hook, _Case(Target.HOOK, then, None, played.life.final, played.life.reason)


def _shows(then: Then, key: _Key) -> bool:
    """Whether a rule shows a finding."""
    rule, _, pointer, _ = key
    if rule.startswith(_ABOUT_JOBS) or rule == "request/accepted":
        return False
    if {"body", "status", "wire", "body_bytes", "coding"} & then.keys():
        return True
    names = {name for pair in then.get("rename", {}).items() for name in pair}
    if pointer.rpartition("/")[2] in names:
        return True
    return any(_overlap(pointer, other) for other in (*then.get("set", ()), *then.get("remove", ())))


def _alone(then: Then, key: _Key) -> Then:
    """Return of what a rule does that which shows one finding, where it can be told apart."""
    pointer = key[2]
    names = {pointer.rpartition("/")[2]}
    made = {
        **then,
        "set": {other: value for other, value in then.get("set", {}).items() if _overlap(pointer, other)},
        "remove": [other for other in then.get("remove", ()) if _overlap(pointer, other)],
        "rename": {old: new for old, new in then.get("rename", {}).items() if names & {old, new}},
    }
    return {name: value for name, value in made.items() if value not in ({}, [])}


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _place(case: _Case, slots: list[_Slot]) -> None:
    slot = next((slot for slot in slots if slot.takes(case)), None)
    if slot is None:
        slot = _Slot()
        slots.append(slot)
    slot.take(case)


def _numbered(cases: Sequence[_Case], *, lasts: bool, after: Counter[Target] | None = None) -> Iterator[dict[str, Any]]:
    """Yield a rule for one call each; the last, where it `lasts`, is for all calls that are left."""
    counts = Counter(after or {})
    left = Counter(case.on for case in cases)
    for case in cases:
        counts[case.on] += 1
        left[case.on] -= 1
        calls = {} if lasts and not left[case.on] else {"calls": counts[case.on]}
        yield {"on": case.on.value, **calls, "then": case.then}


def _of_slots(slots: Sequence[_Slot]) -> Iterator[dict[str, Any]]:
    for number, slot in enumerate(slots, 1):
        job = {} if len(slots) == 1 else {"job": number}
        if slot.final == JobState.FAILED:
            yield {"on": Target.JOB.value, **job, "then": {"fail": slot.reason or "failed"}}
        for (on, state), then in slot.thens.items():
            yield {"on": on.value, **job, **({} if state is None else {"state": state}), "then": then}


def _how_many(slots: Sequence[_Slot]) -> str:
    if len(slots) < 2:
        return "Every job shows it."
    return f"The first {len(slots)} jobs show it, each something else."


def _story(wanted: Collection[_Key], shown: set[_Key]) -> str:
    places = list(dict.fromkeys(f"{rule} at {endpoint} {pointer}".strip() for rule, endpoint, pointer, _ in shown))
    more = f", and {len(places) - 3} more" if len(places) > 3 else ""
    return f"The API has drifted: {', '.join(sorted(places)[:3])}{more} ({len(shown)} of {len(wanted)} findings)."


def _words(finding: Finding) -> str:
    where = f"{finding.endpoint} {finding.pointer}".strip()
    why = (
        "the language of scenarios has no word for it"
        if finding.rule.startswith(_ABOUT_JOBS)
        else "the emulator refuses such a request before a rule applies"
        if finding.rule == "request/accepted"
        else "no rule can make such an answer"
    )
    return f"{finding.rule} at {where}: {why}"
