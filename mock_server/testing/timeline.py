"""What happened to one tenant as a swim-lane in plain text: client calls, hooks, moves of the clock, and jobs. Pure."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mock_server.journal import ClockEntry, Entry, HookEntry, RequestEntry
from mock_server.model import Job, JobState

_SUBMISSIONS = frozenset({"/flux/generate", "/flux/edits"})
_RANKS = {state.value: rank for rank, state in enumerate(JobState)}
_MOST_LANES = 4
_OTHERS = "hooks, clock"
_CLOCK_WIDTH = 12
_STATE_WIDTH = 13
_NARROW_STATE_WIDTH = 8
_HOOK_WIDTH = 32
_NARROW_HOOK_WIDTH = 24
_PROMPT_WIDTH = 24
_PATH_WIDTH = 28
_MOST_NOTE_LINES = 3


@dataclass(frozen=True, slots=True)
class _Row:
    """One line: what happened `at`, as `text` in the lane `lane`; `notes` go on lines of their own below."""

    at: float
    lane: str
    text: str
    notes: tuple[str, ...] = ()


def render(
    jobs: Sequence[Job],
    entries: Iterable[Entry],
    start: float,
    *,
    width: int = 120,
    most_lines: int = 60,
    encoding: str = "utf-8",
) -> str:
    """
    Return the swim-lane of a tenant.

    Args:
        jobs: its jobs, oldest first.
        entries: its journal.
        start: the instant that its clock is counted from, in seconds since the Unix epoch.
        width: columns at most.
        most_lines: lines at most; of more, those in the middle are left out, and counted.
        encoding: of where it will be shown; what that does not have is replaced or escaped.
    """
    numbers = {job.id: job.number for job in jobs}
    rows = _rows(jobs, sorted(entries, key=lambda entry: (entry.at, entry.number)), numbers, start)
    if not rows:
        return "(no calls, no jobs, no hooks)"
    lanes = _lanes(rows, jobs, width)
    body = [line for row in rows for line in _lines(row, lanes, start, width)]
    heads = [_line("clock", {name: name for name in lanes}, lanes), _rule(lanes)]
    return in_encoding("\n".join([*heads, *_shortened(body, most_lines - len(heads))]), encoding)


def in_encoding(text: str, encoding: str) -> str:
    """Return `text` with what `encoding` cannot say replaced or escaped."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_PLAIN)
    return text.encode(encoding, "backslashreplace").decode(encoding)


_PLAIN = {ord(sign): plain for sign, plain in {"│": "|", "─": "-", "┼": "+", "→": "->", "↳": "`", "…": "..."}.items()}


# From what happened to rows


def _rows(jobs: Sequence[Job], entries: Sequence[Entry], numbers: dict[str, int], start: float) -> list[_Row]:
    prompts = {job.id: job.order.prompt for job in jobs}
    attempts = _attempts(entries)
    slots: list[list[_Row]] = [[] for _ in range(len(entries) + 1)]
    for job in jobs:
        for at, state in _course(job):
            slots[_place(entries, job, at, state)].append(_state_row(job, at, state))
    rows = []
    for index, entry in enumerate(entries):
        rows += _in_order(slots[index])
        if isinstance(entry, RequestEntry):
            rows.append(_call_row(entry, numbers, prompts, attempts[entry.number]))
        elif isinstance(entry, HookEntry):
            rows.append(_hook_row(entry, numbers))
        else:
            rows.append(_clock_row(entry, start))
    return rows + _in_order(slots[-1])


def _in_order(rows: list[_Row]) -> list[_Row]:
    return sorted(rows, key=lambda row: row.at)


def _course(job: Job) -> list[tuple[float, JobState]]:
    """Return the states that a job was in and since when; of several at one instant, the last."""
    course = [(job.submitted_at, JobState.PENDING)]
    if job.started_at is not None:
        course.append((job.started_at, JobState.RUNNING))
    if job.finished_at is not None:
        course.append((job.finished_at, job.state))
    return [one for one, after in pairwise(course) if one[0] != after[0]] + course[-1:]


def _place(entries: Sequence[Entry], job: Job, at: float, state: JobState) -> int:
    """
    Return the index of the entry before which a job came to `state`.

    Among entries of the same instant that is: after its submission, and before the first that shows it so, if any does.
    """
    after = 0
    for index, entry in enumerate(entries):
        if entry.at > at:
            return max(index, after)
        if entry.at < at:
            continue
        if isinstance(entry, RequestEntry) and entry.job_id == job.id and entry.path in _SUBMISSIONS:
            after = index + 1
            if at == job.submitted_at:
                return after
        elif _shows(entry, job, state):
            return max(index, after)
    return len(entries)


