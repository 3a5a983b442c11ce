"""What a scenario can do to webhooks: early, late, out of order, twice, cut, mislabelled, lost, or in this process."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests
from hook_inbox import HOOK, Inbox, control, rules
from support import KEY, PROMPT, Caller

from mock_server.errors import NotDelivered
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.http.runner import BackgroundServer
from mock_server.journal import HookEntry
from mock_server.model import Delivery, DeliveryState, Receipt
from mock_server.serving import Server

Emulate = Callable[..., Caller]
Serve = Callable[..., Server]


# The moment


@pytest.mark.parametrize("clock", ["frozen", "auto", "real"])
def test_an_early_hook_arrives_before_the_answer_to_the_submission(serve: Serve, clock: str) -> None:
    """Not by luck: the answer waits for the receiver, however long that takes."""
    server = serve(clock=clock)
    tenant = server.tenant(KEY)
    tenant.scenario("early-hook")
    answered = threading.Event()
    seen: list[bool] = []
    inbox = Inbox(also=lambda: seen.append(answered.wait(0.05)))
    with BackgroundServer(inbox.app) as receiver:
        answer = requests.post(
            f"{server.url}/flux/generate",
            json={**PROMPT, "hookUrl": f"{receiver.url}/hook"},
            headers={"TT-API-KEY": KEY},
            timeout=20,
        )
        answered.set()
    assert seen == [False]
    assert json.loads(inbox.bodies[0])["data"]["jobId"] == answer.json()["data"]["jobId"]
    assert "until the webhook has arrived" in answer.headers["X-Fluxmock-Explain"]
    assert tenant.spent == 1


def test_an_early_hook_that_nobody_takes_does_not_hold_the_answer_for_ever(serve: Serve) -> None:
    server = serve(clock="frozen", hook_retry="60")
    server.tenant(KEY).scenario("early-hook")
    answer = requests.post(
        f"{server.url}/flux/generate", json={**PROMPT, "hookUrl": HOOK}, headers={"TT-API-KEY": KEY}, timeout=20
    )
    assert answer.status_code == 200


def test_a_reset_lets_the_answers_go_that_wait_for_a_hook(serve: Serve) -> None:
    came, release = threading.Event(), threading.Event()
    inbox = Inbox(also=lambda: (came.set(), release.wait(20)))
    server = serve(clock="frozen")
    tenant = server.tenant(KEY)
    tenant.scenario("early-hook")
    answers: list[int] = []

    def submit(url: str) -> None:
        body = {**PROMPT, "hookUrl": f"{url}/hook"}
        headers = {"TT-API-KEY": KEY}
        answers.append(requests.post(f"{server.url}/flux/generate", json=body, headers=headers, timeout=20).status_code)

    with BackgroundServer(inbox.app) as receiver:
        client = threading.Thread(target=submit, args=(receiver.url,))
        client.start()
        assert came.wait(20)
        tenant.reset()
        client.join(20)
        release.set()
    assert answers == [200]


def test_without_a_hook_url_nothing_is_early(emulate: Emulate) -> None:
    caller = emulate()
    control(caller).scenario("early-hook")
    assert caller.fetch(caller.submit())["status"] == "ON_QUEUE"


def test_a_hook_can_wait_for_the_final_fetch(emulate: Emulate) -> None:
    sent = RecordingDeliverer()
    caller = emulate(deliverer=sent)
    tenant = control(caller)
    tenant.scenario("hook-after-final-fetch")
    job_id = caller.submit(hookUrl=HOOK)
    tenant.clock.advance(3600)
    assert (sent.sent, tenant.hooks[0].state) == ([], DeliveryState.HELD)
    assert caller.fetch(job_id)["status"] == "SUCCESS"
    tenant.clock.advance(0)
    assert [delivery.state for delivery in tenant.hooks] == [DeliveryState.DELIVERED]
    caller.fetch(job_id)
    tenant.clock.run_until_idle()
    assert len(sent.sent) == 1


@pytest.mark.parametrize("clock", ["frozen", "auto", "real"])
def test_a_held_hook_comes_by_itself_after_the_final_fetch(serve: Serve, clock: str) -> None:
    arrived = threading.Event()
    inbox = Inbox(also=arrived.set)
    server = serve(clock=clock, progress="polls:2")
    tenant = server.tenant(KEY)
    tenant.scenario("hook-after-final-fetch")
    with BackgroundServer(inbox.app) as receiver:
        headers = {"TT-API-KEY": KEY}
        body = {**PROMPT, "hookUrl": f"{receiver.url}/hook"}
        job = requests.post(f"{server.url}/flux/generate", json=body, headers=headers, timeout=20).json()["data"]
        for _ in range(2):
            assert not inbox.bodies
            requests.post(f"{server.url}/flux/fetch", json=job, headers=headers, timeout=20)
        assert arrived.wait(20)


def test_hooks_can_come_out_of_order(emulate: Emulate) -> None:
    sent = RecordingDeliverer()
    caller = emulate(deliverer=sent)
    tenant = control(caller)
    tenant.scenario("hooks-out-of-order")
    jobs = [caller.submit(hookUrl=HOOK) for _ in range(3)]
    tenant.clock.run_until_idle()
    assert sent.sent[-1].job_id == jobs[0]
    assert {delivery.job_id for delivery in sent.sent} == set(jobs)


# The message


def test_a_stale_hook_follows_the_true_one(emulate: Emulate) -> None:
    sent = RecordingDeliverer()
    caller = emulate(deliverer=sent)
    tenant = control(caller)
    tenant.scenario("stale-hook")
    job_id = caller.submit(hookUrl=HOOK)
    tenant.clock.run_until_idle()
    first, second = (json.loads(delivery.body) for delivery in sent.sent)
    assert (first["status"], first) == ("SUCCESS", caller.fetch(job_id))
    assert (second["status"], second["data"]) == ("ON_QUEUE", None)
    assert json.loads(tenant.hooks[0].body) == first
    assert [entry.twisted for entry in tenant.journal if isinstance(entry, HookEntry)] == [False, True]


def test_a_broken_hook_is_cut_and_has_no_type_and_a_good_copy_follows(serve: Serve) -> None:
    inbox = Inbox(400, 204)
    server = serve(clock="frozen")
    tenant = server.tenant(KEY)
    tenant.scenario("broken-hook")
    with BackgroundServer(inbox.app) as receiver:
        body = {**PROMPT, "hookUrl": f"{receiver.url}/hook"}
        requests.post(f"{server.url}/flux/generate", json=body, headers={"TT-API-KEY": KEY}, timeout=20)
        tenant.clock.run_until_idle()
    bodies = sorted(inbox.bodies, key=len)
    assert [len(bodies[0]), inbox.types[inbox.bodies.index(bodies[0])]] == [40, None]
    assert json.loads(bodies[1])["status"] == "SUCCESS"
    assert inbox.types[inbox.bodies.index(bodies[1])] == "application/json"
    assert tenant.hooks[0].state is DeliveryState.DELIVERED


@pytest.mark.parametrize(
    ("then", "body", "kind"),
    [
        ({"content_type": "text/plain"}, None, "text/plain"),
        ({"body": "<html>"}, b"<html>", "application/json"),
        ({"body_bytes": 0}, b"", "application/json"),
        ({"body": "é", "coding": "latin-1"}, b"\xe9", "application/json"),
        ({"body": "{}", "coding": "bom"}, b"\xef\xbb\xbf{}", "application/json"),
        ({"rename": {"jobId": "job_id"}}, None, "application/json"),
    ],
)
def test_a_hook_can_be_altered(emulate: Emulate, then: dict[str, Any], body: bytes | None, kind: str) -> None:
    sent = RecordingDeliverer()
    caller = emulate(deliverer=sent)
    tenant = control(caller)
    tenant.scenario(rules({"on": "hook", "then": then}))
    job_id = caller.submit(hookUrl=HOOK)
    tenant.clock.run_until_idle()
    (delivery,) = sent.sent
    assert delivery.content_type == kind
    if body is not None:
        assert delivery.body == body
    if "rename" in then:
        assert json.loads(delivery.body)["data"]["job_id"] == job_id


def test_a_retry_can_be_lost_on_its_way(emulate: Emulate) -> None:
    sent = RecordingDeliverer(lambda delivery: Receipt(500 if len(delivery.attempts) == 0 else 200))
    caller = emulate(deliverer=sent, hook_retry="10,10")
    tenant = control(caller)
    tenant.scenario(rules({"on": "hook", "calls": 2, "then": {"drop": True}}))
    caller.submit(hookUrl=HOOK)
    tenant.clock.run_until_idle()
    (delivery,) = tenant.hooks
    assert [attempt.receipt.status for attempt in delivery.attempts] == [500, None, 200]
    assert "lost on its way" in (delivery.attempts[1].receipt.error or "")
    assert len(sent.sent) == 2


# Into an application in this process


def test_a_wsgi_application_gets_hooks_with_no_port_in_the_thread_that_moves_the_clock(emulate: Emulate) -> None:
    inbox = Inbox()
    caller = emulate()
    tenant = control(caller)
    base = tenant.hooks.deliver_to(inbox.app)
    job_id = caller.submit(hookUrl=f"{base}/hook/caf%C3%A9?for=me&x=%2F")
    tenant.clock.run_until_idle()
    assert json.loads(inbox.bodies[0]) == caller.fetch(job_id)
    assert inbox.urls == ["http://hooks.localhost/hook/café?for=me&x=/"]
    assert inbox.threads == [threading.get_ident()]


def test_an_asgi_application_gets_hooks_though_a_loop_runs_here(emulate: Emulate) -> None:
    calls: list[tuple[dict[str, Any], bytes]] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        message = await receive()
        calls.append((scope, message["body"]))
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        assert (await receive())["type"] == "http.disconnect"

    caller = emulate()
    tenant = control(caller)
    base = tenant.hooks.deliver_to(app, "https://my-app.example.com:8443/")
    assert base == "https://my-app.example.com:8443"
    job_id = caller.submit(hookUrl=f"{base}/a%20b?q=1")

    async def advance() -> None:
        tenant.clock.run_until_idle()

    import asyncio

    asyncio.run(advance())
    ((scope, body),) = calls
    assert json.loads(body) == caller.fetch(job_id)
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a b", b"/a%20b", b"q=1")
    assert dict(scope["headers"])[b"host"] == b"my-app.example.com:8443"
    assert dict(scope["headers"])[b"content-type"] == b"application/json"
    assert tenant.hooks[0].attempts[0].receipt.status == 202


def test_an_application_that_fails_counts_as_a_500_and_is_called_again(
    emulate: Emulate, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("no such order")
        start_response("200 OK", [])
        return [b""]

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        return None

    caller = emulate(hook_retry="5")
    tenant = control(caller)
    base = tenant.hooks.deliver_to(app)
    caller.submit(hookUrl=base)
    assert [attempt.receipt.status for attempt in tenant.hooks.wait_for_delivery().attempts] == [500, 200]
    tenant.hooks.deliver_to(silent)
    caller.submit(hookUrl=base)
    with pytest.raises(NotDelivered, match="the application raised RuntimeError: the application returned without"):
        tenant.hooks.wait_for_delivery()
    assert "ValueError: no such order at test_hook_scenarios.py:" in (tenant.hooks[0].attempts[0].receipt.error or "")
    assert "no such order" in caplog.text
    assert "without an answer" in caplog.text


def test_an_asgi_application_that_hangs_is_given_up(emulate: Emulate) -> None:
    from mock_server.hooks.apps import AppDeliverer

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while True:
            await receive()

    delivery = Delivery("hook-1", "1", "http://hooks.localhost/x", b"{}")
    assert "no answer within" in (AppDeliverer(app, timeout=0.01).deliver(delivery).result(20).error or "")


def test_other_hosts_are_still_called_over_the_network(emulate: Emulate) -> None:
    sent = RecordingDeliverer()
    inbox = Inbox()
    caller = emulate(deliverer=sent)
    tenant = control(caller)
    tenant.hooks.deliver_to(inbox.app)
    caller.submit(hookUrl=HOOK)
    tenant.clock.run_until_idle()
    assert (len(sent.sent), inbox.bodies) == (1, [])


def test_what_is_no_application_and_what_is_no_url_is_refused(emulate: Emulate) -> None:
    hooks = control(emulate()).hooks
    with pytest.raises(TypeError, match="expected a WSGI or ASGI application"):
        hooks.deliver_to("app")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="hookUrl"):
        hooks.deliver_to(Inbox().app, "not a url")


def test_a_receiver_that_looks_at_the_tenant_sees_its_job_ended(emulate: Emulate) -> None:
    caller = emulate()
    tenant = control(caller)
    seen: list[Any] = []
    inbox = Inbox(also=lambda: seen.append(caller.fetch(tenant.jobs[0].id)["status"]))
    caller.submit(hookUrl=f"{tenant.hooks.deliver_to(inbox.app)}/hook")
    tenant.hooks.wait_for_delivery()
    assert seen == ["SUCCESS"]


def test_waiting_inside_a_receiver_is_refused_instead_of_hanging(emulate: Emulate) -> None:
    caller = emulate()
    tenant = control(caller)
    problems: list[str] = []

    def wait() -> None:
        with pytest.raises(RuntimeError, match="inside the receiver") as caught:
            tenant.hooks.wait_for_delivery()
        problems.append(str(caught.value))

    caller.submit(hookUrl=f"{tenant.hooks.deliver_to(Inbox(also=wait).app)}/hook")
    tenant.clock.run_until_idle()
    assert len(problems) == 1


def test_an_early_hook_comes_first_in_process_too() -> None:
    """The client's own stack waits for its answer; nothing needs a port."""
    import mock_server
    from mock_server.adapters import for_requests
    from mock_server.adapters.inprocess import InProcess

    order: list[str] = []
    inbox = Inbox(also=lambda: order.append("hook"))
    with mock_server.serve(port=0, clock="frozen", observer=None) as server:
        tenant = server.tenant(KEY)
        tenant.scenario("early-hook")
        body = {**PROMPT, "hookUrl": f"{tenant.hooks.deliver_to(inbox.app)}/hook"}
        with for_requests.intercept(InProcess(server.app, KEY)):
            requests.post("https://api.ttapi.io/flux/generate", json=body, headers={"TT-API-KEY": "x"}, timeout=20)
            order.append("answer")
    assert order == ["hook", "answer"]
