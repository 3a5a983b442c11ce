"""What Python code gets to steer and look at one tenant: its clock, what it has, its calls, its scenario."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from mock_server.exchange import mask
from mock_server.expectations import Amount, Expectation, differences
from mock_server.journal import Journal, RequestEntry
from mock_server.model import Account
from mock_server.scenarios.rules import Scenario
from mock_server.tenant import Tenant
from mock_server.verification import verify_calls, verify_spend
from mock_server.views import Hooks, Jobs, Ledger
from mock_server.world import World

_MOST_KEYS = 5
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
