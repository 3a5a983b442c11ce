"""What happened to one tenant as rows of a swim-lane: each in its lane, in order, and what repeats only once. Pure."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from mock_server.journal import ClockEntry, Entry, HookEntry, RequestEntry
from mock_server.model import Delivery, DeliveryState, Job, JobState, later

CLIENT = "client"
OTHERS = "hooks, clock"

_SUBMISSIONS = frozenset({"/flux/generate", "/flux/edits"})
_RANKS = {state.value: rank for rank, state in enumerate(JobState)}
_PROMPT_WIDTH = 24
_PATH_WIDTH = 28
_OPEN_END = "run until idle"
_UNSENT: dict[DeliveryState, tuple[str, tuple[str, ...]]] = {
    DeliveryState.DROPPED: ("dropped", ()),
    DeliveryState.HELD: ("held", ("until a fetch shows how the job ended",)),
}


@dataclass(frozen=True, slots=True)
class Row:
    """
    One thing that happened, or several alike one after the other.

    Args:
        at: when, the first time.
        lane: CLIENT, OTHERS, or "job N".
        text: what; empty for moves of the clock that are not alike.
        notes: lines of their own below.
        count: how often.
        last: when it happened the last time; None if it happened once.
        to: where the clock was moved to.
    """

    at: float
    lane: str
    text: str
    notes: tuple[str, ...] = ()
    count: int = 1
    last: float | None = None
    to: float | None = None


def rows_of(jobs: Sequence[Job], entries: Iterable[Entry], deliveries: Iterable[Delivery], *, timed: bool) -> list[Row]:
    """Return what happened, in order; the arguments are those of `timeline.render`."""
    return _merged(_rows(jobs, sorted(entries, key=lambda entry: (entry.at, entry.number)), deliveries, timed=timed))


def _rows(jobs: Sequence[Job], entries: Sequence[Entry], deliveries: Iterable[Delivery], *, timed: bool) -> list[Row]:
    numbers = {job.id: job.number for job in jobs}
    prompts = {job.id: job.order.prompt for job in jobs}
    attempts = _attempts(entries)
    unsent = {delivery.job_id: delivery.state for delivery in deliveries if delivery.state in _UNSENT}
    places = _Places(entries)
    slots: list[list[Row]] = [[] for _ in range(len(entries) + 1)]
    for job in jobs:
        for at, state in _course(job):
            slot = slots[places.find(job, at, state)]
            slot.append(_state_row(job, at, state, timed=timed))
            if state.final and job.id in unsent:
                outcome, notes = _UNSENT[unsent[job.id]]
                slot.append(Row(at, OTHERS, f"hook of job {job.number} {outcome}", notes))
    rows = []
    for index, entry in enumerate(entries):
        rows += _in_order(slots[index])
        if isinstance(entry, RequestEntry):
            rows.append(_call_row(entry, numbers, prompts, attempts[entry.number]))
        elif isinstance(entry, HookEntry):
            rows.append(_hook_row(entry, numbers))
        else:
            rows.append(_clock_row(entry))
    return rows + _in_order(slots[-1])


def _in_order(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row.at)


# Where the states of a job stand among the entries


def _course(job: Job) -> list[tuple[float, JobState]]:
    """Return the states that a job was in and since when; of several at one instant, the last."""
    course = [(job.submitted_at, JobState.PENDING)]
    if job.started_at is not None:
        course.append((job.started_at, JobState.RUNNING))
    if job.finished_at is not None:
        course.append((job.finished_at, job.state))
    return [one for one, after in pairwise(course) if one[0] != after[0]] + course[-1:]


class _Places:
    """Finds the entry before which a job came to a state."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._instants = [entry.at for entry in entries]
        self._births: dict[str, int] = {}
        for index, entry in enumerate(entries):
            if isinstance(entry, RequestEntry) and entry.job_id is not None and entry.path in _SUBMISSIONS:
                self._births.setdefault(entry.job_id, index)

    def find(self, job: Job, at: float, state: JobState) -> int:
        """
        Return the index of the entry before which `job` came to `state`.

        That is after its submission; and among entries of the same instant, before the first that shows it so, or that
        moves the clock on to a later instant.
        """
        index = self._births.get(job.id, -1) + 1
        if at == job.submitted_at and index:
            return index
        index = max(index, bisect_left(self._instants, at))
        while index < len(self._entries) and self._instants[index] == at:
            if _shows(self._entries[index], job, state):
                break
            index += 1
        return index


