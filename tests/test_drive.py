"""Code under test on the tenant's clock: real clients, real threads and loops, and no real time that passes."""

from __future__ import annotations

import asyncio
import copyreg
import datetime as dt
import importlib
import json
import logging
import pickle
import queue
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic, sleep
from types import ModuleType
from typing import Any

import httpx
import pytest

from mock_server.control import TenantControl
from mock_server.drive import drive, turns
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.serving import Server
from mock_server.settings import Settings
from mock_server.world import World

Serve = Callable[..., Server]

SLOW = {"name": "slow", "rules": [{"on": "job", "then": {"queue_seconds": 40, "run_seconds": 50}}]}
ETERNAL = {"name": "eternal", "rules": [{"on": "job", "then": {"run_seconds": 86_000}}]}
TEN_HOURS = 36_000
DAY = date(2024, 9, 10)

POLLER = """
import requests
{imports}

def submit(url, **fields):
    body = {{"prompt": "a cat", "mode": "flux1-dev", **fields}}
    answer = requests.post(url + "/flux/generate", json=body, headers={{"TT-API-KEY": "k"}}, timeout=30)
    return answer.json()["data"]["jobId"]

def poll(url, patience=1e9):
    job_id, give_up, calls = submit(url), {monotonic}() + patience, 0
    while {monotonic}() < give_up:
        calls += 1
        answer = requests.post(url + "/flux/fetch", json={{"jobId": job_id}}, headers={{"TT-API-KEY": "k"}}, timeout=30)
        if answer.json()["status"] == "SUCCESS":
            return calls
        {sleep}(3)
    raise TimeoutError(f"gave up after {{calls}} calls")
"""
STYLES = {
    "import time": POLLER.format(imports="import time", sleep="time.sleep", monotonic="time.monotonic"),
    "from time import": POLLER.format(
        imports="from time import monotonic, sleep", sleep="sleep", monotonic="monotonic"
    ),
    "as": POLLER.format(imports="from time import monotonic as m, sleep as s", sleep="s", monotonic="m"),
}

Write = Callable[[str], Callable[[], Any]]


