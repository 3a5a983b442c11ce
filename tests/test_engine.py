"""The pure engine: which moves a job may make, and what each does to money, timers and hooks."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from itertools import product

import pytest

from mock_server import engine
from mock_server.engine import TRANSITIONS, Event
from mock_server.errors import ApiError, IllegalTransition
from mock_server.model import (
    Account,
    Delivery,
    DeliveryState,
    Job,
    JobState,
    Order,
    Plan,
    Receipt,
    Rules,
    TimerKind,
)

ORDER = Order("generate", "a cat", "flux1-dev", "1024x1024", None, "http://localhost")
HOOKED = Order("generate", "a cat", "flux1-dev", "1024x1024", "http://localhost/hook", "http://localhost")
PLAN = Plan(queue_seconds=1.0, run_seconds=5.0)


@dataclass
class Desk:
    submitted: int = 0
    unfinished: int = 0
    running: int = 0
    available: Decimal = Decimal(10)
    waiting: Job | None = None

    def next_in_line(self) -> Job | None:
        return self.waiting


def job(state: JobState, order: Order = ORDER) -> Job:
    return Job("j", 1, order, Decimal(1), state, PLAN, 100.0)


def test_the_transition_table_is_exactly_the_documented_life() -> None:
    legal = {
        (JobState.PENDING, Event.START): JobState.RUNNING,
        (JobState.PENDING, Event.FAIL): JobState.FAILED,
        (JobState.RUNNING, Event.SUCCEED): JobState.SUCCESS,
        (JobState.RUNNING, Event.FAIL): JobState.FAILED,
    }
    assert dict(TRANSITIONS) == legal


@pytest.mark.parametrize(("state", "event"), list(product(JobState, Event)))
def test_every_pair_of_state_and_event_either_moves_or_is_refused(state: JobState, event: Event) -> None:
    target = TRANSITIONS.get((state, event))
    if target is None:
        with pytest.raises(IllegalTransition, match=rf"^job j is {state.value}: expected .*, got {event.value}"):
            engine.move(job(state), event, 101.0)
    else:
        assert engine.move(job(state), event, 101.0).state is target


def test_nothing_leads_out_of_a_final_state() -> None:
    assert not [origin for origin, _ in TRANSITIONS if origin.final]


def test_submitting_reserves_the_price_and_sets_the_start() -> None:
    change = engine.submit(Desk(), ORDER, job_id="j", plan=PLAN, price=Decimal(3), rules=Rules(), now=100.0)
    (posting,) = change.postings
    assert (posting.source, posting.target, posting.amount) == (
        Account.AVAILABLE,
        Account.RESERVED,
        Decimal(3),
    )
    (timer,) = change.timers
    assert (timer.kind, timer.due) == (TimerKind.START, 101.0)
    assert change.jobs[0].state is JobState.PENDING


@pytest.mark.parametrize(("desk", "status"), [(Desk(available=Decimal(2)), 402), (Desk(unfinished=7), 499)])
def test_a_job_that_cannot_be_paid_or_queued_is_refused(desk: Desk, status: int) -> None:
    with pytest.raises(ApiError) as refused:
        engine.submit(desk, ORDER, job_id="j", plan=PLAN, price=Decimal(3), rules=Rules(queue=7), now=100.0)
    assert refused.value.status == status


def test_a_job_waits_when_no_slot_is_free() -> None:
    waiting = job(JobState.PENDING)
    assert engine.start(Desk(running=2), waiting, rules=Rules(slots=2), now=101.0) is None
    assert engine.start(Desk(running=1), waiting, rules=Rules(slots=2), now=101.0) is not None


def test_a_finished_job_hands_its_slot_to_the_next_in_line() -> None:
    desk = Desk(waiting=job(JobState.PENDING))
    change = engine.finish(
        desk, job(JobState.RUNNING), failure=None, snapshot=lambda done: b"", rules=Rules(), now=105.0
    )
    assert [moved.state for moved in change.jobs] == [JobState.SUCCESS, JobState.RUNNING]
    assert [(timer.kind, timer.due) for timer in change.timers] == [(TimerKind.FINISH, 110.0)]


@pytest.mark.parametrize(
    ("failure", "refund", "target"),
    [
        (None, False, Account.SPENT),
        (None, True, Account.SPENT),
        ("prompt violation", False, Account.SPENT),
        ("prompt violation", True, Account.AVAILABLE),
    ],
)
def test_only_a_failed_job_is_ever_refunded(failure: str | None, refund: bool, target: Account) -> None:
    change = engine.finish(
        Desk(),
        job(JobState.RUNNING),
        failure=failure,
        snapshot=lambda done: b"",
        rules=Rules(refund=refund),
        now=1e3,
    )
    assert [(entry.source, entry.target) for entry in change.postings] == [(Account.RESERVED, target)]


def test_a_finished_job_with_a_hook_leaves_a_snapshot_to_deliver() -> None:
    change = engine.finish(
        Desk(),
        job(JobState.RUNNING, HOOKED),
        failure=None,
        snapshot=lambda done: done.state.value.encode(),
        rules=Rules(),
        now=105.0,
    )
    assert [(delivery.url, delivery.body) for delivery in change.deliveries] == [("http://localhost/hook", b"SUCCESS")]
    assert [(timer.kind, timer.due) for timer in change.timers] == [(TimerKind.DELIVER, 105.0)]


@pytest.mark.parametrize(
    ("receipts", "state"),
    [
        ([Receipt(204)], DeliveryState.DELIVERED),
        ([Receipt(302), Receipt(200)], DeliveryState.DELIVERED),
        ([Receipt(500), Receipt(None, "hung")], DeliveryState.DUE),
        ([Receipt(500), Receipt(500), Receipt(500)], DeliveryState.GIVEN_UP),
        ([Receipt(None, "forbidden", blocked=True)], DeliveryState.BLOCKED),
    ],
)
def test_a_delivery_is_retried_by_the_schedule(receipts: list[Receipt], state: DeliveryState) -> None:
    delivery, at, dues = Delivery("hook-j", "j", "http://localhost/hook", b"{}"), 100.0, []
    for receipt in receipts:
        change = engine.after_delivery(delivery, receipt, attempted_at=at, rules=Rules(retry=(5.0, 60.0)))
        (delivery,) = change.deliveries
        dues += [timer.due for timer in change.timers]
        at = dues[-1] if dues else at
    assert delivery.state is state
    assert [attempt.number for attempt in delivery.attempts] == list(range(1, len(receipts) + 1))
    assert dues == [105.0, 165.0][: len(dues)]
    assert delivery.id == "hook-j"


@pytest.mark.parametrize(
    ("needed", "seen"),
    [
        (1, [JobState.SUCCESS]),
        (2, [JobState.RUNNING, JobState.SUCCESS]),
        (3, [JobState.PENDING, JobState.RUNNING, JobState.SUCCESS]),
        (4, [JobState.PENDING, JobState.RUNNING, JobState.RUNNING, JobState.SUCCESS]),
    ],
)
def test_the_nth_poll_is_the_first_to_see_success(needed: int, seen: list[JobState]) -> None:
    current, states = job(JobState.PENDING), []
    for _ in seen:
        for event in engine.poll(current, needed):
            current = engine.move(current, event, 101.0)
        current = engine.count_poll(current)
        states.append(current.state)
    assert states == seen
