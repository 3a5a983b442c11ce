"""Time: clocks, events in order, slots, and control by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import Caller, explained

from mock_server.clock import EPOCH, Clock, parse_clock
from mock_server.control import TenantControl
from mock_server.errors import IllegalTransition, UnknownJob
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.model import Account, JobState, Order
from mock_server.product import load_product
from mock_server.settings import Settings
from mock_server.tenant import Tenant
from mock_server.world import World

Emulate = Callable[..., Caller]
ORDER = Order("generate", "a cat", "flux1-dev", "1024x1024", None, "http://localhost")
HOOKED = Order("generate", "a cat", "flux1-dev", "1024x1024", "http://localhost/hook", "http://localhost")
PRODUCT = load_product()


def tenant(deliverer: RecordingDeliverer | None = None, **changes: object) -> Tenant:
    return Tenant("k", Settings.of(**{"clock": "frozen", **changes}), PRODUCT, deliverer or RecordingDeliverer())


def control(**changes: object) -> TenantControl:
    world = World(Settings.of(**{"clock": "frozen", **changes}), deliverer=RecordingDeliverer())
    return TenantControl(world, "k")


class FakeTime:
    """Real seconds that a test moves by hand."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize(
    ("text", "rate", "auto", "start"),
    [
        ("real", 1.0, False, None),
        ("x60", 60.0, False, None),
        ("x0.5@2026-01-01T00:00:00Z", 0.5, False, datetime(2026, 1, 1, tzinfo=UTC).timestamp()),
        ("frozen", 0.0, False, EPOCH),
        ("auto@2026-01-01", 0.0, True, datetime(2026, 1, 1, tzinfo=UTC).timestamp()),
    ],
)
def test_a_clock_is_named_in_words(text: str, rate: float, auto: bool, start: float | None) -> None:
    spec = parse_clock(text)
    assert (spec.rate, spec.auto, spec.start) == (rate, auto, start)


@pytest.mark.parametrize("text", ["", "x", "x0", "x-1", "xnan", "fast", "frozen@yesterday", "60"])
def test_a_clock_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="^expected"):
        parse_clock(text)


def test_changing_the_rate_never_makes_time_leap() -> None:
    real = FakeTime()
    clock = Clock(parse_clock("x60@2026-01-01"), real=real)
    start = clock.now()
    real.seconds = 2.0
    assert clock.now() == start + 120
    clock.run(0.0)
    real.seconds = 5.0
    assert clock.now() == start + 120
    clock.run(1.0)
    real.seconds = 6.0
    assert clock.now() == start + 121
    assert clock.real_seconds_until(start + 131) == 10.0


def test_time_only_goes_forward() -> None:
    clock = Clock(parse_clock("frozen"))
    with pytest.raises(ValueError, match="^time can't go backwards"):
        clock.jump(EPOCH - 1)
    with pytest.raises(ValueError, match="^time can't go backwards"):
        control().clock.advance(-1)


def test_a_job_starts_and_ends_at_its_own_instants() -> None:
    subject = tenant()
    job = subject.submit(ORDER)
    plan = job.plan
    low, high = PRODUCT.modes["flux1-dev"].seconds
    assert low <= plan.run_seconds <= high
    subject.advance_to(EPOCH + 1000)
    done = subject.job(job.id)
    assert done.state is JobState.SUCCESS
    assert done.started_at == EPOCH + plan.queue_seconds
    assert done.finished_at == pytest.approx(EPOCH + plan.queue_seconds + plan.run_seconds)


def test_jobs_beyond_the_slots_wait_for_one_in_order() -> None:
    subject = tenant(slots=1)
    ids = [subject.submit(ORDER).id for _ in range(3)]
    subject.run_until_idle()
    jobs = [subject.job(job_id) for job_id in ids]
    order = sorted(jobs, key=lambda job: job.started_at or 0)
    for earlier, later in pairwise(order):
        assert later.started_at == earlier.finished_at
    ready = sorted(jobs, key=lambda job: job.submitted_at + job.plan.queue_seconds)
    assert order == ready


@settings(max_examples=60)
@given(
    first=st.floats(0, 40),
    second=st.floats(0, 40),
    jobs=st.integers(1, 6),
    slots=st.integers(1, 3),
    retries=st.lists(st.floats(0.1, 20), max_size=3),
)
def test_advancing_twice_is_advancing_once(
    first: float, second: float, jobs: int, slots: int, retries: list[float]
) -> None:
    def run(*steps: float) -> tuple[object, ...]:
        subject = tenant(RecordingDeliverer(500), slots=slots, hook_retry=retries)
        for _ in range(jobs):
            subject.submit(HOOKED)
        for step in steps:
            subject.advance_to(step)
        return subject.store.jobs, subject.store.deliveries, subject.store.postings, subject.clock.now()

    target = EPOCH + first + second
    assert run(EPOCH + first, target) == run(target)


def test_an_auto_clock_moves_one_event_for_every_fetch(emulate: Emulate) -> None:
    caller = emulate(clock="auto", contract="2026-03")
    job_id = caller.submit()
    assert [caller.fetch(job_id)["status"] for _ in range(3)] == ["PENDING_QUEUE", "ON_QUEUE", "SUCCESS"]


