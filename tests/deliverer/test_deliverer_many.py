"""Many deliveries at once, the end of a deliverer, and the deliverer that only records."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hook_receivers import PATIENCE, RULES, Receiver, answering, delivery, hanging, outcome

from mock_server.hooks.deliverer import Deliverer, HttpDeliverer, RecordingDeliverer
from mock_server.model import Receipt


def test_two_hundred_hanging_receivers_share_one_thread_and_close_ends_them(
    make: Callable[..., HttpDeliverer],
) -> None:
    deliverer = make(timeout=2 * PATIENCE, max_concurrent=200)
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener, contextlib.ExitStack() as open_:
        listener.settimeout(PATIENCE)
        before = set(threading.enumerate())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        futures = [deliverer.deliver(delivery(url)) for _ in range(200)]
        for _ in range(200):
            open_.enter_context(listener.accept()[0])
        assert len(set(threading.enumerate()) - before) == 1
        assert not any(future.done() for future in futures)

        deliverer.close()
        assert set(threading.enumerate()) <= before
        receipts = [future.result(0) for future in futures]
    assert {receipt.error for receipt in receipts} == {"the server was shut down before the receiver answered"}
    assert all(receipt.elapsed > 0 for receipt in receipts)


def test_no_more_attempts_are_under_way_than_allowed(make: Callable[..., HttpDeliverer]) -> None:
    deliverer = make(max_concurrent=2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        futures = [deliverer.deliver(delivery(url)) for _ in range(5)]
        served = 0
        for turn in (2, 2, 1):
            connections = [listener.accept()[0] for _ in range(turn)]
            assert select.select([listener], [], [], 0.05)[0] == []  # nobody else knocks
            for connection in connections:
                with connection:
                    answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(connection)
                served += 1
    assert served == 5
    assert [future.result(PATIENCE).status for future in futures] == [200] * 5


def test_close_also_ends_what_waits_for_its_turn(make: Callable[..., HttpDeliverer]) -> None:
    deliverer = make(max_concurrent=1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        futures = [deliverer.deliver(delivery(url)) for _ in range(3)]
        with listener.accept()[0]:
            deliverer.close()
    errors = [future.result(0).error for future in futures]
    assert errors == ["the server was shut down before the receiver answered"] * 3


def test_close_does_not_wait_for_a_lookup(make: Callable[..., HttpDeliverer]) -> None:
    asked = threading.Event()

    async def never(host: str, port: int) -> Sequence[str]:
        asked.set()
        await asyncio.Event().wait()
        return []

    deliverer = make(resolve=never)
    future = deliverer.deliver(delivery("http://slow.test/"))
    assert asked.wait(PATIENCE)
    deliverer.close()
    assert future.result(0).error == "the server was shut down before the receiver answered"


@pytest.mark.parametrize("make_one", [lambda: HttpDeliverer(RULES), RecordingDeliverer], ids=["http", "recording"])
def test_a_closed_deliverer_still_answers_every_delivery(make_one: Callable[[], Deliverer]) -> None:
    deliverer = make_one()
    deliverer.close()
    deliverer.close()
    receipt = deliverer.deliver(delivery("http://127.0.0.1:9/")).result(0)
    assert receipt == Receipt(None, "the server was shut down before the receiver answered")


def test_a_delivery_under_way_cannot_be_cancelled(
    receive: Callable[..., Receiver], make: Callable[..., HttpDeliverer]
) -> None:
    future = make(timeout=0.1).deliver(delivery(f"http://127.0.0.1:{receive(hanging).port}/"))
    assert not future.cancel()
    assert future.result(PATIENCE).error == "no answer within 0.1 s"


def test_many_threads_may_deliver_at_once_and_share_one_delivering_thread(
    receive: Callable[..., Receiver], make: Callable[..., HttpDeliverer]
) -> None:
    receiver = receive(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    deliverer = make()
    statuses: list[int | None] = []

    def deliver() -> None:
        statuses.append(outcome(deliverer, f"http://127.0.0.1:{receiver.port}/").status)

    threads = [threading.Thread(target=deliver) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert statuses == [200] * 8
    assert [thread.name for thread in threading.enumerate()].count("fluxmock-hooks") == 1


@pytest.mark.parametrize(("timeout", "max_concurrent"), [(0, 1), (-1, 1), (1, 0)])
def test_senseless_limits_are_refused(timeout: float, max_concurrent: int) -> None:
    with pytest.raises(ValueError, match=r"^timeout must be over 0 and max_concurrent at least 1, not "):
        HttpDeliverer(RULES, timeout, max_concurrent=max_concurrent)


def test_the_recording_deliverer_keeps_what_it_was_given_and_answers_with_a_status() -> None:
    deliverer = RecordingDeliverer(503)
    first = delivery("http://127.0.0.1:9/")
    second = replace(first, id="delivery-2")
    futures = [deliverer.deliver(first), deliverer.deliver(second)]
    assert deliverer.sent == [first, second]
    assert [future.result(0) for future in futures] == [Receipt(503), Receipt(503)]
    assert RecordingDeliverer().deliver(first).result(0).ok


def test_the_recording_deliverer_may_be_told_each_receipt() -> None:
    deliverer = RecordingDeliverer(lambda sent: Receipt(200 if sent.attempts else None, None))
    assert deliverer.deliver(delivery("http://x/")).result(0).status is None
    assert deliverer.deliver(delivery("http://x/", attempts=1)).result(0).status == 200


def test_time_is_measured_for_each_attempt_alone(make: Callable[..., HttpDeliverer]) -> None:
    """Waiting for a turn counts neither as elapsed nor against the limit."""
    deliverer = make(timeout=0.2, max_concurrent=1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        started = time.perf_counter()
        receipts = [f.result(PATIENCE) for f in [deliverer.deliver(delivery(url)) for _ in range(3)]]
        total = time.perf_counter() - started
    assert [receipt.error for receipt in receipts] == ["no answer within 0.2 s"] * 3
    assert sum(receipt.elapsed for receipt in receipts) <= total
