"""Where code under test keeps the functions that know the time, and that all is given back."""

from __future__ import annotations

import copyreg
import datetime as dt
import logging
import pickle
import queue
import subprocess
import sys
import threading
import time
from datetime import UTC, date, datetime
from time import sleep
from typing import Any

import pytest
from driving import DAY, TEN_HOURS, Write, control

from mock_server.drive import members

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
    monkeypatch.setattr(members, "STILL_SECONDS", 0.001)
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
        assert calls >= members.STILL_READS - 1
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
    monkeypatch.setattr(members, "STILL_SECONDS", -1.0)

    def look() -> None:
        getattr(globals()[module], name)()

    with control().clock.drive():
        for _ in range(members.STILL_READS):
            look()
        with pytest.raises(RuntimeError, match="the clock was read again and again"):
            look()
        look()


def test_who_sleeps_or_sees_time_pass_may_look_at_the_clock_as_often_as_he_likes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(members, "STILL_SECONDS", -1.0)
    tenant = control()
    with tenant.clock.drive():
        for rest in (lambda: time.sleep(1), lambda: threading.Event().wait(1), lambda: tenant.clock.advance(1)):
            for _ in range(3 * members.STILL_READS):
                rest()
                for _ in range(members.STILL_READS):
                    time.monotonic()


def test_only_code_under_test_is_taken_to_be_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "STILL_SECONDS", -1.0)
    with control().clock.drive():
        for _ in range(10 * members.STILL_READS):
            logging.LogRecord("name", logging.INFO, "path", 1, "message", None, None)
            time.perf_counter()  # measures, and is no deadline


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
    assert members.here.member is None
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
