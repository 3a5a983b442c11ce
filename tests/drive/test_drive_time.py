"""Clients that poll on the tenant's clock, and what time they see: no real time passes."""

from __future__ import annotations

import datetime as dt
import pickle
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from time import monotonic, sleep

import pytest
from driving import DAY, ETERNAL, SLOW, TEN_HOURS, Serve, Write, control

from mock_server.drive import drive, turns

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