@pytest.fixture(params=STYLES)
def style(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a client, given its source or its style, and return what imports it."""
    name = "driven_client"

    def write(style: str) -> Callable[[], ModuleType]:
        (tmp_path / f"{name}.py").write_text(STYLES.get(style, style))
        importlib.invalidate_caches()
        return lambda: importlib.import_module(name)

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    sys.modules.pop(name, None)
    yield write
    sys.modules.pop(name, None)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let busy threads have all the time that a loaded machine needs; where all come to rest none of it passes."""
    monkeypatch.setattr(turns, "GRACE", 60.0)


def control(key: str = "k", **changes: object) -> TenantControl:
    world = World(Settings.of(**{"clock": "frozen", **changes}), deliverer=RecordingDeliverer())
    return TenantControl(world, key)


def submit(url: str, **fields: object) -> str:
    body = json.dumps({"prompt": "a cat", "mode": "flux1-dev", **fields}).encode()
    headers = {"TT-API-KEY": "k", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/flux/generate", body, headers)) as answer:
        return str(json.load(answer)["data"]["jobId"])


@contextmanager
def receiver(on_hook: Callable[[], object]) -> Iterator[str]:
    """Run a real receiver of hooks in a thread, and yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            on_hook()
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook"
        finally:
            server.shutdown()
            thread.join()


# Clients that poll


@pytest.mark.parametrize("imported", ["before the block", "inside it"])
def test_a_client_that_polls_for_90_seconds_sees_each_of_them(
    serve: Serve, client_module: Write, style: str, imported: str
) -> None:
    load = client_module(style)
    if imported == "before the block":
        load()
    server = serve(clock="frozen")
    tenant = server.tenant("k")
    tenant.scenario(SLOW)
    start = tenant.clock.now()
    with tenant.clock.drive():
        calls = load().poll(server.url)
    assert tenant.clock.now() - start == 90.0
    assert calls == 31
    assert not any(
        getattr(value, "__module__", None) == "mock_server.drive.standins" for value in vars(load()).values()
    )


def test_a_module_imported_inside_a_block_is_driven_in_the_next_one(serve: Serve, client_module: Write) -> None:
    load = client_module("from time import")
    server = serve(clock="frozen")
    tenant = server.tenant("k")
    tenant.scenario(SLOW)
    for _ in range(2):
        start = tenant.clock.now()
        with tenant.clock.drive():
            load().poll(server.url)
        assert tenant.clock.now() - start == 90.0


def test_a_client_gives_up_at_its_own_deadline(serve: Serve, client_module: Write, style: str) -> None:
    client = client_module(style)()
    server = serve(clock="frozen")
    tenant = server.tenant("k")
    tenant.scenario(ETERNAL)
    with tenant.clock.drive(), pytest.raises(TimeoutError, match="^gave up after 100 calls$"):
        client.poll(server.url, patience=300)


def test_an_auto_clock_is_moved_by_fetches_and_by_sleeps(serve: Serve, client_module: Write) -> None:
    server = serve(clock="auto")
    tenant = server.tenant("k")
    tenant.scenario(SLOW)
    start = tenant.clock.now()
    with tenant.clock.drive():
        assert client_module("import time")().poll(server.url) <= 3
    assert 90 <= tenant.clock.now() - start <= 96


def test_a_clock_that_runs_is_moved_on() -> None:
    tenant = control(clock="real")
    start = tenant.clock.now()
    with tenant.clock.drive():
        sleep(TEN_HOURS)
    assert TEN_HOURS <= tenant.clock.now() - start < TEN_HOURS + 3600


# What time it is


def test_every_clock_shows_the_tenants_time() -> None:
    tenant = control()
    before = time.monotonic()
    with tenant.clock.drive():
        clocks = (time.time, time.monotonic, time.perf_counter, monotonic)
        begun = [clock() for clock in clocks]
        begun_ns = [clock() for clock in (time.time_ns, time.monotonic_ns, time.perf_counter_ns)]
        assert begun[0] == tenant.clock.now()
        assert begun[1] >= before
        time.sleep(TEN_HOURS)
        assert [clock() for clock in clocks] == pytest.approx([then + TEN_HOURS for then in begun])
        assert [clock() for clock in (time.time_ns, time.monotonic_ns, time.perf_counter_ns)] == [
            then + TEN_HOURS * 10**9 for then in begun_ns
        ]
        assert time.gmtime()[:5] == (2024, 9, 10, 10, 0)
        assert time.localtime() == time.localtime(tenant.clock.now())
        assert time.gmtime(0).tm_year == 1970
        assert time.strftime("%Y-%m") == "2024-09"
        assert "2024" in time.ctime()
        assert "2024" in time.asctime()


def test_dates_are_the_tenants_and_real_objects() -> None:
    tenant = control()
    real_datetime, real_date = datetime, date
    with tenant.clock.drive():
        assert datetime.now(UTC) == datetime.fromtimestamp(tenant.clock.now(), UTC)
        assert datetime.now() == datetime.today() == datetime.fromtimestamp(tenant.clock.now())
        assert datetime.now(timezone(timedelta(hours=2))).isoformat() == "2024-09-10T02:00:00+02:00"
        assert date.today() == datetime.now().date()
        assert dt.datetime.now(UTC).date() == DAY
        assert datetime.utcnow() == datetime(2024, 9, 10)
        for moment in (datetime.now(), datetime(2024, 1, 2), datetime.strptime("2024", "%Y"), datetime.min):
            assert type(moment) is real_datetime
            assert isinstance(moment, datetime)
            assert isinstance(moment, date)
        assert type(date.today()) is type(date(2024, 1, 2)) is real_date
        assert not isinstance(date.today(), datetime)
        assert issubclass(real_datetime, datetime)
        assert issubclass(datetime, date)
        assert datetime.fromisoformat("2024-09-10T00:00:00+00:00") == datetime.now(UTC)
        pickled = pickle.dumps([datetime.now(UTC), date.today(), datetime])
    assert pickle.loads(pickled)[0] == real_datetime(2024, 9, 10, tzinfo=UTC)  # noqa: S301
    assert pickle.loads(pickled)[2] is real_datetime  # noqa: S301
    assert datetime is real_datetime
    assert datetime.now(UTC).year > 2024


def test_a_class_derived_inside_is_one_of_both() -> None:
    with control().clock.drive():

        class Moment(datetime):
            pass

        assert type(Moment.now(UTC)) is Moment
        assert Moment.now(UTC).date() == DAY
        assert isinstance(Moment.now(), datetime)
        assert not isinstance(datetime.now(), Moment)
    assert issubclass(Moment, datetime)
    assert Moment.now(UTC).year > 2024


def test_sleeping_refuses_what_the_real_one_refuses() -> None:
    tenant = control()
    start = tenant.clock.now()
    with tenant.clock.drive():
        for wrong in (-1, float("nan")):
            with pytest.raises(ValueError, match="."):
                time.sleep(wrong)
        with pytest.raises(TypeError):
            time.sleep("3")  # type: ignore[arg-type]
        time.sleep(0)
    assert tenant.clock.now() == start


def test_the_shortest_sleep_moves_on_and_no_deadline_is_missed_for_ever() -> None:
    tenant = control()
    with tenant.clock.drive():
        give_up = time.monotonic() + 0.0123456
        naps = 0
        while (left := give_up - time.monotonic()) > 0:
            time.sleep(left / 2)
            naps += 1
    assert 0 < naps < 20


@pytest.mark.parametrize(("seconds", "milliseconds"), [(1e-9, 1), (0.0011, 2), (0.07, 70), (2.007, 2007)])
def test_a_sleep_moves_on_by_whole_milliseconds_rounded_up(seconds: float, milliseconds: int) -> None:
    tenant = control()
    start = tenant.clock.now()
    with tenant.clock.drive():
        time.sleep(seconds)
    assert round((tenant.clock.now() - start) * 1e6) == milliseconds * 1000


class Handmade:
    """A clock without events that stands at 1000; `on_move` is told where it is to be moved."""

    def __init__(self, on_move: Callable[[float], float]) -> None:
        self.instant = 1000.0
        self.moves = 0
        self.on_look: Callable[[], object] = int
        self._on_move = on_move

    def now(self) -> float:
        return self.instant

    def advance_to(self, instant: float, /) -> None:
        self.moves += 1
        self.instant = self._on_move(instant)
        if self.instant > instant:
            raise ValueError("it is past")

    def next_event_at(self) -> None:
        self.on_look()

    def advance_to_next_event(self) -> bool:
        self.moves += 1
        return False


def test_a_clock_that_runs_past_the_end_of_a_sleep_while_it_is_moved_does_no_harm() -> None:
    clock = Handmade(lambda instant: instant + 7)
    with drive(clock):
        time.sleep(5)
        assert time.time() == 1012


def test_a_clock_that_refuses_where_it_is_not_past_is_heard() -> None:
    def refuse(instant: float) -> float:
        raise ValueError("not there")

    with drive(Handmade(refuse)), pytest.raises(ValueError, match="^not there$"):
        time.sleep(5)


def test_a_sleep_ends_early_on_a_clock_that_is_held_up_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(instant: float) -> float:
        raise RuntimeError("somebody waits for a hook")

    monkeypatch.setattr(turns, "GRACE", 0.01)
    clock = Handmade(refuse)
    with drive(clock):
        time.sleep(5)
        assert threading.Event().wait(5) is False
    assert clock.instant == 1000
    assert clock.moves >= 2


def test_a_wait_without_timeout_moves_nothing_when_no_event_is_to_come() -> None:
    clock = Handmade(float)
    notified, looks = threading.Event(), iter(range(3))
    clock.on_look = lambda: next(looks, None) is None and notified.set()
    with drive(clock):
        assert notified.wait() is True
    assert clock.moves == 0


def test_monotonic_clocks_survive_a_reset() -> None:
    tenant = control()
    with tenant.clock.drive():
        time.sleep(TEN_HOURS)
        then = time.monotonic()
        tenant.reset()
        assert time.monotonic() == then
        time.sleep(5)
        assert time.monotonic() == pytest.approx(then + 5)


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


# Where the functions are kept

KEEPER = """
import time
from dataclasses import dataclass, field
from datetime import date
from functools import wraps
from time import monotonic, sleep

def positional(first, nap=time.sleep, clock=time.monotonic):
    begun = clock()
    nap(first)
    return clock() - begun

def keyword(first, *, nap=time.sleep, clock=time.monotonic):
    return positional(first, nap, clock)

class Methods:
    NAP = staticmethod(time.sleep)
    CLOCK = time.monotonic
    TODAY = date

    def __init__(self, nap=sleep, clock=monotonic):
        self.nap, self.clock = nap, clock

    def kept(self, first):
        return positional(first, self.nap, self.clock)

    def of_class(self, first):
        assert self.TODAY.today().year == 2024
        return positional(first, self.NAP, self.CLOCK)

    @classmethod
    def class_method(cls, first, nap=sleep):
        return positional(first, nap, cls.CLOCK)

    @staticmethod
    def static_method(first, clock=monotonic):
        return positional(first, Methods.NAP, clock)

    class Nested:
        nap = sleep

        def nested(self, first, clock=time.monotonic):
            return positional(first, self.nap, clock)

@dataclass
class Fields:
    nap: object = time.sleep
    clock: object = field(default=time.monotonic, kw_only=True)
    begun: float = field(default_factory=time.monotonic)

    def of_fields(self, first):
        assert self.clock() == self.begun
        return positional(first, self.nap, self.clock)

def patient(nap, clock):
    def decorate(function):
        @wraps(function)
        def wrapper(first):
            return positional(first, nap, clock)
        return wrapper
    return decorate

@patient(time.sleep, clock=monotonic)
def decorated(first):
    pass

WAYS = {
    "positional": positional,
    "keyword": keyword,
    "attribute": lambda first: Methods().kept(first),
    "class attribute": lambda first: Methods().of_class(first),
    "class method": Methods.class_method,
    "static method": Methods.static_method,
    "nested class": lambda first: Methods.Nested().nested(first),
    "dataclass": lambda first: Fields().of_fields(first),
    "decorator": decorated,
}
"""
WAYS = (
    "positional", "keyword", "attribute", "class attribute", "class method", "static method", "nested class",
    "dataclass", "decorator",
)  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("imported", ["before the block", "inside it"])
def test_what_functions_and_classes_keep_is_found_and_given_back(client_module: Write, way: str, imported: str) -> None:
    load = client_module(KEEPER)
    real = (time.sleep, time.monotonic)
    if imported == "before the block":
        load()
    tenant = control()
    for _ in range(2):
        start = tenant.clock.now()
        with tenant.clock.drive():
            assert load().WAYS[way](TEN_HOURS) == TEN_HOURS
        assert tenant.clock.now() - start == TEN_HOURS
        client = load()
        assert client.positional.__defaults__ == real
        assert tuple(client.keyword.__kwdefaults__.values()) == real
        assert (*real, date) == (client.Methods.NAP, client.Methods.CLOCK, client.Methods.TODAY)
        assert client.Methods().nap is client.Methods.Nested.nap is client.Fields().nap is real[0]
        assert {cell.cell_contents for cell in client.decorated.__closure__ if cell.cell_contents in real} == set(real)


def test_a_loop_that_sleeps_by_what_was_taken_before_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "STILL_SECONDS", 0.001)
    nap = {"taken": time.sleep}["taken"]  # a local name
    calls = 0

    def poll(deadline: float) -> None:
        nonlocal calls
        while time.monotonic() < deadline:
            nap(0.001)
            calls += 1

    with control().clock.drive():
        deadline = time.monotonic() + 300
        message = (
            r"^under drive\(\) the clock was read again and again for 0.001 s .* a time.sleep that was taken before"
        )
        with pytest.raises(RuntimeError, match=message):
            poll(deadline)
        assert calls >= turns.STILL_READS - 1
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("time", "time"),
        ("time", "time_ns"),
        ("time", "monotonic_ns"),
        ("datetime", "now"),
        ("datetime", "utcnow"),
        ("datetime", "today"),
    ],
)
def test_every_clock_that_a_loop_may_go_by_tells(monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> None:
    monkeypatch.setattr(turns, "STILL_SECONDS", -1.0)

    def look() -> None:
        getattr(globals()[module], name)()

    with control().clock.drive():
        for _ in range(turns.STILL_READS):
            look()
        with pytest.raises(RuntimeError, match="the clock was read again and again"):
            look()
        look()


def test_who_sleeps_or_sees_time_pass_may_look_at_the_clock_as_often_as_he_likes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "STILL_SECONDS", -1.0)
    tenant = control()
    with tenant.clock.drive():
        for rest in (lambda: time.sleep(1), lambda: threading.Event().wait(1), lambda: tenant.clock.advance(1)):
            for _ in range(3 * turns.STILL_READS):
                rest()
                for _ in range(turns.STILL_READS):
                    time.monotonic()


def test_only_code_under_test_is_taken_to_be_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "STILL_SECONDS", -1.0)
    with control().clock.drive():
        for _ in range(10 * turns.STILL_READS):
            logging.LogRecord("name", logging.INFO, "path", 1, "message", None, None)
            time.perf_counter()  # measures, and is no deadline


# asyncio


@pytest.mark.asyncio
async def test_an_asyncio_client_polls_on_the_clock(serve: Serve) -> None:
    server = serve(clock="frozen")
    tenant = server.tenant("k")
    tenant.scenario(SLOW)
    start = tenant.clock.now()

    async def poll(client: httpx.AsyncClient) -> int:
        job = (await client.post("/flux/generate", json={"prompt": "a cat", "mode": "flux1-dev"})).json()
        for calls in range(1, 100):
            answer = await client.post("/flux/fetch", json={"jobId": job["data"]["jobId"]})
            if answer.json()["status"] == "SUCCESS":
                return calls
            await asyncio.sleep(3)
        raise AssertionError("it never succeeded")

    with tenant.clock.drive():
        async with httpx.AsyncClient(base_url=server.url, headers={"TT-API-KEY": "k"}) as client:
            assert await poll(client) == 31
    assert tenant.clock.now() - start == 90.0


@pytest.mark.asyncio
async def test_tasks_that_sleep_at_once_wake_in_order() -> None:
    tenant = control()
    start = tenant.clock.now()
    woken: list[tuple[int, float]] = []

    async def nap(seconds: int) -> int:
        result = await asyncio.sleep(seconds, seconds)
        woken.append((seconds, time.time() - start))
        return result

    with tenant.clock.drive():
        assert await asyncio.gather(nap(5), nap(3), nap(TEN_HOURS), nap(3)) == [5, 3, TEN_HOURS, 3]
    assert woken == [(3, 3), (3, 3), (5, 5), (TEN_HOURS, TEN_HOURS)]


@pytest.mark.asyncio
async def test_a_sleep_that_is_cancelled_moves_nothing() -> None:
    tenant = control()
    start = tenant.clock.now()
    with tenant.clock.drive():
        long = asyncio.create_task(asyncio.sleep(TEN_HOURS))
        short = asyncio.create_task(asyncio.sleep(3))
        await short
        long.cancel()
        with pytest.raises(asyncio.CancelledError):
            await long
        await asyncio.sleep(4)
    assert tenant.clock.now() - start == 7.0


@pytest.mark.asyncio
async def test_a_sleep_of_nothing_is_a_yield() -> None:
    tenant = control()
    start = tenant.clock.now()
    seen = []
    with tenant.clock.drive():
        asyncio.get_running_loop().call_soon(seen.append, "ran")
        await asyncio.sleep(0)
        assert await asyncio.sleep(-1, "result") == "result"
    assert seen == ["ran"]
    assert tenant.clock.now() == start


@pytest.mark.asyncio
async def test_a_hook_receiver_on_the_same_loop_is_reached_while_a_task_sleeps(serve: Serve) -> None:
    server = serve(clock="frozen")
    tenant = server.tenant("k")
    arrived = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(2)  # the clock waits for this very hook
        arrived.append(datetime.now(UTC).date())
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    with tenant.clock.drive():
        async with await asyncio.start_server(take, "127.0.0.1", 0) as listener:
            port = listener.sockets[0].getsockname()[1]
            await asyncio.to_thread(submit, server.url, hookUrl=f"http://127.0.0.1:{port}/hook")
            await asyncio.sleep(TEN_HOURS)
    assert arrived == [DAY]
    assert tenant.hooks[0].attempts[0].receipt.status == 204


@pytest.mark.asyncio
async def test_the_threads_of_a_driven_loop_are_driven() -> None:
    tenant = control()
    start = tenant.clock.now()
    with tenant.clock.drive():
        await asyncio.to_thread(time.sleep, TEN_HOURS)
        assert await asyncio.to_thread(date.today) == DAY
    assert tenant.clock.now() - start == TEN_HOURS


@pytest.mark.asyncio
async def test_a_sleep_after_one_that_was_cancelled_takes_its_time() -> None:
    tenant = control()
    start = tenant.clock.now()

    async def impatient() -> None:
        sleeper = asyncio.create_task(asyncio.sleep(TEN_HOURS))
        await asyncio.sleep(0)
        sleeper.cancel()
        await asyncio.sleep(3)

    with tenant.clock.drive():
        for _ in range(5):
            await impatient()
    assert tenant.clock.now() - start == 15.0


# Coming and going


def test_leaving_restores_everything_also_after_an_error() -> None:
    named = {"sleep": sleep, "datetime": datetime, "date": date}
    methods = (threading.Thread.start, threading.Thread.join, threading._allocate_lock)  # type: ignore[attr-defined]
    real = {name: getattr(time, name) for name in ("sleep", "time", "monotonic", "perf_counter", "localtime")}

    def fail() -> None:
        assert time.sleep is not real["sleep"]
        assert queue.time is not real["monotonic"]  # type: ignore[attr-defined]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), control().clock.drive():
        fail()
    assert {name: getattr(time, name) for name in real} == real
    assert queue.time is real["monotonic"]  # type: ignore[attr-defined]
    assert {name: globals()[name] for name in named} == named
    assert (threading.Thread.start, threading.Thread.join, threading._allocate_lock) == methods  # type: ignore[attr-defined]


def test_what_somebody_else_replaced_meanwhile_is_left_alone() -> None:
    module, real = sys.modules[__name__], sleep
    try:
        with control().clock.drive():
            vars(module)["sleep"] = print
        assert sleep is print
    finally:
        vars(module)["sleep"] = real


def test_a_block_in_a_block_goes_on() -> None:
    tenant, other = control(), control(clock="frozen@2026-01-01")
    start = tenant.clock.now()
    with tenant.clock.drive():
        time.sleep(1)
        with tenant.clock.drive():
            time.sleep(TEN_HOURS)
        then = time.monotonic()
        with other.clock.drive():
            assert time.monotonic() >= then
            assert date.today().year == 2026
            time.sleep(5)
        time.sleep(1)
        assert date.today() == DAY
    assert tenant.clock.now() - start == TEN_HOURS + 2
    assert datetime.now(UTC).year > 2024


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (1, 0, 2), (0, 2, 1), (2, 0, 1), (2, 1, 0)])
def test_blocks_may_be_left_in_any_order(order: tuple[int, ...]) -> None:
    years = [2031, 2032, 2033]
    blocks = [control(clock=f"frozen@{year}-06-01").clock.drive() for year in years]
    for block in blocks:
        block.__enter__()
    left: set[int] = set()
    for number in order:
        blocks[number].__exit__(None, None, None)
        left.add(number)
        open_ones = [year for at, year in enumerate(years) if at not in left]
        assert date.today().year == (open_ones[-1] if open_ones else dt.date.fromtimestamp(time.time()).year)
    assert turns.here.member is None
    assert time.sleep is sleep


def test_how_the_user_pickles_dates_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def by_iso(moment: datetime) -> tuple[Any, ...]:
        return str, (moment.isoformat(),)

    monkeypatch.setitem(copyreg.dispatch_table, datetime, by_iso)
    with control().clock.drive():
        assert pickle.loads(pickle.dumps(datetime(2024, 9, 10))) == "2024-09-10T00:00:00"  # noqa: S301
        assert pickle.loads(pickle.dumps(DAY)) == DAY  # noqa: S301
    assert copyreg.dispatch_table[datetime] is by_iso
    assert date not in copyreg.dispatch_table


def test_a_block_is_entered_once_at_a_time() -> None:
    block = control().clock.drive()
    with block, pytest.raises(RuntimeError, match=r"^this drive\(\) is in use: call drive\(\) again"):
        block.__enter__()
    with block:
        assert date.today() == DAY


def test_subprocesses_have_real_timeouts() -> None:
    tenant = control()
    start = tenant.clock.now()
    with tenant.clock.drive():
        done = subprocess.run([sys.executable, "-c", "print(1)"], timeout=120, capture_output=True, text=True)
    assert done.stdout.strip() == "1"
    assert tenant.clock.now() == start


def test_the_emulator_has_real_time_in_a_driven_thread() -> None:
    from mock_server.clock import Clock, parse_clock

    with control().clock.drive():
        assert datetime.fromtimestamp(Clock(parse_clock("real")).now(), UTC).date() > DAY


def test_a_python_without_our_way_in_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(condition: threading.Condition, timeout: float | None = None) -> bool:
        return False

    monkeypatch.setattr(threading.Condition, "wait", wait)
    block = control().clock.drive()
    with pytest.raises(RuntimeError, match=r"^drive\(\) expected a threading.Condition.wait that"):
        block.__enter__()
    assert time.sleep is sleep
