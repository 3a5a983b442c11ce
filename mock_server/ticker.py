"""The one thread that makes time happen where nobody calls: it ticks the tenants that expect webhooks."""

from __future__ import annotations

import logging
import time
from threading import Condition, Thread

from mock_server.tenant import Tenant

_LONGEST = 3600.0
_log = logging.getLogger("fluxmock.ticker")


class Ticker:
    """Ticks every tenant it was told to watch at the right real time. Its thread starts with the first of them."""

    def __init__(self) -> None:
        self._wanted = Condition()
        self._due: dict[Tenant, float] = {}
        self._thread: Thread | None = None
        self._closed = False
        self._wakes_at = 0.0

    def watch(self, tenant: Tenant) -> None:
        """See to it that `tenant` is ticked when its next event is due. To be called under the tenant's lock."""
        left = tenant.next_tick_in()
        if left is None:
            return
        with self._wanted:
            due = time.monotonic() + left
            if self._closed or self._due.get(tenant, due + 1.0) <= due:
                return
            self._due[tenant] = due
            if self._thread is None:
                self._thread = Thread(target=self._run, name="fluxmock-ticker", daemon=True)
                self._thread.start()
            if due < self._wakes_at:  # else it looks in time by itself, and to wake it costs this thread its turn
                self._wanted.notify()

    def forget(self, tenant: Tenant) -> None:
        """Tick `tenant` no more, unless it asks for it again."""
        with self._wanted:
            self._due.pop(tenant, None)

    def close(self) -> None:
        """End the thread; nothing is ticked any more."""
        with self._wanted:
            self._closed = True
            self._wanted.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            self._tick(self._wait())  # kept in no variable: a tenant that is forgotten is to go at once

    def _tick(self, tenants: list[Tenant]) -> None:
        for tenant in tenants:
            try:
                tenant.tick()
            except BaseException:  # noqa: BLE001 - one tenant's trouble must not stop the time of all others
                _log.exception("a tick failed")
            with tenant.lock:
                self.watch(tenant)

    def _wait(self) -> list[Tenant]:
        with self._wanted:
            while not self._closed:
                now = time.monotonic()
                ready = [tenant for tenant, due in self._due.items() if due <= now]
                if ready:
                    for tenant in ready:
                        del self._due[tenant]
                    return ready
                # A wait has a longest: some clocks are so slow that their next event is years away.
                left = min(min(self._due.values(), default=now + _LONGEST) - now, _LONGEST)
                self._wakes_at = now + left
                self._wanted.wait(left)
                self._wakes_at = 0.0
        return []
