"""27 hours of webhook retries under a frozen clock: every attempt at its instant, none in real time."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from cycle import plain_loop
from measure import Figure, Target, hottest, take_turns

from mock_server.hooks.deliverer import Deliverer, RecordingDeliverer
from mock_server.http.runner import BackgroundServer
from mock_server.model import DeliveryState, Order
from mock_server.settings import Settings
from mock_server.world import World

# After 5 s, 5 min, 30 min, 2 h, 5 h, and twice 10 h.
_RETRIES = (5, 300, 1_800, 7_200, 18_000, 36_000, 36_000)
_TARGET = Target(50)


def measure(*, smoke: bool) -> list[Figure]:
    """Return the milliseconds of a job whose webhook is refused eight times in 27 hours."""
    rounds = 1 if smoke else 20
    with BackgroundServer(_refuse) as receiver:
        recorded, sent, loop = take_turns(
            rounds,
            lambda: retried("http://127.0.0.1:9/hook", RecordingDeliverer(500)),
            lambda: retried(f"{receiver.url}/hook", None),
            lambda: plain_loop() / 1e3,
        )
    beside = "loop of 2,000 additions"
    return [
        Figure("27 hours of hook retries, recorded", "ms", recorded, beside, loop, _TARGET),
        Figure("27 hours of hook retries, over HTTP", "ms", sent, beside, loop, _TARGET),
    ]


def retried(url: str, deliverer: Deliverer | None) -> float:
    """Return the milliseconds from the end of a job until its webhook is given up."""
    settings = Settings.of(clock="frozen", progress="immediate", hook_retry=_RETRIES)
    world = World(settings, deliverer=deliverer, observer=None)
    tenant = world.tenant("benchmark")
    began_at = tenant.clock.now()
    begun = time.perf_counter()
    tenant.submit(Order("generate", "a lighthouse", "flux1-dev", "1024x1024", url, "http://127.0.0.1:8787"))
    tenant.run_until_idle()
    took = time.perf_counter() - begun
    (delivery,) = tenant.store.deliveries.values()
    hours = (tenant.clock.now() - began_at) / 3600
    world.close()
    if delivery.state is not DeliveryState.GIVEN_UP or len(delivery.attempts) != 8 or hours < 27:
        raise RuntimeError(f"expected 8 attempts in 27 hours, got {len(delivery.attempts)} in {hours:.1f}")
    return took * 1e3


def _refuse(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    environ["wsgi.input"].read()
    start_response("500 Internal Server Error", [])
    return [b""]


def profile(*, smoke: bool) -> str:
    """Return cProfile's view, without the network."""
    return hottest(lambda: retried("http://127.0.0.1:9/hook", RecordingDeliverer(500)), 60 if smoke else 200)
