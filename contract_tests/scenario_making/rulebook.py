"""Turns what was odd, call by call, into as few rules as say the same."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from statistics import fmean, median, pstdev
from typing import Any

import orjson

from contract_tests.scenario_making.oddities import Call, Played, Reading
from mock_server.model import JobState
from mock_server.scenarios.rules import Target
from mock_server.settings import Settings

_SLOW = 0.3
# Seconds, in the median, from which on an endpoint is slow.
_VERY_SLOW = 1.0
# Seconds from which on a single answer is, among others that are not.
_FEW = 5
# Answers from which on a distribution can be told.

Rule = dict[str, Any]


def rules_of(reading: Reading) -> list[Rule]:
    """Return the rules that play a recording; special ones first, for the first that matches applies."""
    rules = _of_jobs([(one, list(_fate(one))) for one in reading.jobs if one.life.looks or one.life.final])
    for endpoint, calls in reading.submissions.items():
        slow = _delay(calls)
        rules += [{"on": endpoint.value, **rule} for rule in _of_calls(_with_delays(calls, slow))]
        rules += _in_general(endpoint.value, slow)
    rules += _of_target(Target.FETCH, [(one, one.fetches) for one in reading.jobs if one.fetches])
    rules += _of_target(Target.IMAGE, [(one, one.images) for one in reading.jobs if one.images])
    rules += _of_jobs([(one, list(_hooks(one))) for one in reading.jobs if one.job.hooks or one.deliveries.rules])
    return rules


def settings_of(reading: Reading) -> dict[str, Any]:
    """Return the settings that a recording needs."""
    settings: dict[str, Any] = dict(reading.settings)
    retries = max((one.deliveries.retries for one in reading.jobs), key=len, default=())
    if retries:
        settings["hook_retry"] = ",".join(f"{seconds:g}" for seconds in retries)
    slots = _most_at_once(reading.jobs)
    if slots > Settings().slots:
        settings["slots"] = slots
    return settings


def _of_target(target: Target, found: Sequence[tuple[Played, Sequence[Call]]]) -> list[Rule]:
    slow = _delay([call for _, calls in found for call in calls])
    rules = _of_jobs(
        [(one, [{"on": target.value, **rule} for rule in _of_calls(_with_delays(calls, slow))]) for one, calls in found]
    )
    return rules + _in_general(target.value, slow)


def _fate(played: Played) -> Iterator[Rule]:
    life = played.life
    fate: Rule = {}
    if life.final == JobState.FAILED:
        fate["fail"] = life.reason or "failed"
    if life.queue_seconds is not None:
        fate["queue_seconds"] = _number(life.queue_seconds)
    if life.run_seconds is not None:
        fate["run_seconds"] = _number(life.run_seconds)
    if fate:
        yield {"on": Target.JOB.value, "then": fate}


def _number(seconds: float) -> float:
    return int(seconds) if seconds == int(seconds) else seconds


def _hooks(played: Played) -> Iterator[Rule]:
    for sending, then in played.deliveries.rules:
        yield {"on": Target.HOOK.value, **({} if sending is None else {"calls": sending}), "then": then}


def _of_calls(calls: Sequence[Call]) -> list[Rule]:
    """Return the rules of calls that are counted together, for each state that they saw."""
    special: list[Rule] = []
    general: list[Rule] = []
    for state in dict.fromkeys(call.state for call in calls):
        mine = [call for call in calls if call.state == state]
        number = 0
        for run in (list(same) for _, same in groupby(mine, key=_key)):
            first, number = number + 1, number + len(run)
            if not run[0].then:
                continue
            head: Rule = {} if state is None else {"state": state}
            if number < len(mine) or not _lasts(run[0], first):
                special.append({**head, "calls": _span(first, number), "then": run[0].then})
            else:
                general.append({**head, **({} if first == 1 else {"calls": {"from": first}}), "then": run[0].then})
    return special + general


def _lasts(call: Call, first: int) -> bool:
    """Whether an oddity that was seen to the last is how it is from then on, and not an accident."""
    then = call.then
    if (
        call.message.exchange.status is None
        or call.message.exchange.status >= 300
        or "wire" in then
        or then.keys() == {"delay"}
    ):
        return False
    return first == 1 or then.get("set", {}).get("/status") not in list(JobState)  # a list, for it may be anything


def _span(first: int, last: int) -> int | Rule:
    if first == last:
        return first
    return {"first": last} if first == 1 else {"from": first, "to": last}


def _key(call: Call) -> bytes:
    return orjson.dumps(call.then, option=orjson.OPT_SORT_KEYS)


def _of_jobs(found: Sequence[tuple[Played, list[Rule]]]) -> list[Rule]:
    """Return rules for jobs: for all where they have them in common, else by number."""
    if not found:
        return []
    wording = [orjson.dumps(rules, option=orjson.OPT_SORT_KEYS) for _, rules in found]
    if len(set(wording)) == 1:
        return found[0][1]
    rules: list[Rule] = []
    for _, group in groupby(zip(wording, found, strict=True), key=lambda one: one[0]):
        jobs = [one for _, one in group]
        numbers = [played.job.number for played, _ in jobs]
        for rule in jobs[0][1]:
            on, rest = rule["on"], {name: value for name, value in rule.items() if name != "on"}
            rules.append({"on": on, "job": numbers[0] if len(numbers) == 1 else [numbers[0], numbers[-1]], **rest})
    return rules


# Latency


def _delay(calls: Sequence[Call]) -> Any:
    """Return how late answers are in general; None when it is not worth playing."""
    times = [time for call in calls if (time := _elapsed(call)) is not None]
    if len(times) < 2 or median(times) < _SLOW:
        return None
    middle = round(median(times), 3)
    if len(times) < _FEW:
        return middle
    logs = [math.log(time) for time in times]
    return {"lognormal": [middle, round(pstdev(logs, fmean(logs)), 2)]}


def _with_delays(calls: Sequence[Call], slow: Any) -> list[Call]:
    """Return calls whose oddity includes that they were late."""
    found = []
    for call in calls:
        elapsed = _elapsed(call)
        delay = slow if slow is not None and call.then else None
        if slow is None and elapsed is not None and elapsed >= _VERY_SLOW:
            delay = round(elapsed, 3)
        late = delay is not None and "delay" not in call.then
        found.append(call._replace(then={**call.then, "delay": delay}) if late else call)
    return found


def _elapsed(call: Call) -> float | None:
    exchange = call.message.exchange
    return exchange.elapsed if exchange.status is not None and exchange.elapsed else None


def _in_general(on: str, slow: Any) -> list[Rule]:
    return [] if slow is None else [{"on": on, "then": {"delay": slow}}]


def _most_at_once(jobs: Iterable[Played]) -> int:
    moves = []
    for one in jobs:
        start = None if one.job.submission is None else one.job.submission.exchange.at
        if start is not None:
            begun = start + (one.life.queue_seconds or 0.0)
            moves += [(begun, 1), (begun + (one.life.run_seconds or 0.0), -1)]
    most = now = 0
    for _, change in sorted(moves):
        now += change
        most = max(most, now)
    return most
