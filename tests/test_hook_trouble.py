"""Receivers that misbehave, and worlds that are changed while a webhook is on its way: time goes on all the same."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests
from flask import Flask
from support import KEY, PROMPT, Caller

from mock_server.clock import EPOCH, Clock, parse_clock
from mock_server.control import TenantControl
from mock_server.errors import NotDelivered
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.http.runner import BackgroundServer
from mock_server.journal import HookEntry
from mock_server.model import DeliveryState, Receipt
from mock_server.serving import Server

Emulate = Callable[..., Caller]
Serve = Callable[..., Server]
HOOK = "http://127.0.0.1:9/hook"
PATIENCE = 20.0


def control(caller: Caller, key: str | None = None) -> TenantControl:
    return TenantControl(caller.app.world, key or caller.key)


def accept(environ: Any, start_response: Any) -> list[bytes]:
    start_response("204 No Content", [])
    return [b""]


def failing(environ: Any, start_response: Any) -> list[bytes]:
    pytest.fail("no hook was wanted here")


async def failing_asgi(scope: Any, receive: Any, send: Any) -> None:
    raise asyncio.CancelledError


def test_a_receiver_that_fails_the_test_fails_it_and_time_goes_on(emulate: Emulate) -> None:
    caller = emulate()
    tenant = control(caller)
    base = tenant.hooks.deliver_to(failing)
    for _ in range(2):
        caller.submit(hookUrl=base)
    with pytest.raises(pytest.fail.Exception, match="no hook was wanted"):
        tenant.clock.run_until_idle()
    with pytest.raises(pytest.fail.Exception, match="no hook was wanted"):
        tenant.clock.run_until_idle()
    tenant.clock.run_until_idle()
    assert [len(delivery.attempts) for delivery in tenant.hooks] == [1, 1]
    assert {job.state for job in tenant.jobs} == {"SUCCESS"}


def test_an_asgi_receiver_that_is_cancelled_counts_as_a_500(emulate: Emulate) -> None:
    caller = emulate()
    tenant = control(caller)
    caller.submit(hookUrl=tenant.hooks.deliver_to(failing_asgi))
    tenant.clock.run_until_idle()
    assert tenant.hooks[0].attempts[0].receipt.status == 500


@pytest.mark.parametrize("app", [failing, failing_asgi])
def test_one_tenants_receiver_does_not_stop_the_time_of_others(emulate: Emulate, app: Any) -> None:
    caller = emulate(clock="real", progress="immediate")
    tenant, other = control(caller), control(caller, "other")
    caller.submit(hookUrl=tenant.hooks.deliver_to(app))
    with pytest.raises(NotDelivered, match="none will come"):
        tenant.hooks.wait_for_delivery(timeout=PATIENCE)
    neighbour = Caller(caller.app, "other")
    neighbour.submit(hookUrl=other.hooks.deliver_to(accept))
    assert other.hooks.wait_for_delivery(timeout=PATIENCE).state is DeliveryState.DELIVERED


def test_a_receiver_that_waits_does_not_delay_the_hooks_of_others(emulate: Emulate) -> None:
    release = threading.Event()

    def slow(environ: Any, start_response: Any) -> list[bytes]:
        release.wait(PATIENCE)
        return accept(environ, start_response)

    caller = emulate(clock="real", progress="immediate")
    tenant, other = control(caller), control(caller, "other")
    caller.submit(hookUrl=tenant.hooks.deliver_to(slow))
    Caller(caller.app, "other").submit(hookUrl=other.hooks.deliver_to(accept))
    assert other.hooks.wait_for_delivery(timeout=PATIENCE).attempts[0].receipt.ok
    release.set()
    assert tenant.hooks.wait_for_delivery(timeout=PATIENCE).attempts[0].receipt.ok


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_receiver_of_a_hook_that_came_by_itself_cannot_move_the_clock(emulate: Emulate, kind: str) -> None:
    problems: list[str] = []
    caller = emulate(clock="real", progress="immediate")
    tenant = control(caller)

    def advance() -> None:
        try:
            tenant.clock.advance(1)
        except RuntimeError as error:
            problems.append(str(error))

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        advance()
        return accept(environ, start_response)

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        advance()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    caller.submit(hookUrl=tenant.hooks.deliver_to(wsgi if kind == "wsgi" else asgi))
    assert tenant.hooks.wait_for_delivery(timeout=PATIENCE).attempts[0].receipt.status == 204
    assert len(problems) == 1
    assert "waits for a hook" in problems[0]


def test_a_receiver_over_http_that_moves_the_clock_is_not_waited_for_without_end(serve: Serve) -> None:
    server = serve(clock="real", progress="immediate")
    tenant = server.tenant(KEY)
    inbox = Flask("inbox")

    @inbox.post("/hook")
    def _hook() -> tuple[str, int]:
        tenant.clock.advance(1)
        return "", 204

    with BackgroundServer(inbox) as receiver:
        body = {**PROMPT, "hookUrl": f"{receiver.url}/hook"}
        requests.post(f"{server.url}/flux/generate", json=body, headers={"TT-API-KEY": KEY}, timeout=PATIENCE)
        assert tenant.hooks.wait_for_delivery(timeout=PATIENCE).attempts[0].receipt.status == 204


def test_a_receiver_can_order_a_job_whose_hook_comes_before_its_answer(serve: Serve) -> None:
    server = serve(clock="real")
    tenant = server.tenant(KEY)
    tenant.scenario("early-hook")
    answers: list[int] = []

    def order(base: str) -> int:
        body = {**PROMPT, "hookUrl": base}
        headers = {"TT-API-KEY": KEY}
        return requests.post(f"{server.url}/flux/generate", json=body, headers=headers, timeout=PATIENCE).status_code

    def app(environ: Any, start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/first":
            answers.append(order("http://hooks.localhost/second"))
        return accept(environ, start_response)

    tenant.hooks.deliver_to(app)
    assert order("http://hooks.localhost/first") == 200
    assert answers == [200]


def test_what_an_asgi_application_does_after_its_answer_is_its_own_affair(emulate: Emulate) -> None:
    release = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        await asyncio.to_thread(release.wait, PATIENCE)
        raise ValueError("in the background")

    caller = emulate()
    tenant = control(caller)
    caller.submit(hookUrl=tenant.hooks.deliver_to(app))
    assert tenant.hooks.wait_for_delivery().attempts[0].receipt.status == 202
    release.set()


def test_a_timeout_of_the_application_itself_is_its_own_fault(emulate: Emulate) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise TimeoutError("the database")

    caller = emulate()
    tenant = control(caller)
    caller.submit(hookUrl=tenant.hooks.deliver_to(app))
    with pytest.raises(NotDelivered, match="the application raised TimeoutError: the database"):
        tenant.hooks.wait_for_delivery()


# The clock


def test_a_clock_never_goes_back_whoever_moves_it() -> None:
    clock = Clock(parse_clock("frozen"))
    clock.forward_to(EPOCH + 1000)
    assert clock.forward_to(EPOCH + 1) == EPOCH + 1000
    stop = threading.Event()
    seen: list[float] = []

    def move(step: float) -> None:
        instant = EPOCH
        while not stop.is_set():
            instant += step
            clock.forward_to(instant)

    movers = [threading.Thread(target=move, args=(step,)) for step in (0.5, 1.0, 2.0)]
    for mover in movers:
        mover.start()
    seen = [clock.now() for _ in range(20_000)]
    stop.set()
    for mover in movers:
        mover.join(PATIENCE)
    assert seen == sorted(seen)


def test_run_until_idle_ends_at_the_last_event_and_receivers_see_the_instant_of_their_hook(emulate: Emulate) -> None:
    caller = emulate()
    tenant = control(caller)
    seen: list[float] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(tenant.clock.now())
        return accept(environ, start_response)

    job_id = caller.submit(hookUrl=tenant.hooks.deliver_to(app))
    tenant.clock.run_until_idle()
    assert seen == [tenant.jobs.get(job_id).finished_at] == [tenant.clock.now()]


def test_a_clock_that_is_let_run_sends_the_hooks_that_fall_due(emulate: Emulate) -> None:
    caller = emulate()
    tenant = control(caller)
    caller.submit(hookUrl=tenant.hooks.deliver_to(accept))
    tenant.clock.run(100_000)
    assert tenant.hooks.wait_for_delivery(timeout=PATIENCE).state is DeliveryState.DELIVERED


# Copies and retries


def test_copies_and_retries_together_are_given_up_only_when_none_is_left(emulate: Emulate) -> None:
    receipts = iter([Receipt(500), Receipt(500), Receipt(204)])
    caller = emulate(deliverer=RecordingDeliverer(lambda _: next(receipts)), hook_retry="5")
    tenant = control(caller)
    tenant.scenario({"name": "two", "rules": [{"on": "hook", "then": {"copies": 2}}]})
    caller.submit(hookUrl=HOOK)
    delivery = tenant.hooks.wait_for_delivery()
    assert [attempt.receipt.status for attempt in delivery.attempts] == [500, 500, 204]


def test_copies_that_all_fail_are_given_up_in_the_end(emulate: Emulate) -> None:
    caller = emulate(deliverer=RecordingDeliverer(500), hook_retry="5")
    tenant = control(caller)
    tenant.scenario("duplicate-hooks")
    caller.submit(hookUrl=HOOK)
    tenant.clock.run_until_idle()
    assert tenant.hooks[0].state is DeliveryState.GIVEN_UP
    assert tenant.hooks[0].pending == 0


def test_several_threads_may_wait_for_deliveries_at_once(emulate: Emulate) -> None:
    caller = emulate(deliverer=RecordingDeliverer())
    tenant = control(caller)
    jobs = [caller.submit(hookUrl=HOOK) for _ in range(12)]
    came: list[str] = []
    problems: list[BaseException] = []

    def wait(job_id: str) -> None:
        try:
            came.append(tenant.hooks.wait_for_delivery(job_id, timeout=PATIENCE).job_id)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at below
            problems.append(error)

    waiters = [threading.Thread(target=wait, args=(job,)) for job in jobs]
    for waiter in waiters:
        waiter.start()
    for waiter in waiters:
        waiter.join(PATIENCE)
    assert problems == []
    assert sorted(came) == sorted(jobs)


# A world that is made anew


def test_applications_outlive_a_reset(emulate: Emulate) -> None:
    caller = emulate()
    tenant = control(caller)
    base = tenant.hooks.deliver_to(accept)
    tenant.reset()
    caller.submit(hookUrl=base)
    assert tenant.hooks.wait_for_delivery().attempts[0].receipt.status == 204


def test_a_receiver_that_resets_the_world_gets_no_more_of_it(emulate: Emulate) -> None:
    caller = emulate()
    tenant = control(caller)
    calls: list[int] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        calls.append(1)
        tenant.reset()
        return accept(environ, start_response)

    tenant.scenario("duplicate-hooks")
    caller.submit(hookUrl=tenant.hooks.deliver_to(app))
    tenant.clock.run_until_idle()
    assert calls == [1]
    assert len(tenant.hooks) == len(tenant.jobs) == 0
    assert not [entry for entry in tenant.journal if isinstance(entry, HookEntry)]


def test_a_request_under_way_when_its_world_is_made_anew_ends_in_the_new_one(
    emulate: Emulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = emulate()
    tenant = control(caller)
    world = caller.app.world
    found = world.find

    def find_and_reset(key: str | None, *, make: bool = True) -> Any:
        monkeypatch.setattr(world, "find", found)
        old = found(key, make=make)
        world.reset(KEY)
        return old

    world.tenant(KEY)
    monkeypatch.setattr(world, "find", find_and_reset)
    job_id = caller.submit()
    assert [job.id for job in tenant.jobs] == [job_id]


@pytest.mark.parametrize(
    "then", [{"drop": True, "when": "before the submit answer"}, {"delay": 60, "when": "before the submit answer"}]
)
def test_an_answer_never_waits_for_a_hook_that_does_not_come(serve: Serve, then: dict[str, Any]) -> None:
    server = serve(clock="frozen")
    server.tenant(KEY).scenario({"name": "mine", "rules": [{"on": "hook", "then": then}]})
    body = {**PROMPT, "hookUrl": HOOK}
    answer = requests.post(f"{server.url}/flux/generate", json=body, headers={"TT-API-KEY": KEY}, timeout=PATIENCE)
    assert answer.status_code == 200


def test_a_sending_that_is_lost_is_marked_as_the_scenarios_doing(emulate: Emulate) -> None:
    caller = emulate(deliverer=RecordingDeliverer(500), hook_retry="5")
    tenant = control(caller)
    tenant.scenario({"name": "mine", "rules": [{"on": "hook", "calls": 2, "then": {"drop": True}}]})
    caller.submit(hookUrl=HOOK)
    tenant.clock.run_until_idle()
    assert [entry.twisted for entry in tenant.journal if isinstance(entry, HookEntry)] == [False, True]
