"""Webhooks end to end: the body, the instant, retries, the log, and who may not be called."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from support import PROMPT, Caller

from mock_server.clock import EPOCH
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.http.runner import BackgroundServer
from mock_server.journal import HookEntry
from mock_server.model import DeliveryState, Receipt
from mock_server.serving import Server

Emulate = Callable[..., Caller]
Serve = Callable[..., Server]
HOOK = "http://127.0.0.1:9/hook"


class Receiver:
    """A webhook receiver on a real socket that answers with `statuses`, the last one for ever."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses) or [204]
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self._came = threading.Semaphore(0)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.bodies.append(environ["wsgi.input"].read())
        self.headers.append({name: value for name, value in environ.items() if name.startswith(("HTTP_", "CONTENT"))})
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        start_response(f"{status} Whatever", [("Location", "http://127.0.0.1:9/elsewhere")])
        self._came.release()
        return [b""]

    def wait(self, count: int = 1) -> None:
        for _ in range(count):
            assert self._came.acquire(timeout=20), f"only {len(self.bodies)} hooks came"


@pytest.fixture
def receiver() -> Iterable[tuple[Receiver, str]]:
    subject = Receiver()
    with BackgroundServer(subject) as server:
        yield subject, f"{server.url}/hook?for=me"


@pytest.mark.parametrize("version", ["2024-09", "2026-03"])
@pytest.mark.parametrize("failed", [False, True])
def test_a_hook_carries_the_final_fetch_body(emulate: Emulate, version: str, failed: bool) -> None:
    sent = RecordingDeliverer()
    caller = emulate(contract=version, deliverer=sent, progress="manual")
    job_id = caller.submit(hookUrl=HOOK)
    subject = caller.app.world.tenant(caller.key)
    from mock_server.control import TenantControl

    jobs = TenantControl(caller.app.world, caller.key).jobs
    jobs.fail(job_id) if failed else jobs.finish(job_id)
    subject.advance_to(subject.clock.now())
    (delivery,) = sent.sent
    assert (delivery.url, delivery.job_id) == (HOOK, job_id)
    assert json.loads(delivery.body) == caller.fetch(job_id)


def test_retries_come_at_their_instants_under_one_id(emulate: Emulate) -> None:
    receipts = iter([Receipt(500), Receipt(None, "no answer within 10 s"), Receipt(200)])
    sent = RecordingDeliverer(lambda delivery: next(receipts))
    caller = emulate(deliverer=sent, progress="immediate", hook_retry="300,86400,7")
    caller.submit(hookUrl=HOOK)
    subject = caller.app.world.tenant(caller.key)
    subject.advance_to(EPOCH + 27 * 3600)
    (delivery,) = subject.store.deliveries.values()
    assert [attempt.at - EPOCH for attempt in delivery.attempts] == [0, 300, 86700]
    assert [attempt.receipt.ok for attempt in delivery.attempts] == [False, False, True]
    assert delivery.state is DeliveryState.DELIVERED
    assert len({attempt.id for attempt in sent.sent}) == 1
    hooks = [entry for entry in subject.journal if isinstance(entry, HookEntry)]
    assert [entry.at for entry in hooks] == [attempt.at for attempt in delivery.attempts]


def test_the_whole_schedule_is_used(emulate: Emulate) -> None:
    sent = RecordingDeliverer(500)
    caller = emulate(deliverer=sent, progress="immediate", hook_retry="1,2,4,8")
    caller.submit(hookUrl=HOOK)
    subject = caller.app.world.tenant(caller.key)
    subject.run_until_idle()
    (delivery,) = subject.store.deliveries.values()
    assert [attempt.at - EPOCH for attempt in delivery.attempts] == [0, 1, 3, 7, 15]


def test_without_a_schedule_there_is_one_post(emulate: Emulate) -> None:
    sent = RecordingDeliverer(500)
    caller = emulate(deliverer=sent, progress="immediate")
    caller.submit(hookUrl=HOOK)
    caller.app.world.tenant(caller.key).run_until_idle()
    assert len(sent.sent) == 1
    assert [d.state for d in caller.app.world.tenant(caller.key).store.deliveries.values()] == [DeliveryState.GIVEN_UP]


