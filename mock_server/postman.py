"""Hands one tenant's webhooks over, and knows how many are on their way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from threading import Condition, RLock, get_ident
from typing import NamedTuple

from mock_server.hooks.apps import AppDeliverer
from mock_server.hooks.deliverer import Deliverer
from mock_server.hooks.rules import HookTarget, parse_hook_url
from mock_server.model import Delivery, Receipt

_log = logging.getLogger("fluxmock.hooks")

Landing = Callable[[Delivery, float, Receipt], Callable[[], None]]
"""Told under the lock what was sent, when it was due, and what came of it; returns what is to be done without it."""

LOST = Receipt(None, "lost on its way, as the scenario wants it")


class _Parcel(NamedTuple):
    delivery: Delivery
    due: float
    lost: bool
    walked: bool


class Postman:
    """
    Takes webhooks under the tenant's lock and hands them over without it, for receivers may well call back.

    Args:
        lock: the tenant's.
        deliverer: sends what no application in this process takes.
        landing: told what came of each attempt.

    Attributes:
        on_the_way: how many were taken and have not landed.
        walked: how many of these were sent by somebody who moves the clock.
        walking: whether what is taken now is sent so.
    """

    def __init__(self, lock: RLock, deliverer: Deliverer, landing: Landing) -> None:
        self._lock = lock
        self._deliverer = deliverer
        self._landing = landing
        self._landed = Condition(lock)
        self._outbox: list[_Parcel] = []
        self._handing_over: set[int] = set()
        self._apps: dict[tuple[str, str, int], AppDeliverer] = {}
        self._closed = False
        self.on_the_way = self.walked = 0
        self.walking = False

    @property
    def is_handing_over(self) -> bool:
        """Whether this very thread is handing a webhook over, so that a receiver is what runs in it."""
        return get_ident() in self._handing_over or any(app.runs_here for app in self._apps.values())

    def take(self, delivery: Delivery, due: float, *, lost: bool = False) -> None:
        """Take a webhook that was due at `due`; one that is `lost` will not arrive. Under the lock."""
        self.on_the_way += 1
        self.walked += self.walking
        self._outbox.append(_Parcel(delivery, due, lost, self.walking))

    def post(self, *, here: bool) -> None:
        """
        Hand over what was taken. Without the lock.

        Args:
            here: call applications in this thread, which belongs to somebody who moves the clock.
        """
        with self._lock:
            outbox, self._outbox = self._outbox, []
        trouble: BaseException | None = None
        self._handing_over.add(get_ident())
        try:
            for parcel in outbox:
                try:
                    self._hand_over(parcel, here)
                except BaseException as error:  # noqa: BLE001 - what is behind it is to be handed over all the same
                    trouble = trouble or error
        finally:
            self._handing_over.discard(get_ident())
        if trouble is not None:
            raise trouble

    def close(self) -> None:
        """Hand nothing over any more, and tell nobody what becomes of the rest. Under the lock."""
        self._closed = True
        self._landing = _unheard  # what was told refers back: a world that is forgotten is to go at once

    def adopt(self, other: Postman) -> None:
        """Take over the applications of `other`."""
        self._apps.update(other._apps)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until nothing is on its way, at most so many real seconds; return whether that is so. Under the lock."""
        return self.on_the_way == 0 or self._landed.wait_for(lambda: self.on_the_way == 0, seconds)

    def wait_for_landing(self, seconds: float) -> bool:
        """Wait for the next webhook to land, at most so many real seconds; return whether one did. Under the lock."""
        return self._landed.wait(seconds)

    def deliver_to(self, app: AppDeliverer, url: str) -> None:
        """Let `app` have the webhooks to the origin of `url`; ValueError if that is no hook URL."""
        self._apps[_origin(parse_hook_url(url))] = app

    def has_app_for(self, url: str) -> bool:
        """Whether an application in this process takes webhooks to `url`."""
        return bool(self._apps) and self._app_for(url) is not None

    def _app_for(self, url: str) -> AppDeliverer | None:
        try:
            return self._apps.get(_origin(parse_hook_url(url)))
        except ValueError:
            return None

    def _hand_over(self, parcel: _Parcel, here: bool) -> None:
        def landed(future: Future[Receipt]) -> None:
            try:
                receipt = future.result()
            except BaseException as error:  # noqa: BLE001 - whatever it was, the clock must not wait for ever
                receipt = _broken(error)
            self._land(parcel, receipt)

        if parcel.lost or self._closed:
            self._land(parcel, LOST)
            return
        app = self._app_for(parcel.delivery.url) if self._apps else None
        try:
            if app is None:
                future = self._deliverer.deliver(parcel.delivery)
            else:
                future = app.deliver(parcel.delivery, here=here)
        except BaseException as error:
            self._land(parcel, _broken(error))
            if not isinstance(error, Exception):  # as when a receiver in a test calls pytest.fail
                raise
        else:
            future.add_done_callback(landed)

    def _land(self, parcel: _Parcel, receipt: Receipt) -> None:
        with self._lock:
            self.on_the_way -= 1
            self.walked -= parcel.walked
            self._landed.notify_all()
            then = self._landing(parcel.delivery, parcel.due, receipt)
        then()


def _unheard(_sent: Delivery, _due: float, _receipt: Receipt) -> Callable[[], None]:
    return lambda: None


def _origin(target: HookTarget) -> tuple[str, str, int]:
    return target.scheme, target.host, target.port


def _broken(error: BaseException) -> Receipt:
    _log.error("a deliverer failed", exc_info=error)
    return Receipt(None, f"the deliverer failed: {error!r}")