def _shows(entry: Entry, job: Job, state: JobState) -> bool:
    """Whether an entry of the instant at which a job came to `state` must have come after that."""
    if isinstance(entry, ClockEntry):
        return entry.to > entry.at or entry.move == _OPEN_END
    if isinstance(entry, HookEntry):
        return entry.delivery.job_id == job.id
    if entry.job_id != job.id:
        return False
    return entry.path.endswith(".webp") or _RANKS.get(_answered(entry), -1) >= _RANKS[state.value]


def _answered(entry: RequestEntry) -> str:
    """Return the status that the answer to a fetch gives a job, or "" where it has none."""
    if entry.path != "/flux/fetch" or entry.status != 200:
        return ""
    try:
        status = json.loads(entry.response_body)["status"]
    except (ValueError, LookupError, TypeError):
        return ""  # a scenario made it something else
    return status if isinstance(status, str) else ""


# One row each


def _attempts(entries: Sequence[Entry]) -> dict[int, int]:
    """Return, by entry number, which attempt a request is: one more than its like before, if that one came to grief."""
    attempts: dict[int, int] = {}
    refused: dict[object, int] = {}
    for entry in entries:
        if not isinstance(entry, RequestEntry):
            continue
        # The boundary of a form differs from try to try.
        content = entry.request_body if entry.fields is None else repr((entry.fields, entry.uploads))
        what = (entry.method, entry.path, entry.query, content)
        before = attempts.get(entry.repeats, 0) if entry.repeats is not None else 0
        attempts[entry.number] = max(before, refused.pop(what, 0)) + 1
        if entry.status >= 400:
            refused[what] = attempts[entry.number]
    return attempts


def _state_row(job: Job, at: float, state: JobState, *, timed: bool) -> Row:
    notes = (f"job {job.number} failed: {job.failure}",) if state is JobState.FAILED else ()
    forced = _was_forced(job, state, timed=timed)
    return Row(at, f"job {job.number}", f"{state.value} by hand" if forced else state.value, notes)


def _was_forced(job: Job, state: JobState, *, timed: bool) -> bool:
    """Whether a job came to `state` otherwise than it was planned: earlier, or to another end."""
    if job.started_at is None:
        return state.final
    if state is JobState.RUNNING:
        return timed and job.started_at < later(job.submitted_at, job.plan.queue_seconds)
    if not state.final or job.finished_at is None:
        return False
    if job.failure != job.plan.failure:
        return True
    # A job whose hook comes before the answer ends as it begins, without a hand.
    at_once = job.order.hook_url is not None and job.finished_at == job.submitted_at
    return timed and not at_once and job.finished_at < later(job.started_at, job.plan.run_seconds)


def _call_row(entry: RequestEntry, numbers: dict[str, int], prompts: dict[str, str], attempt: int) -> Row:
    prompt = prompts.get(entry.job_id or "") or _prompt_of(entry) if entry.path in _SUBMISSIONS else ""
    parts = [
        f"{cut(entry.method, 8)} {cut(entry.path, _PATH_WIDTH)} → {entry.status}",
        f"(attempt {attempt})" if attempt > 1 else "",
        f"job {numbers[entry.job_id]}" if entry.job_id in numbers and entry.path not in _SUBMISSIONS else "",
        _answered(entry),
        f'"{cut(prompt, _PROMPT_WIDTH)}"' if prompt else "",
    ]
    return Row(entry.at, CLIENT, " ".join(filter(None, parts)), _remarks(entry))