@pytest.mark.parametrize(
    "settings",
    [
        {"clock": "x1000"},
        {"clock": "auto"},
        {"clock": "frozen", "progress": "immediate"},
        {"clock": "real", "progress": "immediate"},
    ],
    ids=str,
)
def test_a_hook_comes_by_itself(serve: Serve, receiver: tuple[Receiver, str], settings: dict[str, str]) -> None:
    subject, url = receiver
    server = serve(**settings)
    caller = Caller(server.app)
    job_id = caller.submit(hookUrl=url)
    subject.wait()
    assert json.loads(subject.bodies[0]) == caller.fetch(job_id)
    assert subject.headers[0]["CONTENT_TYPE"] == "application/json"
    assert subject.headers[0]["HTTP_X_FLUXMOCK_DELIVERY"] == f"hook-{job_id}"


def test_a_hook_by_polls_comes_after_the_poll_that_finished_the_job(
    serve: Serve, receiver: tuple[Receiver, str]
) -> None:
    subject, url = receiver
    caller = Caller(serve(clock="frozen", progress="polls:2").app)
    job_id = caller.submit(hookUrl=url)
    assert caller.fetch(job_id)["status"] == "ON_QUEUE"
    assert subject.bodies == []
    assert caller.fetch(job_id)["status"] == "SUCCESS"
    subject.wait()


def test_real_retries_until_the_receiver_takes_it(serve: Serve, receiver: tuple[Receiver, str]) -> None:
    subject, url = receiver
    subject.statuses = [500, 302, 200]
    server = serve(clock="frozen", progress="immediate", hook_retry="60,3600")
    caller = Caller(server.app)
    caller.submit(hookUrl=url)
    tenant = server.tenant(caller.key)
    tenant.clock.advance(3 * 3600)
    assert [attempt.receipt.status for attempt in tenant.hooks[0].attempts] == [500, 302, 200]
    assert subject.headers[2]["HTTP_X_FLUXMOCK_ATTEMPT"] == "3"
    assert len(set(subject.bodies)) == 1


def test_a_receiver_may_call_back_while_it_is_called(serve: Serve) -> None:
    server = serve(clock="frozen")
    caller = Caller(server.app)
    seen: list[Any] = []

    def receiver(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        seen.append(caller.fetch(json.loads(environ["wsgi.input"].read())["jobId"])["status"])
        start_response("200 OK", [])
        return []

    with BackgroundServer(receiver) as hooks:
        caller.submit(hookUrl=f"{hooks.url}/")
        server.tenant(caller.key).clock.advance(60)
    assert seen == ["SUCCESS"]


def test_a_receiver_that_moves_the_clock_is_told_at_once_that_it_cannot(serve: Serve) -> None:
    server = serve(clock="frozen")
    caller, told = Caller(server.app), []

    def receiver(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            server.tenant(caller.key).clock.advance(1)
        except RuntimeError as error:
            told.append(str(error))
        start_response("200 OK", [])
        return []

    with BackgroundServer(receiver) as hooks:
        caller.submit(hookUrl=f"{hooks.url}/")
        server.tenant(caller.key).clock.advance(60)
    assert len(told) == 1
    assert server.tenant(caller.key).hooks[0].state is DeliveryState.DELIVERED


def test_a_name_that_is_allowed_at_submission_is_judged_again_when_it_resolves(serve: Serve) -> None:
    server = serve(clock="frozen", progress="immediate")
    caller = Caller(server.app)
    caller.submit(hookUrl="http://no-such-host.invalid/")
    tenant = server.tenant(caller.key)
    tenant.clock.advance(1)
    (attempt,) = tenant.hooks[0].attempts
    assert attempt.receipt.status is None
    assert "no-such-host.invalid" in str(attempt.receipt.error)


def test_hooks_of_two_tenants_do_not_meet(emulate: Emulate) -> None:
    sent = RecordingDeliverer()
    caller = emulate(deliverer=sent, progress="immediate")
    other = Caller(caller.app, "other-key")
    caller.submit(hookUrl=HOOK)
    other.submit(hookUrl=HOOK + "/other", **PROMPT)
    other.app.world.tenant("other-key").run_until_idle()
    assert [delivery.url for delivery in sent.sent if "other" in delivery.url] == [HOOK + "/other"]
    assert [d.url for d in other.app.world.tenant("other-key").store.deliveries.values()] == [HOOK + "/other"]
