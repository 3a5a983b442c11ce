"""Time: clocks, events in order, slots, and control by hand."""

from __future__ import annotations

import threading
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
from mock_server.engine import Event
from mock_server.errors import IllegalTransition, UnknownJob
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.model import Account, Delivery, JobState, Order, Receipt, later
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
    assert clock.forward_to(EPOCH - 1) == EPOCH
    with pytest.raises(ValueError, match="^time can't go backwards"):
        tenant().advance_to(EPOCH - 1)
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
    for before, after in pairwise(order):
        assert after.started_at == before.finished_at
    ready = sorted(jobs, key=lambda job: job.submitted_at + job.plan.queue_seconds)
    assert order == ready


MILLISECONDS = st.integers(0, 40_000)


@settings(max_examples=100)
@given(
    steps=st.lists(MILLISECONDS, min_size=1, max_size=6),
    jobs=st.integers(1, 6),
    slots=st.integers(1, 3),
    retries=st.lists(st.floats(0.1, 20), max_size=3),
    clock=st.sampled_from(["frozen", "frozen@2026-07-01T12:34:56.789Z"]),
)
def test_advancing_in_steps_is_advancing_once(
    steps: list[int], jobs: int, slots: int, retries: list[float], clock: str
) -> None:
    def run(*milliseconds: int) -> tuple[object, ...]:
        subject = tenant(RecordingDeliverer(500), slots=slots, hook_retry=retries, clock=clock)
        for _ in range(jobs):
            subject.submit(HOOKED)
        for step in milliseconds:
            subject.advance(step / 1000)
        return subject.store.jobs, subject.store.deliveries, subject.store.postings, subject.clock.now()

    assert run(*steps) == run(sum(steps))


def test_the_plan_of_a_job_may_be_walked_in_any_steps() -> None:
    for seed in range(100):
        subject = tenant(seed=seed)
        job = subject.submit(ORDER)
        subject.advance(job.plan.queue_seconds)
        assert subject.job(job.id).state is JobState.RUNNING
        subject.advance(job.plan.run_seconds / 2)
        subject.advance_to(subject.job(job.id).started_at + job.plan.run_seconds)
        assert subject.job(job.id).state is JobState.SUCCESS


@pytest.mark.parametrize("pace", ["real", "x60", "x1000000"])
def test_a_clock_that_runs_can_be_steered(pace: str) -> None:
    steered = control(clock=pace)
    for _ in range(50):
        steered.clock.freeze()
        steered.clock.run(60.0)
        steered.clock.auto()
        steered.clock.run(1e6)
        steered.clock.advance(0.000001)
        steered.clock.advance(1.0)
        steered.clock.run_until_idle()


def test_auto_makes_a_clock_move_with_every_fetch() -> None:
    world = World(Settings.of(clock="x2"), deliverer=RecordingDeliverer())
    steered = TenantControl(world, "k")
    steered.clock.auto()
    assert (steered.clock.rate, steered.clock.is_auto) == (0, True)
    job = world.tenant("k").submit(ORDER)
    states = [world.tenant("k").fetch(job.id).state for _ in range(3)]
    assert states == [JobState.PENDING, JobState.RUNNING, JobState.SUCCESS]
    world.close()


def test_what_a_deliverer_does_wrong_is_a_failed_attempt(caplog: pytest.LogCaptureFixture) -> None:
    def broken(delivery: Delivery) -> Receipt:
        raise LookupError("on purpose")

    subject = tenant(RecordingDeliverer(broken), hook_retry="5")
    subject.submit(HOOKED)
    subject.run_until_idle()
    (delivery,) = subject.store.deliveries.values()
    assert [attempt.receipt.ok for attempt in delivery.attempts] == [False, False]
    assert "on purpose" in str(delivery.attempts[0].receipt.error)


