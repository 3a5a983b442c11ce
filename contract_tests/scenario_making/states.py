"""A job's fetches as states and durations: which state each of them saw, and when the job came into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from contract_tests.messages import Parsed
from contract_tests.scenario_making.stories import Job
from contract_tests.scenario_making.wording import Mask
from mock_server.contract import Contract
from mock_server.model import JobState

FOREVER = 31_536_000
"""Seconds that a job takes whose end nobody saw: a year."""

_FINAL = (JobState.SUCCESS.value, JobState.FAILED.value)
_PENDING, _RUNNING = JobState.PENDING.value, JobState.RUNNING.value
_RANKS = {_PENDING: 0, _RUNNING: 1, **dict.fromkeys(_FINAL, 2)}


class Look(NamedTuple):
    """One fetch, and the state that the job was in: None when no fetch of it ever told one."""

    message: Parsed
    state: str | None


@dataclass(frozen=True, slots=True)
class Life:
    """
    What became of a job.

    Args:
        looks: its fetches, in order.
        final: SUCCESS, FAILED, or None when nobody saw its end.
        reason: why it failed, in the API's words; None when it gave none.
        queue_seconds: time in PENDING_QUEUE; None leaves it to the emulator.
        run_seconds: time in ON_QUEUE; likewise.
        first_final: instant of the first fetch that saw its end; None when unknown.
        ended: instant of its end, as far as that can be told.
        timed: whether the durations rest on recorded times.
    """

    looks: tuple[Look, ...]
    final: str | None
    reason: str | None = None
    queue_seconds: float | None = None
    run_seconds: float | None = None
    first_final: float | None = None
    ended: float | None = None
    timed: bool = True


def life_of(job: Job, contract: Contract, mask: Mask) -> Life:
    """Return what became of a job, by what was recorded of it; its reason has stand-ins where `mask` puts them."""
    hook = next((found for found in job.hooks if told_state(found.request) in _FINAL), None)
    told = [_told(message) for message in job.fetches]
    states = _states(told, job.fetches, hook, contract)
    looks = tuple(Look(message, state) for message, state in zip(job.fetches, states, strict=True))
    end = next((message for message, said in zip(job.fetches, told, strict=True) if said in _FINAL), None)
    body = end.response if end is not None else hook.request if hook is not None else None
    final = told_state(body)
    message = body.get("message") if isinstance(body, dict) else None
    reason = mask.text(message, job.id) if final == JobState.FAILED and isinstance(message, str) and message else None
    times = _Times(job, looks, end, hook)
    queue, run = times.durations(final)
    return Life(looks, final, reason, queue, run, times.first_final, times.ended, times.known)


def told_state(value: Any) -> str | None:
    """Return the state that a body tells; "" for one that no contract knows, None when it tells none."""
    if not isinstance(value, dict):
        return None
    status = value.get("status")
    return status.upper() if isinstance(status, str) and status.upper() in _RANKS else _by_data(value)


def _told(fetch: Parsed) -> str | None:
    status = fetch.exchange.status
    return told_state(fetch.response) if status is not None and status < 300 else None


def _by_data(value: dict[str, Any]) -> str:
    data = value.get("data")
    return JobState.SUCCESS.value if isinstance(data, dict) and data.get("imageUrl") else ""


def _states(
    told: Sequence[str | None], fetches: Sequence[Parsed], hook: Parsed | None, contract: Contract
) -> list[str | None]:
    """
    Return the state behind each fetch, which never goes back: what said otherwise was an odd answer in that state.

    An answer that told none belongs to the state that was seen next, so that it comes before that at any rhythm.
    """
    known = {*contract.queued_statuses, *_FINAL}
    words = [said if said is None or said in known else "" for said in told]
    if not known.difference(_FINAL).intersection(filter(None, words)):
        # Nothing else was said of it while it was unfinished: that is how its running was worded.
        words = [_RUNNING if said is not None and not said else said for said in words]
    found: list[str | None] = []
    now: str | None = None
    for word, message in zip(words, fetches, strict=True):
        if hook is not None and _is_before(hook, message):
            now = now if now in _FINAL else told_state(hook.request)
        if word and (now is None or _RANKS[word] > _RANKS[now]):
            now = word
        found.append(now if word or now in _FINAL else None)
    following: str | None = None
    for index in range(len(found) - 1, -1, -1):
        following = found[index] = found[index] or following
    return [state or now for state in found]


def _is_before(hook: Parsed, fetch: Parsed) -> bool:
    one, other = hook.exchange, fetch.exchange
    if one.at is None or other.at is None or one.at == other.at:
        return one.place.number < other.place.number
    return one.at < other.at


class _Times:
    """When a job moved, by the fetches before and after."""

    def __init__(self, job: Job, looks: Sequence[Look], end: Parsed | None, hook: Parsed | None) -> None:
        first = job.submission or (*job.fetches, *job.hooks, None)[0]
        self._start = None if first is None else first.exchange.at
        self._states = {look.state for look in looks}
        self._seen = [(look.message.exchange.at, look.state) for look in looks if look.state is not None]
        self._hooked = None if hook is None else hook.exchange.at
        self.first_final = None if end is None else end.exchange.at
        self.ended = self._end()
        self.known = self._start is not None and all(at is not None for at, _ in self._seen)

    def durations(self, final: str | None) -> tuple[float | None, float | None]:
        """Return the seconds in PENDING_QUEUE and in ON_QUEUE; a state that nobody saw takes no time."""
        waited, ran = _PENDING in self._states, _RUNNING in self._states
        if final is None:
            if not waited and not ran:
                return None, None
            return (0.0 if not waited else self._waited() if ran else FOREVER), (FOREVER if ran else None)
        if self._start is None or self.ended is None:
            self.known = self.known and not (waited or ran)
            return (None if waited else 0.0), (None if ran else 0.0)
        ended = round(max(self.ended - self._start, 0.0), 3)
        if not ran:
            return (ended, 0.0) if waited else (0.0, ended if self.ended == self._hooked else 0.0)
        started = self._waited() if waited else 0.0
        if started is None or ended <= started:
            self.known = False
            return started, None
        return started, round(ended - started, 3)

    def _end(self) -> float | None:
        low = next((at for at, state in reversed(self._seen) if state in {_PENDING, _RUNNING}), None)
        high = self._hooked if self.first_final is None else self.first_final
        since = self._start if low is None else low
        if since is None or high is None:
            return None
        if self._hooked is not None and since <= self._hooked <= high:
            return self._hooked
        if low is None:
            return since
        return _between(low, high) if low < high else None

    def _waited(self) -> float | None:
        """Return the seconds until the job left PENDING_QUEUE; None when no time passed."""
        last = next((at for at, state in reversed(self._seen) if state == _PENDING), None)
        left = next((at for at, state in self._seen if state != _PENDING), None)
        if self._start is None or last is None or left is None or left <= last:
            return None
        return round(max(_between(last, left) - self._start, 0.0), 3)


def _between(low: float, high: float) -> float:
    return round((low + high) / 2, 3)
