"""A tenant: the world behind one API key, where clock, engine, store and scenario meet.

Everything happens under the tenant's lock, only hooks are handed over without it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

from mock_server import engine
from mock_server.clock import Clock
from mock_server.contract import Contract, contract
from mock_server.engine import Event
from mock_server.errors import UnknownDelivery, UnknownJob, WorldReset
from mock_server.hooks.deliverer import Deliverer
from mock_server.identity import Source
from mock_server.journal import Journal, Observer
from mock_server.model import (
    Account,
    Change,
    Delivery,
    DeliveryState,
    Job,
    JobState,
    Order,
    Posting,
    Receipt,
    Timer,
    TimerKind,
)
from mock_server.postman import LOST
from mock_server.product import Product
from mock_server.ratelimit import Window
from mock_server.render import Renderer
from mock_server.scenarios.director import Director
from mock_server.scenarios.rules import Moment, Target, Turn, all_goes_well
from mock_server.schedule import Schedule
from mock_server.settings import ProgressKind, Settings
from mock_server.store import MemoryStore


class Tenant(Schedule):
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
        clock = Clock(settings.clock)
        opening = Posting(clock.now(), Account.PURCHASED, Account.AVAILABLE, settings.balance)
        journal = Journal(key, settings.journal, observer)
        super().__init__(clock, MemoryStore(opening), journal, deliverer)
        self.key = key
        self.settings = settings
        self.rules = settings.rules
        self.product = product
        self.contract: Contract = contract(settings.contract)
        self.source = Source(settings.seed, key)
        self.renderer = Renderer(self.contract, product, self.source.tag, null_data=settings.data == "null")
        self.director = director or Director(all_goes_well, self.source, None, product.failure)
        self.awaited: set[str] = set()
        """Ids of the deliveries that somebody has waited for."""
        self._window = Window(settings.rate_limit) if settings.rate_limit else None
        self._arrivals: dict[str, Future[None]] = {}
        self._watch = wake
        self._closed = False

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
        """Accept a job; raises ApiError 402 or 499, and WorldReset when this world is no more."""
        with self.lock:
            self._check_open()
            now = self._drain()
            luck = self.source.draw(self.store.submitted + 1)
            plan = self.product.plan(order.mode, luck.queue_share, luck.run_share)
            plan = self.director.plan(plan, order, self.store.submitted + 1)
            price = self.product.modes[order.mode].price
            change = engine.submit(
                self.store, order, job_id=luck.job_id, plan=plan, price=price, rules=self.rules, now=now
            )
            self.store.commit(change)
            early = order.hook_url is not None and self._comes_early(order)
            if early or self.settings.progress.kind is ProgressKind.IMMEDIATE:
                self._happen(luck.job_id, (Event.START, engine.ending(change.jobs[0])), now)
            if early:
                self._arrivals[engine.delivery_id(luck.job_id)] = Future()
            self._expect_hooks()
            return self.store.jobs[luck.job_id]

    def _comes_early(self, order: Order) -> bool:
        wish = self.director.dispatch(order, self.store.submitted)
        return wish.copies > 0 and wish.when is Moment.BEFORE_ANSWER

    def turn(self, target: Target, order: Order, job: Job | None = None) -> Turn | None:
        """Return the turn that the answer to a call takes, for a new job or an old one; None when all goes well."""
        if self.director.has_nothing_for(order):
            return None
        with self.lock:
            number = self.store.submitted + 1 if job is None else job.number
            status = self._status_of_fetch(job.id) if target is Target.FETCH and job is not None else None
            turn = self.director.turn(target, order, number, status)
            return turn and Turn(turn.twist, turn.seconds / (self.clock.rate or 1.0))

    def _status_of_fetch(self, job_id: str) -> str:
        """Return the status that a fetch would answer now; it moves the job on only if it is carried out."""
        self._drain()
        job = self.job(job_id)
        state = job.state
        if self.settings.progress.kind is ProgressKind.POLLS and not state.final:
            for event in engine.poll(job, self.settings.progress.polls):
                state = engine.TRANSITIONS[state, event]
        return self.renderer.status(replace(job, state=state))

    def arrival(self, job: Job) -> Future[None] | None:
        """Return what is done once the webhook of `job` has arrived, if its submission is to be answered only then."""
        return self._arrivals.get(engine.delivery_id(job.id)) if self._arrivals else None

    def fetch(self, job_id: str) -> Job:
        """Return a job as this fetch sees it; with progress by polls, and with an auto clock, it also moves it on."""
        with self.lock:
            now = self._drain()
            job = self.job(job_id)
            if job.state.final:
                self._release(job, now)
            elif self.settings.progress.kind is ProgressKind.POLLS:
                job = self._polled(job, now)
            elif self.clock.auto:
                self._to_next_event(hooks=False)
            return job

    def _polled(self, job: Job, now: float) -> Job:
        for event in engine.poll(job, self.settings.progress.polls):
            self._happen(job.id, (event,), now)
        job = engine.count_poll(self.store.jobs[job.id])
        self.store.commit(Change(jobs=(job,)))
        self._release(job, now)
        self._expect_hooks()
        return job

    def _release(self, job: Job, now: float) -> None:
        delivery = self.store.deliveries.get(engine.delivery_id(job.id)) if job.order.hook_url is not None else None
        if delivery is not None and delivery.state is DeliveryState.HELD:
            wish = self.director.dispatch(job.order, job.number)
            self.store.commit(engine.release(delivery, now=now, copies=wish.copies, delay=wish.delay))
            self._expect_hooks()

    # What the person at the controls does

    def job(self, job_id: str) -> Job:
        """Return a job as it stands; raises UnknownJob."""
        try:
            return self.store.jobs[job_id]
        except KeyError:
            raise UnknownJob(f"no job {job_id!r} among the {len(self.store.jobs)} of this tenant") from None

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

    def replay(self, delivery_id: str) -> Delivery:
        """
        Send a webhook once more, now, whatever has become of it; return it as it stands then.

        Raises:
            UnknownDelivery: there is no such delivery.
            RuntimeError: the clock is being moved, and waits for a hook; nothing is sent then.
        """
        with self.lock:
            self.check_free()
            delivery = self.store.deliveries.get(delivery_id)
            if delivery is None:
                known = ", ".join(list(self.store.deliveries)[:3]) or "none so far"
                raise UnknownDelivery(f"no webhook delivery {delivery_id!r}: expected one of hooks, such as {known}")
            self.store.commit(engine.release(delivery, now=self._drain()))
        self._walk(lambda now: now, f"replay {delivery_id}")
        return self.store.deliveries[delivery_id]

    def close(self) -> None:
        """Forget all that is to come: no job moves and no hook is sent any more."""
        with self.lock:
            self._closed = True
            self.store.forget_timers()
            self.postman.close()
            for delivery_id in tuple(self._arrivals):
                self._note_arrival(delivery_id)

    # What happens in time

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
                wish = self.director.dispatch(job.order, job.number)
                change = engine.finish(
                    self.store,
                    job,
                    failure=reason,
                    snapshot=self.renderer.fetched,
                    rules=self.rules,
                    now=now,
                    copies=wish.copies,
                    hook_delay=0.0 if wish.when is Moment.BEFORE_ANSWER else wish.delay,
                    hold=wish.when is Moment.AFTER_FINAL_FETCH,
                )
            self.store.commit(change)

    def _send(self, delivery: Delivery, due: float) -> None:
        job = self.store.jobs[delivery.job_id]
        parcel = self.director.parcel(delivery, job.order, job.number)
        self.postman.take(parcel or delivery, due, lost=parcel is None)

    def _land(self, sent: Delivery, due: float, receipt: Receipt) -> Callable[[], None]:
        self._note_arrival(sent.id)
        current = self.store.deliveries[sent.id]
        change = engine.after_delivery(current, receipt, attempted_at=due, rules=self.rules)
        self.store.commit(change)
        self._expect_hooks()
        (after,) = change.deliveries
        seen = replace(after, body=sent.body, content_type=sent.content_type)
        twisted = seen != after or receipt is LOST
        return lambda: self.journal.note_attempt(seen, after.attempts[-1], twisted=twisted)

    def _wake(self) -> None:
        self._watch(self)

    def _check_open(self) -> None:
        if self._closed:
            raise WorldReset("this world was made anew while the request was under way")

    def _note_arrival(self, delivery_id: str) -> None:
        arrival = self._arrivals.pop(delivery_id, None)
        if arrival is not None:
            arrival.set_result(None)
