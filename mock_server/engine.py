"""The life of a job, its money and its webhook, as pure functions: what is, and `now`, in; a `Change` out.

No clock, no I/O, no randomness, no memory. Which moves are legal stands in TRANSITIONS and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from mock_server.errors import ApiError, IllegalTransition
from mock_server.model import (
    Account,
    Attempt,
    Change,
    Delivery,
    DeliveryState,
    Job,
    JobState,
    Order,
    Plan,
    Posting,
    Receipt,
    Rules,
    Timer,
    TimerKind,
    later,
)


class Event(StrEnum):
    """What can happen to a job."""

    START = "start"
    SUCCEED = "succeed"
    FAIL = "fail"


TRANSITIONS: Mapping[tuple[JobState, Event], JobState] = MappingProxyType(
    {
        (JobState.PENDING, Event.START): JobState.RUNNING,
        (JobState.PENDING, Event.FAIL): JobState.FAILED,
        (JobState.RUNNING, Event.SUCCEED): JobState.SUCCESS,
        (JobState.RUNNING, Event.FAIL): JobState.FAILED,
    }
)
"""Every legal move. What is not here does not happen; nothing leads out of SUCCESS and FAILED."""


class Desk(Protocol):
    """What the engine needs to know of a tenant."""

    @property
    def submitted(self) -> int:
        """Jobs that were ever accepted."""

    @property
    def unfinished(self) -> int:
        """Jobs that are PENDING or RUNNING."""

    @property
    def running(self) -> int:
        """Jobs that are RUNNING."""

    @property
    def available(self) -> Decimal:
        """Quota units that may be reserved."""

    def next_in_line(self) -> Job | None:
        """Return the job that waits longest for a slot."""


Snapshot = Callable[[Job], bytes]
"""Words a finished job as its webhook body."""


def move(job: Job, event: Event, now: float, failure: str | None = None) -> Job:
    """
    Return `job` after `event`.

    Raises:
        IllegalTransition: TRANSITIONS has no such move.
    """
    state = TRANSITIONS.get((job.state, event))
    if state is None:
        allowed = ", ".join(known.value for origin, known in TRANSITIONS if origin is job.state) or "no further event"
        raise IllegalTransition(
            f"job {job.id} is {job.state.value}: expected {allowed}, got {event.value}; it stays as it is"
        )
    if state is JobState.RUNNING:
        return replace(job, state=state, started_at=now)
    return replace(job, state=state, finished_at=now, failure=failure)


def submit(desk: Desk, order: Order, *, job_id: str, plan: Plan, price: Decimal, rules: Rules, now: float) -> Change:
    """
    Accept a job and reserve its price.

    Raises:
        ApiError: 402 when the balance does not cover it, 499 when too many jobs are unfinished (both S2).
    """
    if desk.available < price:
        raise ApiError(
            402,
            f"the balance is {desk.available} and {order.mode} costs {price} quota units: set a larger --balance, "
            f"or use another key, which has a balance of its own",
        )
    if desk.unfinished >= rules.queue:
        raise ApiError(
            499,
            f"{desk.unfinished} jobs of this key are unfinished and --queue allows {rules.queue}: "
            f"wait until one has finished",
        )
    job = Job(job_id, desk.submitted + 1, order, price, JobState.PENDING, plan, now)
    timers: tuple[Timer, ...] = ()
    if rules.timed:
        timers = (Timer(later(now, plan.queue_seconds), TimerKind.START, job_id),)
    return Change(
        jobs=(job,),
        postings=(Posting(now, Account.AVAILABLE, Account.RESERVED, price, job_id),),
        timers=timers,
    )


def start(desk: Desk, job: Job, *, rules: Rules, now: float) -> Change | None:
    """Give `job` a slot, or return None when none is free: then it has to stand in line."""
    if rules.timed and desk.running >= rules.slots:
        return None
    return begin(job, rules=rules, now=now)


def begin(job: Job, *, rules: Rules, now: float) -> Change:
    """Let `job` run, whether a slot is free or not; raises IllegalTransition."""
    running = move(job, Event.START, now)
    if not rules.timed:
        return Change(jobs=(running,))
    return Change(jobs=(running,), timers=(Timer(later(now, job.plan.run_seconds), TimerKind.FINISH, job.id),))


def finish(
    desk: Desk,
    job: Job,
    *,
    failure: str | None,
    snapshot: Snapshot,
    rules: Rules,
    now: float,
    copies: int = 1,
    hook_delay: float = 0.0,
    hold: bool = False,
) -> Change:
    """
    End `job` well, or badly with the reason `failure`: money, webhook, and its slot for the next in line.

    Its webhook is sent `copies` times (0 is never), `hook_delay` seconds from now; to `hold` it, until `release`.
    """
    done = move(job, Event.FAIL if failure else Event.SUCCEED, now, failure)
    refunded = failure is not None and rules.refund
    target = Account.AVAILABLE if refunded else Account.SPENT
    jobs: tuple[Job, ...] = (done,)
    timers: tuple[Timer, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    if done.order.hook_url is not None:
        state = DeliveryState.DROPPED if not copies else DeliveryState.HELD if hold else DeliveryState.DUE
        delivery = Delivery(
            delivery_id(done.id), done.id, done.order.hook_url, snapshot(done), state=state, pending=copies
        )
        deliveries = (delivery,)
        if state is DeliveryState.DUE:
            timers = _sendings(delivery, copies, later(now, hook_delay))
    frees_a_slot = job.state is JobState.RUNNING and desk.running <= rules.slots
    waiting = desk.next_in_line() if frees_a_slot else None
    if waiting is not None:
        started = begin(waiting, rules=rules, now=now)
        jobs += started.jobs
        timers += started.timers
    return Change(
        jobs=jobs,
        postings=(Posting(now, Account.RESERVED, target, done.price, done.id),),
        timers=timers,
        deliveries=deliveries,
    )


def poll(job: Job, needed: int) -> tuple[Event, ...]:
    """
    Say what a fetch does to a job that moves by polls; the fetch number `needed` is the first to see it finished.

    The first of three or more still sees PENDING_QUEUE.
    """
    seen = job.polls + 1
    starts = job.state is JobState.PENDING and (seen > 1 or needed < 3)
    return ((Event.START,) if starts else ()) + ((ending(job),) if seen >= needed else ())


def ending(job: Job) -> Event:
    """Return how `job` ends by its plan."""
    return Event.FAIL if job.plan.failure else Event.SUCCEED


def count_poll(job: Job) -> Job:
    """Return `job` after one more fetch of it."""
    return replace(job, polls=job.polls + 1)


def delivery_id(job_id: str) -> str:
    """Return the id of the webhook delivery of a job."""
    return f"hook-{job_id}"


def release(delivery: Delivery, *, now: float, copies: int = 1, delay: float = 0.0) -> Change:
    """Send a webhook `copies` times, `delay` seconds from now, whatever has become of it so far."""
    waiting = 0 if delivery.state is DeliveryState.HELD else delivery.pending
    due = replace(delivery, state=DeliveryState.DUE, pending=waiting + copies)
    return Change(deliveries=(due,), timers=_sendings(due, copies, later(now, delay)))


def _sendings(delivery: Delivery, copies: int, due: float) -> tuple[Timer, ...]:
    return (Timer(due, TimerKind.DELIVER, delivery.id),) * copies


def after_delivery(delivery: Delivery, receipt: Receipt, *, attempted_at: float, rules: Rules) -> Change:
    """Note one attempt; when it failed and the retry schedule has a turn left, set the next."""
    attempts = (*delivery.attempts, Attempt(len(delivery.attempts) + 1, attempted_at, receipt))
    retries = len(attempts) - 1
    pending = max(delivery.pending - 1, 0)
    timers: tuple[Timer, ...] = ()
    if any(attempt.receipt.ok for attempt in attempts):
        state = DeliveryState.DELIVERED
    elif receipt.blocked:
        state = DeliveryState.BLOCKED
    elif retries < len(rules.retry):
        state = DeliveryState.DUE
        timers = (Timer(later(attempted_at, rules.retry[retries]), TimerKind.DELIVER, delivery.id),)
    else:
        state = DeliveryState.DUE if pending else DeliveryState.GIVEN_UP
    after = replace(delivery, attempts=attempts, state=state, pending=pending + len(timers))
    return Change(deliveries=(after,), timers=timers)
