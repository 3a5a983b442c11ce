"""What a tenant has, as sequences that are read anew at each look: jobs, ledger, webhooks; what can be done to each.

Every value that they hand out is frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import TypeVar, overload

from mock_server.awaiting import await_delivery
from mock_server.engine import Event
from mock_server.errors import IllegalTransition, UnknownDelivery
from mock_server.hooks.apps import App, AppDeliverer
from mock_server.model import Account, Delivery, Job, JobState, Posting
from mock_server.tenant import Tenant

_T = TypeVar("_T")
_Get = Callable[[], Tenant]


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
