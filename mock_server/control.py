"""What Python code gets to steer and look at one tenant: clock, jobs, ledger, journal, hooks.

Thin views on the tenant; every value that they hand out is frozen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar, overload

from mock_server.engine import Event
from mock_server.errors import IllegalTransition
from mock_server.journal import Journal
from mock_server.model import Account, Delivery, Job, JobState, Posting
from mock_server.scenario import Scenario
from mock_server.tenant import Tenant
from mock_server.world import World

_T = TypeVar("_T")
_Get = Callable[[], Tenant]


class ClockControl:
    """The tenant's clock. Instants are seconds since the Unix epoch; it only goes forward."""

    def __init__(self, get: _Get) -> None:
        self._get = get

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


class TenantControl:
    """
    The world behind one API key. It stays valid when that world is made anew.

    Attributes:
        key: the API key.
        clock: its clock.
        jobs: its jobs.
        ledger: its postings and balances.
        hooks: its webhook deliveries.
    """

    def __init__(self, world: World, key: str) -> None:
        def get() -> Tenant:
            return world.tenant(key)

        self._world = world
        self._get = get
        self.key = key
        self.clock = ClockControl(get)
        self.jobs = Jobs(get)
        self.ledger = Ledger(get)
        self.hooks = Hooks(get)
        get()

    @property
    def journal(self) -> Journal:
        """Its requests, answers and hook attempts."""
        return self._get().journal

    def scenario(self, source: str | Path | Mapping[str, Any] | Scenario) -> None:
        """
        Play another scenario from now on; calls are counted from 1 again.

        Args:
            source: the name of a ready-made one, a file, the data of one, or one that was read. Its settings do not
                count here; `reset` takes settings.

        Raises:
            ScenarioError: it cannot be used.
        """
        from mock_server.scenario_files import find_scenario, parse_scenario

        if isinstance(source, Mapping):
            chosen = parse_scenario(json.dumps(source))
        else:
            chosen = source if isinstance(source, Scenario) else find_scenario(str(source))
        tenant = self._get()
        with tenant.lock:
            tenant.director.use(lambda: chosen)

    def reset(self, **changes: object) -> None:
        """Make its world anew, empty, with `changes` to the settings; hooks on their way are forgotten."""
        self._world.reset(self.key, **changes)
