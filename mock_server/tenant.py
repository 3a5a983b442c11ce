"""A tenant: the world behind one API key, where clock, engine, store and deliverer meet.

Everything happens under the tenant's lock, only hooks are handed over without it. Requests move jobs on. Only `tick`
(real time has come) and `advance_to` (somebody moves the clock) send webhooks, so that answering never waits for one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from threading import Condition, RLock, get_ident

from mock_server import engine
from mock_server.clock import Clock, check_forward
from mock_server.contract import Contract, contract
from mock_server.director import Director
from mock_server.engine import Event
from mock_server.errors import UnknownJob
from mock_server.hooks.deliverer import Deliverer
from mock_server.identity import Source
from mock_server.journal import Journal, Observer
from mock_server.model import Account, Change, Delivery, Job, JobState, Order, Posting, Receipt, Timer, TimerKind, later
from mock_server.product import Product
from mock_server.ratelimit import Window
from mock_server.render import Renderer
from mock_server.scenario import Target, Turn, all_goes_well
from mock_server.settings import ProgressKind, Settings
from mock_server.store import MemoryStore

_log = logging.getLogger("fluxmock.tenant")

AUTO_IDLE = 0.03
"""Real seconds without a request after which an auto clock moves on by itself while a hook is expected."""

_HOOK_PAUSE = 0.002
# Real seconds that a hook waits at least, so that the answer to the request that caused it leaves first.


class Tenant:
    """
    All that one API key owns.

    Args:
        key: the API key.
        settings: how this world behaves.
        product: what it sells.
        deliverer: sends the hooks.
        director: knows the scenario; by default all goes well.
        observer: told of every journal entry.
        wake: called when this tenant expects webhooks, so that somebody calls `tick` in time.
    """

    def __init__(
        self,
        key: str,
        settings: Settings,
        product: Product,
        deliverer: Deliverer,
        *,
        director: Director | None = None,
        observer: Observer | None = None,
        wake: Callable[[Tenant], None] = lambda _: None,
    ) -> None:
        self.key = key
        self.settings = settings
        self.rules = settings.rules
        self.product = product
        self.contract: Contract = contract(settings.contract)
        self.clock = Clock(settings.clock)
        self.journal = Journal(key, settings.journal, observer)
        self.source = Source(settings.seed, key)
        self.renderer = Renderer(self.contract, product, self.source.tag, null_data=settings.data == "null")
        self.director = director or Director(all_goes_well, self.source, None, product.failure)
        opening = Posting(self.clock.now(), Account.PURCHASED, Account.AVAILABLE, settings.balance)
        self.store = MemoryStore(opening)
        self._window = Window(settings.rate_limit) if settings.rate_limit else None
        self._deliverer = deliverer
        self._wake = wake
        self.lock = RLock()
        self._landed = Condition(self.lock)
        self._in_flight = 0
        self._outbox: list[tuple[Delivery, float]] = []
        self._posting: set[int] = set()
        self._walkers = 0
        self._closed = False
        self._written_at_tick = -1

    # What clients do

    def admit(self) -> None:
        """Count one call against the rate limit; raises ApiError 429 when there were too many."""
        if self._window is None:
            return
        with self.lock:
            free_at = self._window.admit(self.clock.now())
            if free_at is None:
                return
            refusal = self._window.refusal(free_at - self.clock.now(), self.clock.rate, auto=self.clock.auto)
            if self.clock.auto:
                self._fire_due(free_at, hooks=False)
                self.clock.forward_to(free_at)
            raise refusal

    def submit(self, order: Order) -> Job:
        """Accept a job; raises ApiError 402 or 499."""
        with self.lock:
            now = self._drain()
            luck = self.source.draw(self.store.submitted + 1)
            plan = self.product.plan(order.mode, luck.queue_share, luck.run_share)
            plan = self.director.plan(plan, order, self.store.submitted + 1)
            price = self.product.modes[order.mode].price
            change = engine.submit(
                self.store, order, job_id=luck.job_id, plan=plan, price=price, rules=self.rules, now=now
            )
            self.store.commit(change)
            if self.settings.progress.kind is ProgressKind.IMMEDIATE:
                self._happen(luck.job_id, (Event.START, engine.ending(change.jobs[0])), now)
            self._expect_hooks()
            return self.store.jobs[luck.job_id]

    def turn(self, target: Target, order: Order, job: Job | None = None) -> Turn | None:
        """Return the turn that the answer to a call takes, for a new job or an old one; None when all goes well."""
        if self.director.has_nothing_for(order):
            return None
        with self.lock:
            turn = self.director.turn(target, order, self.store.submitted + 1 if job is None else job.number)
            return turn and Turn(turn.twist, turn.seconds / (self.clock.rate or 1.0))

    def fetch(self, job_id: str) -> Job:
        """Return a job as this fetch sees it; with progress by polls, and with an auto clock, it also moves it on."""
        with self.lock:
            now = self._drain()
            job = self.job(job_id)
            if job.state.final:
                return job
            if self.settings.progress.kind is ProgressKind.POLLS:
                job = self._polled(job, now)
            elif self.clock.auto:
                self._to_next_event(hooks=False)
            return job

    def _polled(self, job: Job, now: float) -> Job:
        for event in engine.poll(job, self.settings.progress.polls):
            self._happen(job.id, (event,), now)
        job = engine.count_poll(self.store.jobs[job.id])
        self.store.commit(Change(jobs=(job,)))
        self._expect_hooks()
        return job

    # What the person at the controls does

    def job(self, job_id: str) -> Job:
        """Return a job as it stands; raises UnknownJob."""
        try:
            return self.store.jobs[job_id]
        except KeyError:
            raise UnknownJob(f"no job {job_id!r} among the {len(self.store.jobs)} of this tenant") from None

    def settle(self) -> None:
        """Let happen what is due by now, except sending hooks."""
        with self.lock:
            self._drain()

    def current_jobs(self) -> tuple[Job, ...]:
        """Return all jobs as they stand now, oldest first."""
        with self.lock:
            self._drain()
            return tuple(self.store.jobs.values())

    def force(self, job_id: str, event: Event, failure: str | None = None) -> Job:
        """
        Let `event` happen to a job now; one that is to succeed is started first, if need be.

        Raises:
            UnknownJob: there is no such job.
            IllegalTransition: its state does not allow it.
        """
        with self.lock:
            now = self._drain()
            starts = self.job(job_id).state is JobState.PENDING and event is Event.SUCCEED
            self._happen(job_id, (Event.START, event) if starts else (event,), now, failure)
            self._expect_hooks()
            return self.store.jobs[job_id]

    def advance(self, seconds: float) -> None:
        """Move the clock on by `seconds`, as `advance_to` does; ValueError if they are negative."""
        now = self.clock.now()
        instant = later(now, seconds)
        check_forward(now, instant)
        self._walk_to(instant)

    def advance_to(self, instant: float) -> None:
        """
        Move the clock to `instant`, event by event.

        What falls due on the way happens at its own time. Each hook is delivered, and its retry set, before the clock
        goes on.

        Raises:
            ValueError: `instant` lies in the past.
        """
        check_forward(self.clock.now(), instant)
        self._walk_to(later(instant, 0.0))

    def advance_to_next_event(self) -> bool:
        """Move the clock to the next event and let it happen; return whether there was one."""
        with self.lock:
            due = self.store.next_due(hooks=True)
        if due is None:
            return False
        self._walk_to(max(due, self.clock.now()))
        return True

    def run_until_idle(self) -> None:
        """Move the clock on until nothing more is to come."""
        self._walk_to(None)

    def _walk_to(self, instant: float | None) -> None:
        with self.lock:
            if get_ident() in self._posting or (self._walkers and self._in_flight):
                raise RuntimeError("the clock is being moved, and waits for a hook: what a hook causes cannot move it")
            self._walkers += 1
        try:
            while self._step_to(instant):
                self._post()
        finally:
            with self.lock:
                self._walkers -= 1
        if instant is not None:
            self.clock.forward_to(instant)

    def _step_to(self, instant: float | None) -> bool:
        """Once no hook is on its way, go to the next event that is due by `instant`; return whether there was one."""
        with self.lock:
            self._landed.wait_for(lambda: self._in_flight == 0)
            due = self.store.next_due(hooks=True)
            if due is None or (instant is not None and due > instant):
                return False
            self.clock.forward_to(due)
            timer = self.store.pop_due(due, hooks=True)
            if timer is not None:
                self._fire(timer)
            return True

    def close(self) -> None:
        """Forget all that is to come: no job moves and no hook is sent any more."""
        with self.lock:
            self._closed = True
            self.store.forget_timers()

    def set_pace(self, rate: float, *, auto: bool = False) -> None:
        """Let the clock go on at another rate."""
        with self.lock:
            self._drain()
            self.clock.run(rate, auto=auto)
            self._expect_hooks()

    # What time does

    def tick(self) -> None:
        """Do what is due by now and send the hooks that are, without waiting for them."""
        with self.lock:
            self._fire_due(self.clock.now(), hooks=True)
            if self.clock.auto:
                self._run_while_idle()
        self._post()

    def next_tick_in(self) -> float | None:
        """Return the real seconds until `tick` should be called; None when time alone will bring no hook."""
        with self.lock:
            if not self.store.hooks_expected:
                return None
            if self.clock.auto:
                return AUTO_IDLE
            due = self.store.next_due(hooks=True)
            left = None if due is None else self.clock.real_seconds_until(due)
            return None if left is None else max(left, _HOOK_PAUSE)

    def _expect_hooks(self) -> None:
        if self.store.hooks_expected:
            self._wake(self)

    def _drain(self) -> float:
        now = self.clock.now()
        self._fire_due(now, hooks=False)
        return now

    def _fire_due(self, now: float, *, hooks: bool) -> None:
        while (timer := self.store.pop_due(now, hooks=hooks)) is not None:
            self._fire(timer)

    def _to_next_event(self, *, hooks: bool) -> bool:
        due = self.store.next_due(hooks=hooks)
        if due is None:
            return False
        self._fire_due(self.clock.forward_to(due), hooks=hooks)
        return True

    def _run_while_idle(self) -> None:
        idle = self.journal.written == self._written_at_tick
        self._written_at_tick = self.journal.written
        while idle and self.store.hooks_expected and not self._in_flight and self._to_next_event(hooks=True):
            pass

    def _fire(self, timer: Timer) -> None:
        if timer.kind is TimerKind.DELIVER:
            self._send(self.store.deliveries[timer.ref], timer.due)
            return
        job = self.store.jobs[timer.ref]
        if timer.kind is TimerKind.START and job.state is JobState.PENDING:
            change = engine.start(self.store, job, rules=self.rules, now=timer.due)
            if change is None:
                self.store.stand_in_line(job.id)
            else:
                self.store.commit(change)
        elif timer.kind is TimerKind.FINISH and not job.state.final:
            self._happen(job.id, (engine.ending(job),), timer.due)

    def _happen(self, job_id: str, events: tuple[Event, ...], now: float, failure: str | None = None) -> None:
        for event in events:
            job = self.store.jobs[job_id]
            if event is Event.START:
                change = engine.begin(job, rules=self.rules, now=now)
            else:
                reason = (failure or job.plan.failure or self.product.failure) if event is Event.FAIL else None
                delivery = self.director.delivery(job.order, job.number)
                change = engine.finish(
                    self.store,
                    job,
                    failure=reason,
                    snapshot=self.renderer.fetched,
                    rules=self.rules,
                    now=now,
                    copies=delivery.copies,
                    hook_delay=delivery.delay,
                )
            self.store.commit(change)

    def _send(self, delivery: Delivery, due: float) -> None:
        self._in_flight += 1
        self._outbox.append((delivery, due))

    def _post(self) -> None:
        """Hand over what is to be sent; without the lock, for a receiver may well call back."""
        with self.lock:
            outbox, self._outbox = self._outbox, []
        self._posting.add(get_ident())
        try:
            for delivery, due in outbox:
                self._hand_over(delivery, due)
        finally:
            self._posting.discard(get_ident())

    def _hand_over(self, delivery: Delivery, due: float) -> None:
        def landed(future: Future[Receipt]) -> None:
            try:
                receipt = future.result()
            except BaseException as error:  # noqa: BLE001 - whatever it was, the clock must not wait for ever
                receipt = _broken(error)
            self._land(delivery, due, receipt)

        try:
            future = self._deliverer.deliver(delivery)
        except Exception as error:  # noqa: BLE001 - likewise
            self._land(delivery, due, _broken(error))
        else:
            future.add_done_callback(landed)

    def _land(self, delivery: Delivery, due: float, receipt: Receipt) -> None:
        with self.lock:
            self._in_flight -= 1
            self._landed.notify_all()
            if self._closed:
                return
            current = self.store.deliveries[delivery.id]
            change = engine.after_delivery(current, receipt, attempted_at=due, rules=self.rules)
            self.store.commit(change)
            self._expect_hooks()
        self.journal.note_attempt(change.deliveries[0], change.deliveries[0].attempts[-1])


def _broken(error: BaseException) -> Receipt:
    _log.error("a deliverer failed", exc_info=error)
    return Receipt(None, f"the deliverer failed: {error!r}")
