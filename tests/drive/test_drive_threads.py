"""Threads that live on the tenant's clock: they wait, and sleep at the same time."""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import UTC, date, datetime
from time import sleep

import pytest
from driving import DAY, SLOW, TEN_HOURS, Serve, Write, control, receiver, submit

from mock_server.control import TenantControl

# Waiting


def test_a_wait_ends_when_the_hook_arrives(serve: Serve) -> None:
    server = serve(clock="frozen")
    tenant = server.tenant("k")
    tenant.scenario(SLOW)
    arrived = threading.Event()
    with receiver(arrived.set) as url:
        start = tenant.clock.now()
        with tenant.clock.drive():
            submit(server.url, hookUrl=url)
            assert arrived.wait(TEN_HOURS)
    assert tenant.clock.now() - start == tenant.hooks[0].attempts[0].at - start < 91


def test_a_wait_without_a_timeout_ends_when_the_hook_arrives(serve: Serve) -> None:
    server = serve(clock="frozen")
    tenant = server.tenant("k")
    arrived: queue.Queue[str] = queue.Queue()
    with tenant.clock.drive(), receiver(lambda: arrived.put("hook")) as url:  # the receiver lives in virtual time, too
        submit(server.url, hookUrl=url)
        assert arrived.get() == "hook"


def test_waits_time_out_on_the_clock() -> None:
    tenant = control()
    start = tenant.clock.now()
    with tenant.clock.drive():
        assert threading.Event().wait(TEN_HOURS) is False
        assert tenant.clock.now() - start == TEN_HOURS
        with pytest.raises(queue.Empty):
            queue.Queue[int]().get(timeout=TEN_HOURS)
        assert threading.Semaphore(0).acquire(timeout=TEN_HOURS) is False
        with pytest.raises(FutureTimeout):
            Future[int]().result(TEN_HOURS)
        condition = threading.Condition()
        with condition:
            assert condition.wait_for(lambda: False, TEN_HOURS) is False
        assert tenant.clock.now() - start == 5 * TEN_HOURS
        assert threading.Event().wait(0) is False
    assert tenant.clock.now() - start == 5 * TEN_HOURS


def test_a_notification_that_comes_while_the_clock_moves_is_not_lost() -> None:
    class Clock:
        """A clock that notifies in the middle of its move, from another thread."""

        def __init__(self) -> None:
            self.instant, self.event = 0.0, threading.Event()

        def now(self) -> float:
            return self.instant

        def advance_to(self, instant: float) -> None:
            self.instant = instant
            thread = threading.Thread(target=self.event.set)
            thread.start()
            thread.join()

        def next_event_at(self) -> float | None:
            return 7.0 if self.instant < 7 else None

        def advance_to_next_event(self) -> bool:
            raise AssertionError("the event has an instant")

    clock = Clock()
    from mock_server.drive import drive

    with drive(clock):
        assert clock.event.wait(TEN_HOURS) is True
    assert clock.instant == 7.0


def test_a_thread_that_answers_a_hook_may_sleep_although_the_clock_waits_for_it(serve: Serve) -> None:
    server = serve(clock="frozen")
    tenant = server.tenant("k")
    tenant.scenario(SLOW)
    woken = []

    def on_hook() -> None:
        time.sleep(5)
        threading.Event().wait(5)
        woken.append(date.today())

    with tenant.clock.drive(), receiver(on_hook) as url:
        submit(server.url, hookUrl=url)
        time.sleep(TEN_HOURS)
    assert woken == [DAY]
    assert tenant.hooks[0].attempts[0].receipt.status == 204


# Several threads


@pytest.mark.usefixtures("patient")
def test_threads_that_sleep_at_once_wake_each_at_its_own_time() -> None:
    tenant = control()
    woken: list[tuple[int, float]] = []
    start = tenant.clock.now()

    def nap(seconds: int) -> None:
        time.sleep(seconds)
        woken.append((seconds, time.time() - start))

    with tenant.clock.drive():
        threads = [threading.Thread(target=nap, args=(seconds,)) for seconds in (5, 3, TEN_HOURS, 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert woken == [(3, 3), (4, 4), (5, 5), (TEN_HOURS, TEN_HOURS)]


@pytest.mark.usefixtures("patient")
def test_the_workers_of_a_pool_made_inside_are_driven(serve: Serve, client_module: Write) -> None:
    client = client_module("from time import")()
    server = serve(clock="frozen")
    tenant = server.tenant("k")
    tenant.scenario(SLOW)
    start = tenant.clock.now()
    with tenant.clock.drive(), ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(client.poll, server.url) for _ in range(3)]
        assert [future.result(TEN_HOURS) for future in futures] == [31, 31, 31]
    assert tenant.clock.now() - start == 90.0


def test_a_thread_in_real_io_does_not_hold_up_the_others() -> None:
    tenant = control()
    release = threading.Lock()
    release.acquire()
    with tenant.clock.drive():
        thread = threading.Thread(target=release.acquire)  # blocked where nobody can see it
        thread.start()
        time.sleep(TEN_HOURS)
        assert time.time() - datetime(2024, 9, 10, tzinfo=UTC).timestamp() == TEN_HOURS
        release.release()
        thread.join()


@pytest.mark.usefixtures("patient")
def test_a_thread_waits_for_another_that_sleeps() -> None:
    tenant = control()
    done: queue.Queue[float] = queue.Queue()
    with tenant.clock.drive():
        threading.Timer(30, lambda: done.put(time.time())).start()
        assert done.get(timeout=TEN_HOURS) == time.time() == tenant.clock.now()
    assert tenant.clock.now() - datetime(2024, 9, 10, tzinfo=UTC).timestamp() == 30


def test_other_threads_keep_real_time() -> None:
    asked: queue.SimpleQueue[str] = queue.SimpleQueue()
    told: queue.SimpleQueue[tuple[float, int, bool]] = queue.SimpleQueue()

    def watch() -> None:
        while asked.get() == "time":
            told.put((time.time(), datetime.now(UTC).year, threading.Event().wait(0.001)))

    thread = threading.Thread(target=watch)
    thread.start()
    before = time.time()
    with control().clock.drive():
        time.sleep(TEN_HOURS)
        asked.put("time")
        seen, year, _ = told.get()
        assert time.time() < before
    assert before <= seen <= time.time()
    assert year > 2024
    asked.put("end")
    thread.join()


def test_clocks_of_two_test_threads_are_independent() -> None:
    both = threading.Barrier(2)

    def live(tenant: TenantControl, naps: int) -> tuple[float, int]:
        start = tenant.clock.now()
        both.wait()
        with tenant.clock.drive():
            for _ in range(naps):
                sleep(TEN_HOURS)
            result = time.time() - start, datetime.now(UTC).year
        both.wait()
        return result

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(live, control(), 3)
        other = pool.submit(live, control(clock="frozen@2026-01-01"), 5)
    assert one.result() == (3 * TEN_HOURS, 2024)
    assert other.result() == (5 * TEN_HOURS, 2026)
    assert time.sleep is sleep
    assert datetime.now(UTC).year > 2024


def test_a_thread_that_is_left_over_is_back_in_real_time() -> None:
    seen: queue.SimpleQueue[int] = queue.SimpleQueue()
    go = threading.Lock()
    go.acquire()

    def outlive() -> None:
        with go:
            seen.put(datetime.now(UTC).year)

    with control().clock.drive():
        thread = threading.Thread(target=outlive)
        thread.start()
    go.release()
    thread.join()
    assert seen.get() > 2024