def _shows(entry: Entry, job: Job, state: JobState) -> bool:
    if isinstance(entry, HookEntry):
        return entry.delivery.job_id == job.id
    if not isinstance(entry, RequestEntry) or entry.job_id != job.id:
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


def _state_row(job: Job, at: float, state: JobState) -> _Row:
    notes = (f"job {job.number} failed: {job.failure}",) if state is JobState.FAILED else ()
    return _Row(at, f"job {job.number}", state.value, notes)


def _call_row(entry: RequestEntry, numbers: dict[str, int], prompts: dict[str, str], attempt: int) -> _Row:
    prompt = prompts.get(entry.job_id or "") or _prompt_of(entry) if entry.path in _SUBMISSIONS else ""
    parts = [
        f"{_cut(entry.method, 8)} {_cut(entry.path, _PATH_WIDTH)} → {entry.status}",
        f"(attempt {attempt})" if attempt > 1 else "",
        f"job {numbers[entry.job_id]}" if entry.job_id in numbers and entry.path not in _SUBMISSIONS else "",
        _answered(entry),
        f'"{_cut(prompt, _PROMPT_WIDTH)}"' if prompt else "",
    ]
    changed = "the scenario changed this answer" + (f": {entry.wire}" if entry.wire else "")
    notes = (entry.explanation, *entry.lint, changed if entry.twisted or entry.wire else "")
    return _Row(entry.at, "client", " ".join(filter(None, parts)), tuple(filter(None, notes)))


def _prompt_of(entry: RequestEntry) -> str:
    """Return the prompt of a submission that was refused, where it has one that can be read."""
    try:
        prompt = json.loads(entry.request_body)["prompt"] if entry.fields is None else entry.fields["prompt"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return prompt if isinstance(prompt, str) else ""


def _hook_row(entry: HookEntry, numbers: dict[str, int]) -> _Row:
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
    return _Row(entry.at, _OTHERS, f"hook of job {job} → {outcome}{again}", (note,))


def _clock_row(entry: ClockEntry, start: float) -> _Row:
    text = entry.move if entry.to == entry.at else f"{entry.move} → {_since(entry.to, start)}"
    return _Row(entry.at, _OTHERS, text)


# From rows to lines


def _lanes(rows: Sequence[_Row], jobs: Sequence[Job], width: int) -> dict[str, int]:
    """Return the width of each lane, by its name, in the order in which they stand."""
    crowded = 2 < len(jobs) <= _MOST_LANES
    if len(jobs) <= _MOST_LANES:
        state_width = _NARROW_STATE_WIDTH if crowded else _STATE_WIDTH
        lanes = dict.fromkeys((f"job {job.number}" for job in jobs), state_width)
    else:
        lanes = {"jobs": len(f"{jobs[-1].number}: ") + _STATE_WIDTH}
    if any(row.lane == _OTHERS for row in rows):
        lanes[_OTHERS] = _NARROW_HOOK_WIDTH if crowded else _HOOK_WIDTH
    left = width - _CLOCK_WIDTH - sum(3 + size for size in lanes.values()) - 3
    return {"client": left, **lanes}


def _lines(row: _Row, lanes: dict[str, int], start: float, width: int) -> list[str]:
    lane, text = row.lane, row.text
    if lane not in lanes:
        lane, text = "jobs", f"{row.lane.removeprefix('job ')}: {text}"
    lines = [_line(_since(row.at, start), {lane: text}, lanes)]
    indent = " " * (_CLOCK_WIDTH + 1)
    for note in row.notes:
        lines += textwrap.wrap(
            _one_line(note),
            width,
            initial_indent=f"{indent}↳ ",
            subsequent_indent=f"{indent}  ",
            max_lines=_MOST_NOTE_LINES,
            placeholder=" …",
        )
    return lines


def _line(clock: str, texts: dict[str, str], lanes: dict[str, int]) -> str:
    cells = [
        f"{clock:>{_CLOCK_WIDTH}}",
        *(f"{_cut(texts.get(name, ''), size):<{size}}" for name, size in lanes.items()),
    ]
    return " │ ".join(cells).rstrip()


def _rule(lanes: dict[str, int]) -> str:
    return "─┼─".join("─" * size for size in (_CLOCK_WIDTH, *lanes.values()))


def _shortened(lines: list[str], most: int) -> list[str]:
    if len(lines) <= most:
        return lines
    head, tail = most // 2, most - most // 2 - 1
    return [*lines[:head], f"… {len(lines) - head - tail} lines left out …", *lines[-tail:]]


def _since(instant: float, start: float) -> str:
    return f"{instant - start:+.3f} s"


def _one_line(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _cut(text: str, width: int) -> str:
    flat = _one_line(text)
    return flat if len(flat) <= width else f"{flat[: width - 1]}…"