def _remarks(entry: RequestEntry) -> tuple[str, ...]:
    """Return what is to be said of a call; what a scenario did to it is told once, by the remark that says most."""
    if any(remark.startswith("the scenario ") for remark in entry.lint):
        reason = "" if entry.explanation.startswith("the scenario ") else entry.explanation
        return tuple(filter(None, (reason, *entry.lint)))
    changed = "the scenario changed this answer" + (f": {entry.wire}" if entry.wire else "")
    return tuple(filter(None, (entry.explanation, *entry.lint, changed if entry.twisted or entry.wire else "")))


def _prompt_of(entry: RequestEntry) -> str:
    """Return the prompt of a submission that was refused, where it has one that can be read."""
    try:
        prompt = json.loads(entry.request_body)["prompt"] if entry.fields is None else entry.fields["prompt"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return prompt if isinstance(prompt, str) else ""


def _hook_row(entry: HookEntry, numbers: dict[str, int]) -> Row:
    receipt = entry.attempt.receipt
    outcome = "not sent" if receipt.blocked else "no answer" if receipt.status is None else str(receipt.status)
    again = f" (attempt {entry.attempt.number})" if entry.attempt.number > 1 else ""
    # What comes before the host or after the path of a URL is often a secret.
    url, secret, _ = entry.delivery.url.partition("?")
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    shown = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}{'?…' if secret else ''}"
    note = f"POST {shown}{f': {receipt.error}' if receipt.error else ''}"
    job = numbers.get(entry.delivery.job_id, "?")
    return Row(entry.at, OTHERS, f"hook of job {job} → {outcome}{again}", (note,))


def _clock_row(entry: ClockEntry) -> Row:
    if entry.to == entry.at:
        return Row(entry.at, OTHERS, entry.move)
    return Row(entry.at, OTHERS, "" if entry.move == "advance to" else entry.move, to=entry.to)


# What repeats


def _merged(rows: Iterable[Row]) -> list[Row]:
    """
    Return `rows` with those made one that are alike and have nothing between them.

    Moves of the clock with nothing between them are one move; and so are those without a name, of which a driven sleep
    makes one for each event that it passes. Between calls that are alike moves are nothing, and become one, too: so the
    calls of a client that polls are one row, and its waits another.
    """
    merged: list[Row] = []
    sleep: int | None = None
    for row in rows:
        if row.lane == CLIENT:
            sleep = None
        if sleep is not None and not row.text and merged[sleep].to == row.at:
            merged[sleep] = _together(merged[sleep], row)
        elif merged and (_are_moves(merged[-1], row) or _are_same_call(merged[-1], row)):
            merged[-1] = _together(merged[-1], row)
        elif len(merged) > 1 and merged[-1].to is not None and _are_same_call(merged[-2], row):
            move = merged.pop()
            merged[-1] = _together(merged[-1], row)
            if len(merged) > 1 and _are_moves(merged[-2], move):
                merged[-2] = _together(merged[-2], move)
            else:
                merged.append(move)
        else:
            merged.append(row)
        if merged[-1].to is not None and not merged[-1].text:
            sleep = len(merged) - 1
    return merged


def _are_moves(row: Row, after: Row) -> bool:
    return row.to is not None and after.to is not None


def _are_same_call(row: Row, after: Row) -> bool:
    return row.lane == after.lane == CLIENT and (row.text, row.notes) == (after.text, after.notes)


def _together(row: Row, after: Row) -> Row:
    text = row.text if row.text == after.text else ""
    last = after.at if after.last is None else after.last
    return replace(row, text=text, count=row.count + after.count, last=last, to=after.to)


# Words


def one_line(text: str) -> str:
    """Return `text` with what is no printable sign made a space."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def cut(text: str, width: int) -> str:
    """Return `text` as one line of at most `width` signs."""
    flat = one_line(text)
    return flat if len(flat) <= width else f"{flat[: width - 1]}…"