def test_a_receiver_in_the_same_thread_may_look_but_not_move_the_clock() -> None:
    seen: list[object] = []

    def receiver(delivery: Delivery) -> Receipt:
        seen.append(subject.fetch(delivery.job_id).state)
        with pytest.raises(RuntimeError, match="what a hook causes cannot move it"):
            subject.advance(1)
        return Receipt(200)

    subject = tenant(RecordingDeliverer(receiver))
    subject.submit(HOOKED)
    subject.advance(100)
    assert seen == [JobState.SUCCESS]


def test_forced_starts_do_not_raise_the_limit_for_good() -> None:
    subject = tenant(slots=1)
    jobs = [subject.submit(ORDER) for _ in range(8)]
    for job in jobs[:3]:
        subject.force(job.id, Event.START)
    most = 3
    while subject.store.unfinished:
        before = subject.store.running
        subject.advance_to_next_event()
        most = max(1, min(most, before))
        assert subject.store.running <= max(before, 1)
    assert most == 1


def test_time_set_for_a_job_that_was_finished_by_hand_is_no_event() -> None:
    subject = tenant()
    job = subject.submit(ORDER)
    subject.force(job.id, Event.SUCCEED)
    subject.run_until_idle()
    assert subject.clock.now() == EPOCH


@pytest.mark.parametrize("reason", [3, "", object()])
def test_a_job_fails_with_words_or_not_at_all(emulate: Emulate, reason: object) -> None:
    caller = emulate(progress="manual")
    steered = TenantControl(caller.app.world, caller.key)
    job_id = caller.submit()
    with pytest.raises(ValueError, match="expected a reason in words"):
        steered.jobs.fail(job_id, reason)  # type: ignore[arg-type]
    assert caller.fetch(job_id)["status"] == "ON_QUEUE"


def test_only_a_job_that_succeeded_has_an_image_url(emulate: Emulate) -> None:
    caller = emulate(progress="manual")
    steered = TenantControl(caller.app.world, caller.key)
    job_id = caller.submit()
    with pytest.raises(IllegalTransition, match="only one that is SUCCESS"):
        steered.jobs.image_url(job_id)
    steered.jobs.finish(job_id)
    assert steered.jobs.image_url(job_id) == caller.fetch(job_id)["data"]["imageUrl"]


class Counted:
    """Answers every hook with a 500, and lets a test wait for the next one."""

    def __init__(self) -> None:
        self._came = threading.Semaphore(0)

    def __call__(self, delivery: Delivery) -> Receipt:
        self._came.release()
        return Receipt(500)

    def wait(self) -> None:
        assert self._came.acquire(timeout=20), "no hook came"


def test_a_very_slow_clock_does_not_stop_the_time_of_others(emulate: Emulate) -> None:
    hooks = Counted()
    caller = emulate(deliverer=RecordingDeliverer(hooks), clock="x0.000001", progress="immediate", hook_retry="86400")
    caller.submit(hookUrl="http://127.0.0.1:9/slow")
    hooks.wait()
    Caller(caller.app, "other").submit(hookUrl="http://127.0.0.1:9/other")
    hooks.wait()


def test_retries_come_by_themselves(emulate: Emulate) -> None:
    hooks = Counted()
    caller = emulate(deliverer=RecordingDeliverer(hooks), clock="x1000", progress="immediate", hook_retry="20,20")
    caller.submit(hookUrl="http://127.0.0.1:9/hook")
    for _ in range(3):
        hooks.wait()


def test_events_that_are_looked_at_late_have_their_own_time() -> None:
    real = FakeTime()
    subject = tenant(clock="x1@2026-01-01")
    subject.clock = Clock(parse_clock("x1@2026-01-01"), real=real)
    job = subject.submit(ORDER)
    real.seconds = 5000.0
    done = subject.fetch(job.id)
    assert done.started_at == later(job.submitted_at, job.plan.queue_seconds)
    assert done.finished_at == later(done.started_at, job.plan.run_seconds)


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
    with pytest.raises(ValueError, match="before the year 9000"):
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