def test_a_job_by_hand_goes_where_it_is_told(emulate: Emulate) -> None:
    caller = emulate(progress="manual", contract="2026-03", refund=True)
    steered = TenantControl(caller.app.world, caller.key)
    good, bad = caller.submit(), caller.submit()
    steered.clock.advance(10_000)
    assert caller.fetch(good)["status"] == "PENDING_QUEUE"
    steered.jobs.start(good)
    assert caller.fetch(good)["status"] == "ON_QUEUE"
    steered.jobs.finish(good)
    steered.jobs.fail(bad, "prompt violation")
    assert caller.fetch(good)["status"] == "SUCCESS"
    assert caller.fetch(bad) == {
        "status": "FAILED",
        "message": "prompt violation",
        "jobId": bad,
        "data": None,
    }
    assert (steered.ledger.spent, steered.ledger.reserved, steered.ledger.balance()) == (1, 0, 9999)
    with pytest.raises(IllegalTransition, match="is SUCCESS"):
        steered.jobs.fail(good)
    with pytest.raises(UnknownJob, match="no job 'nope'"):
        steered.jobs.finish("nope")


def test_a_timed_job_may_be_finished_early_and_stays_finished() -> None:
    world = World(Settings.of(clock="frozen"), deliverer=RecordingDeliverer())
    steered = TenantControl(world, "k")
    job = world.tenant("k").submit(HOOKED)
    steered.jobs.finish(job.id)
    steered.clock.advance(1000)
    assert steered.jobs.get(job.id).finished_at == EPOCH
    assert len(steered.hooks) == 1
    assert steered.ledger.spent == Decimal(1)


def test_the_views_are_sequences(emulate: Emulate) -> None:
    caller = emulate(progress="immediate")
    steered = TenantControl(caller.app.world, caller.key)
    ids = [caller.submit() for _ in range(3)]
    assert [job.id for job in steered.jobs] == ids
    assert [job.id for job in steered.jobs[1:]] == ids[1:]
    assert steered.jobs[-1].number == 3
    assert len(steered.ledger) == 1 + 2 * 3
    assert steered.ledger[0].target is Account.AVAILABLE


def test_every_ledger_balances_to_nothing() -> None:
    subject = tenant(refund=True, slots=2)
    for _ in range(5):
        subject.submit(ORDER)
    subject.advance_to(EPOCH + 7)
    assert sum(subject.store.balances.values()) == 0
    reserved = sum(job.price for job in subject.store.jobs.values() if not job.state.final)
    assert subject.store.balances[Account.RESERVED] == reserved


def test_a_journal_is_bounded_and_says_how_much_it_dropped(emulate: Emulate) -> None:
    caller = emulate(journal=3)
    for _ in range(5):
        caller.generate()
    journal = caller.app.world.tenant(caller.key).journal
    assert (len(journal), journal.dropped, journal.written) == (3, 2, 5)
    assert [entry.number for entry in journal] == [3, 4, 5]


def test_a_journal_keeps_the_start_of_a_long_body_and_its_size(emulate: Emulate) -> None:
    caller = emulate()
    caller.generate(prompt="x" * 100_000)
    entry = caller.app.world.tenant(caller.key).journal.requests[0]
    assert len(entry.request_body) == 16 * 1024
    assert entry.request_size > 100_000


@pytest.mark.parametrize("instant", [float("nan"), float("inf"), 1e12])
def test_a_clock_goes_nowhere_that_is_no_date(instant: float) -> None:
    steered = control()
    with pytest.raises(ValueError, match="year 8999"):
        steered.clock.advance(instant)
    assert steered.clock.now() == EPOCH


def test_a_tenant_made_anew_is_empty_and_hears_nothing_of_the_old_one() -> None:
    sent = RecordingDeliverer()
    world = World(Settings.of(clock="frozen", balance=5), deliverer=sent)
    steered = TenantControl(world, "k")
    first = world.tenant("k").submit(HOOKED)
    steered.reset(balance=7)
    assert list(steered.jobs) == []
    assert (steered.ledger.balance(), len(steered.journal)) == (7, 0)
    again = world.tenant("k").submit(ORDER)
    assert again.id == first.id
    steered.clock.advance(1000)
    assert sent.sent == []


def test_a_refused_caller_on_an_auto_clock_is_let_in_the_next_time(emulate: Emulate) -> None:
    caller = emulate(clock="auto", rate_limit="2/10s")
    assert [caller.generate().status_code for _ in range(6)] == [200, 200, 429, 200, 200, 429]


def test_retry_after_is_in_real_seconds(emulate: Emulate) -> None:
    caller = emulate(clock="x60", rate_limit="1/120s")
    caller.generate()
    assert caller.generate().headers["Retry-After"] == "2"
    frozen = emulate(rate_limit="1/120s")
    frozen.generate()
    assert "the clock is frozen: advance it by 120 s" in explained(frozen.generate())
