"""Hands one tenant's webhooks over, and knows how many are on their way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from threading import Condition, RLock, get_ident

from mock_server.hooks.deliverer import Deliverer
from mock_server.hooks.rules import HookTarget, parse_hook_url
from mock_server.model import Delivery, Receipt

_log = logging.getLogger("fluxmock.hooks")

Landing = Callable[[Delivery, float, Receipt], None]
"""Told of each attempt what was sent, the instant it was due at, and what came of it; must call `note_landing`."""

LOST = Receipt(None, "lost on its way, as the scenario wants it")


class Postman:
    """
    Takes webhooks under the tenant's lock and hands them over without it, for receivers may well call back.

    Args:
        lock: the tenant's.
        deliverer: sends what no application in this process takes.
        landing: told what came of each attempt.
    """

    def __init__(self, lock: RLock, deliverer: Deliverer, landing: Landing) -> None:
        self._lock = lock
        self._deliverer = deliverer
        self._landing = landing
        self._landed = Condition(lock)
        self._outbox: list[tuple[Delivery, float, bool]] = []
        self._handing_over: set[int] = set()
        self._apps: dict[tuple[str, str, int], Deliverer] = {}
        self.on_the_way = 0

    @property
    def is_handing_over(self) -> bool:
        """Whether this very thread is handing a webhook over, so that a receiver is what runs in it."""
        return get_ident() in self._handing_over

    def take(self, delivery: Delivery, due: float, *, lost: bool = False) -> None:
        """Take a webhook that was due at `due`; one that is `lost` will not arrive. Under the lock."""
        self.on_the_way += 1
        self._outbox.append((delivery, due, lost))

    def post(self) -> None:
        """Hand over what was taken. Without the lock."""
        with self._lock:
            outbox, self._outbox = self._outbox, []
        self._handing_over.add(get_ident())
        try:
            for delivery, due, lost in outbox:
                self._hand_over(delivery, due, lost)
        finally:
            self._handing_over.discard(get_ident())

    def note_landing(self) -> None:
        """Note that one webhook is no longer on its way. Under the lock."""
        self.on_the_way -= 1
        self._landed.notify_all()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until nothing is on its way, at most so many real seconds; return whether that is so. Under the lock."""
        return self._landed.wait_for(lambda: self.on_the_way == 0, seconds)

    def wait_for_landing(self, seconds: float) -> bool:
        """Wait for the next webhook to land, at most so many real seconds; return whether one did. Under the lock."""
        return self._landed.wait(seconds)

    def deliver_to(self, deliverer: Deliverer, url: str) -> None:
        """Let `deliverer` have the webhooks to the origin of `url`; ValueError if that is no hook URL."""
        self._apps[_origin(parse_hook_url(url))] = deliverer

    def has_app_for(self, url: str) -> bool:
        """Whether an application in this process takes webhooks to `url`."""
        return bool(self._apps) and self._app_for(url) is not None

    def _app_for(self, url: str) -> Deliverer | None:
        try:
            return self._apps.get(_origin(parse_hook_url(url)))
        except ValueError:
            return None

    def _hand_over(self, delivery: Delivery, due: float, lost: bool) -> None:
        def landed(future: Future[Receipt]) -> None:
            try:
                receipt = future.result()
            except BaseException as error:  # noqa: BLE001 - whatever it was, the clock must not wait for ever
                receipt = _broken(error)
            self._landing(delivery, due, receipt)

        if lost:
            self._landing(delivery, due, LOST)
            return
        try:
            deliverer = (self._app_for(delivery.url) if self._apps else None) or self._deliverer
            future = deliverer.deliver(delivery)
        except Exception as error:  # noqa: BLE001 - likewise
            self._landing(delivery, due, _broken(error))
        else:
            future.add_done_callback(landed)


def _origin(target: HookTarget) -> tuple[str, str, int]:
    return target.scheme, target.host, target.port


def _broken(error: BaseException) -> Receipt:
    _log.error("a deliverer failed", exc_info=error)
    return Receipt(None, f"the deliverer failed: {error!r}")
