"""Whether the calls that came are those that were expected, and what they cost; where not, the words for it. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal, InvalidOperation

from mock_server.exchange import header_text, shown
from mock_server.expectations import Amount, Expectation, NearMiss, counted, differences, sent_fields, worded
from mock_server.journal import RequestEntry
from mock_server.model import Account, Job, Posting

_MOST_NEAR = 3
_MOST_LISTED = 10
_LONGEST_TARGET = 160
_ARGUMENTS = ("times", "at_least", "at_most", "status", "job_id")
_HELD = frozenset({Account.RESERVED, Account.SPENT})


class Unverified(AssertionError):
    """
    What came is not what was expected; the text says how.

    Attributes:
        nearest: the calls that nearly matched, nearest first.
        matching: those that did, oldest first.
    """

    def __init__(self, message: str, nearest: Sequence[NearMiss] = (), matching: Sequence[RequestEntry] = ()) -> None:
        super().__init__(message)
        self.nearest = tuple(nearest)
        self.matching = tuple(matching)


def verify_calls(
    entries: Sequence[RequestEntry],
    expectation: Expectation,
    amount: Amount,
    *,
    start: float,
    dropped: int = 0,
    elsewhere: Callable[[], Iterable[str]] = tuple,
) -> list[RequestEntry]:
    """
    Return the calls that are as expected.

    Args:
        entries: all the calls of a tenant.
        expectation: those to count.
        amount: how many are expected.
        start: the instant from which the times in a message count.
        dropped: entries that the journal no longer has, any of which may have been such a call.
        elsewhere: says where calls went, when none came.

    Raises:
        Unverified: there are more, or fewer, or there is no telling.
    """
    __tracebackhide__ = True
    compared = [(entry, differences(entry, expectation)) for entry in entries]
    matching = [entry for entry, found in compared if not found]
    missed = [NearMiss(entry, found) for entry, found in compared if found]
    no_telling = dropped > 0 and amount.high is not None
    if len(matching) in amount and not no_telling:
        return matching
    lines = [f"expected {amount} to {expectation}, got {len(matching)} of {counted(len(entries), 'call')}"]
    lines += _mistaken(expectation, entries)
    if dropped:
        lines.append(f"{dropped} older journal entries are gone, so there may have been more: --journal N keeps more")
    if matching and len(matching) not in amount:
        lines.append("these came:")
        lines += [line for entry in matching[:_MOST_LISTED] for line in _told(entry, entries, start)]
        lines += _more(matching)
    nearest = _nearest(missed, matching) if len(matching) < amount.low else []
    if nearest and matching:
        lines.append("nearest to these:")
    for miss in nearest:
        lines += _told(miss.entry, entries, start)
        lines += [f"    {difference}" for difference in miss.differences]
    if not entries:
        lines += elsewhere()
    raise Unverified("\n".join(lines), nearest, matching)


def _nearest(missed: Sequence[NearMiss], matching: Sequence[RequestEntry]) -> list[NearMiss]:
    """Return what came nearest; calls of another endpoint are of interest only where none of this one came."""
    there = [miss for miss in missed if miss.differences[0].field != "path"]
    chosen = there if there or matching else missed
    return sorted(chosen, key=lambda miss: len(miss.differences))[:_MOST_NEAR]


def _mistaken(expectation: Expectation, entries: Sequence[RequestEntry]) -> list[str]:
    """Ask whether fields that no call had were meant to be arguments."""
    lines = []
    for name, value in expectation.fields.items():
        close = difflib.get_close_matches(name, _ARGUMENTS, n=1, cutoff=0.7)
        if close and not any(name in sent_fields(entry) for entry in entries):
            lines.append(f"{name} was taken as a field, which no call had: did you mean {close[0]}={worded(value)}?")
    return lines


def _told(entry: RequestEntry, entries: Sequence[RequestEntry], start: float) -> list[str]:
    query = f"?{entry.query}" if entry.query else ""
    target = header_text(f"{entry.method} {entry.path}{query}")[:_LONGEST_TARGET]
    parts = [
        f"  #{entry.number} at {entry.at - start:+.1f} s {target} → {entry.status}",
        f"job {entry.job_id}" if entry.job_id else "",
        f"connection {entry.connection}" if entry.connection else "",
        _again(entry, entries),
    ]
    refused = [f"    refused: {entry.explanation}"] if entry.explanation else []
    return [", ".join(filter(None, parts)), *refused]


def _again(entry: RequestEntry, entries: Sequence[RequestEntry]) -> str:
    if entry.repeats is None:
        return ""
    wire = next((f": {other.wire}" for other in entries if other.number == entry.repeats), "")
    return f"attempt {entry.attempt}, after the answer to #{entry.repeats} was broken on the wire{wire}"


def verify_spend(
    quota: object,
    jobs: Sequence[Job],
    postings: Iterable[Posting],
    entries: Sequence[RequestEntry],
) -> Decimal:
    """
    Return what the jobs have cost or may still cost, in quota units.

    Args:
        quota: the most that it may be.
        jobs: all jobs of a tenant.
        postings: its ledger.
        entries: its calls, to say which of them made a job.

    Raises:
        Unverified: it is more.
        ValueError: `quota` is no amount.
    """
    __tracebackhide__ = True
    limit = _amount(quota)
    held: dict[str | None, Decimal] = {}
    for posting in postings:
        sign = (posting.target in _HELD) - (posting.source in _HELD)
        held[posting.job_id] = held.get(posting.job_id, Decimal(0)) + sign * posting.amount
    total = sum(held.values(), Decimal(0))
    if total <= limit:
        return total
    charged = [job for job in jobs if held.get(job.id)]
    submits = {entry.job_id: entry for entry in reversed(entries) if entry.path in {"/flux/generate", "/flux/edits"}}
    lines = [f"expected at most {limit} quota spent or reserved, got {total} for {counted(len(charged), 'job')}"]
    lines += [_charge(job, held[job.id], submits.get(job.id), entries) for job in charged[:_MOST_LISTED]]
    raise Unverified("\n".join(lines + _more(charged)))


def _charge(job: Job, cost: Decimal, submit: RequestEntry | None, entries: Sequence[RequestEntry]) -> str:
    call = f"#{submit.number}" if submit else "a call that the journal no longer has"
    again = _again(submit, entries) if submit else ""
    words = [f"{job.state.value}", f"{job.order.mode}", f"prompt {shown(job.order.prompt)}", f"submitted by {call}"]
    return f"  {cost} for job {job.id}: {', '.join(words)}{f' ({again})' if again else ''}"


def _amount(quota: object) -> Decimal:
    try:
        amount = Decimal(str(quota))
    except InvalidOperation:
        amount = Decimal(-1)
    if isinstance(quota, bool) or not amount.is_finite() or amount < 0:
        raise ValueError(f"max_spend: expected quota units, 0 or more, got {shown(quota)}")
    return amount


def _more(listed: Sequence[object]) -> list[str]:
    return [f"  and {len(listed) - _MOST_LISTED} more"] if len(listed) > _MOST_LISTED else []
