"""Waiting for a webhook to arrive, which never succeeds when none was sent."""

from __future__ import annotations

from mock_server.errors import NotDelivered
from mock_server.hooks.apps import shown_url
from mock_server.model import Delivery, DeliveryState
from mock_server.tenant import Tenant

_HOPELESS = frozenset({DeliveryState.GIVEN_UP, DeliveryState.BLOCKED, DeliveryState.DROPPED})


def await_delivery(tenant: Tenant, job_id: str | None, seconds: float) -> Delivery:
    """
    Return the webhook of a job, or the next one that nobody has waited for, once its receiver took it.

    A clock that stands still is moved on, event by event, to get there.

    Args:
        tenant: whose webhook.
        job_id: of which job; None for any.
        seconds: real seconds to wait for each receiver, and, on a clock that runs, for a webhook at all.

    Raises:
        NotDelivered: it did not arrive, or will not; the text says why.
        UnknownJob: there is no such job.
        RuntimeError: this is the receiver of a webhook that is just being handed over.
    """
    __tracebackhide__ = True
    if tenant.postman.is_handing_over:
        raise RuntimeError("this runs inside the receiver of a webhook: what it waits for cannot arrive before it ends")
    if job_id is not None:
        tenant.job(job_id)
    while True:
        with tenant.lock:
            tenant.settle()
            delivery = _arrived(tenant, job_id)
            if delivery is not None:
                tenant.awaited.add(delivery.id)
                return delivery
            if _is_hopeless(tenant, job_id):
                raise _not_delivered(tenant, job_id, "none will come")
            if tenant.postman.on_the_way or tenant.clock.rate:
                if not tenant.postman.wait_for_landing(seconds):
                    raise _not_delivered(tenant, job_id, f"none came within {seconds:g} s")
                continue
        try:
            moved = tenant.advance_to_next_event()
        except RuntimeError:
            continue  # another thread moves the clock, and waits for a hook that is just on its way
        if not moved and not tenant.postman.on_the_way:
            with tenant.lock:
                if _arrived(tenant, job_id) is None:
                    raise _not_delivered(tenant, job_id, "nothing more is to come")


def _of(tenant: Tenant, job_id: str | None) -> list[Delivery]:
    return [delivery for delivery in tenant.store.deliveries.values() if job_id in {None, delivery.job_id}]


def _arrived(tenant: Tenant, job_id: str | None) -> Delivery | None:
    there = [delivery for delivery in _of(tenant, job_id) if delivery.state is DeliveryState.DELIVERED]
    return next((delivery for delivery in there if job_id is not None or delivery.id not in tenant.awaited), None)


def _is_hopeless(tenant: Tenant, job_id: str | None) -> bool:
    if job_id is None:
        return not tenant.store.hooks_expected and not tenant.postman.on_the_way and not _held(tenant)
    deliveries = _of(tenant, job_id)
    return tenant.store.jobs[job_id].order.hook_url is None or any(d.state in _HOPELESS for d in deliveries)


def _held(tenant: Tenant) -> bool:
    return any(delivery.state is DeliveryState.HELD for delivery in tenant.store.deliveries.values())


def _not_delivered(tenant: Tenant, job_id: str | None, why: str) -> NotDelivered:
    jobs = [job for job in tenant.store.jobs.values() if job_id in {None, job.id}]
    if not any(job.order.hook_url for job in jobs):
        which = "no job of this tenant" if job_id is None else f"job {job_id} does not"
        has = "has" if job_id is None else "have"
        return NotDelivered(f"expected a webhook, but {which} {has} a hookUrl: was it sent under that very name?")
    lines = [f"expected a webhook, {why}:"]
    for job in jobs:
        if job.order.hook_url is None:
            continue
        deliveries = _of(tenant, job.id)
        lines += [f"  {_fate(delivery)}" for delivery in deliveries]
        if not deliveries:
            lines.append(f"  job {job.id} is {job.state.value}: its webhook comes when it ends")
    return NotDelivered("\n".join(lines))


def _fate(delivery: Delivery) -> str:
    words = f"{delivery.id} to {shown_url(delivery.url)}: {delivery.state.value}"
    if delivery.state is DeliveryState.HELD:
        return f"{words} until a fetch has shown the final state of its job"
    if not delivery.attempts:
        return words
    receipt = delivery.attempts[-1].receipt
    came = receipt.error or f"the receiver answered {receipt.status}"
    return f"{words}, attempts: {len(delivery.attempts)}, the last: {came}"
