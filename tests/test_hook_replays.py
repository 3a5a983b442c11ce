"""Webhooks are sent again by hand, and waited for, whatever a scenario made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hook_inbox import HOOK, LONG, Inbox, control, rules
from support import Caller

from mock_server.clock import EPOCH
from mock_server.errors import NotDelivered, UnknownDelivery, UnknownJob
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.model import DeliveryState, Receipt

Emulate = Callable[..., Caller]


# Again, by hand


def test_a_delivery_is_replayed_by_its_id_under_the_same_id(emulate: Emulate) -> None:
    sent = RecordingDeliverer()
    caller = emulate(deliverer=sent)
    tenant = control(caller)
    caller.submit(hookUrl=HOOK)
    tenant.clock.run_until_idle()
    (delivery,) = tenant.hooks
    again = tenant.hooks.replay(delivery.id)
    assert [attempt.number for attempt in again.attempts] == [1, 2]
    assert [sent.id for sent in sent.sent] == [delivery.id] * 2
    assert sent.sent[0].body == sent.sent[1].body


@pytest.mark.parametrize("name", ["lost-hook", "hook-after-final-fetch"])
def test_what_was_never_sent_can_be_sent_by_hand(emulate: Emulate, name: str) -> None:
    sent = RecordingDeliverer()
    caller = emulate(deliverer=sent)
    tenant = control(caller)
    tenant.scenario(name)
    caller.submit(hookUrl=HOOK)
    tenant.clock.run_until_idle()
    assert tenant.hooks.replay(tenant.hooks[0].id).state is DeliveryState.DELIVERED
    assert len(sent.sent) == 1


def test_what_is_never_sent_by_itself_can_be_sent_by_hand_again_and_again(emulate: Emulate) -> None:
    sent = RecordingDeliverer()
    tenant = control(caller := emulate(deliverer=sent))
    tenant.scenario("lost-hook")
    caller.submit(hookUrl=HOOK)
    tenant.clock.run_until_idle()
    for count in (1, 2, 3):
        assert tenant.hooks.replay(tenant.hooks[0].id).state is DeliveryState.DELIVERED
        assert len(sent.sent) == count


def test_a_replay_is_lost_where_a_rule_names_that_sending(emulate: Emulate) -> None:
    sent = RecordingDeliverer()
    tenant = control(caller := emulate(deliverer=sent))
    tenant.scenario(rules({"on": "hook", "calls": {"first": 2}, "then": {"drop": True}}))
    caller.submit(hookUrl=HOOK)
    tenant.clock.run_until_idle()
    for count in (1, 1, 2):  # the first was never sent by itself; the second is lost
        tenant.hooks.replay(tenant.hooks[0].id)
        assert len(sent.sent) == count


def test_a_hook_is_edited_and_then_cut(emulate: Emulate) -> None:
    sent = RecordingDeliverer()
    tenant = control(caller := emulate(deliverer=sent))
    tenant.scenario(rules({"on": "hook", "then": {"body": "{}", "set": {"/a": "long"}, "body_bytes": 6}}))
    caller.submit(hookUrl=HOOK)
    tenant.clock.run_until_idle()
    assert sent.sent[0].body == b'{"a":"'


def test_a_replay_that_fails_does_not_undo_what_was_delivered(emulate: Emulate) -> None:
    sent = RecordingDeliverer(lambda delivery: Receipt(500 if delivery.attempts else 200))
    caller = emulate(deliverer=sent)
    tenant = control(caller)
    caller.submit(hookUrl=HOOK)
    tenant.clock.run_until_idle()
    assert tenant.hooks.replay(tenant.hooks[0].id).state is DeliveryState.DELIVERED


def test_a_delivery_that_was_given_up_can_be_replayed(emulate: Emulate) -> None:
    sent = RecordingDeliverer(lambda delivery: Receipt(200 if delivery.attempts else 500))
    caller = emulate(deliverer=sent)
    tenant = control(caller)
    caller.submit(hookUrl=HOOK)
    tenant.clock.run_until_idle()
    assert tenant.hooks[0].state is DeliveryState.GIVEN_UP
    assert tenant.hooks.replay(tenant.hooks[0].id).state is DeliveryState.DELIVERED


def test_an_unknown_delivery_cannot_be_replayed(emulate: Emulate) -> None:
    with pytest.raises(UnknownDelivery, match="no webhook delivery 'hook-x'"):
        control(emulate()).hooks.replay("hook-x")


def test_a_receiver_cannot_replay_its_own_hook_and_nothing_is_sent_by_trying(emulate: Emulate) -> None:
    caller = emulate()
    tenant = control(caller)
    problems: list[str] = []

    def replay() -> None:
        with pytest.raises(RuntimeError, match="waits for a hook") as caught:
            tenant.hooks.replay(tenant.hooks[0].id)
        problems.append(str(caught.value))

    inbox = Inbox(also=replay)
    caller.submit(hookUrl=f"{tenant.hooks.deliver_to(inbox.app)}/hook")
    tenant.clock.run_until_idle()
    assert (len(problems), len(inbox.bodies)) == (1, 1)


# Waiting for one


def test_waiting_moves_a_clock_that_stands_still(emulate: Emulate) -> None:
    caller = emulate(deliverer=RecordingDeliverer())
    tenant = control(caller)
    tenant.scenario(LONG)
    job_id = caller.submit(hookUrl=HOOK)
    delivery = tenant.hooks.wait_for_delivery()
    assert (delivery.job_id, delivery.state, tenant.clock.now()) == (job_id, DeliveryState.DELIVERED, EPOCH + 90)


def test_each_wait_is_for_another_delivery(emulate: Emulate) -> None:
    caller = emulate(deliverer=RecordingDeliverer())
    tenant = control(caller)
    jobs = {caller.submit(hookUrl=HOOK) for _ in range(3)}
    assert {tenant.hooks.wait_for_delivery().job_id for _ in jobs} == jobs
    with pytest.raises(NotDelivered, match="none will come"):
        tenant.hooks.wait_for_delivery()
    some = next(iter(jobs))
    assert tenant.hooks.wait_for_delivery(some).job_id == some


def test_waiting_goes_through_the_retries(emulate: Emulate) -> None:
    sent = RecordingDeliverer(lambda delivery: Receipt(200 if len(delivery.attempts) == 2 else 503))
    caller = emulate(deliverer=sent, hook_retry="3600,3600,3600")
    caller.submit(hookUrl=HOOK)
    assert len(control(caller).hooks.wait_for_delivery().attempts) == 3


@pytest.mark.parametrize("clock", ["frozen", "auto", "real"])
def test_waiting_cannot_pass_when_nothing_was_sent(emulate: Emulate, clock: str) -> None:
    caller = emulate(deliverer=RecordingDeliverer(), clock=clock)
    with pytest.raises(NotDelivered, match=r"no job of this tenant has a hookUrl"):
        control(caller).hooks.wait_for_delivery(timeout=0.01)
    job_id = caller.submit(hook_url=HOOK)
    with pytest.raises(NotDelivered, match=f"job {job_id} does not have a hookUrl"):
        control(caller).hooks.wait_for_delivery(job_id, timeout=0.01)


@pytest.mark.parametrize(
    ("scenario", "settings", "words"),
    [
        ("lost-hook", {}, "dropped"),
        ("hook-after-final-fetch", {}, "held until a fetch has shown the final state"),
        (LONG, {"clock": "real"}, "none came within 0.01 s"),
        (LONG, {"progress": "manual"}, "its webhook comes when it ends"),
        ("rate-limited", {"hook_retry": "5"}, "given up, attempts: 2, the last: the receiver answered 500"),
    ],
)
def test_what_did_not_arrive_is_told_with_what_became_of_it(
    emulate: Emulate, scenario: Any, settings: dict[str, object], words: str
) -> None:
    caller = emulate(deliverer=RecordingDeliverer(500), **settings)
    tenant = control(caller)
    job_id = caller.submit(hookUrl=HOOK) if scenario == "rate-limited" else ""
    tenant.scenario(scenario)
    job_id = job_id or caller.submit(hookUrl=HOOK)
    for which in (None, job_id):
        with pytest.raises(NotDelivered, match=words):
            tenant.hooks.wait_for_delivery(which, timeout=0.01)


def test_waiting_for_an_unknown_job_says_so(emulate: Emulate) -> None:
    with pytest.raises(UnknownJob):
        control(emulate()).hooks.wait_for_delivery("nothing")
