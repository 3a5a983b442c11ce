"""What a tenant owns, in memory: jobs, ledger, webhook deliveries and the timers of all that is to come.

Jobs, postings and deliveries come in by `commit` alone, a `Change` at a time; the line and the timers are taken from as
they come due. All of it under the tenant's lock.
"""

from __future__ import annotations

import heapq
from collections import deque
from decimal import Decimal

from mock_server.model import (
    Account,
    Change,
    Delivery,
    DeliveryState,
    Job,
    JobState,
    Posting,
    Timer,
    TimerKind,
)

_Due = tuple[float, int, Timer]


class MemoryStore:
    """The state of one tenant. Timers come out in order of (due time, sequence of their setting)."""

    def __init__(self, opening: Posting) -> None:
        self.jobs: dict[str, Job] = {}
        self.deliveries: dict[str, Delivery] = {}
        self.postings: list[Posting] = []
        self.balances: dict[Account, Decimal] = dict.fromkeys(Account, Decimal(0))
        self.submitted = self.unfinished = self.running = 0
        self.hooks_expected = 0
        self._line: deque[str] = deque()
        self._job_timers: list[_Due] = []
        self._hook_timers: list[_Due] = []
        self._sequence = 0
        self.commit(Change(postings=(opening,)))

    @property
    def available(self) -> Decimal:
        """Quota units that may be reserved."""
        return self.balances[Account.AVAILABLE]

    def commit(self, change: Change) -> None:
        """Apply `change`."""
        for job in change.jobs:
            self._put_job(job)
        for posting in change.postings:
            self.postings.append(posting)
            self.balances[posting.source] -= posting.amount
            self.balances[posting.target] += posting.amount
        for delivery in change.deliveries:
            before = self.deliveries.get(delivery.id)
            self.deliveries[delivery.id] = delivery
            was_due = before is None or before.state is DeliveryState.DUE
            self.hooks_expected += (delivery.state is DeliveryState.DUE) - was_due
        for timer in change.timers:
            self._sequence += 1
            heap = self._hook_timers if timer.kind is TimerKind.DELIVER else self._job_timers
            heapq.heappush(heap, (timer.due, self._sequence, timer))

    def _put_job(self, job: Job) -> None:
        before = self.jobs.get(job.id)
        self.jobs[job.id] = job
        if before is None:
            self.submitted += 1
            self.unfinished += 1
            self.hooks_expected += job.order.hook_url is not None
        elif before.state is not job.state:
            self.running += (job.state is JobState.RUNNING) - (before.state is JobState.RUNNING)
            self.unfinished -= job.state.final

    def stand_in_line(self, job_id: str) -> None:
        """Let a job wait for a slot, behind those that wait already."""
        self._line.append(job_id)

    def next_in_line(self) -> Job | None:
        """Return the job that waits longest for a slot; None when none waits. Once it has started it is out."""
        while self._line:
            job = self.jobs[self._line[0]]
            if job.state is JobState.PENDING:
                return job
            self._line.popleft()
        return None

    def forget_timers(self) -> None:
        """Let nothing more fall due."""
        self._job_timers.clear()
        self._hook_timers.clear()
        self.hooks_expected = 0

    def next_due(self, *, hooks: bool) -> float | None:
        """Return the instant of the next timer; those of webhooks count only if `hooks`."""
        timer = self._first(hooks)
        return timer[0] if timer else None

    def pop_due(self, now: float, *, hooks: bool) -> Timer | None:
        """Take out the first timer that is due at `now`; None when none is."""
        if not (self._job_timers or (hooks and self._hook_timers)):
            return None
        first = self._first(hooks)
        if first is None or first[0] > now:
            return None
        heap = self._hook_timers if first[2].kind is TimerKind.DELIVER else self._job_timers
        return heapq.heappop(heap)[2]

    def _first(self, hooks: bool) -> _Due | None:
        while self._job_timers and self._stale(self._job_timers[0][2]):
            heapq.heappop(self._job_timers)
        if not (hooks and self._hook_timers):
            return self._job_timers[0] if self._job_timers else None
        return min(self._job_timers[0], self._hook_timers[0]) if self._job_timers else self._hook_timers[0]

    def _stale(self, timer: Timer) -> bool:
        # Somebody moved the job by hand: what time would have done to it is not to come any more.
        state = self.jobs[timer.ref].state
        return state.final or (timer.kind is TimerKind.START and state is not JobState.PENDING)
