"""What Python code gets to steer and look at one tenant: clock, jobs, ledger, journal, hooks.

Thin views on the tenant; every value that they hand out is frozen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar, overload

from mock_server.awaiting import await_delivery
from mock_server.engine import Event
from mock_server.errors import IllegalTransition, UnknownDelivery
from mock_server.exchange import mask
from mock_server.hooks.apps import App, AppDeliverer
from mock_server.journal import Journal, RequestEntry
from mock_server.model import Account, Delivery, Job, JobState, Posting
from mock_server.scenarios.rules import Scenario
from mock_server.tenant import Tenant
from mock_server.verification import Amount, Expectation, differences, verify_calls, verify_spend
from mock_server.world import World

_MOST_KEYS = 5
_T = TypeVar("_T")
_Get = Callable[[], Tenant]


class ClockControl:
    """The tenant's clock. Instants are seconds since the Unix epoch; it only goes forward."""

    def __init__(self, get: _Get, find: Callable[[], Tenant | None]) -> None:
        self._get = get
        self._find = find

    def __repr__(self) -> str:
        tenant = self._find()
        return f"<fluxmock clock {'of no world yet' if tenant is None else _clock_words(tenant)}>"

    def now(self) -> float:
        """Return this instant."""
        return self._get().clock.now()

    def today(self) -> datetime:
        """Return this instant as a datetime in UTC."""
        return datetime.fromtimestamp(self.now(), UTC)

    @property
    def rate(self) -> float:
        """Virtual seconds a real second; 0 when it does not run by itself."""
        return self._get().clock.rate

    @property
    def is_auto(self) -> bool:
        """Whether a fetch of an unfinished job moves it to the next event."""
        return self._get().clock.auto

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`, event by event; hooks are delivered on the way. ValueError if negative."""
        self._get().advance(seconds)

    def advance_to(self, instant: float | datetime) -> None:
        """Move on to `instant`, event by event; ValueError if it lies in the past."""
        self._get().advance_to(instant.timestamp() if isinstance(instant, datetime) else instant)

    def advance_to_next_event(self) -> bool:
        """Move on to the next event and let it happen; return whether there was one."""
        return self._get().advance_to_next_event()

    def next_event_at(self) -> float | None:
        """Return the instant of the next event, of a job or a hook; None when nothing more is to come."""
        return self._get().next_event_at()

    def run_until_idle(self) -> None:
        """Move on until nothing more is to come: all timed jobs finished, all hooks delivered or given up."""
        self._get().run_until_idle()

    def freeze(self) -> None:
        """Stop; from here on it moves only by hand."""
        self._get().set_pace(0.0)

    def run(self, rate: float = 1.0) -> None:
        """Go on by itself at `rate` virtual seconds a real second."""
        self._get().set_pace(rate)

    def auto(self) -> None:
        """Stop, and move to the next event whenever a fetch looks at an unfinished job."""
        self._get().set_pace(0.0, auto=True)

    def drive(self) -> AbstractContextManager[None]:
        """
        Let the code in the `with` block live on this clock: its sleeps and waits move it, and take no real time.

        What is covered, and what is not, stands in `mock_server.drive`.
        """
        from mock_server.drive import drive

        return drive(self)


def _clock_words(tenant: Tenant) -> str:
    clock = tenant.clock
    return f"{clock.pace} at {clock.now() - tenant.store.postings[0].at:+.1f} s"


def _settled(tenant: Tenant) -> Tenant:
    tenant.settle()
    return tenant


class _View(Sequence[_T]):
    def __init__(self, items: Callable[[], Sequence[_T]]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items())

    @overload
    def __getitem__(self, index: int) -> _T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[_T]: ...
    def __getitem__(self, index: int | slice) -> _T | Sequence[_T]:
        return self._items()[index]

    def __iter__(self) -> Iterator[_T]:
        return iter(self._items())

    def __repr__(self) -> str:
        return repr(list(self._items()))


class Jobs(_View[Job]):
    """The tenant's jobs, oldest first, as they stand now; and the hand that moves them on."""

    def __init__(self, get: _Get) -> None:
        super().__init__(lambda: get().current_jobs())
        self._get = get

    def get(self, job_id: str) -> Job:
        """Return the job of that id; raises UnknownJob."""
        tenant = self._get()
        tenant.settle()
        return tenant.job(job_id)

    def start(self, job_id: str) -> Job:
        """PENDING_QUEUE → ON_QUEUE now; raises UnknownJob, IllegalTransition."""
        return self._get().force(job_id, Event.START)

    def finish(self, job_id: str) -> Job:
        """→ SUCCESS now, by way of ON_QUEUE; raises UnknownJob, IllegalTransition."""
        return self._get().force(job_id, Event.SUCCEED)

    def fail(self, job_id: str, reason: str | None = None) -> Job:
        """→ FAILED now, with `reason` or the product's usual one; raises UnknownJob, IllegalTransition."""
        if reason is not None and (not isinstance(reason, str) or not reason):
            raise ValueError(f"expected a reason in words, or None for the usual one, got {reason!r}")
        return self._get().force(job_id, Event.FAIL, reason)

    def image_url(self, job_id: str) -> str:
        """Return the URL of the image of a job; raises UnknownJob, and IllegalTransition unless it has succeeded."""
        job = self.get(job_id)
        if job.state is not JobState.SUCCESS:
            raise IllegalTransition(f"job {job_id} is {job.state.value}: only one that is SUCCESS has an image")
        return self._get().renderer.image_url(job)


class Ledger(_View[Posting]):
    """The tenant's postings, oldest first, and its balances, in quota units (100 = 1 USD)."""

    def __init__(self, get: _Get) -> None:
        super().__init__(lambda: _settled(get()).store.postings[:])
        self._get = get

    def balance(self, account: Account = Account.AVAILABLE) -> Decimal:
        """Return what lies in `account`; by default what can still be spent."""
        tenant = self._get()
        with tenant.lock:
            tenant.settle()
            return tenant.store.balances[account]

    @property
    def spent(self) -> Decimal:
        """Quota units that jobs have really cost."""
        return self.balance(Account.SPENT)

    @property
    def reserved(self) -> Decimal:
        """Quota units that unfinished jobs hold."""
        return self.balance(Account.RESERVED)


class Hooks(_View[Delivery]):
    """The tenant's webhook deliveries, oldest first, each with all its attempts."""

    def __init__(self, get: _Get) -> None:
        super().__init__(lambda: tuple(_settled(get()).store.deliveries.values()))
        self._get = get

    def wait_for_delivery(self, job_id: str | None = None, *, timeout: float = 5.0) -> Delivery:
        """
        Return the webhook of a job, or the next one that nobody has waited for, once its receiver took it (2xx).

        It never returns when nothing was sent. A clock that stands still is moved on, event by event, to get there.

        Args:
            job_id: of which job; None for any.
            timeout: real seconds to wait for each receiver, and, on a clock that runs, for a webhook at all.

        Raises:
            NotDelivered: an AssertionError: it did not arrive, or will not; the text says what became of each.
            UnknownJob: there is no such job.
        """
        __tracebackhide__ = True
        return await_delivery(self._get(), job_id, timeout)

    def replay(self, delivery_id: str) -> Delivery:
        """Send a webhook once more, now, and return it as it stands then; raises UnknownDelivery."""
        __tracebackhide__ = True
        try:
            return self._get().replay(delivery_id)
        except UnknownDelivery as error:
            raise error.with_traceback(None) from None  # where we looked for it says nothing to a user

    def deliver_to(self, app: App, url: str = "http://hooks.localhost") -> str:
        """
        Call an application in this process for all webhooks to the scheme, host and port of `url`.

        Args:
            app: a WSGI application (Flask, Django) or an ASGI one (FastAPI, Starlette).
            url: what clients give as the beginning of their hookUrl; its host need not exist.

        Returns:
            `url`, without a slash at the end.

        Raises:
            ValueError: `url` is no URL for hooks.
            TypeError: `app` is no application.
        """
        tenant = self._get()
        tenant.postman.deliver_to(AppDeliverer(app), url)
        return url.rstrip("/")


def _together(fields: Mapping[str, object] | None, more: Mapping[str, object]) -> dict[str, object]:
    fields = fields or {}
    for name in fields.keys() & more.keys():
        raise ValueError(f"{name}: expected it once, got it in fields and as an argument: leave one of them out")
    return {**fields, **more}


def calls_elsewhere(world: World) -> list[str]:
    """Return what to tell somebody who misses calls: those without a world, and the keys that others came with."""
    strays = len(world.strays.requests)
    lines = [f"calls with no key, with one that is not accepted, or to no endpoint: {strays}"] if strays else []
    callers = [tenant.key for tenant in world.tenants() if tenant.journal.dropped or tenant.journal.requests]
    more = f" and {len(callers) - _MOST_KEYS} more" if len(callers) > _MOST_KEYS else ""
    keys = ", ".join(mask(key) for key in callers[:_MOST_KEYS])
    return lines + ([f"calls came with the keys {keys}{more}"] if callers else [])


class TenantControl:
    """
    The world behind one API key. It stays valid when that world is made anew.

    Attributes:
        api_key: the API key.
        url: the base URL of the server that serves it, without a slash at the end; "" when none does.
        clock: its clock.
        jobs: its jobs.
        ledger: its postings and balances.
        hooks: its webhook deliveries.
    """

    def __init__(self, world: World, api_key: str, url: str = "") -> None:
        def get() -> Tenant:
            return world.tenant(api_key)

        def find() -> Tenant | None:
            return world.find(api_key, make=False)

        self._world = world
        self._get = get
        self._find = find
        self.api_key = api_key
        self.url = url
        self.clock = ClockControl(get, find)
        self.jobs = Jobs(get)
        self.ledger = Ledger(get)
        self.hooks = Hooks(get)
        get()

    def __repr__(self) -> str:
        # Somebody who debugs looks at this: it neither makes a world, nor waits for one, nor lets anything happen.
        tenant = self._find()
        if tenant is None:
            return f"<fluxmock tenant {mask(self.api_key)}: no world yet>"
        store, count = tenant.store, len(tenant.store.jobs)
        jobs = f"{count} job{'' if count == 1 else 's'}, spent {store.balances[Account.SPENT]:f}"
        return f"<fluxmock tenant {mask(self.api_key)}: {jobs}, clock {_clock_words(tenant)}>"

    @property
    def journal(self) -> Journal:
        """Its requests, answers and hook attempts."""
        return self._get().journal

    @property
    def spent(self) -> Decimal:
        """Quota units that its jobs have really cost."""
        return self.ledger.spent

    def calls(
        self,
        endpoint: str | None = None,
        *,
        status: int | None = None,
        job_id: str | None = None,
        fields: Mapping[str, object] | None = None,
        **more_fields: object,
    ) -> list[RequestEntry]:
        """
        Return the calls of this kind that came, oldest first; refused ones count, too.

        Args:
            endpoint: generate, edits, submit (either of these), fetch, image, or a path such as "/flux/fetch"; None is
                any.
            status: of the answer.
            job_id: the job that the call made or asked for.
            fields: of the body or the query, by name: a value, a compiled pattern to be found in it, or a function that
                says whether it will do.
            more_fields: the same, written as arguments.

        Raises:
            ValueError: there is no such endpoint.
        """
        __tracebackhide__ = True
        expectation = Expectation(endpoint, None, status, job_id, _together(fields, more_fields))
        return [entry for entry in self.journal.requests if not differences(entry, expectation)]

    def assert_called(
        self,
        endpoint: str | None,
        *,
        times: int | None = None,
        at_least: int | None = None,
        at_most: int | None = None,
        status: int | None = None,
        job_id: str | None = None,
        fields: Mapping[str, object] | None = None,
        **more_fields: object,
    ) -> list[RequestEntry]:
        """
        Return the calls of this kind, which must be as many as is said; by default at least one.

        Args:
            endpoint: as for `calls`.
            times: exactly so many calls; 0 is none at all.
            at_least: so many calls or more.
            at_most: so many calls or fewer.
            status: of the answer.
            job_id: the job that the call made or asked for.
            fields: of the body or the query, as for `calls`.
            more_fields: the same, written as arguments.

        Raises:
            Unverified: an AssertionError: they are more or fewer. The text shows the nearest calls, and in what they
                differ.
            ValueError: there is no such endpoint, or these numbers make no sense.
        """
        __tracebackhide__ = True
        expectation = Expectation(endpoint, None, status, job_id, _together(fields, more_fields))
        amount = Amount.of(times, at_least, at_most)
        tenant = self._get()
        return verify_calls(
            tenant.journal.requests,
            expectation,
            amount,
            start=tenant.store.postings[0].at,
            dropped=tenant.journal.dropped,
            elsewhere=lambda: calls_elsewhere(self._world),
        )

    def assert_max_spend(self, quota: Decimal | float | str) -> Decimal:
        """
        Return what its jobs cost, finished or not, in quota units, which must be no more than `quota`.

        Raises:
            Unverified: an AssertionError: it is more. The text lists the jobs, and says which of them a client's
                transport ordered once more because an answer was broken on its way.
            ValueError: `quota` is no amount.
        """
        __tracebackhide__ = True
        tenant = self._get()
        with tenant.lock:
            jobs, postings = tenant.current_jobs(), tenant.store.postings[:]
        return verify_spend(quota, jobs, postings, tenant.journal.requests)

    def scenario(self, source: str | Path | Mapping[str, Any] | Scenario | None) -> None:
        """
        Play another scenario from now on; calls are counted from 1 again.

        Args:
            source: the name of a ready-made one, a file, the data of one, or one that was read; None is the server's
                own again. Its settings do not count here; `reset` takes settings.

        Raises:
            ScenarioError: it cannot be used.
        """
        __tracebackhide__ = True
        from mock_server.scenarios.files import ScenarioError, find_scenario, parse_scenario

        tenant = self._get()
        if source is None:
            with tenant.lock:
                tenant.director.use(self._world.scenario)
            return
        try:
            if isinstance(source, Mapping):
                chosen = parse_scenario(json.dumps(source))
            else:
                chosen = source if isinstance(source, Scenario) else find_scenario(str(source))
        except ScenarioError as error:
            raise error.with_traceback(None) from None  # how it was read says nothing to a user
        with tenant.lock:
            tenant.director.use(lambda: chosen)

    def reset(self, **changes: object) -> None:
        """Make its world anew, empty, with `changes` to the settings; hooks on their way are forgotten."""
        self._world.reset(self.api_key, **changes)
